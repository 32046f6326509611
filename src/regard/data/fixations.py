"""Images with human fixations, in the formats of the published datasets.

A folder has the images (in `stimuli/`, `images/`, `ALLSTIMULI/` or beside the fixations) and one of

    fixations.json           OSIE-like: {"1001.jpg": [viewer, …]}, a viewer being {"fix_x": […], "fix_y": […]},
                             {"x": […], "y": […]} or [[x, y], …]
    fixations*.json          SALICON-like: "images" and "annotations", each with an image_id and "fixations", pairs of
                             row and column counted from 1; `fixations_train…` and `fixations_val…` are two parts
    fixations.csv            columns image, viewer, x, y
    fixations/               a file for each image, with the same stem: .mat with `gaze`, a struct for each viewer whose
                             `fixations` are x, y counted from 1 (SALICON), or with `fixLocs`, a map (CAT2000); or an
                             image that is bright at the fixations (MIT1003's `…_fixPts.jpg`)

and as they are published: MIT1003 (`ALLSTIMULI/`, `ALLFIXATIONMAPS/`), CAT2000 (`trainSet/Stimuli/Action/001.jpg`,
`trainSet/FIXATIONLOCS/Action/001.mat`, with an image 001 in each category) and SALICON. Images are told apart by their
path where one name occurs in several folders. x and y are pixels of the image from its upper left corner. Maps have the
size of their image; they do not distinguish viewers, and count as one viewer.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.utils.data import Dataset

from regard.data import matlab
from regard.data.images import SUFFIXES, measured, quiet, shown, whole
from regard.data.region_files import Names
from regard.data.texts import QUOTED, parsed

IMAGES = ("stimuli", "images", "ALLSTIMULI", "Stimuli")
POINTS = ("fixations", "FIXATIONLOCS", "ALLFIXATIONMAPS")
SIGMA = 1 / 32  # of the longer side: about 1° of visual angle for an image 32° wide
CAT2000 = "trainSet"  # of its two folders the one with fixations
DENSITY = "_fixMap"  # of a file with the density of fixations, beside the fixations
BRIGHT = 128  # of 255, in images of fixations; compression leaves darker artefacts

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Viewed:
    """An image with the fixations of each viewer.

    Args:
        path: the image file.
        width, height: the size of the image, in pixels.
        viewers: the fixations of each viewer, `n 2`, x and y in pixels.
    """

    path: Path
    width: int
    height: int
    viewers: tuple[Array, ...]

    @property
    def points(self) -> Array:
        """The fixations of all viewers, `n 2`."""
        return np.concatenate(self.viewers) if self.viewers else np.zeros((0, 2))


def counted(points: ArrayLike, height: int, width: int) -> Array:
    """The map of fixation counts; fixations outside the image are left out.

    Args:
        points: x and y of each fixation, in pixels from the upper left corner.
        height, width: the size of the map.

    Shapes: points `n 2` -> `H W`.
    Raises: ValueError if `points` has another shape, or the map has no pixel.
    """
    places = np.asarray(points, np.float64)
    if places.size == 0:
        places = places.reshape(0, 2)
    if places.ndim != 2 or places.shape[1] != 2:
        raise ValueError(f"points of shape {places.shape}: shape (n, 2), rows of x and y, is needed")
    if min(height, width) < 1:
        raise ValueError(f"height={height}, width={width}: at least 1 pixel each is needed")
    inside = ((places >= 0) & (places < (width, height))).all(1)
    x, y = places[inside].astype(np.int64).T
    counts = np.zeros((height, width))
    np.add.at(counts, (y, x), 1)
    return counts


def density(counts: ArrayLike, sigma: float) -> Array:
    """The density of fixations: their counts blurred by a Gaussian of `sigma` pixels, zero-padded, with sum 1.

    Shapes: counts `H W` -> `H W`.
    Raises: ValueError if there is no fixation, or `sigma` is not above 0.
    """
    values = np.asarray(counts, np.float64)
    if values.ndim != 2 or not (values >= 0).all() or not np.isfinite(values).all() or not values.any():
        raise ValueError("counts: a map H W of finite numbers with at least one fixation is needed")
    if not 0 < sigma < np.inf:
        raise ValueError(f"sigma={sigma!r}: a number of pixels above 0 is needed")
    blurred: NDArray[np.float64] = gaussian_filter(values, sigma, mode="constant")
    shares: NDArray[np.float64] = blurred / blurred.sum()
    return shares


def read(folder: Path, part: str | None = None) -> tuple[Viewed, ...]:
    """Reads the images of a folder that have fixations, sorted by name.

    Args:
        folder: a folder in one of the formats of the header.
        part: `"train"` or `"val"`, for a folder that has both; None reads all.

    Raises: ValueError if the folder has no fixations in a known format, or they name none of its images; OSError if it
        cannot be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {shown(folder)}")
    if (folder / CAT2000).is_dir():
        folder = folder / CAT2000
    paths = _images(folder, part)
    if not paths:
        raise ValueError(f"{shown(folder)} has no images: put them into one of {', '.join(IMAGES[:3])}")
    images = _Images(paths)
    viewers = _viewers(folder, part, images)
    found: dict[str, Viewed] = {}
    with quiet():
        for said, looks in viewers.items():
            name = images.name(said, shown(folder))
            if name is None or not any(len(look) for look in looks):
                continue
            if name in found:
                raise ValueError(f"{shown(folder)}: two entries of the fixations are of the image {shown(name)}")
            found[name] = Viewed(paths[name], *measured(paths[name]), tuple(look for look in looks if len(look)))
    if not found:
        example = f", for example {shown(next(iter(viewers)))!r}" if viewers else ""
        raise ValueError(f"{shown(folder)}: the fixations name none of its {len(paths)} images{example}")
    return tuple(found[name] for name in sorted(found))


class _Images:
    """Finds images by path without the suffix, or by the end of it.

    Args:
        paths: the images by their path relative to their folder.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self.paths = paths
        self.names = Names(dict.fromkeys(paths, ""), stems=True)

    def name(self, said: str, where: str) -> str | None:
        """The path of the image that is meant; None if there is none. Raises: ValueError if several are."""
        return self.names.find(said, where) or self.names.find(PurePosixPath(said).name, where)

    def path(self, said: str, where: str) -> Path | None:
        """The file of the image that is meant; None if there is none. Raises: ValueError if several are."""
        name = self.name(said, where)
        return None if name is None else self.paths[name]


def parts(folder: Path) -> bool:
    """Whether the folder has the parts `train` and `val`."""
    return all(any((folder / place / part).is_dir() for place in IMAGES) for part in ("train", "val"))


def _images(folder: Path, part: str | None) -> dict[str, Path]:
    """The images by their path relative to their folder."""
    place = next((folder / name for name in IMAGES if (folder / name).is_dir()), folder)
    if part is not None and (place / part).is_dir():
        place = place / part
    found: dict[str, Path] = {}
    aside = {folder / name for name in (*POINTS, "maps")}
    for path in sorted(place.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or aside & set(path.parents):
            continue
        if path.parent.name == "Output" and path.stem.endswith("_SaliencyMap"):  # beside CAT2000's images
            continue
        found[path.relative_to(place).as_posix()] = path
    return found


def _viewers(folder: Path, part: str | None, images: _Images) -> dict[str, list[Array]]:
    places = [folder / name for name in POINTS if (folder / name).is_dir()]
    if part is not None:
        places = [place / part if (place / part).is_dir() else place for place in places]
    if places:
        return _files(places[0], images)
    tables = [folder / "fixations.csv"] if (folder / "fixations.csv").is_file() else []
    found = tables or sorted(folder.glob("fixations*.json"))
    if part is not None and not tables:
        found = [path for path in found if part in path.stem] or found
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ValueError(
            f"{shown(folder)}: one fixations.json, fixations.csv or folder fixations/ is needed; found {names}"
        )
    return _csv(found[0]) if tables else _json(found[0])


def _json(path: Path) -> dict[str, list[Array]]:
    content = parsed(path)
    if not isinstance(content, dict):
        raise ValueError(f"{shown(path)}: an object that maps images to viewers, or COCO's, is needed")
    found: dict[str, list[Array]] = defaultdict(list)
    if isinstance(content.get("annotations"), list):
        try:
            names = {image["id"]: str(image["file_name"]) for image in content["images"]}
            for note in content["annotations"]:
                found[names[note["image_id"]]].append(_points(path, note["fixations"])[:, ::-1] - 1)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{shown(path)}: images need id and file_name, annotations image_id and fixations"
            ) from error
        return found
    for name, looks in content.items():
        if not isinstance(looks, list):
            raise ValueError(f"{shown(path)}: {shown(name)!r} needs a list of viewers")
        for number, look in enumerate(looks):
            where = f"{shown(path)}, {shown(name)}, viewer {number}"
            if isinstance(look, Mapping):
                x, y = (look.get(f"fix_{axis}", look.get(axis)) for axis in "xy")
                if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
                    raise ValueError(f"{where}: lists fix_x and fix_y of one length are needed")
                look = list(zip(x, y, strict=True))
            found[name].append(_points(where, look))
    return found


def _points(where: Path | str, values: Any) -> Array:
    try:
        points = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{shown(where)}: pairs of numbers are needed as fixations") from None
    if points.size == 0:
        return np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] < 2 or not np.isfinite(points[:, :2]).all():
        raise ValueError(f"{shown(where)}: fixations of shape {points.shape}; finite pairs of numbers are needed")
    return points[:, :2]


def _csv(path: Path) -> dict[str, list[Array]]:
    rows: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if not {"image", "viewer", "x", "y"} <= set(reader.fieldnames or ()):
                raise ValueError(f"{shown(path)} line 1: the header image,viewer,x,y is needed")
            for row in reader:
                try:
                    x, y = float(row["x"]), float(row["y"])
                except (TypeError, ValueError):
                    raise ValueError(f"{shown(path)} line {reader.line_num}: numbers x and y are needed") from None
                rows[row["image"], row["viewer"]].append((x, y))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{shown(path)}: {error}") from None
    found: dict[str, list[Array]] = defaultdict(list)
    for (name, viewer), points in rows.items():
        found[name].append(_points(f"{shown(path)}, {shown(name)}, viewer {viewer}", points))
    return found


def _files(place: Path, images: _Images) -> dict[str, list[Array]]:
    found: dict[str, list[Array]] = {}
    files = [path for path in sorted(place.rglob("*")) if not path.name.startswith(".")]
    pictures = any(path.stem.endswith("_fixPts") for path in files)
    for path in files:
        said = path.relative_to(place).as_posix()
        if path.suffix.lower() == ".mat":
            found[said] = _mat(path, images.path(said, shown(place)))
        elif path.suffix.lower() in SUFFIXES and (not pictures or path.stem.endswith("_fixPts")):
            if path.stem.endswith(DENSITY):
                raise ValueError(f"{shown(path)} is a density: the fixations, …_fixPts, are needed beside it")
            with quiet():
                bright = whole(path).pixels.numpy().max(0) >= BRIGHT
            said = said.replace("_fixPts.", ".")
            found[said] = [_of_map(bright, path, images.path(said, shown(place)))]
    return found


def _mat(path: Path, image: Path | None) -> list[Array]:
    try:
        content = matlab.read(path)
    except ValueError as error:
        raise ValueError(f"{shown(path)} cannot be read as a MATLAB file: {error}") from error
    if "gaze" in content:
        gaze = content["gaze"]
        viewers = gaze if isinstance(gaze, list) else [gaze]
        looks = []
        for viewer in viewers:
            if not isinstance(viewer, Mapping) or "fixations" not in viewer:
                raise ValueError(f"{shown(path)}: every viewer of gaze needs fixations")
            looks.append(_points(path, np.atleast_2d(viewer["fixations"])) - 1)
        return looks
    if "fixLocs" in content:
        if not isinstance(content["fixLocs"], np.ndarray) or content["fixLocs"].ndim != 2:
            raise ValueError(f"{shown(path)}: fixLocs, a map of numbers, is needed")
        return [_of_map(content["fixLocs"] != 0, path, image)]
    known = ", ".join(sorted(shown(name[:QUOTED]) for name in content)[:10]) or "nothing"
    raise ValueError(f"{shown(path)} holds {known}: gaze or fixLocs is needed")


def _of_map(marked: NDArray[np.bool_], path: Path, image: Path | None) -> Array:
    """The fixations of a map, at the centres of its pixels: `n 2`. Raises: ValueError if the image has another size."""
    if image is not None:
        with quiet():
            width, height = measured(image)
        if marked.shape != (height, width):
            size = "×".join(map(str, reversed(marked.shape)))
            raise ValueError(f"{shown(path)}: a map of {size}; the size of its image, {width}×{height}, is needed")
    y, x = np.nonzero(marked)
    return np.stack((x, y), 1).astype(np.float64) + 0.5


class Fixated(Dataset[Mapping[str, Tensor]]):
    """A dataset of images resized to one size, with the density and the counts of their fixations.

    Args:
        viewed: the images and their fixations.
        size: output height and width, in pixels.
        sigma: standard deviation of the Gaussian of the density, as a share of the side.
    """

    def __init__(self, viewed: Sequence[Viewed], size: int, *, sigma: float = SIGMA) -> None:
        self.viewed = list(viewed)
        self.size = size
        self.sigma = sigma

    def __len__(self) -> int:
        return len(self.viewed)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        """The sample: `image` `3 S S` in 0..1, and `human` `2 S S`, density and counts."""
        one = self.viewed[i]
        with quiet():
            pixels = whole(one.path, (self.size, self.size)).pixels
        counts = counted(one.points * (self.size / one.width, self.size / one.height), self.size, self.size)
        human = density(counts, self.sigma * self.size) if counts.any() else counts
        return {"image": pixels.float().div_(255), "human": torch.from_numpy(np.stack((human, counts))).float()}
