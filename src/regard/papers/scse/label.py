"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper

_SCSE = Paper(
    "Concurrent Spatial and Channel Squeeze & Excitation in Fully Convolutional Networks",
    "Roy, Navab, Wachinger",
    "MICCAI",
    2018,
    arxiv="1803.02579",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="cse",
        target="papers.scse.mechanism:ChannelSqueezeExcite",
        paper=_SCSE,
        domains=("channel",),
        soft=True,
        acts_on=("features",),
        grain=("channel",),
        tasks=("segmentation", "medical imaging"),
        aliases=("channel squeeze & excitation",),
        maps={"channel": "B C 1 1"},
        kwargs={"channels": 6},
        options=(Option({"reduction": 3}), Option({"hidden": 5})),
        code="ai-med/squeeze_and_excitation",
    ),
    Entry(
        name="sse",
        target="papers.scse.mechanism:SpatialSqueezeExcite",
        paper=_SCSE,
        domains=("spatial",),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("segmentation", "medical imaging"),
        aliases=("spatial squeeze & excitation",),
        maps={"spatial": "B 1 H W"},
        kwargs={"channels": 6},
        code="ai-med/squeeze_and_excitation",
    ),
    Entry(
        name="scse",
        target="papers.scse.mechanism:ConcurrentSqueezeExcite",
        paper=_SCSE,
        domains=("channel", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("channel", "position"),
        tasks=("segmentation", "medical imaging"),
        aliases=("concurrent squeeze & excitation",),
        maps={"channel": "B C 1 1", "spatial": "B 1 H W"},
        kwargs={"channels": 6},
        options=(Option({"merge": "add"}), Option({"reduction": 3}), Option({"hidden": 5})),
        code="ai-med/squeeze_and_excitation",
    ),
)
