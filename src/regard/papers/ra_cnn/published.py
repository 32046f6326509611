"""Checkpoint mappings for RA-CNN: its crop, its network and its losses, as ported and as the paper writes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.ops import zooming
from regard.ops.ranking import ranking
from regard.published.reference import Given, Reference, State, unsupported

# Convolutions and batch norms of VGG-19-BN, by their numbers in torchvision's Sequential.
_BLOCKS = [
    [start + 3 * j + part for j in range(count) for part in (0, 1)]
    for start, count in ((0, 2), (7, 2), (14, 4), (27, 4), (40, 4))
]


def _port(in_size, out_size, k=10):
    return {"size": out_size, "k": float(k), "gradient": "rule"}, {}


def _mask(size, k=10.0):
    return {"k": float(k), "gradient": "mask"}, {}


def _amplify(out_size):
    return {"align_corners": False}, {}


class _Around(nn.Module):
    """Our module, called as the published one is."""

    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()
        self.module, self.args = module, args


class _Rows(_Around):
    """The crop of squares whose first coordinate is the row."""

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        crop: Tensor = self.module(x, at[:, [1, 0, 2]])
        return crop


class _Masked(_Around):
    """The whole image multiplied by the mask, and the mask."""

    def forward(self, x: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        mask = zooming.mask(zooming.edges(at), (x.shape[2], x.shape[3]), k=self.module.k)
        return x * mask, mask


class _Amplified(_Around):
    """The whole image enlarged."""

    def forward(self, x: Tensor) -> Tensor:
        whole = x.new_tensor([[0.0, 0.0, x.shape[3], x.shape[2]]]).expand(x.shape[0], 4)
        size = self.args["out_size"]
        heights = (size, size) if isinstance(size, int) else (size[0], size[1])
        return zooming.enlarged(x, whole, heights, align_corners=self.module.align_corners)


def _net(num_classes, pretrained=True, c=None, in_size=448, out_size=224, apn_hidden=1024):
    """The published arguments; or, with c, those of a recording with two convolutions in place of each VGG.

    `pretrained` says where the first weights come from, which the state replaces.
    """
    names: dict[str, str] = {}
    if c is None:
        for name, value, built in (
            ("in_size", in_size, 448),
            ("out_size", out_size, 224),
            ("apn_hidden", apn_hidden, 1024),
        ):
            if value != built:
                raise unsupported(name, value, f"the published class has {built}; others need c")
        for i in range(3):
            names |= {f"trunks.{i}.features_{j}": f"b{i + 1}.features.{j}" for block in _BLOCKS for j in block}
        return {"classes": num_classes}, names | _heads()
    for i in range(3):
        names |= {f"trunks.{i}.convolutions.{j}": f"b{i + 1}.features.{3 * j}" for j in (0, 1)}
        names |= {f"trunks.{i}.norms.{j}": f"b{i + 1}.features.{3 * j + 1}" for j in (0, 1)}
    return {
        "backbone": None,
        "widths": (c // 2, c),
        "image_size": in_size,
        "crop_size": out_size,
        "classes": num_classes,
        "hidden": apn_hidden,
    }, names | _heads()


def _heads():
    names = {f"classifiers.{i}": f"classifier{i + 1}" for i in range(3)}
    return names | {f"proposals.{i}.{j}": f"apn{i + 1}.{j}" for i in (0, 1) for j in (0, 2)}


def _net_state(state: State, args: Given) -> State:
    """`_across_first`, without ImageNet's classifiers, which the port keeps in its three VGGs and never calls."""
    unused = tuple(f"b{i + 1}.classifier." for i in range(3))
    return _across_first({key: value for key, value in state.items() if not key.startswith(unused)}, args)


def _across_first(state: State, args: Given) -> State:
    """The proposals' last layers with x before y; the port proposes row, column, half side."""
    turned = {key for key in state if key.startswith("apn") and key.rpartition(".")[0].endswith(".2")}
    return {key: value[[1, 0, 2]] if key in turned else value for key, value in state.items()}


class _Views(_Around):
    """The outputs of the port, in its order."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        seen = self.module(x, views=True)
        squares = tuple(square[:, [1, 0, 2]] for square in seen.squares)
        return (*seen.scores, *seen.maps[:2], *squares, *seen.images[1:])


def _loss(margin, scales):
    small = {"backbone": None, "widths": (1,), "image_size": 2, "crop_size": 2, "hidden": 1}
    return {**small, "classes": 2, "scales": scales}, {}


class _Losses(nn.Module):
    """The ranking loss by probabilities and by logits, and the loss on classes; it has no parameters."""

    def __init__(self, module: nn.Module, args: Given) -> None:
        super().__init__()
        self.margin = args["margin"]

    def forward(self, *scores: Tensor, target: Tensor) -> dict[str, Tensor]:
        each = ranking(scores, target, margin=self.margin)
        logits = ranking(scores, target, margin=self.margin, by="logits")
        return {
            "cls_sum_of_scales": torch.stack([F.cross_entropy(score, target) for score in scores]).sum(),
            "rank_logit_mean": logits.mean(),
            "rank_prob_per_sample": each,
            "rank_prob_sum": each.sum(),
        }


REFERENCES = (
    Reference(
        "racnn_attention_crop/jeong-tae.RACNN-pytorch/AttentionCropFunction", "attention_crop", _port, adapt=_Rows
    ),
    Reference("racnn_attention_mask/paper", "attention_crop", _mask, adapt=_Masked, recording="equations of the paper"),
    Reference("racnn_amplify/paper", "attention_crop", _amplify, adapt=_Amplified, recording="equations of the paper"),
    Reference("racnn_net/jeong-tae.RACNN-pytorch/RACNN", "ra_cnn", _net, state=_net_state, adapt=_Views),
    Reference("racnn_rank_loss/klrc.RACNN-pytorch/RACNN.rank_loss", "ra_cnn", _loss, host=_Losses),
)
