"""Parts of the decoders: memories, sentinels, and the looks that choose between places and sentinel."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from regard.ops.precision import wide_linear, widened

Act = Callable[[str, Tensor], Tensor]  # what edits make of the map of this name


def masked(e: Tensor, visible: Tensor | None) -> Tensor:
    """Scores `B N` with the least number of all where nothing is visible."""
    return e if visible is None else e.masked_fill(~visible, torch.finfo(e.dtype).min)


class Memory(nn.Module):
    """A long short-term memory as torch has it: input, forget, candidate, output gate."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, 4 * hidden)
        self.state = nn.Linear(hidden, 4 * hidden)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The next output and cell: `B inputs`, `B hidden`, `B hidden` -> two of `B hidden`."""
        i, f, g, o = (wide_linear(self.input, x) + wide_linear(self.state, h)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class Sentinel(nn.Module):
    """The visual sentinel: s = σ(W_x x_t + W_h h_{t−1}) ∘ tanh(c_t)."""

    def __init__(self, inputs: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, hidden, bias=False)
        self.state = nn.Linear(hidden, hidden, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, before: Tensor, c: Tensor) -> Tensor:
        """`B inputs`, the output before `B hidden`, the new cell `B hidden` -> `B hidden`."""
        gate = wide_linear(self.input, self.dropout(x)) + wide_linear(self.state, self.dropout(before))
        return gate.sigmoid() * c.tanh()


class Look(nn.Module):
    """Spatial attention from the new memory, and beside it the sentinel if there is one."""

    def __init__(self, hidden: int, width: int, dropout: float, *, sentinel: bool) -> None:
        super().__init__()
        self.place = nn.Linear(hidden, width, bias=False)
        self.memory = nn.Linear(hidden, width, bias=False)
        self.sentinel = nn.Linear(hidden, width, bias=False) if sentinel else None
        self.score = nn.Linear(width, 1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, h: Tensor, s: Tensor | None, places: Tensor, visible: Tensor | None, act: Act | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What is taken `B hidden`, α `B N`, and β `B`: `B hidden` twice, places `B N hidden`, `bool B N`."""
        asked = wide_linear(self.memory, self.dropout(h))
        z = masked(self._scored(wide_linear(self.place, self.dropout(places)) + asked[:, None]), visible)
        alpha = z.softmax(1) if act is None else act("attention", z.softmax(1))
        seen = torch.bmm(alpha[:, None], places).squeeze(1)
        if s is None or self.sentinel is None:
            return seen, alpha, None
        own = self._scored(wide_linear(self.sentinel, self.dropout(s)) + asked)
        beta = torch.cat([z, own[:, None]], 1).softmax(1)[:, -1]
        beta = beta if act is None else act("sentinel", beta)
        return beta[:, None] * s + (1 - beta[:, None]) * seen, alpha, beta

    def _scored(self, total: Tensor) -> Tensor:
        return wide_linear(self.score, self.dropout(total.tanh())).squeeze(-1)


class Writer(nn.Module):
    """The paper's decoder behind the embeddings: memory, sentinel, attention, scores of the words."""

    def __init__(self, vocabulary: int, embed: int, hidden: int, width: int, dropout: float, *, sentinel: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, embed)
        self.memory = Memory(2 * embed, hidden)
        self.sentinel = Sentinel(2 * embed, hidden, dropout) if sentinel else None
        self.look = Look(hidden, width, dropout, sentinel=sentinel)
        self.dropout = nn.Dropout(dropout)
        self.scores = nn.Linear(hidden, vocabulary)

    def forward(
        self,
        words: Tensor,
        h: Tensor,
        c: Tensor,
        whole: Tensor,
        places: Tensor,
        visible: Tensor | None,
        act: Act | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """The words' scores `B V`, the next output and cell, α and β, from words `B` and the image `B embed`."""
        x = torch.cat([widened(self.words(words)), whole], 1)
        before = h
        h, c = self.memory(x, h, c)
        s = None if self.sentinel is None else self.sentinel(x, before, c)
        taken, alpha, beta = self.look(h, s, places, visible, act)
        return wide_linear(self.scores, self.dropout(taken + h)), h, c, alpha, beta


class ReleasedMemory(nn.Module):
    """The released memory: layers of gates input, forget, output and candidate, and a sentinel gate at the last one.

    Args:
        word: width of the words, and of the image as a whole.
        hidden: width of the memory.
        layers: of the memory; the word and the image enter the first.
        maxout: the candidate is the larger of two, without tanh.
        dropout: probability that a value is dropped between the layers and behind the last.
    """

    def __init__(self, word: int, hidden: int, *, layers: int, maxout: bool, dropout: float) -> None:
        super().__init__()
        width = (5 if maxout else 4) * hidden
        self.maxout = maxout
        self.word, self.whole = nn.Linear(word, width), nn.Linear(word, width)
        self.below = nn.ModuleList(nn.Linear(hidden, width) for _ in range(layers - 1))
        self.state = nn.ModuleList(nn.Linear(hidden, width) for _ in range(layers))
        self.sentinel_word = nn.Linear(word, hidden) if layers == 1 else None
        self.sentinel_whole = nn.Linear(word, hidden) if layers == 1 else None
        self.sentinel_below = nn.Linear(hidden, hidden) if layers > 1 else None
        self.sentinel_state = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, whole: Tensor, memory: list[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Output and sentinel `B hidden`, and the new memory: output and cell of each layer, `B hidden` each."""
        after: list[Tensor] = []
        layers = cast("list[nn.Linear]", self.state)
        inputs = wide_linear(self.word, x) + wide_linear(self.whole, whole)
        for i, state in enumerate(layers):
            before = memory[2 * i]
            if i:
                x = self.dropout(after[-2])
                inputs = wide_linear(cast("nn.Linear", self.below[i - 1]), x)
            total = inputs + wide_linear(state, before)
            n = before.shape[1]
            opened, kept, shown = total[:, : 3 * n].sigmoid().chunk(3, 1)
            rest = total[:, 3 * n :]
            candidate = torch.max(*rest.chunk(2, 1)) if self.maxout else rest.tanh()
            c = kept * memory[2 * i + 1] + opened * candidate
            after += [shown * c.tanh(), c]
        if self.sentinel_below is not None:
            gate = wide_linear(self.sentinel_below, x)
        else:
            assert self.sentinel_word is not None and self.sentinel_whole is not None
            gate = wide_linear(self.sentinel_word, x) + wide_linear(self.sentinel_whole, whole)
        gate = gate + wide_linear(self.sentinel_state, memory[-2])
        sentinel = gate.sigmoid() * after[-1].tanh()
        return self.dropout(after[-2]), self.dropout(sentinel), after


class ReleasedLook(nn.Module):
    """The released attention: one softmax over the sentinel and the places.

    Args:
        hidden: width of the memory.
        width: of places and sentinel.
        scores: width of the scores.
        dropout: probability that a value is dropped.
    """

    def __init__(self, hidden: int, width: int, scores: int, dropout: float) -> None:
        super().__init__()
        self.sentinel, self.sentinel_score = nn.Linear(hidden, width), nn.Linear(width, scores)
        self.memory, self.memory_score = nn.Linear(hidden, width), nn.Linear(width, scores)
        self.score = nn.Linear(scores, 1)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        h: Tensor,
        sentinel: Tensor,
        places: Tensor,
        projected: Tensor,
        visible: Tensor | None,
        act: Act | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What is written from `B width`, and the weights, the sentinel's first, `B N+1`."""
        s = self.dropout(wide_linear(self.sentinel, sentinel).relu())
        asked = self.dropout(wide_linear(self.memory, h).tanh())
        total = torch.cat([wide_linear(self.sentinel_score, s)[:, None], projected], 1)
        total = total + wide_linear(self.memory_score, asked)[:, None]
        e = wide_linear(self.score, self.dropout(total.tanh())).squeeze(2)
        weights = torch.cat([e[:, :1], masked(e[:, 1:], visible)], 1).softmax(1)
        if act is not None:
            weights = torch.cat([act("sentinel", weights[:, :1]), act("attention", weights[:, 1:])], 1)
        taken = torch.bmm(weights[:, None], torch.cat([s[:, None], places], 1)).squeeze(1)
        return self.dropout(wide_linear(self.out, taken + asked).tanh()), weights


class ReleasedCore(nn.Module):
    """A step of the released decoder: memory and attention."""

    def __init__(self, word: int, hidden: int, scores: int, *, layers: int, maxout: bool, dropout: float) -> None:
        super().__init__()
        self.memory = ReleasedMemory(word, hidden, layers=layers, maxout=maxout, dropout=dropout)
        self.look = ReleasedLook(hidden, word, scores, dropout)

    def forward(
        self,
        x: Tensor,
        whole: Tensor,
        places: Tensor,
        projected: Tensor,
        memory: list[Tensor],
        visible: Tensor | None,
        act: Act | None = None,
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """What is written from `B word`, the weights `B N+1`, and the new memory."""
        h, sentinel, memory = self.memory(x, whole, memory)
        out, weights = self.look(h, sentinel, places, projected, visible, act)
        return out, weights, memory
