"""A drawn parallel corpus: English clauses and their translation into a language that was made up, word by word known.

Its order is another one: the verb stands last, adjectives behind their nouns, prepositions behind their phrases, and
of two clauses the second comes first. Articles have no translation, an object has a marker, names and numbers stay as
they are. Every target word is the translation of one source word, and so the true alignment is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator

from regard.checks import positive
from regard.ops.seeds import mixed

NOUNS = {
    "dog": "kanu", "cat": "felo", "man": "viro", "woman": "damo", "child": "ido", "bird": "avo",
    "horse": "cevo", "car": "veturo", "boat": "sipo", "house": "domo", "tree": "lino", "ball": "globo",
}  # fmt: skip
ADJECTIVES = {
    "red": "ruga", "green": "verda", "small": "eta", "big": "granda", "old": "olda", "young": "yuna",
    "wet": "malka", "quick": "rapa",
}  # fmt: skip
VERBS = {
    "sees": "vidas", "carries": "portas", "follows": "sekvas", "paints": "pentras", "finds": "trovas",
    "washes": "lavas", "likes": "amas", "pulls": "tiras",
}  # fmt: skip
PREPOSITIONS = {"near": "apude", "behind": "malante", "under": "sube", "with": "kune"}
JOINTS = {"while": "dum", "because": "car", "before": "antau"}
NAMES = ("Anna", "Ben", "Clara", "Emil", "Ida", "Otto")
ARTICLES = ("the", "a")
OBJECT = "on"  # the marker behind an object, aligned to the noun before it


class Drawn(NamedTuple):
    """A drawn pair.

    Attributes:
        source, target: the texts.
        alignment: for each token of the target the number of the source token that it translates.
    """

    source: str
    target: str
    alignment: tuple[int, ...]


class _Side(NamedTuple):
    """The source words of a phrase, and of its translation each word with the place of its source word."""

    words: list[str]
    translated: list[tuple[str, int]]


def drawn_pairs(count: int, *, seed: int = 0) -> list[Drawn]:
    """Draws pairs of sentences of 5 to 26 tokens: a function of its arguments only.

    Args:
        count: the number of pairs.
        seed: of the draws.

    Raises: ValueError if `count` is not positive.
    """
    positive("count", count)
    generator = Generator().manual_seed(mixed("drawn pairs", seed))
    return [_sentence(generator) for _ in range(count)]


def _sentence(generator: Generator) -> Drawn:
    words, translated = _clause(generator)
    if _chance(generator, 0.4):
        joint, second, at = _one(list(JOINTS), generator), _clause(generator), len(words)
        words = [*words, joint, *second.words]
        translated = [*_moved(second.translated, at + 1), (JOINTS[joint], at), *translated]
    words, translated = [*words, "."], [*translated, (".", len(words))]
    text, other = " ".join(words), " ".join(word for word, _ in translated)
    return Drawn(text.replace(" .", "."), other.replace(" .", "."), tuple(place for _, place in translated))


def _clause(generator: Generator) -> _Side:
    """Subject, verb, object and perhaps a place; translated as subject, place, object with its marker, verb."""
    subject = _phrase(generator)
    verb = _one(list(VERBS), generator)
    thing = _phrase(generator)
    words = [*subject.words, verb, *thing.words]
    at = len(subject.words)
    objects = _moved(thing.translated, at + 1)
    place: list[tuple[str, int]] = []
    if _chance(generator, 0.4):
        preposition = _one(list(PREPOSITIONS), generator)
        ground = _phrase(generator)
        place = [*_moved(ground.translated, len(words) + 1), (PREPOSITIONS[preposition], len(words))]
        words = [*words, preposition, *ground.words]
    marker = (OBJECT, objects[0][1])
    return _Side(words, [*subject.translated, *place, *objects, marker, (VERBS[verb], at)])


def _phrase(generator: Generator) -> _Side:
    """A name; or an article or a number, up to two adjectives, and a noun, which is translated first."""
    if _chance(generator, 0.25):
        name = _one(NAMES, generator)
        return _Side([name], [(name, 0)])
    number = _chance(generator, 0.3)
    first = str(_draw(generator, 10, 100)) if number else _one(ARTICLES, generator)
    adjectives = [_one(list(ADJECTIVES), generator) for _ in range(_draw(generator, 0, 3))]
    noun = _one(list(NOUNS), generator)
    words = [first, *adjectives, noun]
    translated = [(NOUNS[noun], len(words) - 1)]
    translated += [(ADJECTIVES[word], i) for i, word in reversed(list(enumerate(adjectives, 1)))]
    return _Side(words, [*translated, *([(first, 0)] if number else [])])


def _moved(translated: list[tuple[str, int]], by: int) -> list[tuple[str, int]]:
    return [(word, place + by) for word, place in translated]


def _draw(generator: Generator, least: int, below: int) -> int:
    return int(torch.randint(least, below, (), generator=generator))


def _one(words: Sequence[str], generator: Generator) -> str:
    return words[_draw(generator, 0, len(words))]


def _chance(generator: Generator, share: float) -> bool:
    return bool(torch.rand((), generator=generator) < share)
