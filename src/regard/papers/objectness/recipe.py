"""The scorer of windows, on images whose objects have boxes.

Beside its own recall the score gives that of the same number of windows ranked by contrast alone (`contrast_…`), and
of EdgeBoxes where OpenCV's contributed modules are installed (`edge_boxes_…`).

The twin learns on cluttered digits, whose box is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regard import data as embedded
from regard.data import boxes as scenes
from regard.data.batches import Images, gathered
from regard.data.masks import Regions
from regard.papers.objectness import proposing
from regard.papers.objectness.network import Objectness
from regard.papers.objectness.task import Proposals
from regard.training.loop import Plan
from regard.training.recipe import Phase, Recipe

SIZE = 224
AT_ONCE = 16


def boxes(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Boxes of objects, from a table or COCO annotations."""
    if tiny:
        digits = embedded.load("digits", train_size=128, test_size=40)
        train: Any = Regions(digits.train, _boxed)
        test: Any = Regions(digits.test, _boxed)
    elif data is None:
        raise ValueError("no folder of images is given; it should hold images with boxes.csv or annotations.json")
    else:
        train, test = (scenes.Boxed(part, SIZE) for part in scenes.read(Path(data)))
    task = Proposals()
    plan = Plan(epochs=6 if tiny else 10, lr=3e-2 if tiny else 3e-3, batch_size=16, weight_decay=1e-4)
    return Recipe(
        build=Objectness,
        train=train,
        test=test,
        phases=(Phase(name="all", task=task, plan=plan),),
        score=lambda model, images, device: _score(task, model, images, device),
        facts={"train": len(train), "test": len(test)},
    )


def _boxed(region: Tensor, i: int) -> Tensor:
    rows, columns = region.any(1).nonzero().flatten(), region.any(0).nonzero().flatten()
    return torch.stack((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)).float()[None]


def _score(task: Proposals, model: nn.Module, test: Images, device: Any) -> dict[str, float]:
    answers, found = [], []
    first = max(task.budgets)
    others: dict[str, list[np.ndarray]] = {"contrast": []}
    if proposing.has_opencv():
        others["edge_boxes"] = []
    for start in range(0, len(test), AT_ONCE):
        images, labels = gathered(test, range(start, min(start + AT_ONCE, len(test))))
        answers.append(model(images.to(device)).cpu())
        found.append(labels)
        for image in images.permute(0, 2, 3, 1).numpy():
            apart = np.linalg.norm(image - image.mean((0, 1)), axis=2)
            others["contrast"].append(proposing.by_saliency(apart, overlap=task.overlap, first=first)[0])
            if "edge_boxes" in others:
                edges = proposing.gradients(image)
                least = 0.01 * edges[0].size  # OpenCV's own 1000 pixels are for photographs
                others["edge_boxes"].append(proposing.edge_boxes(*edges, first=first, minBoxArea=least)[0])
    labels = torch.cat(found)
    truths = [one[~one.isnan().any(1)] for one in labels]
    scores = task.score(torch.cat(answers), labels)
    for name, ranked in others.items():
        scores |= {f"{name}_{measure}": value for measure, value in task.summary(ranked, truths).items()}
    return scores
