"""Layer names of the authors' networks: those of Caffe's definitions, and PyTorch's, which follow torchvision.

Ours are `stem`, `stages.<stage>.<block>` and `classify`, of the networks in `regard.networks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from regard.networks.inverted import MobileNetV2
from regard.networks.residual import BLOCKS
from regard.published.reference import Build, Given, Names, Probabilities, Reference, State, unsupported

Parts = Mapping[str, str]  # our part of a mechanism -> the published one
MOBILE_BLOCKS = MobileNetV2().blocks
MOBILE_LAST = f"stages.{len(MOBILE_BLOCKS) - 1}.{MOBILE_BLOCKS[-1]}"  # the last 1 × 1 convolution, behind the blocks


def network(name: str, build: Build) -> Reference:
    """The reference of a network known by name."""
    return Reference(name, "paper_network", build)


def caffe(name: str, depth: int, parts: Parts, middle: str = "3x3", stem: tuple[str, ...] = ("conv1_7x7_s2",)) -> Build:
    """`build` of a network in Caffe's definition.

    Args:
        name: our name of the network.
        depth: of the residual network.
        parts: of the mechanism.
        middle: published name of the second convolution of a bottleneck; empty where the mechanism takes its place.
        stem: published names of the convolutions before the stages.
    """

    def build(
        width_divisor: int = 1, input_size: int = 224, classes: int = 1000, upto: str | None = None
    ) -> tuple[dict[str, Any], Names]:
        if upto is not None:
            raise unsupported("upto", upto, "None is accepted; the whole definition is rebuilt")
        arguments = {"name": name, "classes": classes, "width": 64 // width_divisor, "image_size": input_size}
        return arguments, dict(_caffe_names(BLOCKS[depth], parts, middle, stem))

    return build


def _caffe_names(
    blocks: tuple[int, ...], parts: Parts, middle: str, stem: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Our and the published name of every layer."""
    for i, layer in enumerate(stem):
        yield f"stem.{3 * i}", layer
        yield f"stem.{3 * i + 1}", f"{layer}_bn"
    for stage, count in enumerate(blocks):
        for i in range(count):
            ours, theirs = f"stages.{stage}.{i}", f"conv{stage + 2}_{i + 1}"
            for number, layer in enumerate(("1x1_reduce", middle, "1x1_increase")):
                if layer:
                    yield f"{ours}.convs.{number}", f"{theirs}_{layer}"
                    yield f"{ours}.norms.{number}", f"{theirs}_{layer}_bn"
            if i == 0:
                yield f"{ours}.project.0", f"{theirs}_1x1_proj"
                yield f"{ours}.project.1", f"{theirs}_1x1_proj_bn"
            mechanism = "attention" if middle else "convs.1"
            for part, layer in parts.items():
                yield f"{ours}.{mechanism}.{part}", f"{theirs}_{layer}"
    yield "classify", "classifier"


def caffe_maps(depth: int, theirs: str, ours: str) -> dict[str, str]:
    """Published name of the map in each block -> ours."""
    return {
        f"conv{stage + 2}_{i + 1}_{theirs}": f"stages.{stage}.{i}.{ours}"
        for stage, count in enumerate(BLOCKS[depth])
        for i in range(count)
    }


def joined_norms(state: State, args: Given) -> State:
    """Weight and bias of Caffe's batch norms, which lie in a layer of their own, moved to the norms."""
    return {key.replace("_bn_scale.", "_bn."): value for key, value in state.items()}


def probabilities(module: nn.Module, args: Given) -> nn.Module:
    """Our network with the softmax in which the published definition ends."""
    return Probabilities(module)


def torch_names(
    blocks: tuple[int, ...],
    parts: Parts,
    attribute: str,
    *,
    bottleneck: bool,
    behind: str = "",
    preactivation: bool = False,
    head: str = "fc",
    shortcut: str = "downsample",
) -> Names:
    """Our name of every layer of a ResNet -> the published one.

    Args:
        blocks: how many in each stage.
        parts: of the mechanism.
        attribute: what stands before a part's name in a block.
        bottleneck: three convolutions in a block rather than two.
        behind: for a mechanism behind a stage, what stands before the stage's number.
        preactivation: norms stand before their convolutions, and none in the stem.
        head: published name of the classifier.
        shortcut: published name of the projection.
    """
    names = {"stem.0": "conv1", "classify": head} | ({} if preactivation else {"stem.1": "bn1"})
    for stage, count in enumerate(blocks):
        for i in range(count):
            ours, theirs = f"stages.{stage}.{i}", f"layer{stage + 1}.{i}"
            for n in range(3 if bottleneck else 2):
                names |= {f"{ours}.convs.{n}": f"{theirs}.conv{n + 1}", f"{ours}.norms.{n}": f"{theirs}.bn{n + 1}"}
            names[f"{ours}.project"] = f"{theirs}.{shortcut}"
            for part, layer in parts.items():
                names[f"{ours}.attention.{part}"] = f"{theirs}.{attribute}{layer}"
        if behind:
            names |= {f"stages.{stage}.{count}.{part}": f"{behind}{stage + 1}.{layer}" for part, layer in parts.items()}
    return names


def mobile_blocks() -> Iterator[tuple[int, str, int]]:
    """Number of each block of MobileNetV2, counted from 1, our name of it, and its stage, counted from 0."""
    names = [(f"stages.{stage}.{i}", stage) for stage, count in enumerate(MOBILE_BLOCKS) for i in range(count)]
    return ((number, *name) for number, name in enumerate(names, 1))


def trunk_names(theirs: str, layers: str = "") -> Names:
    """Our names of the trunk of a segmentation network -> the published ones, for a stem of three convolutions.

    Args:
        theirs: what stands before the layers of the stem: conv1, bn1, … conv3, bn3.
        layers: what stands before the stages: layer1 … layer4.
    """
    names = {"bn1": "bn3"}  # of timm's, whose first two convolutions and norms lie in `conv1`
    names |= {f"conv1.{3 * i}": f"conv{i + 1}" for i in range(3)} | {f"conv1.{3 * i + 1}": f"bn{i + 1}" for i in (0, 1)}
    stem = {f"trunk.network.{part}": f"{theirs}{layer}" for part, layer in names.items()}
    return {**stem, **{f"trunk.network.layer{i}": f"{layers}layer{i}" for i in range(1, 5)}}


def mmseg_names(head: Names) -> Names:
    """Our names of a segmentation network on a ResNetV1c with an auxiliary head -> those of mmsegmentation."""
    names = {f"trunk.network.conv1.{i}": f"backbone.stem.{i}" for i in (0, 1, 3, 4, 6)}
    names |= {"trunk.network.bn1": "backbone.stem.7", "trunk.network": "backbone"}
    names |= {
        f"auxiliary.{ours}1": f"auxiliary_head.convs.0.{theirs}" for ours, theirs in (("conv", "conv"), ("norm", "bn"))
    }
    names["auxiliary.classify"] = "auxiliary_head.conv_seg"
    return {**names, **{f"head.{ours}": f"decode_head.{theirs}" for ours, theirs in head.items()}}
