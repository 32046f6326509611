"""Readings of the paper's equations; no code of the authors is public. Word 0 is start and end there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from regard.papers.attribute_lstm.mechanism import AttributeNet, logistic_loss
from regard.published.reference import Given, Reference


def _att_lstm(vocab, embed, hidden, attributes, tanh_c=True, lens=()):
    arguments = {
        "channels": attributes,
        "vocabulary": vocab,
        "embed": embed,
        "hidden": hidden,
        "cell": "tanh" if tanh_c else "linear",
    }
    return arguments, {"image": "att", "words": "embed", "input": "x2h", "state": "h2h", "scores": "out"}


class _Captioned(nn.Module):
    """The loss of sentences whose lengths are arguments, and the log-probabilities."""

    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()
        self.module, self.lengths = module, torch.tensor(args["lens"])

    def forward(self, probabilities: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        log_probabilities = self.module(probabilities, nn.functional.pad(words, (1, 0)))
        at = torch.arange(words.shape[1] + 1)
        wanted = nn.functional.pad(words, (0, 1)) * (at < self.lengths[:, None])  # the end is 0
        each = -log_probabilities.gather(2, wanted[:, :, None]).squeeze(2)
        return (each * (at <= self.lengths[:, None])).sum() / len(words), log_probabilities


def _attributes(hypotheses, attributes):
    return {"channels": attributes, "attributes": attributes}, {}


def _scored(module: nn.Module, args: Given) -> nn.Module:
    """What was recorded begins with the scores of the hypotheses."""
    module.score = nn.Identity()
    return module


class _Present(nn.Module):
    """The loss, and the probabilities of the attributes."""

    def __init__(self, module: AttributeNet, args: Given) -> None:
        super().__init__()
        self.module = module

    def forward(self, scores: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
        best = self.module(scores)
        return logistic_loss(best, signs), best.sigmoid()


REFERENCES = (
    Reference("att_lstm/paper", "att_lstm", _att_lstm, adapt=_Captioned, recording="the paper's equations"),
    Reference(
        "att_lstm_attributes/paper",
        "attribute_net",
        _attributes,
        host=_scored,
        adapt=_Present,
        recording="the paper's equations",
    ),
)
