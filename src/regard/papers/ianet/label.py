"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

_PAPER = Paper(
    "Interaction-and-Aggregation Network for Person Re-identification",
    "Hou, Ma, Chang, Gu, Shan, Chen",
    "CVPR",
    2019,
    arxiv="1907.08435",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="ia",
        target="papers.ianet.mechanism:InteractionAggregation",
        paper=_PAPER,
        domains=("spatial", "channel", "self"),
        soft=True,
        acts_on=("features",),
        grain=("position", "channel"),
        reach="point to point",
        tasks=("re-identification",),
        aliases=("IA block", "interaction-and-aggregation"),
        maps={"spatial": "B Q K", "channel": "B C C"},
        sums={"spatial": "K", "channel": "C"},
        kwargs={"channels": 6},
        options=(
            Option({"widths": (2.0, 3.0), "channel": False}, maps={"spatial": "B Q K"}),
            Option({"spatial": False}, maps={"channel": "B C C"}),
        ),
        code="blue-blue272/ImgReID-IAnet",
    ),
    Entry(
        name="ianet",
        target="papers.ianet.network:InteractionAggregationNetwork",
        paper=_PAPER,
        domains=("spatial", "channel", "self"),
        soft=True,
        acts_on=("features",),
        grain=("position", "channel"),
        reach="point to point",
        tasks=("re-identification",),
        aliases=("IAResNet50 location",),
        maps={"spatial": "B Q K", "channel": "B D D"},
        sums={"spatial": "K", "channel": "D"},
        kwargs={"channels": 2, "classes": 5, "attention": True, "width": 2, "blocks": (1, 1), "widths": (3.0, 2.0)},
        outputs=("B M", "B M", "B 5"),
        exported=32,
        code="blue-blue272/ImgReID-IAnet",
    ),
)

CLAIM = Claim(measure="map_hits", value=0.831, data="Market-1501", where="paper; from memory, untested")

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="ianet",
        target="papers.ianet.recipe:reidentify",
        system="ianet",
        summary="IANet, on images of persons",
        data="bounding_box_train/, query/ and bounding_box_test/ as of Market-1501, or CUHK03 with its new protocol",
        claim=CLAIM,
    ),
)
