"""Gather-excite networks: ResNet-50 with gather-excite in every block.

Gather-Excite: Exploiting Feature Context in CNNs. Hu, Shen, Albanie, Sun, Vedaldi. NeurIPS 2018, arXiv:1810.12348.
Official code: hujie-frank/GENet (Caffe).

Deviations: the stride is in the first 1 × 1 convolution of a bottleneck, as released. Networks with an extent have it
    in every block, as drawn in the release, which has no definition of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.design import Make, Network, family, narrow
from regard.networks.trunks import CAFFE
from regard.papers.genet.mechanism import GatherExcite


def gather_excite(variant: str, extent: int | None = None) -> Make:
    """Gather-excite; without an extent it gathers the whole map."""
    return lambda site: GatherExcite(
        site.channels, variant=variant, extent=extent, grid=site.grid, **narrow(GatherExcite, site.channels)
    )


NETWORKS: Mapping[str, Network] = {
    **family("ge_resnet{}_theta_minus", CAFFE, gather_excite("theta_minus"), {50: 25_557_032}),
    **family("ge_resnet{}_theta", CAFFE, gather_excite("theta"), {50: 31_106_600}),
    **family("ge_resnet{}_theta_plus", CAFFE, gather_excite("theta_plus"), {50: 33_637_592}),
    **{
        f"ge_resnet50_{variant}_e{extent}": Network(backbone=CAFFE[50], attention=gather_excite(variant, extent))
        for variant in ("theta_minus", "theta")
        for extent in (2, 4, 8)
    },
}
