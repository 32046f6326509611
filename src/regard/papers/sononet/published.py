"""Checkpoint mappings for gated Sononet: its gates, their aggregation, and the network."""

from __future__ import annotations

from regard.published.reference import Build, Given, Names, Reference, State, unsupported

_OFFICIAL = "attention_gate/ozan-oktay.Attention-Gated-Networks"
_MASK = {"attention": "spatial"}
_MODES = {
    "concatenation_softmax": "softmax",
    "concatenation_sigmoid": "sigmoid",
    "concatenation_mean": "mean",
    "concatenation_mean_flow": "mean_flow",
    "concatenation_range_normalise": "range",
}
_AGGREGATIONS = {"concat": "concat", "mean": "separate", "deep_sup": "deep_supervision", "ft": "fine_tuning"}


def _normalization(mode: str) -> str:
    if mode not in _MODES:
        raise unsupported("mode", mode, f"{', '.join(_MODES)} are accepted; the authors' default cannot be run")
    return _MODES[mode]


def _aggregation(mode: str) -> str:
    if mode not in _AGGREGATIONS:
        raise unsupported("aggregation_mode", mode, f"{', '.join(_AGGREGATIONS)} are accepted")
    return _AGGREGATIONS[mode]


def _aggregation_names(prefix: str) -> Names:
    names = {f"{prefix}gates.{i}": f"compatibility_score{i + 1}" for i in range(2)}
    names |= {f"{prefix}separate.{i}": f"classifier{i + 1}" for i in range(3)}
    return {**names, f"{prefix}classify": "classifier"}


def _gate(dims: int) -> Build:
    def build(
        in_channels,
        gating_channels,
        inter_channels=None,
        mode="concatenation",
        sub_sample_factor=1,
        bn_layer=True,
        use_W=True,
        use_phi=True,
        use_theta=True,
        use_psi=True,
        nonlinearity1="relu",
        dimension=dims,
    ):
        names = {"theta": "theta"} if use_theta else {}
        names |= {"phi": "phi"} if use_phi else {}
        names |= {"psi": "psi"} if use_psi else {}
        if use_W:
            names |= {"out": "W.0", "norm": "W.1"} if bn_layer else {"out": "W"}
        return {
            "channels": in_channels,
            "gate_channels": gating_channels,
            "hidden": inter_channels,
            "dims": dimension,
            "subsample": sub_sample_factor if isinstance(sub_sample_factor, int) else tuple(sub_sample_factor),
            "normalization": _normalization(mode),
            # any other name leaves the sum as it is
            "activation": "relu" if nonlinearity1 == "relu" else None,
            "theta": use_theta,
            "phi": use_phi,
            "psi": use_psi,
            "transform": use_W,
            "norm": bn_layer,
            "return_mask": True,
        }, names

    return build


def _aggregate(
    feature_scale=4,
    n_classes=21,
    in_channels=3,
    is_batchnorm=True,
    n_convs=None,
    nonlocal_mode="concatenation",
    aggregation_mode="concat",
):
    fine, coarse = int(256 / feature_scale), int(512 / feature_scale)
    return {
        "channels": coarse,
        "level_channels": (fine, coarse),
        "classes": n_classes,
        "normalization": _normalization(nonlocal_mode),
        "aggregation": _aggregation(aggregation_mode),
    }, _aggregation_names("")


def _without_trunk(state: State, args: Given) -> State:
    """The parameters of the gates and classifiers alone."""
    return {key: value for key, value in state.items() if key.startswith(("compatibility_score", "classifier"))}


def _sononet(
    feature_scale=4,
    n_classes=21,
    in_channels=3,
    is_batchnorm=True,
    n_convs=None,
    nonlocal_mode="concatenation",
    aggregation_mode="concat",
):
    convolutions = tuple(n_convs or (3, 3, 3, 2, 2))
    names = _aggregation_names("aggregate.")
    for i, count in enumerate(convolutions):
        for j in range(count):
            names[f"stages.{i}.convolutions.{j}"] = f"conv{i + 1}.conv{j + 1}.0"
            names[f"stages.{i}.norms.{j}"] = f"conv{i + 1}.conv{j + 1}.1"
    return {
        "channels": in_channels,
        "classes": n_classes,
        "feature_scale": feature_scale,
        "convolutions": convolutions,
        "norm": is_batchnorm,
        "normalization": _normalization(nonlocal_mode),
        "aggregation": _aggregation(aggregation_mode),
    }, names


REFERENCES = (
    Reference(f"{_OFFICIAL}/GridAttentionBlock2D_TORR", "sononet_gate", _gate(2), maps=_MASK),
    Reference(f"{_OFFICIAL}/GridAttentionBlock3D_TORR", "sononet_gate", _gate(3), maps=_MASK),
    Reference(
        f"{_OFFICIAL}/sononet_grid_attention.aggregate",
        "sononet_aggregation",
        _aggregate,
        state=_without_trunk,
        maps={"att1": "gates.0/spatial", "att2": "gates.1/spatial"},
    ),
    Reference(
        f"{_OFFICIAL}/sononet_grid_attention",
        "gated_sononet",
        _sononet,
        maps={"att1": "aggregate.gates.0/spatial", "att2": "aggregate.gates.1/spatial"},
    ),
)
