"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="attention_sampling",
        target="papers.attention_sampling.network:AttentionSampling",
        paper=Paper(
            "Processing Megapixel Images with Deep Attention-Sampling Models",
            "Katharopoulos, Fleuret",
            "ICML",
            2019,
            arxiv="1905.03711",
        ),
        domains=("spatial",),
        soft=False,
        acts_on=("image",),
        grain=("item",),
        tasks=("classification",),
        aliases=("ATS",),
        maps={"spatial": "B 1 H W"}, sums={"spatial": "H W"}, shown=("spatial",),
        kwargs={
            "channels": 2, "classes": 5, "patch": 4, "stride": 2, "scale": 2, "widths": (3, 4), "attention_width": 3,
            "top_k": 2,
        },
        outputs=("B 5",),
        options=(
            Option({"hard": None}, soft=True),
            Option({"hard": "gumbel", "temperature": 0.5}),
        ),
        least=(4, 4),
        exported=8,
        parity="transcribed",
    ),
)  # fmt: skip

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="hard-digits",
        target="papers.attention_sampling.recipe:digits",
        system="attention_sampling",
        summary="digits among pieces of others, by one patch in full resolution that a glance at the whole has chosen",
        data="MNIST's four idx files",
    ),
    Listing(
        name="soft-digits",
        target="papers.attention_sampling.recipe:soft",
        system="attention_sampling",
        summary="the network of hard-digits with soft attention, which computes every patch",
        data="MNIST's four idx files",
    ),
)
