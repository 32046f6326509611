"""Gather-excite networks."""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.design import Make, Network, family
from regard.networks.trunks import CAFFE
from regard.papers.genet.mechanism import GatherExcite


def _ge(variant: str, extent: int | None = None) -> Make:
    """Gather-excite; without an extent it gathers the whole map."""
    return lambda site: GatherExcite(site.channels, variant=variant, extent=extent, grid=site.grid)


NETWORKS: Mapping[str, Network] = {
    **family("ge_resnet{}_theta_minus", CAFFE, _ge("theta_minus"), {50: 25_557_032}),
    **family("ge_resnet{}_theta", CAFFE, _ge("theta"), {50: 31_106_600}),
    **family("ge_resnet{}_theta_plus", CAFFE, _ge("theta_plus"), {50: 33_637_592}),
    **{
        f"ge_resnet50_{variant}_e{extent}": Network(backbone=CAFFE[50], attention=_ge(variant, extent))
        for variant in ("theta_minus", "theta")
        for extent in (2, 4, 8)
    },
}
