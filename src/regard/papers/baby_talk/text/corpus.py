"""What a corpus of sentences says by itself: the words of a grammar, and how well a language model foretells others.

Baby Talk: Understanding and Generating Simple Image Descriptions. Kulkarni et al. PAMI 2013, Section 5: the paper takes
its words from its detectors, and counts how often they stand together in descriptions. Here the words can be those of
the corpus: its commonest nouns, the commonest words before nouns, and those of given prepositions that it has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from regard.checks import positive
from regard.data.phrases import CLOSED, Lexicon
from regard.papers.baby_talk.text.language import NGrams
from regard.papers.baby_talk.text.triples import Grammar


def grammar_of(
    sentences: Sequence[Sequence[str]], prepositions: Iterable[str], *, objects: int = 100, attributes: int = 50
) -> Grammar:
    """The grammar of a corpus; plural and singular are one object.

    Args:
        sentences: the tokens of each.
        prepositions: those that are known, of one word; those of the paper are the keys of `prepositions.FUNCTIONS`.
        objects: the number of objects: the commonest heads of phrases, see `data.phrases`.
        attributes: the number of attributes: the commonest words before heads; a word is an object or an attribute,
            whichever it is more often.

    Raises: ValueError if a number is not positive, or the corpus has no object, attribute or preposition.
    """
    lexicon = Lexicon.of(sentences)
    heads: Counter[str] = Counter()
    before: Counter[str] = Counter()
    for tokens in sentences:
        for phrase in lexicon.read(tokens):
            heads[phrase.head] += 1
            before.update(phrase.modifiers)
    nouns = {word: count for word, count in heads.items() if count > before[word] and word not in CLOSED}
    others = {word: n for word, n in before.items() if n >= heads[word] and word not in lexicon.singular}
    chosen = _commonest(nouns, positive("objects", objects))
    plurals = {word: one for word, one in lexicon.singular.items() if one in chosen}
    there = {token for tokens in sentences for token in tokens}
    return Grammar(
        objects={word: word for word in chosen} | {word: one for word, one in plurals.items() if word not in chosen},
        attributes={word: word for word in _commonest(others, positive("attributes", attributes))},
        prepositions={word: word for word in prepositions if word in there},
    )


def perplexity(model: NGrams, sentences: Iterable[Sequence[str]], *, order: int = 3) -> float:
    """How many words a model would have to guess among, on average, at each word and at the end: exp(−mean log p).

    Args:
        model: the language model.
        sentences: the tokens of each, which it was not made of.
        order: 3 for the whole model, 1 for its words without their context.

    Raises: ValueError if there is no sentence, or for another order.
    """
    total, count = 0.0, 0
    for tokens in sentences:
        total += model.score(tokens, order=order)
        count += len(tokens) + 1
    if not count:
        raise ValueError("sentences: at least one is needed")
    return math.exp(-total / count)


def _commonest(counts: dict[str, int], most: int) -> list[str]:
    """The words by falling count, those of one count by the alphabet."""
    return sorted(counts, key=lambda word: (-counts[word], word))[:most]
