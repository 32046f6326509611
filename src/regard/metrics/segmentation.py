"""Semantic segmentation metrics, from one confusion matrix over all pixels of all images.

Fully Convolutional Networks for Semantic Segmentation. Long, Shelhamer, Darrell. CVPR 2015, arXiv:1411.4038, Section 5.
With n_ij the pixels of class i that are predicted as j, t_i = Σ_j n_ij of class i, and s_i = Σ_j n_ji predicted as i:

    pixel_accuracy   Σ_i n_ii / Σ_i t_i                                                                    (1)
    class_accuracy   the mean of n_ii / t_i over the classes with pixels                                   (2)
    iou              n_ii / (t_i + s_i − n_ii);  miou: the mean over the classes that occur                (3)
    fwiou            Σ_i t_i iou_i / Σ_i t_i                                                               (4)
    dice             2 n_ii / (t_i + s_i), the mean over the classes that occur                            (5)

A class occurs if a pixel has it, in the labels or in the predictions. A pixel whose label is void is dropped from the
label and from the prediction. The mean over images of the mIoU of each image is another number, `image_miou`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from regard.checks import whole

VOID = 255


class Segmentation:
    """IoU, Dice and accuracies of label maps, accumulated over images of any sizes.

    `update` takes the predicted and the true label maps of several images; `compute` gives the numbers of equations (1)
    to (5), `image_miou`, and `iou/<class>` and `dice/<class>` of each class that occurs. `confusion[i, j]` counts the
    pixels of class i that are predicted as j.

    Args:
        classes: K, at least 2.
        names: the names of the classes, for the numbers of each; by default 0 to K − 1.
        void: the label of pixels that do not count; no class.

    Raises: ValueError for other arguments; in `update`, if sizes differ or a label is no class; in `compute`, without
        pixels.
    """

    def __init__(self, classes: int, names: Sequence[str] = (), *, void: int = VOID) -> None:
        self.classes = whole("classes", classes, 2)
        self.names = tuple(names) or tuple(map(str, range(classes)))
        if len(set(self.names)) != classes:
            raise ValueError(f"names={list(names)!r}: {classes} different names, one for each class, are needed")
        self.void = checked_void(void, classes)
        self.reset()

    def reset(self) -> None:
        """Removes all images."""
        self.confusion = torch.zeros(self.classes, self.classes, dtype=torch.int64)
        self.sum_of_images, self.images = 0.0, 0

    def update(self, predictions: Sequence[Tensor] | Tensor, truths: Sequence[Tensor] | Tensor) -> None:
        """Shapes: `H W` whole numbers for each image, a prediction of the size of its truth; or `B H W` of both."""
        for prediction, truth in zip(predictions, truths, strict=True):
            counts = self._counted(prediction, truth)
            self.confusion += counts
            if counts.any():
                self.sum_of_images += _mean(_iou(counts))
                self.images += 1

    def merge_state(self, incoming_state: Segmentation) -> None:
        """Adds the images of another metric."""
        self.confusion += incoming_state.confusion
        self.sum_of_images += incoming_state.sum_of_images
        self.images += incoming_state.images

    @property
    def iou(self) -> list[float | None]:
        """The IoU of each class, from 0 to 1; None for a class that does not occur."""
        return _or_none(_iou(self.confusion))

    @property
    def dice(self) -> list[float | None]:
        """The Dice coefficient of each class, from 0 to 1; None for a class that does not occur."""
        return _or_none(_dice(self.confusion))

    @property
    def per_class(self) -> list[float | None]:
        """The accuracy of each class, from 0 to 1; None for a class without pixels."""
        return _or_none(_recall(self.confusion))

    def compute(self) -> dict[str, float]:
        if not self.images:
            raise ValueError("no pixels with a class: at least one is needed to compute scores")
        counts = self.confusion
        iou, dice, there = _iou(counts), _dice(counts), counts.sum(1).double()
        occurring = [(i, name) for i, name in enumerate(self.names) if not iou[i].isnan()]
        return {
            "miou": _mean(iou),
            "pixel_accuracy": int(counts.diagonal().sum()) / int(counts.sum()),
            "class_accuracy": _mean(_recall(counts)),
            "fwiou": (there * iou.nan_to_num()).sum().item() / there.sum().item(),
            "dice": _mean(dice),
            "image_miou": self.sum_of_images / self.images,
            **{f"iou/{name}": iou[i].item() for i, name in occurring},
            **{f"dice/{name}": dice[i].item() for i, name in occurring},
        }

    def _counted(self, prediction: Tensor, truth: Tensor) -> Tensor:
        """The confusion matrix of one image, int64 `K K`."""
        if prediction.shape != truth.shape or truth.ndim != 2:
            found = f"a prediction {tuple(prediction.shape)} for a truth {tuple(truth.shape)}"
            raise ValueError(f"{found}: label maps H W of one size are needed")
        counted = truth != self.void
        said, label = (values[counted].to(torch.int64) for values in (prediction, truth))
        for what, values in (("truth", label), ("prediction", said)):
            known = f"classes from 0 to {self.classes - 1}"
            check_labels(what, values, self.classes, f"{known} or {self.void} (void)" if what == "truth" else known)
        pairs = label * self.classes + said
        return torch.bincount(pairs, minlength=self.classes**2).view(self.classes, self.classes).cpu()


def checked_void(void: int, classes: int) -> int:
    """Returns `void` if it is no class.

    Raises: ValueError otherwise.
    """
    if isinstance(void, bool) or not isinstance(void, int) or 0 <= void < classes:
        raise ValueError(f"void={void!r}: a whole number that is no class from 0 to {classes - 1} is needed")
    return void


def check_labels(what: str, labels: Tensor, classes: int, accepted: str) -> None:
    """Raises: ValueError that names the first label that is no class, and says what is accepted."""
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        raise ValueError(f"{what} holds the label {int(labels[wrong][0])}: {accepted} are needed")


def _iou(counts: Tensor) -> Tensor:
    """Equation (3), float64 `K`; NaN for a class that does not occur."""
    right = counts.diagonal().double()
    return right / (counts.sum(0) + counts.sum(1) - right)


def _dice(counts: Tensor) -> Tensor:
    """Equation (5), float64 `K`; NaN for a class that does not occur."""
    return 2 * counts.diagonal().double() / (counts.sum(0) + counts.sum(1))


def _recall(counts: Tensor) -> Tensor:
    """Equation (2), float64 `K`; NaN for a class without pixels."""
    return counts.diagonal().double() / counts.sum(1)


def _mean(values: Tensor) -> float:
    """The mean of the numbers that are not NaN; 0 divided by 0 stands for a class that does not occur."""
    return values.nanmean().item()


def _or_none(values: Tensor) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
