"""Scores class by class: which classes a row gets right, beside the bare backbone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regard.catalog.rows import NONE
from regard.report import ClassScore, Row
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
        overlap: whether the shares are IoU of pixels, or else shares of images.
    """

    columns: tuple[Column, ...]
    lines: tuple[tuple[Look, tuple[Share, ...]], ...]
    left_out: int
    overlap: bool = False


def classes(rows: Sequence[Row], looks: Mapping[str, Look], names: Sequence[str]) -> Classes | None:
    """The shares of the rows whose answers are known, or the scores of their classes; None if there are none."""
    if any(row.classes for row in rows):
        return _scored(rows, looks, names)
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


def _scored(rows: Sequence[Row], looks: Mapping[str, Look], names: Sequence[str]) -> Classes:
    """The table of classes that have a score of their own, each judged by itself."""
    found: dict[int, list[float]] = {}
    for row in rows:
        for number, own in row.classes.items():
            found.setdefault(number, []).append(own.score.mean)
    spread = {number: max(values) - min(values) for number, values in found.items()}
    shown = sorted(sorted(found, key=lambda number: (-spread[number], number))[:MOST])
    images = {number: own.images for row in rows for number, own in row.classes.items()}
    return Classes(
        tuple(
            Column(str(names[number]) if number < len(names) else f"class {number}", images[number]) for number in shown
        ),
        tuple((looks[row.name], tuple(_overlap(row.classes.get(number)) for number in shown)) for row in rows),
        len(found) - len(shown),
        overlap=True,
    )


def _overlap(own: ClassScore | None) -> Share:
    if own is None:
        return Share("", "", 0.0)
    text, gain = percent(own.score.mean, 0), own.gain
    if gain is None or gain.low == gain.high or gain.low <= 0 <= gain.high:
        return Share(text, "", 0.0)
    return Share(text, "up" if gain.mean > 0 else "down", round(abs(gain.mean), 2))


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
