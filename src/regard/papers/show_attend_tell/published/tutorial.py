"""Checkpoint mapping for sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning.

0 is padding there, and start and end are the last two words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.networks.captioner import decode
from regard.published.reference import Reference, State

_SGRVINOD = "sgrvinod.a-PyTorch-Tutorial-to-Image-Captioning"


def _tutorial_arguments(attention_dim, embed_dim, decoder_dim, vocab_size, encoder_dim) -> dict[str, Any]:
    return {
        "channels": encoder_dim,
        "vocabulary": vocab_size,
        "embed": embed_dim,
        "hidden": decoder_dim,
        "attention": attention_dim,
        "form": "tutorial",
    }


_TUTORIAL_ATTENTION = {"place": "encoder_att", "memory": "decoder_att", "score": "full_att"}
_TUTORIAL = {
    **{f"layers.0.attention.{ours}": f"attention.{theirs}" for ours, theirs in _TUTORIAL_ATTENTION.items()},
    "words": "embedding",
    "layers.0.select": "f_beta",
    "layers.0.gates.input.weight": "of_word",
    "layers.0.gates.sight.weight": "of_sight",
    "layers.0.gates.input.bias": "decode_step.bias_ih",
    "layers.0.gates.state.weight": "decode_step.weight_hh",
    "layers.0.gates.state.bias": "decode_step.bias_hh",
    "first.0": "init_h",
    "first.1": "init_c",
    "scores": "fc",
}


def _tutorial(attention_dim, embed_dim, decoder_dim, vocab_size, encoder_dim=2048, dropout=0.5, alpha_c=1.0):
    arguments = _tutorial_arguments(attention_dim, embed_dim, decoder_dim, vocab_size, encoder_dim)
    return {**arguments, "coverage": alpha_c}, _TUTORIAL


def _tutorial_state(state: State, args: Mapping[str, Any]) -> State:
    width = args["embed_dim"]
    inputs = state["decode_step.weight_ih"]
    kept = {key: value for key, value in state.items() if key != "decode_step.weight_ih"}
    return {**kept, "of_word": inputs[:, :width], "of_sight": inputs[:, width:]}


def _tutorial_attention(encoder_dim, decoder_dim, attention_dim):
    return _tutorial_arguments(attention_dim, 1, decoder_dim, 4, encoder_dim), _TUTORIAL_ATTENTION


def _tutorial_beam(
    attention_dim, embed_dim, decoder_dim, vocab_size, encoder_dim=2048, dropout=0.5, beam=3, start=None, end=None,
    max_steps=51,
):  # fmt: skip
    return _tutorial_arguments(attention_dim, embed_dim, decoder_dim, vocab_size, encoder_dim), _TUTORIAL


def _part(module: Any, args: Mapping[str, Any]) -> nn.Module:
    part: nn.Module = module.layers[0].attention
    return part


class _Weights(nn.Module):
    """The attention alone: places `B N C` and a memory -> what is seen and α."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module

    def forward(self, places: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        alpha = self.module.logits(memory, self.module.project(places), None).softmax(1)
        return torch.bmm(alpha[:, None], places).squeeze(1), alpha


class _Training(nn.Module):
    """The loss of the tutorial's training, of the places `B H W C` and captions that end at their lengths.

    Returns: the loss, the scores `B L V` and weights `B L N` by falling length with zeros after the end, and the order.
    """

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module

    def forward(self, places: Tensor, captions: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        lengths, order = lengths.squeeze(1).sort(descending=True)
        places, captions, steps = places[order], captions[order], lengths - 1
        longest = int(steps.max())
        state = self.module.start(places.permute(0, 3, 1, 2))
        scores, weights = [], []
        for t in range(longest):
            logits, state, maps = self.module.advance(self.module.words(captions[:, t]), state)
            scores.append(logits)
            weights.append(maps["attention"])
        mask = torch.arange(longest) < steps[:, None]
        logits = torch.stack(scores, 1).masked_fill(~mask[..., None], 0)
        alpha = torch.stack(weights, 1).flatten(2).masked_fill(~mask[..., None], 0)
        entropy = F.cross_entropy(logits[mask], captions[:, 1 : longest + 1][mask])
        return entropy + self.module.penalty({"attention": alpha}, mask), logits, alpha, order


class _TutorialBeam(nn.Module):
    """The best finished sentence for the places `1 H W C` of one image, start and end included, and its score."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        vocabulary = args["vocab_size"]
        self.module, self.beam, self.longest = module, args.get("beam", 3), args.get("max_steps", 51)
        self.start, self.end = args.get("start") or vocabulary - 2, args.get("end") or vocabulary - 1

    def forward(self, places: Tensor) -> tuple[Tensor, Tensor]:
        around = {"start": self.start, "end": self.end, "never": ()}
        found = decode(self.module, (places.permute(0, 3, 1, 2),), beam=self.beam, longest=self.longest, **around)
        best = next(one for one in found[0] if one.finished)
        return torch.tensor((self.start, *best.words)), places.new_tensor(best.score)


REFERENCES = (
    Reference(
        f"sat_soft_attention/{_SGRVINOD}/Attention",
        "show_attend_tell",
        _tutorial_attention,
        host=_part,
        adapt=_Weights,
    ),
    Reference(
        f"sat_soft/{_SGRVINOD}/DecoderWithAttention-train-loss",
        "show_attend_tell",
        _tutorial,
        state=_tutorial_state,
        adapt=_Training,
    ),
    Reference(
        f"beam_search/{_SGRVINOD}/evaluate",
        "show_attend_tell",
        _tutorial_beam,
        state=_tutorial_state,
        adapt=_TutorialBeam,
    ),
)
