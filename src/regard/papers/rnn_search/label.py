"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

_PAPER = Paper(
    "Neural Machine Translation by Jointly Learning to Align and Translate",
    "Bahdanau, Cho, Bengio",
    "ICLR",
    2015,
    arxiv="1409.0473",
)

_PACKED = "torch packs sentences by their lengths on the CPU, outside of a graph"
_RECURRENT = "a loop over a sentence whose length a program leaves open"

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="bahdanau",
        target="papers.rnn_search.mechanism:AdditiveAttention",
        paper=_PAPER,
        domains=("cross", "temporal", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to point",
        tasks=("translation",),
        aliases=("additive attention",),
        maps={"temporal": "B T"},
        sums={"temporal": "T"},
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
    Entry(
        name="rnnsearch",
        target="papers.rnn_search.network:RNNSearch",
        paper=_PAPER,
        domains=("cross", "temporal", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to point",
        tasks=("translation",),
        maps={"attention": "B L T"},
        sums={"attention": "T"},
        kwargs={
            "source_vocabulary": 11,
            "vocabulary": 13,
            "embedding": 5,
            "hidden": 6,
            "attention": 7,
            "maxout": 3,
        },
        inputs=("word<11> B T", "bool B T", "word<13> B L"),
        outputs=("B L 13",),
        least=(),
        sizes={"T": 5},
        options=(
            Option({"lag": False, "bias": True, "dropout": 0.2, "std": 0.1}),
            Option({"context": "ends"}, maps={}),
            Option({"context": "mean"}, maps={}),
        ),
        exempt={"exports": _RECURRENT, "exports_to_onnx": _RECURRENT},
        code="lisa-groundhog/GroundHog",
    ),
    Entry(
        name="rnnsearch_gru",
        target="papers.rnn_search.network:GRUSearch",
        paper=_PAPER,
        domains=("cross", "temporal", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to point",
        tasks=("translation",),
        maps={"attention": "B L T"},
        sums={"attention": "T"},
        kwargs={"source_vocabulary": 11, "vocabulary": 13, "embedding": 5, "hidden": 6, "layers": 2, "dropout": 0.2},
        inputs=("word<11> B T", "bool B T", "word<13> B L"),
        outputs=("B L 13",),
        least=(),
        sizes={"T": 5},
        exempt={
            "exports": _RECURRENT,
            "exports_to_onnx": _RECURRENT,
            "compiles": _PACKED,
        },
        code="lisa-groundhog/GroundHog",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="rnn-search",
        target="papers.rnn_search.recipe:translate",
        system="rnnsearch",
        summary="a recurrent translator that aligns before every word",
        data="a parallel corpus: train.de and train.en, val.… and test.…, or .gz, as in Multi30k",
    ),
)
