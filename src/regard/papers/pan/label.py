"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

_PAN = Paper(
    "Pyramid Attention Network for Semantic Segmentation",
    "Li, Xiong, An, Wang",
    "BMVC",
    2018,
    arxiv="1805.10180",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="fpa",
        target="papers.pan.mechanism.gates:FeaturePyramidAttention",
        paper=_PAN,
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
        target="papers.pan.mechanism.gates:GlobalAttentionUpsample",
        paper=_PAN,
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
    Entry(
        name="pan_decoder",
        target="papers.pan.mechanism.decoder:PyramidAttentionDecoder",
        paper=_PAN,
        domains=("channel", "spatial", "scale"),
        soft=True,
        acts_on=("features",),
        grain=("channel", "value"),
        tasks=("segmentation",),
        maps={"pyramid": "B C H W", "channel": "B N 1 1"},
        kwargs={"channels": 12, "finer": (10, 7)},
        inputs=("B C H W", "B G H W", "B M 2H 2W"),
        outputs=("B M 2H 2W",),
        options=(
            Option(
                {"upsample": "bilinear", "width": 5},
                outputs=("B 5 2H 2W",),
                maps={"pyramid": "B 1 H W", "channel": "B 5 1 1"},
            ),
        ),
        sizes={"G": 10, "M": 7},
        exported=16,
        code="JaveyWang/Pyramid-Attention-Networks-pytorch",
    ),
    Entry(
        name="pan",
        target="papers.pan.network:PyramidAttentionNetwork",
        paper=_PAN,
        domains=("channel", "spatial", "scale"),
        soft=True,
        acts_on=("features",),
        grain=("channel", "value"),
        tasks=("segmentation",),
        maps={"pyramid": "B D h w", "channel": "B N 1 1"},
        kwargs={"channels": 3, "classes": 4, "backbone": "test_efficientnet"},
        outputs=("B 4 H W",),
        options=(
            Option(
                {
                    "upsample": "bilinear",
                    "width": 7,
                    "output_stride": 8,
                    "multi_grid": (),
                    "presence": True,
                },
                outputs=("B 4 H W", "B 3 1 1"),
                maps={"pyramid": "B 1 h w", "channel": "B 7 1 1"},
            ),
        ),
        exported=144,
        parity="transcribed",
        code="JaveyWang/Pyramid-Attention-Networks-pytorch",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="pan",
        target="papers.pan.recipe:segment",
        system="pan",
        summary="PAN on ResNet-50, as JaveyWang or segmentation-models-pytorch has it, on images with label maps",
        data="images/ and labels/, or the layout of a published dataset for segmentation",
    ),
)
