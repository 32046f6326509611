"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="fpa",
        target="papers.pan.mechanism:FeaturePyramidAttention",
        paper=Paper(
            "Pyramid Attention Network for Semantic Segmentation",
            "Li, Xiong, An, Wang",
            "BMVC",
            2018,
            arxiv="1805.10180",
        ),
        domains=("channel", "spatial", "scale"),
        soft=True,
        acts_on=("features",),
        grain=("value",),
        tasks=("segmentation",),
        aliases=("feature pyramid attention",),
        maps={"pyramid": "B C H W"},
        kwargs={"channels": 12},
        options=(
            Option({"out_channels": 7, "hidden": 5}, outputs=("B 7 H W",), maps={"pyramid": "B 7 H W"}),
            Option({"upsample": "bilinear"}, maps={"pyramid": "B 1 H W"}),
        ),
        exported=16,
        code="JaveyWang/Pyramid-Attention-Networks-pytorch",
    ),
    Entry(
        name="gau",
        target="papers.pan.mechanism:GlobalAttentionUpsample",
        paper=Paper(
            "Pyramid Attention Network for Semantic Segmentation",
            "Li, Xiong, An, Wang",
            "BMVC",
            2018,
            arxiv="1805.10180",
        ),
        domains=("channel",),
        soft=True,
        acts_on=("features",),
        grain=("channel",),
        tasks=("segmentation",),
        aliases=("global attention upsample",),
        maps={"channel": "B C 1 1"},
        kwargs={"channels": 12, "gate_channels": 10},
        inputs=("B C H W", "B G H/2 W/2"),
        options=(
            Option(
                {"upsample": "projection", "out_channels": 7},
                ("B C H W", "B G H W"),
                ("B 7 H W",),
                {"channel": "B 7 1 1"},
            ),
            Option(
                {"upsample": "bilinear", "out_channels": 10, "gate": "sigmoid"},
                outputs=("B 10 H W",),
                maps={"channel": "B 10 1 1"},
            ),
        ),
        sizes={"G": 10},
        code="JaveyWang/Pyramid-Attention-Networks-pytorch",
    ),
)
