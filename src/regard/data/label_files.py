"""Label maps in files: what the stored values mean, and the classes and colours of a dataset.

A label map is uint8 `H W`: a class, or `VOID` where the truth is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from regard.data.augmenting import VOID
from regard.data.images import SUFFIXES, UnreadableImage, read_values, shown
from regard.data.label_names import PALETTES, Colour
from regard.data.texts import quoted, text

LabelMap = NDArray[np.uint8]
LARGEST = 65_535  # the largest value of a label file, 16 bits
SHOWN = 5  # values or colours that a message lists at most


class Drawn(Protocol):
    """Labels that are not in an image file, such as outlines in a JSON file."""

    @property
    def where(self) -> str:
        """The file that they are from, for messages."""

    def values(self) -> NDArray[Any]:
        """The stored values `H W`. Raises: ValueError if the file is damaged."""


Pair = tuple[Path, Path | Drawn]  # an image file and its label map


@dataclass(frozen=True)
class Coding:
    """What the values of label files mean.

    Args:
        classes: the names of the classes, at most 255.
        colours: red, green and blue of each class.
        values: stored value -> class, or `VOID`; None for values that are the classes. 255 is void unless it is listed.
        palette: colour -> stored value, for label files that are RGB images; None if they have to be numbers.

    Raises: ValueError if there are more than 255 classes, or colours are missing.
    """

    classes: tuple[str, ...]
    colours: tuple[Colour, ...]
    values: Mapping[int, int] | None = None
    palette: Mapping[Colour, int] | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.classes) <= VOID or len(self.colours) != len(self.classes):
            raise ValueError(
                f"{len(self.classes)} classes and {len(self.colours)} colours: up to {VOID} classes, and a colour of "
                f"each, are needed"
            )

    @cached_property
    def _table(self) -> NDArray[np.int16]:
        """The class of each stored value, and -1 for values without meaning."""
        table = np.full(LARGEST + 1, -1, np.int16)
        table[VOID] = VOID
        for value, label in (self.values or {i: i for i in range(len(self.classes))}).items():
            table[value] = label
        return table

    def read(self, source: Path | Drawn) -> LabelMap:
        """Reads a label map: uint8 `H W`. To be called inside `images.quiet()`.

        Raises: UnreadableImage or ValueError naming the file, if it is damaged, or a value or colour means no class.
        """
        if not isinstance(source, Path):
            return self._classes(source.values(), source.where)
        stored = read_values(source)
        if stored.ndim == 3:
            stored = self._of_colours(stored, source)
        return self._classes(stored, shown(source))

    def _classes(self, stored: NDArray[Any], where: str) -> LabelMap:
        numbers = stored.astype(np.int64)
        outside = (numbers < 0) | (numbers > LARGEST)
        found = self._table[np.where(outside, 0, numbers)]
        wrong = outside | (found < 0)
        if wrong.any():
            row, column = (int(place[0]) for place in np.nonzero(wrong))
            several = np.unique(numbers[wrong])
            more = f" ({len(several)} such values)" if len(several) > 1 else ""
            raise ValueError(
                f"{where}: the label {int(numbers[row, column])} at row {row}, column {column}{more} is no class: "
                f"{self._accepted()}"
            )
        return found.astype(np.uint8)

    def _accepted(self) -> str:
        if self.values is None:
            last = len(self.classes) - 1
            return f"0 to {last} for the {last + 1} classes, or {VOID} for void, are needed"
        known = sorted({*self.values, VOID})
        runs = (
            [value for value in known if value - 1 not in known],
            [value for value in known if value + 1 not in known],
        )
        spans = [f"{a}" if a == b else f"{a} to {b}" for a, b in zip(*runs, strict=True)]
        return f"{', '.join(spans[:-1])} or {spans[-1]} is needed"

    def _of_colours(self, stored: NDArray[np.uint8], path: Path) -> NDArray[np.int64]:
        """The stored values of the colours of an RGB image."""
        packed = pack(stored)
        if self.palette is None:
            raise UnreadableImage(path, f"it is an RGB image: class numbers are needed{offer(np.unique(packed))}")
        colours = np.array([pack(np.array(colour)) for colour in self.palette])
        order = colours.argsort()
        place = np.searchsorted(colours[order], packed).clip(max=len(order) - 1)
        wrong = colours[order][place] != packed
        if wrong.any():
            row, column = (int(at[0]) for at in np.nonzero(wrong))
            raise UnreadableImage(
                path,
                f"the colour {_written(int(packed[row, column]))} at row {row}, column {column} is no class"
                f"{offer(np.unique(packed))}",
            )
        values = np.array(list(self.palette.values()), np.int64)
        of_each: NDArray[np.int64] = values[order][place]
        return of_each


Read = tuple[Sequence[Pair], Sequence[Pair], Coding]  # the pairs for training and for validation


def pack(colours: NDArray[Any]) -> NDArray[np.int64]:
    """Colours as one number each: `* 3` -> `*`."""
    wide = colours.astype(np.int64)
    packed: NDArray[np.int64] = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    return packed


def offer(packed: NDArray[np.int64]) -> str:
    """What to do about an RGB label file with these colours: the published palette that has all of them, if one has."""
    for name, palette in PALETTES.items():
        if set(packed.tolist()) <= {int(pack(np.array(colour))) for colour in palette}:
            return f"; its colours are those of the palette {name!r}: a line `palette {name}` in classes.txt reads them"
    some = ", ".join(_written(int(colour)) for colour in packed[:SHOWN])
    more = ", …" if len(packed) > SHOWN else ""
    return f", or a line `name red green blue` for each class in classes.txt; its colours are {some}{more}"


def _written(packed: int) -> str:
    return f"({packed >> 16}, {packed >> 8 & 255}, {packed & 255})"


def listed_classes(path: Path) -> tuple[tuple[str, ...], tuple[Colour, ...] | None, str | None]:
    """Reads classes.txt: a name a line, with or without its colour, or one line `palette NAME`.

    Returns: the names, the colours if they are given, and the name of a published palette if it is.
    Raises: ValueError naming file and line, if there are no classes, a name occurs twice, a colour is none, some
        classes have one and others not, or the palette is unknown.
    """
    lines = [(i, line.strip()) for i, line in enumerate(text(path).splitlines(), 1) if line.strip()]
    if len(lines) == 1 and lines[0][1].startswith("palette "):
        name = lines[0][1].removeprefix("palette ").strip()
        if name not in PALETTES:
            raise ValueError(f"{shown(path)}: palette {quoted(name)}: {', '.join(PALETTES)} is needed")
        return (), None, name
    names: list[str] = []
    colours: list[Colour] = []
    for number, line in lines:
        words = line.replace(",", " ").split()
        coloured = len(words) > 3 and all(re.fullmatch("[0-9]{1,3}", word) for word in words[-3:])
        if coloured:
            red, green, blue = (int(word) for word in words[-3:])
            if max(red, green, blue) > 255 or (red, green, blue) in colours:
                raise ValueError(
                    f"{shown(path)} line {number}, {quoted(line)}: a colour of 0 to 255, each class its own, is needed"
                )
            colours.append((red, green, blue))
            line = " ".join(words[:-3])
        if len(colours) != (len(names) + 1 if coloured else 0) or line in names:
            what = "a colour on every line, or on none" if line not in names else "a name that no other line has"
            raise ValueError(f"{shown(path)} line {number}, {quoted(line)}: {what}, is needed")
        names.append(line)
    if not 1 <= len(names) <= VOID:
        raise ValueError(f"{shown(path)} has {len(names)} classes: 1 to {VOID}, a name a line, are needed")
    return tuple(names), tuple(colours) or None, None


def same_stem(images: Sequence[Path], labels: Mapping[str, Path], where: Path) -> list[tuple[Path, Path]]:
    """The pairs of images and label files of the same stem, in the order of the images.

    Raises: ValueError naming the image, if one has no label file, or there are no images.
    """
    if not images:
        raise ValueError(f"{shown(where)}: images are needed, with a label file each")
    for image in images:
        if image.stem not in labels:
            raise ValueError(f"{shown(image)}: a label file {shown(image.stem)}.png is needed in {shown(where)}")
    return [(image, labels[image.stem]) for image in images]


def files(folder: Path) -> dict[str, Path]:
    """The image files of a folder, by stem. Raises: ValueError if two files have the same stem."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                raise ValueError(f"{shown(path)} and {shown(found[path.stem].name)}: one file of each stem is needed")
            found[path.stem] = path
    return found


def stems(path: Path) -> list[str]:
    """The lines of a list of images. Raises: ValueError naming the list, if it is empty or a line occurs twice."""
    lines = [line.strip() for line in text(path).splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{shown(path)} is empty: the names of images, one a line, are needed")
    twice = (
        next((line for i, line in enumerate(lines) if line in lines[:i]), None) if len({*lines}) < len(lines) else None
    )
    if twice is not None:
        raise ValueError(f"{shown(path)}: {quoted(twice)} occurs twice; each image once is needed")
    return lines
