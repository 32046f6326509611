"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

_PAPER = Paper(
    "SCA-CNN: Spatial and Channel-wise Attention in Convolutional Networks for Image Captioning",
    "Chen, Zhang, Xiao, Nie, Shao, Liu, Chua",
    "CVPR",
    2017,
    arxiv="1611.05594",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="sca",
        target="papers.sca_cnn.mechanism:SpatialChannel",
        paper=_PAPER,
        domains=("channel", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("position", "channel"),
        tasks=("captioning",),
        aliases=("SCA-CNN",),
        maps={"channel": "B C 1 1", "spatial": "B 1 H W"},
        sums={"channel": "C", "spatial": "H W"},
        kwargs={"channels": 6, "hidden": 8},
        options=(
            Option({"state_channels": 10}, inputs=("B C H W", "B D"), sizes={"D": 10}),
            Option({"state_channels": 10, "order": "spatial-channel"}, inputs=("B C H W", "B D"), sizes={"D": 10}),
            Option({"order": "channel"}, maps={"channel": "B C 1 1"}),
            Option({"order": "spatial"}, maps={"spatial": "B 1 H W"}),
            Option({"order": "spatial-channel", "scale": False}),
            Option({"hard": "gumbel", "temperature": 0.5, "scale": False}, soft=False),
            Option({"hard": "top-k", "top_k": 2, "scale": False}),
        ),
        code="zjuchenlong/sca-cnn.cvpr17",
    ),
    Entry(
        name="sca_captioner",
        target="papers.sca_cnn.network:SpatialChannelCaptioner",
        paper=_PAPER,
        domains=("channel", "spatial", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("position", "channel"),
        tasks=("captioning",),
        maps={"inner_channel": "B L D", "inner_spatial": "B L H W", "channel": "B L C", "spatial": "B L H W"},
        sums={"inner_channel": "D", "inner_spatial": "H W", "channel": "C", "spatial": "H W"},
        kwargs={"channels": 6, "vocabulary": 11, "inner": 5, "embedding": 7, "hidden": 8, "scores": 9},
        inputs=("B C H W", "B D H W", "word<V> B L"),
        outputs=("B L 11",),
        sizes={"V": 11, "L": 3, "D": 5},
        options=(
            Option(
                {
                    "inner": None,
                    "order": "spatial-channel",
                    "selector": True,
                    "word_to_output": False,
                    "context_to_output": True,
                    "output_layers": 2,
                    "dropout": 0.3,
                    "gate_dropout": True,
                },
                inputs=("B C H W", "word<V> B L"),
                maps={"channel": "B L C", "spatial": "B L H W"},
            ),
            Option(
                {"backbone": "convolutions"},
                inputs=("B C 8H 8W", "word<V> B L"),
                maps={
                    "inner_channel": "B L D",
                    "inner_spatial": "B L H W",
                    "channel": "B L 64",
                    "spatial": "B L H W",
                },
                sums={"inner_channel": "D", "inner_spatial": "H W", "channel": "64", "spatial": "H W"},
            ),
        ),
        code="zjuchenlong/sca-cnn.cvpr17",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="sca-cnn",
        target="papers.sca_cnn.recipe:sca_cnn",
        system="sca_captioner",
        summary="channels and positions of the last maps are weighed anew before every word",
        data="COCO's captions and images, a JSON file of Karpathy's splits, or Flickr8k or Flickr30k",
        claim=Claim(
            measure="bleu_4",
            value=0.311,
            data="COCO captions",
            where="Table 2, two layers on ResNet, from memory",
        ),
    ),
)
