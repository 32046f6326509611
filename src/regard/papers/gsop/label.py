"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing, Training

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="gsop",
        target="papers.gsop.mechanism:SecondOrderPooling",
        paper=Paper(
            "Global Second-order Pooling Convolutional Networks", "Gao, Xie, Wang, Li", "CVPR", 2019, arxiv="1811.12006"
        ),
        domains=("second_order", "channel", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("channel", "position"),
        reach="point to point",
        tasks=("classification",),
        aliases=("GSoP-Net", "global second-order pooling"),
        maps={"channel": "B C 1 1", "covariance": "B D D"},
        kwargs={"channels": 12, "hidden": 6},
        options=(
            Option({"stride": 1, "leaky": True}),
            Option({"fusion": "position", "size": 3}, maps={"spatial": "B 1 H W", "pooled": "B 1 S S"}),
            Option(
                {"fusion": "sum", "size": 3, "centred": True},
                maps={"channel": "B C 1 1", "covariance": "B D D", "spatial": "B 1 H W", "pooled": "B 1 S S"},
            ),
            Option(
                {"fusion": "max", "size": 2},
                maps={"channel": "B C 1 1", "covariance": "B D D", "spatial": "B 1 H W", "pooled": "B 1 S S"},
            ),
            Option(
                {"fusion": "concat", "size": 3},
                maps={"channel": "B C 1 1", "covariance": "B D D", "spatial": "B 1 H W", "pooled": "B 1 S S"},
            ),
        ),
        code="ZilinGao/Global-Second-order-Pooling-Convolutional-Networks",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="gsop-imagenet",
        target="papers.gsop.recipe:imagenet",
        system="paper_network",
        summary="GSoP-Net2, a ResNet-50, on ImageNet",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=21.19, data="ImageNet", where="README, GSoP-Net2"),
    ),
)

NETWORKS: tuple[str, ...] = (
    "gsop_net1",
    "gsop_net2",
)

TRAININGS: tuple[Training, ...] = (
    Training(
        networks=("gsop_net1",), epochs=95, batch=256, lr=0.1, weight_decay=1e-4, falls=(30, 60, 90), where="main.py"
    ),
    Training(
        networks=("gsop_net2",), epochs=65, batch=256, lr=0.1, weight_decay=1e-4, falls=(30, 45, 60), where="main.py"
    ),
)
