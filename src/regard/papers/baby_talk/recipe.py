"""Recipe for Baby Talk on drawn scenes: classifiers of regions, relations of boxes, and potentials of captions.

Baby Talk: Understanding and Generating Simple Image Descriptions. Kulkarni et al. PAMI 2013. The paper's detectors and
its training images are not public. The regions are the true boxes; the classifiers are linear and trained with
cross-entropy; the potentials of text are those of the captions of the training scenes. The weights of the field stay 1
here: docs/triples.py finds them by coordinate search.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from regard.data.scenes import scenes
from regard.papers.baby_talk.network import BabyTalk
from regard.papers.baby_talk.task import Describe, set_priors
from regard.papers.baby_talk.text.drawn import GRAMMAR, WORDS, DrawnTriples
from regard.papers.baby_talk.text.triples import Priors, priors
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

SIZES = {"train_size": 2000, "test_size": 500, "size": 64}
TINY = {"train_size": 300, "test_size": 60, "size": 32}
PLAN = Plan(epochs=30, batch_size=64, lr=5e-3, optimizer="adam", weight_decay=0.0, warmup=0.0)


def baby_talk(data: Path | None = None, *, tiny: bool = False) -> Recipe:
    """Triples of drawn scenes. Raises: ValueError for a folder, since the scenes are drawn."""
    if data is not None:
        raise ValueError(f"data={str(data)!r}: None is needed, since the scenes are drawn")
    chosen = TINY if tiny else SIZES
    train, test = scenes(train_size=chosen["train_size"], test_size=chosen["test_size"], size=chosen["size"])
    texts = [caption for scene in range(train.count) for caption in train.captions(scene)]
    known = priors(GRAMMAR, texts)
    kinds, shades, words = GRAMMAR.names
    assert words == WORDS
    regions = DrawnTriples(train)
    build = partial(BabyTalk, regions.channels, objects=len(kinds), attributes=len(shades), prepositions=len(words))
    return Recipe(
        build=build,
        train=regions,
        test=DrawnTriples(test),
        phases=(
            Phase(name="classify", task=Describe(GRAMMAR), plan=PLAN, trains=("see_objects.*", "see_attributes.*")),
        ),
        start=partial(_started, known),
        facts={"data": "scenes", "captions": len(texts)},
        class_names=kinds,
    )


def _started(known: Priors, model: nn.Module, state: Mapping[str, Tensor] | None) -> None:
    """Sets the potentials of text before the training."""
    set_priors(model, known.attributes, known.prepositions)
