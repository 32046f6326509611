"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="distillation",
        target="papers.distillation.mechanism:Distillation",
        paper=Paper(
            "Distilling the Knowledge in a Neural Network",
            "Hinton, Vinyals, Dean",
            "NIPS Deep Learning Workshop",
            2015,
            arxiv="1503.02531",
        ),
        domains=("category",),
        soft=True,
        acts_on=("features",),
        grain=("item",),
        tasks=("classification", "transfer"),
        aliases=("knowledge distillation", "KD"),
        maps={"student": "B K", "teacher": "B K"},
        sums={"student": "K", "teacher": "K"},
        shown=("student",),
        kwargs={},
        inputs=("B K", "B K", "B K"),
        outputs=("",),
        least=(),
        options=(
            Option({"temperature": 1.5, "alpha": 0.4}),
            Option({"temperature": 2.0}, inputs=("B K", "B K")),
        ),
        code="szagoruyko/attention-transfer",
    ),
)
