"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="gc",
        target="papers.gcnet.mechanism:GlobalContext",
        paper=Paper(
            "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond",
            "Cao, Xu, Lin, Wei, Hu",
            "ICCV Workshops",
            2019,
            arxiv="1904.11492",
        ),
        domains=("spatial", "channel", "global"),
        soft=True,
        acts_on=("features",),
        grain=("position", "channel"),
        tasks=("detection", "segmentation", "classification", "video classification"),
        aliases=("GC-Net", "GC block", "global context"),
        maps={"spatial": "B 1 H W"},
        sums={"spatial": "H W"},
        kwargs={"channels": 12, "reduction": 4},
        options=(
            Option({"hidden": 5}),
            Option({"pool": "average"}, maps={}),
            Option({"fusion": ("mul",)}, maps={"spatial": "B 1 H W", "channel": "B C 1 1"}),
            Option({"fusion": ("mul", "add")}, maps={"spatial": "B 1 H W", "channel": "B C 1 1"}),
            Option({"pool": "average", "fusion": ("mul",)}, maps={"channel": "B C 1 1"}),
            Option({"hard": "gumbel", "temperature": 0.5}, soft=False),
            Option({"hard": "top-k", "top_k": 2}),
        ),
        code="xvjiarui/GCNet",
    ),
)

NETWORKS: tuple[str, ...] = (
    "gc_resnet50_r4",
    "gc_resnet101_r4",
    "gc_resnet50_r16",
    "gc_resnet101_r16",
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="gcnet",
        target="papers.gcnet.recipe:segment",
        system="segmenter",
        summary="ResNet-101 with global context blocks and a plain head, on images with label maps",
        data="images/ and labels/, or a published dataset for segmentation, such as Cityscapes, VOC or ADE20K",
    ),
)

SEGMENTERS: tuple[str, ...] = ("gcnet_resnet101",)
