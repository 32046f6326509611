"""Drawn histories of patients, in which the visit that decides what is asked is known.

A history has ten visits, or as many as are asked for. Somewhere before the last one there are "onset" codes of some of
the kinds A to F, each with one of six severities, and at most one at a visit; all visits have background codes too. The
last visit has a "review" code, which names one of the kinds, and what is to be said is the severity of its onset. Which
visit that was depends on the review, so weights that do not know the last visit cannot find it.

The histories can be written as the file `visits.csv` that `data.visit_files` reads.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Generator

from regard.checks import positive, whole, whole_numbers
from regard.data.visits import History, Visit
from regard.ops.seeds import mixed

VISITS = 10
KINDS = ("A", "B", "C", "D", "E", "F")
SEVERITIES = tuple(f"severity {level}" for level in range(1, 7))
BACKGROUND = 40  # codes that mean nothing
EACH = (1, 5)  # background codes of a visit: at least, and fewer than
CODES = (
    *(f"onset {kind} {severity}" for kind in KINDS for severity in SEVERITIES),
    *(f"review {kind}" for kind in KINDS),
    *(f"background {number}" for number in range(1, BACKGROUND + 1)),
)
_REVIEW = len(KINDS) * len(SEVERITIES)  # the first row of the reviews, and of the background
_OTHER = _REVIEW + len(KINDS)


class Drawn(NamedTuple):
    """One history.

    Attributes:
        visits: for each visit the rows of its codes, ascending.
        cause: the visit with the onset that the last one asks for, from 0.
        severity: the row of its severity.
        onsets: how many kinds have an onset.
    """

    visits: tuple[tuple[int, ...], ...]
    cause: int
    severity: int
    onsets: int


def drawn_histories(
    count: int, *, onsets: Sequence[int] = (2, 4, 6), visits: int = VISITS, seed: int = 0
) -> list[Drawn]:
    """Draws histories: a function of its arguments only.

    Args:
        count: the number of histories.
        onsets: the numbers of kinds with an onset from which each history draws its own.
        visits: of each history.
        seed: of the draws.

    Raises: ValueError if an argument is not positive, or a history cannot have so many onsets.
    """
    positive("count", count)
    numbers = whole_numbers("onsets", onsets, 1, len(KINDS))
    whole("visits", visits, 1 + max(numbers))
    generator = Generator().manual_seed(mixed("drawn histories", seed))
    return [_history(generator, numbers, visits) for _ in range(count)]


def _history(generator: Generator, numbers: Sequence[int], count: int) -> Drawn:
    number = numbers[_draw(generator, 0, len(numbers))]
    kinds = torch.randperm(len(KINDS), generator=generator)[:number].tolist()
    places = torch.randperm(count - 1, generator=generator)[:number].tolist()
    levels = [_draw(generator, 0, len(SEVERITIES)) for _ in kinds]
    visits = []
    for _ in range(count):
        several = torch.randperm(BACKGROUND, generator=generator)[: _draw(generator, *EACH)]
        visits.append((several + _OTHER).tolist())
    for kind, place, level in zip(kinds, places, levels, strict=True):
        visits[place].append(kind * len(SEVERITIES) + level)
    visits[-1].append(_REVIEW + kinds[0])  # a random one, since their order is
    return Drawn(tuple(tuple(sorted(visit)) for visit in visits), places[0], levels[0], number)


def _draw(generator: Generator, least: int, below: int) -> int:
    return int(torch.randint(least, below, (), generator=generator))


def as_patients(histories: Sequence[Drawn]) -> list[History]:
    """A patient for each history; a visit follows, whose one diagnosis is the severity that is to be predicted."""
    return [
        History(
            number,
            (
                *(
                    Visit(tuple(sorted(CODES[row] for row in visit)), (), float(day))
                    for day, visit in enumerate(one.visits)
                ),
                Visit((SEVERITIES[one.severity],), (SEVERITIES[one.severity],), float(len(one.visits))),
            ),
        )
        for number, one in enumerate(histories)
    ]


def write(histories: Sequence[Drawn], path: Path) -> None:
    """Writes histories as the file `visits.csv` of `data.visit_files`: those of `as_patients`, with a visit a day.

    Raises: FileExistsError if there is such a file; OSError if it cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("patient", "time", "code", "kind"))
    for number, visits in as_patients(histories):
        for day, visit in enumerate(visits, 1):
            kind = "diagnosis" if visit.categories else "history"
            table.writerows((number, f"2026-01-{day:02}", code, kind) for code in visit.codes)
    with Path(path).open("x", encoding="utf-8", newline="") as file:
        file.write(text.getvalue())
