"""Checkpoint mappings for residual attention: single modules, and the networks made of them."""

from __future__ import annotations

from collections.abc import Iterator

from regard.published.naming import probabilities
from regard.published.reference import Build, Reference, unsupported

_OFFICIAL = "residual_attention/fwang91.residual-attention-network"

_MASKS = {"f1": "mixed", "f2": "channel", "f3": "spatial"}
_LEARNING = {"arl": "residual", "nal": "naive"}
_CONVS = {"conv1": "conv1_1x1", "conv2": "conv2_3x3", "conv3": "conv3_1x1"}
_COUNTS = {56: (1, 1, 1), 92: (1, 2, 3)}  # depth -> modules in each stage


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


def _network(counts: tuple[int, int, int], unit: str) -> Build:
    def build(width_divisor=1, input_size=224, classes=1000, upto=None):
        if upto is not None:
            raise unsupported("upto", upto, "None is accepted; the whole definition is rebuilt")
        arguments = {"modules": counts, "unit": unit, "classes": classes, "width": 64 // width_divisor}
        if unit == "resnext":
            arguments["groups"] = 32 // width_divisor
        return arguments, dict(_names(counts, unit == "preact"))

    return build


def _names(counts: tuple[int, int, int], preact: bool) -> Iterator[tuple[str, str]]:
    """Our and the published name of every layer that has parameters.

    `before` is the layer whose output a unit takes: in the definition a unit's first norm bears that layer's name.
    """
    down, up = ("down_sample", "up_sample") if preact else ("down", "up")

    def unit(ours: str, theirs: str, before: str, project: str = "") -> Iterator[tuple[str, str]]:
        for i, (conv, name) in enumerate(_CONVS.items(), 1):
            yield f"{ours}.{conv}", f"{theirs}_branch1_{name}"
            if i < 3 or not preact:
                yield f"{ours}.norm{i}", f"{theirs}_branch1_{name}_bn"
        if preact:
            yield f"{ours}.norm0", f"{before}_bn"
        if project:
            yield f"{ours}.{project}", f"{theirs}_branch2_conv1_1x1"
            if not preact:
                yield f"{ours}.{project}_norm", f"{theirs}_branch2_conv1_1x1_bn"

    def attention(ours: str, theirs: str, depth: int, before: str) -> Iterator[tuple[str, str]]:
        mask, trunk = f"{theirs}_mask", f"{theirs}_trunk"
        yield from unit(f"{ours}.pre.0", f"{trunk}_res1", before)
        yield from unit(f"{ours}.trunk.0", f"{trunk}_res2", f"{trunk}_res1")
        yield from unit(f"{ours}.trunk.1", f"{trunk}_res3", f"{trunk}_res2")
        yield from unit(f"{ours}.post.0", theirs, f"{theirs}_fusion")
        for i in range(1, depth + 1):
            level = f"{mask}_{down}_res{i}"
            yield from unit(f"{ours}.down.{i - 1}.0", f"{level}_1", f"{mask}_{down}_pool{i}_3x3_s2")
            if i == depth:
                yield from unit(f"{ours}.down.{i - 1}.1", f"{level}_2", f"{level}_1")
            else:
                yield from unit(f"{ours}.skip.{i - 1}.0", f"{mask}_skip_res{i}", f"{level}_1")
                yield from unit(f"{ours}.up.{i - 1}.0", f"{mask}_{up}_res{i}_1", f"{mask}_{up}{i}")
        yield f"{ours}.conv1", f"{mask}_linear_1"
        yield f"{ours}.norm1", f"{mask}_linear_1_bn"
        yield f"{ours}.conv2", f"{mask}_linear_2"
        if preact:
            yield f"{ours}.norm0", f"{mask}_{up}_interp_1_bn"

    yield "conv", "conv1"
    yield "norm", "conv1_bn"
    before = "pool1_3x3_s2"
    for stage, (letter, count) in enumerate(zip("ABC", counts, strict=True)):
        change = f"pre_res_{stage + 1}"
        yield from unit(f"changes.{stage}", change, before, "project")
        before = change
        for i in range(count):
            theirs = f"Attention{letter}_{i + 1}"
            yield from attention(f"stages.{stage}.{i}", theirs, 3 - stage, before)
            before = theirs
    yield from unit("change", "post_res_4_1", before, "project")
    yield from unit("units.0", "post_res_4_2", "post_res_4_1")
    yield from unit("units.1", "post_res_4_3", "post_res_4_2")
    if preact:
        yield "final_norm", "post_res_4_3_bn"
    yield "classify", "classifier"


REFERENCES = (
    *(
        Reference(
            f"{_OFFICIAL}/Attention-{depth}-deploy-Attention{stage}_{i}",
            "residual_attention",
            _module,
            maps={"mask": "spatial"},
            recording="layers of a Caffe definition",
        )
        for depth, counts in _COUNTS.items()
        for stage, count in zip("ABC", counts, strict=True)
        for i in range(1, count + 1)
    ),
    *(
        Reference(
            f"{_OFFICIAL}/{name}-{depth}-deploy",
            "residual_attention_network",
            _network(counts, unit),
            adapt=probabilities,
            maps={
                f"Attention{letter}_{i + 1}_mask": f"stages.{stage}.{i}/spatial"
                for stage, (letter, count) in enumerate(zip("ABC", counts, strict=True))
                for i in range(count)
            },
        )
        for name, unit in (("Attention", "preact"), ("AttentionNeXt", "resnext"))
        for depth, counts in _COUNTS.items()
    ),
)
