"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="isqrt_covariance",
        target="papers.isqrt_cov.mechanism:CovariancePooling",
        paper=Paper(
            "Towards Faster Training of Global Covariance Pooling Networks by Iterative Matrix Square Root "
            "Normalization",
            "Li, Xie, Wang, Gao",
            "CVPR",
            2018,
            arxiv="1712.01034",
        ),
        domains=("second_order", "channel", "global"),
        soft=True,
        acts_on=("features",),
        grain=("channel",),
        tasks=("classification", "fine-grained classification"),
        aliases=("iSQRT-COV", "fast MPN-COV"),
        maps={"covariance": "B D D"},
        kwargs={"channels": 12, "hidden": 5},
        outputs=("B V",),
        options=(
            Option({"iterations": 5, "triangle": "lower"}),
            Option({"iterations": 0, "triangle": None}, outputs=("B D D",)),
            Option({"hidden": None}, maps={"covariance": "B C C"}),
        ),
        code="jiangtaoxie/fast-MPN-COV",
    ),
)
