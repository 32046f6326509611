"""Judging the difference of two rows: what a run may claim about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regard.catalog.rows import NONE, PLAIN
from regard.metrics.metric import Measure
from regard.report import Interval, Result, Row
from regard.report.numbers import Scale

_Z = 1.96  # of a 95 % interval
SIGNS = {
    "better": "▲",
    "worse": "▼",
    "perhaps-better": "△",
    "perhaps-worse": "▽",
    "noise": "≈",
    "chance": "",
    "unknown": "",
}


@dataclass(frozen=True)
class Judge:
    """Judges differences by the intervals that are widened for all comparisons of the run.

    `better` and `worse` are beyond noise: of the seeds, of the test images, and of looking at many differences. A
    difference whose own interval excludes zero while the widened one does not is `perhaps` one; so is any difference of
    a single seed, whose interval holds the luck of the test images alone. Two rows at chance tell nothing.

    Args:
        scale: of the measure.
        seeds: how many each row has.
        chance: the score of always giving the commonest answer; None where there is no such number.
        images: the number of test images; None if it is not known.
        bare: what the row `none` is.
    """

    scale: Scale
    seeds: int
    chance: float | None
    images: int | None
    bare: str = "the bare backbone"

    @classmethod
    def of(cls, result: Result) -> Judge:
        """The judge of a result."""
        return cls.among(result.rows, result.measure, result.run)

    @classmethod
    def among(cls, rows: Sequence[Row], measure: Measure, run: Mapping[str, Any]) -> Judge:
        """The judge of these rows; `run` holds the facts of run.json."""
        scale = Scale(measure)
        seeds = max((len(row.score.values) for row in rows), default=1)
        chance = run.get("chance") if scale.share else None
        return cls(scale, seeds, chance, run.get("test_size"), run.get("bare") or cls.bare)

    def sign(self, row: Row, other: Row) -> str:
        """A key of `SIGNS` for the difference of a row to a reference row."""
        gain, strict = difference(row, other.name), row.corrected.get(other.name)
        if gain is None or strict is None or strict.low == strict.high:
            return "unknown"
        if self.at_chance(row) and self.at_chance(other):
            return "chance"
        sure, alone = (self.scale.better(each.low, each.high) for each in (strict, gain))
        if self.seeds == 1:
            return sure if sure == "noise" else f"perhaps-{sure}"
        return sure if sure != "noise" else alone if alone == "noise" else f"perhaps-{alone}"

    def words(self, sign: str) -> str:
        """What a sign says."""
        if self.seeds == 1 and sign.startswith("perhaps-"):
            return f"{sign.removeprefix('perhaps-')} on these test images, in one training"
        return {
            "better": "better beyond noise",
            "worse": "worse beyond noise",
            "perhaps-better": "perhaps better",
            "perhaps-worse": "perhaps worse",
            "noise": "within noise",
            "chance": "both at chance",
            "unknown": "no interval",
        }[sign]

    def at_chance(self, row: Row) -> bool:
        """Whether the row's score may be that of always giving the commonest answer.

        This is asked of the networks as they are, so the luck of the test images counts and that of the seeds does not.
        """
        if self.chance is None:
            return False
        if self.images is None:
            return row.score.low <= self.chance
        return row.score.mean <= self.chance + _Z * math.sqrt(self.chance * (1 - self.chance) / self.images)


def difference(row: Row, reference: str) -> Interval | None:
    """The row's gain over a reference row."""
    return row.gain if reference == NONE else row.gain_over_plain


def pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """The comparisons of a run: every row with `none`, and those with attention with `plain`."""
    return [
        (name, reference) for name in names for reference in (NONE, PLAIN) if name not in (NONE, reference)
    ]  # fmt: skip
