"""The scorer of windows, on images whose objects have boxes.

Beside its own recall the score gives that of the same number of windows ranked by contrast alone (`contrast_…`), and
of EdgeBoxes where OpenCV's contributed modules are installed (`edge_boxes_…`).

The tiny variant learns on cluttered digits, whose box is known.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from regard import data as embedded
from regard.data import boxes as scenes
from regard.data.batches import Data
from regard.data.masks import Regions
from regard.papers.objectness.network import Objectness
from regard.papers.objectness.task import Proposals
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

SIZE = 224


def boxes(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Boxes of objects, from a table or COCO annotations."""
    if tiny:
        digits = embedded.load("digits", train_size=128, test_size=40)
        train: Data = Regions(digits.train, _boxed, field="boxes")
        test: Data = Regions(digits.test, _boxed, field="boxes")
    elif data is None:
        raise ValueError("no folder of images is given; it should hold images with boxes.csv or annotations.json")
    else:
        train, test = (scenes.Boxed(part, SIZE) for part in scenes.read(Path(data)))
    task = Proposals(beside=True)
    plan = Plan(epochs=6 if tiny else 10, lr=3e-2 if tiny else 3e-3, batch_size=16, weight_decay=1e-4)
    return Recipe(
        build=Objectness,
        train=train,
        test=test,
        phases=(Phase(name="all", task=task, plan=plan),),
        facts={"train": len(train), "test": len(test)},
    )


def _boxed(region: Tensor, i: int) -> Tensor:
    rows, columns = region.any(1).nonzero().flatten(), region.any(0).nonzero().flatten()
    return torch.stack((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)).float()[None]
