"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="ram",
        target="papers.ram.network:RecurrentAttention",
        paper=Paper(
            title="Recurrent Models of Visual Attention",
            authors="Mnih, Heess, Graves, Kavukcuoglu",
            venue="NIPS",
            year=2014,
            arxiv="1406.6247",
        ),
        domains=("spatial", "sequence"),
        soft=False,
        acts_on=("image",),
        grain=("position",),
        kind="focus",
        tasks=("classification",),
        aliases=("recurrent models of visual attention",),
        maps={"path": "B T 2", "glimpse": "B T 4"},
        shown=("glimpse",),
        kwargs={
            "channels": 2,
            "classes": 5,
            "glimpses": 3,
            "glimpse_size": 3,
            "glimpse_hidden": 6,
            "location_hidden": 4,
            "hidden": 8,
            "std": 0.17,
        },
        outputs=("B G",),
        options=(
            Option({"patches": 3, "scale": 3, "policy": "linear"}),
            Option({"policy": "squashed", "by_height": True}),
        ),
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="ram-mnist",
        target="papers.ram.recipe:mnist",
        system="ram",
        summary="digits of 28×28 by 6 glimpses of 8×8",
        data="MNIST's four idx files",
        claim=Claim(
            measure="error", value=1.12, data="MNIST", where="Table 1a, 6 glimpses, 8×8, 1 scale; 1.29 in arXiv v1"
        ),
    ),
    Listing(
        name="ram-translated",
        target="papers.ram.recipe:translated",
        system="ram",
        summary="digits anywhere on 60×60 by 6 glimpses of 12×12 at 3 scales",
        data="MNIST's four idx files",
        claim=Claim(
            measure="error", value=1.22, data="MNIST", where="Table 1b, 6 glimpses, 12×12, 3 scales; 1.86 in arXiv v1"
        ),
    ),
    Listing(
        name="ram-cluttered",
        target="papers.ram.recipe:cluttered",
        system="ram",
        summary="digits among 4 pieces of others on 60×60 by 6 glimpses of 12×12 at 3 scales",
        data="MNIST's four idx files",
        claim=Claim(measure="error", value=4.08, data="MNIST", where="Table 2a, 6 glimpses, 12×12, 3 scales"),
    ),
)
