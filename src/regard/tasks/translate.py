"""Translation: cross-entropy of the next word as the loss; sentences written by beam search, and scored, as the metric.

The loss is that of `tasks.caption`, with the label smoothing of the Transformer, Section 5.4 of arXiv:1706.03762, as
its official code and torch compute it: (1 − ε) on the true word, and ε/V on every word, the true one included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from regard.checks import flag
from regard.data.batches import Batch
from regard.data.sentence_pairs import joined
from regard.data.words import Words
from regard.metrics.metric import Measure
from regard.metrics.words.translations import Translations
from regard.ops.beam_search import Hypothesis, Penalty
from regard.tasks.caption import Caption

BLEU = Measure("bleu", "BLEU")


@dataclass(frozen=True)
class Translate:
    """Translation; a batch has `source` and `words` with their masks, and `references`, the texts of the translations.

    Args:
        words: the target vocabulary.
        beam: the number of hypotheses with which sentences are written for the metric.
        longest: the most words of such a sentence, the end counted.
        smoothing: ε, from 0 to below 1.
        penalty: as for `ops.beam_search.beam_search`; the Transformer's is ("wu", 0.6).
        lower: scores without regard to capitals.

    Raises: ValueError if an argument is out of range.
    """

    words: Words
    beam: int = 5
    longest: int = 60
    smoothing: float = 0.0
    penalty: Penalty = "average"
    lower: bool = False

    def __post_init__(self) -> None:
        flag("lower", self.lower)
        self._writing()

    @property
    def measure(self) -> Measure:
        return BLEU

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The mean over the words of a batch; with smoothing the figure `entropy` is the cross-entropy without it.

        Shapes: source `B T`, words `B L`; the model returns log-probabilities `B L-1 V`.
        Raises: ValueError if the model returns another shape.
        """
        return self._writing().loss(model, batch)

    def metric(self) -> Translations:
        return Translations(lowercase=self.lower)

    def answers(self, model: nn.Module, batch: Batch) -> tuple[list[str], list[list[str]]]:
        """The best translation of each sentence as a text, and its references."""
        found = [best[0] for best in self.hypotheses(model, batch)]
        return [joined(self.words.decode(one.words)) for one in found], [list(one) for one in batch["references"]]

    def hypotheses(self, model: nn.Module, batch: Batch) -> list[list[Hypothesis]]:
        """The hypotheses for each sentence, best first, with their alignments."""
        return self._writing().hypotheses(model, batch)

    def _writing(self) -> Caption:
        """The task of which this one differs in its metric only."""
        return Caption(self.words, self.beam, self.longest, self.smoothing, penalty=self.penalty)
