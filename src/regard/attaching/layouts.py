"""Layouts: the order in which a map lies in a module's output (channels first, channels last, or tokens)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CHANNELS_FIRST = (nn.Conv2d, nn.ConvTranspose2d, nn.GroupNorm)
PREFIXES = 17  # no model has as many class and register tokens


@dataclass(frozen=True)
class Layout:
    """The order in which a map lies in a module's output.

    Args:
        axes: `B C H W`, `B H W C` or `B N C`.
        prefix: tokens before the grid (class, registers), which attention leaves alone.
        grid: H, W of the tokens on the example.
    """

    axes: str
    prefix: int = 0
    grid: tuple[int, int] = (1, 1)

    def bring(self, output: Tensor) -> Tensor:
        """Returns the map B C H W that lies in `output`."""
        if self.axes == "B C H W":
            return output
        if self.axes == "B H W C":
            return output.permute(0, 3, 1, 2)
        maps: Tensor = output[:, self.prefix :].transpose(1, 2).unflatten(2, self._positions(output.shape[1]))
        return maps

    def put_back(self, maps: Tensor, output: Tensor) -> Tensor:
        """Returns `output` with its map replaced by `maps`, B C H W."""
        if self.axes == "B C H W":
            return maps
        if self.axes == "B H W C":
            return maps.permute(0, 2, 3, 1)
        tokens = maps.flatten(2).transpose(1, 2)
        return torch.cat((output[:, : self.prefix], tokens), 1) if self.prefix else tokens

    def _positions(self, tokens: int) -> tuple[int, int]:
        """Height and width of the grid of N tokens: the example's grid, or one of the same aspect."""
        height, width = self.grid
        number = tokens - self.prefix
        if number != height * width:
            height = max(1, round((number * height / width) ** 0.5))
            width = number // height
        if number != height * width:
            raise ValueError(
                f"{tokens} tokens, {self.prefix} of them before the grid, form no grid of the aspect {self.grid[0]} x "
                f"{self.grid[1]} that attention was attached for; attach with an example of this size"
            )
        return height, width


def layout_of(
    sources: Sequence[nn.Module], shape: tuple[int, ...], image: tuple[int, int] | None, prefix: int | None = None
) -> Layout | None:
    """The layout of an output; None where its tokens form no grid.

    Args:
        sources: the module that returns it and the layer inside that makes it; their kinds may tell.
        shape: of the output.
        image: H, W of the model's input, whose aspect tells positions from channels where the kind does not.
        prefix: how many class and register tokens the model says it has.
    """
    if len(shape) == 4:
        if any(isinstance(module, CHANNELS_FIRST) or "2d" in type(module).__name__ for module in sources):
            return Layout("B C H W")
        if any(isinstance(module, (nn.Linear, nn.LayerNorm)) for module in sources):
            return Layout("B H W C")
        first, last = _distortion(shape[2:], image), _distortion(shape[1:3], image)
        return Layout("B H W C" if last < first else "B C H W")
    if image is None or any("1d" in type(module).__name__ for module in sources):  # B C N
        return None
    for before in (prefix or 0, *range(PREFIXES)):
        number = shape[1] - before
        if number < 1:
            continue
        height = max(1, round((number * image[0] / image[1]) ** 0.5))
        stride = (image[0] * image[1] / number) ** 0.5
        grid = (height, number // height)
        if height * grid[1] == number and all(abs(g - i / stride) < 0.35 for g, i in zip(grid, image, strict=True)):
            return Layout("B N C", before, grid)
    return None


def plausible(grid: tuple[int, ...], image: tuple[int, int] | None) -> bool:
    """Whether a grid is near the aspect of the image: both sides may be rounded, and trimmed by borders a little."""
    if image is None:
        return True
    across, down = grid[0] * image[1], grid[1] * image[0]
    return abs(across - down) < sum(image) + 0.1 * (across + down)


def _distortion(grid: tuple[int, ...], image: tuple[int, int] | None) -> float:
    return abs(grid[0] * image[1] - grid[1] * image[0]) if image else 0.0
