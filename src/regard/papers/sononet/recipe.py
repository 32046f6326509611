"""Recipe for classification of ultrasound planes by a network with attention gates.

Attention Gated Networks: Learning to Leverage Salient Regions in Medical Images. Schlemper et al. Medical Image
Analysis 2019, arXiv:1808.08114, Section 4.1.

The paper's fetal scans (13 standard planes and background) are not published: the dataset is a folder of the user's
images, a subfolder for each class. The settings are those of the released configuration for a feature scale of 8. The
tiny variant trains on the embedded digits at random positions on 32×32.

`cluttered` trains a small network of the same kind on the embedded cluttered digits. Its weights come with the library:
`regard look` without arguments shows them at work, and docs/watching.md says what they score and against what.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from regard.data import ImageSet, load
from regard.data import mnist as digits
from regard.data.augmenting import Mirror, OfImage
from regard.data.batches import Normalisation
from regard.papers.sononet.network import GatedSononet
from regard.tasks.classify import Classify
from regard.tasks.several_heads import SeveralHeads
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

NORMALISE = ((0.3,), (0.25,))
SIZE = 224
OWN: Normalisation = ((0.5,) * 3, (0.25,) * 3)


def planes(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """AG-Sononet-8 with a head for each of its three maps."""
    if tiny:
        small, place = digits.embedded(), digits.Place(32)
        found = ImageSet(small.name, small.classes, small.train, digits.Placed(small.test, place, seed=0))
        plan = Plan(epochs=4, batch_size=32, lr=5e-3, augment=OfImage(place), normalise=NORMALISE, clip=1.0)
    elif data is None:
        raise ValueError("data=None: a folder of images with a subfolder for each class is needed (--data)")
    else:
        found = load(data, image_size=SIZE)
        plan = Plan(
            epochs=300,
            batch_size=64,
            lr=0.1,
            weight_decay=1e-6,
            optimizer="sgd",
            augment=Mirror(),
            normalise=NORMALISE,
        )
    classes = len(found.classes)
    return Recipe(
        build=partial(
            GatedSononet, 1 if tiny else 3, classes=classes, feature_scale=16 if tiny else 8, aggregation="separate"
        ),
        train=found.train,
        test=found.test,
        phases=(Phase(name="all", task=SeveralHeads(classes), plan=plan),),
        facts={"data": found.name},
        class_names=found.classes,
    )


def cluttered(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """A network of 103 thousand parameters with gates on two maps, on cluttered digits in colour, 48×48.

    The tiny variant has fewer images and epochs.
    """
    if data is not None:
        raise ValueError(f"data={str(data)!r}: none is needed, since the digits are embedded; leave out --data")
    found = load("digits", train_size=400 if tiny else 8000, test_size=100 if tiny else 1000)
    classes = len(found.classes)
    plan = Plan(epochs=3 if tiny else 12, batch_size=64, lr=2e-3, weight_decay=0.01, normalise=OWN, clip=1.0)
    return Recipe(
        build=partial(GatedSononet, 3, classes=classes, feature_scale=10, convolutions=(1, 2, 2, 2, 2)),
        train=found.train,
        test=found.test,
        phases=(Phase(name="all", task=Classify(classes), plan=plan),),
        facts={"data": found.name, "train": len(found.train), "test": len(found.test)},
        class_names=found.classes,
    )
