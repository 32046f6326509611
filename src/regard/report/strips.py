"""Intervals as strips: on a scale that a whole column shares, with a dot for each seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from regard.report import Interval
from regard.report.looks import Look
from regard.report.numbers import ticks


@dataclass(frozen=True)
class Ruler:
    """The scale of a column of strips.

    Args:
        low, high: the ends in units of the data.
        width: of the strip.
        margin: kept free at both ends for markers.
    """

    low: float
    high: float
    width: float
    margin: float

    def at(self, value: float) -> float:
        """The place of a value; beyond the ends, that of the end."""
        span = (self.high - self.low) or 1.0
        share = min(1.0, max(0.0, (value - self.low) / span))
        return self.margin + (self.width - 2 * self.margin) * share


def strip(score: Interval, ends: tuple[float, float], reference: float, look: Look) -> Markup:
    """A score with its interval, for a cell of the table.

    Args:
        ends: of the scale.
        reference: where the reference row is.
    """
    ruler = Ruler(*ends, 96.0, 5.0)
    return Markup(
        '<svg class="strip {hue}" viewBox="0 0 96 16" aria-hidden="true">'
        '<line class="base" x1="{r:.1f}" x2="{r:.1f}" y1="0" y2="16"/>'
        '<line class="bar" x1="{a:.1f}" x2="{b:.1f}" y1="8" y2="8"/>{dots}'
        '<path d="{d}" transform="translate({m:.1f},8) scale(.8)"/></svg>'
    ).format(
        hue=look.hue, r=ruler.at(reference), a=ruler.at(score.low), b=ruler.at(score.high), m=ruler.at(score.mean),
        d=look.shape, dots=_dots(score.values, ruler, 14.2, 1.3),
    )  # fmt: skip


def contrast(gain: Interval, strict: Interval, ruler: Ruler, look: Look) -> Markup:
    """A gain with its seeds, its interval (thick) and the widened one (thin, arrows where it leaves the scale)."""
    arrows = [
        Markup('<path class="beyond" d="M{b:.1f},5L{a:.1f},8L{b:.1f},11"/>').format(
            a=ruler.at(end), b=ruler.at(end) + way
        )
        for end, way, beyond in (
            (strict.low, 4, strict.low < ruler.low),
            (strict.high, -4, strict.high > ruler.high),
        )
        if beyond
    ]
    return Markup(
        '<svg class="contrast {hue}" viewBox="0 0 {w:g} 22" aria-hidden="true">'
        '<line class="base" x1="{z:.1f}" x2="{z:.1f}" y1="0" y2="22"/>'
        '<line class="wide" x1="{c:.1f}" x2="{d:.1f}" y1="8" y2="8"/>{arrows}'
        '<line class="bar" x1="{a:.1f}" x2="{b:.1f}" y1="8" y2="8"/>{dots}'
        '<path d="{shape}" transform="translate({m:.1f},8)"/></svg>'
    ).format(
        hue=look.hue, w=ruler.width, z=ruler.at(0), a=ruler.at(gain.low), b=ruler.at(gain.high),
        c=ruler.at(strict.low), d=ruler.at(strict.high), m=ruler.at(gain.mean), shape=look.shape,
        arrows=Markup("").join(arrows), dots=_dots(gain.values, ruler, 17.5, 1.7),
    )  # fmt: skip


def ruler(gains: Sequence[Interval]) -> Ruler:
    """A scale that holds zero, the intervals and the seeds of these gains."""
    ends = [0.0, *(end for gain in gains for end in (gain.low, gain.high, *gain.values))]
    return Ruler(min(ends), max(ends) if max(ends) > min(ends) else min(ends) + 1.0, 360.0, 9.0)


def axis(ruler: Ruler, factor: float, about: int = 5) -> list[tuple[float, float]]:
    """Round values on a scale, as shown, with their places in percent of its width."""
    return [
        (value, 100 * ruler.at(value / factor) / ruler.width)
        for value in ticks(factor * ruler.low, factor * ruler.high, about)
    ]


def _dots(values: Sequence[float], ruler: Ruler, y: float, radius: float) -> Markup:
    """A dot for each seed, if there are several."""
    if len(values) < 2:
        return Markup("")
    return Markup("").join(
        Markup('<circle class="seed" cx="{:.1f}" cy="{:g}" r="{:g}"/>').format(ruler.at(value), y, radius)
        for value in values
    )
