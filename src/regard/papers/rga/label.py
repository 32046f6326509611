"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

_PAPER = Paper(
    "Relation-Aware Global Attention for Person Re-identification",
    "Zhang, Lan, Zeng, Jin, Chen",
    "CVPR",
    2020,
    arxiv="1904.02998",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="rga",
        target="papers.rga.mechanism:RelationAware",
        paper=_PAPER,
        domains=("spatial", "channel", "global"),
        soft=True,
        acts_on=("features",),
        grain=("position", "channel"),
        reach="point to point",
        tasks=("re-identification",),
        aliases=("relation-aware global attention",),
        maps={
            "spatial": "B 1 H W",
            "channel": "B C 1 1",
            "spatial_affinity": "B Q K",
            "channel_affinity": "B C C",
        },
        kwargs={
            "channels": 12,
            "grid": (6, 4),
            "channel_reduction": 3,
            "spatial_reduction": 4,
            "gate_reduction": 2,
        },
        sizes={"H": 6, "W": 4},
        options=(
            Option({"channel": False}, maps={"spatial": "B 1 H W", "spatial_affinity": "B Q K"}),
            Option({"spatial": False, "grid": 24}, maps={"channel": "B C 1 1", "channel_affinity": "B C C"}),
        ),
        code="microsoft/Relation-Aware-Global-Attention-Networks",
    ),
    Entry(
        name="rga_network",
        target="papers.rga.network:RelationAwareNetwork",
        paper=_PAPER,
        domains=("spatial", "channel", "global"),
        soft=True,
        acts_on=("features",),
        grain=("position", "channel"),
        reach="point to point",
        tasks=("re-identification",),
        aliases=("RGA-SC", "ResNet50 RGA"),
        maps={
            "spatial": "B 1 h w",
            "channel": "B D 1 1",
            "spatial_affinity": "B Q K",
            "channel_affinity": "B D D",
        },
        kwargs={
            "channels": 2,
            "classes": 5,
            "spatial": True,
            "image_size": (10, 14),
            "width": 4,
            "blocks": (1, 1),
            "reduction": 3,
            "gate_reduction": 2,
        },
        outputs=("B M", "B M", "B 5"),
        sizes={"H": 10, "W": 14},
        options=(Option({"channel": False}, maps={"spatial": "B 1 h w", "spatial_affinity": "B Q K"}),),
        code="microsoft/Relation-Aware-Global-Attention-Networks",
    ),
)

CLAIM = Claim(measure="map_hits", value=0.884, data="Market-1501", where="paper, RGA-SC; from memory, untested")

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="rga",
        target="papers.rga.recipe:reidentify",
        system="rga_network",
        summary="RGA-SC, or with the option gates RGA-S or RGA-C, on images of persons",
        data="bounding_box_train/, query/ and bounding_box_test/ as of Market-1501, or CUHK03 with its new protocol",
        claim=CLAIM,
    ),
)
