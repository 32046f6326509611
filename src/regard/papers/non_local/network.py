"""ResNets with non-local blocks, for images and for clips."""

from __future__ import annotations

from collections.abc import Mapping

from regard.networks.design import (
    Network,
    before_the_end_of_stage_3,
    every_second,
    every_second_then_seventh,
    family,
    of,
    stages_2_and_3,
)
from regard.networks.trunks import RESNET, VIDEO
from regard.papers.non_local.mechanism import NonLocal

NETWORKS: Mapping[str, Network] = {
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
