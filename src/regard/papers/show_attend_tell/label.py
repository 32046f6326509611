"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="show_attend_tell",
        target="papers.show_attend_tell.network:ShowAttendTell",
        paper=Paper(
            title="Show, Attend and Tell: Neural Image Caption Generation with Visual Attention",
            authors="Xu, Ba, Kiros, Cho, Courville, Salakhutdinov, Zemel, Bengio",
            venue="ICML",
            year=2015,
            arxiv="1502.03044",
        ),
        domains=("spatial", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("position", "item"),
        tasks=("captioning",),
        aliases=("SAT", "Show, Attend and Tell"),
        maps={"attention": "B L H W", "selector": "B L"},
        sums={"attention": "H W", "choice": "H W"},
        kwargs={"channels": 7, "vocabulary": 11, "embed": 5, "hidden": 6, "attention": 8, "dropout": 0.0},
        inputs=("B C H W", "word<11> B L"),
        outputs=("B L 11",),
        sizes={"L": 3},
        options=(
            Option(
                {"hard": True, "draws": 0.7, "temperature": 1.5, "layers": 2, "output_layers": 2},
                maps={"attention": "B L H W", "selector": "B L", "choice": "B L H W"},
                soft=False,
            ),
            Option(
                {"form": "tutorial", "regions": True, "coverage": 0.5},
                inputs=("B N C", "bool B N", "word<11> B L"),
                maps={"attention": "B L N", "selector": "B L C"},
                least=(1,),
                sums={"attention": "N"},
            ),
            Option(
                {
                    "attention_layers": 1,
                    "initial_layers": 1,
                    "selector": False,
                    "previous_word": False,
                    "context": False,
                },
                maps={"attention": "B L H W"},
            ),
            Option(
                {"backbone": "convolutions", "output_stride": 16, "gate_dropout": True},
                inputs=("B C 8H 8W", "word<11> B L"),
                least=(1, 1),
            ),
        ),
        code="kelvinxu/arctic-captions",
    ),
    Entry(
        name="att2in",
        target="papers.show_attend_tell.network:Att2in",
        paper=Paper(
            title="Self-critical Sequence Training for Image Captioning",
            authors="Rennie, Marcheret, Mroueh, Ross, Goel",
            venue="CVPR",
            year=2017,
            arxiv="1612.00563",
        ),
        domains=("spatial", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("position", "item"),
        tasks=("captioning",),
        aliases=("att2in2", "att2all"),
        maps={"attention": "B L H W"},
        sums={"attention": "H W"},
        kwargs={"channels": 7, "vocabulary": 11, "embed": 5, "hidden": 6, "attention": 8, "dropout": 0.0},
        inputs=("B C H W", "word<11> B L"),
        outputs=("B L 11",),
        sizes={"L": 3},
        options=(
            Option(
                {"into": "gates", "regions": True},
                inputs=("B N C", "bool B N", "word<11> B L"),
                maps={"attention": "B L N"},
                least=(1,),
                sums={"attention": "N"},
            ),
            Option({"embedded": False}),
            Option(
                {"backbone": "convolutions", "output_stride": 16, "norms": 2},
                inputs=("B C 8H 8W", "word<11> B L"),
                least=(1, 1),
            ),
        ),
    ),
)

_DATA = "COCO's captions and images, a JSON file of Karpathy's splits, or Flickr8k or Flickr30k"

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="show-attend-tell",
        target="papers.show_attend_tell.recipe:show_attend_tell",
        system="show_attend_tell",
        summary="an LSTM that looks at places of the image for every word; hard=True for one place",
        data=_DATA,
        claim=Claim(
            measure="bleu_4",
            value=0.243,
            data="COCO captions",
            where="Table 1, soft, from memory",
            unlike="features of VGG",
        ),
    ),
    Listing(
        name="att2in",
        target="papers.show_attend_tell.recipe:att2in",
        system="att2in",
        summary="an LSTM that takes up what it sees in its candidate alone",
        data=_DATA,
        claim=Claim(
            measure="cider",
            value=1.089,
            data="COCO captions",
            where="README of ruotianluo/ImageCaptioning.pytorch",
            unlike="bottom-up features",
        ),
    ),
)
