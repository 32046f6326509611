"""Checkpoint mappings for feature pyramid attention and global attention upsample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from regard.published.reference import Reference, unsupported


def _fpa(channels=2048):
    names = {"master.0": "conv_master", "master.1": "bn_master", "context.0": "conv_gpb", "context.1": "bn_gpb"}
    for i, size in enumerate((7, 5, 3)):
        for part, suffix in (("down", 1), ("level", 2)):
            names |= {f"{part}.{i}.0": f"conv{size}x{size}_{suffix}", f"{part}.{i}.1": f"bn{i + 1}_{suffix}"}
        names |= {f"up.{i}.conv": f"conv_upsample_{i + 1}", f"up.{i}.norm": f"bn_upsample_{i + 1}"}
    return {"channels": channels}, names


def _gau(channels_high, channels_low, upsample=True):
    names = {"fine.0": "conv3x3", "fine.1": "bn_low", "gate.0": "conv1x1", "gate.1": "bn_high"}
    if upsample:
        names |= {"deconvolve.conv": "conv_upsample", "deconvolve.norm": "bn_upsample"}
    else:
        names |= {"project.0": "conv_reduction", "project.1": "bn_reduction"}
    return {
        "channels": channels_low,
        "gate_channels": channels_high,
        "upsample": "deconvolution" if upsample else "projection",
    }, names


def _named(parts: Mapping[str, str]) -> dict[str, str]:
    return {
        f"{ours}.{i}": f"{theirs}.{part}" for ours, theirs in parts.items() for i, part in enumerate(("conv", "bn"))
    }


def _smp_fpa(in_channels, out_channels, upscale_mode="bilinear"):
    if upscale_mode not in ("bilinear", "bicubic"):
        raise unsupported("upscale_mode", upscale_mode, "bilinear and bicubic are accepted; the port runs no other")
    parts = {"master": "mid.0", "context": "branch1.1", "level.0": "conv1", "level.1": "conv2", "level.2": "down3.2"}
    parts |= {f"down.{i}": f"down{i + 1}.1" for i in range(3)}
    return {"channels": in_channels, "out_channels": out_channels, "upsample": upscale_mode}, _named(parts)


def _smp_gau(in_channels, out_channels, upscale_mode="bilinear", interpolation_mode=None):
    # the argument's name in older and in newer releases
    return {
        "channels": in_channels,
        "gate_channels": out_channels,
        "out_channels": out_channels,
        "upsample": interpolation_mode or upscale_mode,
        "gate": "sigmoid",
    }, _named({"fine": "conv2", "gate": "conv1.1"})


class _HighFirst(nn.Module):
    """Our decoder, called with the coarse map before the fine one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        return self.module(low, high)


def _high_first(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    return _HighFirst(module)


_JAVEY = "pan/JaveyWang.Pyramid-Attention-Networks-pytorch"
_SMP = "pan/qubvel-org.segmentation_models.pytorch"

REFERENCES = (
    Reference(f"{_JAVEY}/FPA", "fpa", _fpa, maps={"pyramid_attention": "pyramid"}),
    Reference(f"{_JAVEY}/GAU", "gau", _gau, adapt=_high_first, maps={"channel_gate": "module/channel"}),
    Reference(f"{_SMP}/FPABlock", "fpa", _smp_fpa),
    Reference(f"{_SMP}/GAUBlock", "gau", _smp_gau, maps={"channel_gate": "channel"}),
)
