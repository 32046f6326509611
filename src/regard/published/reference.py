"""References: what is known about a published module, and the blocks that modules are published in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

Given = Mapping[str, Any]  # the published constructor's arguments
Names = dict[str, str]  # our parameter prefix -> the published one
Build = Callable[..., tuple[dict[str, Any], Names]]
Host = Callable[[nn.Module, Given], nn.Module]
State = dict[str, Tensor]


@dataclass(frozen=True)
class Reference:
    """One published module.

    Args:
        name: `mechanism/owner.repository/Class`.
        entry: name of the catalogue entry.
        build: takes the published constructor's arguments under their own names; returns our arguments (and, as
            "part.attribute", what is set after building), and for each of our parameter prefixes the published one.
        state: rewrites the published state where renaming is not enough: a transposed matrix, a fused projection. It
            is linear in the tensors, so that gradients can travel the same way.
        host: puts our module into the block that it is published in, whose parameters are in the state as well; `build`
            then names all of them, below the block.
        adapt: wraps our module so that it is called as the published one is. Like `state` and `host` it takes the
            published arguments as its second argument.
        maps: the published code's name of an attention map -> the name under which `watch` shows it.
        recording: for a reference whose arguments are not those of a published class: what was recorded in its place,
            such as a reading of the paper's equations. No checkpoint of the authors has this form.
    """

    name: str
    entry: str
    build: Build
    state: Callable[[State, Given], State] | None = None
    host: Host | None = None
    adapt: Callable[[Any, Given], nn.Module] | None = None  # each takes the class of its own entry
    maps: Mapping[str, str] = field(default_factory=dict)
    recording: str | None = None

    @property
    def signature(self) -> str:
        """The published constructor's arguments with their defaults."""
        parameters = inspect.signature(self.build).parameters.values()
        return str(inspect.Signature([parameter.replace(annotation=parameter.empty) for parameter in parameters]))


def unsupported(name: str, value: object, accepted: str) -> ValueError:
    """The error for a published constructor's argument whose value cannot be rebuilt."""
    return ValueError(f"{name}={value!r}: {accepted}")


class Probabilities(nn.Module):
    """A network with a softmax over its classes behind it, in which Caffe's definitions end."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        probabilities: Tensor = self.module(x).softmax(1)
        return probabilities


class ResidualBlock(nn.Module):
    """A residual block with a mechanism behind its last norm; its layers have torchvision's names.

    It has two 3 × 3 convolutions (basic), or a bottleneck four times as wide at its end.
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
        total: Tensor = (self.attention(y) + self.downsample(x)).relu()
        return total


def in_residual_block(build: Build, attribute: str, *, basic: bool) -> tuple[Build, Host]:
    """`build` and `host` of a mechanism that is published as `attribute` of a residual block.

    Args:
        build: takes the block's planes, times 4 in a bottleneck, and what is left of the arguments.
        attribute: the published name of the mechanism in the block.
        basic: two 3 × 3 convolutions rather than a bottleneck.
    """

    def projects(args: Given) -> bool:
        return bool(args.get("downsample")) or args.get("stride", 1) != 1 or args["inplanes"] != _out(args, basic)

    def published(
        inplanes: int, planes: int, stride: int = 1, downsample: object = None, **options: Any
    ) -> tuple[dict[str, Any], Names]:
        args = {"inplanes": inplanes, "planes": planes, "stride": stride, "downsample": downsample}
        arguments, names = build(_out(args, basic), **options)
        layers = [f"{layer}{i}" for i in (1, 2, 3)[: 2 if basic else 3] for layer in ("conv", "bn")]
        layers += ["downsample"] if projects(args) else []
        inside = {f"attention.{ours}".rstrip("."): f"{attribute}.{theirs}" for ours, theirs in names.items()}
        return arguments, {**{layer: layer for layer in layers}, **inside}

    def host(module: nn.Module, args: Given) -> nn.Module:
        return ResidualBlock(
            module, args["inplanes"], args["planes"], args.get("stride", 1), basic=basic, project=projects(args)
        )

    return published, host


def _out(args: Given, basic: bool) -> int:
    """Channels of a residual block's output."""
    width: int = args["planes"]
    return width if basic else 4 * width
