"""Trees of words, by which a word that is no label finds the labels that are near it.

`DRAWN` is the tree of what drawn scenes have; `of_wordnet` reads the tree above given words from WordNet, through NLTK,
where its files are installed. Similarity is Lin's, agreement the F1 of paths: see `taxonomy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from regard.checks import choice
from regard.data.scene_sentences import COLOURS, NUMBERS, SHAPES, SYNONYMS
from regard.papers.every_picture.taxonomy import lin, tree_f1

ROOT = "meaning"
PARTS = {"noun": "n", "verb": "v"}  # of speech, and WordNet's letters


@dataclass(frozen=True, repr=False)
class Taxonomy:
    """A tree of meanings with the words that have them.

    Args:
        parents: meaning -> the meaning above it; the one root has None.
        words: word -> its meaning, beside the meanings' own names.
        counts: word -> how often it occurs, for Lin's similarity; every meaning counts once more.

    Raises: ValueError if a parent or the meaning of a word is none, or the meanings are no tree.
    """

    parents: Mapping[str, str | None]
    words: Mapping[str, str]
    counts: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, others in (("parents", self.parents.values()), ("words", self.words.values())):
            for other in others:
                if other is not None and other not in self.parents:
                    raise ValueError(f"{name}: {other!r} is no meaning of the tree")
        _ = self._agreement  # raises if it is no tree

    def __contains__(self, word: str) -> bool:
        return self._meaning(word) is not None

    def similar(self, word: str, labels: Sequence[str]) -> Tensor:
        """Lin's similarity of a word to each label, `K` in 0..1; of a word that the tree has not, 1 with itself."""
        return self._read(self._similarity, word, labels)

    def agreement(self, word: str, labels: Sequence[str]) -> Tensor:
        """The F1 of the paths of a word and each label, `K` in 0..1; of a word that is not there, 1 with itself."""
        return self._read(self._agreement, word, labels)

    def _read(self, table: Tensor, word: str, labels: Sequence[str]) -> Tensor:
        found = torch.tensor([float(label == word) for label in labels], dtype=table.dtype)
        own = self._meaning(word)
        if own is None:
            return found
        for i, other in enumerate(map(self._meaning, labels)):
            if other is not None:
                found[i] = table[own, other]
        return found

    def _meaning(self, word: str) -> int | None:
        return self._places.get(self.words.get(word, word))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {meaning: place for place, meaning in enumerate(self.parents)}

    @cached_property
    def _above(self) -> Tensor:
        return torch.tensor([-1 if one is None else self._places[one] for one in self.parents.values()])

    @cached_property
    def _similarity(self) -> Tensor:
        counts = torch.ones(len(self.parents), dtype=torch.float64)
        for word, count in self.counts.items():
            place = self._meaning(word)
            if place is not None:
                counts[place] += count
        return lin(self._above, counts).nan_to_num(0.0)

    @cached_property
    def _agreement(self) -> Tensor:
        return tree_f1(self._above)


def drawn(counts: Mapping[str, float] | None = None) -> Taxonomy:
    """The tree of numbers, shapes and colours of drawn scenes; `counts` as for `Taxonomy`."""
    parents: dict[str, str | None] = {ROOT: None, "thing": ROOT, "colour": ROOT, "number": "thing", "shape": "thing"}
    parents |= dict.fromkeys(COLOURS, "colour") | dict.fromkeys(NUMBERS, "number") | dict.fromkeys(SHAPES, "shape")
    return Taxonomy(parents, {other: kind for kind, other in SYNONYMS.items()}, counts or {})


def flat(words: Iterable[str], counts: Mapping[str, float] | None = None) -> Taxonomy:
    """A tree in which all words stand below the root: each is like itself alone; `counts` as for `Taxonomy`."""
    parents: dict[str, str | None] = {f"<{ROOT}>": None}
    return Taxonomy(parents | dict.fromkeys(words, f"<{ROOT}>"), {}, counts or {})


def of_wordnet(
    words: Iterable[str], part: str, *, counts: Mapping[str, float] | None = None, wordnet: Any = None
) -> Taxonomy:
    """The tree above words in WordNet: each word has its first meaning, and each meaning its first path to the root.

    Args:
        words: those that get a meaning, if WordNet has one.
        part: "noun" or "verb".
        counts: as for `Taxonomy`.
        wordnet: NLTK's reader of WordNet; None takes `nltk.corpus.wordnet`.

    Raises: ValueError for another part of speech; LookupError if WordNet's files are not installed.
    """
    letter = PARTS[choice("part", part, tuple(PARTS))]
    reader = installed_wordnet() if wordnet is None else wordnet
    if reader is None:
        raise LookupError("WordNet's files are not installed: nltk.download('wordnet') fetches them")
    parents: dict[str, str | None] = {f"<{ROOT}>": None}
    meanings: dict[str, str] = {}
    for word in words:
        found = reader.synsets(word, pos=letter)
        if not found:
            continue
        above: str = f"<{ROOT}>"
        for meaning in found[0].hypernym_paths()[0]:
            above = _placed(parents, meaning.name(), above)
        meanings[word] = above
    return Taxonomy(parents, meanings, counts or {})


def _placed(parents: dict[str, str | None], meaning: str, above: str) -> str:
    """The meaning, put below the one above it, unless another path has placed it before."""
    parents.setdefault(meaning, above)
    return meaning


def installed_wordnet() -> Any:
    """NLTK's reader of WordNet, or None if its files are not installed."""
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError:
        return None
    return wordnet
