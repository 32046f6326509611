"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

_ANN = Paper(
    "Asymmetric Non-local Neural Networks for Semantic Segmentation",
    "Zhu, Xu, Bai, Huang, Bai",
    "ICCV",
    2019,
    arxiv="1908.07678",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="apnb",
        target="papers.annet.mechanism:PyramidNonLocal",
        paper=_ANN,
        domains=("self", "spatial", "scale"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to region",
        tasks=("segmentation",),
        aliases=("asymmetric pyramid non-local block",),
        maps={"affinity": "B Q S"},
        sums={"affinity": "S"},
        kwargs={"channels": 8, "sizes": (1, 3)},
        options=(
            Option({"hidden": 5, "value_hidden": 3, "dropout": 0.0}),
            Option({"shared": False, "stages": 2, "sizes": (1, 2, 4)}),
        ),
        code="MendelXu/ANN",
    ),
    Entry(
        name="afnb",
        target="papers.annet.mechanism:FusionNonLocal",
        paper=_ANN,
        domains=("self", "cross", "spatial", "scale"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to region",
        tasks=("segmentation",),
        aliases=("asymmetric fusion non-local block",),
        maps={"affinity": "B Q S"},
        sums={"affinity": "S"},
        kwargs={"channels": 8, "low_channels": 6, "sizes": (1, 3)},
        inputs=("B G T N", "B C H W"),
        outputs=("B C H W",),
        options=(
            Option({"hidden": 5, "value_hidden": 3, "dropout": 0.0}),
            Option({"out_channels": 10, "stages": 2, "sizes": (1, 2, 4)}, outputs=("B M H W",)),
        ),
        sizes={"G": 6},
        code="MendelXu/ANN",
    ),
    Entry(
        name="annet",
        target="papers.annet.mechanism:AsymmetricNonLocalHead",
        paper=_ANN,
        domains=("self", "cross", "spatial", "scale"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to region",
        tasks=("segmentation",),
        aliases=("ANN", "asymmetric non-local neural network"),
        maps={"affinity": "B Q S"},
        sums={"affinity": "S"},
        kwargs={"channels": 16, "classes": 3, "low_channels": 6, "sizes": (1, 3)},
        inputs=("B G H W", "B C H W"),
        outputs=("B M H W", "B M H W"),
        options=(
            Option({"width": 5, "hidden": 4, "auxiliary": 0, "dropout": 0.0}, outputs=("B M H W",)),
            Option({"auxiliary": 7, "size": (18, 21)}, outputs=("B M 18 21", "B M 18 21")),
        ),
        sizes={"G": 6, "M": 3},
        code="MendelXu/ANN",
    ),
)

CLAIM = Claim(measure="miou", value=0.799, data="Cityscapes", where="README, log of the model; untested")

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="annet",
        target="papers.annet.recipe:segment",
        system="segmenter",
        summary="ANN-101, on images with label maps",
        data="images/ and labels/, or a published dataset for segmentation, such as Cityscapes, VOC or ADE20K",
        claim=CLAIM,
    ),
)

SEGMENTERS: tuple[str, ...] = ("annet_resnet101",)
