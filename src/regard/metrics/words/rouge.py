"""ROUGE-L of captions, as coco-caption computes it.

ROUGE: A Package for Automatic Evaluation of Summaries. Lin. ACL workshop 2004, aclanthology.org/W04-1013.

    P = max_r lcs(c, r) / |c|      R = max_r lcs(c, r) / |r|      the two maxima may be of two references         (1)
    F = (1 + β²) P R / (R + β² P), β = 1.2; 0 where nothing is in common                                          (2)

    lcs is the length of the longest common subsequence.
"""

from __future__ import annotations

from collections.abc import Iterable

from regard.metrics.words.grams import Sentence, paired

BETA = 1.2


def common(a: Sentence, b: Sentence) -> int:
    """The length of the longest common subsequence of two sentences."""
    before = [0] * (len(b) + 1)
    for word in a:
        now = [0]
        for at, other in enumerate(b):
            now.append(before[at] + 1 if word == other else max(before[at + 1], now[at]))
        before = now
    return before[-1]


def rouge_l_each(candidates: Iterable[Sentence], references: Iterable[Iterable[Sentence]]) -> list[float]:
    """Equation (2) of every sentence, from 0 to 1.

    Args:
        candidates: the words of each sentence.
        references: for each candidate, the words of its references.

    Raises: ValueError if an argument is no such list.
    """
    return [_score(candidate, known) for candidate, known in paired(candidates, references)]


def rouge_l(candidates: Iterable[Sentence], references: Iterable[Iterable[Sentence]]) -> float:
    """The mean of `rouge_l_each`."""
    found = rouge_l_each(candidates, references)
    return sum(found) / len(found)


def _score(candidate: Sentence, references: list[Sentence]) -> float:
    found = [common(candidate, reference) for reference in references]
    precision = max(found) / max(len(candidate), 1)
    recall = max(lcs / max(len(one), 1) for lcs, one in zip(found, references, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)
