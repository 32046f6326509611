"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

_PAPER = Paper(
    title="Knowing When to Look: Adaptive Attention via A Visual Sentinel for Image Captioning",
    authors="Lu, Xiong, Parikh, Socher",
    venue="CVPR",
    year=2017,
    arxiv="1612.01887",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="adaptive_attention",
        target="papers.adaptive_attention.network:AdaptiveAttention",
        paper=_PAPER,
        domains=("spatial", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("position", "item"),
        tasks=("captioning",),
        aliases=("visual sentinel",),
        maps={"attention": "B L H W", "sentinel": "B L"},
        sums={"attention": "H W"},
        kwargs={"channels": 7, "vocabulary": 11, "embed": 5, "hidden": 6, "attention": 8, "dropout": 0.0},
        inputs=("B C H W", "word<11> B L"),
        outputs=("B L 11",),
        sizes={"L": 3},
        options=(
            Option(
                {"sentinel": False, "regions": True},
                inputs=("B N C", "bool B N", "word<11> B L"),
                maps={"attention": "B L N"},
                least=(1,),
                sums={"attention": "N"},
            ),
            Option(
                {"backbone": "convolutions", "output_stride": 16},
                inputs=("B C 8H 8W", "word<11> B L"),
                least=(1, 1),
            ),
        ),
        code="jiasenlu/AdaptiveAttention",
    ),
    Entry(
        name="adaatt",
        target="papers.adaptive_attention.network:AdaAtt",
        paper=_PAPER,
        domains=("spatial", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("position", "item"),
        tasks=("captioning",),
        maps={"attention": "B L H W", "sentinel": "B L"},
        kwargs={"channels": 7, "vocabulary": 11, "embed": 5, "hidden": 6, "attention": 8, "dropout": 0.0},
        inputs=("B C H W", "word<11> B L"),
        outputs=("B L 11",),
        sizes={"L": 3},
        options=(
            Option(
                {"maxout": True, "layers": 2, "regions": True, "whole_channels": 7},
                inputs=("B N C", "bool B N", "word<11> B L"),
                maps={"attention": "B L N", "sentinel": "B L"},
                least=(1,),
            ),
            Option(
                {"backbone": "convolutions", "output_stride": 16, "norms": 2},
                inputs=("B C 8H 8W", "word<11> B L"),
                least=(1, 1),
            ),
        ),
        code="jiasenlu/AdaptiveAttention",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="adaptive-attention",
        target="papers.adaptive_attention.recipe:adaptive_attention",
        system="adaptive_attention",
        summary="an LSTM that looks at the image, or at a sentinel of what it knows, for every word",
        data="COCO's captions and images, a JSON file of Karpathy's splits, or Flickr8k or Flickr30k",
        claim=Claim(measure="cider", value=1.085, data="COCO captions", where="Table 1, from memory"),
    ),
)
