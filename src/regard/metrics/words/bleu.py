"""BLEU of captions, as coco-caption computes it: the smoothing is its own.

BLEU: a Method for Automatic Evaluation of Machine Translation. Papineni, Roukos, Ward, Zhu. ACL 2002,
    doi:10.3115/1073083.1073135.

    p_k = (Σ clipped counts + 1e-15) / (Σ counts + 1e-9)    over all sentences; clipped: at most as often as in one
                                                            reference                                            (1)
    BLEU-n = (p_1 · … · p_n)^(1/n) · min(1, exp(1 − r/c))   c: length of the candidates, r: of the references    (2)

    The length of a sentence's references is the one closest to the candidate's (of two as close, the shorter), the
    shortest, or the average. coco-caption reports the closest.

For translations see `metrics.words.translations`: this is BLEU on tokens, and no sacreBLEU.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regard.checks import choice
from regard.metrics.words.grams import LONGEST, Sentence, grams, paired

LENGTHS = ("closest", "shortest", "average")
SMALL, TINY = 1e-9, 1e-15


class Matches(NamedTuple):
    """What BLEU needs to know of some sentences; adding those of two sets gives that of both.

    Attributes:
        length: words of the candidates.
        wanted: words of the references, by the chosen length.
        counts: n-grams of the candidates, for each n.
        right: those that are in a reference, for each n.
    """

    length: int
    wanted: float
    counts: tuple[int, ...]
    right: tuple[int, ...]

    def score(self) -> tuple[float, ...]:
        """BLEU-1 to BLEU-4, equations (1) and (2)."""
        ratio = (self.length + TINY) / (self.wanted + SMALL)
        brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
        product, found = 1.0, []
        for n, (right, count) in enumerate(zip(self.right, self.counts, strict=True), 1):
            product *= (right + TINY) / (count + SMALL)
            found.append(product ** (1 / n) * brevity)
        return tuple(found)

    def joined(self, other: Matches) -> Matches:
        """Those of both sets of sentences."""
        return Matches(
            self.length + other.length,
            self.wanted + other.wanted,
            tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            tuple(a + b for a, b in zip(self.right, other.right, strict=True)),
        )


NOTHING = Matches(0, 0, (0,) * LONGEST, (0,) * LONGEST)


def matches(candidate: Sentence, references: Iterable[Sentence], length: str = "closest") -> Matches:
    """What BLEU counts in one sentence.

    Args:
        candidate: the words of the sentence.
        references: the words of each reference.
        length: which length of the references counts, of `LENGTHS`.

    Raises: ValueError for another `length`.
    """
    choice("length", length, LENGTHS)
    known = [(len(reference), grams(reference)) for reference in references]
    lengths = [size for size, _ in known]
    if length == "closest":
        wanted: float = min((abs(size - len(candidate)), size) for size in lengths)[1]
    else:
        wanted = min(lengths) if length == "shortest" else sum(lengths) / len(lengths)
    right = [0] * LONGEST
    for gram, count in grams(candidate).items():
        right[len(gram) - 1] += min(count, max(counts[gram] for _, counts in known))
    counts = tuple(max(0, len(candidate) - n) for n in range(LONGEST))
    return Matches(len(candidate), wanted, counts, tuple(right))


def bleu(
    candidates: Iterable[Sentence], references: Iterable[Iterable[Sentence]], *, length: str = "closest"
) -> tuple[float, ...]:
    """BLEU-1 to BLEU-4 of all sentences together, from 0 to 1.

    Args:
        candidates: the words of each sentence.
        references: for each candidate, the words of its references.
        length: which length of the references counts, of `LENGTHS`.

    Raises: ValueError if an argument is no such list, or for another `length`.
    """
    total = NOTHING
    for candidate, known in paired(candidates, references):
        total = total.joined(matches(candidate, known, length))
    return total.score()


def bleu_each(
    candidates: Iterable[Sentence], references: Iterable[Iterable[Sentence]], *, length: str = "closest"
) -> list[tuple[float, ...]]:
    """BLEU-1 to BLEU-4 of every sentence by itself. Arguments and Raises as for `bleu`."""
    return [matches(candidate, known, length).score() for candidate, known in paired(candidates, references)]


def bleu_drawn(
    candidates: Iterable[Sentence], references: Iterable[Iterable[Sentence]], times: NDArray[np.integer]
) -> NDArray[np.float64]:
    """BLEU-1 to BLEU-4 of sets of the sentences, in which each stands several times or not at all.

    Args:
        candidates, references: as for `bleu`.
        times: how often each sentence stands in each set.

    Shapes: times `R N` -> `R 4`.
    """
    found = [matches(candidate, known) for candidate, known in paired(candidates, references)]
    each = np.array([(one.length, one.wanted, *one.counts, *one.right) for one in found], np.float64)
    length, wanted, *counted = (times @ each).T
    counts, right = np.stack(counted[:LONGEST], 1), np.stack(counted[LONGEST:], 1)
    shares = np.cumprod((right + TINY) / (counts + SMALL), 1) ** (1 / np.arange(1, LONGEST + 1))
    ratio = (length + TINY) / (wanted + SMALL)
    brevity = np.exp(np.minimum(0, 1 - 1 / ratio))
    scores: NDArray[np.float64] = shares * brevity[:, None]
    return scores
