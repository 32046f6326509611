"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing, Training

_SPANET = Paper(
    "SPANet: Spatial Pyramid Attention Network for Enhanced Image Recognition",
    "Guo, Ma, Sansom, McGuire, Kalaani, Chen, Tang, Yang, Fu",
    "ICME",
    2020,
    doi="10.1109/ICME46284.2020.9102906",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="spa",
        target="papers.spanet.mechanism:SpatialPyramid",
        paper=_SPANET,
        domains=("channel", "scale"),
        soft=True,
        acts_on=("features",),
        grain=("channel",),
        tasks=("classification",),
        aliases=("SPA-Net", "SPPSE", "spatial pyramid attention"),
        maps={"channel": "B C 1 1"},
        kwargs={"channels": 12, "reduction": 3},
        options=(Option({"hidden": 5}), Option({"levels": (1, 3)})),
        code="13952522076/SPANet",
    ),
    Entry(
        name="spa_pre",
        target="papers.spanet.mechanism:PreSpatialPyramid",
        paper=_SPANET,
        domains=("channel", "scale"),
        soft=True,
        acts_on=("features",),
        grain=("channel",),
        tasks=("classification",),
        aliases=("PSPPSE", "CPSPPSE"),
        maps={"channel": "B C 1 1"},
        kwargs={"channels": 12, "reduction": 3},
        outputs=("B C 1 1",),
        options=(
            Option(
                {"out": 10, "hidden": 5, "levels": (1, 3)},
                ("B C H W", "B G H/2 W/2"),
                ("B G H/2 W/2",),
                {"channel": "B G 1 1"},
                sizes={"G": 10},
            ),
            Option({"out": 10, "convolve": True}, outputs=("B 10 1 1",), maps={"channel": "B 10 1 1"}),
        ),
        code="13952522076/SPANet",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="spa-cifar",
        target="papers.spanet.recipe:cifar",
        system="paper_network",
        summary="SPA-Net's CPSPPSE-ResNet-50 on CIFAR-100",
        data="CIFAR-10's or CIFAR-100's files",
        claim=Claim(measure="error", value=22.05, data="CIFAR-100", where="README, CPSPPSE-ResNet50, CIFAR-100"),
    ),
)

NETWORKS: tuple[str, ...] = (
    "se_preresnet18",
    "se_preresnet50",
    "se_preresnet101",
    "se_resnext29",
    "se_mobilenetv2",
    "pse_resnet18",
    "pse_resnet50",
    "pse_resnet101",
    "cpse_resnet18",
    "cpse_resnet50",
    "cpse_resnet101",
    "sppse_resnet18",
    "sppse_resnet50",
    "sppse_resnet101",
    "psppse_resnet18",
    "psppse_resnet50",
    "psppse_resnet101",
    "cpsppse_resnet18",
    "cpsppse_resnet50",
    "cpsppse_resnet101",
    "sppse_resnext29",
    "sppse_mobilenetv2",
    "psppse_resnext29",
    "psppse_mobilenetv2",
    "cpsppse_resnext29",
    "cpsppse_mobilenetv2",
)

TRAININGS: tuple[Training, ...] = (
    Training(
        networks=("*",),
        epochs=300,
        batch=512,
        lr=0.1,
        weight_decay=5e-4,
        falls=(70, 140, 210, 280),
        where="cifar.py and cifarutils.py of the authors' later ma-xu/SPANet_TMM",
    ),
)
