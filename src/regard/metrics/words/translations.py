"""BLEU and chrF of translations over a dataset, by sacrebleu, streamed.

A Call for Clarity in Reporting BLEU Scores. Post. WMT 2018, arXiv:1804.08771. Hypotheses and references are texts, not
tokens: sacrebleu has its own tokens (13a), and BLEU on others is not the same number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from regard.checks import flag


class Translations:
    """BLEU and chrF of translations.

    `update` takes the texts of a batch and for each its references, as many for every sentence. `compute` gives `bleu`
    and `chrf`, both from 0 to 100, and `length`, the hypotheses' words over the references'.

    Args:
        lowercase: scores without regard to capitals.

    Attributes:
        signature: what sacrebleu says of how BLEU was computed; it belongs beside every number.

    Raises: ValueError, in `update`, if there are not as many lists of references as texts, or lists differ in length;
        in `compute`, if there was no update.
    """

    def __init__(self, *, lowercase: bool = False) -> None:
        self.lowercase = flag("lowercase", lowercase)
        self.reset()

    def reset(self) -> None:
        """Removes all texts."""
        self.texts: list[str] = []
        self.references: list[list[str]] = []

    def update(self, texts: Iterable[str], references: Iterable[Sequence[str]]) -> None:
        """Adds translations and the references of each."""
        found, known = list(texts), [list(several) for several in references]
        if len(found) != len(known):
            raise ValueError(f"references: {len(known)} lists for {len(found)} texts; one for each is needed")
        for several in known:
            wanted = len((self.references or known)[0])
            if len(several) != wanted or not several:
                raise ValueError(
                    f"references: {len(several)} of a text; {wanted or 'at least 1'} of every one are needed"
                )
        self.texts += found
        self.references += known

    def merge_state(self, incoming_state: Translations) -> None:
        """Adds the texts of another metric."""
        self.texts += incoming_state.texts
        self.references += incoming_state.references

    @property
    def signature(self) -> str:
        bleu = self._bleu()
        bleu.corpus_score(["a"], [["a"] for _ in (self.references or [[""]])[0]])
        return str(bleu.get_signature())

    def compute(self) -> dict[str, float]:
        if not self.texts:
            raise ValueError("no texts: at least one is needed to compute scores")
        sides = [list(side) for side in zip(*self.references, strict=True)]
        found = self._bleu().corpus_score(self.texts, sides)
        chrf = CHRF(lowercase=self.lowercase).corpus_score(self.texts, sides)
        return {"bleu": found.score, "chrf": chrf.score, "length": found.sys_len / max(found.ref_len, 1)}

    def drawn(self, times: NDArray[np.integer]) -> dict[str, NDArray[np.float64]]:
        """BLEU of sets of the sentences, for a bootstrap.

        Args:
            times: how often each sentence stands in each set.

        Shapes: times `R N` -> `bleu`, `R`.
        """
        metric = BLEU(lowercase=self.lowercase, effective_order=True)  # of one sentence only its counts are used
        found = [metric.sentence_score(text, known) for text, known in zip(self.texts, self.references, strict=True)]
        each = np.array([(*one.counts, *one.totals, one.sys_len, one.ref_len) for one in found], np.int64)
        orders = (each.shape[1] - 2) // 2
        scores = [
            BLEU.compute_bleu(row[:orders], row[orders:-2], row[-2], row[-1], smooth_method="exp").score
            for row in (times @ each).tolist()
        ]
        return {"bleu": np.array(scores)}

    def _bleu(self) -> BLEU:
        return BLEU(lowercase=self.lowercase)
