"""Checkpoint mappings for Bottom-Up and Top-Down: the authors' definition for Caffe, and two repositories for PyTorch.

In ruotianluo's vocabulary row 0 is start, end and padding; in the authors' too. Those of questions are in `questions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.core import Attention
from regard.ops.beam_search import beam_search
from regard.papers.top_down.decoding import Looked, Memory
from regard.papers.top_down.questions import QUESTIONS
from regard.published.reference import Names, Reference, State, unsupported
from regard.tasks.self_critical import rewarded

_CORE = {
    "attend.input": "att_lstm.ih",
    "attend.state": "att_lstm.hh",
    "write.input": "lang_lstm.ih",
    "write.state": "lang_lstm.hh",
    "attention.query": "attention.h2att",
    "attention.score": "attention.alpha_net",
}


# Captions, ruotianluo/ImageCaptioning.pytorch


def _caption(
    vocab_size=9487, input_encoding_size=1000, rnn_type="lstm", rnn_size=1000, num_layers=1, drop_prob_lm=0.5,
    seq_length=16, max_length=20, fc_feat_size=2048, att_feat_size=2048, att_hid_size=512, use_bn=0, att_masks=False,
    seq_per_img=5, logit_layers=1, beam_size=3, sample_n=1, suppress_UNK=0, length_penalty="",
) -> tuple[dict[str, Any], Names]:  # fmt: skip
    if logit_layers != 1:
        raise unsupported("logit_layers", logit_layers, "1 is accepted")
    if fc_feat_size != att_feat_size:
        raise unsupported("fc_feat_size", fc_feat_size, f"{att_feat_size} is accepted, as att_feat_size has it")
    arguments = {
        "channels": att_feat_size,
        "vocabulary": vocab_size + 1,
        "embedding": input_encoding_size,
        "hidden": rnn_size,
        "scores": att_hid_size,
        "embedded": True,
        "norms": use_bn,
        "dropout": drop_prob_lm,
    }
    first = 1 if use_bn else 0
    names = {f"core.{ours}": f"core.{theirs}" for ours, theirs in _CORE.items()}
    names |= {
        "embed": "embed.0",
        "of_whole.linear": "fc_embed.0",
        "of_regions.before": "att_embed.0",
        "of_regions.linear": f"att_embed.{first}",
        "of_regions.behind": f"att_embed.{first + 3}",
        "core.attention.region": "ctx2att",
        "predict": "logit",
    }
    return arguments, names


def _cells(state: State, args: Mapping[str, Any]) -> State:
    """The four tensors of each LSTMCell as those of two layers: `weight_ih` becomes `ih.weight`."""
    found = {}
    for key, value in state.items():
        stem, _, name = key.rpartition(".")
        kind, _, part = name.rpartition("_")
        found[f"{stem}.{part}.{kind}" if part in ("ih", "hh") else key] = value
    return found


class _Captioner(nn.Module):
    """Our captioner, called with the mean and the regions; steps after the end of every sentence are zeros."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, whole: Tensor, features: Tensor, words: Tensor, mask: Tensor | None = None) -> Tensor:
        words = words.flatten(0, -2)
        times = len(words) // len(whole)
        visible = None if mask is None else mask != 0
        state = self.module.of(*(_repeated(x, times) for x in (features, whole, visible)))
        steps, maps = [], []
        for i, word in enumerate(words.unbind(1)):
            if i and not bool(words[:, i].any()):
                break
            step = self.module.step(word, state)
            state = step.state
            steps.append(step.log_probabilities)
            maps.append(step.maps["attention"])
        self.module.see("attention", _filled(torch.stack(maps, 1), words.shape[1]))
        return _filled(torch.stack(steps, 1), words.shape[1])


def _repeated(x: Tensor | None, times: int) -> Tensor | None:
    return x if x is None or times == 1 else x.repeat_interleave(times, 0)


def _filled(x: Tensor, length: int) -> Tensor:
    """Zeros behind the last step: `B L *` -> `B length *`."""
    return torch.cat([x, x.new_zeros(len(x), length - x.shape[1], *x.shape[2:])], 1)


class _Beam(nn.Module):
    """The best sentence for one image, and its score: word 0 begins, ends and fills it."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module, self.beam, self.longest = module, args.get("beam_size", 3), args.get("max_length", 20)
        name, _, number = str(args.get("length_penalty", "")).partition("_")
        self.penalty: Any = {"": "none", "avg": "average", "wu": ("wu", float(number or 0))}[name]
        self.never = (args["vocab_size"],) if args.get("suppress_UNK") else ()

    def forward(self, whole: Tensor, features: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        state = self.module.of(features, whole, None if mask is None else mask != 0)
        found = beam_search(
            self.module.step,
            state,
            start=0,
            end=0,
            beam=self.beam,
            longest=self.longest,
            finished="aside",
            penalty=self.penalty,
            never=self.never,
        )
        words = torch.zeros(len(found), self.longest, dtype=torch.int64)
        for row, (best, *_) in zip(words, found, strict=True):
            row[: len(best.words)] = torch.tensor(best.words)
        return words, whole.new_tensor([best.score for best, *_ in found])


# A step of these captions


def _core(**given: Any) -> tuple[dict[str, Any], Names]:
    arguments, _ = _caption(**{**given, "fc_feat_size": given["att_feat_size"], "use_bn": 0})
    return arguments, dict(_CORE)


def _core_of(module: Any, args: Mapping[str, Any]) -> nn.Module:
    core: nn.Module = module.core
    core.attention.region = nn.Identity()  # type: ignore[union-attr]  # the projected regions are an input
    return core


class _Core(Attention):
    """Our core, called with an embedded word, the embedded mean and regions, projected regions and the memory."""

    maps: ClassVar[Mapping[str, str]] = {"attention": "B N"}

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(
        self, word: Tensor, whole: Tensor, features: Tensor, projected: Tensor, h: Tensor, c: Tensor, *mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        visible = mask[0] != 0 if mask else None
        memory, alpha = self.module(word, Looked(features, projected, whole, visible, Memory(h[0], c[0], h[1], c[1])))
        self.see("attention", alpha)
        return memory.writing, torch.stack([memory[0], memory[2]]), torch.stack([memory[1], memory[3]])


# Captions, the authors' definition for Caffe


def _caffe(vocab=10010, embed=1000, lstm=1000, feat=2048, att_hidden=512, boxes=100, num_boxes=None):
    arguments = {"channels": feat, "vocabulary": vocab, "embedding": embed, "hidden": lstm, "scores": att_hidden}
    names = {
        "embed": "embed",
        "core.attend.input": "lstm1.input",
        "core.attend.state": "lstm1.state",
        "core.write.input": "lstm2.input",
        "core.write.state": "lstm2.state",
        "core.attention.region": "fc",
        "core.attention.query": "hidden_att",
        "core.attention.score": "predict_att",
        "predict": "predict",
    }
    return arguments, names


def _caffe_state(state: State, args: Mapping[str, Any]) -> State:
    """Each LSTM's one matrix as two, with our order of gates and inputs.

    The columns are [word, mean, h2, h1] of the first, and [h1, regions, h2] of the second; the gates i, f, o, g.
    """
    found = dict(state)
    embed, hidden, features = args.get("embed", 1000), args.get("lstm", 1000), args.get("feat", 2048)
    for name, widths, order in (
        ("lstm1", (embed, features, hidden, hidden), (2, 1, 0)),
        ("lstm2", (hidden, features, hidden), (1, 0)),
    ):
        parts = _gates(found.pop(f"{name}.weight")).split(widths, 1)
        found[f"{name}.input.weight"] = torch.cat([parts[i] for i in order], 1)
        found[f"{name}.state.weight"] = parts[-1]
        found[f"{name}.input.bias"] = _gates(found.pop(f"{name}.bias"))
    return found


def _gates(x: Tensor) -> Tensor:
    """Rows in the order i, f, g, o, of rows in the order i, f, o, g."""
    i, f, o, g = x.chunk(4)
    return torch.cat([i, f, g, o])


class _Caffe(nn.Module):
    """Our captioner, whose images have a fixed number of boxes each."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module, self.counts = module, args.get("num_boxes")

    def forward(self, features: Tensor, words: Tensor) -> Tensor:
        if self.counts is None:
            return self.module(features, None, words)
        counts = torch.tensor(self.counts, device=features.device)
        visible = torch.arange(features.shape[1], device=features.device) < counts[:, None]
        y: Tensor = self.module(features, visible, words)
        return y


# The losses of the captions


class _Losses(nn.Module):
    """The self-critical loss, the masked cross-entropy and the smoothed one; then the first two of every sentence.

    The rewarded words are those before the first row of padding, and the end behind them.
    """

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: Tensor, words: Tensor, reward: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        log_probabilities, mask = logits.log_softmax(2), mask.to(logits.dtype)
        own = log_probabilities.gather(2, words[:, :, None])[:, :, 0]
        there = words > 0
        kept = torch.cat([torch.ones_like(there[:, :1]), there[:, :-1]], 1)
        even = torch.full_like(log_probabilities, self.smoothing / (logits.shape[2] - 1))
        target = even.scatter(2, words[:, :, None], 1 - self.smoothing)
        smoothed = F.kl_div(log_probabilities, target, reduction="none").sum(2)
        one = torch.ones_like(own)
        return (
            rewarded(own, reward, kept),
            rewarded(own, one, mask),
            (smoothed * mask).sum() / mask.sum(),
            rewarded(own, reward, kept, each=True),
            rewarded(own, one, mask, each=True),
        )


def _losses(smoothing=0.0):
    return {"channels": 1, "vocabulary": 5, "embedding": 1, "hidden": 1, "scores": 1}, {}


REFERENCES = (
    Reference(
        "caption_losses/ruotianluo.ImageCaptioning.pytorch/RewardCriterion-LanguageModelCriterion-LabelSmoothing",
        "top_down_captioner",
        _losses,
        recording="three losses, which have no parameters",
        host=lambda module, args: _Losses(args.get("smoothing", 0.0)),
    ),
    Reference(
        "updown_caption/ruotianluo.ImageCaptioning.pytorch/UpDownModel",
        "top_down_captioner",
        _caption,
        state=_cells,
        adapt=lambda module, args: _Captioner(module),
        maps={"attention": "module/attention"},
    ),
    Reference(
        "updown_core/ruotianluo.ImageCaptioning.pytorch/UpDownCore",
        "top_down_captioner",
        _core,
        state=_cells,
        host=_core_of,
        adapt=lambda module, args: _Core(module),
        maps={"attention": "attention"},
    ),
    Reference(
        "beam_search/ruotianluo.ImageCaptioning.pytorch/CaptionModel.beam_search-with-UpDownModel-UpDownModel",
        "top_down_captioner",
        _caption,
        state=_cells,
        adapt=_Beam,
    ),
    Reference(
        "updown_caffe/peteanderson80.Up-Down-Captioner/net-caption_lstm",
        "top_down_captioner",
        _caffe,
        state=_caffe_state,
        adapt=_Caffe,
        maps={"attention": "module/attention"},
    ),
    *QUESTIONS,
)
