"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="bahdanau",
        target="papers.rnn_search.mechanism:AdditiveAttention",
        paper=Paper(
            "Neural Machine Translation by Jointly Learning to Align and Translate",
            "Bahdanau, Cho, Bengio",
            "ICLR",
            2015,
            arxiv="1409.0473",
        ),
        domains=("cross", "temporal", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to point",
        tasks=("translation",),
        aliases=("additive attention", "RNNsearch"),
        maps={"temporal": "B T"},
        kwargs={"channels": 14, "state_channels": 10, "hidden": 6},
        inputs=("B D", "B T C", "bool B T"),
        outputs=("B C",),
        least=(),
        sizes={"D": 10},
        options=(
            Option({"state_channels": None, "hidden": None}, inputs=("B D", "B T C"), sizes={"D": 7}),
            Option({"return_weights": True}, outputs=("B C", "B T")),
            Option({"hard": "gumbel", "temperature": 0.5}, soft=False),
            Option({"hard": "top-k", "top_k": 2}),
        ),
        code="lisa-groundhog/GroundHog",
    ),
)
