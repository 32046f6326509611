"""Metrics of segmented volumes: Dice of each case, and distances between surfaces in millimetres.

With P and T the predicted and the true voxels of a class in a case, and ∂P, ∂T their surfaces, the voxels of which one
of the six neighbours does not belong:

    dice = 2 |P ∩ T| / (|P| + |T|)                                                                          (1)
    d(p, ∂T) = min_{t ∈ ∂T} ‖p − t‖                        between the centres of voxels, in mm             (2)
    assd = (Σ_{p ∈ ∂P} d(p, ∂T) + Σ_{t ∈ ∂T} d(t, ∂P)) / (|∂P| + |∂T|)                                      (3)
    hd95 = max(95th percentile of d(p, ∂T) over ∂P, 95th percentile of d(t, ∂P) over ∂T)                    (4)

A class that is in neither is left out of (1); where it is missing in one of them, Dice is 0 and there are no distances.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from torch import Tensor

from regard.checks import flag, whole
from regard.metrics.segmentation import VOID, check_labels, checked_void

PERCENTILE = 95


def surface(inside: np.ndarray) -> np.ndarray:
    """The voxels of a region that have a neighbour outside it, or lie at the border of the volume; bool, as given."""
    found: np.ndarray = inside & ~ndimage.binary_erosion(inside)
    return found


def surface_distances(prediction: Tensor, truth: Tensor, spacing: Sequence[float]) -> tuple[float, float]:
    """Average symmetric and 95th percentile distance between two surfaces, equations (3) and (4), in mm.

    Args:
        prediction, truth: the two regions.
        spacing: the size of a voxel along each axis, in mm.

    Shapes: prediction and truth bool `D H W`; spacing 3.
    Raises: ValueError if the shapes differ, or a region is empty.
    """
    if prediction.shape != truth.shape or prediction.ndim != len(spacing):
        shapes = f"shapes {tuple(prediction.shape)} and {tuple(truth.shape)}, spacing {tuple(spacing)}"
        raise ValueError(f"{shapes}: two regions of one shape, and a number for each axis, are needed")
    regions = [region.cpu().numpy().astype(bool) for region in (prediction, truth)]
    if not all(region.any() for region in regions):
        raise ValueError("a region is empty: it has no surface")
    window = ndimage.find_objects((regions[0] | regions[1]).astype(np.uint8))[0]  # all else is as far from both
    ours, theirs = (surface(region[window]) for region in regions)
    there, back = (
        ndimage.distance_transform_edt(~other, sampling=tuple(spacing))[own]
        for own, other in ((ours, theirs), (theirs, ours))
    )
    average = (there.sum() + back.sum()) / (len(there) + len(back))
    return float(average), float(max(np.percentile(there, PERCENTILE), np.percentile(back, PERCENTILE)))


class Volumes:
    """Dice and surface distances of segmented volumes, one value for each case and class.

    `update` takes the predicted and the true label maps of several cases, and the spacing of their voxels; `compute`
    gives the means. Class 0 is the background, which is not scored.

        dice            the mean over cases of the mean over the classes of the case
        dice/<class>    the mean over the cases that have the class, in the truth or in the prediction
        assd, hd95      the means over all cases and classes with two surfaces, in mm; left out if there is none
        no_surface      how many cases and classes have Dice 0 and no distances, as one of the two regions is empty

    Args:
        classes: K, at least 2.
        names: the names of the classes, for the numbers of each; by default 0 to K − 1.
        void: the label of voxels that do not count, in the truth and in the prediction.
        surfaces: whether distances are computed, which takes longer than Dice.

    Raises: ValueError for other arguments; in `update`, if shapes differ or a label is no class; in `compute`, without
        a case that has a class.
    """

    def __init__(self, classes: int, names: Sequence[str] = (), *, void: int = VOID, surfaces: bool = True) -> None:
        self.classes = whole("classes", classes, 2)
        self.names = tuple(names) or tuple(map(str, range(classes)))
        if len(set(self.names)) != classes:
            raise ValueError(f"names={list(names)!r}: {classes} different names, one for each class, are needed")
        self.void, self.surfaces = checked_void(void, classes), flag("surfaces", surfaces)
        self.reset()

    def reset(self) -> None:
        """Removes all cases."""
        # Of each case: class -> (Dice, assd, hd95), with NaN for a distance without two surfaces.
        self.cases: list[dict[int, tuple[float, float, float]]] = []

    def update(
        self, predictions: Sequence[Tensor], truths: Sequence[Tensor], spacings: Sequence[Sequence[float]]
    ) -> None:
        """Shapes: for each case a prediction and a truth `D H W`, whole numbers, and a spacing of 3 numbers, in mm."""
        for prediction, truth, spacing in zip(predictions, truths, spacings, strict=True):
            self.cases.append(self._case(prediction.cpu(), truth.cpu(), [float(side) for side in spacing]))

    def _case(self, prediction: Tensor, truth: Tensor, spacing: list[float]) -> dict[int, tuple[float, float, float]]:
        if prediction.shape != truth.shape:
            shapes = f"{tuple(prediction.shape)} for a truth of {tuple(truth.shape)}"
            raise ValueError(f"a prediction of shape {shapes}: one shape is needed")
        counts = truth != self.void
        check_labels("truths", truth[counts], self.classes, f"classes from 0 to {self.classes - 1}")
        check_labels("predictions", prediction, self.classes, f"classes from 0 to {self.classes - 1}")
        found = {}
        for label in range(1, self.classes):
            ours, theirs = (prediction == label) & counts, truth == label
            sizes = int(ours.sum()), int(theirs.sum())
            if not any(sizes):
                continue
            dice = 2 * int((ours & theirs).sum()) / sum(sizes)
            distances = (math.nan, math.nan)
            if all(sizes) and self.surfaces:
                distances = surface_distances(ours, theirs, spacing)
            found[label] = (dice, *distances)
        return found

    def merge_state(self, incoming_state: Volumes) -> None:
        """Adds the cases of another metric."""
        self.cases += incoming_state.cases

    @property
    def per_case(self) -> list[float]:
        """The mean Dice of each case over its classes; NaN for a case without any."""
        return [_mean([dice for dice, *_ in case.values()]) for case in self.cases]

    def compute(self) -> dict[str, float]:
        scored = [value for value in self.per_case if not math.isnan(value)]
        if not scored:
            raise ValueError("no case has a class beside the background: at least one is needed to compute scores")
        rows = [row for case in self.cases for row in case.values()]
        figures = {"dice": _mean(scored), "no_surface": float(sum(dice == 0 and math.isnan(d) for dice, d, _ in rows))}
        figures |= self._distances(rows, "")
        for label in range(1, self.classes):
            own = [case[label] for case in self.cases if label in case]
            if own:
                name = self.names[label]
                figures |= {f"dice/{name}": _mean([dice for dice, *_ in own]), **self._distances(own, f"/{name}")}
        return figures

    def _distances(self, rows: Sequence[tuple[float, float, float]], suffix: str) -> dict[str, float]:
        known = [(average, far) for _, average, far in rows if not math.isnan(average)]
        if not known:
            return {}
        return {f"assd{suffix}": _mean([row[0] for row in known]), f"hd95{suffix}": _mean([row[1] for row in known])}


def _mean(values: Sequence[float]) -> float:
    """The mean, whatever the order of the values; NaN of none."""
    return math.fsum(values) / len(values) if values else math.nan
