"""Recipe for Every Picture Tells a Story on photographs with captions; the tiny variant on drawn scenes.

Every Picture Tells a Story: Generating Sentences from Images. Farhadi et al. ECCV 2010. The paper learns from 600 of
the thousand images of PASCAL with five sentences each, which are not public by its splits; its detectors were trained
on boxes, its 23 · 16 · 29 labels written down. Here the detectors learn from whole images whether an object is there,
and the labels of photographs are the commonest of their captions. The parts are trained as there: detectors, then
linear classifiers, then the weights of the potentials by max-margin structure learning. On drawn scenes, in which
nothing acts, a triplet is the kind of an object, its colour, and the kind of what it lies by.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import nn

from regard.data.scenes import scenes as drawn_scenes
from regard.data.visits import Codes
from regard.papers.every_picture.network import MAPS, EveryPicture
from regard.papers.every_picture.task.match import Match
from regard.papers.every_picture.task.pictures import Pictures, of_photographs, of_scenes
from regard.papers.every_picture.triplets import counted
from regard.training import captioning
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Constant

DRAWN, TINY = (2000, 500, 64), (400, 100, 32)  # training scenes, test scenes, pixels of a side
SIZE = 64  # of a photograph, in pixels: templates are of few
LONGEST = 40  # words of a caption that are read


def every_picture(
    data: Path | None = None, *, tiny: bool = False, objects: int = 23, actions: int = 16, scenes: int = 29
) -> Recipe:
    """Triplets and sentences of photographs with captions, or of drawn scenes.

    Args:
        data: a folder of captions, as `training.captioning` reads them; None draws scenes.
        tiny: make the tiny variant, on fewer and smaller drawn scenes.
        objects, actions, scenes: the numbers of labels that are taken from the captions of photographs.

    Raises: ValueError if a number is not positive, or no caption is read as a triplet; the errors of reading.
    """
    if data is None:
        train_size, test_size, side = TINY if tiny else DRAWN
        train, test = of_scenes(*drawn_scenes(train_size, test_size, side))
    else:
        read = captioning.read(data, image_size=SIZE, least=1, longest=LONGEST)
        train, test = of_photographs(*read, objects=objects, actions=actions, scenes=scenes)
    pool = train.pool()
    labels = train.reader.labels
    sizes = tuple(map(len, labels))
    build = partial(
        EveryPicture,
        train[0]["image"].shape[0],
        **dict(zip(MAPS, sizes, strict=True)),
        known=len(train),
        sentences=len(pool),
    )
    made = partial(Match, train.reader, pool)
    plan = partial(Plan, batch_size=25, optimizer="adam", schedule=Constant(), warmup=0.0)
    return Recipe(
        build=build,
        train=train,
        test=test,
        phases=(
            Phase(
                name="detect",
                task=made("detect"),
                plan=plan(epochs=10, lr=5e-3, weight_decay=1e-4),
                trains=("picture.*",),
            ),
            Phase(
                name="classify",
                task=made("classify"),
                plan=plan(epochs=20, lr=1e-2, weight_decay=1.0, optimizer="adamw"),
                trains=("classifiers.*",),
                before=partial(standardise, train),
            ),
            Phase(
                name="match",
                task=made("match"),
                plan=plan(epochs=10, lr=2e-2, weight_decay=1e-3),
                trains=("nodes", "edges"),
                before=partial(remember, train),
            ),
        ),
        vocabulary={name: Codes(names) for name, names in zip(MAPS, labels, strict=True)}
        | {"sentences": Codes(tuple(pool.values()))},
        facts={
            "data": "scenes" if data is None else str(data),
            "images read": [len(train), len(test)],
            "triplets": len(pool),
            "WordNet": data is not None and len(train.reader.trees[0].words) > 0,
        },
    )


def standardise(train: Pictures, model: nn.Module) -> None:
    """Gives a network the means and deviations of the features of the training images."""
    assert isinstance(model, EveryPicture)
    device = model.nodes.device
    model.standardise([batch.to(device) for batch in train.images()])


def remember(train: Pictures, model: nn.Module) -> None:
    """Gives a network the training images, how often labels stand together, and the sentences that it may tell."""
    assert isinstance(model, EveryPicture)
    device = model.nodes.device
    model.remember([batch.to(device) for batch in train.images()])
    every = torch.cat(train.triplets)
    a, b, c = counted(every, model.sizes)
    model.count((a, b, c))
    model.sentences.copy_(torch.tensor(list(train.pool())))
