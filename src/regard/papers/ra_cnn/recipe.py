"""RA-CNN on birds: what tells their kinds apart is small, and nobody says where it is.

Look Closer to See Better. Fu, Zheng, Mei. CVPR 2017, Section 3.4 and 4.

First the coarse network learns the classes and squares are proposed around its strongest response; then, by turns, all
networks learn the classes in the squares that there are, and the squares learn to make the finer network surer; at last
all scales are weighed together. The error of each scale is that of its own scores.

With a folder the data is CUB-200-2011, or a folder for each class with boxes where known; without one, drawn birds
(data/birds.py), on which it is also known whether the crop holds the part that tells the kinds apart.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regard import data as folders
from regard.backbones import IMAGENET
from regard.data import ImageSet, birds, cub
from regard.data.batches import Images, gathered, normalised
from regard.papers.ra_cnn.network import RecurrentAttentionCNN
from regard.papers.ra_cnn.task import Fuse, Propose, Rank, Scales
from regard.training.loop import Plan
from regard.training.recipe import Phase, Recipe

TURNS = 2
AT_ONCE = 50
OWN = ((0.5,) * 3, (0.25,) * 3)


def drawn(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Drawn birds of 96×96, small networks, three scales; the twin has two, and fewer birds."""
    found = birds.load(train_size=240, test_size=120, kinds=2) if tiny else birds.load()
    sizes = {
        "image_size": birds.SIZE,
        "crop_size": 48,
        "scales": 2 if tiny else 3,
        "backbone": None,
        "widths": (12, 24, 48) if tiny else (16, 32, 64),
        "hidden": 64,
        "least": 0.17,
    }
    plan = partial(Plan, batch_size=16 if tiny else 32, weight_decay=1e-3, clip=5.0, normalise=OWN)
    return _recipe(
        found,
        sizes,
        coarse=plan(epochs=8 if tiny else 15, lr=5e-3),
        propose=plan(epochs=4 if tiny else 10, lr=1e-3),
        classify=plan(epochs=5 if tiny else 12, lr=5e-3),
        rank=plan(epochs=1, lr=1e-4),  # small steps: what moves a square (ops/zooming.py) is no derivative
        fuse=plan(epochs=3 if tiny else 5, lr=2e-2),
        turns=1 if tiny else TURNS,
    )


def photographs(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """448×448, VGG-19 with batch norms from its published weights, squares no smaller than the port's."""
    if tiny:
        return drawn(tiny=True)
    if data is None:
        raise ValueError(f"no folder of images is given; it should hold {cub.WANTED}, or a folder for each class")
    root = Path(data)
    found = cub.load(root) if cub.found(root) else folders.load(root, image_size=448)
    plan = partial(
        Plan, batch_size=16, weight_decay=5e-4, optimizer="sgd", clip=5.0, normalise=IMAGENET, augment=mirrored
    )
    return _recipe(
        found,
        {},
        coarse=plan(epochs=30, lr=1e-3),
        propose=plan(epochs=5, lr=1e-3),
        classify=plan(epochs=20, lr=1e-3),
        rank=plan(epochs=2, lr=1e-6),
        fuse=plan(epochs=5, lr=1e-2),
        turns=TURNS,
    )


def mirrored(image: Tensor, generator: torch.Generator) -> Tensor:
    """The image, or its mirror image."""
    return image.flip(-1) if torch.rand((), generator=generator) < 0.5 else image


def _recipe(
    found: ImageSet,
    sizes: dict[str, Any],
    *,
    coarse: Plan,
    propose: Plan,
    classify: Plan,
    rank: Plan,
    fuse: Plan,
    turns: int,
) -> Recipe:
    classes = len(found.classes)
    learn, look, networks = Scales(classes), ("proposals.*",), ("trunks.*", "classifiers.*")
    phases = [
        Phase(name="coarse", task=learn, plan=coarse, trains=("trunks.0.*", "classifiers.0.*")),
        Phase(name="propose", task=Propose(classes), plan=propose, trains=look),
        Phase(name="classify", task=learn, plan=classify, trains=networks),
    ]
    for turn in range(1, turns + 1):
        phases.append(Phase(name=f"rank-{turn}", task=Rank(classes), plan=rank, trains=look))
        phases.append(Phase(name=f"classify-{turn}", task=learn, plan=classify, trains=networks))
    phases.append(Phase(name="fuse", task=Fuse(classes), plan=fuse, trains=("fuse.*",)))
    train: Any = found.train
    test: Any = found.test
    return Recipe(
        build=partial(RecurrentAttentionCNN, classes=classes, fused=True, **sizes),
        train=train,
        test=test,
        phases=tuple(phases),
        score=partial(_score, normalise=classify.normalise),
        prepare=None if sizes.get("backbone", "") is None else _published,
        facts={"data": found.name, "train": len(train), "test": len(test), **sizes},
    )


def _published(model: nn.Module, images: Images) -> None:
    if isinstance(model, RecurrentAttentionCNN):
        model.start_from_published()


def _score(model: nn.Module, test: Images, device: Any, *, normalise: Any) -> dict[str, float]:
    """Errors in percent, of all scales together and of each; and where regions are known, how they lie to the crops.

    `region_in_crop_2` is the share of a region that the crop of scale 2 holds, `crop_2_area` that of the image, means
    over the images in percent.
    """
    wrong: dict[str, float] = {}
    held: dict[str, list[float]] = {}
    truths: Any = test
    for start in range(0, len(test), AT_ONCE):
        indices = range(start, min(start + AT_ONCE, len(test)))
        images, labels = gathered(test, indices)
        seen = model(normalised(images.to(device), normalise), views=True)
        *each, fused = seen.scores
        for name, scores in (("error", fused), *((f"error_{scale}", one) for scale, one in enumerate(each, 1))):
            wrong[name] = wrong.get(name, 0) + int((scores.argmax(1).cpu() != labels).sum())
        for i, boxes in zip(indices, seen.boxes.cpu(), strict=True):
            region = truths.region(i)
            for scale, box in enumerate(boxes, 2):
                held.setdefault(f"crop_{scale}_area", []).append(_area(box))
                if region is not None:
                    held.setdefault(f"region_in_crop_{scale}", []).append(_share(region, box))
    scores = {name: 100 * count / len(test) for name, count in wrong.items()}
    return scores | {name: 100 * sum(values) / len(values) for name, values in sorted(held.items())}


def _area(box: Tensor) -> float:
    left, top, right, bottom = box.tolist()
    return (right - left) * (bottom - top) / 4


def _share(region: Tensor, box: Tensor) -> float:
    """How much of a region `H W` lies in a box from -1 to 1 between its edges."""
    rows, columns = (torch.arange(length) * 2 + 1 for length in region.shape)
    left, top, right, bottom = box.tolist()
    across = (columns / region.shape[1] - 1 > left) & (columns / region.shape[1] - 1 < right)
    down = (rows / region.shape[0] - 1 > top) & (rows / region.shape[0] - 1 < bottom)
    return float((region & down[:, None] & across).sum() / region.sum())
