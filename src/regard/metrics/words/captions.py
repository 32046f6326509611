"""Scores of captions over a dataset, streamed: CIDEr-D, BLEU-1 to BLEU-4 and ROUGE-L.

The scores, and the names of what is scored, are coco-caption's: `cider` is CIDEr-D. CIDEr-D weighs words by the
references of all images, so that the words of candidates and references are kept until `compute`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from regard.metrics.words.bleu import bleu, bleu_drawn, bleu_each
from regard.metrics.words.cider import Frequencies, cider_d_each
from regard.metrics.words.grams import Sentence, paired
from regard.metrics.words.rouge import rouge_l_each


class Captions:
    """CIDEr-D, BLEU and ROUGE-L of sentences, one for each image, against the references of the image.

    `update` takes sentences and references as words, as `tokens.tokenise` gives them. `compute` gives `cider`
    (CIDEr-D, from 0 to 10), `bleu_1` … `bleu_4`, `rouge_l` (from 0 to 1) and `length`, the mean number of words.

    Args:
        df: document frequencies of CIDEr-D; None for those of the references of all updates.

    Raises: ValueError, in `update`, if there are not as many lists of references as sentences, or one is empty; in
        `compute`, if there was no update.
    """

    def __init__(self, df: Frequencies | None = None) -> None:
        self.df = df
        self.reset()

    def reset(self) -> None:
        """Removes all sentences."""
        self.sentences: list[list[str]] = []
        self.references: list[list[list[str]]] = []

    def update(self, sentences: Iterable[Sentence], references: Iterable[Iterable[Sentence]]) -> None:
        """Adds sentences, as words, and for each the references of its image."""
        for sentence, known in paired(sentences, references):
            self.sentences.append(list(sentence))
            self.references.append([list(reference) for reference in known])

    def merge_state(self, incoming_state: Captions) -> None:
        """Adds the sentences of another metric."""
        self.sentences += incoming_state.sentences
        self.references += incoming_state.references

    def compute(self) -> dict[str, float]:
        if not self.sentences:
            raise ValueError("no sentences: at least one is needed to compute scores")
        cider, rouge = (self._mean(self.each()[name]) for name in ("cider", "rouge_l"))
        scores = dict(zip(BLEU, bleu(self.sentences, self.references), strict=True))
        return {"cider": cider, **scores, "rouge_l": rouge, "length": self._mean([*map(len, self.sentences)])}

    def each(self) -> dict[str, list[float]]:
        """The scores of every sentence, for intervals: `cider`, `bleu_1` … `bleu_4` and `rouge_l`."""
        several = zip(*bleu_each(self.sentences, self.references), strict=True)
        return {
            "cider": cider_d_each(self.sentences, self.references, df=self.df),
            **{name: list(values) for name, values in zip(BLEU, several, strict=True)},
            "rouge_l": rouge_l_each(self.sentences, self.references),
        }

    def drawn(self, times: NDArray[np.integer]) -> dict[str, NDArray[np.float64]]:
        """The scores of sets of the images, for a bootstrap: those of `compute` without `length`.

        CIDEr-D keeps the document frequencies of all images.

        Args:
            times: how often each image stands in each set.

        Shapes: times `R N` -> `R` of each score.
        """
        weights = times / times.sum(1, keepdims=True)
        cider = np.array(cider_d_each(self.sentences, self.references, df=self.df))
        rouge = np.array(rouge_l_each(self.sentences, self.references))
        several = bleu_drawn(self.sentences, self.references, times).T
        return {"cider": weights @ cider, **dict(zip(BLEU, several, strict=True)), "rouge_l": weights @ rouge}

    def _mean(self, values: Sequence[float]) -> float:
        return sum(values) / len(values)


BLEU = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")
