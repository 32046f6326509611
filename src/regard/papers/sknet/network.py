"""Selective kernel networks: ResNeXts whose 3 × 3 convolutions are selective kernels.

Selective Kernel Networks. Li, Wang, Hu, Yang. CVPR 2019, arXiv:1903.06586.
Official code: implus/SKNet (Caffe).

Deviations: paper, the bottleneck of the gate is d = max(C/16, 32) wide | the definition of sknet101 has 16 in its
    second stage | as released.
"""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.design import Make, Network, family
from regard.networks.trunks import RESNEXT
from regard.papers.sknet.mechanism import SelectiveKernel


def selective(*hidden: int) -> Make:
    """Selective kernels with the bottleneck's width in each stage."""
    return lambda site: SelectiveKernel(
        site.inside, stride=site.stride, groups=site.groups, hidden=site.narrowed(hidden[site.stage])
    )


NETWORKS: Mapping[str, Network] = {
    **family("sknet{}", RESNEXT, selective(32, 32, 32, 64), {50: (27_479_784, 20.79)}, place="conv"),
    **family("sknet{}", RESNEXT, selective(32, 16, 32, 64), {101: (48_686_760, 20.19)}, place="conv"),
}
