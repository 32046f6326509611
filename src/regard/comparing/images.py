"""The images of a comparison: those of `regard.data`, or a user's own pair of datasets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from regard.comparing import Comparison
from regard.data import KEEP_BYTES, Skipped
from regard.data.batches import Data, Sample, as_sample
from regard.data.contents import as_bytes

Read = Callable[[int, int], None]  # told (images read, images in all)


class Part(Protocol):
    """The training or test images of a comparison; `regard.data.Split` is one."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> object: ...

    @property
    def labels(self) -> Sequence[int]:
        """The class of each image; empty if the task has no classes."""
        ...

    def images(self, indices: Sequence[int]) -> Tensor:
        """The images at `indices`: `B C H W`."""
        ...

    def name(self, i: int) -> str:
        """The name of image `i`."""
        ...

    def region(self, i: int) -> Tensor | None:
        """The region of the object in image `i`: bool `H W`; None if it is unknown."""
        ...


class Images(Protocol):
    """The training and test images of a comparison; `regard.data.ImageSet` is one."""

    @property
    def name(self) -> str: ...
    @property
    def classes(self) -> Sequence[str]: ...
    @property
    def train(self) -> Part: ...
    @property
    def test(self) -> Part: ...
    @property
    def skipped(self) -> Sequence[Skipped]: ...
    @property
    def regions(self) -> Sequence[str]: ...
    @property
    def unmatched(self) -> Sequence[str]: ...


class Own:
    """A user's dataset with images as floating tensors `C H W`; reads every sample once to check it.

    `region` is returned by the method of this name only, since training does not need it.

    Args:
        data: a map-style dataset.
        called: `train` or `test`, for messages.
        classify: whether every sample needs a `label`, a whole number of at least 0.

    Raises: TypeError if an item is no sample or its image no image; ValueError for no samples at all, images of several
        sizes, labels that are none, or a sample that is another one when it is asked for again.
    """

    def __init__(self, data: Data, called: str, *, classify: bool) -> None:
        self.data = data
        self.called = called
        self.classify = classify
        self._kept: dict[int, Sample] = {}
        self._kept_bytes = 0
        self.labels: list[int] = []
        self.low, self.high = float("inf"), float("-inf")
        content = hashlib.blake2b(digest_size=8)
        if not len(data):
            raise ValueError(f"the dataset to {called} on has no samples")
        shape = self[0]["image"].shape
        for i in range(len(self)):
            sample = self._sample(i)
            image = sample["image"]
            if image.shape != shape:
                raise ValueError(
                    f"{called}[{i}] has an image {tuple(image.shape)}, {called}[0] one of {tuple(shape)}: "
                    "images of one size are accepted"
                )
            self.low, self.high = min(self.low, float(image.min())), max(self.high, float(image.max()))
            if classify:
                self.labels.append(sample["label"])
            for name in sorted(sample):
                content.update(f"\0{name}\0".encode() + as_bytes(sample[name]))
        again = self._read(0)
        if any(as_bytes(again[name]) != as_bytes(value) for name, value in self._sample(0).items()):
            raise ValueError(
                f"{called}[0] is another sample when it is read again: what is drawn at random goes into augment=, so "
                "that every row sees the same"
            )
        self.digest = content.hexdigest()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> Sample:
        return {name: value for name, value in self._sample(i).items() if name != "region"}

    def _sample(self, i: int) -> Sample:
        if i in self._kept:
            return self._kept[i]
        sample = self._read(i)
        size = sum(value.nbytes for value in sample.values() if isinstance(value, Tensor))
        if self._kept_bytes + size <= KEEP_BYTES:
            self._kept[i] = sample
            self._kept_bytes += size
        return sample

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_kept": {}, "_kept_bytes": 0}

    def images(self, indices: Sequence[int]) -> Tensor:
        """The images at `indices`: `B C H W`."""
        return torch.stack([self[i]["image"] for i in indices])

    def name(self, i: int) -> str:
        return f"{self.called}[{i}]"

    def region(self, i: int) -> Tensor | None:
        """The field `region` of the sample: bool `H W`."""
        found = self._sample(i).get("region")
        return None if found is None else torch.as_tensor(found).bool()

    def _read(self, i: int) -> Sample:
        try:
            sample = as_sample(self.data[i])
        except TypeError as error:
            raise TypeError(f"{self.called}[{i}]: {error}") from error
        if "image" not in sample:
            raise TypeError(f"{self.called}[{i}] has the fields {', '.join(sorted(sample))}: an `image` is needed")
        label = {"label": self._label(i, sample)} if self.classify else {}
        return {**sample, **label, "image": _image(sample["image"], self.name(i))}

    def _label(self, i: int, sample: Sample) -> int:
        label = sample.get("label")
        whole = label.item() if isinstance(label, Tensor) and label.numel() == 1 else label
        if isinstance(whole, bool) or not isinstance(whole, int | np.integer) or whole < 0:
            raise ValueError(f"{self.called}[{i}] has the label {label!r}: a whole number of at least 0 is accepted")
        return int(whole)


class OwnImages:
    """A user's own pair of datasets.

    Args:
        train, test: map-style datasets; see `regard.comparing.compare`.
        name: what they are called.
        classes: names of the classes; by default the training dataset's `classes`, or the numbers of the labels.
        classify: whether samples have labels to be learned.

    Raises: as `Own`; ValueError if the two parts differ in the size of their images, or there are too few names of
        classes.
    """

    skipped: Sequence[Skipped] = ()
    regions: Sequence[str] = ()
    unmatched: Sequence[str] = ()

    def __init__(
        self, train: Data, test: Data, *, name: str, classes: Sequence[str] | None = None, classify: bool = True
    ) -> None:
        self.name = name
        self.train = Own(train, "train", classify=classify)
        self.test = Own(test, "test", classify=classify)
        shapes = self.train[0]["image"].shape, self.test[0]["image"].shape
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"the images to train on are {tuple(shapes[0])}, those to test on {tuple(shapes[1])}: "
                "one size is accepted"
            )
        self.classes = self._named(classes if classes is not None else getattr(train, "classes", None), classify)

    @property
    def unit(self) -> bool:
        """Whether all images are in 0..1, and so need normalising."""
        return min(self.train.low, self.test.low) >= 0 and max(self.train.high, self.test.high) <= 1

    def _named(self, given: Sequence[str] | None, classify: bool) -> tuple[str, ...]:
        if not classify:
            return tuple(map(str, given or ()))
        needed = max(*self.train.labels, *self.test.labels) + 1
        if given is None:
            return tuple(map(str, range(needed)))
        if len(given) < needed:
            raise ValueError(f"classes: {len(given)} names for labels up to {needed - 1}: {needed} are needed")
        return tuple(map(str, given))


def as_they_are(settings: Comparison) -> None:
    """Raises: ValueError for an argument that does not go with own datasets."""
    for name in ("image_size", "regions", "train_size", "test_size"):
        if getattr(settings, name) is not None:
            raise ValueError(f"{name}={getattr(settings, name)!r}: own datasets are taken as they are")


def _image(image: Any, what: str) -> Tensor:
    """The image as a floating tensor `C H W`; uint8 and PIL images are divided by 255."""
    if isinstance(image, Image.Image):
        image = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    if (
        not isinstance(image, Tensor)
        or image.ndim != 3
        or not (image.dtype == torch.uint8 or image.is_floating_point())
    ):
        found = f"{image.dtype} {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
        raise TypeError(
            f"{what} has an image of {found}: a PIL image or a tensor C H W, uint8 or floating, is accepted"
        )
    if not image.is_floating_point():
        return image.float().div_(255)
    if not image.isfinite().all():
        raise ValueError(f"{what} has an image with values that are not finite")
    return image.float()
