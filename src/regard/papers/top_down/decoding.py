"""The step of the captioner: two LSTM layers with the attention between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from regard.ops.precision import wide_linear
from regard.papers.top_down.mechanism import TopDownAttention, mean


class Cell(nn.Module):
    """An LSTM cell in float32 at least: input, forget, candidate and output gate, in this order."""

    def __init__(self, inputs: int, hidden: int, *, biases: int) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, 4 * hidden)
        self.state = nn.Linear(hidden, 4 * hidden, bias=biases == 2)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5)
        if biases == 1:  # as in Caffe: the forget gate is open at first
            nn.init.zeros_(self.input.bias)
            nn.init.ones_(self.input.bias[hidden : 2 * hidden])

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Input and (output, cell) -> the next output and cell."""
        gates = wide_linear(self.input, x) + wide_linear(self.state, state[0])
        opened, kept, candidate, shown = gates.chunk(4, 1)
        cell = kept.sigmoid() * state[1] + opened.sigmoid() * candidate.tanh()
        return shown.sigmoid() * cell.tanh(), cell


class Memory(NamedTuple):
    """Output and cell of the attention LSTM and of the language LSTM, each `B hidden`."""

    attending: Tensor
    attending_cell: Tensor
    writing: Tensor
    writing_cell: Tensor


class Looked(NamedTuple):
    """The state of the captioner: what it sees, read once, and its memory.

    Attributes:
        features: of the regions, `B N F`, or of the positions of a map, `B H W F`.
        projected: their part of the scores, `B N k` or `B H W k`.
        whole: their mean, `B F`.
        visible: which regions are there, `bool B N`; None for all.
        memory: of the two LSTM layers.
    """

    features: Tensor
    projected: Tensor
    whole: Tensor
    visible: Tensor | None
    memory: Memory


class Core(nn.Module):
    """A step of the captioner's two LSTM layers, with the attention between them."""

    def __init__(self, word: int, whole: int, features: int, hidden: int, scores: int, *, biases: int) -> None:
        super().__init__()
        self.attend = Cell(hidden + whole + word, hidden, biases=biases)
        self.attention = TopDownAttention(features, query_channels=hidden, hidden=scores, bias=biases == 2)
        self.write = Cell(features + hidden, hidden, biases=biases)

    def forward(
        self, word: Tensor, seen: Looked, act: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Memory, Tensor]:
        """The next memory, and the weights `B N` or `B H W`, of which `act` makes those that are used."""
        h1, c1, h2, c2 = seen.memory
        h1, c1 = self.attend(torch.cat([h2, seen.whole, word], 1), (h1, c1))
        alpha = self.attention.weights(h1, seen.projected.flatten(1, -2), seen.visible)
        alpha = alpha if act is None else act(alpha)
        context = mean(seen.features.flatten(1, -2), alpha)
        h2, c2 = self.write(torch.cat([context, h1], 1), (h2, c2))
        return Memory(h1, c1, h2, c2), alpha.view(seen.features.shape[:-1])
