"""Parts of the decoders: scores of the places, and memories that take up what was attended to."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from regard.ops.hard_attention import drawn, gathered, one_hot
from regard.ops.precision import wide_linear, widened

Act = Callable[[str, Tensor], Tensor]  # what edits make of the map of this name


class Scores(nn.Module):
    """Weights of the places from the memory: α = softmax(τ uᵀ f(W a_i + V h)).

    Args:
        channels: of the places.
        hidden: width of the memory.
        width: of the scores.
        depth: layers of the places; all but the first end in tanh.
        rectified: f is a rectifier, and V has a bias; else it is tanh, without one.
        temperature: τ.
    """

    def __init__(
        self, channels: int, hidden: int, width: int, *, depth: int = 1, rectified: bool = False, temperature: float = 1
    ) -> None:
        super().__init__()
        self.rectified, self.temperature = rectified, temperature
        self.place = nn.Linear(channels, width)
        self.deeper = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.memory = nn.Linear(hidden, width, bias=rectified)
        self.score = nn.Linear(width, 1)

    def project(self, places: Tensor) -> Tensor:
        """The places' share of the scores, which all steps have in common: `B * channels` -> `B * width`."""
        projected = wide_linear(self.place, places)
        for layer in cast("list[nn.Linear]", self.deeper):
            projected = wide_linear(layer, projected).tanh()
        return projected

    def logits(self, h: Tensor, projected: Tensor, visible: Tensor | None) -> Tensor:
        """The scores before the softmax: `B hidden`, `B N width`, `bool B N` -> `B N`."""
        total = projected + wide_linear(self.memory, h)[:, None]
        e = self.temperature * wide_linear(self.score, total.relu() if self.rectified else total.tanh()).squeeze(2)
        return e if visible is None else e.masked_fill(~visible, torch.finfo(e.dtype).min)


class Gates(nn.Module):
    """A long short-term memory of word and sight, with input, forget, candidate and output gate in this order.

    Args:
        before: width of the word, or of the layer below.
        channels: of what was attended to.
        hidden: width of the memory.
        biases: 1, or 2 as torch has it.
        dropout: probability that what a gate sums up is dropped; not that of the candidate.
    """

    def __init__(self, before: int, channels: int, hidden: int, *, biases: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.input = nn.Linear(before, 4 * hidden)
        self.sight = nn.Linear(channels, 4 * hidden, bias=False)
        self.state = nn.Linear(hidden, 4 * hidden, bias=biases == 2)

    def forward(self, x: Tensor, z: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The next output and cell: `B before`, `B channels`, twice `B hidden` -> two of `B hidden`."""
        total = wide_linear(self.input, x) + wide_linear(self.sight, z) + wide_linear(self.state, h)
        i, f, g, o = total.chunk(4, 1)
        i, f, o = (self.dropout(gate).sigmoid() for gate in (i, f, o))
        c = f * c + i * g.tanh()
        return o * c.tanh(), c


class Layer(nn.Module):
    """One layer of the decoder: it looks with the memory before, weighs what it sees, and takes it up.

    Args:
        before: width of the word, or of the layer below.
        channels: of the places.
        hidden: width of the memory.
        width, depth, temperature: of the scores.
        tutorial: the form of the PyTorch tutorial.
        selector: weigh what was seen by a gate: one number, or in the tutorial's form one a channel.
        dropout: of the gates.
    """

    def __init__(
        self,
        before: int,
        channels: int,
        hidden: int,
        *,
        width: int,
        depth: int,
        temperature: float,
        tutorial: bool,
        selector: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention = Scores(channels, hidden, width, depth=depth, rectified=tutorial, temperature=temperature)
        self.select = nn.Linear(hidden, channels if tutorial else 1) if selector else None
        self.gates = Gates(before, channels, hidden, biases=2 if tutorial else 1, dropout=dropout)

    def look(
        self,
        h: Tensor,
        places: Tensor,
        projected: Tensor,
        visible: Tensor | None,
        choice: Tensor | None,
        hard: str,
        act: Act | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What is seen `B C`, α `B N`, and the weights that were used `B N`: α, or a place.

        Args:
            choice: the weights to use; None makes them by `hard`: "soft", "draw" or "best".
        """
        e = self.attention.logits(h, projected, visible)
        own = alpha = e.softmax(1)
        if act is not None:
            alpha = act("attention", alpha)
            e = e if alpha is own else alpha.log()  # another place may be the likeliest
        if choice is None and hard == "soft":
            choice = alpha
        if choice is not None:
            return torch.bmm(choice[:, None], widened(places)).squeeze(1), alpha, choice
        place = drawn(e) if hard == "draw" else e.argmax(1)
        return gathered(widened(places), place[:, None]).squeeze(1), alpha, one_hot(place, alpha).detach()

    def forward(
        self, x: Tensor, h: Tensor, c: Tensor, seen: Tensor, act: Act | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """The next output and cell, the weighed sight, and the gate: `B before`, twice `B hidden`, `B C`."""
        gate = None if self.select is None else wide_linear(self.select, h).sigmoid()
        if act is not None and gate is not None:
            gate = act("selector", gate)
        z = seen if gate is None else gate * seen
        h, c = self.gates(x, z, h, c)
        return h, c, z, gate


class Maxout(nn.Module):
    """The memory of att2in: gates without what was seen, and as candidate the larger of two, without tanh.

    Args:
        before: width of the word.
        channels: of the places.
        hidden: width of the memory.
        width: of the scores.
        into: "candidate": what was seen enters the candidate only; "gates": all five.
    """

    def __init__(self, before: int, channels: int, hidden: int, width: int, into: str) -> None:
        super().__init__()
        self.everywhere = into == "gates"
        self.input = nn.Linear(before, 5 * hidden)
        self.state = nn.Linear(hidden, 5 * hidden)
        self.sight = nn.Linear(channels, (5 if self.everywhere else 2) * hidden)
        self.memory = nn.Linear(hidden, width)
        self.score = nn.Linear(width, 1)

    def forward(
        self,
        x: Tensor,
        h: Tensor,
        c: Tensor,
        places: Tensor,
        projected: Tensor,
        visible: Tensor | None,
        act: Act | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The next output and cell and α: `B before`, twice `B hidden`, `B N channels`, `B N width`, `bool B N`."""
        e = wide_linear(self.score, (projected + wide_linear(self.memory, h)[:, None]).tanh()).squeeze(2)
        alpha = (e if visible is None else e.masked_fill(~visible, torch.finfo(e.dtype).min)).softmax(1)
        alpha = alpha if act is None else act("attention", alpha)
        seen = wide_linear(self.sight, torch.bmm(alpha[:, None], widened(places)).squeeze(1))
        total = wide_linear(self.input, x) + wide_linear(self.state, h)
        if self.everywhere:
            total = total + seen
        n = h.shape[1]
        candidate = total[:, 3 * n :] if self.everywhere else total[:, 3 * n :] + seen
        i, f, o = total[:, : 3 * n].sigmoid().chunk(3, 1)
        c = f * c + i * torch.max(*candidate.chunk(2, 1))
        return o * c.tanh(), c, alpha
