"""How the authors' networks name their layers: Caffe's definitions, and PyTorch's in the names of torchvision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from regard.published.reference import Build, Probabilities, Reference, State, unsupported

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
Names = Iterator[tuple[str, str]]
Gate = Mapping[str, str]  # our part of the mechanism -> the published one


def caffe(name: str, depth: int, gate: Gate, middle: str = "3x3", stem: tuple[str, ...] = ("conv1_7x7_s2",)) -> Build:
    def names(blocks: tuple[int, ...]) -> Names:
        for i, layer in enumerate(stem):
            yield f"stem.{3 * i}", layer
            yield f"stem.{3 * i + 1}", f"{layer}_bn"
        for stage, count in enumerate(blocks):
            for i in range(count):
                ours, theirs = f"stages.{stage}.{i}", f"conv{stage + 2}_{i + 1}"
                parts = {0: "1x1_reduce", 1: middle, 2: "1x1_increase"}
                for number, part in parts.items():
                    if part:
                        yield f"{ours}.convs.{number}", f"{theirs}_{part}"
                        yield f"{ours}.norms.{number}", f"{theirs}_{part}_bn"
                if i == 0:
                    yield f"{ours}.project.0", f"{theirs}_1x1_proj"
                    yield f"{ours}.project.1", f"{theirs}_1x1_proj_bn"
                where = "attention" if middle else "convs.1"
                for part, layer in gate.items():
                    yield f"{ours}.{where}.{part}", f"{theirs}_{layer}"
        yield "classify", "classifier"

    def build(width_divisor=1, input_size=224, classes=1000, upto=None):
        if upto is not None:
            raise unsupported("upto", upto, "only the whole definition is rebuilt")
        arguments = {"name": name, "classes": classes, "width": 64 // width_divisor, "image_size": input_size}
        return arguments, dict(names(BLOCKS[depth]))

    return build


def joined_norms(state: State, args: Mapping[str, Any]) -> State:
    """Caffe's batch norms have their weight and bias in a layer of its own."""
    return {key.replace("_bn_scale.", "_bn."): value for key, value in state.items()}


def seen(depth: int, theirs: str, ours: str) -> dict[str, str]:
    return {
        f"conv{stage + 2}_{i + 1}_{theirs}": f"stages.{stage}.{i}.{ours}"
        for stage, count in enumerate(BLOCKS[depth])
        for i in range(count)
    }


def probabilities(module, args):
    """Our network behind the softmax in which the published definition ends."""
    return Probabilities(module)


def torch_names(
    blocks: tuple[int, ...],
    gate: Gate,
    attribute: str,
    *,
    bottleneck: bool,
    behind: str = "",
    preactivation: bool = False,
    head: str = "fc",
    shortcut: str = "downsample",
) -> dict[str, str]:
    """Ours and theirs of every layer; `attribute` has the mechanism in a block, or `behind` and the stage's number."""
    names = {"stem.0": "conv1", "classify": head} | ({} if preactivation else {"stem.1": "bn1"})
    for stage, count in enumerate(blocks):
        for i in range(count):
            ours, theirs = f"stages.{stage}.{i}", f"layer{stage + 1}.{i}"
            for n in range(3 if bottleneck else 2):
                names |= {f"{ours}.convs.{n}": f"{theirs}.conv{n + 1}", f"{ours}.norms.{n}": f"{theirs}.bn{n + 1}"}
            names[f"{ours}.project"] = f"{theirs}.{shortcut}"
            for part, layer in gate.items():
                names[f"{ours}.attention.{part}"] = f"{theirs}.{attribute}{layer}"
        if behind:
            names |= {f"stages.{stage}.{count}.{part}": f"{behind}{stage + 1}.{layer}" for part, layer in gate.items()}
    return names


_MOBILE = (1, 2, 3, 4, 3, 3, 1)
MOBILE_LAST = "stages.6.1"


def mobile_blocks() -> Iterator[tuple[int, str, int]]:
    """The number of each block of MobileNetV2, counted from 1, our name of it, and its stage."""
    names = [(f"stages.{stage}.{i}", stage) for stage, count in enumerate(_MOBILE) for i in range(count)]
    return ((number, *name) for number, name in enumerate(names, 1))


def network(name: str, build: Build) -> Reference:
    """A network known by name, as published."""
    return Reference(name, "paper_network", build)
