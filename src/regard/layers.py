"""Layers with parameters or state that three or more files use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from regard.checks import choice, flag, number, positive
from regard.ops import hard_attention
from regard.ops.precision import widened


class Pointwise(nn.Module):
    """A 1×1 convolution of a flattened map that returns channels or positions first.

    The same numbers as `nn.Conv1d(channels, out, 1)`, as one batched matrix product that reads its input as it lies.

    Args:
        channels: C of the input.
        out: width of the output.
        bias: whether there is one.

    Shapes: `B C N` -> `B out N`; `tokens`: `B C N` -> `B N out`.
    """

    def __init__(self, channels: int, out: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, channels))
        self.bias = nn.Parameter(torch.empty(out)) if bias else None
        bound = channels**-0.5
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.expand(x.shape[0], -1, -1)
        return weight @ x if self.bias is None else torch.baddbmm(self.bias[:, None], weight, x)

    def tokens(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.is_contiguous() and not torch.compiler.is_compiling():
            # the gradient of x then lies as x does; to add up gradients that do not takes three times as long
            tokens: Tensor = self(x).mT.contiguous()
            return tokens
        weight = self.weight.T.expand(x.shape[0], -1, -1)
        return x.mT @ weight if self.bias is None else torch.baddbmm(self.bias, x.mT, weight)


class Heads(nn.Module):
    """The linear maps of multi-head attention: to queries, keys and values of every head, and back.

    Args:
        channels: C of the queries' input and of the output.
        heads: h.
        head_channels: D, width of each head's queries and keys; None takes C / h.
        value_head_channels: E, width of each head's values; None takes D.
        key_channels: width of the keys' input; None takes C.
        value_channels: width of the values' input; None takes C.
        bias: whether all four have one.

    Shapes: `split`: `B Q C`, `B K key_channels`, `B K value_channels` -> `B h Q D`, `B h K D`, `B h K E`;
        `merge`: `B h Q E` -> `B Q C`.
    Raises: ValueError for a width that is not positive, or heads that do not divide C where no width is given.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int,
        head_channels: int | None = None,
        value_head_channels: int | None = None,
        key_channels: int | None = None,
        value_channels: int | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        positive("channels", channels)
        self.heads = positive("heads", heads)
        if head_channels is None and channels % heads:
            fit = next(divisor for divisor in range(min(heads, channels), 0, -1) if channels % divisor == 0)
            raise ValueError(
                f"heads={heads}: a divisor of channels={channels} is needed, such as {fit}, or give head_channels="
            )
        width = channels // heads if head_channels is None else positive("head_channels", head_channels)
        wide = width if value_head_channels is None else positive("value_head_channels", value_head_channels)
        keys = channels if key_channels is None else positive("key_channels", key_channels)
        values = channels if value_channels is None else positive("value_channels", value_channels)
        flag("bias", bias)
        self.query = nn.Linear(channels, heads * width, bias=bias)
        self.key = nn.Linear(keys, heads * width, bias=bias)
        self.value = nn.Linear(values, heads * wide, bias=bias)
        self.out = nn.Linear(heads * wide, channels, bias=bias)
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            if bias:
                nn.init.zeros_(layer.bias)

    def split(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.by_head(self.query(q)), self.by_head(self.key(k)), self.by_head(self.value(v))

    def by_head(self, x: Tensor) -> Tensor:
        """`B T hD` -> `B h T D`."""
        heads: Tensor = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return heads

    def merge(self, y: Tensor) -> Tensor:
        merged: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return merged


class Draw(NamedTuple):
    """The places that one call of a `HardSoftmax` has drawn.

    Attributes:
        choice: the layer.
        log_probability: log π of each drawn place, `B ...`.
        entropy: of each π, in nats, `B ...`.
    """

    choice: HardSoftmax
    log_probability: Tensor
    entropy: Tensor


class HardSoftmax(nn.Module):
    """A hard choice of one place, or of a few, in place of a softmax over all: `ops.hard_attention`.

    In training "sample", "straight-through" and "gumbel" draw the place; in evaluation they take the likeliest one, as
    "argmax" does. "top-k" is the same in both. The score of a place that "sample" draws learns from a reward only:
    `drawing` keeps what that needs, and `tasks.reinforced` is the loss. "argmax" leaves the scores as they are.

    Args:
        hard: "sample", "argmax", "straight-through", "gumbel" or "top-k".
        top_k: places that "top-k" keeps.
        temperature: τ of "gumbel".

    Attributes:
        baseline: a moving average of the reward, which the loss of "sample" keeps here.

    Shapes: logits `B ... N` -> weights `B ... N`, in float32 at least. `attend`: logits `B Q N`, values `B N E` ->
        `B Q E`, in the type of the values.
    """

    baseline: Tensor

    def __init__(self, hard: str, top_k: int, temperature: float) -> None:
        super().__init__()
        self.hard, self.top_k, self.temperature = hard, top_k, temperature
        self.draws: list[Draw] | None = None
        self.register_buffer("baseline", torch.zeros(()))

    def forward(self, logits: Tensor) -> Tensor:
        wide = widened(logits)
        if self.hard == "top-k":
            return hard_attention.top_k(wide, self.top_k)
        if self.picks:
            return hard_attention.one_hot(self.place(wide), wide)
        if self.hard == "gumbel":
            return hard_attention.gumbel(wide, self.temperature)
        return hard_attention.straight_through(wide)

    def attend(self, logits: Tensor, values: Tensor, see: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Σ_n a_n v_n; one value is read where it has all the weight and the weight has no gradient.

        Args:
            see: called with the weights `B Q N`, which are formed for it; those that it returns are used.
        """
        if see is None and self.picks:
            return hard_attention.gathered(values, self.place(widened(logits)))
        weights: Tensor = self(logits)
        if see is not None:
            weights = see(weights)
        return weights.to(values.dtype) @ values

    @property
    def picks(self) -> bool:
        """Whether one place has all the weight, and no gradient reaches the logits through it."""
        return self.hard in ("sample", "argmax") or (self.hard != "top-k" and not self.training)

    def place(self, logits: Tensor) -> Tensor:
        """The place that has all the weight: `B ... N` -> `B ...`; in training "sample" draws it, for `drawing` too."""
        if self.hard != "sample" or not self.training:
            return logits.argmax(-1)
        place = hard_attention.drawn(logits)
        if self.draws is not None:
            log_p = logits.log_softmax(-1)
            chosen = log_p.gather(-1, place[..., None])[..., 0]
            self.draws.append(Draw(self, chosen, hard_attention.entropy(log_p)))
        return place

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: object) -> None:
        """Takes the weights of a soft mechanism too, which have no baseline."""
        state_dict.setdefault(f"{prefix}baseline", self.baseline)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def hard_softmax(hard: str | None, top_k: int, temperature: float) -> HardSoftmax | None:
    """The layer of the arguments `hard`, `top_k` and `temperature` of a mechanism; None for soft attention.

    Raises: ValueError for an unknown word, or a number out of range.
    """
    choice("hard", hard, (None, *hard_attention.MODES))
    positive("top_k", top_k)
    number("temperature", temperature, above=0)
    return None if hard is None else HardSoftmax(hard, top_k, temperature)


@contextmanager
def drawing(model: nn.Module) -> Iterator[list[Draw]]:
    """Keeps what every `hard="sample"` in the model draws in the block, in training mode, call by call.

        with drawing(model) as draws:
            logits = model(images)
        draws[0].log_probability  # B, or B Q of a mechanism in which Q queries choose

    Yields: the list of draws, filled as the model runs; its tensors have gradients.
    Raises: ValueError if nothing in the model samples.
    """
    found = [module for module in model.modules() if isinstance(module, HardSoftmax) and module.hard == "sample"]
    if not found:
        raise ValueError(f"{type(model).__name__} draws no places: a mechanism with hard='sample' is needed")
    draws: list[Draw] = []
    for module in found:
        module.draws = draws
    try:
        yield draws
    finally:
        for module in found:
            module.draws = None
