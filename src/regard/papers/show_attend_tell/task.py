"""Captioning by hard attention: the words' cross-entropy, and the score function for the places that were drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regard.checks import flag, number
from regard.data.batches import Batch
from regard.papers.show_attend_tell.choosing import moved, score_function
from regard.tasks.caption import Caption, bare, seen


@dataclass(frozen=True)
class HardCaption(Caption):
    """Captioning, of a network whose attention is hard; see `choosing` for how it learns.

    The weight of the score function to the cross-entropy is the released code's, which divides the latter by the
    captions of a batch and not the former. The baseline is a buffer of the network, and moves in training.

    Args:
        entropy: γ.
        summed: score with the mean cost of a caption against the baseline, rather than with each word's own cost.

    Raises: ValueError if an argument is out of range, or words are smoothed.
    """

    entropy: float = 0.002
    summed: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        number("entropy", self.entropy, least=0), flag("summed", self.summed)
        if self.smoothing:
            raise ValueError(f"smoothing={self.smoothing!r}: 0 is needed in hard attention")

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The mean cost of a word, and what gives α its gradient.

        Shapes: words `B L`, words_mask `bool B L`.
        Raises: ValueError if the network's attention is soft.
        """
        own = bare(model)
        if not getattr(own, "hard", False):
            raise ValueError("hard=False: a network with hard=True is needed")
        words, mask, truth = batch["words"][:, :-1], batch["words_mask"][:, 1:], batch["words"][:, 1:]
        forced = model(*seen(own, batch), words, return_maps=True)
        costs = -forced.log_probabilities.gather(2, truth[..., None]).squeeze(2) * mask
        entropy = costs.sum() / mask.sum()
        learned = score_function(
            forced.maps["attention"].flatten(2),
            forced.maps["choice"].flatten(2),
            costs,
            own.baseline,
            entropy=self.entropy,
            summed=self.summed,
            mask=mask,
        )
        if own.training:
            with torch.no_grad():
                own.baseline.copy_(moved(own.baseline, costs, mask))
        learned = learned * len(words) / mask.sum()
        return entropy + learned - learned.detach(), {"baseline": own.baseline.clone()}
