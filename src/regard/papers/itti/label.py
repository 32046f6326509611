"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="itti",
        target="papers.itti.network:Itti",
        paper=Paper(
            title="A Model of Saliency-Based Visual Attention for Rapid Scene Analysis",
            authors="Itti, Koch, Niebur",
            venue="PAMI",
            year=1998,
            doi="10.1109/34.730558",
        ),
        domains=("spatial", "scale"),
        soft=True,
        acts_on=("image",),
        grain=("position",),
        kind="focus",
        driven_by="bottom-up",
        tasks=("saliency",),
        aliases=("Itti-Koch", "Itti-Koch-Niebur"),
        maps={"intensity": "B Q", "colour": "B Q", "orientation": "B Q", "saliency": "B Q", "scanpath": "B T 2"},
        shown=("scanpath",),
        kwargs={"centres": (0, 1), "deltas": (1,), "map_scale": 0},
        inputs=("B 3 H W",),
        outputs=("B 1 h w",),
        options=(
            Option({"normalisation": "local_max", "exact": True, "weights": (1.0, 2.0, 0.5)}),
            Option({"normalisation": "other_max", "opponency": "double", "map_scale": 1}),
            Option({"iterations": 1, "angles": (30.0, 120.0), "fixations": 3, "scanpath": "maxima", "focus": 2.0}),
            Option(
                {},
                inputs=("B 1 H W",),
                maps={"intensity": "B Q", "orientation": "B Q", "saliency": "B Q", "scanpath": "B T 2"},
            ),
        ),
        least=(2, 2),
        exempt={
            "exports": "how many scales there are follows from the size",
            "exports_to_onnx": "how many scales there are follows from the size",
        },
        code="DirkBWalther/SaliencyToolbox",
    ),
)
