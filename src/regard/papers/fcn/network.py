"""Segmenter: a dilated trunk, a head with or without attention on its last maps, and logits of the image's size.

Fully Convolutional Networks for Semantic Segmentation. Long, Shelhamer, Darrell. CVPR 2015, arXiv:1411.4038.
Official code: shelhamer/fcn.berkeleyvision.org (Caffe); the plain networks are pytorch/vision's.

    x_1 … x_L = trunk(x)                maps from fine to coarse; stages behind the output stride are dilated     (1)
    y = resize(head(x_L)),  a = resize(auxiliary(x_{L-1}))         bilinearly, by the paper's align_corners       (2)
    head: W drop(relu(BN(V₂ m(relu(BN(V₁ x))))))                   m a mechanism of the catalogue, or none        (3)

Place: trained as it is. A table `SEGMENTERS` in the `network.py` of each paper has its trunk, head and published count.
Cost: the trunk's; at stride 8 a map of H/8 × W/8, on which each head costs what its own header says.
Deviations: paper, a VGG-16 with strides of 32, 16 and 8, sums of the scores of three stages, and transposed
    convolutions that start as bilinear ones | pytorch/vision has a dilated ResNet, one map and a bilinear resize | as
    pytorch/vision.
    The heads are those of their papers, whose headers say how they differ from what was released.
Errata: logits that a caller resizes once more, or by the other align_corners, are not those that were trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from regard import catalog
from regard.catalog import rows
from regard.checks import check_input, flag, positive, text, whole
from regard.networks import segmenter
from regard.networks.dilated import Trunk
from regard.networks.segmenter import ALIASES, HEADS, PLAIN, Auxiliary, Design, FCNHead, Form

MOST_PARAMETERS = 10**9 - 1
WIDEST = 2**14

SEGMENTERS: Mapping[str, Design] = {
    "fcn_resnet50": Design(
        backbone="resnet50",
        options={"convolutions": 1},
        auxiliary=Auxiliary(),
        classes=21,
        parameters=35_322_218,
    ),
    "fcn_resnet101": Design(
        options={"convolutions": 1},
        auxiliary=Auxiliary(),
        classes=21,
        parameters=54_314_346,
    ),
}


class Segmenter(nn.Module):
    """Segmentation network known by name, or with another trunk or head than that network's.

    Args:
        channels: channels of the image.
        name: name of the network; `regard.catalog.segmenters()` lists them. None below means what this network has.
        classes: K.
        backbone: of the trunk, any network of timm's that gives feature maps; hrnet_* gives four branches as one map.
        output_stride: 4, 8, 16 or 32: the last map is at most so many times smaller than the image.
        multi_grid: dilations of the blocks of a ResNet's last stage; () for none of their own, as where `backbone` is
            given.
        attention: mechanisms in the trunk, as rows: "gc(reduction=16)@layer2+layer3+layer4"; "none" for none.
        head: "fcn", "danet", "ccnet", "annet" or "ocrnet" ("ocr"), or a mechanism, "pam" or "cca(recurrence=2)",
            between two 3 × 3 convolutions, of which "fcn" has two as well.
        width: of the head's hidden layers; None takes what the head takes of the trunk, or `parameters`.
        parameters: how many the whole network is to have; the width that comes nearest is taken.
        auxiliary: whether there is a head on the map before the last, for a loss of its own.

    Shapes: x `B C H W` -> logits `B K H W`; a tuple of these and of auxiliary logits where there are any.
    Maps: those of the head, by its name, and of the mechanisms in the trunk.
    Raises: LookupError for an unknown name, backbone or mechanism; it names the nearest. ValueError for an argument
        out of range, or that the backbone or the head cannot take, and for images of another shape.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        name: str = "fcn_resnet50",
        classes: int = 21,
        backbone: str | None = None,
        output_stride: int | None = None,
        multi_grid: Sequence[int] | None = None,
        attention: str | None = None,
        head: str | None = None,
        width: int | None = None,
        parameters: int | None = None,
        auxiliary: bool | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.classes = positive("channels", channels), positive("classes", classes)
        design = segmenter.find(text("name", name))
        self.align_corners = design.align_corners
        self.trunk = Trunk(
            design.backbone if backbone is None else backbone,
            channels,
            output_stride=design.output_stride if output_stride is None else output_stride,
            multi_grid=multi_grid if multi_grid is not None else design.multi_grid if backbone is None else (),
            contracted=design.contracted,
            round_up=design.round_up,
            attention=design.attention if attention is None else attention,
        )
        self.auxiliary: nn.Module | None = None
        if design.auxiliary is not None if auxiliary is None else flag("auxiliary", auxiliary):
            if len(self.trunk.widths) < 2:
                raise ValueError(f"auxiliary={auxiliary!r}: False is needed with a trunk that gives a single map")
            how = design.auxiliary or Auxiliary()
            self.auxiliary = segmenter.auxiliary(self.trunk.widths[-2], classes, how)
        asked = design.head if head is None else ALIASES.get(text("head", head), head)
        self.form = HEADS.get(asked)
        build = self._heads(asked, self.form, design.options if head is None else {})
        if width is not None and parameters is not None:
            raise ValueError(f"parameters={parameters!r}: None is needed with width={width!r}")
        if parameters is not None:
            whole("parameters", parameters, 1, MOST_PARAMETERS)
            width = _fitting(build, parameters - _count(self))
            if width is None:
                least = f"{_count(self)} are those of backbone={self.trunk.backbone!r}"
                raise ValueError(f"parameters={parameters}: more are needed, {least}")
        self.head = build(None if width is None else positive("width", width))

    def _heads(self, asked: str, form: Form | None, options: Mapping[str, Any]) -> Callable[[int | None], nn.Module]:
        """Width -> the head."""
        widths, given = self.trunk.widths, dict(options)
        if form is not None:
            if form.earlier and len(widths) > 1:
                given[form.earlier] = widths[-2]
            elif form.earlier and not form.optional:
                raise ValueError(f"head={asked!r}: a trunk that gives more than one map is needed")

            def build(width: int | None) -> nn.Module:
                own = {} if width is None else {form.width: width}
                try:
                    made: nn.Module = catalog.create(asked, widths[-1], classes=self.classes, **{**given, **own})
                except ValueError as error:
                    raise ValueError(
                        (f"head={asked!r}: " if width is None else f"width={width}: ") + str(error)
                    ) from error
                return made

            return build
        mechanism = _mechanism(asked)
        given = {"convolutions": 2, "mechanism": mechanism, **given}
        usual = max(widths[-1] // 4, 1)
        return lambda width: FCNHead(widths[-1], classes=self.classes, width=width or usual, **given)

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads weights into the trunk: those given, by timm's names for the whole network, or the published ones.

        Raises: OSError if the published ones cannot be loaded; ValueError if those given do not fit.
        """
        self.trunk.start_from(state)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        check_input(x, "B C H W", C=self.channels)
        levels = self.trunk(x)
        if self.form is None or not self.form.earlier or len(levels) < 2:
            found = self.head(levels[-1])
        else:
            pair = levels[-1], levels[-2]
            found = self.head(*(reversed(pair) if self.form.earlier_first else pair))
        logits = [found] if isinstance(found, Tensor) else [found[i] for i in self.form.order]  # type: ignore[union-attr]
        if self.auxiliary is not None:
            logits.append(self.auxiliary(levels[-2]))
        sized = tuple(segmenter.resized(y, x, self.align_corners) for y in logits)
        return sized if len(sized) > 1 else sized[0]


def _mechanism(head: str) -> Callable[[int], nn.Module] | None:
    """Width -> the mechanism of a row; None for the plain head."""
    if head == PLAIN:
        return None
    try:
        row = rows.parse(head)
    except LookupError as error:
        raise LookupError(f"head={head!r}: {error}") from error
    except ValueError as error:
        raise ValueError(f"head={head!r}: {error}") from error
    if row.mechanism in (*rows.REFERENCES, rows.ALL) or row.places:
        raise ValueError(f"head={head!r}: {PLAIN}, {', '.join(HEADS)} or a mechanism without a place is needed")
    return partial(catalog.create, row.mechanism, **row.options)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _fitting(build: Callable[[int | None], nn.Module], left: int) -> int | None:
    """The width with which the head has the number of parameters that is nearest to what is left for it, if any has."""

    def count(width: int) -> int:
        try:
            with torch.device("meta"):
                return _count(build(width))
        except ValueError:  # too narrow for the head
            return 0

    low, high = 1, 1
    while count(high) < left and high < WIDEST:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < left else (low, middle)
    nearest = min((low, high), key=lambda width: (abs(count(width) - left), width))
    return nearest if 0 < count(nearest) <= 2 * left else None
