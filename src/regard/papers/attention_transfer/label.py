"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

_AT = Paper(
    "Paying More Attention to Attention: Improving the Performance of Convolutional Neural Networks via Attention "
    "Transfer",
    "Zagoruyko, Komodakis",
    "ICLR",
    2017,
    arxiv="1612.03928",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="attention_transfer",
        target="papers.attention_transfer.mechanism:AttentionTransfer",
        paper=_AT,
        domains=("spatial",),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("classification", "transfer"),
        aliases=("AT", "activation-based attention transfer"),
        maps={"student": "B 1 H W", "teacher": "B 1 H W"},
        kwargs={},
        inputs=("B C H W", "B G H W"),
        outputs=("",),
        sizes={"C": 5, "G": 8},
        options=(
            Option({"pool": "sum", "power": 1, "distance": "norm"}),
            Option({"pool": "max", "power": 4, "beta": 10.0}),
        ),
        code="szagoruyko/attention-transfer",
    ),
    Entry(
        name="gradient_transfer",
        target="papers.attention_transfer.mechanism:GradientTransfer",
        paper=_AT,
        domains=("spatial",),
        soft=True,
        acts_on=("image",),
        grain=("value",),
        tasks=("classification", "transfer"),
        aliases=("gradient-based attention transfer",),
        maps={"student": "B C H W", "teacher": "B C H W"},
        kwargs={},
        inputs=("B C H W", "B C H W"),
        outputs=("",),
        sizes={"C": 12},
        options=(Option({"symmetric": True, "beta": 10.0}, maps={"student": "B C H W", "mirrored": "B C H W"}),),
        code="szagoruyko/attention-transfer",
        parity="transcribed",
    ),
    Entry(
        name="wide_resnet",
        target="papers.attention_transfer.network:WideResNet",
        paper=Paper("Wide Residual Networks", "Zagoruyko, Komodakis", "BMVC", 2016, arxiv="1605.07146"),
        domains=("spatial",),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("classification", "transfer"),
        aliases=("WRN",),
        maps={"activation": "B 1 h w"},
        shown=("activation",),
        kwargs={"channels": 3, "classes": 4, "depth": 10, "width": 0.25},
        outputs=("B 4",),
        options=(Option({"depth": 22, "width": 1.0, "stem_stride": 2}),),
        exempt={"low_precision": "the residual sums of large images, or of many layers, leave the range of float16"},
        exported=16,
        code="szagoruyko/attention-transfer",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="transfer-none",
        target="papers.attention_transfer.recipe:plain",
        system="wide_resnet",
        summary="WRN-16-1 from labels alone, the baseline of the three below",
        data="CIFAR-10's files; without them, embedded digits and smaller networks",
        claim=Claim(measure="error", value=8.77, data="CIFAR-10", where="Table 1, WRN-16-1"),
    ),
    Listing(
        name="attention-transfer",
        target="papers.attention_transfer.recipe:activations",
        system="wide_resnet",
        summary="WRN-16-1 from labels and the attention maps of a WRN-16-2",
        data="CIFAR-10's files; without them, embedded digits and smaller networks",
        claim=Claim(measure="error", value=7.93, data="CIFAR-10", where="Table 1, WRN-16-1 from WRN-16-2, AT"),
    ),
    Listing(
        name="gradient-transfer",
        target="papers.attention_transfer.recipe:gradients",
        system="wide_resnet",
        summary="WRN-16-1 from labels and the input gradients of a WRN-16-2",
        data="CIFAR-10's files; without them, embedded digits and smaller networks",
    ),
    Listing(
        name="distillation",
        target="papers.attention_transfer.recipe:distillation",
        system="wide_resnet",
        summary="WRN-16-1 from labels and the softened outputs of a WRN-16-2",
        data="CIFAR-10's files; without them, embedded digits and smaller networks",
        claim=Claim(measure="error", value=7.41, data="CIFAR-10", where="Table 1, WRN-16-1 from WRN-16-2, KD"),
    ),
)
