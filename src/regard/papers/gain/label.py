"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="gain",
        target="papers.gain.network:GAIN",
        paper=Paper(
            "Tell Me Where to Look: Guided Attention Inference Network",
            "Li, Wu, Peng, Ernst, Fu",
            "CVPR",
            2018,
            arxiv="1802.10171",
        ),
        domains=("spatial",),
        soft=True,
        acts_on=("image",),
        grain=("position",),
        tasks=("classification", "segmentation"),
        aliases=("guided attention inference network",),
        maps={"cam": "B 1 H W", "mask": "B 1 H W"},
        shown=(
            "cam",
            "mask",
        ),
        kwargs={"channels": 2, "classes": 3, "backbone": None, "widths": (4, 6)},
        outputs=("B 3",),
        options=(
            Option(
                {
                    "norm": False,
                    "layer": "features",
                    "sigma": 0.25,
                    "omega": 100.0,
                    "normalise": "batch",
                    "align_corners": True,
                    "detach": True,
                }
            ),
        ),
        least=(2, 2),
        parity="transcribed",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="gain",
        target="papers.gain.recipe:guided",
        system="gain",
        summary="a classifier whose maps are trained, with few masks or none",
        data="VOC2012, or images/ and labels/ with the background as class 0",
    ),
    Listing(
        name="sec",
        target="papers.gain.recipe:seeded",
        system="attention_to_scale",
        summary="a segmentation learned from the maps of a trained classifier: seed, expand, constrain",
        data="VOC2012, or images/ and labels/ with the background as class 0",
        claim=Claim(measure="miou", value=0.553, data="PASCAL VOC 2012", where="Table 1, GAIN, val; from memory"),
    ),
)
