"""Recordings of how ports train the Transformer: three conventions of label smoothing, and the rate of each step.

With ε on V classes, of which one may be padding:

    torch, and the paper's own code   (1 − ε) on the true class and ε/V on every class, the true one included
    jadore801120                      1 − ε, and ε/(V − 1) on every other class
    annotated transformer             1 − ε, and ε/(V − 2) on every other class but padding; a divergence, no entropy

The first is the loss of `tasks.translate`, the rate is `training.schedules.Noam`. Neither has parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.published.reference import Given, Reference
from regard.training.schedules import Noam

SMALLEST = {"source_vocabulary": 5, "vocabulary": 5, "channels": 2, "heads": 1, "layers": 1}


def _smoothing(classes, smoothing=0.1, padding_idx=0):
    return SMALLEST, {}


def _rate(d_model, warmup, factor=1.0):
    return SMALLEST, {}


class _Smoothing(nn.Module):
    """The losses of all conventions, by their names in the recording."""

    def __init__(self, module: nn.Module, args: Given) -> None:
        super().__init__()
        self.epsilon = float(args.get("smoothing", 0.1))
        self.padding = int(args.get("padding_idx", 0))

    def forward(self, logits: Tensor, *, target: Tensor) -> dict[str, Tensor]:
        eps, count = self.epsilon, logits.shape[1]
        log_p = logits.log_softmax(1)
        true = F.one_hot(target, count).bool()
        word = (target != self.padding)[:, None]
        others = torch.full_like(log_p, eps / (count - 1)).masked_fill(true, 1 - eps)
        known = torch.full_like(log_p, eps / (count - 2)).masked_fill(true, 1 - eps)
        known[:, self.padding] = 0.0
        known = known * word
        return {
            "annotated_kl_sum": (torch.special.xlogy(known, known) - known * log_p).sum(),
            "jadore_sum": -(others * log_p * word).sum(),
            "torch_mean": F.cross_entropy(logits, target, ignore_index=self.padding, label_smoothing=eps),
            "torch_sum": F.cross_entropy(
                logits, target, ignore_index=self.padding, label_smoothing=eps, reduction="sum"
            ),
        }


class _Rate(nn.Module):
    """The rates of `Noam` at steps that are counted from 1; step 0 counts as the first."""

    def __init__(self, module: nn.Module, args: Given) -> None:
        super().__init__()
        self.schedule = Noam(width=args["d_model"], warmup=args["warmup"])
        self.factor = float(args.get("factor", 1.0))

    def forward(self, *, steps: Tensor) -> dict[str, Tensor]:
        rates = [self.factor * self.schedule.factor(0.0, max(step, 1) - 1, 0.0) for step in steps.tolist()]
        return {"lr": torch.tensor(rates, dtype=torch.float64)}


REFERENCES = (
    Reference(
        "transformer_label_smoothing/harvardnlp.annotated-transformer/LabelSmoothing",
        "transformer_model",
        _smoothing,
        host=_Smoothing,
        recording="the losses of three codes on the same logits",
    ),
    Reference(
        "transformer_noam/harvardnlp.annotated-transformer/rate",
        "transformer_model",
        _rate,
        host=_Rate,
        recording="the rates of single steps",
    ),
)
