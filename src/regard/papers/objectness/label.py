"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="objectness",
        target="papers.objectness.network:Objectness",
        paper=Paper(
            title="Measuring the Objectness of Image Windows",
            authors="Alexe, Deselaers, Ferrari",
            venue="PAMI",
            year=2012,
            doi="10.1109/TPAMI.2012.28",
        ),
        domains=("spatial", "scale"),
        soft=True,
        acts_on=("image",),
        grain=("item",),
        kind="focus",
        driven_by="bottom-up",
        tasks=("detection",),
        maps={"boxes": "B T 4"},
        shown=("boxes",),
        kwargs={"channels": 2, "hidden": 5},
        outputs=("B N 5",),
        options=(Option({"shown": 3}),),
        exempt={
            "exports": "which windows there are follows from the size",
            "exports_to_onnx": "which windows there are follows from the size",
        },
        parity="transcribed",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="objectness",
        target="papers.objectness.recipe:boxes",
        system="objectness",
        summary="ranking of windows by whether they hold an object",
        data="images with boxes.csv or annotations.json (COCO)",
    ),
)
