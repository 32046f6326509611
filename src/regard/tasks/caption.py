"""Captioning: cross-entropy of the next word as the loss; sentences written by beam search, and scored, as the metric.

Show and Tell: A Neural Image Caption Generator. Vinyals et al. CVPR 2015, arXiv:1411.4555, Section 3.1, and
Rethinking the Inception Architecture for Computer Vision. Szegedy et al. CVPR 2016, arXiv:1512.00567, for ε:

    L = − 1/N Σ_b Σ_l [ (1 − ε) log p(y_bl) + ε/V Σ_v log p_bl(v) ]  +  the network's own penalty on its maps      (1)

    y are the true words and the end, N of them in the batch; padding counts nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from regard.checks import choice, number, positive
from regard.data.batches import Batch
from regard.data.words import Words
from regard.metrics.metric import Measure
from regard.metrics.words.captions import Captions
from regard.networks.captioner import Forced, decode
from regard.ops.beam_search import FINISHED, Hypothesis, Penalty, check_penalty

CIDER = Measure("cider", "CIDEr-D")


@dataclass(frozen=True)
class Caption:
    """Captioning; a batch has the fields that the network sees, `words` with `words_mask`, and `references`.

    Args:
        words: the vocabulary.
        beam: the number of hypotheses with which sentences are written for the metric.
        longest: the most words of such a sentence, the end counted.
        smoothing: ε of equation (1), from 0 to below 1.
        finished, penalty: as for `ops.beam_search.beam_search`.

    Raises: ValueError if an argument is out of range.
    """

    words: Words
    beam: int = 3
    longest: int = 20
    smoothing: float = 0.0
    finished: str = "shrink"
    penalty: Penalty = "none"

    def __post_init__(self) -> None:
        positive("beam", self.beam)
        positive("longest", self.longest)
        if number("smoothing", self.smoothing, least=0) >= 1:
            raise ValueError(f"smoothing={self.smoothing!r}: a number of at least 0 and below 1 is needed")
        choice("finished", self.finished, FINISHED)
        check_penalty(self.penalty)

    @property
    def measure(self) -> Measure:
        return CIDER

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1); with a penalty or a smoothing the figure `entropy` is the cross-entropy without them.

        Shapes: words `B L`, words_mask `bool B L`; the model returns `B L-1 V`.
        Raises: ValueError if the words begin with no start, or the model returns another shape.
        """
        own = bare(model)
        words, mask = batch["words"][:, :-1], batch["words_mask"][:, 1:]
        truth = batch["words"][:, 1:]
        if hasattr(own, "penalty"):
            forced: Forced = model(*seen(own, batch), words, return_maps=True)
            log_probabilities, extra = forced.log_probabilities, own.penalty(forced.maps, mask)
        else:
            log_probabilities, extra = model(*seen(own, batch), words), None
        wanted = (*truth.shape, len(self.words))
        if log_probabilities.shape != wanted:
            raise ValueError(f"the model returns {tuple(log_probabilities.shape)}: B L V of {wanted} are needed")
        entropy = self._mean(-log_probabilities.gather(2, truth[:, :, None]).squeeze(2), mask)
        loss = entropy
        if self.smoothing:
            even = self._mean(-log_probabilities.mean(2), mask)
            loss = (1 - self.smoothing) * entropy + self.smoothing * even
        if extra is not None:
            loss = loss + extra
        return loss, {} if loss is entropy else {"entropy": entropy}

    def metric(self) -> Captions:
        return Captions()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[list[list[str]], list[list[list[str]]]]:
        """The best sentence for each image as words, and its references."""
        found = [best[0] for best in self.hypotheses(model, batch)]
        return [self.words.decode(one.words) for one in found], [list(one) for one in batch["references"]]

    def hypotheses(self, model: nn.Module, batch: Batch) -> list[list[Hypothesis]]:
        """The hypotheses for each image, best first, with their maps."""
        own = bare(model)
        how: dict[str, Any] = {"finished": self.finished, "penalty": self.penalty}
        return decode(own, seen(own, batch), beam=self.beam, longest=self.longest, **how)

    def _mean(self, values: Tensor, mask: Tensor) -> Tensor:
        total: Tensor = (values * mask).sum() / mask.sum()
        return total


def seen(model: Any, batch: Batch) -> list[Tensor | None]:
    """The inputs of a captioner in a batch; a mask that the batch lacks is None.

    Raises: ValueError if another field is missing.
    """
    for name in model.seen:
        if name not in batch and not name.endswith("_mask"):
            raise ValueError(f"the batch has {sorted(batch)}: {name!r} is needed, which the network sees")
    return [batch.get(name) for name in model.seen]


def bare(model: nn.Module) -> Any:
    """The captioner itself, out of `DistributedDataParallel` or a compiled module."""
    found: Any = model
    while not hasattr(found, "seen") and (hasattr(found, "module") or hasattr(found, "_orig_mod")):
        found = found.module if hasattr(found, "module") else found._orig_mod
    if not hasattr(found, "seen"):
        raise ValueError(f"model={type(found).__name__}: a captioner with `seen`, `start` and `step` is needed")
    return found
