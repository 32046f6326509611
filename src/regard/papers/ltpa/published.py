"""Checkpoint mappings for Learn To Pay Attention: its attention blocks, and the VGG that contains three of them."""

from __future__ import annotations

from regard.published.reference import Build, Reference, unsupported

_PORT = "learn_to_pay_attention/SaoYan.LearnToPayAttention"
_CONVOLUTIONS = (2, 2, 3, 3, 3, 2)  # in each stage of the VGG
_WIDTHS = (64, 128, 256, 512, 512, 512)
_INITS = ("kaimingNormal", "kaimingUniform", "xavierNormal", "xavierUniform")
_MAPS = {f"attention{i + 1}": f"attentions.{i}/attention" for i in range(3)}


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
        raise unsupported("compatibility", compatibility, "dp is accepted; the port publishes the parametrised one")
    # Without parameters, the dot product takes any width.
    return {"channels": 1, "compatibility": "dot", **_normalise(normalize_attn)}, {}


def _vgg(place: str) -> Build:
    def build(im_size, num_classes, attention=True, normalize_attn=True, init="xavierUniform", width_divisor=1):
        if init not in _INITS:
            raise ValueError(f"init={init!r}: one of {', '.join(_INITS)} is accepted")
        names = {"join": "dense", "classify": "classify"}
        stages = ["early.0", "early.1", "early.2", "middle", "late", "last"]
        for i, (stage, count) in enumerate(zip(stages, _CONVOLUTIONS, strict=True)):
            each = 4 if i == 5 else 3  # convolution, norm, ReLU, and in the last a pooling
            for j in range(count):
                names[f"{stage}.convolutions.{j}"] = f"conv_block{i + 1}.op.{each * j}"
                names[f"{stage}.norms.{j}"] = f"conv_block{i + 1}.op.{each * j + 1}"
        if attention:
            names |= {f"attentions.{i}.score": f"attn{i + 1}.op" for i in range(3)}
            names["attentions.0.project"] = "projector.op"
        return {
            "classes": num_classes,
            "grid": (im_size, im_size),
            "widths": tuple(width // width_divisor for width in _WIDTHS),
            "attend": place if attention else None,
            "normalise": "softmax" if normalize_attn else "sigmoid",
            "return_compatibility": bool(attention),
        }, names

    return build


REFERENCES = (
    Reference(f"{_PORT}/LinearAttentionBlock", "ltpa", _linear),
    Reference(
        f"{_PORT}/ProjectorBlock-LinearAttentionBlock",
        "ltpa",
        _projected,
        recording="two classes, called one after the other",
    ),
    Reference(f"{_PORT}/GridAttentionBlock", "ltpa", _grid),
    Reference(
        "learn_to_pay_attention/paper",
        "ltpa",
        _paper,
        maps={"attention_softmax": "attention"},
        recording="equations of the paper",
    ),
    *(Reference(f"{_PORT}/AttnVGG_{place}", "attention_vgg", _vgg(place), maps=_MAPS) for place in ("before", "after")),
)
