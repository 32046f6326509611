"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

_PAPER = Paper(
    "Dipole: Diagnosis Prediction in Healthcare via Attention-based Bidirectional Recurrent Neural Networks",
    "Ma, Chitta, Zhou, You, Sun, Gao",
    "KDD",
    2017,
    arxiv="1706.05764",
)

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="dipole",
        target="papers.dipole.mechanism:DipoleAttention",
        paper=_PAPER,
        domains=("self", "temporal", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to point",
        tasks=("diagnosis prediction",),
        maps={"temporal": "B T S"},
        sums={"temporal": "S"},
        kwargs={"channels": 12},
        inputs=("B T C",),
        outputs=("B T C",),
        least=(1,),
        options=(
            Option({"score": "location", "bias": True, "epsilon": 1e-3}, inputs=("B T C", "bool B T"), sums={}),
            Option({"score": "general"}, inputs=("B T C", "bool B T")),
            Option({"score": "concatenation", "hidden": 5}),
            Option({"hard": "gumbel", "temperature": 0.5}, soft=False),
            Option({"hard": "top-k", "top_k": 2}),
        ),
        code="sunlabuiuc/PyHealth",
    ),
    Entry(
        name="dipole_network",
        target="papers.dipole.network:DipoleNetwork",
        paper=_PAPER,
        domains=("self", "temporal", "sequence"),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        reach="point to point",
        tasks=("diagnosis prediction",),
        maps={"temporal": "B T S"},
        sums={"temporal": "S"},
        kwargs={"codes": 7, "categories": 3, "embedding": 5, "hidden": 4, "width": 6},
        inputs=("B T 7", "bool B T"),
        outputs=("B T 3",),
        least=(),
        sizes={"T": 3},
        options=(
            Option({"score": "concatenation", "attention": 2, "bidirectional": False}),
            Option({"causal": False, "rectified": False, "bias": True, "epsilon": 1e-3, "dropout": 0.2}, sums={}),
        ),
        code="sunlabuiuc/PyHealth",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="dipole",
        target="papers.dipole.recipe:diagnose",
        system="dipole_network",
        summary="the diagnoses of a patient's next visit from the visits before, beside predictors without attention",
        data="MIMIC-III, MIMIC-IV (or its folder hosp/) or eICU, or visits.csv with the columns patient, time and code",
    ),
    Listing(
        name="dipole-histories",
        target="papers.dipole.recipe:histories",
        system="dipole_network",
        summary="drawn histories of patients, in which one visit decides what is asked after the last",
    ),
)
