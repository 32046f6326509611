"""Answering questions about images: a logistic loss on the score of every answer; VQA accuracy as the metric.

Bottom-Up and Top-Down Attention for Image Captioning and Visual Question Answering. Anderson et al. CVPR 2018,
arXiv:1707.07998, Section 3.3:

    L = − 1/B Σ_b Σ_a [ s_ba log σ(l_ba) + (1 − s_ba) log(1 − σ(l_ba)) ]                                           (1)

    s is the soft score of each of A answers, l its logit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import positive
from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.metrics.words.answered import ACCURACY, Answered
from regard.ops.precision import widened
from regard.tasks.caption import bare, seen


@dataclass(frozen=True)
class Answer:
    """Answering questions; a batch has the fields that the network sees, `question` and `answers`.

    `question_mask`, if there is one, is given to the network; `answer_type` of the questions, if there is one, sorts
    the accuracy.

    Args:
        choices: A, the number of answers to choose from.

    Raises: ValueError if it is not positive.
    """

    choices: int

    def __post_init__(self) -> None:
        positive("choices", self.choices)

    @property
    def measure(self) -> Measure:
        return ACCURACY

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1), in float32 or wider, and the figure `score`, that of the likeliest answers.

        Shapes: question `B T`, answers `B A`; the model returns `B A`.
        Raises: ValueError if the model or the batch has another shape, or a field is missing.
        """
        logits = self.logits(model, batch)
        scores = batch["answers"].to(logits.dtype)
        loss = F.binary_cross_entropy_with_logits(logits, scores) * self.choices
        return loss, {"score": chosen(logits.detach(), scores).mean()}

    def metric(self) -> Answered:
        return Answered()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[list[float], list[str]]:
        """The score of the likeliest answer to each question, and the question's type."""
        scores = chosen(self.logits(model, batch), batch["answers"].double())
        return scores.clamp(0, 1).tolist(), list(batch.get("answer_type", [""] * batch.size))

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """The logits, `B A`. Raises: ValueError as `loss`."""
        own = bare(model)
        for name in ("question", "answers"):
            if name not in batch:
                raise ValueError(f"the batch has {sorted(batch)}: {name!r} is needed")
        logits = model(*seen(own, batch), batch["question"], batch.get("question_mask"))
        wanted = (batch["question"].shape[0], self.choices)
        if logits.shape != wanted or batch["answers"].shape != wanted:
            raise ValueError(
                f"the model returns {tuple(logits.shape)}, and the batch has scores {tuple(batch['answers'].shape)}: "
                f"{wanted} are needed"
            )
        return widened(logits)


def chosen(logits: Tensor, scores: Tensor) -> Tensor:
    """The scores of the likeliest answers: `B A`, `B A` -> `B`."""
    return scores.gather(1, logits.argmax(1, keepdim=True)).squeeze(1)
