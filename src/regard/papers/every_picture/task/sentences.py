"""Sentences as triplets: what a sentence is about, what is said of it, and where that is.

Every Picture Tells a Story: Generating Sentences from Images. Farhadi et al. ECCV 2010, Section 2.2. The paper takes
objects and actions from a dependency parse, and scenes from the heads of prepositional phrases; a word that is no label
counts for those labels that Lin's similarity finds near it. Here `data.phrases` stands for the parser.

    s_n(l) = max over the words of node n of lin(word, l)                                                       (11)

An object is the head of a phrase, and the first that is near a label is what the sentence is about. An action is a
verb, or, where nothing acts, an attribute of that object. A scene is the head of a phrase with a preposition behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from regard.checks import choice, number
from regard.data.phrases import Lexicon
from regard.papers.every_picture.task.meanings import Taxonomy
from regard.papers.every_picture.triplets import best_triplets

VERB, ATTRIBUTE = "verb", "attribute"
PLACES = frozenset(
    [
        *("above", "across", "against", "along", "around", "at", "atop", "behind", "below", "beneath", "beside", "by"),
        *("in", "in front of", "in the middle of", "inside", "into", "left of", "near", "next to", "on", "on top of"),
        *("onto", "outside of", "over", "right of", "through", "to the left of", "to the right of", "under", "within"),
    ]
)
DECIDES = 0.1  # what a corpus says counts at most as much as this difference in similarity
WORN = 0.1  # share of the occurrences of a noun after "wearing" from which on it is no scene: in a shirt


class Labels(NamedTuple):
    """The names of the labels of each node."""

    objects: tuple[str, ...]
    actions: tuple[str, ...]
    scenes: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Reader:
    """Reads sentences as triplets.

    Args:
        labels: the labels of each node.
        trees: the tree of each node's words.
        lexicon: what the corpus tells of its words.
        action: what stands for the action: "verb" or "attribute".
        least: a word is near a label from this similarity on.

    Raises: ValueError for another action, or a similarity outside 0..1.
    """

    labels: Labels
    trees: tuple[Taxonomy, Taxonomy, Taxonomy]
    lexicon: Lexicon
    action: str = VERB
    least: float = 0.5
    _near: dict[tuple[int, str], Tensor] = field(default_factory=dict, init=False, compare=False)

    def __post_init__(self) -> None:
        choice("action", self.action, (VERB, ATTRIBUTE))
        number("least", self.least, least=0, most=1)

    def scores(self, tokens: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Equation (11): `O`, `A`, `S` in 0..1; zeros of a node of which the sentence has no word."""
        words = self.words(tokens)
        scores = []
        for node, (several, labels) in enumerate(zip(words, self.labels, strict=True)):
            near = [self._similar(node, word) for word in several]
            scores.append(torch.stack(near).amax(0) if near else torch.zeros(len(labels), dtype=torch.float64))
        return scores[0], scores[1], scores[2]

    def read(self, tokens: Sequence[str]) -> tuple[int, int, int] | None:
        """The triplet of a sentence; None if it has no word near a label of one of the nodes."""
        scores = self.scores(tokens)
        if min(float(one.max()) for one in scores) < max(self.least, 1e-12):
            return None
        o, a, s = (int(one.argmax()) for one in scores)
        return o, a, s

    def ranked(self, tokens: Sequence[str], count: int, *, likely: Tensor | None = None) -> Tensor:
        """The best triplets of a sentence, best first, by their similarity to its words: `count 3`.

        Args:
            tokens: the sentence.
            count: the number of triplets.
            likely: what a corpus says of each triplet, `O A S`; it decides between those that are about as similar.
        """
        o, a, s = self.scores(tokens)
        table = o[:, None, None] + a[:, None] + s
        if likely is not None and bool(likely.max() > likely.min()):
            table = table + DECIDES * (likely - likely.min()) / (likely.max() - likely.min())
        return best_triplets(table, count)[0]

    def words(self, tokens: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
        """The words of a sentence that belong to each node: one object, its actions, the scenes behind it."""
        phrases = self.lexicon.read(tokens)
        at = next((at for at, phrase in enumerate(phrases) if self._found(0, phrase.head)), None)
        if at is None:
            return [], [], []
        phrase = phrases[at]
        actions = list(phrase.modifiers) if self.action == ATTRIBUTE else self.lexicon.acts(tokens)
        scenes = [one.head for one in phrases[at + 1 :] if one.preposition in PLACES]
        return [phrase.head], [one for one in actions if self._found(1, one)][:1], scenes

    def mentioned(self, tokens: Sequence[str]) -> set[int]:
        """The objects that a sentence names anywhere."""
        heads = [phrase.head for phrase in self.lexicon.read(tokens)]
        return {int(self._similar(0, head).argmax()) for head in heads if self._found(0, head)}

    def _found(self, node: int, word: str) -> bool:
        return bool(self._similar(node, word).max() >= self.least)

    def _similar(self, node: int, word: str) -> Tensor:
        if (node, word) not in self._near:
            self._near[node, word] = self.trees[node].similar(word, self.labels[node])
        return self._near[node, word]


def labels_of(
    sentences: Sequence[Sequence[str]], lexicon: Lexicon, *, objects: int = 23, actions: int = 16, scenes: int = 29
) -> Labels:
    """The labels of a corpus: its commonest first nouns, verbs, and nouns in places; the numbers are the paper's.

    A noun that is often worn is no scene, although people are in it.

    Raises: ValueError if the corpus has no label of a node.
    """
    first: Counter[str] = Counter()
    acts: Counter[str] = Counter()
    places: Counter[str] = Counter()
    heads: Counter[str] = Counter()
    worn: Counter[str] = Counter()
    for tokens in sentences:
        phrases = lexicon.read(tokens)
        first.update(phrase.head for phrase in phrases[:1])
        acts.update(lexicon.acts(tokens)[:1])
        heads.update(phrase.head for phrase in phrases)
        worn.update(phrase.head for phrase in phrases if phrase.verb == "wearing")
        places.update(phrase.head for phrase in phrases[1:] if phrase.preposition in PLACES)
    there = Counter({word: count for word, count in places.items() if worn[word] < WORN * heads[word]})
    found = []
    for name, counts, most in (("objects", first, objects), ("actions", acts, actions), ("scenes", there, scenes)):
        if not counts:
            raise ValueError(
                f"sentences: none of {len(sentences)} has one of the {name}; captions of photographs are needed"
            )
        found.append(tuple(word for word, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:most]))
    return Labels(*found)
