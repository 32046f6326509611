"""The vocabulary of attributes, made from captions, and the hypotheses in which attributes are looked for.

What Value Do Explicit High Level Concepts Have in Vision to Language Problems? Wu, Shen, Liu, Dick, van den Hengel.
CVPR 2016, arXiv:1506.01144, Section 3.1: the commonest words of the captions of the training images, of any part of
speech, without regard to tense and number, and without the commonest closed-class words; proposals are clustered into
10 groups by their overlap, and 5 of each group are kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from nltk.stem.porter import PorterStemmer
from sklearn.cluster import SpectralClustering
from torch import Tensor

from regard.checks import check_input, positive

# Words of English that name nothing: articles, prepositions, conjunctions, pronouns, auxiliaries, numerals.
_CLOSED = (
    "a an the this that these those some any each every all both no of in on at by for with from to into onto over "
    "under above below up down near next beside between behind across around along through off out about against "
    "and or but while as if than so he she it they them his her its their him who which what there is are was were "
    "be been being has have having had do does did will can could would may one two three four five several other "
    "another not"
)
CLOSED = frozenset(_CLOSED.split())
LEFT_OUT = 15  # of the closed-class words, the commonest
SEED = 0  # of the clustering


@dataclass(frozen=True)
class Attributes:
    """A vocabulary of attributes.

    Attributes:
        names: the commonest form of each, by falling count.
        stems: stem -> number of the attribute.
    """

    names: tuple[str, ...]
    stems: Mapping[str, int]

    @classmethod
    def of(cls, counts: Mapping[str, int], *, most: int = 256, left_out: int = LEFT_OUT) -> Attributes:
        """The commonest words of captions, those of one stem as one.

        Args:
            counts: word -> how often it occurs in the captions.
            most: the number of attributes at most.
            left_out: how many of the closed-class words are left out, the commonest.

        Raises: ValueError if there is no word.
        """
        positive("most", most)
        closed = sorted((word for word in counts if word in CLOSED), key=lambda word: (-counts[word], word))
        dropped = set(closed[:left_out])
        forms: dict[str, dict[str, int]] = defaultdict(dict)
        for word, count in counts.items():
            if word not in dropped and count > 0:
                forms[_stem(word)][word] = count
        ranked = sorted(forms, key=lambda one: (-sum(forms[one].values()), one))[:most]
        if not ranked:
            raise ValueError(f"counts: {len(counts)} words are given, and none is left: more captions are needed")
        names = tuple(min(forms[one], key=lambda word: (-forms[one][word], word)) for one in ranked)
        return cls(names, {one: number for number, one in enumerate(ranked)})

    def __len__(self) -> int:
        return len(self.names)

    def present(self, captions: Sequence[Sequence[str]]) -> Tensor:
        """Which attributes the captions of an image name: `A`, 1 or 0, in float32."""
        found = torch.zeros(len(self.names))
        for word in {word for caption in captions for word in caption}:
            number = self.stems.get(_stem(word))
            if number is not None:
                found[number] = 1
        return found


@cache
def _stem(word: str) -> str:
    """The stem of a word; Porter's rules take longer than a step of a small network does."""
    found: str = PorterStemmer().stem(word)
    return found


def chosen(boxes: Tensor, scores: Tensor, *, groups: int = 10, each: int = 5) -> Tensor:
    """The numbers of the boxes that are kept as hypotheses: of each group of boxes like each other the best.

    The groups are found by normalised cuts of the graph whose edges are overlaps (intersection over union).

    Args:
        boxes: in any unit, as x0 y0 x1 y1.
        scores: how likely each holds an object.
        groups: the number of groups; fewer where there are fewer boxes.
        each: the number of boxes of a group at most.

    Shapes: `N 4`, `N` -> `int64 M`, sorted by falling score.
    Raises: ValueError for other shapes.
    """
    check_input(boxes, "N 4")
    check_input(scores, "N", N=len(boxes))
    positive("each", each)
    if len(boxes) <= positive("groups", groups):
        return scores.argsort(descending=True, stable=True)
    affinity = _overlaps(boxes.double()).numpy() + 1e-6  # a connected graph, as normalised cuts need
    cluster = SpectralClustering(groups, affinity="precomputed", random_state=SEED, assign_labels="cluster_qr")
    labels = torch.from_numpy(np.asarray(cluster.fit_predict(affinity)).astype(np.int64))
    order = scores.argsort(descending=True, stable=True)
    kept = [order[labels[order] == group][:each] for group in labels.unique()]
    found = torch.cat(kept)
    return found[scores[found].argsort(descending=True, stable=True)]


def _overlaps(boxes: Tensor) -> Tensor:
    """Intersection over union of all pairs."""
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    both = (high - low).clamp_min(0).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return both / (area[:, None] + area[None] - both).clamp_min(torch.finfo(boxes.dtype).tiny)
