"""Label: what the paper is, takes and shows, and how it is trained."""

from regard.catalog import Entry, Option, Paper
from regard.catalog.recipes import Claim, Listing

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="neural_baby_talk",
        target="papers.neural_baby_talk.network:NeuralBabyTalk",
        paper=Paper("Neural Baby Talk", "Lu, Yang, Batra, Parikh", "CVPR", 2018, arxiv="1803.09845"),
        domains=("spatial", "sequence"),
        soft=True,
        acts_on=("image", "features"),
        grain=("position", "item"),
        reach="point to region",
        tasks=("captioning",),
        aliases=("NBT",),
        maps={"attention": "B L H W", "regions": "B L N", "pointer": "B L N", "sentinel": "B L"},
        sums={"attention": "H W", "regions": "N"},
        kwargs={
            "channels": 6,
            "vocabulary": 11,
            "classes": 5,
            "names": (1, 2, 4, 2, 4, 1),
            "width": 8,
            "embedding": 9,
            "hidden": 10,
            "word_vector": 4,
            "dropout": 0.1,
            "backbone": None,
            "output_stride": 32,
        },
        inputs=("B C H W", "B N 4", "word<5> B N", "B N", "bool B N", "word<24> B L"),
        outputs=("B L 24",),
        sizes={"N": 13, "L": 3},
        options=(Option({"core": "att2in2"}),),
        exempt={
            "gradients_reach": "the layers that name a region are asked when the sentence is known",
            "low_precision": "boxes and scores of 10,000 leave the range of float16 in the sums over a region",
        },
        code="jiasenlu/NeuralBabyTalk",
    ),
)

RECIPES: tuple[Listing, ...] = (
    Listing(
        name="neural-baby-talk",
        target="papers.neural_baby_talk.recipe:neural_baby_talk",
        system="neural_baby_talk",
        summary="captions whose visual words are regions that are pointed at and named",
        data="COCO's captions, instances and images; detections of the images if there are any",
        claim=Claim(
            measure="cider",
            value=1.072,
            data="COCO captions",
            where="Table 2, from memory",
            unlike="Karpathy's splits, and the regions of a detector",
        ),
    ),
)
