"""Face detection: 200 small grey photographs that scikit-image includes.

A subset of Labeled Faces in the Wild (Huang, Ramesh, Berg, Learned-Miller, 2007) with 100 faces and 100 patches without
one, 25×25 pixels each. There are no regions: a face fills its patch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from regard.data import ImageSet, Split
from regard.data.dividing import divide, limit
from regard.data.images import to_square
from regard.data.shipped import shipped

CLASSES = ("no face", "face")
TEST_SHARE = 0.4


class Faces(Split):
    """A dataset of patches with and without a face.

    Args:
        patches: uint8 `N 25 25`.
        numbers: the index of each patch in scikit-image's file.
        labels: 1 for a face, 0 for none.
        size: output height and width, in pixels.
    """

    def __init__(self, patches: np.ndarray, numbers: list[int], labels: list[int], size: int) -> None:
        super().__init__(labels)
        self.patches = patches
        self.numbers = numbers
        self.size = size

    def pixels(self, i: int) -> Tensor:
        return to_square(Image.fromarray(self.patches[i]).convert("RGB"), self.size)

    def name(self, i: int) -> str:
        return f"lfw_subset[{self.numbers[i]}]"


def load(*, image_size: int | None, seed: int, train_size: int | None, test_size: int | None) -> ImageSet:
    """Loads 100 faces and 100 patches without one, by default 120 training and 80 test images."""
    patches = _patches()
    labels = [1] * 100 + [0] * 100  # the file's own order

    def some(numbers: list[int], count: int | None) -> Split:
        kept = [numbers[i] for i in limit([labels[n] for n in numbers], count, seed)]
        return Faces(patches[kept], kept, [labels[n] for n in kept], image_size or 48)

    train, test = divide(labels, TEST_SHARE, seed)
    return ImageSet("faces", CLASSES, some(train, train_size), some(test, test_size))


def _patches() -> NDArray[np.uint8]:
    """All 200 patches: uint8 `N 25 25`."""
    values = np.load(shipped("skimage", "data/lfw_subset.npy"), allow_pickle=False)
    pixels: NDArray[np.uint8] = np.rint(values * 255).astype(np.uint8)
    return pixels
