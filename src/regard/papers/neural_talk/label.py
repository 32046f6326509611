"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

PAPER = Paper(
    title="Deep Visual-Semantic Alignments for Generating Image Descriptions",
    authors="Karpathy, Fei-Fei",
    venue="CVPR",
    year=2015,
    arxiv="1412.2306",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="neural_talk",
        target="papers.neural_talk.network.captioner:NeuralTalk",
        paper=PAPER,
        domains=("sequence",),
        soft=True,
        acts_on=("image",),
        grain=("item",),
        tasks=("captioning",),
        aliases=("NeuralTalk2",),
        maps={},
        kwargs={"channels": 12, "vocabulary": 11, "embed": 6, "hidden": 10, "dropout": 0.0},
        inputs=("B C", "word<11> B L"),
        outputs=("B L 11",),
        least=(),
        sizes={"L": 5},
        exported=32,
        options=(
            Option({"cell": "linear", "layers": 2}),
            Option({"cell": "rnn", "once": True, "rectified": True}),
            Option({"cell": "rnn", "backbone": "convolutions"}, inputs=("B C H W", "word<11> B L"), least=(1, 1)),
        ),
        code="karpathy/neuraltalk2",
    ),
    Entry(
        name="dvsa",
        target="papers.neural_talk.network.alignment:Alignment",
        paper=PAPER,
        domains=("cross",),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to point",
        tasks=("captioning",),
        aliases=("deep visual-semantic alignment",),
        maps={"alignment": "B L N"},
        kwargs={"channels": 12, "word": 7, "hidden": 10},
        inputs=("B N C", "bool B N", "B L E", "bool B L"),
        outputs=("B B",),
        least=(),
        sizes={"E": 7, "L": 3},
        exported=32,
        options=(
            Option(
                {"pairs": "sum", "backbone": "convolutions", "vocabulary": 11},
                inputs=("B C H W", "word<11> B L", "bool B L"),
                least=(1, 1),
            ),
        ),
        exempt={
            "batch_independent": "every image is scored with every sentence of the batch",
        },
        parity="transcribed",
    ),
)

DATA = "COCO's captions and images, a JSON file of Karpathy's splits, or Flickr8k or Flickr30k"

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="neural-talk",
        target="papers.neural_talk.recipe:neural_talk",
        system="neural_talk",
        summary="NeuralTalk2: an LSTM that sees the image once, before the first word",
        data=DATA,
    ),
    Listing(
        name="neural-talk-rnn",
        target="papers.neural_talk.recipe:recurrent",
        system="neural_talk",
        summary="the paper's recurrent network, which sees the image at its first word",
        data=DATA,
    ),
    Listing(
        name="dvsa",
        target="papers.neural_talk.recipe:alignment",
        system="dvsa",
        summary="words and places of an image aligned by ranking whole captions",
        data=DATA,
    ),
)
