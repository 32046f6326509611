"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

_CCNET = Paper(
    "CCNet: Criss-Cross Attention for Semantic Segmentation",
    "Huang, Wang, Huang, Huang, Wei, Liu",
    "ICCV",
    2019,
    arxiv="1811.11721",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="cca",
        target="papers.ccnet.mechanism:CrissCrossAttention",
        paper=_CCNET,
        domains=("self", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        reach="point to point",
        tasks=("segmentation",),
        aliases=("criss-cross attention",),
        maps={"affinity": "B H W X"},
        sums={"affinity": "X"},
        kwargs={"channels": 12},
        options=(Option({"reduction": 4}), Option({"hidden": 5}), Option({"recurrence": 2})),
        code="speedinghzl/CCNet",
    ),
    Entry(
        name="ccnet",
        target="papers.ccnet.mechanism:CrissCrossHead",
        paper=_CCNET,
        domains=("self", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        reach="point to point",
        tasks=("segmentation",),
        aliases=("RCCA", "recurrent criss-cross attention"),
        maps={"affinity": "B H W X"},
        sums={"affinity": "X"},
        kwargs={"channels": 6, "classes": 4, "hidden": 8},
        outputs=("B G H W",),
        options=(Option({"out": 5, "slope": 0.0, "dropout": 0.3}), Option({"recurrence": 1})),
        code="speedinghzl/CCNet",
    ),
)

CLAIM = Claim(measure="miou", value=0.7974, data="Cityscapes", where="README, R=2, the whole image; untested")

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="ccnet",
        target="papers.ccnet.recipe:segment",
        system="segmenter",
        summary="CCNet-101, on images with label maps",
        data="images/ and labels/, or a published dataset for segmentation, such as Cityscapes, VOC or ADE20K",
        claim=CLAIM,
    ),
)

SEGMENTERS: tuple[str, ...] = ("ccnet_resnet101",)
