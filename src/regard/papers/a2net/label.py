"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="a2",
        target="papers.a2net.mechanism:DoubleAttention",
        paper=Paper(
            "A²-Nets: Double Attention Networks",
            "Chen, Kalantidis, Li, Yan, Feng",
            "NIPS",
            2018,
            arxiv="1810.11579",
        ),
        domains=("spatial", "global", "second_order"),
        soft=True,
        acts_on=("features",),
        grain=("position", "item"),
        reach="point to region",
        tasks=("classification", "video classification"),
        aliases=("A2-Net", "A²-Net", "double attention"),
        maps={"gather": "B G H W", "distribute": "B G H W"},
        sums={"gather": "H W", "distribute": "G"},
        kwargs={"channels": 12},
        options=(
            Option({"residual": False}),
            Option({"expand": False, "residual": False, "hidden": 5}, outputs=("B D H W",)),
            Option({"hidden": 2, "descriptors": 6}),
            Option(
                {"reduction": 3},
                inputs=("B C T H W",),
                outputs=("B C T H W",),
                maps={"gather": "B G T H W", "distribute": "B G T H W"},
                least=(1, 1, 1),
                sums={"gather": "T H W", "distribute": "G"},
            ),
        ),
        parity="transcribed",
    ),
)

NETWORKS: tuple[str, ...] = ("a2_resnet50", "a2_resnet26", "resnet26_clips")
