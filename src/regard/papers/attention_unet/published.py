"""Checkpoint mappings for the attention gates of U-Nets, and for the whole networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from regard.published.reference import Build, Names, Reference, unsupported

_MODES = {
    "concatenation": {},
    "concatenation_debug": {"activation": "softplus"},
    "concatenation_residual": {"normalization": "softmax"},
}
_GATE = {"theta": "theta", "phi": "phi", "psi": "psi", "out": "W.0", "out_norm": "W.1"}


def _mode(mode: str) -> dict[str, str]:
    if mode not in _MODES:
        raise unsupported("mode", mode, f"{', '.join(_MODES)} are accepted")
    return _MODES[mode]


def _grid(dims: int) -> Build:
    def build(
        in_channels,
        gating_channels,
        inter_channels=None,
        mode="concatenation",
        sub_sample_factor=(2, 2, 2),
        dimension=dims,
    ):
        factors = sub_sample_factor if isinstance(sub_sample_factor, int) else tuple(sub_sample_factor)
        return {
            "channels": in_channels,
            "gate_channels": gating_channels,
            "hidden": inter_channels,
            "dims": dimension,
            "subsample": factors,
            "return_mask": True,
            **_mode(mode),
        }, _GATE

    return build


def _multi(in_size, gate_size, inter_size, nonlocal_mode, sub_sample_factor):
    arguments, _ = _grid(3)(in_size, gate_size, inter_size, nonlocal_mode, sub_sample_factor)
    names = {f"gates.{i}.{ours}": f"gate_block_{i + 1}.{theirs}" for i in range(2) for ours, theirs in _GATE.items()}
    return {**arguments, "gates": 2}, {**names, "combine": "combine_gates.0", "norm": "combine_gates.1"}


def _single(in_size, gate_size, inter_size, nonlocal_mode, sub_sample_factor):
    arguments, names = _multi(in_size, gate_size, inter_size, nonlocal_mode, sub_sample_factor)
    names = {ours: theirs for ours, theirs in names.items() if not ours.startswith("gates.1")}
    return {**arguments, "gates": 1}, names


_LEE = {
    "phi": "W_g.0",
    "phi_norm": "W_g.1",
    "theta": "W_x.0",
    "theta_norm": "W_x.1",
    "psi": "psi.0",
    "psi_norm": "psi.1",
}


def _lee(F_g, F_l, F_int):
    return {
        "channels": F_l,
        "gate_channels": F_g,
        "hidden": F_int,
        "subsample": 1,
        "norm": True,
        "transform": False,
    }, _LEE


def _monai(spatial_dims, f_int, f_g, f_l, dropout=0.0):
    # the bare convolutions that MONAI passes it to have no dropout
    names = {ours: theirs.replace(".0", ".0.conv") for ours, theirs in _LEE.items()}
    return {**_lee(f_g, f_l, f_int)[0], "dims": spatial_dims}, names


class _GateFirst(nn.Module):
    """Our gate, called with the gating map before the map."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, g: Tensor, x: Tensor) -> Any:
        return self.module(x, g)


def _gate_first(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    return _GateFirst(module)


_FILTERS = (64, 128, 256, 512, 1024)


def _layers(ours: str, conv: str, norm: str, number: int = 0) -> Names:
    return {f"{ours}.convs.{number}": conv, f"{ours}.norms.{number}": norm}


def _ct(gates: int) -> Build:
    """The authors' networks for CT volumes, with this many gates on each skip connection but the first."""

    def build(
        feature_scale=4,
        n_classes=21,
        is_deconv=True,
        in_channels=3,
        nonlocal_mode="concatenation",
        attention_dsample=(2, 2, 2),
        is_batchnorm=True,
    ):
        if not is_batchnorm:
            raise unsupported("is_batchnorm", is_batchnorm, "True is accepted")
        if gates and (nonlocal_mode != "concatenation" or tuple(attention_dsample) != (2, 2, 2)):
            what = {"nonlocal_mode": nonlocal_mode, "attention_dsample": attention_dsample}
            raise unsupported("nonlocal_mode, attention_dsample", what, "'concatenation' and (2, 2, 2) are accepted")
        names: Names = {"gating.convs.0": "gating.conv1.0", "gating.norms.0": "gating.conv1.1"} if gates else {}
        for level, theirs in enumerate(("conv1", "conv2", "conv3", "conv4", "center")):
            for i in range(2):
                names |= _layers(f"encoder.{level}", f"{theirs}.conv{i + 1}.0", f"{theirs}.conv{i + 1}.1", i)
        for level in range(4):
            up = f"up_concat{level + 1}.conv.conv"
            for i in range(2):
                names |= _layers(f"ups.{level}.block", f"{up}{i + 1}.0", f"{up}{i + 1}.1", i)
            names[f"heads.{level}"] = f"dsv{level + 1}.dsv.0" if level else "dsv1"
            if level and gates:
                _, gate = _multi(1, 1, 1, nonlocal_mode, attention_dsample)
                names |= {f"ups.{level}.gate.{a}": f"attentionblock{level + 1}.{b}" for a, b in gate.items()}
        names["merge"] = "final"
        widths = [width // feature_scale for width in _FILTERS]
        return {"channels": in_channels, "classes": n_classes, "widths": widths, "gates": gates}, names

    return build


def _port(gates: int) -> Build:
    def build(img_ch=3, output_ch=1, base=64, width_divisor=1):
        names: Names = {"heads.0": "Conv_1x1"}
        for level in range(5):
            for i, conv in enumerate((0, 3)):
                theirs = f"Conv{level + 1}.conv"
                names |= _layers(f"encoder.{level}", f"{theirs}.{conv}", f"{theirs}.{conv + 1}", i)
                theirs = f"Up_conv{level + 2}.conv"
                names |= _layers(f"ups.{level}.block", f"{theirs}.{conv}", f"{theirs}.{conv + 1}", i)
            names |= _layers(f"ups.{level}.widen", f"Up{level + 2}.up.1", f"Up{level + 2}.up.2")
            if gates:
                names |= {f"ups.{level}.gate.{a}": f"Att{level + 2}.{b}" for a, b in _LEE.items()}
        widths = [base * width // (_FILTERS[0] * width_divisor) for width in _FILTERS]
        arguments = {"channels": img_ch, "classes": output_ch, "dims": 2, "widths": widths, "gates": gates}
        return {**arguments, "deep_supervision": False, "port": True}, names

    return build


_CT = "attention_unet/ozan-oktay.Attention-Gated-Networks"
_LEE_NETWORK = "attention_unet/LeeJunHyun.Image_Segmentation"
_OFFICIAL = "attention_gate/ozan-oktay.Attention-Gated-Networks"
_MASK = {"attention": "spatial"}
_PSI = {"attention": "module/spatial", "psi": "module/spatial"}

REFERENCES: Sequence[Reference] = (
    Reference(f"{_OFFICIAL}/GridAttentionBlock2D", "attention_gate", _grid(2), maps=_MASK),
    Reference(f"{_OFFICIAL}/GridAttentionBlock3D", "attention_gate", _grid(3), maps=_MASK),
    Reference(f"{_OFFICIAL}/MultiAttentionBlock", "multi_attention_gate", _multi),
    Reference(f"{_OFFICIAL}/unet_CT_single_att_dsv_3D.MultiAttentionBlock", "multi_attention_gate", _single),
    Reference(
        "attention_gate/LeeJunHyun.Image_Segmentation/Attention_block",
        "attention_gate",
        _lee,
        adapt=_gate_first,
        maps=_PSI,
    ),
    Reference(
        "attention_gate/Project-MONAI.MONAI/AttentionBlock", "attention_gate", _monai, adapt=_gate_first, maps=_PSI
    ),
    Reference(
        f"{_CT}/unet_CT_single_att_dsv_3D",
        "attention_unet",
        _ct(1),
        maps={f"att{level + 1}": f"ups.{level}.gate.gates.0/spatial" for level in (1, 2, 3)},
    ),
    Reference(f"{_OFFICIAL}/unet_CT_multi_att_dsv_3D", "attention_unet", _ct(2)),
    Reference(f"{_CT}/unet_CT_dsv_3D", "attention_unet", _ct(0)),
    Reference(
        f"{_LEE_NETWORK}/AttU_Net",
        "attention_unet",
        _port(1),
        maps={f"att{level + 2}": f"ups.{level}.gate/spatial" for level in range(4)},
    ),
    Reference("attention_gate/LeeJunHyun.Image_Segmentation/AttU_Net", "attention_unet", _port(1)),
    Reference(f"{_LEE_NETWORK}/U_Net", "attention_unet", _port(0)),
)
