"""What goes into a backbone, and where: each mechanism with the choices of its paper, as a function of the site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from regard.mechanisms.efficient_channel import EfficientChannel
from regard.mechanisms.frequency_channel import FrequencyChannel
from regard.mechanisms.gather_excite import GatherExcite
from regard.mechanisms.second_order import SecondOrderPooling
from regard.mechanisms.selective_kernel import SelectiveKernel
from regard.mechanisms.spatial_pyramid import PreSpatialPyramid
from regard.systems.paper_backbones.sites import Site

Make = Callable[[Site], nn.Module]
Where = Callable[[Site], bool]


def of(mechanism: Callable[..., nn.Module], **options: Any) -> Make:
    """One that needs nothing but its channels."""
    return lambda site: mechanism(site.channels, **options)


def ge(variant: str, extent: int | None = None) -> Make:
    """Gather-excite; without an extent it gathers the whole map."""
    return lambda site: GatherExcite(site.channels, variant=variant, extent=extent, grid=site.grid)


def eca(*sizes: int) -> Make:
    """Efficient channel attention, with the kernel size of each stage."""
    return lambda site: EfficientChannel(site.channels, kernel_size=sizes[site.stage])


def sk(*hidden: int) -> Make:
    """Selective kernels, with the width of the bottleneck in each stage."""
    return lambda site: SelectiveKernel(
        site.inside, stride=site.stride, groups=site.groups, hidden=site.narrowed(hidden[site.stage])
    )


def fca(site: Site) -> nn.Module:
    """Frequency channel attention, for maps of an image of 224 × 224."""
    return FrequencyChannel(site.channels, size=56 // 2**site.stage)


def gsop(site: Site) -> nn.Module:
    """Second-order gate of channels, at half the resolution in the first stage."""
    return SecondOrderPooling(site.channels, hidden=site.narrowed(128), stride=1 if site.stage else 2)


def spa_before(**options: Any) -> Make:
    """Spatial pyramid gate from the block's input."""
    return lambda site: PreSpatialPyramid(site.before, out=site.channels, **options)


def ends_stage(site: Site) -> bool:
    return site.block == site.blocks - 1


def ends_stage_1_to_3(site: Site) -> bool:
    return ends_stage(site) and site.stage < 3


def from_stage_2(site: Site) -> bool:
    return site.stage > 0


def before_the_end_of_stage_3(site: Site) -> bool:
    return site.stage == 2 and site.block == site.blocks - 2


def stages_2_and_3(site: Site) -> bool:
    """Ten blocks of ResNet-50."""
    return site.stage in (1, 2)


def every_second(site: Site) -> bool:
    """Five of those."""
    return stages_2_and_3(site) and site.block % 2 == 1


def every_second_then_seventh(site: Site) -> bool:
    """Five blocks of ResNet-101."""
    return every_second(site) if site.stage == 1 else site.stage == 2 and site.block % 7 == 6
