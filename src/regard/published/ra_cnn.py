"""RA-CNN as it is ported, on the small networks that stand in for VGG-19, and its ranking loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.ops.ranking import ranking
from regard.published.reference import Reference, State


def _net(c, in_size, out_size, num_classes, apn_hidden):
    names: dict[str, str] = {}
    for i in range(3):
        names |= {f"trunks.{i}.convolutions.{j}": f"b{i + 1}.features.{3 * j}" for j in (0, 1)}
        names |= {f"trunks.{i}.norms.{j}": f"b{i + 1}.features.{3 * j + 1}" for j in (0, 1)}
        names[f"classifiers.{i}"] = f"classifier{i + 1}"
    names |= {f"proposals.{i}.{j}": f"apn{i + 1}.{j}" for i in (0, 1) for j in (0, 2)}
    return {
        "backbone": None,
        "widths": (c // 2, c),
        "image_size": in_size,
        "crop_size": out_size,
        "classes": num_classes,
        "hidden": apn_hidden,
    }, names


def _across_first(state: State, args: Mapping[str, Any]) -> State:
    """The port proposes row, column, half side."""
    turned = {key for key in state if key.startswith("apn") and key.rpartition(".")[0].endswith(".2")}
    return {key: value[[1, 0, 2]] if key in turned else value for key, value in state.items()}


class _Views(nn.Module):
    """Everything that the port returns, in its order."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        seen = self.module(x, views=True)
        squares = tuple(square[:, [1, 0, 2]] for square in seen.squares)
        return (*seen.scores, *seen.maps[:2], *squares, *seen.images[1:])


def _loss(margin, scales):
    small = {"backbone": None, "widths": (1,), "image_size": 2, "crop_size": 2, "hidden": 1}
    return {**small, "classes": 2, "scales": scales}, {}


class _Losses(nn.Module):
    """The ranking loss in both readings, and the loss on classes; it has no parameters."""

    def __init__(self, module: nn.Module, args: Mapping[str, Any]) -> None:
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
    Reference("racnn_net/jeong-tae.RACNN-pytorch/RACNN", "ra_cnn", _net, state=_across_first, adapt=_Views),
    Reference("racnn_rank_loss/klrc.RACNN-pytorch/RACNN.rank_loss", "ra_cnn", _loss, host=_Losses),
)
