"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Paper
from regard.catalog.recipes import Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="task_partition",
        target="papers.task_partition.network:TaskPartition",
        paper=Paper(
            title="Fully Convolutional Network With Task Partitioning for Inshore Ship Detection in Optical Remote "
            "Sensing Images",
            authors="Lin, Shi, Zou",
            venue="IEEE GRSL",
            year=2017,
            doi="10.1109/LGRS.2017.2727515",
        ),
        domains=("spatial",),
        soft=False,
        acts_on=("features",),
        grain=("position",),
        tasks=("detection", "segmentation"),
        aliases=("task partitioning",),
        maps={"attention": "B 1 H W", "ends": "B 1 H W"},
        shown=(
            "attention",
            "ends",
        ),
        kwargs={"channels": 2, "backbone": "test_efficientnet", "shallow": 2, "deep": 8, "width": 5},
        outputs=("B 4 H W", "B 2 H W"),
        exported=40,
        exempt={"takes_widths": "VGG-16, the default, takes images of at least 16×16"},
        parity="transcribed",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="task-partition",
        target="papers.task_partition.recipe:ships",
        system="task_partition",
        summary="oriented boxes of ships in harbours",
        data="HRSC2016: AllImages, Annotations and ImageSets; without it, drawn harbours",
    ),
)
