"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing, Training

_ECA = Paper(
    "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks",
    "Wang, Wu, Zhu, Li, Zuo, Hu",
    "CVPR",
    2020,
    arxiv="1910.03151",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="eca",
        target="papers.eca_net.mechanism:EfficientChannel",
        paper=_ECA,
        domains=("channel",),
        soft=True,
        acts_on=("features",),
        grain=("channel",),
        tasks=("classification", "detection"),
        aliases=("ECA-Net", "efficient channel attention"),
        maps={"channel": "B C 1 1"},
        kwargs={"channels": 12},
        options=(Option({"kernel_size": 5}), Option({"gamma": 1}), Option({"beta": 3})),
        code="BangguWu/ECANet",
    ),
    Entry(
        name="eca_ns",
        target="papers.eca_net.mechanism:UnsharedEfficientChannel",
        paper=_ECA,
        domains=("channel",),
        soft=True,
        acts_on=("features",),
        grain=("channel",),
        tasks=("classification",),
        aliases=("ECA-NS",),
        maps={"channel": "B C 1 1"},
        kwargs={"channels": 12},
        options=(Option({"kernel_size": 5}), Option({"gamma": 1}), Option({"beta": 3})),
        code="BangguWu/ECANet",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="eca-imagenet",
        target="papers.eca_net.recipe:imagenet",
        system="paper_network",
        summary="ECA-Net50 on ImageNet",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=22.58, data="ImageNet", where="README, ECA-Net50"),
    ),
)

NETWORKS: tuple[str, ...] = (
    "eca_resnet18",
    "eca_resnet50",
    "eca_resnet34",
    "eca_resnet101",
    "eca_resnet152",
    "eca_mobilenetv2",
)

TRAININGS: tuple[Training, ...] = (
    Training(
        networks=("eca_resnet*",),
        epochs=100,
        batch=256,
        lr=0.1,
        weight_decay=1e-4,
        falls=(30, 60, 90),
        where="main.py",
    ),
    Training(
        networks=("eca_mobilenetv2",),
        epochs=400,
        batch=96,
        lr=0.045,
        weight_decay=4e-5,
        falls=tuple(range(1, 400)),
        factor=0.98,
        where="light_main.py",
    ),
)
