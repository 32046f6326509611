"""Learn To Pay Attention as others publish it."""

from __future__ import annotations

from regard.published.reference import Reference, unsupported


def _normalise(normalize_attn):
    return {"normalise": "softmax" if normalize_attn else "sigmoid", "return_compatibility": True}


def _linear(in_features, normalize_attn=True):
    return {"channels": in_features, **_normalise(normalize_attn)}, {"score": "op"}


def _projected(in_features, out_features, normalize_attn=True):
    arguments = {"channels": in_features, "gate_channels": out_features, "project": "local"}
    return {**arguments, **_normalise(normalize_attn)}, {"project": "proj.op", "score": "attn.op"}


def _grid(in_features_l, in_features_g, attn_features, up_factor, normalize_attn=False):
    arguments = {"channels": in_features_l, "gate_channels": in_features_g, "hidden": attn_features}
    names = {"local": "W_l", "gate": "W_g", "score": "phi"}
    return {**arguments, "compatibility": "additive", **_normalise(normalize_attn)}, names


def _paper(compatibility="dp", normalize_attn=True):
    if compatibility != "dp":
        raise unsupported("compatibility", compatibility, "dp is; the port publishes the parametrised one")
    # Without parameters, the dot product takes any width.
    return {"channels": 1, "compatibility": "dot", **_normalise(normalize_attn)}, {}


REFERENCES = (
    Reference("learn_to_pay_attention/SaoYan.LearnToPayAttention/LinearAttentionBlock", "ltpa", _linear),
    Reference(
        "learn_to_pay_attention/SaoYan.LearnToPayAttention/ProjectorBlock-LinearAttentionBlock", "ltpa", _projected
    ),
    Reference("learn_to_pay_attention/SaoYan.LearnToPayAttention/GridAttentionBlock", "ltpa", _grid),
    Reference("learn_to_pay_attention/paper", "ltpa", _paper, maps={"attention_softmax": "attention"}),
)
