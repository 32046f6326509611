"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

_ATTENTION_UNET = Paper(
    "Attention U-Net: Learning Where to Look for the Pancreas",
    "Oktay, Schlemper, Le Folgoc, Lee, Heinrich, Misawa, Mori, McDonagh, Hammerla, Kainz, Glocker, Rueckert",
    "MIDL",
    2018,
    arxiv="1804.03999",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="attention_gate",
        target="papers.attention_unet.mechanism:AttentionGate",
        paper=_ATTENTION_UNET,
        domains=("spatial",),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("segmentation", "medical imaging"),
        aliases=("AG", "grid attention"),
        maps={"spatial": "B 1 H W"},
        kwargs={"channels": 12, "gate_channels": 10},
        inputs=("B C H W", "B G H/2 W/2"),
        options=(
            Option({"hidden": 5, "subsample": (2, 1), "normalization": "softmax", "align_corners": True}, least=(2, 1)),
            Option({"activation": "softplus", "return_mask": True}, outputs=("B C H W", "B 1 H W")),
            Option(
                {"subsample": 1, "norm": True, "transform": False, "normalization": "softmax"},
                ("B C H W", "B G H W"),
                least=(1, 1),
                sums={"spatial": "H W"},
            ),
            Option(
                {"dims": 3, "subsample": (1, 2, 2)},
                ("B C D H W", "B G D H/2 W/2"),
                ("B C D H W",),
                {"spatial": "B 1 D H W"},
            ),
        ),
        least=(2, 2),
        sizes={"G": 10},
        code="ozan-oktay/Attention-Gated-Networks",
    ),
    Entry(
        name="multi_attention_gate",
        target="papers.attention_unet.mechanism:MultiAttentionGate",
        paper=_ATTENTION_UNET,
        domains=("spatial",),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("segmentation", "medical imaging"),
        maps={"spatial": "B 1 H W"},
        kwargs={"channels": 12, "gate_channels": 10},
        inputs=("B C H W", "B G H/2 W/2"),
        options=(
            Option(
                {"gates": 3, "hidden": 5, "activation": "softplus", "return_mask": True}, outputs=("B C H W", "B 3 H W")
            ),
            Option(
                {"subsample": 1, "normalization": "softmax", "align_corners": True, "gates": 1},
                least=(1, 1),
                sums={"spatial": "H W"},
            ),
            Option(
                {"dims": 3, "subsample": (1, 2, 2)},
                ("B C D H W", "B G D H/2 W/2"),
                ("B C D H W",),
                {"spatial": "B 1 D H W"},
            ),
        ),
        least=(2, 2),
        sizes={"G": 10},
        code="ozan-oktay/Attention-Gated-Networks",
    ),
    Entry(
        name="attention_unet",
        target="papers.attention_unet.network:AttentionUnet",
        paper=_ATTENTION_UNET,
        domains=("spatial",),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("segmentation", "medical imaging"),
        aliases=("Attention U-Net", "AttU_Net"),
        maps={"spatial": "B 1 d h w"},
        kwargs={"channels": 2, "classes": 3, "widths": (4, 5, 6)},
        inputs=("B C D H W",),
        outputs=("B 3 D H W",),
        options=(
            Option(
                {"dims": 2, "gates": 2, "deep_supervision": False}, ("B C H W",), ("B 3 H W",), {"spatial": "B 1 h w"}
            ),
            Option({"dims": 2, "port": True}, ("B C H W",), ("B 3 H W",), {"spatial": "B 1 h w"}),
        ),
        exported=16,
        code="ozan-oktay/Attention-Gated-Networks",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="attention-unet",
        target="papers.attention_unet.recipe:volumes",
        system="attention_unet",
        summary="3-D Attention U-Net on volumes with label maps",
        data="dataset.json, imagesTr/ and labelsTr/, as in the Medical Segmentation Decathlon",
    ),
    Listing(
        name="attention-unet-images",
        target="papers.attention_unet.recipe:images",
        system="attention_unet",
        summary="the popular 2-D Attention U-Net on images with label maps",
        data="images/ and labels/, or the layout of a published dataset for segmentation",
    ),
)
