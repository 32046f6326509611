"""Checkpoint mappings for attention transfer: its losses, from the code and from the paper, and the Wide ResNet."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.papers.attention_transfer.mechanism import sensitivity
from regard.published.reference import Given, Reference, State

_AUTHORS = "attention_transfer/szagoruyko.attention-transfer"
_EQUATIONS = "equations of the paper"


def _at():
    return {}, {}


def _map(kind="sum", p=2):
    return {"pool": kind, "power": p}, {}


def _loss(p=2, beta=1.0):
    return {"pool": "sum", "power": p, "distance": "norm", "beta": beta}, {}


class _Around(nn.Module):
    """Our loss, called as the published function is."""

    def __init__(self, module: nn.Module, args: Given) -> None:
        super().__init__()
        self.module: Any = module


class _Normalised(_Around):
    """Q of one map."""

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.module.see("student", self.module.attention(x)).flatten(1))


class _Map(_Around):
    """F(A) of one map."""

    def forward(self, x: Tensor) -> Tensor:
        return self.module.attention(x)[:, 0]


class _Distances(_Around):
    """The loss of each sample."""

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return self.module.beta * self.module.distances(student, teacher)


def _classifier(cin: int, width: int, classes: int) -> nn.Sequential:
    """The recorded student or teacher, in which a second derivative exists everywhere."""
    pool = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(nn.Conv2d(cin, width, 3, padding=1), nn.Tanh(), pool, nn.Flatten(), nn.Linear(width, classes))


def _gradient(cin, student_width, teacher_width, classes, beta=1.0, symmetric=False):
    arguments = {"beta": beta, "symmetric": symmetric, ".learner": _classifier(cin, student_width, classes)}
    names = {"learner": "student"}
    if not symmetric:
        arguments[".example"] = _classifier(cin, teacher_width, classes)
        names["example"] = "teacher"
    return arguments, names


def _without_teacher(state: State, args: Given) -> State:
    """The state without a teacher where the loss is symmetric and uses none."""
    return {key: value for key, value in state.items() if not args.get("symmetric") or not key.startswith("teacher.")}


class _Gradients(_Around):
    """The student's cross-entropy and the loss on gradients, beside those gradients."""

    def forward(self, x: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        if not x.requires_grad:
            x = x.detach().requires_grad_()
        with torch.enable_grad():
            error = F.cross_entropy(self.module.learner(x), labels, reduction="sum")
            student = sensitivity(error, x)
            other = x.flip(-1) if self.module.symmetric else x
            network = self.module.learner if self.module.symmetric else self.module.example
            second = sensitivity(F.cross_entropy(network(other), labels, reduction="sum"), other)
            loss = error + self.module(student, second)
        return (loss, student) if self.module.symmetric else (loss, student, second)


def _wide(depth, width, num_classes):
    names = {"stem.weight": "conv0", "norm": "bn", "classify": "fc"}
    for group in range(3):
        for block in range((depth - 4) // 6):
            ours, theirs = f"groups.{group}.{block}", f"group{group}.block{block}"
            names |= {f"{ours}.norm1": f"{theirs}.bn0", f"{ours}.norm2": f"{theirs}.bn1"}
            # Their convolutions are tensors without a layer.
            names |= {f"{ours}.conv1.weight": f"{theirs}.conv0", f"{ours}.conv2.weight": f"{theirs}.conv1"}
            names[f"{ours}.project.weight"] = f"{theirs}.convdim"
    return {"classes": num_classes, "depth": depth, "width": width}, names


REFERENCES = (
    Reference(f"{_AUTHORS}/at_loss", "attention_transfer", _at),
    Reference(f"{_AUTHORS}/at", "attention_transfer", _at, adapt=_Normalised, maps={"attention": "module/student"}),
    Reference("attention_transfer/paper/section-3.1", "attention_transfer", _map, adapt=_Map, recording=_EQUATIONS),
    Reference("attention_transfer/paper/eq.-2", "attention_transfer", _loss, adapt=_Distances, recording=_EQUATIONS),
    Reference(
        "attention_transfer/paper/section-3.2",
        "gradient_transfer",
        _gradient,
        state=_without_teacher,
        adapt=_Gradients,
        recording=f"{_EQUATIONS}, with a student and a teacher of one convolution",
    ),
    Reference(f"{_AUTHORS}/resnet", "wide_resnet", _wide, maps={"group2": "activation"}),
)
