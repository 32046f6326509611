"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="segmenter",
        target="papers.fcn.network:Segmenter",
        paper=Paper(
            title="Fully Convolutional Networks for Semantic Segmentation",
            authors="Long, Shelhamer, Darrell",
            venue="CVPR",
            year=2015,
            arxiv="1411.4038",
        ),
        domains=("self", "spatial", "channel", "category", "scale"),
        soft=True,
        acts_on=("features",),
        grain=("position", "channel", "item"),
        reach="point to point",
        tasks=("segmentation",),
        maps={"affinity": "B Q K", "channel_affinity": "B D D"},
        sums={"affinity": "K", "channel_affinity": "D", "region": "h w", "spatial": "h w"},
        kwargs={
            "channels": 2,
            "classes": 4,
            "backbone": "test_efficientnet",
            "output_stride": 4,
            "multi_grid": (),
            "head": "danet",
            "width": 9,
            "auxiliary": False,
        },
        outputs=("B 4 H W", "B 4 H W", "B 4 H W"),
        options=(
            Option({"head": "ccnet"}, outputs=("B 4 H W",), maps={"affinity": "B h w X"}, sums={"affinity": "X"}),
            Option({"head": "annet"}, outputs=("B 4 H W",) * 2, maps={"affinity": "B Q S"}, sums={"affinity": "S"}),
            Option(
                {"name": "ocrnet_resnet101", "head": None},
                outputs=("B 4 H W",) * 2,
                maps={"region": "B 4 h w", "affinity": "B Q 4"},
                sums={"region": "h w", "affinity": "4"},
            ),
            Option(
                {"head": "cam", "width": None, "parameters": 120_000},
                outputs=("B 4 H W",),
                maps={"channel_affinity": "B D D"},
            ),
            Option(
                {"head": "fcn", "auxiliary": True, "attention": "gc(reduction=8)@blocks.4.?"},
                outputs=("B 4 H W",) * 2,
                maps={"spatial": "B 1 h w"},
            ),
            Option({"head": "fcn", "auxiliary": None}, outputs=("B 4 H W",) * 2, maps={}),
        ),
        exported=32,
        parity="transcribed",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="fcn",
        target="papers.fcn.recipe:segment",
        system="segmenter",
        summary="plain dilated ResNet-50 or -101 (--network), on images with label maps",
        data="images/ and labels/, or a published dataset for segmentation, such as Cityscapes, VOC or ADE20K",
    ),
)

SEGMENTERS: tuple[str, ...] = ("fcn_resnet50", "fcn_resnet101")
