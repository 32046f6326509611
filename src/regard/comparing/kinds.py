"""The two kinds of comparison: attention in a backbone, and segmentation heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Tensor, nn

from regard.comparing import Comparison, Trial, attached, segmenting
from regard.comparing.building import Blueprint
from regard.comparing.images import Images, Read
from regard.data.batches import Batch, Data, Normalisation
from regard.saved.description import Trained
from regard.training.plan import Task


class Kind(Protocol):
    """The kind of a comparison: its data, its networks, and what is kept of each test image."""

    def load(
        self, settings: Comparison, datasets: tuple[Data, Data] | None, classes: Sequence[str] | None, read: Read
    ) -> Images:
        """Loads the images. Raises: ValueError for an argument that these data do not take; what reading raises."""
        ...

    def task(self, settings: Comparison, images: Images) -> Task:
        """The task. Raises: ValueError for fewer than two classes."""
        ...

    def chance(self, images: Images) -> float | None:
        """The score of always giving the commonest answer; None where there is none."""
        ...

    def fitting(self, settings: Comparison, images: Images) -> tuple[Comparison, dict[str, str]]:
        """The settings with `all` replaced by every row that fits, and why the others were left out.

        Raises: LookupError and ValueError where the backbone or the sites are wrong rather than a mechanism.
        """
        ...

    def survey(self, settings: Comparison, images: Images) -> Blueprint:
        """Builds every row once, so that errors occur before any training; the message names the row."""
        ...

    def build(self, settings: Comparison, row: str, seed: int, images: Images, blueprint: Blueprint) -> nn.Module:
        """The untrained model of one row and seed, on the CPU. The caller's random state is left alone."""
        ...

    def learning(self, row: str, model: nn.Module, blueprint: Blueprint, task: Task) -> Sequence[str]:
        """The modules and parameters that learn beside a frozen backbone. Raises: ValueError if they cannot be told."""
        ...

    def explained(self, outputs: Any) -> Tensor:
        """The score of each image whose gradient Grad-CAM takes: `B`."""
        ...

    def each(self, task: Task, given: Sequence[Any]) -> Mapping[str, Tensor]:
        """Per-image results of a batch to keep, by name, each `B …`; `given` is what the metric's `update` takes."""
        ...

    def answers(self, task: Task, model: nn.Module, batch: Batch) -> Mapping[str, NDArray[Any]]:
        """The model's answers for the gallery, by name, each [B, …]; empty where it shows none."""
        ...

    def truths(self, images: Images, shown: Sequence[int]) -> Mapping[str, NDArray[Any]]:
        """The truth of these test images for the gallery; empty where it shows none beside the class."""
        ...

    def facts(self, settings: Comparison, images: Images, blueprint: Blueprint) -> Mapping[str, Any]:
        """The facts of this kind for run.json, beyond those of every comparison."""
        ...

    def description(
        self,
        settings: Comparison,
        trial: Trial,
        images: Images,
        model: nn.Module,
        blueprint: Blueprint,
        normalise: Normalisation | None,
    ) -> Trained | None:
        """The description in the weights file, from which `regard look` opens it; None if it cannot be opened so."""
        ...


def of(settings: Comparison) -> Kind:
    """The kind of a comparison."""
    return segmenting.Segmenting() if settings.segments else attached.Attached()
