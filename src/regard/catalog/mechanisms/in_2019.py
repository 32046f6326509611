"""Labels of the drop-in mechanisms published in 2019."""

from regard.catalog import Entry, Option, Paper

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="gc",
        target="mechanisms.global_context:GlobalContext",
        paper=Paper(
            "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond",
            "Cao, Xu, Lin, Wei, Hu",
            "ICCV Workshops",
            2019,
            arxiv="1904.11492",
        ),
        domains=("spatial", "channel", "global"),
        soft=True,
        maps={"spatial": "B 1 H W"},
        kwargs={"channels": 12, "reduction": 4},
        options=(
            Option({"hidden": 5}),
            Option({"pool": "average"}, maps={}),
            Option({"fusion": ("mul",)}, maps={"spatial": "B 1 H W", "channel": "B C 1 1"}),
            Option({"fusion": ("mul", "add")}, maps={"spatial": "B 1 H W", "channel": "B C 1 1"}),
            Option({"pool": "average", "fusion": ("mul",)}, maps={"channel": "B C 1 1"}),
        ),
        code="xvjiarui/GCNet",
    ),
)
