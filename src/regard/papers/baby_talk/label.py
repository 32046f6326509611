"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="baby_talk",
        target="papers.baby_talk.network:BabyTalk",
        paper=Paper(
            title="Baby Talk: Understanding and Generating Simple Image Descriptions",
            authors="Kulkarni, Premraj, Ordonez, Dhar, Li, Choi, Berg, Berg",
            venue="PAMI",
            year=2013,
            doi="10.1109/TPAMI.2012.162",
        ),
        domains=("category",),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        tasks=("captioning",),
        maps={},
        kwargs={"objects": 5, "attributes": 7, "prepositions": 11},
        inputs=("B N 5", "B N 7", "B M 11"),
        outputs=("B N 5",),
        least=(),
        sizes={"N": 3, "M": 3},
        options=(Option({"channels": 12}, inputs=("B N C", "B M 11")),),
        parity="transcribed",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="baby-talk",
        target="papers.baby_talk.recipe:baby_talk",
        system="baby_talk",
        summary="objects, attributes and prepositions of drawn scenes as triples",
    ),
)
