"""Readings of the paper's equations; no code of the authors is public. Word 0 is start and end there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from regard import catalog
from regard.ops.beam_search import Penalty, penalised
from regard.published.reference import Given, Reference, State, unsupported

LENGTHS = {"poly": "power", "min-hinge": "min", "max-hinge": "max", "gaussian": "gaussian"}


def _glstm(vocab, embed, hidden, img_dim, guide_dim, tanh_c=False, lens=()):
    arguments = {
        "channels": img_dim,
        "vocabulary": vocab,
        "guide": guide_dim,
        "embed": embed,
        "hidden": hidden,
        "cell": "tanh" if tanh_c else "linear",
    }
    names = {"image": "img", "words": "embed", "input": "x2h", "state": "h2h", "guides": "g2h", "scores": "out"}
    return arguments, names


class _Captioned(nn.Module):
    """The loss of sentences whose lengths are arguments, a mean over their words, and the log-probabilities."""

    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()
        self.module, self.lengths = module, torch.tensor(args["lens"])

    def forward(self, features: Tensor, guide: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        log_probabilities = self.module(features, guide, nn.functional.pad(words, (1, 0)))
        at = torch.arange(words.shape[1] + 1)
        wanted = nn.functional.pad(words, (0, 1)) * (at < self.lengths[:, None])  # the end is 0
        each = -log_probabilities.gather(2, wanted[:, :, None]).squeeze(2)
        return each[at <= self.lengths[:, None]].mean(), log_probabilities


def _length_norm(outputs):
    for text in outputs:
        _penalty(text)
    return {"channels": 1, "vocabulary": 1, "embed": 1, "hidden": 1}, {"": ""}


def _penalty(text: str) -> Penalty:
    """The penalty of a text such as "gaussian mu=11.3 sigma=3.1 (dividing by the pdf value)"."""
    name, *rest = text.partition("(")[0].split()
    if name not in LENGTHS:
        raise unsupported("outputs", text, f"texts that begin with {', '.join(LENGTHS)} are needed")
    values = [float(one.partition("=")[2]) for one in rest]
    return (LENGTHS[name], *values)  # type: ignore[return-value]  # one or two numbers


class _Ranked(nn.Module):
    """The scores of sentences by sum and length, for each of the penalties: functions without parameters."""

    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()
        self.penalties = [_penalty(text) for text in args["outputs"]]

    def forward(self, totals: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        pairs = list(zip(totals.tolist(), lengths.tolist(), strict=True))
        every = ([penalised(total, int(length), penalty) for total, length in pairs] for penalty in self.penalties)
        return tuple(totals.new_tensor(scores) for scores in every)


def _nothing(state: State, args: Given) -> State:
    """The parameters of the smallest network; ranking uses none of them."""
    return dict(catalog.create("glstm", channels=1, vocabulary=1, embed=1, hidden=1).state_dict())


REFERENCES = (
    Reference("glstm/paper", "glstm", _glstm, adapt=_Captioned, recording="the paper's equations"),
    Reference("glstm_length_norm/paper", "glstm", _length_norm, state=_nothing, adapt=_Ranked, recording="Section 3.3"),
)
