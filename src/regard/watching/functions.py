"""Functions of torch by what they do with the entries of a tensor, by their names.

A function, its method, its operator and its form in place have the same name here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

OPERATORS = {
    "radd": "add",
    "iadd": "add",
    "isub": "sub",
    "rsub": "sub",
    "subtract": "sub",
    "rmul": "mul",
    "imul": "mul",
}
OPERATORS |= {"multiply": "mul", "truediv": "div", "rtruediv": "div", "itruediv": "div", "true_divide": "div"}
OPERATORS |= {"divide": "div", "rdiv": "div", "idiv": "div", "rmatmul": "matmul", "concat": "cat", "concatenate": "cat"}
OPERATORS |= {"clip": "clamp", "negative": "neg", "mm": "matmul", "bmm": "matmul"}

# Each entry of the result is computed from the entries of the arguments at the same place.
SCALING = {"add", "sub", "mul", "div", "neg", "clamp", "clamp_min", "clamp_max", "pow", "square", "sqrt", "nan_to_num"}
SAME = {"to", "float", "half", "bfloat16", "double", "type", "type_as", "contiguous", "clone", "dropout", "dropout1d"}
SAME |= {
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_dropout",
    "masked_fill",
    "where",
    "cpu",
    "cuda",
    "positive",
}
ELEMENTWISE = (
    SCALING | SAME | {"exp", "expm1", "log", "log1p", "rsqrt", "abs", "sigmoid", "hardsigmoid", "tanh", "relu"}
)
ELEMENTWISE |= {
    "softplus",
    "gelu",
    "silu",
    "hardswish",
    "hardtanh",
    "relu6",
    "leaky_relu",
    "elu",
    "mish",
    "erf",
    "prelu",
}
ELEMENTWISE |= {"maximum", "minimum", "addcmul", "lerp", "sign", "reciprocal", "detach", "celu", "selu", "logsigmoid"}
ELEMENTWISE |= {"sin", "cos", "exponential", "softsign", "threshold", "rrelu", "hardshrink", "requires_grad"}

# Entries move and none is computed.
PARTS = {"chunk", "split", "tensor_split", "split_with_sizes", "unbind", "getitem", "select", "narrow", "index_select"}
MOVES = PARTS | {"view", "reshape", "permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "flatten"}
MOVES |= {
    "unflatten",
    "squeeze",
    "unsqueeze",
    "expand",
    "expand_as",
    "repeat",
    "tile",
    "repeat_interleave",
    "roll",
    "t",
}
MOVES |= {"flip", "pad", "unfold", "T", "mT", "pixel_shuffle", "pixel_unshuffle", "view_as", "reshape_as", "adjoint"}
MOVES |= {"broadcast_to", "rot90", "channel_shuffle", "gather", "take_along_dim", "ravel", "unsafe_chunk", "diagonal"}
JOINS = {"cat", "stack"}

NORMS = {"layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm", "normalize", "local_response_norm"}
GRIDS = {"conv2d", "conv3d", "conv_transpose2d", "conv_transpose3d", "avg_pool2d", "max_pool2d", "adaptive_avg_pool2d"}
GRIDS |= {"adaptive_max_pool2d", "lp_pool2d", "interpolate", "upsample", "avg_pool3d", "max_pool3d", "fold"}
GRIDS |= {"max_pool2d_with_indices", "boolean_dispatch"}

SOFTMAX = {"softmax", "gumbel_softmax"}
SQUASHING = {"sigmoid", "hardsigmoid", "tanh", "relu6"}  # relu6(x + 3) / 6 is the hard sigmoid of many a port
PRODUCTS = {"matmul", "baddbmm", "einsum", "linear"}


def name_of(func: Callable[..., Any]) -> str:
    """The name of a function as these sets have it; of an attribute such as `mT` its name."""
    name = getattr(func, "__name__", "")
    if name == "__get__":
        return str(getattr(getattr(func, "__self__", None), "__name__", ""))
    plain = name.strip("_")
    return OPERATORS.get(plain, plain)
