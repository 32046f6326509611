"""Recipe for the objectness network on images whose objects have boxes.

The metric also has the recall of the same number of windows ranked by contrast only (`contrast_…`), and of EdgeBoxes if
OpenCV's contributed modules are installed (`edge_boxes_…`).

The tiny variant trains on the embedded cluttered digits, whose boxes are known.
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
    """Images with boxes from boxes.csv or COCO annotations."""
    if tiny:
        digits = embedded.load("digits", train_size=128, test_size=40)
        train: Data = Regions(digits.train, _boxed, field="boxes")
        test: Data = Regions(digits.test, _boxed, field="boxes")
    elif data is None:
        raise ValueError("data=None: a folder of images with boxes.csv or annotations.json is needed (--data)")
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
