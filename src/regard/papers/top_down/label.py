"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

PAPER = Paper(
    title="Bottom-Up and Top-Down Attention for Image Captioning and Visual Question Answering",
    authors="Anderson, He, Buehler, Teney, Johnson, Gould, Zhang",
    venue="CVPR",
    year=2018,
    arxiv="1707.07998",
)
CODE = "peteanderson80/Up-Down-Captioner"

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="top_down",
        target="papers.top_down.mechanism:TopDownAttention",
        paper=PAPER,
        domains=("cross",),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to region",
        tasks=("captioning", "visual question answering"),
        aliases=("Up-Down attention",),
        maps={"attention": "B N"},
        sums={"attention": "N"},
        kwargs={"channels": 6, "query_channels": 10, "hidden": 8},
        inputs=("B D", "B N C", "bool B N"),
        outputs=("B C",),
        least=(),
        sizes={"D": 10},
        options=(
            Option({"bias": True}),
            Option({"scores": "gated-tanh"}),
            Option({"scores": "product", "dropout": 0.2}),
        ),
        code=CODE,
    ),
    Entry(
        name="top_down_captioner",
        target="papers.top_down.network:TopDownCaptioner",
        paper=PAPER,
        domains=("cross", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to region",
        tasks=("captioning",),
        aliases=("UpDown", "Up-Down"),
        maps={"attention": "B L N"},
        sums={"attention": "N"},
        kwargs={"channels": 6, "vocabulary": 11, "embedding": 5, "hidden": 7, "scores": 8},
        inputs=("B N C", "bool B N", "word<V> B L"),
        outputs=("B L 11",),
        sizes={"V": 11, "L": 3},
        options=(
            Option({"embedded": True, "norms": 2, "dropout": 0.5}),
            Option(
                {"backbone": "convolutions"},
                inputs=("B C 8H 8W", "word<V> B L"),
                maps={"attention": "B L H W"},
                least=(1, 1),
                sums={"attention": "H W"},
            ),
            Option(
                {"backbone": "convolutions", "boxed": True},
                inputs=("B C 8H 8W", "B N 4", "bool B N", "word<V> B L"),
                least=(1, 1),
            ),
        ),
        least=(1,),
        code=CODE,
    ),
    Entry(
        name="top_down_answerer",
        target="papers.top_down.network:TopDownAnswerer",
        paper=PAPER,
        domains=("cross", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to region",
        tasks=("visual question answering",),
        aliases=("UpDown VQA",),
        maps={"attention": "B N"},
        sums={"attention": "N"},
        kwargs={"channels": 6, "vocabulary": 11, "answers": 5, "embedding": 7, "hidden": 8},
        inputs=("B N C", "bool B N", "word<V> B T", "bool B T"),
        outputs=("B 5",),
        sizes={"V": 11, "T": 3},
        options=(
            Option({"scores": "rectified", "dropout": 0.5}),
            Option(
                {"backbone": "convolutions", "boxed": True},
                inputs=("B C 8H 8W", "B N 4", "bool B N", "word<V> B T", "bool B T"),
                least=(1, 1),
            ),
        ),
        least=(1,),
        code=CODE,
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="top-down",
        target="papers.top_down.recipe:top_down",
        system="top_down_captioner",
        summary="two LSTM layers with attention to regions between them; cross-entropy, then CIDEr-D as the reward",
        data="COCO's captions, a JSON file of Karpathy's splits, Flickr8k or Flickr30k, and a file of regions",
        claim=Claim(
            measure="cider",
            value=1.201,
            data="COCO captions",
            where="README of Up-Down-Captioner, CIDEr optimised",
        ),
    ),
    Listing(
        name="top-down-vqa",
        target="papers.top_down.recipe:top_down_vqa",
        system="top_down_answerer",
        summary="a question attends to the regions of an image",
        data="the JSON files of VQA v2's questions and annotations, and a file of regions",
    ),
)
