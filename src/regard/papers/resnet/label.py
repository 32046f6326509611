"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="paper_network",
        target="papers.resnet.network:PaperNetwork",
        paper=Paper(
            title="Deep Residual Learning for Image Recognition",
            authors="He, Zhang, Ren, Sun",
            venue="CVPR",
            year=2016,
            arxiv="1512.03385",
        ),
        domains=("channel", "spatial", "branch", "frequency", "global", "second_order", "self", "temporal"),
        soft=True,
        acts_on=("features",),
        grain=("channel", "position"),
        tasks=("classification", "video classification"),
        maps={"branch": "B M D 1 1"},
        kwargs={"channels": 2, "name": "sknet50", "classes": 5, "width": 4, "blocks": (1, 1)},
        outputs=("B K",),
        options=(
            # a gate for one size of the map: ten rows and fourteen columns are three and four behind the stem
            Option(
                {"name": "ge_resnet50_theta", "image_size": (10, 14), "blocks": (1,)},
                maps={"gate": "B D 1 1"},
                sizes={"H": 10, "W": 14},
            ),
            Option({"name": "ge_resnet50_theta_e4", "blocks": (1,)}, maps={"gate": "B D h w"}),
            Option({"name": "cpsppse_mobilenetv2", "width": 16, "blocks": (1, 2)}, maps={"channel": "B D 1 1"}),
            Option(
                {"name": "nonlocal5_i3d_resnet50_8f", "blocks": (1, 2)},
                inputs=("B C T H W",),
                maps={"affinity": "B Q K"},
                least=(1, 1, 1),
            ),
        ),
        exported=32,
        code="hujie-frank/SENet",
    ),
)
