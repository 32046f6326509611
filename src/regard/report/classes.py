"""Accuracy class by class: which classes a row gets right, beside the bare backbone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regard.catalog.rows import NONE
from regard.report import Row
from regard.report.looks import Look
from regard.report.numbers import percent

MOST = 20  # classes that a table has room for
_Z = 1.96  # of a 95 % interval


@dataclass(frozen=True)
class Column:
    """One class: its name and the number of its test images."""

    name: str
    images: int


@dataclass(frozen=True)
class Share:
    """The share of a class's images that a row gets right.

    Args:
        text: in percent.
        side: `up` or `down` if it differs from that of `none` by more than the luck of the images, else empty.
        strength: the size of that difference, from 0 to 1.
    """

    text: str
    side: str
    strength: float


@dataclass(frozen=True)
class Classes:
    """The table of classes.

    Args:
        columns: the classes shown, in their order.
        lines: each row's look and its share of every column.
        left_out: the number of classes not shown, in which the rows differ less.
    """

    columns: tuple[Column, ...]
    lines: tuple[tuple[Look, tuple[Share, ...]], ...]
    left_out: int


def classes(rows: Sequence[Row], looks: Mapping[str, Look], names: Sequence[str]) -> Classes | None:
    """The shares of the rows whose answers are known; None if there are none."""
    known = {row.name: row.answers for row in rows if row.answers}
    if not known:
        return None
    seeds = {row.name: max(1, len(row.score.values)) for row in rows}
    found: dict[int, dict[str, tuple[float, float]]] = {}  # class -> row -> (share, images)
    for name, answers in known.items():
        totals: dict[int, int] = {}
        for (label, _), count in answers.items():
            totals[label] = totals.get(label, 0) + count
        for label, total in totals.items():
            found.setdefault(label, {})[name] = (answers.get((label, label), 0) / total, total / seeds[name])
    spread = {
        label: max(share for share, _ in each.values()) - min(share for share, _ in each.values())
        for label, each in found.items()
    }
    shown = sorted(sorted(found, key=lambda label: (-spread[label], label))[:MOST])
    return Classes(
        tuple(
            Column(
                str(names[label]) if label < len(names) else f"class {label}",
                round(max(images for _, images in found[label].values())),
            )
            for label in shown
        ),
        tuple(
            (looks[name], tuple(_share(found[label].get(name), found[label].get(NONE), name) for label in shown))
            for name in known
        ),
        len(found) - len(shown),
    )


def _share(own: tuple[float, float] | None, bare: tuple[float, float] | None, name: str) -> Share:
    if own is None:
        return Share("", "", 0.0)
    text = percent(own[0], 0)
    if bare is None or name == NONE:
        return Share(text, "", 0.0)
    # The two answer the same images; taken as if they answered different ones, which claims less.
    middle = (own[0] * own[1] + bare[0] * bare[1] + 2) / (own[1] + bare[1] + 4)
    luck = _Z * math.sqrt(middle * (1 - middle) * (1 / own[1] + 1 / bare[1]))
    difference = own[0] - bare[0]
    if abs(difference) <= luck:
        return Share(text, "", 0.0)
    return Share(text, "up" if difference > 0 else "down", round(abs(difference), 2))
