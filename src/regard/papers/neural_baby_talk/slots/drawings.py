"""Drawn scenes for sentences with slots: every object is a region, with its kind as the class."""

from __future__ import annotations

from functools import partial

import torch

from regard.data.object_names import ObjectNames
from regard.data.scene_sentences import SYNONYMS
from regard.data.scenes import Scenes
from regard.papers.neural_baby_talk.slots.slots import Described


def drawn_names(scenes: Scenes) -> ObjectNames:
    """The kinds of objects, each with its own word and the synonyms that captions use."""
    others = ((SYNONYMS[kind],) if kind in SYNONYMS else () for kind in scenes.classes)
    return ObjectNames.of({kind: (kind, *more) for kind, more in zip(scenes.classes, others, strict=True)})


def drawn(scenes: Scenes, *, jitter: float = 0.0) -> list[Described]:
    """The scenes with their captions; the true objects are the regions, with a score of 1.

    Args:
        scenes: the scenes.
        jitter: by how much the boxes of the regions are moved and resized, as a share of their sides.
    """
    regions = scenes.regions(jitter)
    found = []
    for i in range(scenes.count):
        objects = scenes.objects(i)
        classes = torch.tensor([scenes.classes.index(one.kind) + 1 for one in objects])
        found.append(
            Described(
                name=scenes.name(i),
                image=partial(scenes.image, i),
                objects=torch.tensor([one.box for one in objects]),
                object_classes=classes,
                boxes=regions.boxes(i),
                classes=classes,
                scores=torch.ones(len(objects)),
                captions=scenes.captions(i),
            )
        )
    return found
