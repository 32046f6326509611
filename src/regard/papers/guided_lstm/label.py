"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="glstm",
        target="papers.guided_lstm.network:GuidedLSTM",
        paper=Paper(
            title="Guiding the Long-Short Term Memory Model for Image Caption Generation",
            authors="Jia, Gavves, Fernando, Tuytelaars",
            venue="ICCV",
            year=2015,
            arxiv="1509.04942",
        ),
        domains=("sequence",),
        soft=True,
        acts_on=("image",),
        grain=("item",),
        tasks=("captioning",),
        aliases=("gLSTM",),
        maps={},
        kwargs={"channels": 12, "vocabulary": 11, "guide": 7, "embed": 6, "hidden": 10, "dropout": 0.0},
        inputs=("B C", "B 7", "word<11> B L"),
        outputs=("B L 11",),
        least=(),
        sizes={"L": 5},
        exported=32,
        options=(
            Option({"cell": "tanh", "source": "cca"}, inputs=("B C", "word<11> B L")),
            Option({"source": "retrieval", "known": 13, "count": 3}, inputs=("B C", "word<11> B L")),
            Option({"guide": None, "backbone": "convolutions"}, inputs=("B C H W", "word<11> B L"), least=(1, 1)),
        ),
        parity="transcribed",
    ),
)

DATA = "COCO's captions and images, a JSON file of Karpathy's splits, or Flickr8k or Flickr30k"

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="glstm",
        target="papers.guided_lstm.recipe:glstm",
        system="glstm",
        summary="an LSTM that is guided at every word by the image, or by captions of images like it",
        data=DATA,
    ),
)
