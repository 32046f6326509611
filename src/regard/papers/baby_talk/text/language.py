"""Baby Talk's sentences by a language model: function words are put between the words of a triple.

Baby Talk: Understanding and Generating Simple Image Descriptions. Kulkarni et al. CVPR 2011, Section 6.1. The content
words stay in their order; between two of them stand up to a few function words, so that the sentence is the likeliest:

    p(w | u v) = (c(u v w) + μ p(w | v)) / (c(u v) + μ),  p(w | v) = (c(v w) + μ p(w)) / (c(v) + μ)              (1)
    p(w) = (c(w) + 1) / (n + V + 1)                                                                              (2)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from regard.checks import choice, number, positive, whole

BEGIN, FINISH = "<start>", "<end>"


class NGrams:
    """A trigram model of sentences, smoothed towards shorter contexts by equations (1) and (2).

    Args:
        sentences: the tokens of each.
        weight: μ, how many observations the shorter context counts as.

    Raises: ValueError if there is no sentence or μ is not positive.
    """

    def __init__(self, sentences: Iterable[Sequence[str]], *, weight: float = 2.0) -> None:
        self.weight = number("weight", weight, above=0)
        self.single: Counter[str] = Counter()
        self.double: Counter[tuple[str, str]] = Counter()
        self.triple: Counter[tuple[str, str, str]] = Counter()
        for tokens in sentences:
            framed = [BEGIN, BEGIN, *tokens, FINISH]
            self.single.update(framed[2:])
            self.single[BEGIN] += 1  # a context only
            self.double.update(pairwise(framed))
            self.triple.update(zip(framed, framed[1:], framed[2:], strict=False))
        self.total = self.single.total() - self.single[BEGIN]
        if not self.total:
            raise ValueError("sentences: at least one is needed")
        self.contexts: Counter[tuple[str, str]] = Counter()
        for (one, other, _), count in self.triple.items():
            self.contexts[one, other] += count
        self.befores: Counter[str] = Counter()
        for (one, _), count in self.double.items():
            self.befores[one] += count

    def log_probability(self, word: str, before: tuple[str, str], *, order: int = 3) -> float:
        """log p of equation (1): of a word after two others; with order 1, of equation (2): of the word alone.

        Raises: ValueError for another order.
        """
        chance = (self.single[word] + 1) / (self.total + len(self.single))  # V and the unseen
        if choice("order", order, (1, 3)) == 1:
            return math.log(chance)
        chance = (self.double[before[1], word] + self.weight * chance) / (self.befores[before[1]] + self.weight)
        chance = (self.triple[(*before, word)] + self.weight * chance) / (self.contexts[before] + self.weight)
        return math.log(chance)

    def score(self, tokens: Sequence[str], *, order: int = 3) -> float:
        """log p of a sentence with its end; `order` as for `log_probability`."""
        framed = [BEGIN, BEGIN, *tokens, FINISH]
        return sum(
            self.log_probability(word, (one, other), order=order)
            for one, other, word in zip(framed, framed[1:], framed[2:], strict=False)
        )

    def filled(
        self, content: Sequence[Sequence[str]], function: Sequence[str], *, most: int = 2, beam: int = 50
    ) -> list[str]:
        """The likeliest sentence of content words in their order, with function words before, between and behind them.

        Args:
            content: groups of words, each of which stays together: [["brown", "dog"], ["near"], ["sofa"]].
            function: the words that may be put between the groups.
            most: how many at each place at most.
            beam: how many beginnings are kept after each group.

        Raises: ValueError if there is no content or an argument is out of range.
        """
        if not content or not all(content):
            raise ValueError(f"content={list(content)!r}: at least one group of words is needed, and none empty")
        whole("most", most, 0)
        positive("beam", beam)
        beginnings: list[tuple[float, list[str]]] = [(0.0, [])]
        for group in content:
            longer = [self._with(one, group) for one in self._gaps(beginnings, function, most, beam)]
            beginnings = sorted(longer, key=lambda one: -one[0])[:beam]
        ended = [self._with(one, [FINISH]) for one in self._gaps(beginnings, function, most, beam)]
        return max(ended, key=lambda one: one[0])[1][:-1]

    def _gaps(
        self, beginnings: list[tuple[float, list[str]]], function: Sequence[str], most: int, beam: int
    ) -> list[tuple[float, list[str]]]:
        """The beginnings, with none up to `most` function words behind each."""
        found, last = list(beginnings), beginnings
        for _ in range(most):
            longer = [self._with(one, [word]) for one in last for word in function]
            last = sorted(longer, key=lambda one: -one[0])[:beam]
            found += last
        return found

    def _with(self, one: tuple[float, list[str]], words: Sequence[str]) -> tuple[float, list[str]]:
        total, tokens = one
        framed = [BEGIN, BEGIN, *tokens, *words]
        for at in range(len(framed) - len(words), len(framed)):
            total += self.log_probability(framed[at], (framed[at - 2], framed[at - 1]))
        return total, [*tokens, *words]
