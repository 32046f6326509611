"""The gated Sononet as others publish it."""

from __future__ import annotations

from regard.published.reference import Reference, unsupported

_MODES = {
    "concatenation_softmax": "softmax",
    "concatenation_sigmoid": "sigmoid",
    "concatenation_mean": "mean",
    "concatenation_mean_flow": "mean_flow",
    "concatenation_range_normalise": "range",
}
_AGGREGATIONS = {"concat": "concat", "mean": "separate", "deep_sup": "deep_supervision", "ft": "fine_tuning"}


def _sononet(
    feature_scale=4,
    n_classes=21,
    in_channels=3,
    is_batchnorm=True,
    n_convs=None,
    nonlocal_mode="concatenation",
    aggregation_mode="concat",
):
    if nonlocal_mode not in _MODES:
        raise unsupported(
            "nonlocal_mode", nonlocal_mode, f"{', '.join(_MODES)} are; the authors' default cannot be run"
        )
    if aggregation_mode not in _AGGREGATIONS:
        raise unsupported("aggregation_mode", aggregation_mode, f"{', '.join(_AGGREGATIONS)} are")
    convolutions = tuple(n_convs or (3, 3, 3, 2, 2))
    names = {f"aggregate.gates.{i}": f"compatibility_score{i + 1}" for i in range(2)}
    names |= {f"aggregate.separate.{i}": f"classifier{i + 1}" for i in range(3)}
    names["aggregate.classify"] = "classifier"
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
        "normalization": _MODES[nonlocal_mode],
        "aggregation": _AGGREGATIONS[aggregation_mode],
    }, names


REFERENCES = (
    Reference(
        "attention_gate/ozan-oktay.Attention-Gated-Networks/sononet_grid_attention",
        "gated_sononet",
        _sononet,
        maps={"att1": "aggregate.gates.0/spatial", "att2": "aggregate.gates.1/spatial"},
    ),
)
