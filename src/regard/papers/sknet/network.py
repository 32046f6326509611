"""Selective kernel networks."""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.design import Make, Network, family
from regard.networks.trunks import RESNEXT
from regard.papers.sknet.mechanism import SelectiveKernel


def _sk(*hidden: int) -> Make:
    """Selective kernels, with the width of the bottleneck in each stage."""
    return lambda site: SelectiveKernel(
        site.inside, stride=site.stride, groups=site.groups, hidden=site.narrowed(hidden[site.stage])
    )


NETWORKS: Mapping[str, Network] = {
    **family("sknet{}", RESNEXT, _sk(32, 32, 32, 64), {50: (27_479_784, 20.79)}, place="conv"),
    **family("sknet{}", RESNEXT, _sk(32, 16, 32, 64), {101: (48_686_760, 20.19)}, place="conv"),
}
