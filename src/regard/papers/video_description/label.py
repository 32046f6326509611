"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="video_description",
        target="papers.video_description.network:VideoDescription",
        paper=Paper(
            title="Describing Videos by Exploiting Temporal Structure",
            authors="Yao, Torabi, Cho, Ballas, Pal, Larochelle, Courville",
            venue="ICCV",
            year=2015,
            arxiv="1502.08029",
        ),
        domains=("temporal", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        tasks=("captioning",),
        aliases=("temporal attention", "describing videos", "SA-LSTM"),
        maps={"temporal": "B L T"},
        sums={"temporal": "T"},
        kwargs={"channels": 7, "vocabulary": 11, "embed": 5, "hidden": 6, "attention": 8, "dropout": 0.0},
        inputs=("B C T H W", "word<11> B L"),
        outputs=("B L 11",),
        sizes={"L": 3},
        least=(1, 1, 1),
        options=(
            Option({"local": 4}),
            Option(
                {"backbone": "convolutions", "output_stride": 16},
                inputs=("B C T 8H 8W", "word<11> B L"),
            ),
        ),
        code="yaoli/arctic-capgen-vid",
        parity="transcribed",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="video-description",
        target="papers.video_description.recipe:sentences",
        system="video_description",
        summary="an LSTM that looks at the frames of a clip for every word",
        data="clips with sentences, as videos or folders of frames: MSR-VTT, MSVD, or a table captions.csv",
        claim=Claim(
            measure="bleu_4",
            value=0.4192,
            data="MSVD",
            where="Table 1, local and global, from memory",
            unlike="features of GoogLeNet and of a network for actions",
        ),
    ),
)
