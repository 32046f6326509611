"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="ia",
        target="papers.ianet.mechanism:InteractionAggregation",
        paper=Paper(
            "Interaction-and-Aggregation Network for Person Re-identification",
            "Hou, Ma, Chang, Gu, Shan, Chen",
            "CVPR",
            2019,
            arxiv="1907.08435",
        ),
        domains=("spatial", "channel", "self"),
        soft=True,
        acts_on=("features",),
        grain=("position", "channel"),
        reach="point to point",
        tasks=("re-identification",),
        aliases=("IA-Net", "IA block", "interaction-and-aggregation"),
        maps={"spatial": "B Q K", "channel": "B C C"},
        kwargs={"channels": 6},
        options=(
            Option({"widths": (2.0, 3.0), "channel": False}, maps={"spatial": "B Q K"}),
            Option({"spatial": False}, maps={"channel": "B C C"}),
        ),
        code="blue-blue272/ImgReID-IAnet",
    ),
)
