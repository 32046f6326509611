"""Checkpoint mappings for task partitioning: its loss, as recorded from a survey's words; no code is public."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from regard.core import Attention
from regard.papers.task_partition.partition import CLASSES, attention, deep_entropy, gated_entropy
from regard.published.reference import Given, Reference, unsupported


def _loss(foreground_class, deep_classes):
    if deep_classes != len(CLASSES):
        raise unsupported("deep_classes", deep_classes, f"{len(CLASSES)}, {', '.join(CLASSES)}, are needed")
    return {"backbone": "test_resnet", "shallow": 2, "deep": 2, "width": 1}, {}


class _Losses(Attention):
    """The losses of both heads with each normalisation; it has no parameters."""

    maps: ClassVar = {"attention": "B H W"}

    def __init__(self, module: nn.Module, args: Given) -> None:
        super().__init__()
        self.ends = args["foreground_class"]

    def forward(
        self, deep_logits: Tensor, shallow_logits: Tensor, *, deep_label: Tensor, shallow_label: Tensor
    ) -> dict[str, Tensor]:
        gate = attention(deep_logits.detach(), self.ends)
        self.see("attention", gate.to(deep_logits))
        mine = {over: gated_entropy(shallow_logits, shallow_label, gate, over=over) for over in ("all", "mask", "sum")}
        error = deep_entropy(deep_logits, deep_label, ends=self.ends)
        return {
            "loss_deep": error,
            "loss_shallow_mean_over_all": mine["all"],
            "loss_shallow_mean_over_mask": mine["mask"],
            "loss_shallow_sum": mine["sum"],
            "total_mean_over_mask": error + mine["mask"],
        }


REFERENCES = (
    Reference(
        "task_partition_loss/paper",
        "task_partition",
        _loss,
        host=_Losses,
        maps={"attention": "attention"},
        recording="the loss in the words of a survey, with three normalisations of the masked part",
    ),
)
