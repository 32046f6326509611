"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="ltpa",
        target="papers.ltpa.mechanism:LearnToPay",
        paper=Paper("Learn To Pay Attention", "Jetley, Lord, Lee, Torr", "ICLR", 2018, arxiv="1804.02391"),
        domains=("spatial", "cross"),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("classification", "fine-grained classification"),
        aliases=("learn to pay attention",),
        maps={"attention": "B 1 H W"},
        sums={"attention": "H W"},
        kwargs={"channels": 6, "gate_channels": 10},
        inputs=("B C H W", "B G"),
        outputs=("B G",),
        sizes={"G": 10},
        options=(
            Option({"compatibility": "dot"}),
            Option({"gate_channels": None}, inputs=("B C H W", "B C"), outputs=("B C",), sizes={}),
            Option({"normalise": "sigmoid", "return_compatibility": True}, outputs=("B 1 H W", "B G"), sums={}),
            Option({"project": "global", "normalise": "sigmoid"}, outputs=("B C",), sums={}),
            Option({"compatibility": "additive", "hidden": 8}, inputs=("B C H W", "B G H/2 W/2"), outputs=("B C",)),
            Option({"hard": "gumbel", "temperature": 0.5}, soft=False),
            Option({"hard": "top-k", "top_k": 2}),
        ),
        code="SaoYan/LearnToPayAttention",
    ),
    Entry(
        name="attention_vgg",
        target="papers.ltpa.network:AttentionVGG",
        paper=Paper("Learn To Pay Attention", "Jetley, Lord, Lee, Torr", "ICLR", 2018, arxiv="1804.02391"),
        domains=("spatial", "cross"),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("classification", "fine-grained classification"),
        aliases=("VGG-att",),
        maps={"attention": "B 1 h w"},
        sums={"attention": "h w"},
        kwargs={"channels": 3, "classes": 4, "grid": (33, 35), "widths": (2, 3, 4, 5, 6, 7)},
        outputs=("B 4",),
        options=(
            Option({"attend": "after", "normalise": "sigmoid", "compatibility": "dot", "project": "global"}, sums={}),
            Option({"attend": None}, maps={}),
            Option(
                {"return_compatibility": True, "combine": "independent"},
                outputs=("B 4", "B 1 33 35", "B 1 16 17", "B 1 8 8"),
            ),
        ),
        sizes={"H": 33, "W": 35},
        code="SaoYan/LearnToPayAttention",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="ltpa-before",
        target="papers.ltpa.recipe:before",
        system="attention_vgg",
        summary="VGG with attention at three layers, before their poolings",
        data="CIFAR-100's files, as for the paper's number, or CIFAR-10's",
        claim=Claim(measure="error", value=22.97, data="CIFAR-100", where="Table 1, CIFAR-100, (VGG-att3)-concat-pc"),
    ),
    Listing(
        name="ltpa-after",
        target="papers.ltpa.recipe:after",
        system="attention_vgg",
        summary="VGG with attention at three layers, after their poolings",
        data="CIFAR-100's or CIFAR-10's files",
    ),
    Listing(
        name="ltpa-dot",
        target="papers.ltpa.recipe:dot",
        system="attention_vgg",
        summary="ltpa-before with the dot product as compatibility",
        data="CIFAR-100's or CIFAR-10's files",
    ),
    Listing(
        name="ltpa-independent",
        target="papers.ltpa.recipe:independent",
        system="attention_vgg",
        summary="ltpa-before with a classifier for each of the three layers",
        data="CIFAR-100's or CIFAR-10's files",
    ),
    Listing(
        name="ltpa-independent-dot",
        target="papers.ltpa.recipe:independent_dot",
        system="attention_vgg",
        summary="ltpa-before with the dot product and a classifier for each of the three layers",
        data="CIFAR-100's or CIFAR-10's files",
    ),
    Listing(
        name="ltpa-none",
        target="papers.ltpa.recipe:plain",
        system="attention_vgg",
        summary="the VGG of ltpa-before without attention",
        data="CIFAR-100's files, as for the paper's number, or CIFAR-10's",
        claim=Claim(measure="error", value=30.62, data="CIFAR-100", where="Table 1, CIFAR-100, VGG"),
    ),
)
