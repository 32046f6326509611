"""What stands for the imports of published files that are not needed to compute: initialisers, registries, norms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def initialise(module: nn.Module, *values: Any, **options: Any) -> None:
    """For any initialiser: the weights are drawn anew here anyway."""


class Registry:
    """For OpenMMLab's registries of classes."""

    @staticmethod
    def register_module(*names: Any, **options: Any) -> Callable[[type], type]:
        return lambda published: published


class Scale(nn.Module):
    """For mmcv's learnt factor."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class InPlaceABNSync(nn.BatchNorm2d):
    """For the norm with an activation inside that needs its own CUDA code."""

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(x), 0.01)


class ModuleHelper:
    """For the choice of batch norm in the segmentation toolboxes that grew out of OCNet."""

    @staticmethod
    def BNReLU(channels: int, **options: Any) -> nn.Module:
        return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())

    @staticmethod
    def BatchNorm2d(**options: Any) -> type[nn.Module]:
        return nn.BatchNorm2d
