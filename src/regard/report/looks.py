"""The colour and the shape of a row, the same in every report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from regard.catalog.rows import NONE, REFERENCES

HUES = 6  # of the style sheet: as many as stay apart for all kinds of colour vision
DISC = "M-4.2,0a4.2,4.2 0 1,0 8.4,0a4.2,4.2 0 1,0 -8.4,0z"  # of none
SQUARE = "M-3.9,-3.9H3.9V3.9H-3.9z"  # of plain
SHAPES = (
    "M0,-5L4.8,3.6H-4.8z",  # triangle
    "M0,-5.4L5.4,0L0,5.4L-5.4,0z",  # diamond
    "M0,5L4.8,-3.6H-4.8z",  # triangle, point down
    "M-1.7,-5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5V-1.7H-1.7z",  # plus
    "M0,-5.6L1.5,-2H5.3L2.4,0.5L3.4,4.6L0,2.3L-3.4,4.6L-2.4,0.5L-5.3,-2H-1.5z",  # star
    "M-4.5,-2.4L-2.4,-4.5L0,-2.1L2.4,-4.5L4.5,-2.4L2.1,0L4.5,2.4L2.4,4.5L0,2.1L-2.4,4.5L-4.5,2.4L-2.1,0z",  # cross
    "M0,-5.2L4.5,-2.6V2.6L0,5.2L-4.5,2.6V-2.6z",  # hexagon
)
_SALT = b"136909"  # of those tried the one that keeps the best known mechanisms apart in colour


@dataclass(frozen=True)
class Look:
    """How a row is drawn.

    Args:
        name: of the row.
        hue: style sheet class of its colour.
        dash: style sheet class of its lines.
        shape: path of its marker.
        reference: whether it is a reference row.
    """

    name: str
    hue: str
    dash: str
    shape: str
    reference: bool


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each row: grey for the references; for the others by their names, so that a row looks the same in
    every report. Of two rows that would look alike, the later by name takes the next shape, then the next colour.
    """
    found = {}
    taken: set[tuple[int, int]] = set()
    for name in sorted(names, key=lambda name: (len(name), name)):
        if name in REFERENCES:
            hue, shape = ("ref", DISC) if name == NONE else ("ref2", SQUARE)
            found[name] = Look(name, hue, hue, shape, True)
            continue
        slot = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4, salt=_SALT).digest(), "big")
        tries = [
            ((slot + step // len(SHAPES)) % HUES, (slot // HUES + step) % len(SHAPES))
            for step in range(HUES * len(SHAPES))
        ]
        pair = next((each for each in tries if each not in taken), tries[0])
        taken.add(pair)
        found[name] = Look(name, f"hue{pair[0]}", f"dash{pair[1]}", SHAPES[pair[1]], False)
    return {name: found[name] for name in names}


def marker(look: Look) -> Markup:
    """The row's sign, for tables and legends."""
    return Markup('<svg class="mark {}" viewBox="-7 -7 14 14" aria-hidden="true"><path d="{}"/></svg>').format(
        look.hue, look.shape
    )
