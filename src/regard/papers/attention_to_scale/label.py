"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

_PAPER = Paper(
    "Attention to Scale: Scale-Aware Semantic Image Segmentation",
    "Chen, Yang, Wang, Xu, Yuille",
    "CVPR",
    2016,
    arxiv="1511.03339",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="scale_attention",
        target="papers.attention_to_scale.mechanism:ScaleAttention",
        paper=_PAPER,
        domains=("scale", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("segmentation",),
        aliases=("attention to scale head",),
        maps={"scale": "B S H W"},
        sums={"scale": "S"},
        kwargs={"channels": 12, "scales": 2, "hidden": 10},
        inputs=("B C H W", "B C H/2 W/2", "B M H W", "B M H/2 W/2"),
        outputs=("B M H W",),
        sizes={"S": 2},
        parity="transcribed",
    ),
    Entry(
        name="attention_to_scale",
        target="papers.attention_to_scale.network:AttentionToScale",
        paper=_PAPER,
        domains=("scale", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("segmentation",),
        aliases=("scale-aware segmentation", "attention to scales"),
        maps={"scale": "B S h w"},
        sums={"scale": "S"},
        kwargs={
            "channels": 3,
            "classes": 4,
            "scales": (1.0, 0.5),
            "hidden": 5,
            "width": 2,
            "features": 7,
            "dilation": 1,
            "dropout": 0.0,
            "extra": False,
        },
        outputs=("B 4 H W",),
        options=(
            Option({"extra": True, "merge": "average"}, outputs=("B 4 H W", "B 4 h w", "B 4 y x")),
            Option({"backbone": "test_efficientnet", "output_stride": 16, "merge": "max"}, shown=("scale",)),
        ),
        sizes={"S": 2},
        exported=40,
        parity="transcribed",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="attention-to-scale",
        target="papers.attention_to_scale.recipe:segment",
        system="attention_to_scale",
        summary="DeepLab-LargeFOV at three scales, merged by attention, on images with label maps",
        data="images/ and labels/, or the layout of a published dataset for segmentation",
    ),
)
