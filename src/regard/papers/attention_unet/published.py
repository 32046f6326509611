"""Checkpoint mappings for the attention gates of U-Nets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from regard.published.reference import Build, Reference, unsupported

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
)
