"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing, Training

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="cbam",
        target="papers.cbam.mechanism:ConvBlockAttention",
        paper=Paper(
            "CBAM: Convolutional Block Attention Module", "Woo, Park, Lee, Kweon", "ECCV", 2018, arxiv="1807.06521"
        ),
        domains=("channel", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("channel", "position"),
        tasks=("classification", "detection"),
        aliases=("convolutional block attention module",),
        maps={"channel": "B C 1 1", "spatial": "B 1 H W"},
        kwargs={"channels": 12, "reduction": 4},
        options=(
            Option({"hidden": 5}),
            Option({"pools": ("avg",)}),
            Option({"pools": ("avg", "max", "lp", "lse")}),
            Option({"spatial": False}, maps={"channel": "B C 1 1"}),
            Option({"channel": False, "descriptor": "conv", "kernel_size": 3}, maps={"spatial": "B 1 H W"}),
            Option({"norm": False}),
            Option({"order": "spatial-channel"}),
            Option({"order": "parallel"}),
        ),
        code="Jongchan/attention-module",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="cbam-imagenet",
        target="papers.cbam.recipe:imagenet",
        system="paper_network",
        summary="ResNet-50 with CBAM on ImageNet",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=22.378, data="ImageNet", where="README, ResNet50+CBAM"),
    ),
)

NETWORKS: tuple[str, ...] = (
    "cbam_resnet18",
    "cbam_resnet34",
    "cbam_resnet50",
    "cbam_resnet101",
    "cbam_resnet18_cifar",
    "cbam_resnet34_cifar",
    "cbam_resnet50_cifar",
    "cbam_resnet101_cifar",
)

TRAININGS: tuple[Training, ...] = (
    Training(
        networks=("cbam_resnet18", "cbam_resnet34", "cbam_resnet50", "cbam_resnet101"),
        epochs=100,
        batch=256,
        lr=0.1,
        weight_decay=1e-4,
        falls=(30, 60, 90),
        where="train_imagenet.py and scripts/train_imagenet_resnet50_cbam.sh",
    ),
)
