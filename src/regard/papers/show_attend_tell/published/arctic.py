"""Checkpoint mapping for kelvinxu/arctic-captions.

It multiplies from the left, has the gates in the order input, forget, output, candidate, and 0 as the end; nothing
stands for the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regard.ops.beam_search import beam_search
from regard.papers.show_attend_tell.choosing import moved, score_function
from regard.published.reference import Reference, State

_SOURCE = "kelvinxu.arctic-captions/build_model-build_sampler-gen_sample-train-gradients"
_ALL = {"": ""}  # the state has our names already


def _authors(
    dim_word=100, ctx_dim=512, dim=1000, attn_type="stochastic", n_layers_att=1, n_layers_out=1, n_layers_lstm=1,
    n_layers_init=1, lstm_encoder=False, prev2out=False, ctx2out=False, alpha_entropy_c=0.0, RL_sumCost=False,
    semi_sampling_p=0.5, temperature=1.0, decay_c=0.0, alpha_c=0.0, selector=False, n_words=10000, maxlen=100,
    use_dropout=False, use_dropout_lstm=False, beam=5, seed=None,
):  # fmt: skip
    arguments = {
        "channels": 2 * dim if lstm_encoder else ctx_dim,
        "regions": True,
        "vocabulary": n_words,
        "embed": dim_word,
        "hidden": dim,
        "layers": n_layers_lstm,
        "attention_layers": n_layers_att,
        "initial_layers": n_layers_init,
        "output_layers": n_layers_out,
        "hard": attn_type == "stochastic",
        "draws": semi_sampling_p,
        "temperature": temperature,
        "selector": selector,
        "previous_word": prev2out,
        "context": ctx2out,
        "coverage": alpha_c,
        "gate_dropout": use_dropout_lstm,
    }
    return arguments, _ALL


def _ordered(gates: Tensor) -> Tensor:
    """Gates of the last axis from input, forget, output, candidate to ours: input, forget, candidate, output."""
    i, f, o, g = gates.chunk(4, -1)
    return torch.cat([i, f, g, o], -1)


def _authors_state(state: State, args: Mapping[str, Any]) -> State:
    found = {"words.weight": state["Wemb"]}

    def linear(ours: str, weight: str, bias: str | None) -> None:
        found[f"{ours}.weight"] = state[weight].T
        if bias is not None:
            found[f"{ours}.bias"] = state[bias]

    for layer in range(1, args.get("n_layers_init", 1)):
        linear(f"initial.{layer - 1}", f"ff_init_{layer}_W", f"ff_init_{layer}_b")
    for layer in range(args.get("n_layers_lstm", 1)):
        last = f"_{layer}" if layer else ""
        ours, theirs = f"layers.{layer}", f"decoder{last}"
        linear(f"first.{2 * layer}", f"ff_state{last}_W", f"ff_state{last}_b")
        linear(f"first.{2 * layer + 1}", f"ff_memory{last}_W", f"ff_memory{last}_b")
        linear(f"{ours}.attention.place", f"{theirs}_Wc_att", f"{theirs}_b_att")
        for deep in range(1, args.get("n_layers_att", 1)):
            linear(f"{ours}.attention.deeper.{deep - 1}", f"{theirs}_W_att_{deep}", f"{theirs}_b_att_{deep}")
        linear(f"{ours}.attention.memory", f"{theirs}_Wd_att", None)
        linear(f"{ours}.attention.score", f"{theirs}_U_att", f"{theirs}_c_tt")
        if args.get("selector", False):
            linear(f"{ours}.select", f"{theirs}_W_sel", f"{theirs}_b_sel")
            found[f"{ours}.select.bias"] = found[f"{ours}.select.bias"].reshape(1)  # published as a number
        found[f"{ours}.gates.input.weight"] = _ordered(state[f"{theirs}_W"]).T
        found[f"{ours}.gates.sight.weight"] = _ordered(state[f"{theirs}_Wc"]).T
        found[f"{ours}.gates.input.bias"] = _ordered(state[f"{theirs}_b"])
        found[f"{ours}.gates.state.weight"] = _ordered(state[f"{theirs}_U"]).T
    linear("memory", "ff_logit_lstm_W", "ff_logit_lstm_b")
    if args.get("ctx2out", False):
        linear("sight", "ff_logit_ctx_W", "ff_logit_ctx_b")
    for layer in range(1, args.get("n_layers_out", 1)):
        linear(f"deeper.{layer - 1}", f"ff_logit_h{layer}_W", f"ff_logit_h{layer}_b")
    linear("scores", "ff_logit_W", "ff_logit_b")
    if args.get("attn_type", "stochastic") == "stochastic":
        found["baseline"] = state["Wemb"].new_zeros(())
    if not args.get("lstm_encoder", False):
        return found
    found = {f"module.{name}": tensor for name, tensor in found.items()}
    for ours, theirs in (("ahead", "encoder"), ("back", "encoder_rev")):
        found[f"{ours}.input.weight"] = _ordered(state[f"{theirs}_W"]).T
        found[f"{ours}.input.bias"] = _ordered(state[f"{theirs}_b"])
        found[f"{ours}.state.weight"] = _ordered(state[f"{theirs}_U"]).T
    return found


class _Halving(nn.Module):
    """Dropout that halves in evaluation instead of doubling in training."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.bernoulli(torch.full_like(x, 0.5)) if self.training else x / 2


def _halving(module: Any, args: Mapping[str, Any]) -> Any:
    module.words.padding_idx = None  # word 1 is another's
    module.dropout = _Halving() if args.get("use_dropout", False) else nn.Identity()
    if args.get("use_dropout_lstm", False):
        for layer in module.layers:
            layer.gates.dropout = _Halving()
    return _Encoded(module, args) if args.get("lstm_encoder", False) else module


class _Direction(nn.Module):
    """A long short-term memory over the places, from the first to the last: `B N C` -> `B N n`."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.input, self.state = nn.Linear(channels, 4 * hidden), nn.Linear(hidden, 4 * hidden, bias=False)

    def forward(self, places: Tensor) -> Tensor:
        h = c = places.new_zeros(len(places), self.state.in_features)
        found = []
        for total in self.input(places).unbind(1):
            i, f, g, o = (total + self.state(h)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            found.append(h)
        return torch.stack(found, 1)


class _Encoded(nn.Module):
    """The network behind the released encoder over the places, which its training runs forward twice."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module
        channels, hidden = args.get("ctx_dim", 512), args.get("dim", 1000)
        self.ahead, self.back = _Direction(channels, hidden), _Direction(channels, hidden)

    def forward(self, places: Tensor, *, training: bool) -> Tensor:
        back = self.back(places) if training else self.back(places.flip(1)).flip(1)
        return torch.cat([self.ahead(places), back], 2)


class _Cost(nn.Module):
    """The released cost, of words `T B` whose first is the first to be said; it returns what was recorded.

    A masked step keeps the memory. Of hard attention the drawn weights `T B N` and the baseline may be given.
    """

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.encoder: Any = module if isinstance(module, _Encoded) else None
        self.module, self.args = module if self.encoder is None else module.module, dict(args)

    def forward(
        self,
        words: Tensor,
        mask: Tensor,
        places: Tensor,
        choice: Tensor | None = None,
        baseline: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        if self.encoder is not None:
            places = self.encoder(places, training=True)
        own, state = self.module, self.module.start(places)
        if choice is not None and not bool(((choice == 0) | (choice == 1)).all()):  # a soft batch: α has gradients
            choice, state = None, state._replace(draws=torch.zeros(len(places), dtype=torch.bool, device=places.device))
        word = own.words(words[:1]).squeeze(0).new_zeros(words.shape[1], own.words.embedding_dim)
        costs, weights, used = [], [], []
        for t in range(len(words)):
            there = mask[t][:, None] > 0
            given = None if choice is None else [choice[t]] * len(own.layers)
            logits, after, maps = own.advance(word, state, given)
            memory = [torch.where(there, new, old) for new, old in zip(after.memory, state.memory, strict=True)]
            state = after._replace(memory=memory)
            p = logits.softmax(1).gather(1, words[t][:, None]).squeeze(1)
            costs.append(-(p + 1e-8).log() * mask[t])
            weights.append(maps["attention"])
            used.append(maps.get("choice", maps["attention"]))
            word = own.words(words[t])
        costs_, alpha, taken = torch.stack(costs), torch.stack(weights), torch.stack(used)
        cost = costs_.sum(0).mean()
        decay = self.args.get("decay_c", 0.0)
        if decay:
            cost = cost + decay * sum(one.square().sum() for one in self.parameters())
        return self._trained(cost, costs_, alpha, taken, baseline)[None], costs_.sum(0), alpha, taken

    def _trained(self, cost: Tensor, costs: Tensor, alpha: Tensor, taken: Tensor, baseline: Tensor | None) -> Tensor:
        """The cost, whose gradient in hard attention is the score function's."""
        own = self.module
        alpha, taken, costs = (one.transpose(0, 1) for one in (alpha, taken, costs))
        every = torch.ones_like(costs, dtype=torch.bool)
        regular = len(alpha) * own.penalty({"attention": alpha}, every)
        if not own.hard:
            return cost + regular
        b = own.baseline if baseline is None else baseline
        entropy, summed = self.args.get("alpha_entropy_c", 0.0), self.args.get("RL_sumCost", False)
        learned = score_function(alpha, taken, costs, b, entropy=entropy, summed=summed, mask=every)
        if own.training:
            own.baseline.copy_(moved(own.baseline, costs, every))
        return cost + regular.detach() + learned - learned.detach()


class _AuthorsBeam(nn.Module):
    """The best sentence for the places `N C` of one image, and its log-probability."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.encoder: Any = module if isinstance(module, _Encoded) else None
        self.module = module if self.encoder is None else module.module
        self.beam, self.longest = args.get("beam", 5), args.get("maxlen", 30)

    def forward(self, places: Tensor) -> tuple[Tensor, Tensor]:
        own, places = self.module, places[None]
        if self.encoder is not None:
            places = self.encoder(places, training=False)

        def step(words: Tensor, state: Any) -> tuple[Tensor, Any, dict[str, Tensor]]:
            word = own.words(words.clamp(min=0)).masked_fill((words < 0)[:, None], 0)
            logits, state, maps = own.advance(word, state)
            return logits.log_softmax(1), state, maps

        with torch.no_grad():
            found = beam_search(step, own.start(places), start=-1, end=0, beam=self.beam, longest=self.longest)
        best = found[0][0]
        return torch.tensor(best.words), places.new_tensor([best.score])


REFERENCES = tuple(
    Reference(
        f"{name}/{_SOURCE}",
        "show_attend_tell",
        _authors,
        state=_authors_state,
        host=_halving,
        adapt=_AuthorsBeam if name == "beam_search" else _Cost,
    )
    for name in ("sat_theano", "sat_hard", "beam_search")
)
