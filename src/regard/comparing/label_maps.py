"""The images of a segmentation: a folder of images with label maps, drawn scenes, or a user's own pair of datasets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regard.comparing import SCENES, Comparison
from regard.comparing.images import Own, OwnImages, Read, as_they_are
from regard.data import EMBEDDED, far_cue
from regard.data import label_maps as files
from regard.data.batches import Data, Sample, collate
from regard.data.label_names import Colour, apart
from regard.metrics.segmentation import VOID

SIDE = 128  # pixels of the longer side of the images of a folder
TRAIN_SCENES, TEST_SCENES = 1500, 300  # drawn scenes, so that a comparison takes minutes


class Labelled(Own):
    """A dataset with a label map for each image; reads every sample once, as `Own` does.

    Args:
        data: a map-style dataset, whose samples have `image` and `mask`, and may have `truth` of the file's own size.
        called: `train` or `test`, for messages.

    Attributes:
        pixels: int64 `256`: how many pixels have each label.

    Raises: as `Own`; ValueError for a sample without a mask, or one of other than whole numbers from 0 to 255.
    """

    def __init__(self, data: Data, called: str) -> None:
        self.pixels = torch.zeros(VOID + 1, dtype=torch.int64)
        self.counted: set[int] = set()
        self.collate_fn = getattr(data, "collate_fn", partial(collate, listed=("truth",)))
        super().__init__(data, called, classify=False)

    def name(self, i: int) -> str:
        names = getattr(self.data, "names", None)
        return super().name(i) if names is None else str(names[i])

    def region(self, i: int) -> Tensor | None:
        """The region of the object, from the dataset's method `region` or the sample's field: bool `H W`."""
        told = getattr(self.data, "region", None)
        return super().region(i) if told is None else torch.as_tensor(told(i)).bool()

    def labels_of(self, i: int) -> Tensor:
        """The label map of image `i` at the size of the image: int64 `H W`."""
        mask: Tensor = self[i]["mask"]
        return mask.long()

    def images_of(self, classes: int) -> list[int]:
        """The number of images that show each class."""
        shown = torch.zeros(classes, dtype=torch.int64)
        for i in range(len(self)):
            there = torch.bincount(self.labels_of(i).flatten(), minlength=VOID + 1)[:classes]
            shown += there > 0
        return shown.tolist()

    def _read(self, i: int) -> Sample:
        sample = super()._read(i)
        mask, size = sample.get("mask"), tuple(sample["image"].shape[1:])
        kind = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        if not isinstance(mask, Tensor) or mask.is_floating_point() or tuple(mask.shape) != size:
            raise ValueError(f"{self.name(i)} has a mask of {kind}: whole numbers {size}, as its image, are accepted")
        low, high = int(mask.min()), int(mask.max())
        if low < 0 or high > VOID:
            raise ValueError(f"{self.name(i)} has the label {low if low < 0 else high}: 0 to {VOID} is accepted")
        if i not in self.counted:
            self.counted.add(i)
            self.pixels += torch.bincount(mask.flatten().long(), minlength=VOID + 1)
        return {**sample, "mask": mask.to(torch.uint8)}


class LabelledImages(OwnImages):
    """Images with label maps to train and to test on.

    Args:
        train, test: map-style datasets.
        name: what they are called.
        classes: names of the classes; by default the training dataset's `classes`, or the labels' numbers.

    Attributes:
        colours: of the classes, for pictures.

    Raises: as `Labelled`; ValueError if the two parts differ in the size of their images, a label is no class, or fewer
        than two classes are in the training images.
    """

    def __init__(self, train: Data, test: Data, *, name: str, classes: Sequence[str] | None = None) -> None:
        self.name = name
        self.train: Labelled = Labelled(train, "train")
        self.test: Labelled = Labelled(test, "test")
        sizes = [tuple(part[0]["image"].shape) for part in (self.train, self.test)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"the images to train on are {sizes[0]}, those to test on {sizes[1]}: one size is accepted"
            )
        there = self.train.pixels + self.test.pixels
        needed = int(there[:VOID].nonzero().max()) + 1 if bool(there[:VOID].any()) else 0
        given = classes if classes is not None else getattr(train, "classes", None)
        if given is not None and len(given) < needed:
            raise ValueError(f"classes: {len(given)} names for labels up to {needed - 1}: {needed} are needed")
        self.classes = tuple(map(str, range(max(needed, 2)) if given is None else given))
        if int((self.train.pixels[: len(self.classes)] > 0).sum()) < 2:
            raise ValueError(f"{name}: at least two classes are needed in the label maps to train on")
        colours = getattr(train, "colours", None)
        self.colours: tuple[Colour, ...] = tuple(colours) if colours else apart(len(self.classes))

    @property
    def chance(self) -> float:
        """The mIoU of always giving the commonest class of the test images."""
        counts = self.test.pixels[: len(self.classes)].double()
        return float(counts.max() / counts.sum() / (counts > 0).sum())


def load(
    settings: Comparison, datasets: tuple[Data, Data] | None, classes: Sequence[str] | None, read: Read
) -> LabelledImages:
    """Loads the images with their label maps.

    Raises: ValueError for an argument that they do not take; what reading raises.
    """
    if datasets is not None:
        as_they_are(settings)
        return LabelledImages(*datasets, name=settings.source, classes=classes)
    if classes is not None:
        raise ValueError(f"classes={classes!r}: accepted with a pair of datasets; classes.txt names those of a folder")
    if settings.regions is not None:
        raise ValueError(
            f"regions={settings.regions!r}: accepted without task='segment'; label maps say where things are"
        )
    if settings.source == SCENES:
        side = far_cue.SIZE if settings.image_size is None else settings.image_size
        scenes = far_cue.far_cue(settings.train_size or TRAIN_SCENES, settings.test_size or TEST_SCENES, side)
        return LabelledImages(*scenes, name=SCENES)
    if settings.source in EMBEDDED:
        raise ValueError(
            f"source={settings.source!r}: it has no label maps; {SCENES} or a folder with them is accepted"
        )
    folder = Path(settings.source).expanduser()
    train, test = (
        part if most is None or most >= len(part) else part.subset(range(most))
        for part, most in zip(files.read(folder), (settings.train_size, settings.test_size), strict=True)
    )
    files.checked(train, test, read)
    size = shape(tuple(train[0]["image"].shape[1:]), settings.image_size or SIDE)
    return LabelledImages(train.resized_to(size), test.resized_to(size, own=True), name=str(folder))


def shape(own: tuple[int, ...], side: int) -> tuple[int, int]:
    """Height and width with this longer side, in the proportions of an image."""
    height, width = (max(1, round(length * side / max(own))) for length in own)
    return height, width


def counts(predictions: Sequence[Tensor], truths: Sequence[Tensor], classes: int) -> Tensor:
    """The pixel counts of each image and class, `B K 3`: right, true and predicted, of which mIoU is made."""
    found = []
    for prediction, truth in zip(predictions, truths, strict=True):
        known = truth != VOID
        said, true = prediction[known].long(), truth[known].long()
        parts = (said[said == true], true, said)
        found.append(torch.stack([torch.bincount(part, minlength=classes) for part in parts], 1))
    return torch.stack(found)


def gallery(images: LabelledImages, shown: Sequence[int]) -> dict[str, NDArray[Any]]:
    """The true label maps of these test images, and the colours of the classes."""
    truths = torch.stack([images.test.labels_of(i) for i in shown])
    return {"truths": truths.to(torch.uint8).numpy(), "colours": np.array(images.colours, dtype=np.uint8)}
