"""Spatial pyramid attention networks for CIFAR-100, beside those of one level and of squeeze-and-excitation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from regard import catalog
from regard.networks.design import Make, Network, family, of
from regard.networks.sites import Site
from regard.networks.trunks import LIGHT, PREACT
from regard.papers.spanet.mechanism import PreSpatialPyramid, SpatialPyramid


def _se(site: Site) -> nn.Module:
    """Squeeze-and-excitation without biases, as its siblings in the release have it."""
    module: nn.Module = catalog.create("se", site.channels, bias=False)
    return module


def _spa_before(**options: Any) -> Make:
    """Spatial pyramid gate from the block's input."""
    return lambda site: PreSpatialPyramid(site.before, out=site.channels, **options)


NETWORKS: Mapping[str, Network] = {
    **family(
        "se_preresnet{}",
        PREACT,
        _se,
        {18: (11_304_356, 24.81), 50: (26_208_420, 22.09), 101: (47_428_772, 21.97)},
        classes=100,
    ),
    **family(
        "se_{}",
        LIGHT,
        _se,
        {"resnext29": 9_737_124, "mobilenetv2": 2_440_628},
        classes=100,
    ),
    **family(
        "pse_resnet{}",
        PREACT,
        _spa_before(levels=(1,)),
        {18: (11_277_476, 25.03), 50: (25_771_428, 22.55), 101: (46_991_780, 22.12)},
        place="input",
        classes=100,
    ),
    **family(
        "cpse_resnet{}",
        PREACT,
        _spa_before(levels=(1,), convolve=True),
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
        _spa_before(),
        {18: (11_825_316, 24.99), 50: (45_683_108, 21.89), 101: (89_185_700, 21.65)},
        place="input",
        classes=100,
    ),
    **family(
        "cpsppse_resnet{}",
        PREACT,
        _spa_before(convolve=True),
        {18: (12_348_580, 24.44), 50: (54_134_436, 22.05), 101: (97_637_028, 20.83)},
        place="input",
        classes=100,
    ),
    **family("sppse_{}", LIGHT, of(SpatialPyramid), {"resnext29": 14_898_084, "mobilenetv2": 2_724_788}, classes=100),
    **family(
        "psppse_{}",
        LIGHT,
        _spa_before(),
        {"resnext29": 13_483_172, "mobilenetv2": 2_587_556},
        place="input",
        classes=100,
    ),
    **family(
        "cpsppse_{}",
        LIGHT,
        _spa_before(convolve=True),
        {"resnext29": 15_573_412, "mobilenetv2": 2_802_628},
        place="input",
        classes=100,
    ),
}
