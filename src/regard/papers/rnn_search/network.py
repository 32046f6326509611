"""RNNsearch: a recurrent translator that searches the source sentence for every word that it writes.

Neural Machine Translation by Jointly Learning to Align and Translate. Bahdanau, Cho, Bengio. ICLR 2015,
arXiv:1409.0473. Official code: lisa-groundhog/GroundHog (Theano).

    f(h, x) = (1 − z)∘h + z∘tanh(W x + U (r∘h)),  z = σ(W_z x + U_z h),  r = σ(W_r x + U_r h)      A.1.1    (1)
    h_j = [→h_j; ←h_j],  →h_j = f(→h_{j−1}, E x_j),  ←h_j = f(←h_{j+1}, E x_j)                     A.2.1    (2)
    s_0 = tanh(W_s ←h_1)                                                                           A.2.2    (3)
    e_ij = vᵀ tanh(W_a s_{i−1} + U_a h_j),  α_i = softmax(e_i),  c_i = Σ_j α_ij h_j                          (4)
    s_i = f(s_{i−1}, [E y_{i−1}; c_i])                                                                       (5)
    t_i = maxout of pairs of U_o s_{i−1} + V_o E y_{i−1} + C_o c_i,  p(y_i) = softmax(W_o t_i)               (6)

Place: a whole system; the attention is `bahdanau`.
Cost: per source word 6n(m + n) and per target word 3n(m + 3n) + 2l(m + 3n) + lV multiplications, and 2n·T + n'(n + T)
    for the attention; T·n' memory. 80,401,000 parameters at 30,000 words in each language.
Deviations: paper (5) | official code s_i = f(s_{i−1}, [E y_i; c_i]), so that the state that aligns and reads out
    knows the word before | `lag=False`. Paper leaves out all biases, and counts none | official code has them in the
    embeddings, the candidates, the first state and both layers of the readout | `bias=True`. The official code
    factorises W_o through the width of the embeddings; here it is one matrix. The paper drops out nothing | `dropout`,
    of the embeddings and of t, for small corpora. RNNencdec, to which the paper compares, hands the decoder one vector
    of the sentence | `context="ends"`, c_i = [→h_T; ←h_1] in the same network.
Errata: torch's GRU is another cell: z and 1 − z are exchanged, and r multiplies after U. Ports on it, such as
    bastings/annotated_encoder_decoder, also read out from s_i, without maxout | `GRUSearch`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from regard.checks import check_input, choice, flag, number, positive
from regard.core import Attention
from regard.networks.captioner import Step, acting, log_softmax
from regard.ops.words import START
from regard.papers.rnn_search.mechanism import AdditiveAttention

CONTEXTS = ("attention", "ends", "mean")


class _Gates(nn.Module):
    """The maps of one input of a cell to its candidate and its gates, as one matrix `3n inputs` in this order."""

    def __init__(self, inputs: int, hidden: int, *, std: float | None, bias: bool = False) -> None:
        super().__init__()
        self.candidate = nn.Linear(inputs, hidden, bias=bias)
        self.update = nn.Linear(inputs, hidden, bias=False)
        self.reset = nn.Linear(inputs, hidden, bias=False)
        for layer in (self.candidate, self.update, self.reset):
            if std is None:
                nn.init.orthogonal_(layer.weight)
            else:
                nn.init.normal_(layer.weight, std=std)
        if bias:
            nn.init.zeros_(self.candidate.bias)

    @property
    def weight(self) -> Tensor:
        return torch.cat([self.candidate.weight, self.update.weight, self.reset.weight])

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight)
        bias = self.candidate.bias
        return y if bias is None else y + F.pad(bias, (0, 2 * len(bias)))


class _Cell(nn.Module):
    """f of equation (1): the maps of its input and of the state before."""

    def __init__(self, inputs: int, hidden: int, *, bias: bool, std: float) -> None:
        super().__init__()
        self.input = _Gates(inputs, hidden, bias=bias, std=std)
        self.recurrent = _Gates(hidden, hidden, std=None)


def _updated(x: Tensor, h: Tensor, weight: Tensor) -> Tensor:
    """f(h, x) for several cells at once: x `K B 3n` is the input's share, h `K B n`, weight `K n 3n`."""
    n = h.shape[-1]
    gates = torch.baddbmm(x[..., n:], h, weight[..., n:]).sigmoid()
    z, r = gates[..., :n], gates[..., n:]
    candidate = torch.baddbmm(x[..., :n], r * h, weight[..., :n]).tanh()
    return h + z * (candidate - h)


class Memory(NamedTuple):
    """What the decoder knows before each word; every tensor has the batch first.

    Attributes:
        annotations: h `B T 2n`.
        projected: U_a h `B T n'`.
        visible: `bool B T`, where there is a word.
        state: the last s `B n`.
        context: the last c `B 2n`.
    """

    annotations: Tensor
    projected: Tensor
    visible: Tensor
    state: Tensor
    context: Tensor


class RNNSearch(Attention):
    """RNNsearch, a bidirectional recurrent encoder and a decoder that aligns before every word.

    Args:
        source_vocabulary: words of the source language, with padding, start, end and unknown.
        vocabulary: words of the target language, likewise.
        embedding: m, width of the embeddings.
        hidden: n, width of the states, of each direction in the encoder.
        attention: n', width of the alignment model.
        maxout: l, width of the layer before the softmax.
        context: c_i is the weighted sum of equation (4) for "attention"; the same two end states at every word, as in
            RNNencdec, for "ends"; the plain mean of all annotations for "mean".
        lag: the state is updated as in (5); without it with the word itself, as in the official code.
        bias: the biases of the official code.
        dropout: of the embeddings and of t.
        std: the standard deviation of the first weights; the paper's 0.01 is for its widths, narrow networks need more.

    Shapes: source `word B T`, source_mask `bool B T`, true where there is a word (None: everywhere), words `word B L`,
        the first of which is the start -> log-probabilities `B L vocabulary` of the word after each.
    Maps: attention `B L T`; rows sum to 1. None without attention.
    Raises: ValueError for an argument out of range or inputs of other shapes.
    """

    seen = ("source", "source_mask")

    def __init__(
        self,
        *,
        source_vocabulary: int,
        vocabulary: int,
        embedding: int = 620,
        hidden: int = 1000,
        attention: int = 1000,
        maxout: int = 500,
        context: str = "attention",
        lag: bool = True,
        bias: bool = False,
        dropout: float = 0.0,
        std: float = 0.01,
    ) -> None:
        super().__init__()
        positive("source_vocabulary", source_vocabulary)
        self.vocabulary = positive("vocabulary", vocabulary)
        positive("embedding", embedding)
        positive("hidden", hidden)
        positive("attention", attention)
        positive("maxout", maxout)
        choice("context", context, CONTEXTS)
        flag("lag", lag)
        flag("bias", bias)
        number("dropout", dropout, least=0, most=1)
        number("std", std, above=0)
        self.lag = lag
        self.fixed = context
        self.source = nn.Embedding(source_vocabulary, embedding)
        self.target = nn.Embedding(vocabulary, embedding)
        self.biases = nn.ParameterList([torch.zeros(embedding) for _ in range(2)] if bias else [])
        self.ahead = _Cell(embedding, hidden, bias=bias, std=std)
        self.back = _Cell(embedding, hidden, bias=bias, std=std)
        self.first = nn.Linear(hidden, hidden, bias=bias)
        self.align = (
            AdditiveAttention(2 * hidden, state_channels=hidden, hidden=attention) if context == "attention" else None
        )
        self.decoder = _Cell(embedding, hidden, bias=bias, std=std)
        self.from_context = _Gates(2 * hidden, hidden, std=std)
        self.read_state = nn.Linear(hidden, 2 * maxout, bias=bias)
        self.read_word = nn.Linear(embedding, 2 * maxout, bias=False)
        self.read_context = nn.Linear(2 * hidden, 2 * maxout, bias=False)
        self.output = nn.Linear(maxout, vocabulary, bias=bias)
        self.dropout = nn.Dropout(dropout)
        linear = (self.first, self.read_state, self.read_word, self.read_context, self.output)
        for layer in (self.source, self.target, *linear):
            nn.init.normal_(layer.weight, std=std)
        for layer in linear:
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, source: Tensor, source_mask: Tensor | None, words: Tensor) -> Tensor:
        check_input(words, "B L", B=source.shape[0])
        memory = self.start(source, source_mask)
        logits, _, alpha = self.unrolled(memory, self.embedded(words), words != START)
        if alpha is not None:
            self.show("attention", alpha)
        return log_softmax(logits)

    def start(self, source: Tensor, source_mask: Tensor | None = None) -> Memory:
        """Equations (2) and (3), and U_a h: what is known before the first word."""
        check_input(source, "B T")
        visible = torch.ones_like(source, dtype=torch.bool) if source_mask is None else source_mask
        check_input(visible, "B T", B=source.shape[0], T=source.shape[1])
        x = self.dropout(F.embedding(source, self.source.weight) + (self.biases[0] if len(self.biases) else 0))
        both = torch.stack([self.ahead.input(x), self.back.input(x.flip(1))], 1).unbind(2)  # T of [B, 2, 3n]
        seen = torch.stack([visible, visible.flip(1)], 0).unbind(2)  # T of [2, B]
        weight = torch.stack([self.ahead.recurrent.weight.T, self.back.recurrent.weight.T])
        h = x.new_zeros(2, len(x), weight.shape[1])
        states = []
        for share, here in zip(both, seen, strict=True):
            h = torch.where(here[..., None], _updated(share.transpose(0, 1), h, weight), h)  # padding keeps the state
            states.append(h)
        ahead, back = torch.stack(states, 2)  # [B, T, n]; the second from the end
        annotations = torch.cat([ahead, back.flip(1)], 2)
        state = self.first(h[1]).tanh()
        if self.align is not None:
            projected = self.align.project(annotations)
            return Memory(annotations, projected, visible, state, torch.zeros_like(annotations[:, 0]))
        summary = h.transpose(0, 1).flatten(1) if self.fixed == "ends" else _mean(annotations, visible)
        return Memory(annotations, annotations[..., :0], visible, state, summary)

    def step(self, words: Tensor, state: Memory) -> Step:
        """The log-probabilities of the word after `words`, `word B`."""
        logits, after, alpha = self.unrolled(state, self.embedded(words[:, None]), words[:, None] != START)
        maps = {} if alpha is None else {"attention": alpha[:, 0]}
        return Step(log_softmax(logits[:, 0]), after, maps)

    def embedded(self, words: Tensor, *, begins: bool = True) -> Tensor:
        """E y `B L m`; zeros for the start, unless the sentence has none."""
        e = F.embedding(words, self.target.weight) + (self.biases[1] if len(self.biases) else 0)
        dropped: Tensor = self.dropout(e.masked_fill((words == START)[..., None], 0) if begins else e)
        return dropped

    def unrolled(self, memory: Memory, e: Tensor, fresh: Tensor) -> tuple[Tensor, Memory, Tensor | None]:
        """Equations (4) to (6) word by word: logits `B L V`, what is known after them, and α `B L T` if there is any.

        Args:
            memory: what is known before.
            e: E y of the words before each one that is to be predicted, `B L m`.
            fresh: `bool B L`, whether the word was written, so that it updates the state without `lag`.
        """
        recurrent = self.decoder.recurrent.weight.T[None]
        through = self.from_context.weight
        shares = self.decoder.input(e).unbind(1)  # L of [B, 3n]
        s, c, alpha = memory.state, memory.context, None
        states, contexts, alphas = [], [], []
        for share, new in zip(shares, fresh.unbind(1), strict=True):
            if not self.lag:
                s = torch.where(new[:, None], self._next(s, share, c, recurrent, through), s)
            if self.align is not None:
                c, alpha = _attended(self, self.align, s, memory)
                alphas.append(alpha)
            states.append(s)
            contexts.append(c)
            if self.lag:
                s = self._next(s, share, c, recurrent, through)
        t = self.read_state(torch.stack(states, 1)) + self.read_word(e) + self.read_context(torch.stack(contexts, 1))
        logits = self.output(self.dropout(t.unflatten(-1, (-1, 2)).amax(-1)))
        after = memory._replace(state=s, context=c)
        return logits, after, torch.stack(alphas, 1) if alphas else None

    def _next(self, s: Tensor, share: Tensor, c: Tensor, recurrent: Tensor, through: Tensor) -> Tensor:
        """f(s, [E y; c]), of which `share` is the word's."""
        return _updated((share + F.linear(c, through))[None], s[None], recurrent)[0]


def _mean(annotations: Tensor, visible: Tensor) -> Tensor:
    """The mean of the visible annotations, `B T 2n` -> `B 2n`."""
    seen = visible.to(annotations.dtype)[..., None]
    return (annotations * seen).sum(1) / seen.sum(1).clamp_min(1)


class GruMemory(NamedTuple):
    """What the decoder of `GRUSearch` knows before each word; every tensor has the batch first.

    Attributes:
        annotations: h `B T 2n`.
        projected: U_a h `B T n`.
        visible: `bool B T`, where there is a word.
        state: s of every layer, `B layers n`.
    """

    annotations: Tensor
    projected: Tensor
    visible: Tensor
    state: Tensor


class GRUSearch(Attention):
    """RNNsearch on torch's GRU, as it is often taught: several layers, and a readout of the updated state.

    The state is updated with the word before and the context, s_i = GRU(s_{i−1}, [E y_{i−1}; c_i]), and the readout is
    W_o W_t [E y_{i−1}; s_i; c_i], two linear maps without a bias.

    Args:
        source_vocabulary: words of the source language, with padding, start, end and unknown.
        vocabulary: words of the target language, likewise.
        embedding: width of the embeddings.
        hidden: n, width of the states and of the alignment model.
        layers: of encoder and decoder.
        dropout: between the layers, and of what is read out.

    Shapes: source `word B T`, source_mask `bool B T`, true where there is a word, all words before all padding (None:
        everywhere), words `word B L`, the first of which is the start -> log-probabilities `B L vocabulary`.
    Maps: attention `B L T`; rows sum to 1.
    Raises: ValueError for an argument out of range or inputs of other shapes.
    """

    seen = ("source", "source_mask")

    def __init__(
        self,
        *,
        source_vocabulary: int,
        vocabulary: int,
        embedding: int = 256,
        hidden: int = 512,
        layers: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        positive("source_vocabulary", source_vocabulary)
        self.vocabulary = positive("vocabulary", vocabulary)
        positive("embedding", embedding)
        positive("hidden", hidden)
        self.layers = positive("layers", layers)
        number("dropout", dropout, least=0, most=1)
        between = dropout if layers > 1 else 0.0
        self.source = nn.Embedding(source_vocabulary, embedding)
        self.target = nn.Embedding(vocabulary, embedding)
        self.encoder = nn.GRU(embedding, hidden, layers, batch_first=True, dropout=between, bidirectional=True)
        self.first = nn.Linear(2 * hidden, hidden)
        self.align = AdditiveAttention(2 * hidden, state_channels=hidden)
        self.decoder = nn.GRU(embedding + 2 * hidden, hidden, layers, batch_first=True, dropout=between)
        self.read = nn.Linear(embedding + 3 * hidden, hidden, bias=False)
        self.output = nn.Linear(hidden, vocabulary, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, source: Tensor, source_mask: Tensor | None, words: Tensor) -> Tensor:
        check_input(words, "B L", B=source.shape[0])
        log_probabilities, _, _, alpha = self.unrolled(self.start(source, source_mask), words)
        self.show("attention", alpha)
        return log_probabilities

    def start(self, source: Tensor, source_mask: Tensor | None = None) -> GruMemory:
        """The annotations and the first state: what is known before the first word."""
        check_input(source, "B T")
        visible = torch.ones_like(source, dtype=torch.bool) if source_mask is None else source_mask
        check_input(visible, "B T", B=source.shape[0], T=source.shape[1])
        embedded = self.source(source)
        if source_mask is None or source.is_meta:  # nothing is padding, or there is nothing to count
            annotations, last = self.encoder(embedded)
        else:
            lengths = visible.sum(1).clamp_min(1).cpu()
            packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
            states, last = self.encoder(packed)
            annotations, _ = pad_packed_sequence(states, batch_first=True, total_length=source.shape[1])
        both = last.unflatten(0, (self.layers, 2)).permute(2, 0, 1, 3).flatten(2)  # [B, layers, 2n]
        return GruMemory(annotations, self.align.project(annotations), visible, self.first(both).tanh())

    def step(self, words: Tensor, state: GruMemory) -> Step:
        """The log-probabilities of the word after `words`, `word B`."""
        log_probabilities, _, after, alpha = self.unrolled(state, words[:, None])
        return Step(log_probabilities[:, 0], after, {"attention": alpha[:, 0]})

    def unrolled(self, memory: GruMemory, words: Tensor) -> tuple[Tensor, Tensor, GruMemory, Tensor]:
        """Log-probabilities `B L V`, the states of the last layer `B L n`, what is known after them, and α `B L T`."""
        e = self.target(words)
        s = memory.state.transpose(0, 1).contiguous()
        outputs, contexts, alphas = [], [], []
        for word in e.unbind(1):
            c, alpha = _attended(self, self.align, s[-1], memory)
            y, s = self.decoder(torch.cat([word, c], 1)[:, None], s)
            outputs.append(y[:, 0])
            contexts.append(c)
            alphas.append(alpha)
        states = torch.stack(outputs, 1)
        read = self.read(self.dropout(torch.cat([e, states, torch.stack(contexts, 1)], 2)))
        after = memory._replace(state=s.transpose(0, 1))
        return log_softmax(self.output(read)), states, after, torch.stack(alphas, 1)


def _attended(
    model: Attention, align: AdditiveAttention, s: Tensor, memory: Memory | GruMemory
) -> tuple[Tensor, Tensor]:
    """c and α of equation (4), without the checks and the map of every single call; `model` shows all α as one."""
    e = align.score((align.state(s)[:, None] + memory.projected).tanh()).squeeze(2)
    alpha = acting(model, "attention", align.align(e, memory.visible), e.shape[1])  # [B, T]
    return torch.bmm(alpha[:, None], memory.annotations).squeeze(1), alpha
