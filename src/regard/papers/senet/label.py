"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing, Training

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="se",
        target="papers.senet.mechanism:SqueezeExcite",
        paper=Paper("Squeeze-and-Excitation Networks", "Hu, Shen, Albanie, Sun, Wu", "CVPR", 2018, arxiv="1709.01507"),
        domains=("channel",),
        soft=True,
        acts_on=("features",),
        grain=("channel",),
        tasks=("classification", "detection"),
        aliases=("SE-Net", "SE block", "squeeze-and-excitation"),
        maps={"channel": "B C 1 1"},
        kwargs={"channels": 12, "reduction": 4},
        options=(Option({"bias": False}), Option({"hidden": 5})),
        code="hujie-frank/SENet",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="se-imagenet",
        target="papers.senet.recipe:imagenet",
        system="paper_network",
        summary="SE-ResNet-50 on ImageNet",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=22.37, data="ImageNet", where="README, SE-ResNet-50"),
    ),
)

NETWORKS: tuple[str, ...] = (
    "se_resnet50",
    "se_resnet101",
    "se_resnet152",
    "se_resnext50",
    "se_resnext101",
    "senet154",
    "se_resnet18",
    "se_resnet34",
    "se_resnet50_port",
    "se_resnet101_port",
    "se_resnet20",
    "se_resnet32",
    "se_resnet56",
)

TRAININGS: tuple[Training, ...] = (
    Training(
        networks=("se_resnet50", "se_resnet101", "se_resnet152", "se_resnext*", "senet154"),
        epochs=100,
        batch=1024,
        lr=0.6,
        weight_decay=1e-4,
        falls=(30, 60, 90),
        where="paper, Section 5.1; README: the released weights with batches of 256, a rate of 0.1 and more epochs",
    ),
    Training(
        networks=("se_resnet18", "se_resnet34", "se_resnet50_port", "se_resnet101_port"),
        epochs=100,
        batch=64,
        lr=0.6,
        weight_decay=1e-4,
        falls=(30, 60, 90),
        where="moskomule/senet.pytorch, imagenet.py",
    ),
    Training(
        networks=("se_resnet20", "se_resnet32", "se_resnet56"),
        epochs=200,
        batch=64,
        lr=0.1,
        weight_decay=1e-4,
        falls=(80, 160),
        where="moskomule/senet.pytorch, cifar.py",
    ),
)
