"""CIFAR-10 and CIFAR-100, from the files published for Python, or the binary ones.

Learning Multiple Layers of Features from Tiny Images. Krizhevsky. Technical report, University of Toronto, 2009.

Each file is a pickled dictionary with `data`, bytes `N 3072` of a red, a green and a blue plane of 32 × 32, and
`labels`, or `fine_labels` for 100 classes. Unpickling can run code; the reader here accepts only plain values and
NumPy arrays. The binary files, whose names end in .bin, hold rows of the label (of CIFAR-100 the coarse and the fine
one) and the 3,072 bytes of an image.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from regard.data import ImageSet, Split
from regard.data.texts import QUOTED, text

SIDE = 32
WANTED = (
    "data_batch_1 to data_batch_5, test_batch and batches.meta (CIFAR-10), or train, test and meta (CIFAR-100), "
    "or the folder cifar-10-batches-py or cifar-100-python with them, or the binary files"
)
FOLDERS = (".", "cifar-10-batches-py", "cifar-100-python", "cifar-10-batches-bin", "cifar-100-binary")
TEN = tuple(f"data_batch_{i}" for i in range(1, 6))
NORMALISE = {
    10: ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    100: ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}


class Colours(Split):
    """A dataset of colour images in memory.

    Args:
        pixels: uint8 `N 3 H W`.
        labels: the class of each image.
    """

    def __init__(self, pixels: Tensor, labels: Sequence[int]) -> None:
        super().__init__(labels)
        self.all = pixels

    def pixels(self, i: int) -> Tensor:
        return self.all[i]

    def name(self, i: int) -> str:
        return f"image {i} of class {self.labels[i]}"

    def images(self, indices: Sequence[int] | Tensor) -> Tensor:
        return self.all[torch.as_tensor(indices, dtype=torch.int64)].float().div_(255)


def load(folder: Path) -> ImageSet:
    """Loads CIFAR-10 or CIFAR-100 from a folder of its files.

    Raises: OSError if the folder or a file does not exist; ValueError if a file has other content than its name says.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: {WANTED} are needed")
    place = found(folder)
    if place is None:
        raise FileNotFoundError(f"{folder} holds no CIFAR files: {WANTED} are needed")
    if (place / "test_batch").is_file():
        trained = [_batch(place / name, b"labels", 10) for name in TEN]
        tested = [_batch(place / "test_batch", b"labels", 10)]
        names = _names(place / "batches.meta", b"label_names", 10)
    elif (place / "test_batch.bin").is_file():
        trained = [_binary(place / f"{name}.bin", 1, 10) for name in TEN]
        tested = [_binary(place / "test_batch.bin", 1, 10)]
        names = _lines(place / "batches.meta.txt", 10)
    elif (place / "test.bin").is_file():
        trained, tested = ([_binary(place / f"{part}.bin", 2, 100)] for part in ("train", "test"))
        names = _lines(place / "fine_label_names.txt", 100)
    else:
        trained, tested = ([_batch(place / part, b"fine_labels", 100)] for part in ("train", "test"))
        names = _names(place / "meta", b"fine_label_names", 100)
    return ImageSet(str(folder), names, _joined(trained), _joined(tested))


def found(folder: Path) -> Path | None:
    """The folder itself or the one below it that holds CIFAR's files; None if neither does."""
    for place in (folder / name for name in FOLDERS):
        pairs = (("train", "test"), ("train.bin", "test.bin"))
        single = ("test_batch", "test_batch.bin")
        if any((place / name).is_file() for name in single) or any(
            (place / train).is_file() and (place / test).is_file() for train, test in pairs
        ):
            return place
    return None


def shifted(image: Tensor, generator: Generator) -> Tensor:
    """CIFAR's usual augmentation: a random shift by up to 4 pixels, with reflection padding, and a random flip."""
    down, right, mirror = torch.randint(0, 18, (3,), generator=generator).tolist()
    padded = torch.nn.functional.pad(image[None], (4, 4, 4, 4), mode="reflect")[0]
    height, width = image.shape[1:]
    moved = padded[:, down % 9 : down % 9 + height, right % 9 : right % 9 + width]
    return moved.flip(2) if mirror % 2 else moved


def _joined(parts: list[tuple[Tensor, list[int]]]) -> Colours:
    return Colours(torch.cat([pixels for pixels, _ in parts]), [label for _, labels in parts for label in labels])


def _batch(path: Path, key: bytes, classes: int) -> tuple[Tensor, list[int]]:
    content = read(path)
    data, labels = content.get(b"data"), content.get(key)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3 * SIDE**2:
        found = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise ValueError(f"{path}: data is {found}; uint8 of shape N × {3 * SIDE**2} is needed")
    if not isinstance(labels, list) or len(labels) != len(data) or not len(data):
        raise ValueError(f"{path}: a list {key.decode()} of one label for each of {len(data)} images is needed")
    if not all(isinstance(label, int) and 0 <= label < classes for label in labels):
        raise ValueError(f"{path}: {key.decode()} of whole numbers from 0 to {classes - 1} are needed")
    return torch.from_numpy(data.copy()).view(-1, 3, SIDE, SIDE), labels


def _binary(path: Path, labels: int, classes: int) -> tuple[Tensor, list[int]]:
    """The images and the last of their `labels`. Raises: OSError, or ValueError if it is not such a file."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    row = labels + 3 * SIDE**2
    if not len(content) or len(content) % row:
        raise ValueError(f"{path} has {len(content):,} bytes: a multiple of {row:,} is needed")
    rows = content.reshape(-1, row)
    kinds = rows[:, labels - 1].tolist()
    if max(kinds) >= classes:
        raise ValueError(f"{path}: labels from 0 to {classes - 1} are needed, not {max(kinds)}")
    return torch.from_numpy(rows[:, labels:].copy()).view(-1, 3, SIDE, SIDE), kinds


def _lines(path: Path, classes: int) -> tuple[str, ...]:
    """The names of the classes, one a line; their numbers if the file does not exist."""
    if not path.is_file():
        return tuple(str(i) for i in range(classes))
    names = text(path).split()
    if len(names) != classes:
        raise ValueError(f"{path} has {len(names)} names: {classes} are needed")
    return tuple(names)


def _names(path: Path, key: bytes, classes: int) -> tuple[str, ...]:
    """The names of the classes; their numbers if the file does not exist."""
    if not path.is_file():
        return tuple(str(i) for i in range(classes))
    names = read(path).get(key)
    if not isinstance(names, list) or len(names) != classes:
        raise ValueError(f"{path}: a list {key.decode()} of {classes} names is needed")
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def read(path: Path) -> dict[Any, Any]:
    """Reads a pickled dictionary of plain values and arrays without running code from the file.

    Raises: OSError if the file cannot be read; ValueError if it is not such a pickle.
    """
    with path.open("rb") as file:
        try:
            content = _Plain(file, encoding="bytes").load()
        except Exception as error:  # the reader raises many types
            raise ValueError(f"{path} cannot be read as a pickle of plain values: {str(error)[:QUOTED]!r}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}: a dictionary is needed")
    return {key.encode() if isinstance(key, str) else key: value for key, value in content.items()}


class _Plain(pickle.Unpickler):
    """An unpickler that finds only the functions and classes of NumPy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _reconstruct
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if (module, name) == ("_codecs", "encode"):
            return _encoded
        raise pickle.UnpicklingError(f"it refers to {module}.{name}")


def _reconstruct(kind: type, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An empty array, which the unpickler fills."""
    if kind is not np.ndarray:
        raise pickle.UnpicklingError(f"it refers to an array of type {kind}")
    return np.ndarray.__new__(kind, shape, dtype)


def _encoded(characters: str, encoding: str) -> bytes:
    """Bytes as Python 3 writes them in pickle protocol 2: a string and its encoding."""
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"it refers to the encoding {encoding!r}")
    return characters.encode("latin1")
