"""What sentences say as triples of an object, a preposition and an object, and what is likely by a corpus of them.

Baby Talk: Understanding and Generating Simple Image Descriptions. Kulkarni et al. CVPR 2011 and PAMI 2013,
doi:10.1109/TPAMI.2012.162, Section 5: potentials from text. The paper parses descriptions; here the words of a grammar
are found in their order: [attribute] object … preposition … [attribute] object, with only words between that are none
of the three. A preposition may have several words; the longest that fits is taken.

    ψ(a, o; text)     = log (n(a, o) + λ) / Σ_a' (n(a', o) + λ)                                      (1)
    ψ(o, p, o'; text) = log (n(o, p, o') + λ) / Σ_p' (n(o, p', o') + λ)                              (2)
    noun prior        = log (n(o) + λ) / Σ_o' (n(o') + λ)                                            (3)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from regard.checks import number
from regard.papers.baby_talk.text.templates import Thing, Triple


@dataclass(frozen=True)
class Grammar:
    """The words of objects, attributes and prepositions; several words may mean one.

    Args:
        objects: word -> the object.
        attributes: word -> the attribute.
        prepositions: phrase, its words separated by spaces -> the preposition.

    Raises: ValueError if one of them is empty.
    """

    objects: Mapping[str, str]
    attributes: Mapping[str, str]
    prepositions: Mapping[str, str]
    names: tuple[tuple[str, ...], ...] = field(init=False)
    _longest: int = field(init=False, repr=False)  # words of a preposition

    def __post_init__(self) -> None:
        tables = {"objects": self.objects, "attributes": self.attributes, "prepositions": self.prepositions}
        for name, table in tables.items():
            if not table:
                raise ValueError(f"{name}={dict(table)!r}: at least one word is needed")
        object.__setattr__(self, "names", tuple(tuple(dict.fromkeys(table.values())) for table in tables.values()))
        object.__setattr__(self, "_longest", max(len(phrase.split()) for phrase in self.prepositions))

    def read(self, tokens: Sequence[str]) -> tuple[list[Thing], list[Triple]]:
        """The objects of a sentence with their attributes, and the triples, in their order."""
        things: list[Thing] = []
        triples: list[Triple] = []
        attribute: str | None = None
        joining: str | None = None
        at = 0
        while at < len(tokens):
            phrase = self._phrase(tokens, at)
            if phrase:
                joining, attribute = self.prepositions[" ".join(phrase)], None
                at += len(phrase)
                continue
            word = tokens[at]
            if word in self.attributes:
                attribute = self.attributes[word]
            elif word in self.objects:
                thing = (attribute, self.objects[word])
                if things and joining:
                    triples.append((things[-1], joining, thing))
                things.append(thing)
                attribute, joining = None, None
            at += 1
        return things, triples

    def _phrase(self, tokens: Sequence[str], at: int) -> Sequence[str]:
        """The longest preposition that begins here; empty if there is none."""
        for count in range(min(self._longest, len(tokens) - at), 0, -1):
            if " ".join(tokens[at : at + count]) in self.prepositions:
                return tokens[at : at + count]
        return ()


class Priors(NamedTuple):
    """Potentials of text, in float32: objects `K`, attributes `K A`, prepositions `K P K`."""

    objects: Tensor
    attributes: Tensor
    prepositions: Tensor


def priors(grammar: Grammar, sentences: Iterable[Sequence[str]], *, smoothing: float = 1.0) -> Priors:
    """Equations (1) to (3) from tokenised sentences.

    Args:
        grammar: the words.
        sentences: the tokens of each.
        smoothing: λ.

    Raises: ValueError if λ is not positive.
    """
    number("smoothing", smoothing, above=0)
    objects, attributes, prepositions = ({name: i for i, name in enumerate(names)} for names in grammar.names)
    nouns = torch.full((len(objects),), smoothing)
    of_attributes = torch.full((len(objects), len(attributes)), smoothing)
    of_prepositions = torch.full((len(objects), len(prepositions), len(objects)), smoothing)
    for tokens in sentences:
        things, triples = grammar.read(tokens)
        for attribute, name in things:
            nouns[objects[name]] += 1
            if attribute:
                of_attributes[objects[name], attributes[attribute]] += 1
        for (_, one), word, (_, other) in triples:
            of_prepositions[objects[one], prepositions[word], objects[other]] += 1
    return Priors(
        (nouns / nouns.sum()).log(),
        (of_attributes / of_attributes.sum(1, keepdim=True)).log(),
        (of_prepositions / of_prepositions.sum(1, keepdim=True)).log(),
    )


class Agreement(NamedTuple):
    """How far found triples are the true ones: precision, recall and their harmonic mean F1, each in 0..1."""

    precision: float
    recall: float
    f1: float


def agreement(found: Sequence[Iterable[Triple]], true: Sequence[Iterable[Triple]]) -> Agreement:
    """Precision, recall and F1 of the triples of several images together.

    Raises: ValueError if there are not as many images in both.
    """
    pairs = [(set(one), set(other)) for one, other in zip(found, true, strict=True)]
    both = sum(len(one & other) for one, other in pairs)
    precision = both / max(sum(len(one) for one, _ in pairs), 1)
    recall = both / max(sum(len(other) for _, other in pairs), 1)
    return Agreement(precision, recall, 2 * precision * recall / max(precision + recall, 1e-12))
