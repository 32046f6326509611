"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="attention_crop",
        target="papers.ra_cnn.mechanism:AttentionCrop",
        paper=Paper(
            "Look Closer to See Better: Recurrent Attention Convolutional Neural Network for Fine-Grained Image "
            "Recognition",
            "Fu, Zheng, Mei",
            "CVPR",
            2017,
            doi="10.1109/CVPR.2017.476",
        ),
        domains=("spatial",),
        soft=False,
        acts_on=("image",),
        grain=("position",),
        kind="focus",
        tasks=("fine-grained classification",),
        maps={"mask": "B 1 H W", "glimpse": "B T 4"},
        kwargs={"size": 6},
        inputs=("B C H W", "B 3"),
        outputs=("B C 6 6",),
        options=(Option({"gradient": "mask", "least": 0.2, "k": 3.0, "align_corners": False}, soft=True),),
        parity="transcribed",
    ),
    Entry(
        name="ra_cnn",
        target="papers.ra_cnn.network:RecurrentAttentionCNN",
        paper=Paper(
            "Look Closer to See Better: Recurrent Attention Convolutional Neural Network for Fine-Grained Image "
            "Recognition",
            "Fu, Zheng, Mei",
            "CVPR",
            2017,
            doi="10.1109/CVPR.2017.476",
        ),
        domains=("spatial", "scale"),
        soft=False,
        acts_on=("image",),
        grain=("position",),
        kind="focus",
        tasks=("fine-grained classification",),
        aliases=("RA-CNN",),
        maps={"glimpse": "B T 4"},
        kwargs={
            "channels": 2,
            "classes": 5,
            "image_size": 24,
            "crop_size": 12,
            "backbone": None,
            "widths": (3, 4),
            "hidden": 6,
        },
        outputs=("B 5",) * 3,
        options=(
            Option(
                {
                    "first_size": 12,
                    "source": "image",
                    "fused": True,
                    "gradient": "mask",
                    "least": 0.1,
                    "k": 2.0,
                    "align_corners": False,
                },
                outputs=("B 5",) * 4,
                soft=True,
            ),
            Option({"scales": 1}, outputs=("B 5",), maps={}, soft=True),
        ),
        sizes={"H": 24, "W": 24},
        parity="transcribed",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="ra-cnn",
        target="papers.ra_cnn.recipe:photographs",
        system="ra_cnn",
        summary="fine-grained classes, with two closer looks",
        data="CUB-200-2011, or train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=14.7, data="CUB-200-2011", where="Table 1, CUB-200-2011, scales 1+2+3"),
    ),
    Listing(
        name="ra-cnn-birds",
        target="papers.ra_cnn.recipe:drawn",
        system="ra_cnn",
        summary="drawn birds that differ in marks on the head, with two closer looks at twice the resolution each",
    ),
)
