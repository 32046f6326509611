"""Checkpoint mappings for NeuralTalk and NeuralTalk2, and readings of the paper's equations of the alignment.

NeuralTalk has word 0 for start and end, and its weights stand at the right of its vectors (x W); NeuralTalk2 counts
words from 1 and has V + 1 for start and end. Rows are used as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regard import catalog
from regard.networks.captioner import Step, evaluated
from regard.ops.beam_search import beam_search
from regard.papers.neural_talk.ranking import phrases, ranking_loss
from regard.published.reference import Given, Reference, State, unsupported

EVERY = 0  # start and end of NeuralTalk
LONGEST = 20  # steps of its beam search
NAMES = {name: name for name in ("image", "words", "layers.0.input", "layers.0.state", "scores")}


def _neuraltalk(
    V, E, Hd, FD, generator="lstm", tanhC_version=0, rnn_feed_once=0, rnn_relu_encoders=0, regc=0.0,
    drop_prob_encoder=0.0, drop_prob_decoder=0.0, beam=1, seed=0,
):  # fmt: skip
    if generator not in ("lstm", "rnn"):
        raise unsupported("generator", generator, "'lstm' or 'rnn' is needed")
    arguments = {
        "channels": FD,
        "vocabulary": V,
        "embed": E,
        "hidden": Hd,
        "cell": "rnn" if generator == "rnn" else "tanh" if tanhC_version else "linear",
        "once": generator == "rnn" and bool(rnn_feed_once),
        "rectified": generator == "rnn" and bool(rnn_relu_encoders),
        "dropout": drop_prob_decoder,
    }
    return arguments, NAMES


def _turned(state: State, args: Given) -> State:
    """NeuralTalk's matrices as those of layers."""
    found = {
        "image.weight": state["We"].T,
        "image.bias": state["be"],
        "words.weight": state["Ws"],
        "scores.weight": state["Wd"].T,
        "scores.bias": state["bd"],
    }
    if "WLSTM" in state:
        bias, inputs, before = state["WLSTM"].split([1, args["E"], args["Hd"]])
        found |= {"layers.0.input.weight": inputs.T, "layers.0.input.bias": bias, "layers.0.state.weight": before.T}
    else:
        found |= {"layers.0.input.weight": state["Wxh"].T, "layers.0.input.bias": state["bxh"]}
        found |= {"layers.0.state.weight": state["Whh"].T, "layers.0.state.bias": state["bhh"]}
    return found


class _Cost(nn.Module):
    """The cost of a batch, with the decay of all matrices, and the scores of every sentence."""

    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()
        self.module, self.decay = module, args.get("regc", 0.0)

    def forward(self, features: Tensor, sentences: Tensor) -> tuple[Tensor, ...]:
        cost = features.new_zeros(1)
        every = []
        for feature, words in zip(features, sentences, strict=True):
            words = words[words >= 0]
            given, wanted = nn.functional.pad(words, (1, 0)), nn.functional.pad(words, (0, 1))
            scores = self._scores(feature[None], given)
            cost = cost + nn.functional.cross_entropy(scores, wanted, reduction="sum") / len(features)
            every.append(scores)
        layer: Any = self.module.layers[0]
        matrices: list[Any] = [self.module.image, self.module.words, self.module.scores, layer.input, layer.state]
        weights = [matrix.weight for matrix in matrices]
        if self.module.cell != "rnn":
            weights.append(layer.input.bias)  # a row of the released matrix
        squares = torch.stack([weight.square().sum() for weight in weights]).sum()
        cost = cost + 0.5 * self.decay * squares / len(features)
        return (cost, *every)

    def _scores(self, feature: Tensor, words: Tensor) -> Tensor:
        """The scores before the softmax, `L V`."""
        module = self.module
        state, rows = module.start(feature), []
        for word in words:
            h, state = module._through(module.words(word[None]), state)
            rows.append(module.scores(h))
        return torch.cat(rows)


class _Beam(nn.Module):
    """The best sentence of a beam search for one image, and the sum of its log-probabilities."""

    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()
        self.module, self.beam = module, args.get("beam", 1)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        def step(words: Tensor, state: Any) -> Step:
            found = self.module.step(words, state)
            return found._replace(log_probabilities=(found.log_probabilities.exp() + 1e-20).log())

        with evaluated(self.module), torch.no_grad():
            state = self.module.start(feature[None])
            how = {"start": EVERY, "end": EVERY, "beam": self.beam, "longest": LONGEST, "finished": "stay"}
            best = beam_search(step, state, **how)[0][0]
        return torch.tensor(best.words), feature.new_tensor([best.score])


def _neuraltalk2(vocab, E, rnn, layers=1):
    arguments = {"channels": E, "vocabulary": vocab + 1, "embed": E, "hidden": rnn, "layers": layers, "dropout": 0.0}
    names = {"words": "lookup", "scores": "decoder"}
    for i in range(layers):
        names |= {f"layers.{i}.input": f"i2h_{i + 1}", f"layers.{i}.state": f"h2h_{i + 1}"}
    return arguments, names


def _embedded(module: nn.Module, args: Given) -> nn.Module:
    """The released language model gets images that are embedded already, by the last layer of its image network."""
    module.image = nn.Identity()
    return module


class _LanguageModel(nn.Module):
    """NeuralTalk2's language model with its criterion: words `L B` from 1, 0 behind the end of a sentence."""

    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        module = self.module
        state = module.start(image)
        rows = [module.scores(state.hidden[:, -1]).log_softmax(1)]
        used = words[: int((words.sum(1) > 0).sum())]
        start = torch.full_like(words[:1], module.vocabulary)
        for word in torch.cat([start, used]).clamp_min(1) - 1:
            step = module.step(word, state)
            state = step.state
            rows.append(step.log_probabilities)
        every = torch.stack(rows)
        lengths = (words > 0).long().cumprod(0).sum(0)
        wanted = torch.cat([words, torch.zeros_like(start)])
        wanted[lengths, torch.arange(words.shape[1])] = module.vocabulary
        chosen = wanted[: len(used) + 1]
        each = -every[1:].gather(2, (chosen.clamp_min(1) - 1)[:, :, None]).squeeze(2)
        return each[chosen > 0].mean(), every


def _dvsa(cnn_dim, word_dim, hidden, margin=1.0, images=None, regions=None, lens=()):
    names = {"region": "Wm", "embed": "We", "ahead": "Wf", "back": "Wb", "mix": "Wd"}
    return {"channels": cnn_dim, "word": word_dim, "hidden": hidden}, names


class _Aligned(nn.Module):
    """The ranking loss and both kinds of scores, of sentences whose lengths are arguments."""

    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()
        self.module, self.margin, self.lengths = module, args.get("margin", 1.0), args["lens"]

    def forward(self, regions: Tensor, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mask = torch.arange(words.shape[1]) < torch.tensor(self.lengths)[:, None]
        scores = self.module(regions, None, words, mask)
        self.module.pairs = "sum"
        summed = self.module(regions, None, words, mask)
        self.module.pairs = "max"
        return ranking_loss(scores, self.margin), scores, summed


def _mrf(beta):
    return {"channels": 1, "word": 1, "hidden": 1}, {"": ""}


class _Phrases(nn.Module):
    """The regions of the words of a sentence: a function without parameters."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.beta = float(args["beta"])

    def forward(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        return phrases(scores, self.beta)


def _nothing(state: State, args: Given) -> State:
    """What the alignment would have; the function uses none of it."""
    module = catalog.create("dvsa", 1, word=1, hidden=1)
    return dict(module.state_dict())


NEURALTALK = "karpathy.neuraltalk/RNNGenCost-GenericBatchGenerator"
REFERENCES = (
    Reference(f"neuraltalk_lstm/{NEURALTALK}-LSTMGenerator", "neural_talk", _neuraltalk, state=_turned, adapt=_Cost),
    Reference(f"neuraltalk_rnn/{NEURALTALK}-RNNGenerator", "neural_talk", _neuraltalk, state=_turned, adapt=_Cost),
    Reference("beam_search/karpathy.neuraltalk/predict", "neural_talk", _neuraltalk, state=_turned, adapt=_Beam),
    Reference(
        "neuraltalk2/karpathy.neuraltalk2/nn.LanguageModel-LanguageModelCriterion",
        "neural_talk",
        _neuraltalk2,
        host=_embedded,
        adapt=_LanguageModel,
        recording="karpathy/neuraltalk2's Lua, transcribed",
    ),
    Reference("dvsa/paper", "dvsa", _dvsa, adapt=_Aligned, recording="equations 1 to 9 of the paper"),
    Reference(
        "dvsa_mrf/paper", "dvsa", _mrf, state=_nothing, adapt=_Phrases, recording="equations 10 to 12 of the paper"
    ),
)
