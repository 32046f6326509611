"""Checkpoint mappings for iSQRT covariance pooling, by itself and in GSoP-Net2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from regard.published.reference import Reference, unsupported

_OPERATIONS = ("covpool", "sqrtm", "triuvec")


def _isqrt(iterNum=3, is_sqrt=True, is_vec=True, input_dim=2048, dimension_reduction=None):
    names = {} if dimension_reduction is None else {"reduce": "conv_dr_block.0", "norm": "conv_dr_block.1"}
    return {
        "channels": input_dim,
        "hidden": dimension_reduction,
        "iterations": iterNum if is_sqrt else 0,
        "triangle": "upper" if is_vec else None,
    }, names


class _Column(nn.Module):
    """Our pooling, with the trailing axis of length 1 that the released vector has."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x)[..., None]


def _as_column(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    return _Column(module) if args.get("is_vec", True) else module


def _operations(op="covpool+sqrtm+triuvec", iterN=3):
    steps = tuple(op.split("+"))
    if steps not in (("covpool",), _OPERATIONS[:2], _OPERATIONS, ("covpool", "triuvec")):
        raise unsupported("op", op, f"{'+'.join(_OPERATIONS)} is accepted, or its first operations")
    if "sqrtm" in steps and iterN < 2:
        raise unsupported("iterN", iterN, "at least 2 is accepted, from which on the released code is right")
    return {
        "channels": 1,  # nothing is projected, so any width will do
        "hidden": None,
        "iterations": iterN if "sqrtm" in steps else 0,
        "triangle": "lower" if "triuvec" in steps else None,
    }, {}


REFERENCES = (
    Reference("isqrt/jiangtaoxie.fast-MPN-COV/MPNCOV", "isqrt_covariance", _isqrt, adapt=_as_column),
    Reference(
        "gsop/ZilinGao.Global-Second-order-Pooling-Convolutional-Networks/Covpool-Sqrtm-Triuvec",
        "isqrt_covariance",
        _operations,
        recording="three functions, called one after the other",
    ),
)
