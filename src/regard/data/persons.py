"""Images of persons under several cameras, in the layouts of Market-1501 and of CUHK03.

Market-1501   bounding_box_train/, query/, bounding_box_test/ with 0002_c1s1_000451_03.jpg: person, camera, and more.
              Person -1 is junk, which is left out; person 0 is a distractor, which stays in the gallery. DukeMTMC-reID
              and other datasets have the same layout.
CUHK03        images_labeled/ and images_detected/ with 1_001_1_01.png, and cuhk03_new_protocol_config_labeled.mat and
              …_detected.mat, which say who is in which image, and in which part it is: 767 persons are for training.

Masks of the parts of persons (`data.part_masks`) are read where there are any. The persons of training and test
differ: their numbers stay as they are written, and only the training images have class numbers.

Scalable Person Re-identification: A Benchmark. Zheng et al. ICCV 2015. Re-ranking Person Re-identification with
k-reciprocal Encoding. Zhong, Zheng, Cao, Li. CVPR 2017, arXiv:1701.08398 (the new protocol of CUHK03).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from regard.checks import choice, each_axis
from regard.data import KEEP_BYTES, matlab, part_masks
from regard.data.batches import Sample
from regard.data.images import SUFFIXES, quiet, shown, whole
from regard.data.texts import quoted

FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
NAME = re.compile(r"(-1|[0-9]{1,9})_c([0-9]{1,9})(?:s[0-9]+)?_")
JUNK, DISTRACTOR = -1, 0
BOXES = ("labeled", "detected")  # of CUHK03: drawn by hand, or found by a detector
VIEW = re.compile(r"[0-9]+_[0-9]+_([0-9]+)_[0-9]+\.")  # the camera in a name of CUHK03
# Images for training, of the query and of the gallery without junk, by the beginning of a folder's name.
PUBLISHED = {
    "market1501": ("Market-1501", (12_936, 3_368, 15_913)),
    "dukemtmcreid": ("DukeMTMC-reID", (16_522, 2_228, 17_661)),
    "cuhk03labeled": ("CUHK03, labeled", (7_368, 1_400, 5_328)),
    "cuhk03detected": ("CUHK03, detected", (7_365, 1_400, 5_332)),
}


@dataclass(frozen=True)
class Shot:
    """An image of a person: its file, and the numbers of the person and of the camera as they are written."""

    path: Path
    person: int
    camera: int


class Persons(Dataset[Sample]):
    """A dataset of images of persons.

    Args:
        shots: the images.
        size: height and width, in pixels, to which images and masks are resized.
        training: whether `person` of a sample is the class number, 0 to K-1, rather than the number that is written.
        masks: the folder of the masks of parts, or None.
        keep_bytes: the most memory for images that are kept, in bytes.

    Attributes:
        labels: `person` of each sample.
        people: the numbers of the persons as they are written, in ascending order; of class k it is `people[k]`.
        cameras, names: of each sample.
    """

    def __init__(
        self,
        shots: Sequence[Shot],
        size: int | tuple[int, int],
        *,
        training: bool = False,
        masks: Path | None = None,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        height, width = each_axis("size", size, 2)
        self.shots, self.size, self.masks = list(shots), (height, width), masks
        self.people = tuple(sorted({shot.person for shot in self.shots}))
        classes = {person: label for label, person in enumerate(self.people)}
        self.labels = [classes[shot.person] if training else shot.person for shot in self.shots]
        self.cameras = [shot.camera for shot in self.shots]
        self.names = tuple(shown(shot.path.name) for shot in self.shots)
        self.keep_bytes = keep_bytes
        self._kept: dict[int, dict[str, Tensor]] = {}
        self._kept_bytes = 0

    @property
    def digest(self) -> str:
        """Covers names and sizes of the images, persons, cameras, and whether there are masks; not the pixels."""
        content = blake2b(f"{self.size}{self.masks is not None}".encode(), digest_size=16)
        for shot, name in zip(self.shots, self.names, strict=True):
            line = f"{name}\0{shot.person}\0{shot.camera}\0{shot.path.stat().st_size}\0"
            content.update(line.encode("utf-8", "replace"))
        return content.hexdigest()

    def __len__(self) -> int:
        return len(self.shots)

    def __getitem__(self, i: int) -> dict[str, Any]:
        """The sample: `image` float `3 H W` in 0..1, `person`, `camera`, `name`; with masks `parts`, float `4 H W` in
        0..1 in the order of `part_masks.PARTS`, and `region`, bool `H W`, where the whole person is marked.

        Raises: UnreadableImage with the file, if it is damaged.
        """
        if not -len(self) <= i < len(self):
            raise IndexError(f"index {i} is out of range: there are {len(self)} images")
        i %= len(self)
        found = self._kept.get(i) or self._read(i)
        sample: dict[str, Any] = {"image": found["image"].float().div_(255)}
        sample |= {"person": self.labels[i], "camera": self.cameras[i], "name": self.names[i]}
        if "parts" in found:
            sample["parts"] = found["parts"].float().div_(255)
        if "region" in found:
            sample["region"] = found["region"] > 127
        return sample

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}, "_kept_bytes": 0}

    def _read(self, i: int) -> dict[str, Tensor]:
        path = self.shots[i].path
        with quiet():
            found = {"image": whole(path, self.size).pixels}
            if self.masks is not None:
                parts, region = part_masks.read(self.masks, path.stem, self.size)
                found |= {"parts": parts} | ({} if region is None else {"region": region})
        count = sum(tensor.nbytes for tensor in found.values())
        if self._kept_bytes + count <= self.keep_bytes:
            self._kept[i] = found
            self._kept_bytes += count
        return found


class Known(Protocol):
    """A dataset of persons who are known: images of `Persons`, or tracklets."""

    labels: list[int]
    cameras: list[int]
    names: tuple[str, ...]

    @property
    def digest(self) -> str: ...
    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> Sample: ...


class Search(Dataset[Sample]):
    """The test of a dataset of persons: all samples of the query, `query` 1, then all of the gallery, `query` 0.

    Args:
        query, gallery: two datasets with `labels`, the persons as they are written.
        junk: how many images of the gallery were left out.

    Attributes:
        missing: how many persons of the query are not in the gallery.
    """

    def __init__(self, query: Known, gallery: Known, *, junk: int = 0) -> None:
        self.query, self.gallery = query, gallery
        self.junk = junk
        self.labels: list[int] = [*self.query.labels, *self.gallery.labels]
        self.missing = len(set(self.query.labels) - set(self.gallery.labels))

    @property
    def digest(self) -> str:
        return f"{self.query.digest}{self.gallery.digest}"

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> Sample:
        if not -len(self) <= i < len(self):
            raise IndexError(f"index {i} is out of range: there are {len(self)} images")
        i, count = i % len(self), len(self.query)
        sample = self.query[i] if i < count else self.gallery[i - count]
        return {**sample, "query": int(i < count)}


def read(folder: Path, *, size: int | tuple[int, int] = (256, 128), boxes: str = "labeled") -> tuple[Persons, Search]:
    """Reads a folder in one of the layouts: the images for training, and the query with its gallery.

    Only names and lists are read, no pixels.

    Args:
        folder: the dataset.
        size: height and width of the images, in pixels.
        boxes: of CUHK03, `labeled` or `detected`.

    Raises: OSError if there is no such folder; ValueError naming the file, if it has none of the layouts, a name does
        not fit, a part is empty, or a person is in training and test.
    """
    choice("boxes", boxes, BOXES)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {shown(folder)}")
    if all((folder / name).is_dir() for name in FOLDERS):
        parts = [listed(folder / name) for name in FOLDERS]
        of_train, of_test = (part_masks.beside(folder, part) for part in ("train", "test"))
        where, published = folder, re.sub("[^a-z0-9]", "", folder.name.lower())
    elif _protocol(folder, boxes).is_file():
        where, published, of_train, of_test = _protocol(folder, boxes), f"cuhk03{boxes}", None, None
        parts = _cuhk03(folder, boxes)
    else:
        wanted = f"{', '.join(FOLDERS)}, or {_protocol(folder, boxes).name} with images_{boxes}"
        raise ValueError(f"{shown(folder)}: the layout of Market-1501 or of CUHK03 is needed: {wanted}")
    kept = [[shot for shot in part if shot.person != JUNK] for part in parts]
    check_persons(
        [(name, [(shot.person, shot.path) for shot in part]) for name, part in zip(FOLDERS, kept, strict=True)], where
    )
    compare_counts(published, [len(part) for part in kept], where, PUBLISHED)
    train, query, gallery = kept
    for masks, shots in ((of_train, train), (of_test, [*query, *gallery])):
        if masks is not None:
            part_masks.checked(masks, [shot.path.stem for shot in shots])
    return Persons(train, size, training=True, masks=of_train), Search(
        Persons(query, size, masks=of_test),
        Persons(gallery, size, masks=of_test),
        junk=len(parts[2]) - len(gallery),
    )


def listed(folder: Path) -> list[Shot]:
    """The images of a folder in Market-1501's layout, junk included, by name.

    Raises: ValueError with the first file whose name does not fit; OSError if the folder cannot be read.
    """
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES:
            continue
        known = of_name(path)
        if known is None:
            raise ValueError(
                f"{shown(path)}: a name as 0002_c1s1_000451_03.jpg is needed: person, camera, and the rest"
            )
        found.append(Shot(path, *known))
    return found


def of_name(path: Path) -> tuple[int, int] | None:
    """Person and camera by the name of a file in Market-1501's layout; None for another name."""
    parts = NAME.match(path.name)
    return None if parts is None else (int(parts[1]), int(parts[2]))


def check_persons(parts: Sequence[tuple[str, Sequence[tuple[int, Path]]]], where: Path) -> None:
    """Checks the persons of training, query and gallery, and warns of those whom a search cannot find.

    Args:
        parts: name, and the person and the file of each sample, of training, query and gallery.
        where: the dataset.

    Raises: ValueError naming the file, if a part is empty, a distractor is in training or query, or a person is in
        training and test.
    """
    for name, people in parts:
        if not people:
            raise ValueError(f"{shown(where)}: {name} has no images of persons: at least one is needed")
    train, query, gallery = (dict(reversed(people)) for _, people in parts)  # person -> the first file
    for first, (name, _) in ((train, parts[0]), (query, parts[1])):
        if DISTRACTOR in first:
            raise ValueError(
                f"{shown(first[DISTRACTOR])}: person 0 is a distractor, and belongs to the gallery, not to {name}"
            )
    both = sorted(train.keys() & (query.keys() | gallery.keys()))
    if both:
        other = query.get(both[0], gallery.get(both[0]))
        raise ValueError(
            f"{shown(train[both[0]])} and {shown(other or where)}: person {both[0]} is in training and test, as are "
            f"{len(both)} in all: other persons are needed for the test"
        )
    if lost := sorted(query.keys() - gallery.keys()):
        warnings.warn(
            f"{shown(query[lost[0]])}: {len(lost)} of {len(query)} persons of the query are not in the gallery, the "
            f"first of them {lost[0]}",
            UserWarning,
            stacklevel=3,
        )


def compare_counts(
    name: str, counts: Sequence[int], where: Path, published: dict[str, tuple[str, tuple[int, int, int]]]
) -> None:
    """Warns of a published dataset, by the beginning of its name, that has other counts than were published."""
    for start, (title, wanted) in published.items():
        if name.startswith(start) and tuple(counts) != wanted:
            found, known = (" + ".join(f"{count:,}" for count in several) for several in (counts, wanted))
            warnings.warn(
                f"{shown(where)}: {title} has {known} as published, and here {found}", UserWarning, stacklevel=3
            )


def _protocol(folder: Path, boxes: str) -> Path:
    return folder / f"cuhk03_new_protocol_config_{boxes}.mat"


def _cuhk03(folder: Path, boxes: str) -> list[list[Shot]]:
    """The images of CUHK03 by the new protocol. Indices are counted from 1."""
    path, images = _protocol(folder, boxes), folder / f"images_{boxes}"
    if not images.is_dir():
        raise ValueError(f"{shown(images)}: this folder is needed, with the images of cuhk-03.mat as PNG files")
    try:
        content = matlab.read(path)
    except ValueError as error:
        raise ValueError(f"{shown(path)}: {error}") from None
    names, people = content.get("filelist"), content.get("labels")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{shown(path)}: filelist, the names of the images, is needed")
    if not isinstance(people, np.ndarray) or people.size != len(names):
        raise ValueError(f"{shown(path)}: labels, the person of each of {len(names)} images, is needed")
    written = [int(person) for person in people.ravel()]
    parts = []
    for key in ("train_idx", "query_idx", "gallery_idx"):
        indices = content.get(key)
        if not isinstance(indices, np.ndarray) or not ((indices >= 1) & (indices <= len(names))).all():
            raise ValueError(f"{shown(path)}: {key}, numbers from 1 to {len(names)}, is needed")
        chosen = [int(index) - 1 for index in indices.ravel()]
        parts.append([Shot(images / names[i], written[i], _view(path, names[i])) for i in chosen])
    lost = next((shot.path for part in parts for shot in part if not shot.path.is_file()), None)
    if lost is not None:
        raise ValueError(f"{shown(lost)}: no such image, which {path.name} lists")
    return parts


def _view(path: Path, name: str) -> int:
    found = VIEW.match(name)
    if found is None:
        raise ValueError(f"{shown(path)}: {quoted(name)} in filelist: a name as 1_001_1_01.png is needed")
    return int(found[1])
