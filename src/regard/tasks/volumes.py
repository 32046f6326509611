"""Segmentation of volumes: the soft Dice loss, inference by windows, and metrics at the size of the files.

V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation. Milletari, Navab, Ahmadi. 3DV
2016, arXiv:1606.04797, for the Dice coefficient of probabilities. As in ozan-oktay/Attention-Gated-Networks, for the
probabilities p_k and the truth t_k of class k in one volume:

    L = 1 − mean over volumes and classes of 2 (Σ_i p_ki t_ki + ε) / (Σ_i p_ki + Σ_i t_ki + ε)               (1)

ε stands inside the factor 2 in the authors' code, so that a class which is absent from truth and prediction scores 2
and not 1: the loss can be below 0. The background is a class like the others. Voxels of the label void count nowhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard.checks import check_input, each_axis, number, positive
from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.metrics.segmentation import VOID, check_labels, checked_void
from regard.metrics.volumes import Volumes
from regard.ops.precision import widened
from regard.tasks.inference import starts

DICE = Measure("dice", "Dice")


def soft_dice(probabilities: Tensor, labels: Tensor, *, smooth: float = 0.01, void: int = VOID) -> Tensor:
    """Equation (1).

    Args:
        probabilities: p, which sum to one over classes.
        labels: the class of each voxel, or void.
        smooth: ε.
        void: the label of voxels that do not count.

    Shapes: probabilities `B K *grid`, labels int64 `B *grid` -> a single number.
    """
    counts = labels != void
    classes = torch.arange(probabilities.shape[1], device=labels.device).view(1, -1, *[1] * (labels.ndim - 1))
    truth = (labels[:, None] == classes).to(probabilities).flatten(2)
    p = (probabilities * counts[:, None]).flatten(2)
    both, either = (p * truth).sum(2), p.sum(2) + truth.sum(2)
    return 1 - (2 * (both + smooth) / (either + smooth)).mean()


@dataclass(frozen=True)
class SegmentVolumes:
    """Segmentation of volumes into K classes, the first of them the background.

    Batches have `image` and `mask`; for metrics also `spacing`, the size of a voxel in mm, and `truth`, label maps of
    any sizes, to which the prediction is resized.

    Args:
        classes: K, at least 2.
        smooth: ε of equation (1); the authors' code has 0.01.
        void: the label of voxels that do not count; no class.
        names: the names of the classes, for the metric.
        window: depth, height and width of the windows of inference; None shows the whole volume.
        surfaces: whether the metric computes distances between surfaces.

    Raises: ValueError if an argument is out of range.
    """

    classes: int
    smooth: float = 0.01
    void: int = VOID
    names: tuple[str, ...] = ()
    window: int | Sequence[int] | None = None
    surfaces: bool = True

    def __post_init__(self) -> None:
        self.metric()
        number("smooth", self.smooth, above=0)
        checked_void(self.void, self.classes)
        if self.window is not None:
            each_axis("window", self.window, 3)

    @property
    def measure(self) -> Measure:
        return DICE

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1), in float32 or wider.

        Shapes: image `B C D H W`, mask `B D H W`; the model returns logits `B K D H W`, or a tuple that begins with
            them.
        Raises: ValueError if the model returns another shape, or a label is no class.
        """
        image, mask = batch["image"], batch["mask"]
        if mask.shape != (len(image), *image.shape[2:]):
            shapes = f"mask {tuple(mask.shape)} for volumes {tuple(image.shape)}"
            raise ValueError(f"{shapes}: masks B D H W of the size of the volumes are needed")
        labels = mask.to(torch.int64)
        accepted = f"classes from 0 to {self.classes - 1} or {self.void} (void)"
        check_labels("mask", labels[labels != self.void], self.classes, accepted)
        p = _probabilities(model, image, self.classes)
        return soft_dice(p, labels, smooth=self.smooth, void=self.void), {}

    def metric(self) -> Volumes:
        return Volumes(self.classes, self.names, void=self.void, surfaces=self.surfaces)

    def answers(self, model: nn.Module, batch: Batch) -> tuple[list[Tensor], list[Tensor], list[list[float]]]:
        """The predicted and the true label maps, `D H W` each, in the sizes of `truth`, and the spacings in mm."""
        found = predict(model, batch["image"], window=self.window)
        if found.shape[1] != self.classes:
            raise ValueError(f"the model returns {found.shape[1]} classes: {self.classes} are needed")
        truths = [truth.cpu() for truth in batch.get("truth", batch["mask"])]
        spacings = [[float(side) for side in one] for one in batch.get("spacing", [(1.0, 1.0, 1.0)] * len(truths))]
        return [label_map(one, truth.shape).cpu() for one, truth in zip(found, truths, strict=True)], truths, spacings


def predict(
    model: nn.Module,
    image: Tensor,
    *,
    window: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
) -> Tensor:
    """The class probabilities of every voxel, the means over the windows that cover it; float32 or wider.

    Args:
        model: returns logits of the size of what it is given.
        image: a batch of volumes.
        window: depth, height and width of the windows; a smaller volume is padded behind with 0, the mean of a
            standardised volume. None shows the whole volume.
        stride: the distance between windows along each axis, by default half of them; the last one ends at the border.

    Shapes: image `B C D H W` -> `B K D H W`.
    Raises: ValueError for another shape, a window below 1 or a stride above it.
    """
    check_input(image, "B C D H W")
    if window is None:
        return _probabilities(model, image)
    sides = each_axis("window", window, 3)
    steps = tuple((side + 1) // 2 for side in sides) if stride is None else each_axis("stride", stride, 3)
    if any(step > side for step, side in zip(steps, sides, strict=True)):
        raise ValueError(f"stride={stride!r}: at most the window {window!r} is needed")
    grid = image.shape[2:]
    behind = [max(side - n, 0) for n, side in zip(grid, sides, strict=True)]
    padded = functional.pad(image, [size for one in reversed(behind) for size in (0, one)])
    places = (starts(n, side, step) for n, side, step in zip(padded.shape[2:], sides, steps, strict=True))
    total, times = None, image.new_zeros(padded.shape[2:])
    for corner in itertools.product(*places):
        here: tuple[Any, ...] = (..., *(slice(first, first + side) for first, side in zip(corner, sides, strict=True)))
        one = _probabilities(model, padded[here])
        if total is None:
            total = one.new_zeros(*one.shape[:2], *padded.shape[2:])
        total[here] += one
        times[here] += 1
    assert total is not None  # there is at least one window
    within: tuple[Any, ...] = (..., *(slice(n) for n in grid))
    return (total / times)[within]


def label_map(probabilities: Tensor, grid: Sequence[int]) -> Tensor:
    """The most probable class of every voxel at another size, of linearly resized probabilities.

    Shapes: probabilities `K d h w` -> `*grid`, int64.
    """
    for side in grid:
        positive("grid", side)
    if probabilities.shape[1:] != torch.Size(grid):
        resized = functional.interpolate(probabilities[None], tuple(grid), mode="trilinear", align_corners=False)
        probabilities = resized[0]
    return probabilities.argmax(0)


def _probabilities(model: nn.Module, image: Tensor, classes: int | None = None) -> Tensor:
    """The probabilities of one forward pass. Raises: ValueError if the model returns another shape."""
    found = model(image)
    logits = found[0] if isinstance(found, tuple | list) and found else found
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    good = isinstance(logits, Tensor) and logits.ndim == 5 and len(logits) == len(image)
    if not good or logits.shape[2:] != image.shape[2:] or logits.shape[1] != (classes or logits.shape[1]):
        wanted = f"{classes or 'K'} logits for each voxel of {tuple(image.shape)}"
        raise ValueError(f"the model returns {shape}: {wanted} are needed")
    return widened(logits).softmax(1)
