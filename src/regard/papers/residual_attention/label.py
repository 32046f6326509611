"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="residual_attention",
        target="papers.residual_attention.mechanism:ResidualAttention",
        paper=Paper(
            "Residual Attention Network for Image Classification",
            "Wang, Jiang, Qian, Yang, Li, Zhang, Wang, Tang",
            "CVPR",
            2017,
            arxiv="1704.06904",
        ),
        domains=("channel", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("value",),
        tasks=("classification",),
        aliases=("residual attention module",),
        maps={"spatial": "B C H W"},
        kwargs={"channels": 12},
        options=(
            Option({"depth": 3, "mask": "spatial"}),
            Option({"depth": 2, "mask": "channel", "r": 2}),
            Option({"learning": "naive", "p": 2, "t": 1, "hidden": 5}),
            Option({"unit": "resnext", "hidden": 6, "groups": 3}),
            Option({"unit": "inception", "hidden": 3}),
        ),
        exported=16,  # the deepest mask branch may not come down to one position
        code="fwang91/residual-attention-network",
    ),
    Entry(
        name="residual_attention_network",
        target="papers.residual_attention.network:ResidualAttentionNetwork",
        paper=Paper(
            title="Residual Attention Network for Image Classification",
            authors="Wang, Jiang, Qian, Yang, Li, Zhang, Wang, Tang",
            venue="CVPR",
            year=2017,
            arxiv="1704.06904",
        ),
        domains=("channel", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("value",),
        tasks=("classification",),
        aliases=("RAN", "Attention-56"),
        maps={"spatial": "B D H/4 W/4"},
        # one module only: a whole Attention-56 is minutes of compiling
        kwargs={"channels": 2, "classes": 5, "modules": (0, 0, 1), "width": 2, "stem": "cifar"},
        outputs=("B K",),
        options=(
            Option(
                {
                    "stem": "imagenet",
                    "modules": (1, 0, 0),
                    "unit": "resnext",
                    "groups": 2,
                    "mask": "spatial",
                    "learning": "naive",
                },
                maps={"spatial": "B D M N"},
            ),
            Option({"unit": "inception", "width": 4, "depth": 56, "mask": "channel", "p": 2, "t": 1, "r": 2}),
        ),
        exported=64,
        code="fwang91/residual-attention-network",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="residual-attention-cifar",
        target="papers.residual_attention.recipe:cifar",
        system="residual_attention_network",
        summary="Attention-452 on CIFAR-10, with 10.2M parameters where the paper counts 8.6M",
        data="CIFAR-10's or CIFAR-100's files",
        claim=Claim(
            measure="error",
            value=3.9,
            data="CIFAR-10",
            where="abstract, CIFAR-10, Attention-452",
            unlike="the paper's network has 8.6M parameters, 10.2M here",
        ),
    ),
    Listing(
        name="residual-attention-cifar-92",
        target="papers.residual_attention.recipe:cifar_92",
        system="residual_attention_network",
        summary="Attention-92 on CIFAR-10",
        data="CIFAR-10's or CIFAR-100's files",
        claim=Claim(measure="error", value=4.99, data="CIFAR-10", where="Section 4.1, CIFAR-10, Attention-92, 1.9M"),
    ),
    Listing(
        name="residual-attention-cifar-236",
        target="papers.residual_attention.recipe:cifar_236",
        system="residual_attention_network",
        summary="Attention-236 on CIFAR-10",
        data="CIFAR-10's or CIFAR-100's files",
        claim=Claim(measure="error", value=4.14, data="CIFAR-10", where="Section 4.1, CIFAR-10, Attention-236, 5.1M"),
    ),
    Listing(
        name="residual-attention-imagenet",
        target="papers.residual_attention.recipe:imagenet",
        system="residual_attention_network",
        summary="Attention-56 on ImageNet",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(
            measure="error", value=21.76, data="ImageNet", where="README of the released definitions, Attention-56"
        ),
    ),
)
