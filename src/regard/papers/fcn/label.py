"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

_TINY = {"backbone": "test_resnet", "output_stride": 4, "classes": 4}

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
        kwargs={"channels": 2, "name": "danet_resnet101", "multi_grid": (2,), "width": 9, **_TINY},
        outputs=("B 4 H W", "B 4 H W", "B 4 H W"),
        options=(
            Option(
                {"name": "ccnet_resnet101", "multi_grid": ()}, outputs=("B 4 H W",) * 2, maps={"affinity": "B H W S"}
            ),
            Option({"name": "annet_resnet101", "multi_grid": ()}, outputs=("B 4 H W",) * 2, maps={"affinity": "B Q S"}),
            Option(
                {"name": "ocrnet_resnet101", "multi_grid": ()},
                outputs=("B 4 H W",) * 2,
                maps={"region": "B 4 h w", "affinity": "B Q 4"},
            ),
            Option(
                {"name": "gcnet_resnet101", "multi_grid": (), "attention": "gc(reduction=8)@layer4"},
                outputs=("B 4 H W",) * 2,
                maps={"spatial": "B 1 h w"},
            ),
            Option(
                {"head": "cam", "auxiliary": False, "width": None, "parameters": 450_000},
                outputs=("B 4 H W",),
                maps={"channel_affinity": "B D D"},
            ),
            Option({"name": "fcn_resnet50", "head": "fcn"}, outputs=("B 4 H W",) * 2, maps={}),
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
