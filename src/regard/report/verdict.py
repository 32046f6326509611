"""The verdict of a comparison: one sentence that says whether attention helps here, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from regard.catalog.rows import NONE, PLAIN, REFERENCES
from regard.report import Result, Row
from regard.report.judging import Judge, difference, pairs
from regard.report.numbers import DASH, Scale, fixed, percent

SOLVED = 0.98  # a share of right answers that leaves little room for a gain
COARSE = 0.1  # a run that shows no smaller difference, of a share or as a part of the score, is no ground for a choice
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_CONVOLUTIONS = "ordinary convolutions with as many parameters"


def sentence(result: Result) -> str:
    """See `Result.verdict`."""
    rows = {row.name: row for row in result.rows}
    attended = [row for row in result.rows if row.name not in REFERENCES]
    if NONE not in rows or not attended:
        return ""
    return _Run(Judge.of(result), rows, attended).told()


@dataclass(frozen=True)
class _Run:
    """What the sentence is made from.

    Args:
        judge: of the differences.
        rows: all rows by name.
        attended: those with attention.
    """

    judge: Judge
    rows: Mapping[str, Row]
    attended: Sequence[Row]

    def told(self) -> str:
        if all(self.judge.at_chance(row) for row in self.rows.values()):
            assert self.judge.chance is not None
            return (
                f"No row is above chance ({percent(self.judge.chance)} %, by always giving the commonest answer) "
                "beyond noise, so this run says nothing about attention: train longer, or on more images."
            )
        signs = {row.name: self.judge.sign(row, self.rows[NONE]) for row in self.attended}
        if set(signs.values()) == {"unknown"}:
            return (
                "One seed, and no score for each image: no difference here can be told from luck; repeat with more "
                "seeds."
            )
        if self.judge.seeds == 1:
            return self._of_one_seed([row for row in self.attended if signs[row.name] == "perhaps-better"])
        won = [row for row in self.attended if signs[row.name] == "better"]
        if won:
            return self._of_gains(won)
        return self._of_none(
            [row for row in self.attended if signs[row.name] == "worse"],
            [row for row in self.attended if signs[row.name] == "perhaps-better"],
        )

    def _of_one_seed(self, won: Sequence[Row]) -> str:
        again = "repeat with more seeds before choosing."
        if won:
            return (
                f"On these test images, in one training each, {listed(won)} {_verb(won, 'scores', 'score')} better "
                f"than {self.judge.bare} ({self._gains(won, NONE)}); whether another training would repeat "
                f"that is not known: {again}"
            )
        return (
            f"In one training each, {self._nobody()} better than {self.judge.bare} beyond the luck of the test images: "
            f"{again}"
        )

    def _of_gains(self, won: Sequence[Row]) -> str:
        plain = self.rows.get(PLAIN)
        both = [row for row in won if plain is not None and self.judge.sign(row, plain) == "better"]
        if both:
            rest = len(self.attended) - len(both)
            others = "" if not rest else f"; the other {counted(rest)} {'does' if rest == 1 else 'do'} not beat both"
            return (
                f"{listed(both)} {_verb(both, 'helps', 'help')} on these images beyond noise "
                f"({self._corrected()}): {self._gains(both, NONE)} over {self.judge.bare} and "
                f"{self._gains(both, PLAIN)} over plain, {_CONVOLUTIONS}; {_it(both)} {self._cost(both)}{others}."
            )
        gains = (
            f"{listed(won)} {_verb(won, 'beats', 'beat')} {self.judge.bare} beyond noise ({self._gains(won, NONE)}; "
        )
        if plain is None:
            return f"{gains}{self._corrected()}), and {_it(won)} {self._cost(won)}."
        if self.judge.sign(plain, self.rows[NONE]) == "better":
            return (
                f"{gains}{self._corrected()}), but so does plain, {_CONVOLUTIONS} "
                f"({self._gains([plain], NONE)}): capacity, not attention, explains the gain."
            )
        return (
            f"{gains}{self._corrected()}), but not plain, {_CONVOLUTIONS}: whether attention or capacity helps is open."
        )

    def _of_none(self, worse: Sequence[Row], perhaps: Sequence[Row]) -> str:
        many, plain, bare = len(self.attended) > 1, self.rows.get(PLAIN), self.rows[NONE]
        cost = self._cost(self.attended)
        fine = self._resolution()
        small = "" if fine is None else f"; a difference below about {coarse(fine, self.judge.scale)} would not show"
        aside = f"{self._corrected()}{small}"
        if len(worse) == len(self.attended):
            subject = f"each of the {counted(len(worse))} does" if many else f"{worse[0].name} does"
            return (
                f"On these images {subject} worse than {self.judge.bare} beyond noise "
                f"({self._corrected()}) and {cost}: keep {self.judge.bare}."
            )
        subject = f"On these images {self._nobody()} beyond noise ({aside})"
        if worse:
            subject += f", {listed(worse)} {_verb(worse, 'does', 'do')} worse,"
        if plain is not None and self.judge.sign(plain, bare) == "better":
            return (
                f"{subject}, while plain, {_CONVOLUTIONS}, gains {self._gains([plain], NONE)}: capacity helps here, "
                "attention does not."
            )
        scale = self.judge.scale
        if scale.share and scale.measure.higher_is_better and bare.score.mean > SOLVED:
            return (
                f"{subject}: {self.judge.bare} already reaches {scale.phrase(bare.score.mean)}, which leaves little "
                "room; keep it, or choose harder images."
            )
        if fine is not None and fine > COARSE * (1 if scale.share else abs(bare.score.mean)):
            return f"{subject}, and this run is too coarse to tell more: repeat with more seeds before choosing."
        advice = f"keep {self.judge.bare}"
        if perhaps:
            advice += f", or settle {listed(perhaps)} ({self._gains(perhaps, NONE)}) with more seeds"
        return f"{subject} and {'each ' if many else ''}{cost}: {advice}."

    def _nobody(self) -> str:
        """The rows and that they do not help: `none of the four helps`."""
        count = len(self.attended)
        if count == 1:
            return f"{self.attended[0].name} does not {'score' if self.judge.seeds == 1 else 'help'}"
        verb = "scores" if self.judge.seeds == 1 else "helps"
        return f"{'neither' if count == 2 else 'none'} of the {counted(count)} {verb}"

    def _corrected(self) -> str:
        return f"corrected for {len(pairs(list(self.rows)))} comparisons"

    def _gains(self, rows: Sequence[Row], reference: str) -> str:
        """The gains over a reference row: one, or the smallest and the largest."""
        scale = self.judge.scale
        found = sorted(gain.mean for row in rows if (gain := difference(row, reference)) is not None)
        ends = list(dict.fromkeys(scale.difference(value) for value in (found[0], found[-1])))
        return f"{' to '.join(ends)} {scale.difference_unit}".rstrip()

    def _resolution(self) -> float | None:
        """The size of a difference that this run would not show: the middle half width of the widened intervals."""
        halves = [(strict.high - strict.low) / 2 for row in self.attended if (strict := row.corrected.get(NONE))]
        return median(halves) if halves else None

    def _cost(self, rows: Sequence[Row]) -> str:
        """The time of the rows beside that of none, at the largest batch: `costs 10–20 % more time`."""
        batches = [batch for batch in rows[0].latency if all(batch in row.latency for row in rows)]
        if not batches:
            return f"adds {rows[0].extra_parameters:,} parameters" if len(rows) == 1 else "adds parameters"
        found = [row.latency[max(batches, key=int)] for row in rows]
        if all(each.low <= 1 <= each.high or abs(each.mean - 1) < 0.005 for each in found):
            return "costs no measurable time"
        low, high = min(each.mean for each in found), max(each.mean for each in found)
        if high >= 2:
            ends = list(dict.fromkeys(fixed(end, 1) for end in (low, high)))
            return f"takes {DASH.join(ends)} × the time"
        if high < 1:
            return "costs no more time"
        ends = list(dict.fromkeys(percent(end - 1, 0) for end in (low, high)))
        if low < 1.005:
            return f"costs up to {ends[-1]} % more time"
        return f"costs {DASH.join(ends)} % more time"


def coarse(size: float, scale: Scale) -> str:
    """A size of a difference with its unit and two digits at most."""
    number = scale.factor * size
    digits = 0 if number >= 2 else 1
    text = fixed(number, digits) if scale.share else f"{number:.2g}"
    unit = "point" if scale.share and text == "1" else scale.difference_unit
    return f"{text} {unit}".rstrip()


def listed(rows: Sequence[Row]) -> str:
    """The names of the rows: `a, b and c`; of more than four, the first and how many others."""
    names = [row.name for row in rows]
    if len(names) > 4:
        return f"{names[0]} and {counted(len(names) - 1)} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def counted(number: int) -> str:
    """A small number as a word."""
    return _WORDS[number] if number < len(_WORDS) else str(number)


def _verb(rows: Sequence[Row], one: str, several: str) -> str:
    return one if len(rows) == 1 else several


def _it(rows: Sequence[Row]) -> str:
    return "it" if len(rows) == 1 else "each"
