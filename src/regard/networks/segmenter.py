"""Segmentation networks as tables: a design names a trunk, a head on its last maps, and an auxiliary head.

    y = resize(head(x_L)),  a = resize(auxiliary(x_{L-1}))              x_l: maps of the trunk, L the last          (1)
    head: W (m(relu(BN(V x))))           m a mechanism and convolutions behind it, as `FCNHead`                     (2)

The designs of a paper stand in its `network.py`, as the table `SEGMENTERS`; their names stand in its label.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from regard import catalog
from regard.catalog import rows

PLAIN = "fcn"  # the head without attention


@dataclass(frozen=True, kw_only=True)
class Auxiliary:
    """The head on the map before the last one, for a loss of its own: 3 × 3, norm, ReLU, dropout, 1 × 1.

    Args:
        bias: of the 3 × 3 convolution.
        slope: of a leaky ReLU below zero; 0 for a ReLU.
        reduction: how many times narrower its hidden layer is than the map.
        dropout: probability that a value is dropped before the classifier.
        by_channel: whether whole channels are dropped.
    """

    bias: bool = False
    slope: float = 0.0
    reduction: int = 4
    dropout: float = 0.1
    by_channel: bool = False


@dataclass(frozen=True, kw_only=True)
class Design:
    """A segmentation network of a paper.

    Args:
        backbone: of timm's.
        output_stride, multi_grid, contracted, round_up, attention: as for `networks.dilated.Trunk`.
        head: "fcn"; a head of the catalogue, a key of `HEADS`; or a row such as "pam" or "cca(recurrence=2)".
        options: further arguments of the head.
        auxiliary: the head on the map before the last, or None.
        align_corners: how the logits are resized to the image.
        classes: number of classes where the paper's is used.
        parameters: the count of the released definition or code with as many classes; None where it is not known.
    """

    backbone: str = "resnet101"
    output_stride: int = 8
    multi_grid: tuple[int, ...] = ()
    contracted: bool = True
    round_up: bool = False
    attention: str = rows.NONE
    head: str = PLAIN
    options: Mapping[str, Any] = field(default_factory=dict)
    auxiliary: Auxiliary | None = None
    align_corners: bool = False
    classes: int = 19
    parameters: int | None = None


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a head of the catalogue is built and called.

    Args:
        width: its argument for the width of its hidden layers.
        earlier: its argument for the channels of the map before the last; empty for a head on the last map alone.
        optional: whether it does without that map.
        earlier_first: whether that map is its first input.
        order: which of its outputs is the prediction, then the auxiliary ones.
    """

    width: str
    earlier: str = ""
    optional: bool = False
    earlier_first: bool = False
    order: tuple[int, ...] = (0,)


HEADS: Mapping[str, Form] = {
    "danet": Form(width="width", order=(0, 1, 2)),
    "ccnet": Form(width="hidden"),
    "annet": Form(width="width", earlier="low_channels", earlier_first=True, order=(1, 0)),
    "ocrnet": Form(width="hidden", earlier="aux_channels", optional=True, order=(1, 0)),
}
ALIASES = {"ocr": "ocrnet", "afnb": "annet"}  # parts that need what only the head of their paper gives them


def find(name: str) -> Design:
    """The design called `name`.

    Raises:
        LookupError: there is none; the message names the nearest.
    """
    folder = catalog.segmenters().get(name)
    if folder is None:
        raise LookupError(f"name={name!r}: no network is called so; {catalog.nearest(name, catalog.segmenters())}")
    found: Design = importlib.import_module(f"regard.papers.{folder}.network").SEGMENTERS[name]
    return found


class FCNHead(nn.Sequential):
    """A fully convolutional head, plain or with a mechanism behind its first convolution: equation (2).

    Args:
        channels: C of the map.
        classes: K.
        width: of the hidden layers.
        mechanism: width -> mechanism; None for none.
        convolutions: 3 × 3, with norm and ReLU; the mechanism stands behind the first.
        bias: of these convolutions.
        slope: of a leaky ReLU below zero; 0 for a ReLU.
        dropout: probability that a value is dropped before the classifier.
        by_channel: whether whole channels are dropped.

    Shapes: x `B C H W` -> logits `B K H W`.
    """

    def __init__(
        self,
        channels: int,
        *,
        classes: int,
        width: int,
        mechanism: Callable[[int], nn.Module] | None = None,
        convolutions: int = 1,
        bias: bool = False,
        slope: float = 0.0,
        dropout: float = 0.1,
        by_channel: bool = False,
    ) -> None:
        super().__init__()
        for i in range(convolutions):
            before = width if i else channels
            self.add_module(f"conv{i + 1}", nn.Conv2d(before, width, 3, padding=1, bias=bias))
            self.add_module(f"norm{i + 1}", nn.BatchNorm2d(width))
            self.add_module(f"relu{i + 1}", nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True))
            if i == 0 and mechanism is not None:
                self.add_module("attention", mechanism(width))
        self.add_module("dropout", (nn.Dropout2d if by_channel else nn.Dropout)(dropout))
        self.add_module("classify", nn.Conv2d(width, classes, 1))


def auxiliary(channels: int, classes: int, how: Auxiliary) -> FCNHead:
    """The auxiliary head on a map of C channels."""
    chosen = {field.name: getattr(how, field.name) for field in fields(how) if field.name != "reduction"}
    return FCNHead(channels, classes=classes, width=max(channels // how.reduction, 1), **chosen)


def resized(logits: Tensor, x: Tensor, align_corners: bool) -> Tensor:
    """The logits at the size of the image."""
    return F.interpolate(logits, x.shape[2:], mode="bilinear", align_corners=align_corners)
