"""Tracklets of persons under several cameras, in the layout of MARS: short clips of one person by one camera.

bbox_train/0001/0001C1T0001F001.jpg, bbox_test/ with persons 00-1 (junk) and 0000 (distractors) too; info/train_name.txt
and info/test_name.txt list the frames; info/tracks_train_info.mat and …_test_info.mat have a row for each tracklet, its
first and last frame in the list, person and camera; info/query_IDX.mat the rows of the query. All count from 1.

A sample has T frames of a tracklet: in training one at random of each of T equal parts (`Chosen`), else the middle one.

MARS: A Video Benchmark for Large-Scale Person Re-identification. Zheng et al. ECCV 2016.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from regard.checks import each_axis, positive
from regard.data import KEEP_BYTES, matlab
from regard.data.batches import Sample
from regard.data.images import quiet, shown, whole
from regard.data.persons import JUNK, Search, check_persons, compare_counts
from regard.data.texts import quoted, text

FOLDERS = ("bbox_train", "bbox_test")
INFO = "info"
FRAME = re.compile(r"(00-1|[0-9]{4,9})C([0-9]+)T[0-9]+F[0-9]+\.")
PUBLISHED = {"mars": ("MARS", (8_298, 1_980, 9_330))}


@dataclass(frozen=True)
class Tracklet:
    """The frames of a tracklet in their order, and the numbers of the person and of the camera as they are written."""

    frames: tuple[Path, ...]
    person: int
    camera: int


class Tracklets(Dataset[Sample]):
    """A dataset of tracklets.

    Args:
        tracklets: the tracklets.
        size: height and width of the frames, in pixels.
        frames: T.
        training: whether `person` of a sample is the class number, 0 to K-1, rather than the number that is written.
        keep_bytes: the most memory for frames that are kept, in bytes.

    Attributes:
        labels, people, cameras, names: as of `persons.Persons`; the name is that of the first frame.
    """

    def __init__(
        self,
        tracklets: Sequence[Tracklet],
        size: int | tuple[int, int],
        *,
        frames: int,
        training: bool = False,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        height, width = each_axis("size", size, 2)
        self.tracklets, self.size, self.frames = list(tracklets), (height, width), positive("frames", frames)
        self.people = tuple(sorted({tracklet.person for tracklet in self.tracklets}))
        classes = {person: label for label, person in enumerate(self.people)}
        self.labels = [classes[one.person] if training else one.person for one in self.tracklets]
        self.cameras = [tracklet.camera for tracklet in self.tracklets]
        self.names = tuple(shown(tracklet.frames[0].name) for tracklet in self.tracklets)
        self.keep_bytes = keep_bytes
        self._kept: dict[Path, Tensor] = {}
        self._kept_bytes = 0

    @property
    def digest(self) -> str:
        """Covers the names of all frames, the sizes of the first ones, persons and cameras; not the pixels."""
        content = blake2b(f"{self.size}{self.frames}".encode(), digest_size=16)
        for one in self.tracklets:
            names = " ".join(shown(path.name) for path in one.frames)
            line = f"{names}\0{one.person}\0{one.camera}\0{one.frames[0].stat().st_size}\0"
            content.update(line.encode("utf-8", "replace"))
        return content.hexdigest()

    def __len__(self) -> int:
        return len(self.tracklets)

    def __getitem__(self, i: int) -> Sample:
        """The sample: `image` float `3 T H W` in 0..1, which is read when it is asked for, `person`, `camera`, `name`.

        Raises, on reading: UnreadableImage with the file, if a frame is damaged.
        """
        if not -len(self) <= i < len(self):
            raise IndexError(f"index {i} is out of range: there are {len(self)} tracklets")
        i %= len(self)
        return OfTracklet(self, i, {"person": self.labels[i], "camera": self.cameras[i], "name": self.names[i]})

    def clip(self, i: int, places: Sequence[float]) -> Tensor:
        """T frames of tracklet `i`, float `3 T H W`: of each of T equal parts the one at a place from 0 to below 1."""
        listed = self.tracklets[i].frames
        share = len(listed) / self.frames
        chosen = [min(int(share * (part + place)), len(listed) - 1) for part, place in enumerate(places)]
        return torch.stack([self._frame(listed[frame]) for frame in chosen], 1).float().div_(255)

    def _frame(self, path: Path) -> Tensor:
        if path in self._kept:
            return self._kept[path]
        with quiet():
            pixels = whole(path, self.size).pixels
        if self._kept_bytes + pixels.nbytes <= self.keep_bytes:
            self._kept[path] = pixels
            self._kept_bytes += pixels.nbytes
        return pixels

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}, "_kept_bytes": 0}


class OfTracklet(Mapping[str, Any]):
    """A sample of a tracklet; `Chosen` takes other frames of it, and reads no more than these."""

    def __init__(self, data: Tracklets, index: int, fields: Mapping[str, Any]) -> None:
        self.data, self.index, self.fields = data, index, fields

    def __getitem__(self, name: str) -> Any:
        if name == "image":
            return self.data.clip(self.index, [0.5] * self.data.frames)
        return self.fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(("image", *self.fields))

    def __len__(self) -> int:
        return 1 + len(self.fields)


@dataclass(frozen=True)
class Chosen:
    """An augmentation: of each of T equal parts of a tracklet, a random frame. Other clips stay as they are."""

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        if not isinstance(sample, OfTracklet):
            return sample
        places = torch.rand(sample.data.frames, generator=generator).tolist()
        return {**sample.fields, "image": sample.data.clip(sample.index, places)}


def read(folder: Path, *, size: int | tuple[int, int] = (256, 128), frames: int = 4) -> tuple[Tracklets, Search]:
    """Reads a folder in MARS's layout: the tracklets for training, and the query with its gallery.

    Only lists are read, no pixels, and that their frames exist is checked.

    Args:
        folder: the dataset.
        size: height and width of the frames, in pixels.
        frames: T.

    Raises: OSError if a list is missing; ValueError naming the file and the line or row that does not fit, if a part is
        empty, or if a person is in training and test.
    """
    train = _tracklets(folder, "train")
    test = _tracklets(folder, "test")
    path = folder / INFO / "query_IDX.mat"
    rows = {int(row) for row in _numbers(path, "query_IDX").ravel()}
    if wrong := sorted(row for row in rows if not 1 <= row <= len(test)):
        raise ValueError(f"{shown(path)}: {wrong[0]} is no row of tracks_test_info.mat, which has {len(test)}")
    query = [one for row, one in enumerate(test, 1) if row in rows]
    if junk := next((one for one in query if one.person == JUNK), None):
        raise ValueError(f"{shown(path)}: {junk.frames[0].name} is junk, which the query cannot have")
    rest = [one for row, one in enumerate(test, 1) if row not in rows]
    kept = [[one for one in part if one.person != JUNK] for part in (train, query, rest)]
    names = ("training", "query", "gallery")
    people = [(name, [(one.person, one.frames[0]) for one in part]) for name, part in zip(names, kept, strict=True)]
    check_persons(people, folder)
    compare_counts(re.sub("[^a-z0-9]", "", folder.name.lower()), [len(part) for part in kept], folder, PUBLISHED)
    learned, asked, searched = kept
    return Tracklets(learned, size, frames=frames, training=True), Search(
        Tracklets(asked, size, frames=frames),
        Tracklets(searched, size, frames=frames),
        junk=len(rest) - len(searched),
    )


def found(folder: Path) -> bool:
    """Whether a folder has MARS's layout."""
    return (folder / INFO / "tracks_train_info.mat").is_file()


def _tracklets(folder: Path, part: str) -> list[Tracklet]:
    listing, table = folder / INFO / f"{part}_name.txt", folder / INFO / f"tracks_{part}_info.mat"
    names = [line.strip() for line in text(listing).splitlines()]
    for number, name in enumerate(names, 1):
        if FRAME.match(name) is None:
            raise ValueError(f"{shown(listing)} line {number}: {quoted(name)}: a name as 0001C1T0001F001.jpg is needed")
    rows = _numbers(table, f"track_{part}_info")
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise ValueError(f"{shown(table)}: rows of first and last frame, person and camera are needed")
    tracklets = []
    for number, (first, last, person, camera) in enumerate(rows.astype(int).tolist(), 1):
        if not 1 <= first <= last <= len(names):
            raise ValueError(f"{shown(table)} row {number}: frames {first} to {last} of {len(names)} in {listing.name}")
        own = names[first - 1 : last]
        for name in own:
            parts = FRAME.match(name)
            assert parts is not None
            written = JUNK if parts[1] == "00-1" else int(parts[1])
            if (written, int(parts[2])) != (person, camera):
                raise ValueError(
                    f"{shown(table)} row {number}: person {person} under camera {camera}, and its frame {name} is of "
                    f"another: one person and camera are needed"
                )
        paths = tuple(folder / f"bbox_{part}" / name[: name.index("C")] / name for name in own)
        if lost := next((path for path in paths if not path.is_file()), None):
            raise ValueError(f"{shown(lost)}: no such image, which {listing.name} lists")
        tracklets.append(Tracklet(paths, person, camera))
    return tracklets


def _numbers(path: Path, name: str) -> np.ndarray:
    try:
        values = matlab.read(path).get(name)
    except ValueError as error:
        raise ValueError(f"{shown(path)}: {error}") from None
    if not isinstance(values, np.ndarray) or not np.isfinite(values).all():
        raise ValueError(f"{shown(path)}: numbers called {name} are needed")
    return values
