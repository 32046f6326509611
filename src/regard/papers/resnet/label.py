"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing, Training

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="paper_network",
        target="papers.resnet.network:PaperNetwork",
        paper=Paper(
            title="Deep Residual Learning for Image Recognition",
            authors="He, Zhang, Ren, Sun",
            venue="CVPR",
            year=2016,
            arxiv="1512.03385",
        ),
        domains=("channel", "spatial", "branch", "frequency", "global", "second_order", "self", "temporal"),
        soft=True,
        acts_on=("features",),
        grain=("channel", "position"),
        tasks=("classification", "video classification"),
        maps={"branch": "B M D 1 1"},
        sums={"branch": "M", "affinity": "K"},
        kwargs={"channels": 2, "name": "sknet50", "classes": 5, "width": 4, "blocks": (1, 1)},
        outputs=("B K",),
        options=(
            # a gate for one size of the map: ten rows and fourteen columns are three and four behind the stem
            Option(
                {"name": "ge_resnet50_theta", "image_size": (10, 14), "blocks": (1,)},
                maps={"gate": "B D 1 1"},
                sizes={"H": 10, "W": 14},
            ),
            Option({"name": "ge_resnet50_theta_e4", "blocks": (1,)}, maps={"gate": "B D h w"}),
            Option({"name": "cpsppse_mobilenetv2", "width": 16, "blocks": (1, 2)}, maps={"channel": "B D 1 1"}),
            Option(
                {"name": "nonlocal5_i3d_resnet50_8f", "blocks": (1, 2)},
                inputs=("B C T H W",),
                maps={"affinity": "B Q K"},
                least=(1, 1, 1),
            ),
        ),
        exported=32,
        code="hujie-frank/SENet",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="classify",
        target="papers.resnet.recipe:classify",
        system="paper_network",
        summary="Any network known by name (--network), ResNet-50 by default, on images with one label each",
        data="ImageNet, CIFAR, CUB-200-2011, Stanford Cars, FGVC-Aircraft or Stanford Dogs as published, or train/ and "
        "val/ with a folder for each class",
    ),
)

NETWORKS: tuple[str, ...] = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnet20_cifar",
    "resnet32_cifar",
    "resnet56_cifar",
    "resnet18_cifar",
    "resnet50_cifar",
)

TRAININGS: tuple[Training, ...] = (
    Training(
        networks=("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
        epochs=90,
        batch=256,
        lr=0.1,
        weight_decay=1e-4,
        falls=(30, 60),
        where="torchvision's references/classification; the paper divides the rate when the error stops falling",
    ),
    Training(
        networks=("resnet20_cifar", "resnet32_cifar", "resnet56_cifar"),
        epochs=164,
        batch=128,
        lr=0.1,
        weight_decay=1e-4,
        falls=(82, 123),
        where="paper, Section 4.2: 64,000 steps, a tenth of the rate after 32,000 and 48,000",
    ),
)
