"""The tables of results on the terminal: scores and gaze."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from regard.report import Interval
from regard.report.numbers import fixed

if TYPE_CHECKING:
    from regard.looking.gaze import Gaze

LOW, HIGH = " low", " high"  # behind the name of a score, the ends of its interval


def scored(console: Console, scores: Mapping[str, float], claim: Mapping[str, Any] | None) -> None:
    """The scores of a trained network; beside the one that the paper reports stands its number, if the two compare.

    A score `X` is followed by its interval, `X low` and `X high`, and by those of other predictors, `NAME: X`.
    """
    for measure in scores:
        if ": " in measure or measure.endswith((LOW, HIGH)):
            continue
        others = [name for name in scores if name.endswith(f": {measure}")]
        parts = [_with_interval(scores, measure)]
        parts += [f"{name.rpartition(': ')[0]} {_with_interval(scores, name)}" for name in others]
        beside = f"  {_paper(claim)}" if claim is not None and claim["measure"] == measure else ""
        console.print(f"{measure}: {'; '.join(parts)}{beside}", highlight=False, markup=False, soft_wrap=True)


def differences(console: Console, found: Mapping[str, Interval], other: str) -> None:
    """Rows of the differences of each score to that of another run, with 95 % intervals."""
    console.print(
        f"above {other}, with 95 % intervals of a paired bootstrap:", highlight=False, markup=False, soft_wrap=True
    )
    for name, one in found.items():
        line = f"{name}: {one.mean:+.4g} ({one.low:+.4g} to {one.high:+.4g})"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _with_interval(scores: Mapping[str, float], name: str) -> str:
    low, high = scores.get(f"{name}{LOW}"), scores.get(f"{name}{HIGH}")
    return f"{scores[name]:.4g}" + ("" if low is None or high is None else f" ({low:.4g} to {high:.4g})")


def _paper(claim: Mapping[str, Any]) -> str:
    """The claim of `regard.training.claims.judged` in words."""
    if not claim["comparable"]:
        return f"paper: not comparable ({claim['reason']})"
    changes = f"; here {claim['reason']}" if claim["reason"] else ""
    return f"paper: {claim['value']:g} ({claim['where']}){changes}"


def trained(console: Console, learned: bool, changed: Iterable[str]) -> None:
    """A remark where the network is untrained, or differs from what was trained."""
    if not learned:
        console.print("[yellow]The attention is untrained[/]: the maps are those of random weights. Give --weights.")
    for one in changed:
        console.print(f"[yellow]Not as trained[/]: {escape(one)}", highlight=False, soft_wrap=True)


_GAZE_WITH_INTERVAL = ("nss", "auc_judd", "cc")


def gazed(found: Gaze) -> Table:
    """One line for each predictor of fixations: means over the images, with 95 % intervals of the main measures."""
    from regard.looking.gaze import MEASURES

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(f"{len(found.images)} images, {found.fixations} fixations", overflow="fold")
    for title in MEASURES.values():
        table.add_column(title, justify="right")
    for row in found.rows:
        cells = []
        for measure in MEASURES:
            mean, (low, high) = row.mean(measure), row.interval(measure)
            text = "–" if math.isnan(mean) else fixed(mean, 2)
            if measure in _GAZE_WITH_INTERVAL and not math.isnan(low):
                text += f" ({fixed(low, 2)} to {fixed(high, 2)})"
            cells.append(text)
        table.add_row(escape(row.name), *cells)
    return table
