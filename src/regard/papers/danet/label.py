"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

_DANET = Paper(
    "Dual Attention Network for Scene Segmentation",
    "Fu, Liu, Tian, Li, Bao, Fang, Lu",
    "CVPR",
    2019,
    arxiv="1809.02983",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="pam",
        target="papers.danet.mechanism:PositionAttention",
        paper=_DANET,
        domains=("self", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        reach="point to point",
        tasks=("segmentation",),
        aliases=("position attention module",),
        maps={"affinity": "B Q K"},
        sums={"affinity": "K"},
        kwargs={"channels": 12, "reduction": 4},
        options=(
            Option({"hidden": 5}),
            Option({"hard": "gumbel", "temperature": 0.5}, soft=False),
            Option({"hard": "top-k", "top_k": 2}),
        ),
        code="junfu1115/DANet",
    ),
    Entry(
        name="cam",
        target="papers.danet.mechanism:ChannelAttention",
        paper=_DANET,
        domains=("self", "channel"),
        soft=True,
        acts_on=("features",),
        grain=("channel",),
        reach="point to point",
        tasks=("segmentation",),
        aliases=("channel attention module",),
        maps={"channel_affinity": "B C C"},
        sums={"channel_affinity": "C"},
        kwargs={"channels": 12},
        options=(Option({"energy": "similar"}),),
        code="junfu1115/DANet",
    ),
    Entry(
        name="danet",
        target="papers.danet.mechanism:DualAttentionHead",
        paper=_DANET,
        domains=("self", "spatial", "channel"),
        soft=True,
        acts_on=("features",),
        grain=("position", "channel"),
        reach="point to point",
        tasks=("segmentation",),
        aliases=("dual attention network",),
        maps={"affinity": "B Q K", "channel_affinity": "B D D"},
        sums={"affinity": "K", "channel_affinity": "D"},
        kwargs={"channels": 12, "classes": 4, "width": 10, "hidden": 3},
        outputs=("B M H W", "B M H W", "B M H W"),
        options=(Option({"energy": "similar", "dropout": 0.0}),),
        sizes={"M": 4},
        code="junfu1115/DANet",
    ),
)

CLAIM = Claim(measure="miou", value=0.7993, data="Cityscapes", where="README, one scale, windows of 768; untested")

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="danet",
        target="papers.danet.recipe:segment",
        system="segmenter",
        summary="DANet-101, on images with label maps",
        data="images/ and labels/, or a published dataset for segmentation, such as Cityscapes, VOC or ADE20K",
        claim=CLAIM,
    ),
)

SEGMENTERS: tuple[str, ...] = ("danet_resnet101",)
