"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="show_and_tell",
        target="papers.show_and_tell.network:ShowAndTell",
        paper=Paper(
            title="Show and Tell: A Neural Image Caption Generator",
            authors="Vinyals, Toshev, Bengio, Erhan",
            venue="CVPR",
            year=2015,
            arxiv="1411.4555",
        ),
        domains=("sequence",),
        soft=True,
        acts_on=("image",),
        grain=("item",),
        tasks=("captioning",),
        aliases=("NIC", "neural image caption"),
        maps={},
        kwargs={"channels": 12, "vocabulary": 11, "embed": 6, "hidden": 10, "dropout": 0.0},
        inputs=("B C", "word<11> B L"),
        outputs=("B L 11",),
        least=(),
        sizes={"L": 5},
        exported=32,
        options=(
            Option({"cell": "tanh", "layers": 2}),
            Option({"cell": "maxout"}),
            Option(
                {"backbone": "convolutions"},
                inputs=("B C H W", "word<11> B L"),
                least=(1, 1),
            ),
        ),
        code="tensorflow/models",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="show-and-tell",
        target="papers.show_and_tell.recipe:show_and_tell",
        system="show_and_tell",
        summary="an LSTM that sees the image once, before the first word",
        data="COCO's captions and images, a JSON file of Karpathy's splits, or Flickr8k or Flickr30k",
        claim=Claim(measure="cider", value=0.855, data="COCO captions", where="Table 1, from memory"),
    ),
)
