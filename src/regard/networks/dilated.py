"""Trunks of segmentation networks: any network of timm's, dilated to an output stride, and HRNet's four branches.

A stage behind the output stride keeps its resolution: its stride becomes 1, and its 3 × 3 convolutions look as many
pixels further as the stride would have carried them. In the first block of such a stage the first of them still
has the dilation of the stage before (`contracted`, as in PyTorch-Encoding, CSAIL and mmsegmentation), or the
stage's own (CCNet). A multi-grid sets the dilations of the last stage's blocks one by one.
HRNet: the outputs of its four branches behind stage 4, resized to the finest and concatenated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from timm.layers import AvgPool2dSame
from torch import Tensor, nn
from torch.nn import functional as F

from regard.attaching import attach
from regard.attaching.siting import WILD, at_places
from regard.backbones import build, feature_info
from regard.catalog import rows
from regard.checks import choice, flag, positive, text, whole_numbers

STRIDES = (4, 8, 16, 32)
HRNET, RESNET = "hrnet", "resnet"  # timm's modules of the families that are handled here
SMALL = 64  # the side of an image in which the sites of attention are looked for
RESNET_STAGES = ("layer1", "layer2", "layer3", "layer4")


class Trunk(nn.Module):
    """The feature maps of a network of timm's for segmentation.

    Args:
        backbone: any network of timm's that gives feature maps; hrnet_* gives its four branches as one map.
        channels: of the images.
        output_stride: 4, 8, 16 or 32: the last map is at most so many times smaller than the image; a network is
            dilated where its own stride is larger.
        multi_grid: dilations of the blocks of a ResNet's last stage; empty for none of their own.
        contracted: see above.
        round_up: the pool of a ResNet's stem rounds up, as in CCNet's.
        attention: mechanisms in the network, as rows: "gc(reduction=16)@layer2+layer3+layer4"; "none" for none.

    Attributes:
        widths, strides: of each map that `forward` returns, from fine to coarse.

    Raises:
        LookupError: there is no such backbone or mechanism; the message names the nearest.
        ValueError: an argument is out of range, or the backbone cannot be dilated like this.
    """

    def __init__(
        self,
        backbone: str,
        channels: int,
        *,
        output_stride: int = 32,
        multi_grid: Sequence[int] = (),
        contracted: bool = True,
        round_up: bool = False,
        attention: str = "none",
    ) -> None:
        super().__init__()
        self.backbone, self.channels = text("backbone", backbone), positive("channels", channels)
        grid = () if multi_grid in ((), []) else whole_numbers("multi_grid", multi_grid)
        self.output_stride = choice("output_stride", output_stride, STRIDES)
        flag("contracted", contracted)
        flag("round_up", round_up)
        text("attention", attention)
        self.family = _family(backbone)
        self.network = self._build()
        found = feature_info(self.network)
        self.widths, self.strides = list(found.channels()), list(found.reduction())
        if self.family == HRNET:
            for name in ("stage2", "stage3", "stage4"):
                stage = self.network.get_submodule(name)
                for i, module in stage.named_children():
                    stage.add_module(i, _Exchange(module))
            self.widths, self.strides = [sum(self.widths)], self.strides[:1]
        if self.family == RESNET:
            stages = [self.network.get_submodule(stage) for stage in RESNET_STAGES]
            kept = len(self.strides) - len(stages)
            self.strides[kept:] = _dilate(stages, self.strides[kept:], output_stride, grid, contracted)
            if round_up:
                self.network.get_submodule("maxpool").ceil_mode = True  # type: ignore[assignment]
        elif grid:
            raise ValueError(f"multi_grid={multi_grid!r}: () is needed with backbone={backbone!r}, which is no ResNet")
        self.channels_last = str(getattr(self.network, "output_fmt", "")).endswith("NHWC")
        if attention != rows.NONE:
            self._attach(attention)

    def _build(self, *, pretrained: bool = False, state: Mapping[str, Tensor] | None = None) -> nn.Module:
        """The network as timm builds it, dilated by timm unless it is a ResNet."""
        name = self.backbone
        options: dict[str, Any] = {"in_chans": self.channels, "pretrained": pretrained, "state": state}
        if self.family == HRNET:
            options |= {"feature_location": "", "out_indices": (1, 2, 3, 4)}
        refused: Exception | None = None
        if self.output_stride < STRIDES[-1] and self.family not in (HRNET, RESNET, ""):
            try:
                return build(name, classes=None, features_only=True, output_stride=self.output_stride, **options)
            except ValueError as error:
                refused = error
        try:
            network = build(name, classes=None, features_only=True, **options)
        except LookupError as error:
            raise LookupError(f"backbone={name!r}: {error}") from error
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            raise ValueError(f"backbone={name!r}: a network that gives feature maps is needed: {error}") from error
        own = feature_info(network).reduction()[-1]
        if refused is not None and own > self.output_stride:
            wrong = f"output_stride={self.output_stride}: {own} is needed with backbone={name!r}"
            raise ValueError(f"{wrong}: {refused}") from refused
        return network

    def _attach(self, attention: str) -> None:
        # A small image finds the sites of a network of convolutions: at full size a dilated trunk takes minutes.
        small = self.family in (RESNET, HRNET)
        example = torch.zeros(1, self.channels, SMALL, SMALL) if small else None
        try:
            for row in rows.rows(attention):
                if row.mechanism in (rows.PLAIN, rows.ALL, rows.NONE):
                    raise ValueError("names of mechanisms are needed")
                after: Sequence[str] | None = row.places or None
                if after and not any(character in WILD for place in after for character in place):
                    after = [site.name for site in at_places(self.network, after)]
                options: dict[str, Any] = dict(row.options)
                attach(self.network, row.mechanism, after=after, example=example, **options)
            torch.clear_autocast_cache()  # attaching runs the network: what autocast has kept of its weights may change
        except (LookupError, ValueError) as error:
            raise type(error)(f"attention={attention!r}, backbone={self.backbone!r}: {error}") from error

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads weights of the trunk: those given, by timm's names for the whole network, or the published ones.

        Raises: OSError if the published ones cannot be loaded; ValueError if those given do not fit.
        """
        loaded = self._build(pretrained=state is None, state=state).state_dict()
        own = self.network.state_dict()
        attended = {name for name in own if ".attention." in f".{name}" or name.endswith("attention_alpha")}
        self.network.load_state_dict({**{name: own[name] for name in attended}, **loaded})

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps of an image `B C H W`, from fine to coarse, `B D h w` each."""
        levels: list[Tensor] = self.network(x)
        if self.channels_last:
            levels = [level.permute(0, 3, 1, 2) for level in levels]
        return [torch.cat([_resized(level, levels[0]) for level in levels], 1)] if self.family == HRNET else levels


def _family(backbone: str) -> str:
    """The module of timm that builds a network; empty if there is no such network."""
    architecture = backbone.partition(".")[0]
    known = timm.is_model(architecture)
    return timm.models.model_entrypoint(architecture).__module__.rpartition(".")[2] if known else ""


class _Exchange(nn.Module):
    """A module of an HRNet whose branches exchange maps of any size, resized bilinearly.

    Timm's enlarges by whole factors, by the nearest pixel, which asks for sides that are multiples of 32; the released
    segmentation networks resize as here. The parameters keep their names.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.branches, self.fuse_layers = module.branches, module.fuse_layers
        for i, into in enumerate(self.fuse_layers):  # type: ignore[arg-type]
            for way in list(into)[i + 1 :]:
                del way[2]  # the enlargement behind convolution and norm

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]  # type: ignore[arg-type]
        fused = []
        for into, like in zip(self.fuse_layers, maps, strict=True):  # type: ignore[arg-type]
            terms = [_resized(way(x), like) for way, x in zip(into, maps, strict=True)]
            fused.append(torch.stack(terms).sum(0).relu())
        return fused


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


def _dilate(
    stages: Sequence[nn.Module],
    strides: Sequence[int],
    output_stride: int,
    grid: Sequence[int],
    contracted: bool,
) -> list[int]:
    """Dilates the stages of a ResNet in place; returns their strides."""
    if grid and len(grid) != len(list(stages[-1].children())):
        blocks = len(list(stages[-1].children()))
        raise ValueError(f"multi_grid={tuple(grid)!r}: {blocks} dilations are needed, one for each block")
    after = [strides[0]]
    before = dilation = 1
    for i, stage in enumerate(stages[1:], 1):
        step = strides[i] // strides[i - 1]
        keeps = after[-1] * step > output_stride
        after.append(after[-1] * (1 if keeps else step))
        dilation *= step if keeps else 1
        for number, block in enumerate(stage.children()):
            first = before if contracted and number == 0 else dilation
            own = grid[number] if grid and stage is stages[-1] else None
            _dilate_block(block, own or first, own or dilation, keeps=keeps)
            if keeps and any(getattr(part, "stride", 1) not in (1, (1, 1)) for part in list(block.modules())[1:]):
                raise ValueError(f"output_stride={output_stride}: {strides[-1]} is needed for blocks that pool inside")
        before = dilation
    return after


def _dilate_block(block: nn.Module, first: int, dilation: int, *, keeps: bool) -> None:
    """Sets the dilations of a block's 3 × 3 convolutions, and takes its stride away where it `keeps` its resolution."""
    for name, part in list(block.named_modules()):
        if isinstance(part, nn.Conv2d):
            if part.kernel_size == (3, 3):
                part.dilation = part.padding = (first, first)
                first = dilation
            part.stride = (1, 1) if keeps else part.stride
        elif keeps and isinstance(part, nn.AvgPool2d) and part.stride in (2, (2, 2)):  # of a projection
            parent, _, child = name.rpartition(".")
            pool = AvgPool2dSame(2, 1, ceil_mode=True, count_include_pad=False)
            block.get_submodule(parent).register_module(child, pool)
