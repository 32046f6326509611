"""Class probabilities of every pixel, from a whole image or from windows of it, at several scales, and mirrored.

The image is resized to each scale and, with `mirror`, also flipped. Each copy is seen as a whole, or through windows of
a fixed size on a grid; the last window of a row or a column ends at the border of the image, and an image smaller than
the window is padded below and on the right with 0, which is the mean of a normalised image. Probabilities, not logits,
are averaged: over the windows that cover a pixel, then over the copies at the size of the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard.checks import check_input, each_axis, flag, number, sequence
from regard.ops.precision import widened


@dataclass(frozen=True, kw_only=True)
class Inference:
    """How a segmentation network sees an image.

    Args:
        window: height and width of the windows in pixels, or one number for both; None shows the whole image.
        stride: the distance between windows in pixels, at most their size; by default two thirds of it.
        scales: the factors by which the image is resized.
        mirror: average with the prediction of the mirrored image.

    Raises: ValueError if an argument is out of range.
    """

    window: int | tuple[int, int] | None = None
    stride: int | tuple[int, int] | None = None
    scales: tuple[float, ...] = (1.0,)
    mirror: bool = False

    def __post_init__(self) -> None:
        flag("mirror", self.mirror)
        for scale in sequence("scales", self.scales):
            number("scales", scale, above=0)
        if self.window is None:
            if self.stride is not None:
                raise ValueError(f"stride={self.stride!r}: None is needed without a window")
            return
        window = each_axis("window", self.window, 2)
        if self.stride is not None:
            stride = each_axis("stride", self.stride, 2)
            if any(step > size for step, size in zip(stride, window, strict=True)):
                raise ValueError(f"stride={self.stride!r}: at most the window {self.window!r} is needed")

    def __call__(self, model: nn.Module, image: Tensor) -> Tensor:
        """The mean probabilities, float32 or wider `B K H W`.

        Shapes: image `B C H W`; the model returns logits `B K H W`, or a tuple that begins with them.
        Raises: ValueError if the model returns another shape.
        """
        check_input(image, "B C H W")
        height, width = image.shape[-2:]
        found = []
        for scale in self.scales:
            scaled = _resized(image, max(1, round(height * scale)), max(1, round(width * scale)))
            found.append(_resized(self._seen(model, scaled), height, width))
            if self.mirror:
                found.append(_resized(self._seen(model, scaled.flip(-1)).flip(-1), height, width))
        return found[0] if len(found) == 1 else torch.stack(found).mean(0)

    def _seen(self, model: nn.Module, image: Tensor) -> Tensor:
        """The probabilities of one copy of the image, at its size."""
        if self.window is None:
            return probabilities(model, image)
        window = each_axis("window", self.window, 2)
        default = tuple(math.ceil(2 * size / 3) for size in window)
        stride = default if self.stride is None else each_axis("stride", self.stride, 2)
        height, width = image.shape[-2:]
        padded = functional.pad(image, (0, max(window[1] - width, 0), 0, max(window[0] - height, 0)))
        rows, columns = (
            starts(size, length, step) for size, length, step in zip(padded.shape[-2:], window, stride, strict=True)
        )
        total, times = None, image.new_zeros(padded.shape[-2:])
        for top in rows:
            for left in columns:
                here = (..., slice(top, top + window[0]), slice(left, left + window[1]))
                one = probabilities(model, padded[here])
                if total is None:
                    total = one.new_zeros(*one.shape[:2], *padded.shape[-2:])
                total[here] += one
                times[here] += 1
        assert total is not None  # there is at least one window
        return (total / times)[..., :height, :width]


def predict(
    model: nn.Module,
    image: Tensor,
    *,
    window: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    scales: Sequence[float] = (1.0,),
    mirror: bool = False,
) -> Tensor:
    """The mean class probabilities of every pixel, float32 or wider; the arguments are those of `Inference`.

    The mode of the model (training or evaluation) and gradients are the caller's.

    Shapes: image `B C H W` -> `B K H W`.
    Raises: ValueError if an argument is out of range, or the model returns another shape.
    """
    seen = Inference(window=window, stride=stride, scales=tuple(scales), mirror=mirror)
    return seen(model, image)


def outputs(model: nn.Module, image: Tensor) -> tuple[Tensor, ...]:
    """The outputs of a segmentation network, in float32 or wider: the prediction, then the auxiliary ones.

    Shapes: image `B C H W`; the prediction `B K H W`, the others `B K h w`.
    Raises: ValueError if the model returns other shapes.
    """
    found = model(image)
    several = found if isinstance(found, tuple | list) else (found,)
    for number_of, logits in enumerate(several):
        size = tuple(image.shape[-2:])
        good = isinstance(logits, Tensor) and logits.ndim == 4 and len(logits) == len(image)
        if not good or (number_of == 0 and tuple(logits.shape[-2:]) != size):
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(
                f"output {number_of} of the model is {shape}: logits B K H W are needed, the first of the size {size} "
                f"of the image"
            )
    if not several:
        raise ValueError("the model returns no output: logits B K H W are needed")
    return tuple(widened(logits) for logits in several)


def probabilities(model: nn.Module, image: Tensor) -> Tensor:
    """The class probabilities of one forward pass: `B C H W` -> `B K H W`. Raises: ValueError as `outputs`."""
    return outputs(model, image)[0].softmax(1)


def starts(size: int, window: int, stride: int) -> list[int]:
    """The first pixels of the windows along an axis: every `stride`, and the last one ends at the border."""
    return sorted({*range(0, max(size - window, 0), stride), max(size - window, 0)})


def label_map(found: Tensor, height: int, width: int) -> Tensor:
    """The most probable class of every pixel at another size, of bilinearly resized probabilities.

    Shapes: found `K h w` -> int64 `H W`.
    """
    return _resized(found[None], height, width)[0].argmax(0)


def _resized(values: Tensor, height: int, width: int) -> Tensor:
    if tuple(values.shape[-2:]) == (height, width):
        return values
    smaller = height < values.shape[-2] or width < values.shape[-1]
    return functional.interpolate(values, (height, width), mode="bilinear", align_corners=False, antialias=smaller)
