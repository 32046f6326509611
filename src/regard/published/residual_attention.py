"""Residual attention modules as others publish them."""

from __future__ import annotations

from regard.published.reference import Reference

_MASKS = {"f1": "mixed", "f2": "channel", "f3": "spatial"}
_LEARNING = {"arl": "residual", "nal": "naive"}


def _module(channels, depth, p=1, t=2, r=1, activation="f1", learning="arl"):
    arguments = {"channels": channels, "depth": depth, "p": p, "t": t, "r": r}
    arguments |= {"mask": _MASKS.get(activation, activation), "learning": _LEARNING.get(learning, learning)}
    units = [f"{branch}.{i}" for branch, count in (("pre", p), ("trunk", t), ("post", p)) for i in range(count)]
    for level in range(depth):
        units += [f"down.{level}.{i}" for i in range(r if level < depth - 1 else 2 * r)]
    for level in range(depth - 1):
        units += [f"skip.{level}.0", *(f"up.{level}.{i}" for i in range(r))]
    names = {"norm0": "bn_a", "conv1": "lin1", "norm1": "bn_b", "conv2": "lin2"}
    for unit in units:
        names |= {f"{unit}.norm{i}": f"{unit}.bn{i}" for i in range(3)}
        names |= {f"{unit}.conv{i}": f"{unit}.conv{i}" for i in (1, 2, 3)}
    return arguments, names


# The modules of the two definitions made of pre-activation units: as many in a stage as the network's name says.
REFERENCES = tuple(
    Reference(
        f"residual_attention/fwang91.residual-attention-network/Attention-{network}-deploy-Attention{stage}_{i}",
        "residual_attention",
        _module,
        maps={"mask": "spatial"},
    )
    for network, counts in ((56, (1, 1, 1)), (92, (1, 2, 3)))
    for stage, count in zip("ABC", counts, strict=True)
    for i in range(1, count + 1)
)
