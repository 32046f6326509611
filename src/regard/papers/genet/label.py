"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="ge",
        target="papers.genet.mechanism:GatherExcite",
        paper=Paper(
            "Gather-Excite: Exploiting Feature Context in CNNs",
            "Hu, Shen, Albanie, Sun, Vedaldi",
            "NeurIPS",
            2018,
            arxiv="1810.12348",
        ),
        domains=("channel", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("channel", "value"),
        tasks=("classification", "detection"),
        aliases=("GE-Net", "gather-excite"),
        maps={"gate": "B C 1 1"},
        kwargs={"channels": 12},
        options=(
            Option({"extent": 2}, maps={"gate": "B C H W"}),
            Option({"variant": "theta", "extent": 2}, maps={"gate": "B C H W"}),
            Option({"variant": "theta", "grid": (7, 6)}, sizes={"H": 7, "W": 6}),
            Option({"variant": "theta_plus", "extent": 2, "reduction": 3}, maps={"gate": "B C H W"}),
            Option({"variant": "theta_plus", "grid": (7, 6), "hidden": 5}, sizes={"H": 7, "W": 6}),
        ),
        code="hujie-frank/GENet",
    ),
)

NETWORKS: tuple[str, ...] = (
    "ge_resnet50_theta_minus",
    "ge_resnet50_theta",
    "ge_resnet50_theta_plus",
    "ge_resnet50_theta_minus_e2",
    "ge_resnet50_theta_minus_e4",
    "ge_resnet50_theta_minus_e8",
    "ge_resnet50_theta_e2",
    "ge_resnet50_theta_e4",
    "ge_resnet50_theta_e8",
)
