"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="dram",
        target="papers.dram.network:DeepRecurrentAttention",
        paper=Paper(
            title="Multiple Object Recognition with Visual Attention",
            authors="Ba, Mnih, Kavukcuoglu",
            venue="ICLR",
            year=2015,
            arxiv="1412.7755",
        ),
        domains=("spatial", "sequence"),
        soft=False,
        acts_on=("image",),
        grain=("position",),
        kind="focus",
        tasks=("classification",),
        maps={"path": "B T 2"},
        kwargs={
            "channels": 2,
            "classes": 5,
            "targets": 2,
            "glimpses": 2,
            "glimpse_size": 4,
            "glimpse_widths": (3, 4),
            "glimpse_kernels": (3, 2),
            "features": 6,
            "context_size": 5,
            "context_widths": (4, 3),
            "context_kernels": (3, 2),
            "hidden": (6, 7),
            "class_hidden": 8,
            "std": 0.1,
        },
        outputs=("B 2 5",),
        options=(Option({"border": "edge", "context_cell": False, "bounded": True, "patches": 3, "scale": 3}),),
        parity="transcribed",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="dram-pairs",
        target="papers.dram.recipe:pairs",
        system="dram",
        summary="two digits on 100×100, from left to right by 4 glimpses each",
        data="MNIST's four idx files",
        claim=Claim(measure="error", value=5.0, data="MNIST", where="MNIST pairs, with the context network"),
    ),
    Listing(
        name="dram-strips",
        target="papers.dram.recipe:strips",
        system="dram",
        summary="two digits on 100×100, by a small network with 3 glimpses each",
        data="MNIST's four idx files",
    ),
    Listing(
        name="dram-addition",
        target="papers.dram.recipe:addition",
        system="dram",
        summary="the sum of two digits on 100×100, by a small network with 6 glimpses",
        data="MNIST's four idx files",
        claim=Claim(
            measure="error", value=2.5, data="MNIST", where="MNIST addition, Table 2", unlike="a larger network"
        ),
    ),
)
