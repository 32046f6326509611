"""Networks with efficient channel attention."""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.design import Make, Network, family
from regard.networks.inverted import MobileNetV2
from regard.networks.trunks import RESNET
from regard.papers.eca_net.mechanism import EfficientChannel


def _eca(*sizes: int) -> Make:
    """Efficient channel attention, with the kernel size of each stage."""
    return lambda site: EfficientChannel(site.channels, kernel_size=sizes[site.stage])


NETWORKS: Mapping[str, Network] = {
    **family("eca_resnet{}", RESNET, _eca(3, 5, 7, 7), {18: (11_689_556, 29.08)}),
    **family("eca_resnet{}", RESNET, _eca(3, 5, 5, 7), {50: (25_557_112, 22.58)}),
    **family(
        "eca_resnet{}",
        RESNET,
        _eca(3, 3, 5, 7),
        {34: (21_797_744, 25.79), 101: (44_549_317, 21.35), 152: (60_193_042, 21.08)},
    ),
    "eca_mobilenetv2": Network(
        backbone=MobileNetV2(dropout=0.25), attention=_eca(1, 1, 1, 1, 3, 3, 3), parameters=3_504_903, error=27.44
    ),
}
