"""Diagnosis prediction: the categories of a patient's next visit, with the plain predictors always beside.

Dipole. Ma et al. KDD 2017, arXiv:1706.05764, Equation (12):

    L = 1/N Σ_n 1/(T_n − 1) Σ_t −(y_t · log ŷ_t + (1 − y_t) · log(1 − ŷ_t)),  ŷ = softmax(scores)           (1)

Two predictors that need no training are scored with every network: the last visit repeated, in which its categories
come before all others and the others follow by how often they occur; and the most frequent categories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.metrics.visits import KS, VisitScores
from regard.ops.precision import widened

REPEATED, FREQUENT = "last visit repeated", "most frequent"


class Beside(nn.Module):
    """A network, and others that are trained and scored beside it on the same batches.

    Every one has its own parameters, so each learns as it would alone where gradients are not clipped together.

    Args:
        networks: by name, the one of interest first; each takes the visits and their mask.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names = tuple(networks)
        for number, (name, network) in enumerate(networks.items()):
            self.add_module(name if number == 0 else f"beside_{number}", network)

    def forward(self, visits: Tensor, visible: Tensor | None = None) -> dict[str, Tensor]:
        return {name: network(visits, visible) for name, network in zip(self.names, self.children(), strict=True)}


@dataclass(frozen=True, kw_only=True)
class Diagnose:
    """Diagnosis prediction; a batch has the fields of `data.visits.Visits`.

    Args:
        classes: K, the number of categories.
        shares: of each category, the share of the visits of the training that have it.
        ks: the numbers k of the scores; the smallest that is at least 10, or the last one, is that of the measure.

    Raises: ValueError if there are not as many shares as classes.
    """

    classes: int
    shares: Sequence[float] = field(repr=False)
    ks: tuple[int, ...] = KS

    def __post_init__(self) -> None:
        if len(self.shares) != self.classes:
            raise ValueError(f"shares: {len(self.shares)} are given; one for each of {self.classes} classes is needed")

    @property
    def measure(self) -> Measure:
        k = next((k for k in self.ks if k >= 10), self.ks[-1])
        return Measure(f"precision@{k}", f"visit-level precision@{k}")

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The mean over patients of the mean over their visits; of several networks the sum, and each as a figure.

        Shapes: visits `B T F`, targets `B T K`, counts `B T`; the model returns scores `B T K`, or several by name.
        """
        scored = batch["counts"] > 0
        losses = {name: self._loss(scores, batch["targets"], scored) for name, scores in _asked(model, batch).items()}
        total = torch.stack([*losses.values()]).sum()
        return total, {f"loss of {name}": loss for name, loss in losses.items()} if len(losses) > 1 else {}

    def _loss(self, scores: Tensor, targets: Tensor, scored: Tensor) -> Tensor:
        log_p = F.log_softmax(widened(scores), 2)
        rest = torch.log1p(-log_p.exp().clamp(max=1 - torch.finfo(log_p.dtype).eps))
        visits = -(targets * log_p + (1 - targets) * rest).sum(2)  # [B, T]
        patients = (visits * scored).sum(1) / scored.sum(1).clamp_min(1)
        return patients.mean()

    def metric(self) -> VisitScores:
        return VisitScores(self.classes, ks=self.ks)

    def answers(self, model: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """The scores of each predictor, the one of interest called "", and of every visit that is scored the truth."""
        scored = batch["counts"] > 0
        found = {
            "" if number == 0 else name: widened(scores)[scored].softmax(1)
            for number, (name, scores) in enumerate(_asked(model, batch).items())
        }
        truth, last = batch["targets"][scored], batch["last"][scored]
        shares = torch.tensor(self.shares, dtype=torch.float32, device=truth.device)
        found |= {REPEATED: last + shares / 2, FREQUENT: shares.expand_as(truth)}
        patients = batch["patient"][:, None].expand_as(scored)[scored]
        return found, truth, batch["counts"][scored], patients


def _asked(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    returned = model(batch["visits"], batch["visits_mask"])
    return returned if isinstance(returned, Mapping) else {"network": returned}
