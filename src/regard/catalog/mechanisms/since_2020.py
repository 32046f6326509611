"""Labels of the drop-in mechanisms published since 2020, oldest first."""

from regard.catalog import Entry, Option, Paper

_ECA = Paper(
    "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks",
    "Wang, Wu, Zhu, Li, Zuo, Hu",
    "CVPR",
    2020,
    arxiv="1910.03151",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="eca",
        target="mechanisms.efficient_channel:EfficientChannel",
        paper=_ECA,
        domains=("channel",),
        soft=True,
        maps={"channel": "B C 1 1"},
        kwargs={"channels": 12},
        options=(Option({"kernel_size": 5}), Option({"gamma": 1}), Option({"beta": 3})),
        code="BangguWu/ECANet",
    ),
    Entry(
        name="eca_ns",
        target="mechanisms.efficient_channel:UnsharedEfficientChannel",
        paper=_ECA,
        domains=("channel",),
        soft=True,
        maps={"channel": "B C 1 1"},
        kwargs={"channels": 12},
        options=(Option({"kernel_size": 5}), Option({"gamma": 1}), Option({"beta": 3})),
        code="BangguWu/ECANet",
    ),
)
