"""One label per drop-in mechanism, oldest paper first."""

from regard.catalog import Entry, Option, Paper

MECHANISMS = (
    Entry(
        name="se",
        target="mechanisms.squeeze_excite:SqueezeExcite",
        paper=Paper("Squeeze-and-Excitation Networks", "Hu, Shen, Albanie, Sun, Wu", "CVPR", 2018, arxiv="1709.01507"),
        domains=("channel",),
        soft=True,
        maps={"channel": "B C 1 1"},
        kwargs={"channels": 12, "reduction": 4},
        options=(Option({"bias": False}), Option({"hidden": 5})),
        code="hujie-frank/SENet",
    ),
)
