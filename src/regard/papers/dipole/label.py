"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="dipole",
        target="papers.dipole.mechanism:DipoleAttention",
        paper=Paper(
            "Dipole: Diagnosis Prediction in Healthcare via Attention-based Bidirectional Recurrent Neural Networks",
            "Ma, Chitta, Zhou, You, Sun, Gao",
            "KDD",
            2017,
            arxiv="1706.05764",
        ),
        domains=("self", "temporal", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to point",
        tasks=("diagnosis prediction",),
        maps={"temporal": "B T S"},
        kwargs={"channels": 12},
        inputs=("B T C",),
        outputs=("B T C",),
        least=(1,),
        options=(
            Option({"score": "location", "bias": True, "epsilon": 1e-3}, inputs=("B T C", "bool B T")),
            Option({"score": "general"}, inputs=("B T C", "bool B T")),
            Option({"score": "concatenation", "hidden": 5}),
            Option({"hard": "gumbel", "temperature": 0.5}, soft=False),
            Option({"hard": "top-k", "top_k": 2}),
        ),
        code="sunlabuiuc/PyHealth",
    ),
)
