"""Checkpoint mappings for adaptive attention: the paper's equations, the released Lua code, and its port.

jiasenlu/AdaptiveAttention has words from 1, V + 1 for both start and end, and row 0 of the embedding for nothing; its
scores begin with word 1. ruotianluo's word 0 is start, end and padding. yufengm/Adaptive begins with a word as given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.published.reference import Names, Reference, State, unsupported

# yufengm/Adaptive

_SENTINEL = {"input": "affine_x", "state": "affine_h"}
_LOOK = {"place": "affine_v", "memory": "affine_g", "sentinel": "affine_s", "score": "affine_h"}
_WRITER = {
    "words": "embed",
    "memory.input.weight": "LSTM.weight_ih_l0",
    "memory.input.bias": "LSTM.bias_ih_l0",
    "memory.state.weight": "LSTM.weight_hh_l0",
    "memory.state.bias": "LSTM.bias_hh_l0",
    **{f"sentinel.{ours}": f"adaptive.sentinel.{theirs}" for ours, theirs in _SENTINEL.items()},
    **{f"look.{ours}": f"adaptive.atten.{theirs}" for ours, theirs in _LOOK.items()},
    "scores": "adaptive.mlp",
}


def _paper(embed: int, vocabulary: int, hidden: int, width: int) -> dict[str, Any]:
    return {"channels": 1, "vocabulary": vocabulary, "embed": embed, "hidden": hidden, "attention": width}


def _sentinel(input_size, hidden_size):
    return _paper(1, 4, hidden_size, 1), _SENTINEL


def _attention(hidden_size, att_hidden=49, regions=49):
    return _paper(1, 4, hidden_size, att_hidden), _LOOK


def _decoder(embed_size, vocab_size, hidden_size, att_hidden=49, regions=49):
    return _paper(embed_size, vocab_size, hidden_size, att_hidden), _WRITER


def _part(path: str) -> Callable[[Any, Mapping[str, Any]], nn.Module]:
    """Takes the part of our network at the path, which is what is published."""

    def host(module: Any, args: Mapping[str, Any]) -> nn.Module:
        part: nn.Module = module.get_submodule(path)
        return part

    return host


def _sentinel_part(module: Any, args: Mapping[str, Any]) -> nn.Module:
    part: Any = module.writer.sentinel
    part.input = nn.Linear(args["input_size"], args["hidden_size"], bias=False)  # any width, and not twice one
    whole: nn.Module = part
    return whole


class _Sentinels(nn.Module):
    """The sentinels of several steps at once, `B T *`."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, before: Tensor, c: Tensor) -> Tensor:
        found: Tensor = self.module(x, before, c)
        return found


class _Looks(nn.Module):
    """The looks of several steps at once: places `B N C`, outputs and sentinels `B T C` -> ĉ, α and β `B T 1`."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module

    def forward(self, places: Tensor, h: Tensor, s: Tensor) -> tuple[Tensor, ...]:
        found = [self.module(h[:, t], s[:, t], places, None) for t in range(h.shape[1])]
        taken, alpha, beta = (torch.stack(one, 1) for one in zip(*found, strict=True))
        return taken, alpha, beta[..., None]


class _Scores(nn.Module):
    """The words' scores before the softmax, of embedded places and image."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module

    def forward(self, places: Tensor, whole: Tensor, words: Tensor) -> Tensor:
        h = c = places.new_zeros(len(places), self.module.scores.in_features)
        scores = []
        for word in words.unbind(1):
            logits, h, c, _, _ = self.module(word, h, c, whole, places, None)
            scores.append(logits)
        return torch.stack(scores, 1)


# jiasenlu/AdaptiveAttention


def _lua(
    vocab_size, input_encoding_size=512, rnn_size=512, fc_size=2048, conv_size=2048, conv_num=49, num_layers=1,
    dropout=0.5,
):  # fmt: skip
    arguments = {
        "channels": conv_size,
        "regions": True,
        "whole_channels": fc_size,
        "vocabulary": vocab_size + 2,
        "embed": input_encoding_size,
        "hidden": rnn_size,
        "attention": input_encoding_size,
        "layers": num_layers,
        "dropout": dropout,
    }
    names = {
        "words": "lookup",
        "whole": "img.fc",
        "places.linear": "img.conv",
        "projection": "img.conv_embed",
        "core.look.sentinel": "att.fake",
        "core.look.sentinel_score": "att.fake_embed",
        "core.look.memory": "att.h",
        "core.look.memory_score": "att.h_embed",
        "core.look.score": "att.score",
        "core.look.out": "att.out",
        "scores": "att.proj",
        **_memory("lstm", num_layers, "h2h_{}", "i2h_{}"),
    }
    return arguments, names


def _memory(theirs: str, layers: int, state: str, below: str, *, first: int = 1) -> Names:
    """Our names of the released memory -> those below `theirs`; `first` is their number of layer 1's input."""
    names = {
        "word": "w2h",
        "whole": "v2h",
        "sentinel_word": "r_w2h",
        "sentinel_whole": "r_v2h",
        "sentinel_below": "r_i2h",
        "sentinel_state": "r_h2h",
        **{f"state.{i}": state.format(i) for i in range(layers)},
    }
    for i in range(1, layers):
        names[f"below.{i - 1}"] = below.format(i - 1 + first)
    return {f"core.memory.{ours}": f"{theirs}.{name}" for ours, name in names.items()}


def _lua_state(state: State, args: Mapping[str, Any]) -> State:
    """A row of the scores for word 0, which nothing reads."""
    padded = {f"att.proj.{part}": state[f"att.proj.{part}"] for part in ("weight", "bias")}
    return {**state, **{key: torch.cat([tensor[:1] * 0, tensor]) for key, tensor in padded.items()}}


class _Criterion(nn.Module):
    """The released loss and the log-probabilities `T B V+1`, of places, the whole image, and words `T B`."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module

    def forward(self, places: Tensor, whole: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        end = self.module.vocabulary - 1
        state = self.module.begin(places, whole)
        given = torch.cat([torch.full_like(words[:1], end), words[:-1]])
        found = []
        for word in given:
            logits, state, _ = self.module.advance(word, state)
            found.append(logits[:, 1:].log_softmax(1))
        log_probabilities = torch.stack(found)
        counts = torch.cat([torch.ones_like(words[:1]), words[:-1]]).cumprod(0) > 0  # up to the first 0, included
        truth = words.masked_fill(words == 0, end) - 1
        chosen = log_probabilities.gather(2, truth[..., None]).squeeze(2)
        return -chosen[counts].mean(), log_probabilities


# ruotianluo/ImageCaptioning.pytorch

_LUO_LOOK = {
    "sentinel": "fr_linear.0",
    "sentinel_score": "fr_embed",
    "memory": "ho_linear.0",
    "memory_score": "ho_embed",
    "score": "alpha_net",
    "out": "att2h",
}


def _luo(*, maxout: bool | None, core: bool) -> Callable[..., tuple[dict[str, Any], Names]]:
    def build(
        vocab_size, input_encoding_size=512, rnn_type="lstm", rnn_size=512, num_layers=1, drop_prob_lm=0.5,
        seq_length=16, max_length=None, fc_feat_size=2048, att_feat_size=2048, att_hid_size=512, use_bn=0,
        att_masks=False, seq_per_img=5, logit_layers=1, use_maxout=False,
    ):  # fmt: skip
        if logit_layers != 1:
            raise unsupported("logit_layers", logit_layers, "1 is accepted")
        if input_encoding_size != rnn_size:
            raise unsupported("input_encoding_size", input_encoding_size, f"rnn_size={rnn_size} is accepted")
        arguments = {
            "channels": att_feat_size,
            "regions": True,
            "whole_channels": fc_feat_size,
            "vocabulary": vocab_size + 1,
            "embed": input_encoding_size,
            "hidden": rnn_size,
            "attention": att_hid_size,
            "layers": num_layers,
            "maxout": use_maxout if maxout is None else maxout,
            "norms": 0 if core else int(use_bn),
            "dropout": drop_prob_lm,
        }
        names = {
            **_memory("lstm", num_layers, "h2h.{}", "i2h.{}", first=0),
            **{f"core.look.{ours}": f"attention.{theirs}" for ours, theirs in _LUO_LOOK.items()},
        }
        if core:
            return arguments, {ours.removeprefix("core."): theirs for ours, theirs in names.items()}
        first = 1 if use_bn else 0
        return arguments, {
            **{ours: f"core.{theirs}" for ours, theirs in names.items()},
            "words": "embed.0",
            "whole": "fc_embed.0",
            "places.before": "att_embed.0",
            "places.linear": f"att_embed.{first}",
            "places.behind": "att_embed.4",
            "projection": "ctx2att",
            "scores": "logit",
        }

    return build


class _Core(nn.Module):
    """A step of the memory and the attention: memory `layers B n` twice, and a mask of numbers."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module

    def forward(
        self,
        word: Tensor,
        whole: Tensor,
        places: Tensor,
        projected: Tensor,
        h: Tensor,
        c: Tensor,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        memory = [one for pair in zip(h, c, strict=True) for one in pair]
        visible = None if mask is None else mask > 0
        out, _, memory = self.module(word, whole, places, projected, memory, visible)
        return out, torch.stack(memory[::2]), torch.stack(memory[1::2])


class _Sentences(nn.Module):
    """Our network on words of which several sentences may belong to one image; zeros once all have ended."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module

    def forward(self, whole: Tensor, places: Tensor, words: Tensor, mask: Tensor | None = None) -> Tensor:
        visible = None if mask is None else mask > 0
        each = len(words) // len(places)
        whole, places = whole.repeat_interleave(each, 0), places.repeat_interleave(each, 0)
        state = self.module.begin(places, whole, None if visible is None else visible.repeat_interleave(each, 0))
        found = []
        for t, word in enumerate(words.unbind(1)):
            if t and not bool(word.any()):
                break
            step = self.module.step(word, state)
            state = step.state
            found.append(step.log_probabilities)
        return F.pad(torch.stack(found, 1), (0, 0, 0, words.shape[1] - len(found)))


_YUFENGM = "yufengm.Adaptive"
_LUO = "ruotianluo.ImageCaptioning.pytorch"

REFERENCES = (
    Reference(
        f"adaptive_sentinel/{_YUFENGM}/Sentinel",
        "adaptive_attention",
        _sentinel,
        host=_sentinel_part,
        adapt=_Sentinels,
    ),
    Reference(
        f"adaptive_attention/{_YUFENGM}/Atten",
        "adaptive_attention",
        _attention,
        host=_part("writer.look"),
        adapt=_Looks,
    ),
    Reference(
        f"adaptive_decoder/{_YUFENGM}/Decoder", "adaptive_attention", _decoder, host=_part("writer"), adapt=_Scores
    ),
    Reference(
        "adaptive_lua/jiasenlu.AdaptiveAttention/nn.LanguageModel-Criterion",
        "adaatt",
        _lua,
        state=_lua_state,
        adapt=_Criterion,
    ),
    Reference(f"adaatt/{_LUO}/AdaAttCore", "adaatt", _luo(maxout=None, core=True), host=_part("core"), adapt=_Core),
    Reference(
        f"adaatt_maxout/{_LUO}/AdaAttCore", "adaatt", _luo(maxout=True, core=True), host=_part("core"), adapt=_Core
    ),
    Reference(f"adaatt_model/{_LUO}/AdaAttModel", "adaatt", _luo(maxout=False, core=False), adapt=_Sentences),
    Reference(f"adaattmo_model/{_LUO}/AdaAttMOModel", "adaatt", _luo(maxout=True, core=False), adapt=_Sentences),
)
