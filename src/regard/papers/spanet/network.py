"""Spatial pyramid attention networks for CIFAR-100, and the networks that they are compared with.

SPANet: Spatial Pyramid Attention Network for Enhanced Image Recognition. Guo, Ma, Sansom, McGuire, Kalaani, Chen, Tang,
    Yang, Fu. ICME 2020, doi:10.1109/ICME46284.2020.9102906.
Official code: 13952522076/SPANet (PyTorch).

Compared with are gates of one level (pse_*, cpse_*) and squeeze-and-excitation: se_preresnet*, se_resnext29 and
se_mobilenetv2, whose gates have no biases in this release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from regard import catalog
from regard.networks.design import Make, Network, family, narrow, of
from regard.networks.inverted import MobileNetV2
from regard.networks.residual import ResNet
from regard.networks.sites import Backbone, Site
from regard.networks.trunks import CIFAR
from regard.papers.spanet.mechanism import PreSpatialPyramid, SpatialPyramid

PREACT = {depth: replace(trunk, preactivation=True) for depth, trunk in CIFAR.items()}
LIGHT: Mapping[str, Backbone] = {
    "resnext29": ResNet(blocks=(3, 3, 3), stem="pixel", widths=(64, 128, 256), inner=2, reduced=2, groups=2),
    "mobilenetv2": MobileNetV2(cifar=True),
}


def squeeze_excite(site: Site) -> nn.Module:
    """Squeeze-and-excitation without biases."""
    entry = catalog.get("se").load()
    module: nn.Module = entry(site.channels, bias=False, **narrow(entry, site.channels))
    return module


def from_input(**options: Any) -> Make:
    """A spatial pyramid gate from the block's input."""
    return lambda site: PreSpatialPyramid(
        site.before, out=site.channels, **options, **narrow(PreSpatialPyramid, min(site.before, site.channels))
    )


NETWORKS: Mapping[str, Network] = {
    **family(
        "se_preresnet{}",
        PREACT,
        squeeze_excite,
        {18: (11_304_356, 24.81), 50: (26_208_420, 22.09), 101: (47_428_772, 21.97)},
        classes=100,
    ),
    **family("se_{}", LIGHT, squeeze_excite, {"resnext29": 9_737_124, "mobilenetv2": 2_440_628}, classes=100),
    **family(
        "pse_resnet{}",
        PREACT,
        from_input(levels=(1,)),
        {18: (11_277_476, 25.03), 50: (25_771_428, 22.55), 101: (46_991_780, 22.12)},
        place="input",
        classes=100,
    ),
    **family(
        "cpse_resnet{}",
        PREACT,
        from_input(levels=(1,), convolve=True),
        {18: (11_478_180, 24.75), 50: (28_984_996, 22.57), 101: (50_205_348, 22.39)},
        place="input",
        classes=100,
    ),
    **family(
        "sppse_resnet{}",
        PREACT,
        of(SpatialPyramid),
        {18: (12_174_756, 24.59), 50: (51_357_860, 21.79), 101: (94_860_452, 21.89)},
        classes=100,
    ),
    **family(
        "psppse_resnet{}",
        PREACT,
        from_input(),
        {18: (11_825_316, 24.99), 50: (45_683_108, 21.89), 101: (89_185_700, 21.65)},
        place="input",
        classes=100,
    ),
    **family(
        "cpsppse_resnet{}",
        PREACT,
        from_input(convolve=True),
        {18: (12_348_580, 24.44), 50: (54_134_436, 22.05), 101: (97_637_028, 20.83)},
        place="input",
        classes=100,
    ),
    **family("sppse_{}", LIGHT, of(SpatialPyramid), {"resnext29": 14_898_084, "mobilenetv2": 2_724_788}, classes=100),
    **family(
        "psppse_{}",
        LIGHT,
        from_input(),
        {"resnext29": 13_483_172, "mobilenetv2": 2_587_556},
        place="input",
        classes=100,
    ),
    **family(
        "cpsppse_{}",
        LIGHT,
        from_input(convolve=True),
        {"resnext29": 15_573_412, "mobilenetv2": 2_802_628},
        place="input",
        classes=100,
    ),
}
