"""The decoder of Neural Baby Talk: attention over the grid and the regions, a pointer with a sentinel, and naming.

pointer:  P(r) = softmax over the sentinel and the regions of u · tanh(k_r + W h),   k_0 = W₂ relu(W₁ s)        (1)
naming:   v = the mean of the chosen regions;  plural = softmax(W₂ relu(W₁ [h; v])),
          name = softmax over the words of the regions' class of e_name · (W₂ relu(W₁ [h; v]))                  (2)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.ops.precision import widened

LEAST = -1e8  # the score of what is hidden, as published
Act = Callable[[str, Tensor], Tensor]  # what edits make of the map of this name


def _unedited(name: str, map: Tensor) -> Tensor:
    return map


class Looked(NamedTuple):
    """What a decoder makes of one word.

    Attributes:
        output: h of the word, after dropout, `B R`.
        scores: of the sentinel and the regions, before the softmax, `B N+1`.
        h, c: the states of all layers, `B layers R`.
        grid, regions: the attention over the grid `B M` and over the regions `B N`.
    """

    output: Tensor
    scores: Tensor
    h: Tensor
    c: Tensor
    grid: Tensor
    regions: Tensor


class Weights(nn.Module):
    """Additive attention over items whose keys are projected before."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.state = nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, 1)

    def forward(
        self, h: Tensor, items: Tensor, keys: Tensor, masked: Tensor | None, act: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """h `B R`, items `B N R`, keys `B N A`, masked `bool B N` -> their weighted mean `B R`, the weights `B N`.

        Args:
            act: makes of the weights those that are used.
        """
        scores = widened(self.score((keys + self.state(h)[:, None]).tanh())[..., 0])
        if masked is not None:
            scores = scores.masked_fill(masked, LEAST)
        alpha = act(scores.softmax(1))
        return torch.bmm(alpha[:, None].to(items.dtype), items)[:, 0], alpha


class Pointer(nn.Module):
    """Scores of the sentinel, which stands for a textual word, and of the regions: equation (1)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.sentinel = nn.Linear(width, width)
        self.sentinel_key = nn.Linear(width, hidden)
        self.state = nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, 1)

    def forward(self, h: Tensor, sentinel: Tensor, keys: Tensor, masked: Tensor) -> Tensor:
        """h and sentinel `B R`, keys `B N A`, masked `bool B N+1` -> `B N+1`."""
        first = self.sentinel_key(self.sentinel(sentinel).relu())
        every = torch.cat([first[:, None], keys], 1) + self.state(h)[:, None]
        return widened(self.score(every.tanh())[..., 0]).masked_fill(masked, LEAST)


class TopDown(nn.Module):
    """Two LSTM layers, the first for attention and the second for language.

    The sentinel is a gate on the cell of the second layer before its step, as released; the paper has it after.
    """

    layers = 2

    def __init__(self, embedding: int, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.looks = nn.LSTMCell(embedding + width, width)
        self.speaks = nn.LSTMCell(2 * width, width)
        self.over_grid = Weights(width, hidden)
        self.over_regions = Weights(width, hidden)
        self.pointer = Pointer(width, hidden)
        self.gate_input = nn.Linear(2 * width, width)
        self.gate_state = nn.Linear(width, width)
        self.dropout = dropout

    def forward(
        self,
        x: Tensor,
        whole: Tensor,
        grid: Tensor,
        grid_keys: Tensor,
        regions: Tensor,
        region_keys: Tensor,
        masked: Tensor,
        taken: Tensor,
        h: Tensor,
        c: Tensor,
        act: Act = _unedited,
    ) -> Looked:
        """Of a word x `B E`, the whole image `B R`, grid `B M R`, regions `B N R`, and masks `bool B N+1`."""
        h0, c0 = self.looks(torch.cat([whole, x], 1), (h[:, 0], c[:, 0]))
        seen, alpha = self.over_grid(h0, grid, grid_keys, None, partial(act, "attention"))
        seen_regions, beta = self.over_regions(h0, regions, region_keys, masked[:, 1:], partial(act, "regions"))
        inputs = torch.cat([seen + seen_regions, h0], 1)
        gate = (self.gate_input(inputs) + self.gate_state(h[:, 1])).sigmoid()
        h1, c1 = self.speaks(inputs, (h[:, 1], c[:, 1]))
        output = F.dropout(h1, self.dropout, self.training)
        sentinel = F.dropout(gate * c[:, 1].tanh(), self.dropout, self.training)
        scores = self.pointer(output, sentinel, region_keys, taken)
        return Looked(output, scores, torch.stack([h0, h1], 1), torch.stack([c0, c1], 1), alpha, beta)


class Att2in2(nn.Module):
    """One LSTM layer, whose candidate is the larger of two and alone takes what is attended to.

    The sentinel is a fourth gate on the cell after the step.
    """

    layers = 1

    def __init__(self, embedding: int, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.of_grid = nn.Linear(width, 2 * width)
        self.of_regions = nn.Linear(width, 2 * width)
        self.of_input = nn.Linear(embedding, 6 * width)
        self.of_state = nn.Linear(width, 6 * width)
        self.over_grid = Weights(width, hidden)
        self.over_regions = Weights(width, hidden)
        self.pointer = Pointer(width, hidden)
        self.dropout = dropout

    def forward(
        self,
        x: Tensor,
        whole: Tensor | None,
        grid: Tensor,
        grid_keys: Tensor,
        regions: Tensor,
        region_keys: Tensor,
        masked: Tensor,
        taken: Tensor,
        h: Tensor,
        c: Tensor,
        act: Act = _unedited,
    ) -> Looked:
        """As `TopDown`; the whole image is not used."""
        seen, alpha = self.over_grid(h[:, 0], grid, grid_keys, None, partial(act, "attention"))
        seen_regions, beta = self.over_regions(h[:, 0], regions, region_keys, masked[:, 1:], partial(act, "regions"))
        i, f, o, s, *candidates = (self.of_input(x) + self.of_state(h[:, 0])).chunk(6, 1)
        first, second = (torch.cat(candidates, 1) + self.of_grid(seen) + self.of_regions(seen_regions)).chunk(2, 1)
        cell = f.sigmoid() * c[:, 0] + i.sigmoid() * torch.maximum(first, second)
        shown = cell.tanh()
        output = o.sigmoid() * shown
        spoken = F.dropout(output, self.dropout, self.training)
        sentinel = F.dropout(s.sigmoid() * shown, self.dropout, self.training)
        scores = self.pointer(spoken, sentinel, region_keys, taken)
        return Looked(spoken, scores, output[:, None], cell[:, None], alpha, beta)


class Naming(nn.Module):
    """What a pointed region is called: singular or plural, and which of the words of its class; equation (2).

    Attributes:
        vectors: the fixed word vector of each name, `F D`.
        hidden: which names are no words of a class, `bool K F`; the first class and the first name are none.
    """

    vectors: Tensor
    hidden: Tensor

    def __init__(self, width: int, classes: int, owners: Sequence[int], vector: int, dropout: float) -> None:
        super().__init__()
        self.plural = _two_layers(2 * width, width, 2, dropout)
        self.name = _two_layers(2 * width, width, vector, dropout)
        self.register_buffer("vectors", 2 * torch.rand(len(owners) + 1, vector) - 1)
        self.register_buffer("hidden", torch.tensor([-1, *owners]) != torch.arange(classes)[:, None])

    def forward(self, of_class: Tensor, regions: Tensor, h: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of singular and plural `B L 2`, and of the names `B L F`.

        Shapes: of_class `B L`, 0 where the word is textual; regions `B N R`, h `B L R`, chosen `B L N` of zeros and
            ones.
        """
        count = chosen.sum(2, keepdim=True).clamp_min(1)
        both = torch.cat([h, torch.bmm(chosen, regions) / count], 2)
        score = self.name(both) @ self.vectors.to(both.dtype).mT
        score = widened(score).masked_fill(self.hidden[of_class], LEAST)
        return widened(self.plural(both)).log_softmax(2), score.log_softmax(2)


def _two_layers(inputs: int, width: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, outputs))
