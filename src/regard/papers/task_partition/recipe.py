"""Recipe for task partitioning: oriented boxes of ships in harbours.

The photographs of HRSC2016 are resized to a longer side of 512 and mirrored at random; VGG-16 starts from its
published weights. Without a folder the recipe draws harbours (`data/harbours.py`), and trains a small backbone from
random weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from regard.checks import choice
from regard.data import harbours, hrsc
from regard.data.augmenting import Mirror
from regard.data.batches import Data
from regard.papers.task_partition.network import TaskPartition
from regard.papers.task_partition.partition import CLASSES, OVER
from regard.papers.task_partition.task import Ships
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

SIZE = 512
EMPHASIS = 5.0  # ends are 3 % of the pixels; without it a deep head of stride 8 hardly finds any in drawn harbours
SMALL: Mapping[str, Any] = {"backbone": "test_resnet", "shallow": 2, "deep": 8, "width": 32}


def ships(data: Path | None = None, *, tiny: bool = False, over: str = "mask") -> Recipe:
    """HRSC2016, or drawn harbours of 96×96; `over` says what the shallow head's loss is divided by."""
    choice("over", over, OVER)
    task = Ships(emphasis=EMPHASIS, over=over)
    if tiny or data is None:
        counts = (250, 60) if tiny else (1600, 400)
        train: Data = harbours.Harbours(count=counts[0], part=0, boxes=False)
        test: Data = harbours.Harbours(count=counts[1], part=1)
        plan = Plan(epochs=12 if tiny else 40, lr=6e-3, batch_size=8, weight_decay=1e-4, clip=5.0, augment=Mirror())
        sizes = dict(SMALL)
    else:
        parts = hrsc.read(Path(data))
        train = hrsc.Photographs(parts[0], SIZE, boxes=False)
        test = hrsc.Photographs(parts[1], SIZE)
        plan = Plan(epochs=40, lr=3e-4, batch_size=8, weight_decay=1e-4, clip=5.0, augment=Mirror())
        sizes = {}
    return Recipe(
        build=partial(TaskPartition, **sizes),
        train=train,
        test=test,
        phases=(Phase(name="all", task=task, plan=plan),),
        start=_start if sizes == {} else None,
        facts={"data": "drawn harbours" if sizes else "HRSC2016", "train": len(train), "test": len(test), **sizes},
        class_names=CLASSES,
    )


def _start(model: nn.Module, state: Mapping[str, Tensor] | None) -> None:
    if isinstance(model, TaskPartition):
        model.start_from(state)
