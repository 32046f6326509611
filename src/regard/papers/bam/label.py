"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing, Training

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="bam",
        target="papers.bam.mechanism:BottleneckAttention",
        paper=Paper("BAM: Bottleneck Attention Module", "Park, Woo, Lee, Kweon", "BMVC", 2018, arxiv="1807.06514"),
        domains=("channel", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("channel", "position", "value"),
        tasks=("classification", "detection"),
        aliases=("bottleneck attention module",),
        maps={"attention": "B C H W", "channel": "B C 1 1", "spatial": "B 1 H W"},
        kwargs={"channels": 12, "reduction": 4},
        options=(
            Option({"merge": "sum"}),
            Option({"hidden": 5, "layers": 2, "dilations": (1, 2, 3)}),
            Option({"layers": 0, "dilations": ()}),
        ),
        code="Jongchan/attention-module",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="bam-imagenet",
        target="papers.bam.recipe:imagenet",
        system="paper_network",
        summary="ResNet-50 with BAM on ImageNet",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=23.14, data="ImageNet", where="README, ResNet50+BAM"),
    ),
)

NETWORKS: tuple[str, ...] = (
    "bam_resnet18",
    "bam_resnet34",
    "bam_resnet50",
    "bam_resnet101",
    "bam_resnet18_cifar",
    "bam_resnet34_cifar",
    "bam_resnet50_cifar",
    "bam_resnet101_cifar",
)

TRAININGS: tuple[Training, ...] = (
    Training(
        networks=("bam_resnet18", "bam_resnet34", "bam_resnet50", "bam_resnet101"),
        epochs=100,
        batch=256,
        lr=0.1,
        weight_decay=1e-4,
        falls=(30, 60, 90),
        where="train_imagenet.py and scripts/train_imagenet_resnet50_bam.sh",
    ),
)
