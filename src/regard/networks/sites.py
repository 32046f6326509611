"""Sites of a backbone, where a mechanism may stand, and the parts that the families of backbones share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

from torch import Tensor, nn

Conv = TypeVar("Conv", nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, kw_only=True)
class Site:
    """A block that may have a mechanism, described by what the mechanism needs to know.

    Args:
        stage, block, blocks: counted from 0, and how many blocks the stage has.
        before, inside, channels: C of the block's input, of its 3 × 3 convolution and of its output.
        stride: of the block.
        narrowed: a width that the paper fixes -> what it is in a network as narrow as this one.
        groups: of its 3 × 3 convolution.
        grid: (H, W) of the output, where the backbone keeps count of it.
    """

    stage: int
    block: int
    blocks: int
    before: int
    inside: int
    channels: int
    stride: int
    narrowed: Callable[[int], int]
    groups: int = 1
    grid: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """The mechanisms that go into a backbone, and their place in a block.

    Args:
        at: site -> mechanism, or None where there is to be none.
        place: branch, conv, input or behind, as in the equations of `regard.networks.design`.
    """

    at: Callable[[Site], nn.Module | None]
    place: str


@dataclass(frozen=True, kw_only=True)
class Body:
    """A network up to its pooling: the layers before the stages, the stages, and C behind them."""

    stem: nn.Module
    stages: nn.ModuleList
    channels: int


class Backbone(Protocol):
    """A family of networks without attention; an instance fixes the choices of one of them.

    Attributes:
        axes: of the input.
        blocks, widths: how many blocks each stage has, and how wide it is.
        dropout: before the classifier.
        places: which of them its blocks have.
    """

    axes: ClassVar[str]
    places: ClassVar[tuple[str, ...]]

    @property
    def blocks(self) -> tuple[int, ...]: ...

    @property
    def widths(self) -> tuple[int, ...]: ...

    @property
    def dropout(self) -> float: ...

    def build(
        self,
        channels: int,
        *,
        blocks: tuple[int, ...],
        narrowed: Callable[[int], int],
        size: tuple[int, int],
        fitting: Fitting,
    ) -> Body:
        """Builds the network with `blocks`, the paper's widths `narrowed`, and the mechanisms of `fitting`."""
        ...


def bottlenecks(
    blocks: tuple[int, ...],
    widths: tuple[int, ...],
    before: int,
    block: Callable[[Site, nn.Module | None], nn.Module],
    *,
    narrowed: Callable[[int], int],
    fitting: Fitting,
) -> tuple[nn.ModuleList, int]:
    """Stages of bottlenecks, four times as wide at their ends, of which all but the first begin with stride 2.

    Args:
        blocks, widths: how many blocks each stage has, and how wide they are inside before `narrowed`.
        before: C behind the stem.
        block: (site, mechanism or None) -> the block.
        narrowed, fitting: as for `Backbone.build`.

    Returns: the stages, and C behind them.
    """
    stages = nn.ModuleList()
    for stage, count in enumerate(blocks):
        own = narrowed(widths[stage])
        parts: list[nn.Module] = []
        for i in range(count):
            site = Site(
                stage=stage,
                block=i,
                blocks=count,
                before=before,
                inside=own,
                channels=4 * own,
                stride=2 if stage and not i else 1,
                narrowed=narrowed,
            )
            mechanism = fitting.at(site)
            parts.append(block(site, mechanism))
            if mechanism is not None and fitting.place == "behind":
                parts.append(mechanism)
            before = site.channels
        stages.append(nn.Sequential(*parts))
    return stages, before


class Attended(nn.Module):
    """A block that may have a mechanism on its branch: behind the last norm, or as a gate from the input."""

    def __init__(self, mechanism: nn.Module | None, place: str) -> None:
        super().__init__()
        self.place = place if mechanism is not None else ""
        if mechanism is not None and place in ("branch", "input"):
            self.attention = mechanism

    def attended(self, x: Tensor, branch: Tensor) -> Tensor:
        """Applies the mechanism to the branch of input x."""
        if self.place == "branch":
            attended: Tensor = self.attention(branch)
            return attended
        return self.attention(x, branch) if self.place == "input" else branch


def kaiming(conv: Conv) -> Conv:
    """Initialises a convolution by He's rule over its outputs, and returns it."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def convolution(channels: int, out: int, size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size of its map, apart from the stride."""
    return kaiming(nn.Conv2d(channels, out, size, stride, padding=size // 2, groups=groups, bias=False))
