"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

_IAU = Paper(
    "IAUnet: Global Context-Aware Feature Learning for Person Re-Identification",
    "Hou, Ma, Chang, Gu, Shan, Chen",
    "TNNLS",
    2020,
    arxiv="2009.01035",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="ciau",
        target="papers.iaunet.mechanism:ChannelInteraction",
        paper=_IAU,
        domains=("channel", "self"),
        soft=True,
        acts_on=("features",),
        grain=("channel",),
        reach="point to point",
        tasks=("re-identification",),
        maps={"affinity": "B C C"},
        sums={"affinity": "C"},
        kwargs={"channels": 6},
        options=(
            Option(
                {"dims": 3},
                inputs=("B C T H W",),
                outputs=("B C T H W",),
                maps={"affinity": "B M M"},
                least=(1, 1, 1),
                sums={"affinity": "M"},
            ),
        ),
        code="blue-blue272/ImgReID-IAnet",
    ),
    Entry(
        name="siau",
        target="papers.iaunet.mechanism:SpatialInteraction",
        paper=_IAU,
        domains=("spatial", "temporal", "category"),
        soft=True,
        acts_on=("features",),
        grain=("position", "item"),
        reach="point to region",
        tasks=("re-identification",),
        maps={"mask": "B 3 H W", "relation": "B 3 3"},
        sums={"relation": "3"},
        kwargs={"channels": 6, "parts": 3},
        options=(
            Option({"hidden": 4, "return_mask": True}, outputs=("B C H W", "B 3 H W")),
            Option(
                {"dims": 3},
                inputs=("B C T H W",),
                outputs=("B C T H W",),
                maps={"mask": "B T 3 H W", "relation": "B M M"},
                least=(1, 1, 1),
                sums={"relation": "M"},
            ),
        ),
        code="blue-blue272/ImgReID-IAnet",
    ),
    Entry(
        name="iau",
        target="papers.iaunet.mechanism:InteractionUpdate",
        paper=_IAU,
        domains=("channel", "spatial", "temporal"),
        soft=True,
        acts_on=("features",),
        grain=("channel", "position", "item"),
        reach="point to region",
        tasks=("re-identification",),
        aliases=("interaction-aggregation-update",),
        maps={"affinity": "B C C", "mask": "B 4 H W", "relation": "B 4 4"},
        sums={"affinity": "C", "relation": "4"},
        kwargs={"channels": 6},
        options=(
            Option(
                {"parts": 3, "hidden": 4},
                maps={"affinity": "B C C", "mask": "B 3 H W", "relation": "B 3 3"},
                sums={"affinity": "C", "relation": "3"},
            ),
            Option(
                {"dims": 3, "return_mask": True},
                inputs=("B C T H W",),
                outputs=("B C T H W", "B T 4 H W"),
                maps={"affinity": "B M M", "mask": "B T 4 H W", "relation": "B N N"},
                least=(1, 1, 1),
                sums={"affinity": "M", "relation": "N"},
            ),
        ),
        code="blue-blue272/ImgReID-IAnet",
    ),
    Entry(
        name="iaunet",
        target="papers.iaunet.network:InteractionUpdateNetwork",
        paper=_IAU,
        domains=("channel", "spatial", "temporal"),
        soft=True,
        acts_on=("features",),
        grain=("channel", "position", "item"),
        reach="point to region",
        tasks=("re-identification",),
        aliases=("interaction-aggregation-update network",),
        maps={"affinity": "B D D", "mask": "B 4 h w", "relation": "B 4 4"},
        sums={"affinity": "D", "relation": "4"},
        kwargs={"channels": 2, "classes": 5, "attention": True, "width": 2, "blocks": (1, 1)},
        outputs=("B M", "B M", "B 5", "B 4 h w"),
        options=(
            Option(
                {"video": True, "temporal": True},
                inputs=("B C T H W",),
                outputs=("B M", "B M", "B 5", "B T 4 h w"),
                maps={"affinity": "B Q Q", "mask": "B T 4 h w", "relation": "B N N"},
                least=(1, 1, 1),
                sums={"affinity": "Q", "relation": "N"},
            ),
        ),
        exported=32,
        code="blue-blue272/ImgReID-IAnet",
    ),
)


RECIPES: tuple[Listing, ...] = (
    Listing(
        name="iaunet",
        target="papers.iaunet.recipe:reidentify",
        system="iaunet",
        summary="IAUnet, on images of persons, with masks of parts of the body where there are any",
        data="bounding_box_train/, query/ and bounding_box_test/ as of Market-1501, or CUHK03 with its new protocol",
    ),
    Listing(
        name="iaunet-video",
        target="papers.iaunet.recipe:video",
        system="iaunet",
        summary="IAUnet, on tracklets of persons",
        data="bbox_train/, bbox_test/ and info/ as of MARS",
    ),
)
