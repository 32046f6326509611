"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="sononet_gate",
        target="papers.sononet.mechanism:SononetGate",
        paper=Paper(
            "Attention Gated Networks: Learning to Leverage Salient Regions in Medical Images",
            "Schlemper, Oktay, Schaap, Heinrich, Kainz, Glocker, Rueckert",
            "Medical Image Analysis",
            2019,
            arxiv="1808.08114",
        ),
        domains=("spatial",),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("classification", "medical imaging"),
        maps={"spatial": "B 1 H W"},
        sums={"spatial": "H W"},
        kwargs={"channels": 12, "gate_channels": 10},
        inputs=("B C H W", "B G H/2 W/2"),
        options=(
            Option({"hidden": 10, "phi": False, "normalization": "softmax", "norm": False}),
            Option(
                {"hidden": 12, "theta": False, "psi": False, "normalization": "sigmoid", "return_mask": True},
                outputs=("B C H W", "B C H W"),
                maps={"spatial": "B C H W"},
                sums={},
            ),
            Option(
                {"subsample": (2, 1), "normalization": "range", "activation": None},
                ("B C H W", "B G H W"),
                least=(2, 1),
                sums={},
            ),
            Option(
                {"dims": 3, "normalization": "mean", "transform": False},
                ("B C T H W", "B G T/2 H/2 W"),
                ("B C T H W",),
                {"spatial": "B 1 T H W"},
                sums={},
            ),
        ),
        sizes={"G": 10},
        code="ozan-oktay/Attention-Gated-Networks",
    ),
    Entry(
        name="sononet_aggregation",
        target="papers.sononet.mechanism:SononetAggregation",
        paper=Paper(
            "Attention Gated Networks: Learning to Leverage Salient Regions in Medical Images",
            "Schlemper, Oktay, Schaap, Heinrich, Kainz, Glocker, Rueckert",
            "Medical Image Analysis",
            2019,
            arxiv="1808.08114",
        ),
        domains=("spatial",),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("classification", "medical imaging"),
        maps={"spatial": "B 1 h w"},
        sums={"spatial": "h w"},
        kwargs={"channels": 12, "level_channels": (5, 8), "classes": 3},
        inputs=("B 5 H W", "B 8 H/2 W/2", "B C H/4 W/4"),
        outputs=("B 3",),
        options=(
            Option({"hidden": 6, "aggregation": "separate", "normalization": "softmax"}, outputs=("B 3", "B 3", "B 3")),
            Option({"aggregation": "deep_supervision"}, outputs=("B 3", "B 3", "B 3", "B 3")),
            Option({"aggregation": "fine_tuning"}),
        ),
        code="ozan-oktay/Attention-Gated-Networks",
    ),
    Entry(
        name="gated_sononet",
        target="papers.sononet.network:GatedSononet",
        paper=Paper(
            "Attention Gated Networks: Learning to Leverage Salient Regions in Medical Images",
            "Schlemper, Oktay, Schaap, Heinrich, Kainz, Glocker, Rueckert",
            "Medical Image Analysis",
            2019,
            arxiv="1808.08114",
        ),
        domains=("spatial",),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("classification", "medical imaging"),
        aliases=("AG-Sononet",),
        maps={"spatial": "B 1 h w"},
        sums={"spatial": "h w"},
        kwargs={"channels": 2, "classes": 3, "feature_scale": 32},
        outputs=("B 3",),
        options=(
            Option({"convolutions": (1, 2, 1, 1, 1), "aggregation": "deep_supervision"}, outputs=("B 3",) * 4),
            Option({"norm": False, "normalization": "softmax", "aggregation": "separate"}, outputs=("B 3",) * 3),
        ),
        exempt={"gradients_reach": "a gate on the single position that is left of a small image has nothing to weigh"},
        exported=32,
        code="ozan-oktay/Attention-Gated-Networks",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="gated-sononet",
        target="papers.sononet.recipe:planes",
        system="gated_sononet",
        summary="AG-Sononet-8 on your own classes of images",
        data="images, a subfolder for each class; the paper's scans are not public",
    ),
    Listing(
        name="gated-sononet-digits",
        target="papers.sononet.recipe:cluttered",
        system="gated_sononet",
        summary="a small AG-Sononet on cluttered digits, which `regard look` shows without arguments",
    ),
)
