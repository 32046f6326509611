"""Recipe for Baby Talk on drawn scenes: classifiers of regions, relations of boxes, potentials of text, and weights.

Baby Talk: Understanding and Generating Simple Image Descriptions. Kulkarni et al. PAMI 2013. The paper's detectors and
its training images are not public. The regions are the true boxes; the classifiers are linear and trained with
cross-entropy; the potentials of text are those of the captions of the training scenes, or of a file. The weights of
the field are then found as in the paper, by coordinate search for the most right words, on scenes of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

from regard.checks import flag
from regard.data.scene_sentences import RELATIONS
from regard.data.scenes import Scenes, scenes
from regard.data.sentence_files import sentences_of
from regard.data.visits import Codes
from regard.papers.baby_talk.network import BabyTalk
from regard.papers.baby_talk.task import Describe, search_weights, set_priors
from regard.papers.baby_talk.text.drawn import GRAMMAR, WORDS, DrawnTriples
from regard.papers.baby_talk.text.triples import priors
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

SIZES = {"train_size": 2000, "test_size": 500, "size": 64}
TINY = {"train_size": 300, "test_size": 60, "size": 32}
SEARCHED, SEARCHED_TINY = 200, 40  # scenes on which the weights are found
PLAN = Plan(epochs=30, batch_size=64, lr=5e-3, optimizer="adam", weight_decay=0.0, warmup=0.0)

Text = str | Sequence[str]


def baby_talk(data: Path | None = None, *, tiny: bool = False, text: Text | None = None, search: bool = True) -> Recipe:
    """Triples of drawn scenes.

    Args:
        data: None, since the scenes are drawn.
        tiny: make the tiny variant.
        text: the file or files of sentences from which the potentials of text are read when a training starts, as
            `data.sentence_files` reads them; None takes the captions of the training scenes.
        search: find the weights of the field by coordinate search; otherwise they stay 1.

    Raises: ValueError for a folder, or an option that is none.
    """
    if data is not None:
        raise ValueError(f"data={str(data)!r}: None is needed, since the scenes are drawn")
    files = (text,) if isinstance(text, str) else text
    named = isinstance(files, (list, tuple)) and all(isinstance(one, str) and one for one in files)
    if files is not None and not (named and files):
        raise ValueError(f"text={text!r}: the name of a file of sentences, or a list of such names, is needed")
    chosen, further = (TINY, SEARCHED_TINY) if tiny else (SIZES, SEARCHED)
    drawn, test = scenes(train_size=chosen["train_size"] + further, test_size=chosen["test_size"], size=chosen["size"])
    train = replace(drawn, count=chosen["train_size"])
    kinds, shades, words = GRAMMAR.names
    assert words == WORDS
    regions, task = DrawnTriples(train), Describe(GRAMMAR)
    build = partial(BabyTalk, regions.channels, objects=len(kinds), attributes=len(shades), prepositions=len(words))
    phase = Phase(
        name="classify",
        task=task,
        plan=PLAN,
        trains=("see_objects.*", "see_attributes.*"),
        before=partial(read_text, train, files),
        after=partial(_searched, drawn, train.count, task) if flag("search", search) else None,
    )
    return Recipe(
        build=build,
        train=regions,
        test=DrawnTriples(test),
        phases=(phase,),
        facts={"data": "scenes", "text": "captions of the training scenes" if files is None else list(files)},
        class_names=kinds,
        vocabulary={
            "objects": Codes(kinds),
            "attributes": Codes(shades),
            "prepositions": Codes(tuple(RELATIONS[word][0] for word in words)),
        },
    )


def read_text(train: Scenes, files: Sequence[str] | None, model: nn.Module) -> None:
    """Gives a field the potentials of the captions of scenes, or of files of sentences.

    Raises: ValueError if the files name no object of a scene; those of `sentences_of`.
    """
    if files is None:
        texts = [caption for scene in range(train.count) for caption in train.captions(scene)]
    else:
        texts = sentences_of(files)
        if not any(GRAMMAR.read(tokens)[0] for tokens in texts):
            raise ValueError(f"text={list(files)!r}: sentences about {', '.join(GRAMMAR.names[0])} are needed")
    known = priors(GRAMMAR, texts)
    set_priors(model, known.attributes, known.prepositions)


def _searched(drawn: Scenes, first: int, task: Describe, model: nn.Module) -> None:
    """Finds the weights on the scenes behind the first ones."""
    data = DrawnTriples(drawn)
    device = next(model.parameters()).device
    search_weights(model, task, data.collate_fn([data[i] for i in range(first, drawn.count)]).to(device))
