"""Self-critical captioning: a drawn sentence is rewarded by how much better it scores than the greedy one.

Self-critical Sequence Training for Image Captioning. Rennie, Marcheret, Mroueh, Ross, Goel. CVPR 2017,
arXiv:1612.00563:

    L = − Σ_b (r(y_b) − r(ŷ_b)) Σ_l log p(y_bl) / number of words                                                  (1)

    y is drawn from the network, ŷ its greedy sentence, r CIDEr-D with the document frequencies of the training
    references. The number of words counts the ends.

The end counts as a word of the sentences and the references in r: without it a sentence that stops after "a" loses
nothing by its end, and about a third of the sentences learn to (ruotianluo/self-critical.pytorch, issue 283).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from regard.checks import flag
from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.metrics.words.captions import Captions
from regard.metrics.words.cider import Frequencies, cider_d_each
from regard.networks.captioner import decode, sample
from regard.ops.words import END, SPECIAL
from regard.tasks.caption import Caption, bare, seen

Sentence = Sequence[str]


@dataclass(frozen=True)
class SelfCritical:
    """The self-critical loss; batches are those of `caption`, which also scores the network.

    Args:
        caption: the task of the cross-entropy, with the vocabulary and how sentences are written for the metric.
        frequencies: those of the training references, from `frequencies`.
        ends: the end counts as a word, in the frequencies too.

    Raises: ValueError if `ends` is not a bool.
    """

    caption: Caption
    frequencies: Frequencies = field(repr=False)
    ends: bool = True

    def __post_init__(self) -> None:
        flag("ends", self.ends)

    @property
    def measure(self) -> Measure:
        return self.caption.measure

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1), and the figures `reward`, the mean of r(y), and `baseline`, that of r(ŷ).

        Sentences are drawn from torch's random numbers, in the mode of the model; the greedy ones in evaluation mode.
        """
        own = bare(model)
        inputs, longest = seen(own, batch), self.caption.longest
        greedy = [best[0].words for best in decode(own, inputs, beam=1, longest=longest)]
        drawn = sample(own, inputs, longest=longest)
        kept = [row[mask].tolist() for row, mask in zip(drawn.words, drawn.mask, strict=True)]
        rewards = [self.rewards(words, batch["references"]) for words in (kept, greedy)]
        gain = drawn.log_probabilities.new_tensor(rewards[0]) - drawn.log_probabilities.new_tensor(rewards[1])
        loss = rewarded(drawn.log_probabilities, gain[:, None].expand_as(drawn.words), drawn.mask)
        means = [loss.new_tensor(values).mean() for values in rewards]
        return loss, {"reward": means[0], "baseline": means[1]}

    def rewards(self, sentences: Sequence[Sequence[int]], references: Sequence[Sequence[Sentence]]) -> list[float]:
        """CIDEr-D of sentences, as numbers of words, each against the references of its image."""
        tokens = [self._ended(self.caption.words.decode(words), END in words) for words in sentences]
        known = [[self._ended(one, True) for one in several] for several in references]
        return cider_d_each(tokens, known, df=self.frequencies)

    def _ended(self, tokens: Sentence, ended: bool) -> list[str]:
        return [*tokens, SPECIAL[END]] if ended and self.ends else list(tokens)

    def metric(self) -> Captions:
        return self.caption.metric()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[list[list[str]], list[list[list[str]]]]:
        """The best sentence for each image as words, and its references."""
        return self.caption.answers(model, batch)


def frequencies(references: Iterable[Iterable[Sentence]], *, ends: bool = True) -> Frequencies:
    """The document frequencies of the references of each image, the end a word of each with `ends`."""
    end = [SPECIAL[END]] if flag("ends", ends) else []
    return Frequencies.of([[*one, *end] for one in several] for several in references)


def rewarded(log_probabilities: Tensor, reward: Tensor, mask: Tensor, *, each: bool = False) -> Tensor:
    """− Σ reward · log p over the words, divided by their number; with `each` for every sentence.

    Shapes: all `B L` -> a number, or `B`.
    """
    losses, counted = -log_probabilities * reward * mask, mask.to(log_probabilities.dtype)
    if each:
        return losses.sum(1) / counted.sum(1)
    total: Tensor = torch.sum(losses) / counted.sum()
    return total
