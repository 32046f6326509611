"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper

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
        kwargs={"channels": 6},
        options=(
            Option(
                {"dims": 3},
                inputs=("B C T H W",),
                outputs=("B C T H W",),
                maps={"affinity": "B M M"},
                least=(1, 1, 1),
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
        kwargs={"channels": 6, "parts": 3},
        options=(
            Option({"hidden": 4, "return_mask": True}, outputs=("B C H W", "B 3 H W")),
            Option(
                {"dims": 3},
                inputs=("B C T H W",),
                outputs=("B C T H W",),
                maps={"mask": "B T 3 H W", "relation": "B M M"},
                least=(1, 1, 1),
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
        aliases=("IAU-Net", "interaction-aggregation-update"),
        maps={"affinity": "B C C", "mask": "B 4 H W", "relation": "B 4 4"},
        kwargs={"channels": 6},
        options=(
            Option({"parts": 3, "hidden": 4}, maps={"affinity": "B C C", "mask": "B 3 H W", "relation": "B 3 3"}),
            Option(
                {"dims": 3, "return_mask": True},
                inputs=("B C T H W",),
                outputs=("B C T H W", "B T 4 H W"),
                maps={"affinity": "B M M", "mask": "B T 4 H W", "relation": "B N N"},
                least=(1, 1, 1),
            ),
        ),
        code="blue-blue272/ImgReID-IAnet",
    ),
)
