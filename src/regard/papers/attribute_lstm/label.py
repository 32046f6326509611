"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

PAPER = Paper(
    title="What Value Do Explicit High Level Concepts Have in Vision to Language Problems?",
    authors="Wu, Shen, Liu, Dick, van den Hengel",
    venue="CVPR",
    year=2016,
    arxiv="1506.01144",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="att_lstm",
        target="papers.attribute_lstm.network:AttributeLSTM",
        paper=PAPER,
        domains=("sequence",),
        soft=True,
        acts_on=("image",),
        grain=("item",),
        tasks=("captioning",),
        maps={},
        kwargs={"channels": 12, "vocabulary": 11, "embed": 6, "hidden": 10, "attributes": 9, "dropout": 0.0},
        inputs=("B C", "word<11> B L"),
        outputs=("B L 11",),
        least=(),
        sizes={"L": 5},
        exported=32,
        options=(
            Option({"cell": "linear"}),
            Option(
                {"backbone": "convolutions", "proposals": True},
                inputs=("B C H W", "B N 4", "bool B N", "word<11> B L"),
                maps={"hypotheses": "B K A"},
                sizes={"L": 5, "N": 3},
                least=(1, 1),
            ),
        ),
        parity="transcribed",
    ),
    Entry(
        name="attribute_net",
        target="papers.attribute_lstm.mechanism:AttributeNet",
        paper=PAPER,
        domains=("category",),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        tasks=("captioning",),
        maps={"hypotheses": "B N A"},
        kwargs={"channels": 12, "attributes": 9},
        inputs=("B N C", "bool B N"),
        outputs=("B 9",),
        least=(),
        exported=32,
        options=(
            Option(
                {"backbone": "convolutions"},
                inputs=("B C H W", "B N 4", "bool B N"),
                maps={"hypotheses": "B K A"},
                sizes={"N": 3},
                least=(1, 1),
            ),
        ),
        parity="transcribed",
    ),
)

DATA = "COCO's captions and images, a JSON file of Karpathy's splits, or Flickr8k or Flickr30k"

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="att-lstm",
        target="papers.attribute_lstm.recipe:att_lstm",
        system="att_lstm",
        summary="an LSTM that sees the probabilities of an image's attributes",
        data=DATA,
    ),
)
