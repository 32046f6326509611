"""Recipes for the deep recurrent attention model on pairs of digits, read or added up.

Multiple Object Recognition with Visual Attention. Ba, Mnih, Kavukcuoglu. ICLR 2015, arXiv:1412.7755, Section 4.1.

The dataset is MNIST in its published files: two digits on a canvas of 100×100, read from left to right, or with their
sum as the only label. Every digit is the first of one pair; the pairs are fixed. The error is the share of pairs with a
wrong digit, or a wrong sum.

If all parts are trained at once, the locations leave the image before any digit is classified: as long as the glimpses
do not distinguish digits, the reward does not distinguish locations, and a mean outside the image gets no signal. So
classification is trained first, with glimpses at random locations, and then the locations, with means inside the image.
Sums have not been learned that way yet: docs/glimpses.md says how far it went.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from regard.data import mnist as digits
from regard.data.mnist import NORMALISE
from regard.papers.dram.network import DeepRecurrentAttention
from regard.papers.dram.task import Read
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

CANVAS = 100
STD = 0.15  # of the policy: wide enough to find a digit by chance, as in RAM's recipes
SCATTERED = 0.45  # standard deviation of the locations in the first phase
NARROW = {
    "patches": 3,
    "glimpse_widths": (16, 16, 32),
    "features": 256,
    "hidden": (128, 128),
    "class_hidden": 128,
    "std": STD,
    "bounded": True,
}
SUMS = {"classes": 2 * len(digits.CLASSES) - 1}
READS = ("look.*", "what.*", "where.*", "lower.*", "reduce.*", "classifier.*", "baseline.*")


def pairs(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Pairs of digits on 100×100, with 4 glimpses of 12×12 at 2 scales for each digit."""
    if tiny:
        return _tiny()
    phases = _learned(reads=10, looks=40, batch_size=128, lr=5e-4)
    return _recipe(digits.load(_given(data)), CANVAS, {"glimpses": 4, "std": STD, "bounded": True}, phases)


def strips(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """The same pairs with a smaller network: 3 glimpses of 12×12 at 3 scales for each digit, narrower layers."""
    if tiny:
        return _tiny()
    phases = _learned(reads=3, looks=12, batch_size=128, lr=1e-3)
    return _recipe(digits.load(_given(data)), CANVAS, {"glimpses": 3, **NARROW}, phases)


def addition(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """The sum of two digits on 100×100, by the network of `strips` with 6 glimpses before its one answer."""
    if tiny:
        return _tiny(summed=True)
    phases = _learned(reads=6, looks=12, summed=True, batch_size=128, lr=1e-3)
    return _recipe(digits.load(_given(data)), CANVAS, {**SUMS, "glimpses": 6, **NARROW}, phases, summed=True)


def _tiny(*, summed: bool = False) -> Recipe:
    sizes = {
        **(SUMS if summed else {}),
        "glimpses": 2 if summed else 1,
        "glimpse_size": 16,
        "glimpse_widths": (8,),
        "glimpse_kernels": (5,),
        "features": 48,
        "context_size": 8,
        "context_widths": (4, 8),
        "context_kernels": (3, 3),
        "hidden": (48, 32),
        "class_hidden": 32,
        "std": 0.05,
    }
    reads = _phase("read", READS, summed=summed, epochs=10, batch_size=32, lr=4e-3)
    looks = _phase("look", summed=summed, epochs=2, batch_size=32, lr=1e-3)
    return _recipe(digits.embedded(), 32, sizes, (reads, looks), summed=summed)


def _given(data: Path | None) -> Path:
    if data is None:
        raise ValueError(f"data=None: a folder with {digits.WANTED} is needed (--data)")
    return data


def _learned(*, reads: int, looks: int, summed: bool = False, **plan: Any) -> tuple[Phase, ...]:
    return (
        _phase("read", READS, summed=summed, weight=0.0, spread=SCATTERED / STD, epochs=reads, **plan),
        _phase("look", summed=summed, weight=0.02, epochs=looks, **plan),
    )


def _phase(
    name: str,
    trains: tuple[str, ...] = ("*",),
    *,
    summed: bool = False,
    weight: float = 0.1,
    spread: float = 1.0,
    **plan: Any,
) -> Phase:
    task = Read(*_wanted(summed), weight=weight, spread=spread)
    return Phase(
        name=name, task=task, plan=Plan(weight_decay=0.0, clip=5.0, normalise=NORMALISE, **plan), trains=trains
    )


def _wanted(summed: bool) -> tuple[int, int]:
    """The number of classes, and of the answers for an image."""
    return (SUMS["classes"], 1) if summed else (len(digits.CLASSES), 2)


def _recipe(
    found: digits.Digits, canvas: int, sizes: dict[str, Any], phases: tuple[Phase, ...], *, summed: bool = False
) -> Recipe:
    kind = digits.Sums if summed else digits.Pairs
    return Recipe(
        build=partial(DeepRecurrentAttention, targets=_wanted(summed)[1], **sizes),
        train=kind(found.train, canvas, seed=0),
        test=kind(found.test, canvas, seed=1),
        phases=phases,
        facts={"data": found.name, "canvas": canvas, **sizes},
    )
