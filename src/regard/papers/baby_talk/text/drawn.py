"""Drawn scenes for Baby Talk: the features of true boxes, what is in them, and how they lie to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from regard.data.batches import Batch, padded
from regard.data.scene_sentences import COLOURS, KINDS, RELATIONS, SYNONYMS, relation
from regard.data.scenes import Scenes, patches
from regard.papers.baby_talk.text.templates import Triple
from regard.papers.baby_talk.text.triples import Grammar

WORDS = tuple(RELATIONS)  # above, below, left, right
GRAMMAR = Grammar(
    objects={**{kind: kind for kind in KINDS}, **{other: kind for kind, other in SYNONYMS.items()}},
    attributes={colour: colour for colour in COLOURS},
    prepositions={phrase: name for name, phrases in RELATIONS.items() for phrase in phrases},
)


class DrawnTriples(Dataset[Mapping[str, Any]]):
    """Scenes as regions with their labels, and the scores of four relations for every pair.

    A sample has `features` N C, `labels` N, `colours` N, `related` M 4 (above, below, left, right, in 0..1, of the
    pairs (0, 1), (0, 2), …) and `triples`, the true ones of all pairs. Samples are kept once they were made.

    Args:
        scenes: the scenes.
    """

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes.images()
        self._made: dict[int, dict[str, Any]] = {}

    @property
    def digest(self) -> str:
        return f"triples of {self.scenes.digest}"

    @property
    def channels(self) -> int:
        """C, the channels of the features."""
        channels: int = self[0]["features"].shape[1]
        return channels

    def __len__(self) -> int:
        return self.scenes.count

    def __getitem__(self, i: int) -> dict[str, Any]:
        if i not in self._made:
            self._made[i] = self._sample(self.scenes.scene(i))
        return self._made[i]

    def _sample(self, i: int) -> dict[str, Any]:
        objects = self.scenes.objects(i)
        boxes = torch.tensor([one.box for one in objects])
        return {
            "features": features_of(self.scenes.image(i), boxes),
            "labels": torch.tensor([KINDS.index(one.kind) for one in objects]),
            "colours": torch.tensor([list(COLOURS).index(one.colour) for one in objects]),
            "related": related(boxes),
            "triples": true_triples(objects),
            "name": self.scenes.name(i),
        }

    def collate_fn(self, samples: Sequence[Mapping[str, Any]]) -> Batch:
        ragged = {"features": 0.0, "labels": 0, "colours": 0, "related": 0.0}
        return padded(samples, fields=ragged, listed=("triples",))


def features_of(image: Tensor, boxes: Tensor) -> Tensor:
    """What the classifiers see of each region: its pixels, and the lightest of each colour.

    Shapes: image `3 H W`, boxes `N 4` in 0..1 -> `N C`.
    """
    seen = patches(image, boxes)
    return torch.cat([seen, seen.unflatten(1, (3, -1)).amax(2)], 1)


def related(boxes: Tensor) -> Tensor:
    """How far each first box lies above, below, left and right of each second one: `N 4` -> `M 4` in 0..1.

    Equations (1) and (2) of `prepositions` for regions that fill their boxes, and the same for left and right.
    """
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    before = ((boxes[None, :, :2] - low) / (high - low)).clamp(0, 1)  # of a to the left of, and above b
    behind = ((high - boxes[None, :, 2:]) / (high - low)).clamp(0, 1)
    every = torch.stack([before[..., 1], behind[..., 1], before[..., 0], behind[..., 0]], -1)
    return torch.stack([every[i, j] for i, j in combinations(range(len(boxes)), 2)])


def true_triples(objects: Sequence[Any]) -> list[Triple]:
    """The triple of every pair of objects of a scene, with their colours."""
    return [
        ((one.colour, one.kind), relation(one, other), (other.colour, other.kind))
        for one, other in combinations(objects, 2)
    ]
