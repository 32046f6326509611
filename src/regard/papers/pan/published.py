"""Checkpoint mappings for feature pyramid attention, global attention upsample, decoders and whole networks of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from regard.published.reference import Given, Reference, State, unsupported


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


def _below(parts: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Names of several modules: (ours, theirs) joined by a space -> the names below them."""
    named: dict[str, str] = {}
    for both, names in parts.items():
        ours, theirs = both.split()
        named |= {f"{ours}.{one}": f"{theirs}.{other}" for one, other in names.items()}
    return named


def _pan(channels_blocks=(2048, 1024, 512, 256), input_strides=None):
    # the class takes the stages of a ResNet, the last first, and reads these numbers from them
    high, *low = channels_blocks
    parts = {"pyramid pan.fpa": _fpa(high)[1]}
    for i, (before, after) in enumerate(zip(channels_blocks, low, strict=False)):
        parts[f"steps.{i} pan.gau_block{i + 1}"] = _gau(before, after, upsample=i > 0)[1]
    return {"channels": high, "finer": tuple(low)}, _below(parts)


def _smp_pan(
    encoder_channels, encoder_depth=5, decoder_channels=32, decoder_interpolation_mode="bilinear",
    interpolation_mode=None, upscale_mode=None,
):  # fmt: skip
    if encoder_depth not in (3, 4, 5):
        raise unsupported("encoder_depth", encoder_depth, "3, 4 or 5 is accepted, as published")
    used = tuple(encoder_channels)[2 : encoder_depth + 1]
    if len(used) != encoder_depth - 1:
        raise unsupported("encoder_channels", encoder_channels, "one number for each stage, and the image's, is needed")
    mode = interpolation_mode or upscale_mode or decoder_interpolation_mode  # older names of the argument
    parts = {"pyramid fpa": _smp_fpa(used[-1], decoder_channels)[1]}
    steps = len(used) - 1
    for i in range(steps):
        parts[f"steps.{i} gau{steps - i}"] = _smp_gau(used[steps - 1 - i], decoder_channels)[1]
    return {
        "channels": used[-1],
        "finer": used[-2::-1],
        "width": decoder_channels,
        "upsample": mode,
    }, _below(parts)


# Channels of an encoder's maps as segmentation-models-pytorch counts them, the image's first.
_BASIC, _BOTTLENECK = (64, 64, 128, 256, 512), (64, 256, 512, 1024, 2048)
_ENCODERS = {
    **dict.fromkeys(("resnet18", "resnet34"), _BASIC),
    **dict.fromkeys(("resnet50", "resnet101", "resnet152"), _BOTTLENECK),
}


def _parts(decoder: Mapping[str, str], **others: str) -> dict[str, str]:
    """Names below `decoder`, and those of other parts."""
    return {**{f"decoder.{ours}": theirs for ours, theirs in decoder.items()}, **others}


def _javey(num_class=20, presence=True):
    # four modules, each saved under its own key; `presence` says whether the classifier of classes is among them
    others = {"trunk.network": "convnet.model", "classify": "mask_classifier.mask_conv"}
    if presence:
        others["present"] = "classifier.fc1"
    return {"classes": num_class + 1, "presence": presence}, _parts(_pan()[1], **others)


def _without_fc(state: State, args: Given) -> State:
    """The state without the classifier of ImageNet, which the trunk carries along unused."""
    return {name: tensor for name, tensor in state.items() if not name.startswith("convnet.model.fc.")}


def _smp(
    encoder_name="resnet34", encoder_depth=5, encoder_weights=None, encoder_output_stride=16, decoder_channels=32,
    in_channels=3, classes=1, activation=None, upsampling=4, aux_params=None,
):  # fmt: skip
    for name, value, accepted in (
        ("encoder_name", encoder_name, tuple(_ENCODERS)),
        ("encoder_depth", encoder_depth, (5,)),
        ("activation", activation, (None,)),
        ("upsampling", upsampling, (4,)),
        ("aux_params", aux_params, (None,)),
    ):
        if value not in accepted:
            raise unsupported(name, value, f"{' or '.join(map(str, accepted))} is accepted")
    decoder = _smp_pan((in_channels, *_ENCODERS[encoder_name]), decoder_channels=decoder_channels)[1]
    return {
        "channels": in_channels,
        "classes": classes,
        "backbone": encoder_name,
        "upsample": "bilinear",
        "width": decoder_channels,
        "output_stride": encoder_output_stride,
    }, _parts(
        {ours: f"decoder.{theirs}" for ours, theirs in decoder.items()},
        **{"trunk.network": "encoder", "classify": "segmentation_head.0"},
    )


class _FineFirst(nn.Module):
    """Our decoder, called with the maps of every stage of an encoder, the finest first, as one list or one by one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *features: Any) -> Tensor:
        maps = features[0] if len(features) == 1 else features
        coarsest: Tensor = self.module(*tuple(maps)[:1:-1])
        return coarsest


def _fine_first(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    return _FineFirst(module)


class _InOneList(nn.Module):
    """Our decoder, called with its maps as one list or one by one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *features: Any) -> Tensor:
        decoded: Tensor = self.module(*(features[0] if len(features) == 1 else features))
        return decoded


def _in_one_list(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    return _InOneList(module)


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
    Reference(
        f"{_JAVEY}/PAN",
        "pan_decoder",
        _pan,
        adapt=_in_one_list,
        recording="the class takes the stages of a ResNet; here their numbers of channels",
    ),
    Reference(f"{_SMP}/FPABlock", "fpa", _smp_fpa),
    Reference(f"{_SMP}/GAUBlock", "gau", _smp_gau, maps={"channel_gate": "channel"}),
    Reference(f"{_SMP}/PANDecoder", "pan_decoder", _smp_pan, adapt=_fine_first),
    Reference(
        f"{_JAVEY}/train",
        "pan",
        _javey,
        state=_without_fc,
        recording="the four modules of train.py in one state: convnet, pan, classifier and mask_classifier",
    ),
    Reference(f"{_SMP}/PAN", "pan", _smp),
)
