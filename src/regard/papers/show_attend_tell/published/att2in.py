"""Checkpoint mapping for att2in in ruotianluo/ImageCaptioning.pytorch, whose word 0 is start, end and padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from regard.published.reference import Names, Reference, unsupported

_LUO = "ruotianluo.ImageCaptioning.pytorch"

_CORE = {
    "input": "i2h",
    "state": "h2h",
    "memory": "attention.h2att",
    "score": "attention.alpha_net",
}


def _att2in(into: str, *, embedded: bool, core: bool) -> Callable[..., tuple[dict[str, Any], Names]]:
    def build(
        vocab_size, input_encoding_size=512, rnn_type="lstm", rnn_size=512, num_layers=1, drop_prob_lm=0.5,
        seq_length=16, max_length=None, fc_feat_size=2048, att_feat_size=2048, att_hid_size=512, use_bn=0,
        att_masks=False, seq_per_img=5, logit_layers=1,
    ):  # fmt: skip
        if logit_layers != 1:
            raise unsupported("logit_layers", logit_layers, "1 is accepted")
        arguments = {
            "channels": att_feat_size,
            "regions": True,
            "vocabulary": vocab_size + 1,
            "embed": input_encoding_size,
            "hidden": rnn_size,
            "attention": att_hid_size,
            "into": into,
            "embedded": embedded,
            "norms": 0 if core or not embedded else int(use_bn),
            "dropout": drop_prob_lm,
        }
        names = {**_CORE, "sight": "a2h" if into == "gates" else "a2c"}
        if core:
            return arguments, names
        names = {f"memory.{ours}": f"core.{theirs}" for ours, theirs in names.items()}
        names |= {"place": "ctx2att", "scores": "logit", "words": "embed.0" if embedded else "embed"}
        if embedded:
            first = 1 if use_bn else 0
            names |= {"places.linear": f"att_embed.{first}", "places.before": "att_embed.0"}
            names |= {"places.behind": "att_embed.4"}
        return arguments, names

    return build


def _memory(module: Any, args: Mapping[str, Any]) -> nn.Module:
    part: nn.Module = module.memory
    return part


class _Core(nn.Module):
    """A step of the memory: word, unused whole, places, their projection, memory `1 B n` twice, and a mask."""

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
        visible = None if mask is None else mask > 0
        h, c, _ = self.module(word, h[-1], c[-1], places, projected, visible)
        return h, h[None], c[None]


class _Sentences(nn.Module):
    """Our network on words of which several sentences may belong to one image; zeros once all have ended."""

    def __init__(self, module: nn.Module, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module

    def forward(self, whole: Tensor, places: Tensor, words: Tensor, mask: Tensor | None = None) -> Tensor:
        visible = None if mask is None else mask > 0
        each = len(words) // len(places)
        places = places.repeat_interleave(each, 0)
        visible = None if visible is None else visible.repeat_interleave(each, 0)
        ended = (words[:, 1:] == 0).all(0)
        last = 1 + int(ended.long().argmax()) if ended.any() else words.shape[1]
        found = self.module(places, visible, words[:, :last])
        return F.pad(found, (0, 0, 0, words.shape[1] - last))


REFERENCES = (
    Reference(
        f"att2in/{_LUO}/Att2inCore",
        "att2in",
        _att2in("candidate", embedded=False, core=True),
        host=_memory,
        adapt=_Core,
    ),
    Reference(
        f"att2in2/{_LUO}/Att2in2Core",
        "att2in",
        _att2in("candidate", embedded=True, core=True),
        host=_memory,
        adapt=_Core,
    ),
    Reference(
        f"att2all2/{_LUO}/Att2all2Core", "att2in", _att2in("gates", embedded=True, core=True), host=_memory, adapt=_Core
    ),
    Reference(
        f"att2in_model/{_LUO}/Att2inModel", "att2in", _att2in("candidate", embedded=False, core=False), adapt=_Sentences
    ),
    Reference(
        f"att2in2_model/{_LUO}/Att2in2Model",
        "att2in",
        _att2in("candidate", embedded=True, core=False),
        adapt=_Sentences,
        maps={"attention": "module/attention"},
    ),
    Reference(
        f"att2all2_model/{_LUO}/Att2all2Model",
        "att2in",
        _att2in("gates", embedded=True, core=False),
        adapt=_Sentences,
    ),
)
