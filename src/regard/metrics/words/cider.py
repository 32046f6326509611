"""CIDEr and CIDEr-D of captions.

CIDEr: Consensus-based Image Description Evaluation. Vedantam, Zitnick, Parikh. CVPR 2015, arXiv:1411.5726.
Official code: tylin/coco-caption, whose "CIDEr" is CIDEr-D, and vrama91/cider, which has both.

    g_n(s)_w = count of w in s · (log I − log max(1, df_w))       w: an n-gram; df_w: images with w in a reference;
                                                                  I: images                                        (1)
    CIDEr_n = mean over references r of  g_n(c)·g_n(r) / (|g_n(c)| |g_n(r)|)                                       (2)
    CIDEr-D_n: in (2), min(g_n(c)_w, g_n(r)_w) stands for g_n(c)_w in the product, and each term is multiplied by
        exp(−(l_c − l_r)² / (2 · 6²)), l: the number of bigrams                                                    (3)
    score = 10 · mean of n = 1 … 4                                                                                 (4)

Document frequencies come from the references of the images that are scored, as in coco-caption, or are given: as a
reward in training they have to be those of the training set. Scores over few images cannot be compared with those over
COCO, and those over a single one are 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from regard.checks import positive
from regard.metrics.words.grams import LONGEST, Grams, Sentence, grams, paired

SIGMA = 6.0
Vectors = tuple[tuple[dict[tuple[str, ...], float], ...], tuple[float, ...], int]


@dataclass(frozen=True, repr=False)
class Frequencies:
    """In how many images' references each n-gram occurs.

    Args:
        images: I of equation (1).
        counts: df of equation (1).

    Raises: ValueError if there are no images.
    """

    images: int
    counts: Grams

    def __post_init__(self) -> None:
        positive("images", self.images)

    @classmethod
    def of(cls, references: Iterable[Iterable[Sentence]]) -> Frequencies:
        """Those of the references of each image."""
        counts: Grams = Counter()
        images = 0
        for known in references:
            counts.update({gram for reference in known for gram in grams(reference)})
            images += 1
        return cls(images, counts)

    def weighted(self, found: Grams) -> Vectors:
        """Equation (1) for each n, the lengths of these vectors, and the number of bigrams."""
        vectors: tuple[dict[tuple[str, ...], float], ...] = tuple({} for _ in range(LONGEST))
        squares, bigrams = [0.0] * LONGEST, 0
        whole = math.log(self.images)
        for gram, count in found.items():
            n = len(gram) - 1
            value = count * (whole - math.log(max(1, self.counts[gram])))
            vectors[n][gram] = value
            squares[n] += value**2
            bigrams += count if n == 1 else 0
        return vectors, tuple(map(math.sqrt, squares)), bigrams


def cider_each(
    candidates: Iterable[Sentence], references: Iterable[Iterable[Sentence]], *, df: Frequencies | None = None
) -> list[float]:
    """CIDEr of every sentence: equations (2) and (4), from 0 to 10.

    Args:
        candidates: the words of each sentence.
        references: for each candidate, the words of its references.
        df: document frequencies; None for those of these references.

    Raises: ValueError if an argument is no such list.
    """
    return _each(candidates, references, df, clipped=False)


def cider_d_each(
    candidates: Iterable[Sentence], references: Iterable[Iterable[Sentence]], *, df: Frequencies | None = None
) -> list[float]:
    """CIDEr-D of every sentence: equations (3) and (4), from 0 to 10. Arguments and Raises as for `cider_each`."""
    return _each(candidates, references, df, clipped=True)


def cider(
    candidates: Iterable[Sentence], references: Iterable[Iterable[Sentence]], *, df: Frequencies | None = None
) -> float:
    """The mean of `cider_each`: the CIDEr of the paper, which few papers report."""
    found = cider_each(candidates, references, df=df)
    return sum(found) / len(found)


def cider_d(
    candidates: Iterable[Sentence], references: Iterable[Iterable[Sentence]], *, df: Frequencies | None = None
) -> float:
    """The mean of `cider_d_each`: what coco-caption, and with it most papers, call CIDEr."""
    found = cider_d_each(candidates, references, df=df)
    return sum(found) / len(found)


def _each(
    candidates: Iterable[Sentence],
    references: Iterable[Iterable[Sentence]],
    df: Frequencies | None,
    *,
    clipped: bool,
) -> list[float]:
    pairs = paired(candidates, references)
    df = df or Frequencies.of(known for _, known in pairs)
    found = []
    for candidate, known in pairs:
        written = df.weighted(grams(candidate))
        found.append(_similarity(written, [df.weighted(grams(one)) for one in known], clipped=clipped))
    return found


def _similarity(written: Vectors, references: Sequence[Vectors], *, clipped: bool) -> float:
    """Equations (2) to (4) of one sentence."""
    vectors, lengths, bigrams = written
    total = 0.0
    for others, theirs, their_bigrams in references:
        penalty = math.exp(-((bigrams - their_bigrams) ** 2) / (2 * SIGMA**2)) if clipped else 1.0
        for mine, other, length, their_length in zip(vectors, others, lengths, theirs, strict=True):
            # An n-gram that the reference lacks adds nothing; weights are negative only where one is in more images
            # than there are.
            product = sum(
                (min(value, other[gram]) if clipped else value) * other[gram]
                for gram, value in mine.items()
                if gram in other
            )
            if length and their_length:
                total += penalty * product / (length * their_length)
    return 10 * total / (LONGEST * len(references))
