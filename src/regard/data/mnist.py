"""Handwritten digits from MNIST's files, also on a larger canvas, with or without clutter.

Gradient-Based Learning Applied to Document Recognition. LeCun, Bottou, Bengio, Haffner. Proceedings of the IEEE 86,
1998, doi:10.1109/5.726791, for the digits and the format of the idx files: two zero bytes, the type of the values (8
for whole numbers from 0 to 255), the number of axes, the length of each axis in four bytes, big-endian, the values.

Recurrent Models of Visual Attention. Mnih et al. NIPS 2014, arXiv:1406.6247, for the canvas: the digit, and pieces of
8×8 pixels of other digits, have random positions (Section 4.1).
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from regard.data import ImageSet, Split
from regard.data.digits import handwritten
from regard.data.dividing import divide

CLASSES = tuple("0123456789")
PARTS = {"train": "train", "test": "t10k"}
NAMES = tuple(f"{part}-{what}-ubyte" for part in PARTS.values() for what in ("images-idx3", "labels-idx1"))
WANTED = f"{', '.join(NAMES)}, plain or compressed (.gz)"
NORMALISE = ((0.1307,), (0.3081,))  # mean and standard deviation of the pixels, as in common code
PIECE = 8
EMBEDDED_SIZE = 16


class Greys(Split):
    """A dataset of grey images in memory.

    Args:
        greys: uint8 `N H W`.
        labels: the class of each image.
    """

    def __init__(self, greys: Tensor, labels: Tensor) -> None:
        super().__init__(labels.tolist())
        self.greys = greys

    def pixels(self, i: int) -> Tensor:
        return self.greys[i][None]

    def name(self, i: int) -> str:
        return f"digit {self.labels[i]}, image {i}"

    def images(self, indices: object) -> Tensor:
        return self.greys[torch.as_tensor(indices)][:, None].float() / 255


@dataclass(frozen=True)
class Place:
    """Puts an image at a random position on an empty canvas, with pieces of other images as clutter.

    Args:
        canvas: the side of the canvas, in pixels.
        pieces: the number of pieces of clutter; the paper has 4 on 60×60 and 8 on 100×100.
        greys: the images from which pieces are cut: uint8 `N H W`.
        piece: the side of a piece, in pixels.

    Raises: ValueError if a piece is larger than the canvas or the images, or pieces have no images to be cut from.
    """

    canvas: int
    pieces: int = 0
    greys: Tensor | None = field(default=None, repr=False, compare=False)
    piece: int = PIECE

    def __post_init__(self) -> None:
        if self.pieces and (self.greys is None or self.piece > min(self.canvas, *self.greys.shape[1:])):
            raise ValueError(
                f"pieces={self.pieces}: greys and a canvas of at least {self.piece}×{self.piece} are needed"
            )

    def __call__(self, image: Tensor, generator: Generator) -> Tensor:
        """Places an image: `C H W` in 0..1 -> `C canvas canvas`; overlapping pixels take the maximum.

        Raises: ValueError if the image is larger than the canvas.
        """
        height, width = image.shape[1:]
        if max(height, width) > self.canvas:
            raise ValueError(f"canvas={self.canvas}: at least the size of the image, {height}×{width}, is needed")
        draws = torch.rand(2 + 5 * self.pieces, generator=generator, dtype=torch.float64).tolist()
        placed = image.new_zeros(image.shape[0], self.canvas, self.canvas)
        self._paste(placed, image, draws[0], draws[1])
        for k in range(self.pieces):
            assert self.greys is not None
            which, row, column, *at = draws[2 + 5 * k : 7 + 5 * k]
            source = self.greys[math.floor(which * len(self.greys))]
            top = math.floor(row * (source.shape[0] - self.piece + 1))
            left = math.floor(column * (source.shape[1] - self.piece + 1))
            cut = source[top : top + self.piece, left : left + self.piece]
            self._paste(placed, cut.to(image.dtype) / 255, *at)
        return placed

    def _paste(self, canvas: Tensor, ink: Tensor, row: float, column: float) -> None:
        height, width = ink.shape[-2:]
        top = math.floor(row * (self.canvas - height + 1))
        left = math.floor(column * (self.canvas - width + 1))
        place = canvas[:, top : top + height, left : left + width]
        torch.maximum(place, ink, out=place)


class Placed(Split):
    """A dataset of images on a canvas, each at a fixed position: a function of (seed, index).

    Args:
        images: the images to place.
        place: places an image, as `Place` does.
        seed: the seed of the positions.
    """

    def __init__(self, images: Greys, place: Callable[[Tensor, Generator], Tensor], *, seed: int) -> None:
        super().__init__(images.labels)
        self.own, self.place, self.seed = images, place, seed

    def pixels(self, i: int) -> Tensor:
        key = np.random.SeedSequence([self.seed, i]).generate_state(1, np.uint64).item()
        placed = self.place(self.own.pixels(i).float() / 255, Generator().manual_seed(key))
        return (placed * 255).round().byte()

    def name(self, i: int) -> str:
        return self.own.name(i)


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """A dataset of pairs of images on one canvas: the first in the left half, the second in the right half.

    Every image is the first of one pair; its partner and both positions are functions of (seed, index). The label has
    the classes of both: int64 `2`.

    Args:
        images: the images to pair.
        canvas: the side of the canvas, in pixels.
        seed: the seed of the partners and the positions.

    Raises: ValueError if two images do not fit side by side.
    """

    def __init__(self, images: Greys, canvas: int, *, seed: int) -> None:
        if canvas < 2 * images.greys.shape[2]:
            raise ValueError(
                f"canvas={canvas}: at least twice the width of an image, {images.greys.shape[2]}, is needed"
            )
        random = np.random.default_rng([seed, len(images)])
        self.partners = random.integers(len(images), size=len(images)).tolist()
        self.labels: list[tuple[int, ...]] = [(images.labels[i], images.labels[j]) for i, j in enumerate(self.partners)]
        self.own, self.canvas = images, canvas
        height, width = images.greys.shape[1:]
        rooms = np.array([canvas - height, canvas // 2 - width]) + 1
        self.corners = (random.random((len(images), 2, 2)) * rooms).astype(int)  # image of the pair; row, column

    def pixels(self, i: int) -> Tensor:
        """Makes image `i`: uint8 `1 H W`."""
        canvas = torch.zeros(1, self.canvas, self.canvas, dtype=torch.uint8)
        for side, which in enumerate((i, self.partners[i])):
            grey = self.own.pixels(which)
            top, left = self.corners[i, side].tolist()
            left += side * (self.canvas // 2)
            canvas[:, top : top + grey.shape[1], left : left + grey.shape[2]] = grey
        return canvas

    def name(self, i: int) -> str:
        """The two digits and the index of image `i`."""
        return f"digits {''.join(map(str, self.labels[i]))}, image {i}"

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.pixels(i).float() / 255, torch.tensor(self.labels[i])


class Sums(Pairs):
    """A dataset of the same images as `Pairs`, each with the sum of its two classes as its label: int64 `1`.

    Multiple Object Recognition with Visual Attention. Ba et al. ICLR 2015, arXiv:1412.7755, Section 4.1.2.

    Args:
        images: the images to pair.
        canvas: the side of the canvas, in pixels.
        seed: the seed of the partners and the positions.

    Raises: ValueError if two images do not fit side by side.
    """

    def __init__(self, images: Greys, canvas: int, *, seed: int) -> None:
        super().__init__(images, canvas, seed=seed)
        self.labels = [(sum(both),) for both in self.labels]

    def name(self, i: int) -> str:
        """The sum and the index of image `i`."""
        return f"digits of sum {self.labels[i][0]}, image {i}"


@dataclass(frozen=True)
class Digits(ImageSet):
    """A dataset of digits in memory."""

    train: Greys
    test: Greys


def load(folder: Path) -> Digits:
    """Loads the digits from a folder of idx files, or from `MNIST/raw` in it: grey, 28×28.

    Raises: OSError if the folder or a file does not exist; ValueError if a file has other content than its name says.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: {WANTED} are needed")
    splits = {}
    for part, stem in PARTS.items():
        greys, labels = (read(_found(folder, stem, what)) for what in ("images-idx3", "labels-idx1"))
        if greys.ndim != 3 or labels.ndim != 1 or len(greys) != len(labels) or not len(labels):
            found = f"images {tuple(greys.shape)} and labels {tuple(labels.shape)}"
            raise ValueError(f"{folder}: {stem} has {found}; shapes (N, H, W) and (N,) are needed")
        if labels.max() >= len(CLASSES):
            raise ValueError(f"{folder}: {stem} has the label {labels.max()}; labels from 0 to 9 are needed")
        splits[part] = Greys(greys, labels)
    return Digits(str(folder), CLASSES, splits["train"], splits["test"])


def embedded() -> Digits:
    """Scikit-learn's 1,797 digits, enlarged to 16×16, grey; 70 % are for training."""
    greys, digits = handwritten()
    large = np.kron(greys, np.ones((EMBEDDED_SIZE // greys.shape[1],) * 2, np.uint8))
    pixels, labels = torch.from_numpy(large), torch.from_numpy(digits)
    train, test = (torch.tensor(part) for part in divide(digits.tolist(), 0.3, seed=0))
    return Digits("embedded digits", CLASSES, Greys(pixels[train], labels[train]), Greys(pixels[test], labels[test]))


def read(path: Path) -> Tensor:
    """Reads an idx file of uint8 values, plain or compressed by gzip.

    Raises: OSError if the file cannot be read; ValueError if it is not such a file, or truncated.
    """
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} cannot be decompressed: {error}") from error
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"{path} is not an idx file of uint8 values: its header is {content[:4].hex() or 'missing'}")
    head = 4 + 4 * content[3]
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4).tolist()
    if len(content) - head != math.prod(shape):
        raise ValueError(f"{path} has {len(content) - head} values; {' × '.join(map(str, shape))} are needed")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=head).reshape(shape)


def _found(folder: Path, stem: str, what: str) -> Path:
    for place in (folder, folder / "MNIST" / "raw"):
        for name in (f"{stem}-{what}-ubyte", f"{stem}-{what.replace('-', '.')}-ubyte"):
            for path in (place / name, place / f"{name}.gz"):
                if path.is_file():
                    return path
    raise FileNotFoundError(f"{folder} has no {stem}-{what}-ubyte: {WANTED} are needed")
