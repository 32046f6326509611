"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="rga",
        target="papers.rga.mechanism:RelationAware",
        paper=Paper(
            "Relation-Aware Global Attention for Person Re-identification",
            "Zhang, Lan, Zeng, Jin, Chen",
            "CVPR",
            2020,
            arxiv="1904.02998",
        ),
        domains=("spatial", "channel", "global"),
        soft=True,
        acts_on=("features",),
        grain=("position", "channel"),
        reach="point to point",
        tasks=("re-identification",),
        aliases=("relation-aware global attention",),
        maps={
            "spatial": "B 1 H W",
            "channel": "B C 1 1",
            "spatial_affinity": "B Q K",
            "channel_affinity": "B C C",
        },
        kwargs={
            "channels": 12,
            "grid": (6, 4),
            "channel_reduction": 3,
            "spatial_reduction": 4,
            "gate_reduction": 2,
        },
        sizes={"H": 6, "W": 4},
        options=(
            Option({"channel": False}, maps={"spatial": "B 1 H W", "spatial_affinity": "B Q K"}),
            Option({"spatial": False, "grid": 24}, maps={"channel": "B C 1 1", "channel_affinity": "B C C"}),
        ),
        code="microsoft/Relation-Aware-Global-Attention-Networks",
    ),
)
