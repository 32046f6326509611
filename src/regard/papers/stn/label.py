"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="stn",
        target="papers.stn.mechanism:SpatialTransformer",
        paper=Paper(
            "Spatial Transformer Networks",
            "Jaderberg, Simonyan, Zisserman, Kavukcuoglu",
            "NIPS",
            2015,
            arxiv="1506.02025",
        ),
        domains=("spatial",),
        soft=True,
        acts_on=("image", "features"),
        grain=("position",),
        kind="focus",
        tasks=("classification", "fine-grained classification"),
        aliases=("spatial transformer network",),
        maps={"theta": "B 2 3", "grid": "B H W 2"},
        kwargs={"channels": 3},
        options=(
            Option({"transform": "attention"}),
            Option({"transform": "projective"}, maps={"theta": "B 3 3", "grid": "B H W 2"}),
            Option({"transform": "spline", "points": 3}, maps={"points": "B K 2", "grid": "B H W 2"}),
            Option({"size": (4, 3)}, outputs=("B C 4 3",), maps={"theta": "B 2 3", "grid": "B 4 3 2"}),
            Option({"align_corners": True, "padding": "border"}),
            Option(
                {"localisation": "given", "interpolation": "bicubic"},
                inputs=("B D H W", "B 2 3"),  # any width
                outputs=("B D H W",),
            ),
            Option(
                {"localisation": "given", "transform": "attention", "size": 6},
                inputs=("B D H W", "B 3"),
                outputs=("B D 6 6",),
                maps={"theta": "B 2 3", "grid": "B 6 6 2"},
            ),
            Option({"localisation": "flat", "grid": (19, 23), "hidden": 8}, sizes={"H": 19, "W": 23}),
        ),
        code="pytorch/tutorials",
    ),
    Entry(
        name="stn_classifier",
        target="papers.stn.network:TransformerClassifier",
        paper=Paper(
            "Spatial Transformer Networks",
            "Jaderberg, Simonyan, Zisserman, Kavukcuoglu",
            "NIPS",
            2015,
            arxiv="1506.02025",
        ),
        domains=("spatial",),
        soft=True,
        acts_on=("image",),
        grain=("position",),
        kind="focus",
        tasks=("classification",),
        maps={"theta": "B 2 3", "grid": "B H W 2"},
        kwargs={"channels": 3, "classes": 3, "grid": (19, 23), "widths": (4, 5), "hidden": 8},
        outputs=("B 3",),
        options=(
            Option({"transform": "spline", "align_corners": True}, maps={"points": "B K 2", "grid": "B H W 2"}),
            Option({"transform": None, "dropout": 0.0}, maps={}),
            Option(
                {"transform": "projective", "widths": (), "hidden": (7, 8)}, maps={"theta": "B 3 3", "grid": "B H W 2"}
            ),
            Option({"kernels": (3, 2), "hidden": ()}),
        ),
        sizes={"H": 19, "W": 23},
    ),
)

_DATA = "MNIST's four idx files; without them, embedded digits"
_LARGER = "a larger network"

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="stn-rotated",
        target="papers.stn.recipe:rotated",
        system="stn_classifier",
        summary="digits turned by up to 90°, with an affine spatial transformer",
        data=_DATA,
        claim=Claim(measure="error", value=0.7, data="MNIST", where="Table 1, R, ST-CNN Aff", unlike=_LARGER),
    ),
    Listing(
        name="stn-rotated-plain",
        target="papers.stn.recipe:rotated_plain",
        system="stn_classifier",
        summary="digits turned by up to 90°, the same network without a transformer",
        data=_DATA,
        claim=Claim(measure="error", value=1.2, data="MNIST", where="Table 1, R, CNN", unlike=_LARGER),
    ),
    Listing(
        name="stn-moved",
        target="papers.stn.recipe:moved",
        system="stn_classifier",
        summary="digits turned, scaled and anywhere on the canvas, with an affine spatial transformer",
        data=_DATA,
        claim=Claim(measure="error", value=0.5, data="MNIST", where="Table 1, RTS, ST-CNN Aff", unlike=_LARGER),
    ),
    Listing(
        name="stn-moved-plain",
        target="papers.stn.recipe:moved_plain",
        system="stn_classifier",
        summary="digits turned, scaled and anywhere on the canvas, the same network without a transformer",
        data=_DATA,
        claim=Claim(measure="error", value=0.8, data="MNIST", where="Table 1, RTS, CNN", unlike=_LARGER),
    ),
    Listing(
        name="stn-projective",
        target="papers.stn.recipe:projective",
        system="stn_classifier",
        summary="digits with moved corners, with a projective spatial transformer",
        data=_DATA,
        claim=Claim(measure="error", value=0.8, data="MNIST", where="Table 1, P, ST-CNN Proj", unlike=_LARGER),
    ),
    Listing(
        name="stn-projective-plain",
        target="papers.stn.recipe:projective_plain",
        system="stn_classifier",
        summary="digits with moved corners, the same network without a transformer",
        data=_DATA,
        claim=Claim(measure="error", value=1.5, data="MNIST", where="Table 1, P, CNN", unlike=_LARGER),
    ),
    Listing(
        name="stn-elastic",
        target="papers.stn.recipe:elastic",
        system="stn_classifier",
        summary="digits bent like a thin plate, with a spatial transformer of 16 control points",
        data=_DATA,
        claim=Claim(measure="error", value=1.1, data="MNIST", where="Table 1, E, ST-CNN TPS", unlike=_LARGER),
    ),
    Listing(
        name="stn-elastic-plain",
        target="papers.stn.recipe:elastic_plain",
        system="stn_classifier",
        summary="digits bent like a thin plate, the same network without a transformer",
        data=_DATA,
        claim=Claim(measure="error", value=1.4, data="MNIST", where="Table 1, E, CNN", unlike=_LARGER),
    ),
)
