"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="every_picture",
        target="papers.every_picture.network:EveryPicture",
        paper=Paper(
            title="Every Picture Tells a Story: Generating Sentences from Images",
            authors="Farhadi, Hejrati, Sadeghi, Young, Rashtchian, Hockenmaier, Forsyth",
            venue="ECCV",
            year=2010,
            doi="10.1007/978-3-642-15561-1_2",
        ),
        domains=("category",),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        tasks=("captioning",),
        maps={"objects": "B K", "actions": "B 3", "scenes": "B 7"},
        kwargs={"objects": 5, "actions": 3, "scenes": 7},
        inputs=("B 5 1", "B 3 1", "B 7 1"),
        outputs=("B 5 3 7",),
        least=(),
        sizes={"K": 5},
        options=(
            Option({"features": 2}, inputs=("B 5 2", "B 3 2", "B 7 2")),
            Option(
                {"channels": 3, "known": 4, "sentences": 2},
                inputs=("B 3 H W",),
                maps={"objects": "B K", "actions": "B 3", "scenes": "B 7", "detectors": "B K H/2 W/2"},
                least=(1, 1),
            ),
        ),
        parity="transcribed",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="every-picture",
        target="papers.every_picture.recipe:every_picture",
        system="every_picture",
        summary="triplets of images and sentences, by max-margin structure learning",
    ),
)
