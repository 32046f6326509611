"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="saliency_net",
        target="papers.saliency_net.network:SaliencyNet",
        paper=Paper(
            title="Attention U-Net: Learning Where to Look for the Pancreas",
            authors="Oktay, Schlemper, Le Folgoc, Lee, Heinrich, Misawa, Mori, McDonagh, Hammerla, Kainz, Glocker, "
            "Rueckert",
            venue="MIDL",
            year=2018,
            arxiv="1804.03999",
        ),
        domains=("spatial",),
        soft=True,
        acts_on=("features",),
        grain=("position",),
        tasks=("saliency",),
        maps={"saliency": "B 1 H W", "spatial": "B 1 h w"},
        shown=("saliency",),
        kwargs={"channels": 2, "backbone": "test_efficientnet", "width": 6},
        outputs=("B 1 H W",),
        options=(
            Option({"density": True}, sums={"saliency": "H W"}),
            Option({"gates": False}, maps={"saliency": "B 1 H W"}),
        ),
        least=(1, 1),
        exported=40,
        parity="transcribed",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="salient-objects",
        target="papers.saliency_net.recipe:objects",
        system="saliency_net",
        summary="masks of salient objects",
        data="DUTS-TR and DUTS-TE, COCO, or images and masks",
    ),
    Listing(
        name="fixations",
        target="papers.saliency_net.recipe:fixations",
        system="saliency_net",
        summary="densities of human fixations",
        data="images with fixations: SALICON, MIT1003, CAT2000, OSIE, or fixations.csv",
    ),
)
