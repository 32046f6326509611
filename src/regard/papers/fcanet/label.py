"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing, Training

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="fca",
        target="papers.fcanet.mechanism:FrequencyChannel",
        paper=Paper(
            "FcaNet: Frequency Channel Attention Networks", "Qin, Zhang, Wu, Li", "ICCV", 2021, arxiv="2012.11879"
        ),
        domains=("channel", "frequency"),
        soft=True,
        acts_on=("features",),
        grain=("channel",),
        tasks=("classification", "detection"),
        aliases=("FcaNet", "frequency channel attention"),
        maps={"channel": "B C 1 1"},
        kwargs={"channels": 32},
        options=(
            Option({"frequencies": "low4", "size": (14, 7), "reduction": 8}),
            Option({"frequencies": ((0, 1), (6, 5)), "hidden": 5}),
        ),
        code="cfzd/FcaNet",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="fca-imagenet",
        target="papers.fcanet.recipe:imagenet",
        system="paper_network",
        summary="FcaNet-50 on ImageNet",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=21.48, data="ImageNet", where="README, FcaNet50"),
    ),
)

NETWORKS: tuple[str, ...] = (
    "fcanet34",
    "fcanet50",
    "fcanet101",
    "fcanet152",
)

TRAININGS: tuple[Training, ...] = (
    Training(
        networks=("fcanet*",),
        epochs=100,
        batch=256,
        lr=0.1,
        weight_decay=1e-4,
        warmup=5,
        smoothing=0.1,
        where="main.py and launch_training_classification.sh",
    ),
)
