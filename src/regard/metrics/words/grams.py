"""Counts of n-grams, and the checks of what scores of sentences are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

LONGEST = 4  # words of an n-gram, in BLEU and CIDEr

Sentence = Sequence[str]
Grams = Counter[tuple[str, ...]]


def grams(words: Sentence, longest: int = LONGEST) -> Grams:
    """How often each run of 1 to `longest` words occurs."""
    return Counter(
        tuple(words[at : at + size]) for size in range(1, longest + 1) for at in range(len(words) - size + 1)
    )


def paired(
    candidates: Iterable[Sentence], references: Iterable[Iterable[Sentence]]
) -> list[tuple[Sentence, list[Sentence]]]:
    """Each candidate with its references.

    Raises: ValueError if there are not as many lists of references as candidates, none at all, a candidate without a
        reference, or a text in place of its words.
    """
    written, known = list(candidates), [list(several) for several in references]
    if len(written) != len(known) or not written:
        raise ValueError(
            f"{len(written)} candidates and the references of {len(known)}: as many of both are needed, at least one"
        )
    for place, (candidate, several) in enumerate(zip(written, known, strict=True)):
        if not several:
            raise ValueError(f"candidate {place} has no reference: at least one is needed")
        for sentence in (candidate, *several):
            if isinstance(sentence, str):
                raise ValueError(f"{sentence[:50]!r}: a list of words is needed, not a text")
    return list(zip(written, known, strict=True))
