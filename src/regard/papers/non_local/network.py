"""ResNets with non-local blocks, for images and for clips.

Non-local Neural Networks. Wang, Girshick, Gupta, He. CVPR 2018, arXiv:1711.07971.
Official code: facebookresearch/video-nonlocal-net (Caffe2).

Deviations: nonlocal_resnet50 and 101 are published for detection, with one block before the last of res4.
    nonlocal5_resnet50 has the five blocks of Kinetics, without kernels over time. Clips have the paper's 32 frames; the
    networks whose names end in _8f take every fourth of them, without a stride over time in the stem, as released.
    c2d_resnet50 and i3d_resnet50 are the paper's baselines, without non-local blocks.
Errata: the released definition puts 5 or 9 blocks into ResNet-101, and not 10.
"""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.design import Network, family, of
from regard.networks.residual import BLOCKS
from regard.networks.sites import Site
from regard.networks.trunks import RESNET
from regard.networks.video import VideoResNet
from regard.papers.non_local.mechanism import NonLocal

VIDEO = {
    f"{kind}_resnet{depth}{frames}": VideoResNet(
        blocks=BLOCKS[depth], inflated=kind == "i3d", stride=1 if frames else 2, dropout=0.5
    )
    for kind in ("c2d", "i3d")
    for depth in (50, 101)
    for frames in ("", "_8f")
}


def before_the_end_of_stage_3(site: Site) -> bool:
    """Whether the block is the last but one of stage 3."""
    return site.stage == 2 and site.block == site.blocks - 2


def stages_2_and_3(site: Site) -> bool:
    """Whether the block is in stage 2 or 3: ten blocks of ResNet-50."""
    return site.stage in (1, 2)


def every_second(site: Site) -> bool:
    """Whether it is every second block of stages 2 and 3: five blocks of ResNet-50."""
    return stages_2_and_3(site) and site.block % 2 == 1


def every_second_then_seventh(site: Site) -> bool:
    """Whether it is every second block of stage 2, or every seventh of stage 3: five blocks of ResNet-101."""
    return every_second(site) if site.stage == 1 else site.stage == 2 and site.block % 7 == 6


NETWORKS: Mapping[str, Network] = {
    **family(
        "{}",
        VIDEO,
        None,
        {
            "c2d_resnet50": (24_327_632, 28.0),
            "c2d_resnet50_8f": (24_327_632, 28.1),
            "i3d_resnet50": (28_043_472, 26.4),
            "i3d_resnet50_8f": (28_043_472, 26.6),
        },
        classes=400,
    ),
    **family(
        "nonlocal_resnet{}",
        RESNET,
        of(NonLocal),
        {50: None, 101: None},
        place="behind",
        where=before_the_end_of_stage_3,
    ),
    **family("nonlocal5_resnet{}", RESNET, of(NonLocal), {50: None}, place="behind", where=every_second),
    **family(
        "nonlocal5_{}",
        VIDEO,
        of(NonLocal, dims=3),
        {
            "c2d_resnet50": (31_686_096, 26.1),
            "c2d_resnet50_8f": (31_686_096, 25.6),
            "i3d_resnet50": (35_401_936, 25.1),
            "i3d_resnet50_8f": (35_401_936, 25.3),
        },
        where=every_second,
        place="behind",
        classes=400,
    ),
    **family(
        "nonlocal5_{}",
        VIDEO,
        of(NonLocal, dims=3),
        {
            "c2d_resnet101": 50_678_224,
            "c2d_resnet101_8f": 50_678_224,
            "i3d_resnet101": 59_112_656,
            "i3d_resnet101_8f": 59_112_656,
        },
        where=every_second_then_seventh,
        place="behind",
        classes=400,
    ),
    **family(
        "nonlocal10_{}",
        VIDEO,
        of(NonLocal, dims=3),
        {
            "c2d_resnet50": 39_044_560,
            "c2d_resnet50_8f": 39_044_560,
            "i3d_resnet50": 42_760_400,
            "i3d_resnet50_8f": 42_760_400,
        },
        where=stages_2_and_3,
        place="behind",
        classes=400,
    ),
}
