"""Recipes for image classification, shared by the papers' networks: CIFAR, ImageNet, fine-grained datasets, a folder.

data              read at    trained on                                           tested on
CIFAR             32         shifted by up to 4 pixels, flipped                   the image
fine-grained      512        a window of 448 × 448, flipped                       the middle 448 × 448
other images      256        a window of 8 to 100 percent, to 224 × 224, flipped  the middle 224 × 224

Images are read as their middle square. A network for CIFAR reads a folder of images as CIFAR. A network is trained as
its authors trained it where that is known (`catalog.recipes.trainings`) and the data are of the kind that it is for;
otherwise by `USUAL`. The crops of the training come from the middle square, where the released codes crop the whole
image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from regard import catalog
from regard.backbones import IMAGENET
from regard.catalog.recipes import Claim, Training, trainings
from regard.data import ImageSet, fine_grained, load, mnist
from regard.data import cifar as cifar_files
from regard.data import imagenet as imagenet_files
from regard.data.augmenting import Centre, Crop, InTurn, Mirror, OfImage, Prepared, ResizedCrop
from regard.data.batches import Augment, Data, Normalisation
from regard.networks import design
from regard.tasks.classify import Classify
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Cosine, Steps

Make = Callable[..., nn.Module]  # channels and classes -> network
FOLDER = "train/ and val/ with a folder of images for each class"
KINDS = {1000: "ImageNet", 100: "CIFAR-100", 10: "CIFAR-10"}  # classes of a network by name -> its dataset

# Where the authors' training is not known, or is for other data: half a cosine.
USUAL = {
    "cifar": Training(networks=("*",), epochs=200, batch=64, lr=0.1, weight_decay=1e-4, where="usual"),
    "fine-grained": Training(networks=("*",), epochs=100, batch=16, lr=0.01, weight_decay=1e-4, where="usual"),
    "folder": Training(networks=("*",), epochs=100, batch=256, lr=0.1, weight_decay=1e-4, where="usual"),
}


@dataclass(frozen=True)
class _Images:
    """A dataset for training and testing, and how it is augmented and normalised.

    Args:
        kind: a key of `USUAL`.
        found: the dataset as it was read.
        size: height and width of what a network sees; None for the images' own.
        augment, normalise: as for `Plan`.
    """

    kind: str
    found: ImageSet
    size: int | None
    augment: Augment | None
    normalise: Normalisation

    @property
    def test(self) -> Data:
        return self.found.test if self.size is None else Prepared(self.found.test, Centre(self.size))


def recipe(
    data: Path | None = None,
    *,
    tiny: bool = False,
    make: Make,
    small: Make,
    collection: str,
    training: Training | None = None,
    sized: bool = False,
    claim: Claim | None = None,
) -> Recipe:
    """A recipe for one network on one dataset; the tiny variant trains on the embedded digits.

    Args:
        data: the folder of the dataset.
        tiny: make the tiny variant.
        make, small: the network and its tiny variant.
        collection: the kind of data that the network is for, `cifar` or `folder`.
        training: how the authors trained it; None where it is not known.
        sized: whether the network takes `image_size`, which it depends on.
        claim: what the authors report.

    Raises: ValueError if `data` is None and `tiny` is false; the errors of reading the folder.
    """
    known = None
    if tiny:
        images = _Images("tiny", mnist.embedded(), None, None, ((0.3,), (0.35,)))
        plan = Plan(lr=1e-2, epochs=4, normalise=images.normalise)
        facts: dict[str, Any] = {}
    elif data is None:
        wanted = cifar_files.WANTED if collection == "cifar" else FOLDER
        raise ValueError(f"data=None: a folder with {wanted} is needed (--data); --tiny trains on the embedded data")
    else:
        images = _read(data, collection)
        known = training if training is not None and images.kind == collection else None
        plan = _plan(known or USUAL[images.kind], images)
        facts = {"training": (known or USUAL[images.kind]).where}
    found = images.found
    channels, *own = found.train[0][0].shape
    classes = len(found.classes)
    sizes = {"image_size": tuple(own) if images.size is None else images.size} if sized else {}
    smoothing = 0.0 if known is None else known.smoothing
    return Recipe(
        build=partial(small if tiny else make, channels, classes=classes, **sizes),
        train=found.train,
        test=images.test,
        phases=(Phase(name="classify", task=Classify(classes, errors=True, label_smoothing=smoothing), plan=plan),),
        facts={"data": found.name, "classes": classes, **facts},
        class_names=found.classes,
        claim=claim,
        start=None if tiny else _start,
    )


def named(data: Path | None = None, *, tiny: bool = False, network: str = "resnet50") -> Recipe:
    """A recipe for a network known by name, with the training of its release on the data that it is for.

    Raises: LookupError for an unknown network; ValueError for one that takes clips, and as `recipe`.
    """
    known = design.find(network)
    if "T" in known.backbone.axes:
        raise ValueError(f"network={network!r} takes clips; images need another, or the recipe non-local-clips")
    entry = catalog.get("paper_network").load()
    of = KINDS[known.classes]
    claim = Claim(measure="error", value=known.error, data=of, where=f"authors, {network}") if known.error else None
    return recipe(
        data,
        tiny=tiny,
        make=partial(entry, name=network),
        small=partial(entry, name=network, width=16, blocks=(1, 1)),
        collection="folder" if of == "ImageNet" else "cifar",
        training=trainings().get(network),
        sized=True,
        claim=claim,
    )


def _start(model: nn.Module, state: Mapping[str, Tensor] | None) -> None:
    """Loads the weights of the same network; the classifier stays as it is where it has other classes.

    Raises: ValueError if they are of another network, or have the names of another code.
    """
    if state is None:
        return
    own = model.state_dict()
    head = {key for key in own if key.startswith("classify.")}
    given = {key: value for key, value in state.items() if key not in head or value.shape == own[key].shape}
    wrong = next((key for key in given if key not in own or given[key].shape != own[key].shape), None)
    absent = next((key for key in own if key not in given and key not in head), None)
    if wrong is not None or absent is not None:
        what = f"{wrong} does not fit" if wrong is not None else f"{absent} is missing"
        raise ValueError(
            f"{what}; weights of the same network are needed, by `regard published convert` or `regard train`"
        )
    model.load_state_dict(given, strict=False)


def _read(data: Path, collection: str) -> _Images:
    """Reads a folder by the layout that its files show. Raises: the errors of the reader."""
    if cifar_files.found(data) is not None:
        return _small(cifar_files.load(data))
    if fine_grained.found(data):
        augment = InTurn(Crop(448, 448), Mirror())
        return _Images("fine-grained", fine_grained.load(data, image_size=512), 448, augment, IMAGENET)
    if imagenet_files.found(data):
        found = imagenet_files.load(data)
    elif collection == "cifar":
        return _small(load(data, image_size=cifar_files.SIDE))
    else:
        found = load(data, image_size=256)
    return _Images("folder", found, 224, InTurn(ResizedCrop(size=224), Mirror()), IMAGENET)


def _small(found: ImageSet) -> _Images:
    normalise = cifar_files.NORMALISE.get(len(found.classes), cifar_files.NORMALISE[100])
    return _Images("cifar", found, None, OfImage(cifar_files.shifted), normalise)


def _plan(training: Training, images: _Images) -> Plan:
    """The plan of a training: torch's stochastic gradient descent, which decays every parameter."""
    return Plan(
        epochs=training.epochs,
        batch_size=training.batch,
        lr=training.lr,
        weight_decay=training.weight_decay,
        optimizer="sgd",
        options={"momentum": 0.9, "nesterov": False},
        schedule=Steps(at=training.falls, by=training.factor, every="epoch") if training.falls else Cosine(),
        warmup=training.warmup / training.epochs,
        decays={"*": 1.0},
        augment=images.augment,
        normalise=images.normalise,
    )


imagenet = partial(recipe, collection="folder")
cifar = partial(recipe, collection="cifar")
