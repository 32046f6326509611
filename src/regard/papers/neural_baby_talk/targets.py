"""Targets and loss of Neural Baby Talk: which regions a visual word means, and what each of the parts should say.

    a region r means the word w:  its class is the word's, its score ≥ 0.5, and its overlap with an object of the class
                                  exceeds 0.5                                                                       (1)
    −log p(w) = −log P(sentinel) − log softmax(logit)_w       for a textual word                                    (2)
    −log p(w) = −1/|R_w| Σ_{r ∈ R_w} log P(r)                 for a visual word with the regions R_w                (3)

A visual word without a region is textual: its own word is asked for instead.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

OVERLAP, SCORE = 0.5, 0.5  # of a region that means a word


class Told(NamedTuple):
    """Log-probabilities of a sentence with the true words given.

    Attributes:
        words: of the textual words, with P(sentinel) in them, `B L V`.
        pointer: of the regions, `B L N`.
        plural: of singular and plural, `B L 2`.
        names: of the names of the regions' class, `B L F`.
    """

    words: Tensor
    pointer: Tensor
    plural: Tensor
    names: Tensor


class Wanted(NamedTuple):
    """What each word should be.

    Attributes:
        words: the textual word, `B L`; of a visual word without a region its own word.
        plural: 0 for a textual word, 1 singular, 2 plural, `B L`.
        names: 0 for a textual word, or the name, `B L`.
        chosen: the regions that mean a visual word, of zeros and ones, `B L N`.
        visual: whether the word is visual and has a region, `bool B L`.
    """

    words: Tensor
    plural: Tensor
    names: Tensor
    chosen: Tensor
    visual: Tensor


class Losses(NamedTuple):
    """The sums of the three losses, and over how many words: of which the mean is taken."""

    words: Tensor
    word_count: Tensor
    plural: Tensor
    names: Tensor
    name_count: Tensor

    @property
    def total(self) -> Tensor:
        """The sum of the three means."""
        named = self.name_count.clamp_min(1)
        return self.words / self.word_count.clamp_min(1) + self.plural / named + self.names / named


def wanted(
    of_class: Tensor,
    plural: Tensor,
    names: Tensor,
    words: Tensor,
    *,
    overlap: Tensor,
    meant: Tensor,
    classes: Tensor,
    scores: Tensor,
) -> Wanted:
    """The targets, by equation (1).

    Args:
        of_class: the class of each visual word, 0 for textual ones.
        plural: 1 for singular, 2 for plural, 0 for a textual word.
        names: the name of a visual word, 0 for a textual one.
        words: every word as a textual one.
        overlap: of each region with each object.
        meant: which objects are of the word's class.
        classes, scores: of the regions; class 0 is padding.

    Shapes: of_class, plural, names and words `B L`, overlap `B N M`, meant `bool B L M`, classes and scores `B N`.
    """
    largest = torch.where(meant[:, :, None], overlap[:, None], 0).amax(3)  # [B, L, N]
    chosen = (largest > OVERLAP) & (scores >= SCORE)[:, None] & (classes[:, None] == of_class[:, :, None])
    found = chosen.any(2)
    kept = found == (names > 0)
    visual = kept & found
    return Wanted(words, plural.where(kept, 0), names.where(kept, 0), chosen.to(overlap.dtype), visual)


def losses(told: Told, target: Wanted, counted: Tensor) -> Losses:
    """Equations (2) and (3), and the cross-entropies of plural and name of the visual words.

    Args:
        told: of the network.
        target: of `wanted`.
        counted: which words are no padding, `bool B L`.
    """
    textual = counted & ~target.visual
    word = told.words.gather(2, target.words[:, :, None])[..., 0]
    pointed = (told.pointer * target.chosen).sum(2) / target.chosen.sum(2).clamp_min(1)
    summed = -(word * textual).sum() - (pointed * target.visual).sum()
    named = target.names > 0
    plural = told.plural.gather(2, (target.plural - 1).clamp_min(0)[:, :, None])[..., 0]
    name = told.names.gather(2, target.names[:, :, None])[..., 0]
    return Losses(
        summed,
        (textual.sum() + target.visual.sum()).to(summed.dtype),
        -(plural * (target.plural > 0)).sum(),
        -(name * named).sum(),
        named.sum().to(summed.dtype),
    )
