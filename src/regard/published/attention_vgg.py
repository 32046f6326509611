"""The attention VGG as others publish it."""

from __future__ import annotations

from regard.published.reference import Build, Reference

_CONVOLUTIONS = (2, 2, 3, 3, 3, 2)
_INITS = ("kaimingNormal", "kaimingUniform", "xavierNormal", "xavierUniform")


def _vgg(place: str) -> Build:
    def build(im_size, num_classes, attention=True, normalize_attn=True, init="xavierUniform", width_divisor=1):
        if init not in _INITS:
            raise ValueError(f"init={init!r}: one of {', '.join(_INITS)} is needed; the weights are replaced")
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
            "widths": tuple(width // width_divisor for width in (64, 128, 256, 512, 512, 512)),
            "attend": place if attention else None,
            "normalise": "softmax" if normalize_attn else "sigmoid",
            "return_compatibility": bool(attention),
        }, names

    return build


_OFFICIAL = "learn_to_pay_attention/SaoYan.LearnToPayAttention"
_MAPS = {f"attention{i + 1}": f"attentions.{i}/attention" for i in range(3)}

REFERENCES = tuple(
    Reference(f"{_OFFICIAL}/AttnVGG_{place}", "attention_vgg", _vgg(place), maps=_MAPS) for place in ("before", "after")
)
