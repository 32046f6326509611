"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

_RECURRENT = "a loop over the frames of a clip, whose number a program leaves open"

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="action_attention",
        target="papers.action_attention.network:ActionAttention",
        paper=Paper(
            title="Action Recognition using Visual Attention",
            authors="Sharma, Kiros, Salakhutdinov",
            venue="ICLR workshop",
            year=2016,
            arxiv="1511.04119",
        ),
        domains=("spatial", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("video classification",),
        aliases=("action recognition using visual attention", "recurrent soft attention"),
        maps={"spatial": "B T H W"}, sums={"spatial": "H W"},
        kwargs={
            "channels": 7, "classes": 5, "places": (2, 3), "hidden": 6, "layers": 2, "output": 8, "coverage": 0.5,
            "dropout": 0.0,
        },
        inputs=("B C T H W",),
        outputs=("B 5",),
        sizes={"H": 2, "W": 3},
        least=(1, 1, 1),
        options=(
            Option({"score": "content", "attention": 4, "layers": 1}, sizes={}),
            Option(
                {"score": "content", "backbone": "convolutions", "output_stride": 16},
                inputs=("B C T 8H 8W",),
                sizes={},
            ),
        ),
        exempt={"exports": _RECURRENT, "exports_to_onnx": _RECURRENT},
        code="kracwarlock/action-recognition-visual-attention",
        parity="transcribed",
    ),
)  # fmt: skip

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="action-attention",
        target="papers.action_attention.recipe:videos",
        system="action_attention",
        summary="an LSTM that looks at places of a clip's frames, one frame after another",
        data="videos, or folders of frames: UCF-101 or HMDB-51 with their published splits, Kinetics' tables, lists, "
        "or train/ and val/ with a folder for each class",
        claim=Claim(
            measure="error",
            value=58.69,
            data="HMDB-51",
            where="Table 1, λ = 0, from memory",
            unlike="features of GoogLeNet and every block of a video",
        ),
    ),
)
