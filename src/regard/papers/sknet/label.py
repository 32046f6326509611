"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing, Training

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="sk",
        target="papers.sknet.mechanism:SelectiveKernel",
        paper=Paper("Selective Kernel Networks", "Li, Wang, Hu, Yang", "CVPR", 2019, arxiv="1903.06586"),
        domains=("branch", "channel"),
        soft=True,
        acts_on=("features",),
        grain=("item", "channel"),
        tasks=("classification",),
        aliases=("SK-Net", "SKConv", "selective kernel"),
        maps={"branch": "B 2 C 1 1"},
        sums={"branch": "2"},
        kwargs={"channels": 12, "hidden": 8},
        options=(
            Option({"stride": 2, "reduction": 3, "least": 3, "hidden": None}, outputs=("B C H/2 W/2",)),
            Option(
                {"out": 18, "split": True, "groups": 3, "select_bias": True, "dilation": 2},
                outputs=("B 18 H W",),
                maps={"branch": "B 2 18 1 1"},
            ),
            Option(
                {"kernel_sizes": (3, 5, 7), "dilated": False, "norm": False, "bias": True},
                maps={"branch": "B 3 C 1 1"},
                sums={"branch": "3"},
            ),
        ),
        code="implus/SKNet",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="sk-imagenet",
        target="papers.sknet.recipe:imagenet",
        system="paper_network",
        summary="SKNet-50 on ImageNet",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=20.79, data="ImageNet", where="README, SKNet-50, 224"),
    ),
)

NETWORKS: tuple[str, ...] = (
    "sknet50",
    "sknet101",
)

TRAININGS: tuple[Training, ...] = (
    Training(
        networks=("sknet*",),
        epochs=100,
        batch=256,
        lr=0.1,
        weight_decay=1e-4,
        falls=(30, 60, 90),
        smoothing=0.1,
        where="paper, Section 4.1",
    ),
)
