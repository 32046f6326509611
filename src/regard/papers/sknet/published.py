"""Checkpoint mappings for selective kernels: layers and networks."""

from __future__ import annotations

from regard.published.naming import caffe, caffe_maps
from regard.published.reference import Given, Reference, State

_MAPS = {"branch_weights": "branch"}
_OFFICIAL_PARTS = {
    "reduce": "B_fc1",
    "norm": "B_fc1_bn",
    **{f"convs.{i}": f"3x3g32{end}" for i, end in enumerate(("", "d2"))},
    **{f"norms.{i}": f"3x3g32{end}_bn" for i, end in enumerate(("", "d2"))},
    **{f"selects.{i}": f"B_fc2_{i}" for i in (0, 1)},
}


def _names(branches, conv, norm):
    return {f"convs.{i}": f"convs.{i}.{conv}" for i in range(branches)} | {
        f"norms.{i}": f"convs.{i}.{norm}" for i in range(branches)
    }


def _sk(features, M=2, G=32, r=16, L=32, stride=1, fcs_bias=False):
    arguments = {
        "channels": features,
        "kernel_sizes": tuple(range(3, 3 + 2 * M, 2)),
        "groups": G,
        "hidden": max(int(features / r), L),
        "stride": stride,
        "select_bias": fcs_bias,
    }
    return arguments, {**_names(M, 0, 1), "reduce": "fc.0", "norm": "fc.1", "selects": "fcs"}


def _sk_survey(features, M=2, G=32, r=16, stride=1, L=32, fcs_bias=True):
    return _sk(features, M, G, r, L, stride, fcs_bias)


def _sk_port(features, WH, M, G, r, stride=1, L=32):
    arguments, names = _sk(features, M, G, r, L, stride, fcs_bias=True)
    arguments |= {"dilated": False, "norm": False, "bias": True}
    return arguments, {**names, "reduce": "fc"}


def _divided(state: State, args: Given) -> State:
    """timm's joint matrix of the branches, divided into one for each."""
    joint = state["attn.fc_select.weight"]
    parts = joint.chunk(sum(key.endswith("conv.weight") for key in state))
    rest = {key: value for key, value in state.items() if key != "attn.fc_select.weight"}
    return rest | {f"attn.fc_select.{i}.weight": part for i, part in enumerate(parts)}


def _sk_timm(in_channels, out_channels=None, kernel_size=None, stride=1, dilation=1, groups=1, rd_ratio=1 / 16,
             rd_channels=None, rd_divisor=8, keep_3x3=True, split_input=True):  # fmt: skip
    out = out_channels or in_channels
    sizes = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size or (3, 5))
    width = max(rd_divisor, int(out * rd_ratio + rd_divisor / 2) // rd_divisor * rd_divisor)
    width += rd_divisor if width < 0.9 * out * rd_ratio else 0
    arguments = {
        "channels": in_channels,
        "out": out,
        "kernel_sizes": tuple(sizes),
        "dilated": keep_3x3,
        "dilation": dilation,
        "stride": stride,
        "groups": min(out, groups),
        "split": split_input,
        "hidden": rd_channels or width,
    }
    names = {"reduce": "attn.fc_reduce", "norm": "attn.bn", "selects": "attn.fc_select"}
    for i, size in enumerate(sizes):
        names |= {f"convs.{i}": f"paths.{i}.conv", f"norms.{i}": f"paths.{i}.bn"}
        if stride > 2:  # timm's padding grows with the stride
            reach = dilation * (size - 1) if not keep_3x3 else 2 * dilation * ((size - 1) // 2)
            arguments[f"convs.{i}.padding"] = ((stride - 1 + reach) // 2,) * 2
    return arguments, names


def _selects(state: State, args: Given) -> State:
    """The official joint convolution of both branches, divided into one for each."""
    split: State = {}
    for key, value in state.items():
        if key.endswith("_B_fc2.weight"):
            for i, part in enumerate(value.chunk(2)):
                split[key.replace("_B_fc2.", f"_B_fc2_{i}.")] = part
        else:
            split[key] = value
    return split


REFERENCES = (
    Reference(
        "sk/implus.SKNet/sknet50-conv2_1-SK-unit", "sk", _sk, maps=_MAPS, recording="layers of a Caffe definition"
    ),
    Reference("sk/survey", "sk", _sk_survey, maps=_MAPS, recording="a survey's listing"),
    Reference("sk/pppLang.SKNet/SKConv", "sk", _sk_port, maps=_MAPS),
    Reference("sk/timm/SelectiveKernel", "sk", _sk_timm, state=_divided, maps=_MAPS),
    *(
        Reference(
            f"sk/implus.SKNet/sknet{depth}",
            "paper_network",
            caffe(f"sknet{depth}", depth, _OFFICIAL_PARTS, middle=""),
            state=_selects,
            maps=caffe_maps(depth, "B_softmax", "convs.1/branch"),
        )
        for depth in (50, 101)
    ),
)
