"""Checkpoint mappings for captioners that see the image once, of ruotianluo/ImageCaptioning.pytorch.

Word 0 is start, end and padding at once there, and the words follow from 1; rows are used as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regard.networks.captioner import decode
from regard.published.reference import Reference

BEAM = "beam_search/ruotianluo.ImageCaptioning.pytorch/CaptionModel.beam_search-with-NewFCModel-NewFCModel"
EVERY = 0  # start, end and padding


def _arguments(
    vocab_size, input_encoding_size, rnn_size, num_layers, drop_prob_lm, fc_feat_size, cell
) -> dict[str, Any]:
    return {
        "channels": fc_feat_size,
        "vocabulary": vocab_size + 1,
        "embed": input_encoding_size,
        "hidden": rnn_size,
        "layers": num_layers,
        "cell": cell,
        "dropout": drop_prob_lm,
    }


def _show_tell(
    vocab_size, input_encoding_size=512, rnn_type="lstm", rnn_size=512, num_layers=1, drop_prob_lm=0.5, seq_length=16,
    max_length=None, fc_feat_size=2048, att_feat_size=2048, att_hid_size=512, use_bn=0,
):  # fmt: skip
    arguments = _arguments(vocab_size, input_encoding_size, rnn_size, num_layers, drop_prob_lm, fc_feat_size, "tanh")
    names = {"image": "img_embed", "words": "embed", "scores": "logit"}
    for i in range(num_layers):
        names[f"layers.{i}.input.weight"] = f"core.weight_ih_l{i}"
        names[f"layers.{i}.state.weight"] = f"core.weight_hh_l{i}"
    return arguments, names


def _fc(
    vocab_size, input_encoding_size=512, rnn_type="lstm", rnn_size=512, num_layers=1, drop_prob_lm=0.5, seq_length=16,
    max_length=None, fc_feat_size=2048, att_feat_size=2048, att_hid_size=512, use_bn=0,
):  # fmt: skip
    # Its cell has one layer, whatever num_layers says.
    arguments = _arguments(vocab_size, input_encoding_size, rnn_size, 1, drop_prob_lm, fc_feat_size, "maxout")
    names = {"image": "img_embed", "words": "embed", "scores": "logit"}
    return arguments, {**names, "layers.0.input": "core.i2h", "layers.0.state": "core.h2h"}


def _new_fc(
    vocab_size, input_encoding_size=512, rnn_type="lstm", rnn_size=512, num_layers=1, drop_prob_lm=0.5, seq_length=16,
    max_length=None, fc_feat_size=2048, att_feat_size=2048, att_hid_size=512, use_bn=0, beam_size=1, sample_n=1,
    suppress_UNK=0,
):  # fmt: skip
    arguments = _arguments(vocab_size, input_encoding_size, rnn_size, 1, drop_prob_lm, fc_feat_size, "maxout")
    names = {"image": "fc_embed", "words": "embed", "scores": "logit"}
    return arguments, {**names, "layers.0.input": "_core.i2h", "layers.0.state": "_core.h2h"}


class _Sentences(nn.Module):
    """Our network on features and words of which several sentences may belong to one image; it ends with the last."""

    def __init__(self, module: nn.Module, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module

    def forward(self, features: Tensor, words: Tensor) -> Tensor:
        features = features.repeat_interleave(len(words) // len(features), 0)
        empty = (words[:, 1:] == EVERY).all(0)
        last = 1 + int(empty.long().argmax()) if empty.any() else words.shape[1]
        found: Tensor = self.module(features, words[:, :last])
        return found


class _Beam(nn.Module):
    """The best sentence of a beam search for one image, padded by 0, and the sum of its log-probabilities."""

    def __init__(self, module: nn.Module, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module
        self.beam, self.longest = args.get("beam_size", 1), args.get("max_length") or args.get("seq_length", 16)

    def forward(self, features: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        found = decode(
            self.module,
            (features,),
            beam=self.beam,
            longest=self.longest,
            finished="aside",
            start=EVERY,
            end=EVERY,
            never=(),
        )
        words = torch.zeros(len(found), self.longest, dtype=torch.int64)
        for i, (best, *_) in enumerate(found):
            words[i, : len(best.words)] = torch.tensor(best.words)
        return words, features.new_tensor([best.score for best, *_ in found])


REFERENCES = (
    Reference(
        "show_tell/ruotianluo.ImageCaptioning.pytorch/ShowTellModel", "show_and_tell", _show_tell, adapt=_Sentences
    ),
    Reference("fc_model/ruotianluo.ImageCaptioning.pytorch/FCModel", "show_and_tell", _fc, adapt=_Sentences),
    Reference(BEAM, "show_and_tell", _new_fc, adapt=_Beam),
)
