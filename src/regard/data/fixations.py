"""Images with the places that people looked at, in the formats of the published data sets.

A folder holds the images (in `stimuli/`, `images/`, `ALLSTIMULI/` or beside the fixations) and one of

    fixations.json           OSIE-like: {"1001.jpg": [viewer, …]}, a viewer being {"fix_x": […], "fix_y": […]},
                             {"x": […], "y": […]} or [[x, y], …]
    fixations*.json          SALICON-like: "images" and "annotations", each with an image_id and "fixations", pairs of
                             row and column counted from 1; `fixations_train…` and `fixations_val…` are two parts
    fixations.csv            columns image, viewer, x, y
    fixations/               a file for each image, of the same stem: .mat with `gaze`, a struct for each viewer whose
                             `fixations` are x, y counted from 1 (SALICON), or with `fixLocs`, a map (CAT2000); or a
                             picture that is bright where somebody looked (MIT1003's `…_fixPts.jpg`)

x and y are pixels of the image from its upper left corner. Maps are of the size of their image, and do not tell viewers
apart: they count as one.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.io import loadmat
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.utils.data import Dataset

from regard.data.images import SUFFIXES, measured, quiet, shown, whole

IMAGES = ("stimuli", "images", "ALLSTIMULI", "Stimuli")
POINTS = ("fixations", "FIXATIONLOCS", "ALLFIXATIONMAPS")
SIGMA = 1 / 32  # of the longer side: about a degree of sight where the image fills 32 of them
BRIGHT = 128  # of 255, in pictures of fixations; compression leaves darker traces

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Viewed:
    """One image and where each viewer looked.

    Args:
        path: the image.
        width, height: of it, in pixels.
        viewers: of each, the fixations `n 2`, x and y in pixels.
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
    """Fixations as a map of counts; those that left the picture are left out.

    Args:
        points: x and y of each, in pixels from the upper left corner.
        height, width: of the map.

    Shapes: points `n 2` -> `H W`.
    Raises: ValueError if points have another shape.
    """
    places = np.asarray(points, np.float64)
    if places.size == 0:
        places = places.reshape(0, 2)
    if places.ndim != 2 or places.shape[1] != 2:
        raise ValueError(f"points of shape {places.shape}: n rows of x, y are needed")
    if min(height, width) < 1:
        raise ValueError(f"a map of {height}×{width} pixels has no place for fixations")
    inside = ((places >= 0) & (places < (width, height))).all(1)
    x, y = places[inside].astype(np.int64).T
    counts = np.zeros((height, width))
    np.add.at(counts, (y, x), 1)
    return counts


def density(counts: ArrayLike, sigma: float) -> Array:
    """Fixations blurred by a Gaussian of `sigma` pixels, summing to 1; nothing is reflected at the border.

    Shapes: counts `H W` -> `H W`.
    Raises: ValueError if there is no fixation or `sigma` is not above 0.
    """
    values = np.asarray(counts, np.float64)
    if values.ndim != 2 or not (values >= 0).all() or not np.isfinite(values).all() or not values.any():
        raise ValueError("a map of finite counts with at least one fixation is needed")
    if not 0 < sigma < np.inf:
        raise ValueError(f"sigma={sigma!r}: a number of pixels above 0 is needed")
    blurred: NDArray[np.float64] = gaussian_filter(values, sigma, mode="constant")
    return np.divide(blurred, blurred.sum())


def read(folder: Path, part: str | None = None) -> tuple[Viewed, ...]:
    """The images of a folder that have fixations, by name.

    Args:
        folder: as in the header.
        part: `"train"` or `"val"`, where the folder tells them apart; None takes all.

    Raises: ValueError if the folder holds no fixations in a known format, or they name no image; the message says
        where. OSError if it cannot be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {shown(folder)}")
    paths = _images(folder, part)
    if not paths:
        raise ValueError(f"{shown(folder)} holds no images: they belong into one of {', '.join(IMAGES[:3])}")
    viewers = _viewers(folder, part, paths)
    found = []
    with quiet():
        for name, looks in sorted(viewers.items()):
            if name in paths and any(len(look) for look in looks):
                found.append(Viewed(paths[name], *measured(paths[name]), tuple(look for look in looks if len(look))))
    if not found:
        example = f", for example {shown(next(iter(viewers)))!r}" if viewers else ""
        raise ValueError(f"{shown(folder)}: the fixations name none of its {len(paths)} images{example}")
    return tuple(found)


def parts(folder: Path) -> bool:
    """Whether the folder tells `train` from `val`."""
    return all(any((folder / place / part).is_dir() for place in IMAGES) for part in ("train", "val"))


def _images(folder: Path, part: str | None) -> dict[str, Path]:
    """Stem -> image."""
    place = next((folder / name for name in IMAGES if (folder / name).is_dir()), folder)
    if part is not None and (place / part).is_dir():
        place = place / part
    found: dict[str, Path] = {}
    aside = {folder / name for name in (*POINTS, "maps")}
    for path in sorted(place.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or aside & set(path.parents):
            continue
        if path.stem in found:
            raise ValueError(f"{shown(path)} and {shown(found[path.stem])} have one name: fixations could be of either")
        found[path.stem] = path
    return found


def _viewers(folder: Path, part: str | None, paths: Mapping[str, Path]) -> dict[str, list[Array]]:
    places = [folder / name for name in POINTS if (folder / name).is_dir()]
    if part is not None:
        places = [place / part if (place / part).is_dir() else place for place in places]
    if places:
        return _files(places[0], paths)
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
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{shown(path)} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{shown(path)}: an object of images, or one of images and annotations, is needed")
    found: dict[str, list[Array]] = defaultdict(list)
    if isinstance(content.get("annotations"), list):
        try:
            names = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
            for note in content["annotations"]:
                found[names[note["image_id"]]].append(_points(path, note["fixations"])[:, ::-1] - 1)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{shown(path)}: images need id and file_name, annotations image_id and fixations"
            ) from error
        return found
    for name, looks in content.items():
        if not isinstance(looks, list):
            raise ValueError(f"{shown(path)}: {shown(name)!r} has no list of viewers")
        for number, look in enumerate(looks):
            where = f"{shown(path)}, {shown(name)}, viewer {number}"
            if isinstance(look, Mapping):
                x, y = (look.get(f"fix_{axis}", look.get(axis)) for axis in "xy")
                if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
                    raise ValueError(f"{where}: as many fix_x as fix_y are needed")
                look = list(zip(x, y, strict=True))
            found[Path(name).stem].append(_points(where, look))
    return found


def _points(where: Path | str, values: Any) -> Array:
    try:
        points = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{shown(where)}: fixations are pairs of numbers") from None
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
                raise ValueError(f"{shown(path)} line 1: the header must be image,viewer,x,y")
            for row in reader:
                try:
                    x, y = float(row["x"]), float(row["y"])
                except (TypeError, ValueError):
                    raise ValueError(f"{shown(path)} line {reader.line_num}: x and y must be numbers") from None
                rows[Path(row["image"]).stem, row["viewer"]].append((x, y))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{shown(path)}: {error}") from None
    found: dict[str, list[Array]] = defaultdict(list)
    for (name, viewer), points in rows.items():
        found[name].append(_points(f"{shown(path)}, {shown(name)}, viewer {viewer}", points))
    return found


def _files(place: Path, images: Mapping[str, Path]) -> dict[str, list[Array]]:
    found: dict[str, list[Array]] = {}
    pictures = any(path.stem.endswith("_fixPts") for path in place.rglob("*"))
    for path in sorted(place.rglob("*")):
        if path.suffix.lower() == ".mat":
            found[path.stem] = _mat(path, images.get(path.stem))
        elif path.suffix.lower() in SUFFIXES and (not pictures or path.stem.endswith("_fixPts")):
            with quiet():
                bright = whole(path).pixels.numpy().max(0) >= BRIGHT
            stem = path.stem.removesuffix("_fixPts")
            found[stem] = [_of_map(bright, path, images.get(stem))]
    return found


def _mat(path: Path, image: Path | None) -> list[Array]:
    try:
        content = loadmat(path, simplify_cells=True)
    except Exception as error:  # the reader raises whatever a damaged file makes it stumble over
        raise ValueError(f"{shown(path)} is not a MATLAB file that can be read: {error}") from error
    if "gaze" in content:
        gaze = content["gaze"]
        viewers = [gaze] if isinstance(gaze, Mapping) else list(gaze)
        looks = []
        for viewer in viewers:
            if not isinstance(viewer, Mapping) or "fixations" not in viewer:
                raise ValueError(f"{shown(path)}: gaze without fixations")
            looks.append(_points(path, np.atleast_2d(viewer["fixations"])) - 1)
        return looks
    if "fixLocs" in content:
        return [_of_map(np.atleast_2d(content["fixLocs"]) != 0, path, image)]
    known = ", ".join(sorted(name for name in content if not name.startswith("__"))) or "nothing"
    raise ValueError(f"{shown(path)} holds {known}; gaze or fixLocs is needed")


def _of_map(marked: NDArray[np.bool_], path: Path, image: Path | None) -> Array:
    """Raises: ValueError for a map of another size than its image."""
    if image is not None:
        with quiet():
            width, height = measured(image)
        if marked.shape != (height, width):
            size = "×".join(map(str, reversed(marked.shape)))
            raise ValueError(f"{shown(path)}: a map of {size}, but the image has {width}×{height}")
    y, x = np.nonzero(marked)
    return np.stack((x, y), 1).astype(np.float64) + 0.5


class Fixated(Dataset[Mapping[str, Tensor]]):
    """Images stretched to one size, with density and counts of the fixations.

    Args:
        viewed: the images.
        size: height and width to come out, in pixels.
        sigma: of the Gaussian that makes the density, as a share of the longer side.
    """

    def __init__(self, viewed: Sequence[Viewed], size: int, *, sigma: float = SIGMA) -> None:
        self.viewed = list(viewed)
        self.size = size
        self.sigma = sigma

    def __len__(self) -> int:
        return len(self.viewed)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        """`image` `3 S S` in 0..1, `human` `2 S S`: density, counts."""
        one = self.viewed[i]
        with quiet():
            pixels = whole(one.path, (self.size, self.size)).pixels
        counts = counted(one.points * (self.size / one.width, self.size / one.height), self.size, self.size)
        human = density(counts, self.sigma * self.size) if counts.any() else counts
        return {"image": pixels.float().div_(255), "human": torch.from_numpy(np.stack((human, counts))).float()}
