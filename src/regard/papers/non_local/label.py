"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="nonlocal",
        target="papers.non_local.mechanism:NonLocal",
        paper=Paper("Non-local Neural Networks", "Wang, Girshick, Gupta, He", "CVPR", 2018, arxiv="1711.07971"),
        domains=("self", "spatial", "temporal"),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        reach="point to point",
        tasks=("video classification", "detection"),
        aliases=("non-local neural network", "NL", "non-local block"),
        maps={"affinity": "B Q K"},
        sums={"affinity": "K"},
        kwargs={"channels": 6},
        options=(
            Option({"affinity": "gaussian"}),
            Option({"affinity": "dot_product"}, sums={}),
            Option({"affinity": "concatenation"}, sums={}),
            Option({"hidden": 4}),
            Option({"pool": 1}),
            Option({"pool_first": False}),
            Option({"scale": False}),
            Option({"norm": False}),
            Option({"hard": "gumbel", "temperature": 0.5}, soft=False),
            Option({"hard": "top-k", "top_k": 2}),
            Option({"dims": 1}, inputs=("B C T",), outputs=("B C T",), least=(1,)),
            Option({"dims": 3}, inputs=("B C T H W",), outputs=("B C T H W",), least=(1, 1, 1)),
            Option({"dims": 3, "pool": (2, 2, 2)}, inputs=("B C T H W",), outputs=("B C T H W",), least=(1, 1, 1)),
        ),
        code="facebookresearch/video-nonlocal-net",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="non-local-clips",
        target="papers.non_local.recipe:videos",
        system="paper_network",
        summary="C2D with five non-local blocks (or --network), on clips of 8 frames",
        data="videos, or folders of frames: Kinetics' tables, the authors' lists, or train/ and val/ with a folder for "
        "each class",
    ),
)

NETWORKS: tuple[str, ...] = (
    "c2d_resnet50",
    "c2d_resnet50_8f",
    "i3d_resnet50",
    "i3d_resnet50_8f",
    "nonlocal_resnet50",
    "nonlocal_resnet101",
    "nonlocal5_resnet50",
    "nonlocal5_c2d_resnet50",
    "nonlocal5_c2d_resnet50_8f",
    "nonlocal5_i3d_resnet50",
    "nonlocal5_i3d_resnet50_8f",
    "nonlocal5_c2d_resnet101",
    "nonlocal5_c2d_resnet101_8f",
    "nonlocal5_i3d_resnet101",
    "nonlocal5_i3d_resnet101_8f",
    "nonlocal10_c2d_resnet50",
    "nonlocal10_c2d_resnet50_8f",
    "nonlocal10_i3d_resnet50",
    "nonlocal10_i3d_resnet50_8f",
)
