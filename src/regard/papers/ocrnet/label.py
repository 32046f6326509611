"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

_OCR = Paper(
    "Object-Contextual Representations for Semantic Segmentation",
    "Yuan, Chen, Wang",
    "ECCV",
    2020,
    arxiv="1909.11065",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="ocr_gather",
        target="papers.ocrnet.mechanism.context:SpatialGather",
        paper=_OCR,
        domains=("category", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        reach="point to region",
        tasks=("segmentation",),
        aliases=("spatial gather",),
        maps={"region": "B K H W"},
        sums={"region": "H W"},
        kwargs={},
        inputs=("B C H W", "B K H W"),
        outputs=("B C K 1",),
        options=(Option({"scale": 2.0}),),
        code="openseg-group/openseg.pytorch",
    ),
    Entry(
        name="object_attention",
        target="papers.ocrnet.mechanism.context:ObjectAttention",
        paper=_OCR,
        domains=("category", "cross"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to region",
        tasks=("segmentation",),
        maps={"affinity": "B Q K"},
        sums={"affinity": "K"},
        kwargs={"channels": 6},
        inputs=("B C H W", "B C K 1"),
        options=(Option({"hidden": 4, "bias": True}), Option({"scale": 2}, least=(2, 2))),
        code="openseg-group/openseg.pytorch",
    ),
    Entry(
        name="ocr",
        target="papers.ocrnet.mechanism.context:ObjectContext",
        paper=_OCR,
        domains=("category", "cross"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to region",
        tasks=("segmentation",),
        aliases=("object-contextual representations",),
        maps={"affinity": "B Q K"},
        sums={"affinity": "K"},
        kwargs={"channels": 6},
        inputs=("B C H W", "B C K 1"),
        options=(
            Option({"hidden": 4, "bias": True, "dropout": 0.3}),
            Option({"out": 5}, outputs=("B 5 H W",)),
            Option({"scale": 2}, least=(2, 2)),
        ),
        code="openseg-group/openseg.pytorch",
    ),
    Entry(
        name="ocrnet",
        target="papers.ocrnet.mechanism.head:ObjectContextHead",
        paper=_OCR,
        domains=("category", "spatial", "cross"),
        soft=True,
        acts_on=("features",),
        grain=("position", "item"),
        reach="point to region",
        tasks=("segmentation",),
        maps={"region": "B K H W", "affinity": "B Q K"},
        sums={"region": "H W", "affinity": "K"},
        kwargs={"channels": 6, "classes": 4, "hidden": 8},
        outputs=("B K H W", "B K H W"),
        sizes={"K": 4},
        options=(
            Option({"key": 5, "dropout": 0.3, "bias": True}),
            Option({"aux_channels": 3}, inputs=("B C H W", "B 3 H W")),
            Option({"scale": 2}, least=(2, 2)),
        ),
        code="openseg-group/openseg.pytorch",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="ocrnet",
        target="papers.ocrnet.recipe:segment",
        system="segmenter",
        summary="OCR on a ResNet-101 or HRNetV2-W48 (--network), on images with label maps",
        data="images/ and labels/, or a published dataset for segmentation, such as Cityscapes, VOC or ADE20K",
    ),
)

SEGMENTERS: tuple[str, ...] = ("ocrnet_resnet101", "ocrnet_hrnet_w48")
