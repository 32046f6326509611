"""Checkpoint mappings for gather-excite: layers and networks."""

from __future__ import annotations

from regard.published.naming import caffe, caffe_maps
from regard.published.reference import Given, Reference, State, unsupported

_OFFICIAL = "ge/hujie-frank.GENet"
_VARIANTS = {"theta-": "theta_minus", "theta": "theta", "theta+": "theta_plus"}
_NETWORKS = {  # published name -> variant, and the parts of its mechanism
    "GEPF": ("theta_minus", {}),
    "GEP": ("theta", {"kernel": "gather.weight", "norms.0": "gather_bn"}),
    "GEPP": (
        "theta_plus",
        {
            "kernel": "gather.weight",
            "norms.0": "gather_bn",
            "reduce": "excite_1x1_down",
            "expand": "excite_1x1_up",
        },
    ),
}


def _ge(variant="theta-", extent=0, channels=None, feat_size=None, reduction=16):
    if variant not in _VARIANTS:
        raise unsupported("variant", variant, f"{', '.join(_VARIANTS)} are accepted")
    if channels is None and variant != "theta-":
        raise ValueError(f"channels=None: a number of channels is needed with variant={variant!r}")
    arguments = {"channels": channels or reduction, "variant": _VARIANTS[variant], "extent": extent or None}
    names = {"": "gather"}
    if variant != "theta-" and not extent:
        arguments["grid"] = (feat_size, feat_size) if isinstance(feat_size, int) else tuple(feat_size or ())
        names = {"": "gather", "norms.0": "gather.bn"}
    elif variant != "theta-":
        for i in range(extent.bit_length() - 1):
            names |= {f"convs.{i}": f"gather.conv{i + 1}", f"norms.{i}": f"gather.bn{i + 1}"}
    if variant == "theta+":
        arguments["reduction"] = reduction
        names |= {"reduce": "down", "expand": "up"}
    return arguments, names


def _ge_state(state: State, args: Given) -> State:
    """The weights that cover the whole map, under our name of them."""
    return {"gather.kernel" if key == "gather.conv.weight" else key: value for key, value in state.items()}


def _ge_timm(channels, feat_size=None, extra_params=False, extent=0, use_mlp=True, rd_ratio=1 / 16, rd_channels=None,
             rd_divisor=1, add_maxpool=False):  # fmt: skip
    if use_mlp or add_maxpool or (extra_params and not extent):
        what = "use_mlp" if use_mlp else "add_maxpool" if add_maxpool else "extra_params"
        raise unsupported(what, True, "False is accepted; timm's GatherExcite then differs from the paper's")
    arguments = {"channels": channels, "variant": "theta" if extra_params else "theta_minus", "extent": extent or None}
    names: dict[str, str] = {}
    for i in range(extent.bit_length() - 1 if extra_params else 0):
        names |= {f"convs.{i}": f"gather.conv{i + 1}", f"norms.{i}": f"gather.norm{i + 1}"}
    return arguments, names


REFERENCES = (
    *(
        Reference(
            f"{_OFFICIAL}/{name}", "ge", _ge, state=_ge_state, maps=maps, recording="layers of a Caffe definition"
        )
        for end, maps in (("RN50-{}-gather-excite-layers", {}), ("{}8", {"gate": "gate"}))
        for name in map(end.format, _NETWORKS)
    ),
    Reference("ge/timm/GatherExcite", "ge", _ge_timm),
    *(
        Reference(
            f"{_OFFICIAL}/RN50-{name}",
            "paper_network",
            caffe(f"ge_resnet50_{variant}", 50, parts),
            maps=caffe_maps(50, "excite_sigmoid", "attention/gate"),
        )
        for name, (variant, parts) in _NETWORKS.items()
    ),
)
