"""What is known of one published module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

Build = Callable[..., tuple[dict[str, Any], dict[str, str]]]
State = dict[str, Tensor]


@dataclass(frozen=True)
class Reference:
    """One published module.

    Args:
        name: `mechanism/owner.repository/Class`.
        entry: the catalogue's name for it.
        build: takes the published constructor's arguments under their own names; returns our arguments (and, as
            "part.attribute", what is set after building), and for each of our parameter prefixes the published one.
        state: rewrites the published state where renaming is not enough: a transposed matrix, a fused projection. It
            is linear in the tensors, so that gradients can travel the same way.
        host: puts our module into the block that it is published in, whose parameters are in the state as well; `build`
            then names all of them, below the block.
        adapt: wraps our module so that it is called as the published one is; all three take the published arguments.
        maps: the published code's name of an attention map -> the name under which `watch` shows it.
    """

    name: str
    entry: str
    build: Build
    state: Callable[[State, Mapping[str, Any]], State] | None = None
    host: Callable[[nn.Module, Mapping[str, Any]], nn.Module] | None = None
    adapt: Callable[[Any, Mapping[str, Any]], nn.Module] | None = None
    maps: Mapping[str, str] = field(default_factory=dict)

    @property
    def signature(self) -> str:
        """The published constructor's arguments with their defaults."""
        return str(inspect.signature(self.build)).partition(" ->")[0].replace("'", "")


def unsupported(what: str, value: object, known: str) -> ValueError:
    """The error for an argument whose value asks for what the paper lacks."""
    return ValueError(f"{what}={value!r} is not part of the published mechanism; {known}")


class Probabilities(nn.Module):
    """The softmax over classes of what a network answers, as a definition that ends in one has it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x).softmax(1)


class ResidualBlock(nn.Module):
    """The residual block that mechanisms are published in, behind its last norm, under torchvision's names.

    Two 3 × 3 convolutions (basic), or a bottleneck four times as wide at its end.
    """

    def __init__(
        self, attention: nn.Module, inplanes: int, planes: int, stride: int, *, basic: bool = False, project: bool
    ) -> None:
        super().__init__()
        out = planes if basic else 4 * planes
        plan = [(inplanes, planes, 3, stride), (planes, planes, 3, 1)]
        if not basic:
            plan = [(inplanes, planes, 1, 1), (planes, planes, 3, stride), (planes, out, 1, 1)]
        self.convolutions = len(plan)
        for i, (before, after, size, step) in enumerate(plan, 1):
            self.add_module(f"conv{i}", nn.Conv2d(before, after, size, step, size // 2, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(after))
        self.attention = attention
        self.downsample = nn.Sequential()
        if project:
            self.downsample.append(nn.Conv2d(inplanes, out, 1, stride, bias=False))
            self.downsample.append(nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i in range(1, self.convolutions + 1):
            y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(y))
            y = y if i == self.convolutions else y.relu()
        return (self.attention(y) + self.downsample(x)).relu()


def in_residual_block(
    build: Callable[..., tuple[dict[str, Any], dict[str, str]]], attribute: str, *, basic: bool
) -> tuple[Build, Callable[[nn.Module, Mapping[str, Any]], nn.Module]]:
    """`build` and `host` of a mechanism that is published as `attribute` of a residual block.

    Args:
        build: takes the block's planes, times 4 in a bottleneck, and what is left of the arguments.
        attribute: the published name of the mechanism in the block.
        basic: two 3 × 3 convolutions rather than a bottleneck.
    """

    def projects(args: Mapping[str, Any]) -> bool:
        return bool(args.get("downsample")) or args.get("stride", 1) != 1 or args["inplanes"] != _out(args, basic)

    def published(inplanes, planes, stride=1, downsample=None, **options):
        args = {"inplanes": inplanes, "planes": planes, "stride": stride, "downsample": downsample}
        arguments, names = build(_out(args, basic), **options)
        layers = [f"{layer}{i}" for i in (1, 2, 3)[: 2 if basic else 3] for layer in ("conv", "bn")]
        layers += ["downsample"] if projects(args) else []
        inside = {f"attention.{ours}".rstrip("."): f"{attribute}.{theirs}" for ours, theirs in names.items()}
        return arguments, {**{layer: layer for layer in layers}, **inside}

    def host(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
        return ResidualBlock(
            module, args["inplanes"], args["planes"], args.get("stride", 1), basic=basic, project=projects(args)
        )

    return published, host


def _out(args: Mapping[str, Any], basic: bool) -> int:
    width: int = args["planes"]
    return width if basic else 4 * width
