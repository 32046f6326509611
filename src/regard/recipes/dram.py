"""The deep recurrent attention model on pairs of digits.

Multiple Object Recognition with Visual Attention. Ba, Mnih, Kavukcuoglu. ICLR 2015, arXiv:1412.7755, Section 4.1.

The data is MNIST in its published files: two digits on a canvas of 100×100, to be read from left to right. Every digit
is the first of one pair; pairs stay as they are. The error is the share of pairs with anything wrong.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from regard.data import ImageSet
from regard.data import mnist as digits
from regard.recipes import Phase, Recipe
from regard.recipes.ram import NORMALISE
from regard.systems.dram import DeepRecurrentAttention
from regard.tasks.glimpse import Read
from regard.training import Plan


def pairs(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """100×100, 4 glimpses of 12×12 at 2 scales for each digit."""
    if not tiny:
        if data is None:
            raise ValueError(f"no folder of MNIST is given; it should hold {digits.WANTED}")
        return _recipe(digits.load(data), 100, {"glimpses": 4}, (_phase("all", epochs=50, batch_size=128, lr=5e-4),))
    sizes = {
        "glimpses": 1,
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
    # What to make of a glimpse first, and then where to look: in so few steps the two disturb each other.
    reads = _phase("read", READS, epochs=10, batch_size=32, lr=4e-3)
    looks = _phase("look", epochs=2, batch_size=32, lr=1e-3)
    return _recipe(digits.embedded(), 32, sizes, (reads, looks))


READS = ("look.*", "what.*", "where.*", "lower.*", "reduce.*", "classifier.*", "baseline.*")


def _phase(name: str, trains: tuple[str, ...] = ("*",), **plan: Any) -> Phase:
    task = Read(len(digits.CLASSES), 2, weight=0.1)
    return Phase(
        name=name, task=task, plan=Plan(weight_decay=0.0, clip=5.0, normalise=NORMALISE, **plan), trains=trains
    )


def _recipe(found: ImageSet, canvas: int, sizes: dict[str, Any], phases: tuple[Phase, ...]) -> Recipe:
    train: Any = found.train
    test: Any = found.test
    return Recipe(
        build=partial(DeepRecurrentAttention, targets=2, **sizes),
        train=digits.Pairs(train, canvas, seed=0),
        test=digits.Pairs(test, canvas, seed=1),
        phases=phases,
        facts={"data": found.name, "canvas": canvas, **sizes},
    )
