"""Attention transfer and distillation as tasks: a student is trained with labels and a fixed teacher.

Paying More Attention to Attention: Improving the Performance of Convolutional Neural Networks via Attention Transfer.
Zagoruyko, Komodakis. ICLR 2017, arXiv:1612.03928. Distilling the Knowledge in a Neural Network. Hinton, Vinyals, Dean.
2015, arXiv:1503.02531.

    L = (1 - α) CE + α T² KL(teacher ‖ student at temperature T)                                        (1)
      + β Σ over layers of the distance between the attention maps of their activations                 (2)
      + γ/2 / B Σ ‖∂CE_S/∂x - ∂CE_T/∂x‖²                                                                (3)

The trained network is a `Pair`, whose output is that of its student. `Teach` trains its teacher.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard import catalog
from regard.checks import number
from regard.data.batches import Batch
from regard.metrics.classification import Errors
from regard.metrics.metric import Measure
from regard.papers.attention_transfer.mechanism import AttentionTransfer, GradientTransfer, sensitivity
from regard.tasks.classify import ERROR, Classify, fitting


class Pair(nn.Module):
    """A student and its teacher in one module.

    Args:
        student, teacher: networks that take the same images.

    Shapes: images -> the logits of the student, or with `teacher=True` those of the teacher.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher

    def forward(self, x: Tensor, teacher: bool = False) -> Tensor:
        logits: Tensor = self.teacher(x) if teacher else self.student(x)
        return logits


@dataclass(frozen=True)
class Teach(Classify):
    """Classification by the teacher of a `Pair`."""

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """The logits of the teacher: `B K`."""
        return fitting(model(batch["image"], teacher=True), batch.size, self.classes)


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Training of the student of a `Pair` with labels and teacher: equations (1) to (3).

    Args:
        classes: K, at least 2.
        alpha: α, the teacher's share of the classification loss, from 0 (none) to 1; the released code uses 0.9.
        temperature: T; the released code uses 4.
        beta: β, the weight of activation-based transfer; 0 disables it, the released code uses 1000.
        layers: names of modules of both student and teacher whose outputs, of the same resolution, (2) compares; or
            pairs of names, the student's first.
        distance: of the maps: "squared", as released, or "norm", as in the paper.
        gamma: γ, the weight of gradient-based transfer; 0 disables it.

    Raises: ValueError if an argument is out of range, or β is given without layers.
    """

    classes: int
    alpha: float = 0.0
    temperature: float = 4.0
    beta: float = 0.0
    layers: tuple[str | tuple[str, str], ...] = ()
    distance: str = "squared"
    gamma: float = 0.0

    def __post_init__(self) -> None:
        Classify(self.classes)
        catalog.create("distillation", temperature=self.temperature, alpha=self.alpha)
        AttentionTransfer(distance=self.distance)
        number("beta", self.beta, least=0)
        number("gamma", self.gamma, least=0)
        if not isinstance(self.layers, tuple):  # the letters of a text would be taken for names
            raise ValueError(f"layers={self.layers!r}: a tuple of names is needed")
        if bool(self.beta) != bool(self.layers):
            raise ValueError(f"beta={self.beta!r}, layers={self.layers!r}: both or neither are needed")

    @property
    def measure(self) -> Measure:
        return ERROR

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equations (1) to (3), the mean over the images.

        Shapes: image `B C H W`, label `B`.
        Raises: ValueError if the model is not a `Pair` or returns another shape, or if `layers` names a module that
            does not exist or has no output of one tensor.
        """
        images, labels = batch["image"], batch["label"]
        pair = getattr(model, "module", model)  # DistributedDataParallel wraps it
        if not isinstance(pair, Pair):
            raise ValueError(f"model {type(pair).__name__}: a Pair of student and teacher is needed")
        names = [(layer, layer) if isinstance(layer, str) else layer for layer in self.layers]
        if self.gamma:
            images = images.detach().requires_grad_()
        with _outputs(pair.student, [ours for ours, _ in names]) as mine:
            logits = fitting(model(images), len(labels), self.classes)
        loss: Tensor
        if not (self.alpha or self.beta or self.gamma):
            return functional.cross_entropy(logits, labels), {}
        pair.teacher.eval()
        with torch.set_grad_enabled(bool(self.gamma)), _outputs(pair.teacher, [theirs for _, theirs in names]) as its:
            wanted = fitting(pair.teacher(images), len(labels), self.classes)
        distilled = catalog.create("distillation", temperature=self.temperature, alpha=self.alpha)
        loss = distilled(logits, wanted.detach(), labels)
        if self.beta:
            loss = loss + AttentionTransfer(beta=self.beta, distance=self.distance)(mine, [y.detach() for y in its])
        if self.gamma:
            ours, theirs = (
                sensitivity(functional.cross_entropy(z, labels, reduction="sum"), images) for z in (logits, wanted)
            )
            loss = loss + GradientTransfer(beta=self.gamma)(ours, theirs.detach()) / len(images)
        return loss, {}

    def metric(self) -> Errors:
        return Errors()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """Logits of the student as `error` and of the teacher as `teacher_error`, and labels."""
        student, teacher = model(batch["image"]), model(batch["image"], teacher=True)
        return {"error": student, "teacher_error": teacher}, batch["label"]


@contextmanager
def _outputs(model: nn.Module, names: list[str]) -> Iterator[list[Tensor]]:
    """Collects the outputs of the named modules, in the order of the names; filled when the block ends."""
    modules = dict(model.named_modules())
    unknown = [name for name in names if name not in modules]
    if unknown:
        known = ", ".join(name for name in modules if name)[:300]
        raise ValueError(f"layers: {type(model).__name__} has no module {unknown[0]!r}; its modules are {known}")
    found: dict[str, Tensor] = {}
    hooks = [
        modules[name].register_forward_hook(lambda _, __, output, name=name: found.update({name: output}))
        for name in names
    ]
    outputs: list[Tensor] = []
    try:
        yield outputs
        for name in names:
            if not isinstance(found.get(name), Tensor):
                raise ValueError(
                    f"layers: {name!r} of {type(model).__name__}: a module with an output of one tensor is needed"
                )
            outputs.append(found[name])
    finally:
        for hook in hooks:
            hook.remove()
