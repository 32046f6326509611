"""COCO-Search18: photographs in which people searched for one of 18 kinds of object, and where they looked.

    coco_search18_fixations_TP_train_split1.json         trials; also TA (target absent), validation, split2
    images/microwave/000000000123.jpg                    or coco_search18_images_TP/…, a folder for each kind

Both may lie at any depth. A trial has `name` (of the image), `subject`, `task` (the kind of object), `condition`
(`present` or `absent`), `X`, `Y` and `T` of its fixations, `correct` and `split` (`train`, `valid` or `test`). X and Y
are pixels of the display of 1680×1050, which the published images fill; images of another size with these proportions
are scaled to it. Each trial begins at the centre of the display, where a cross was shown: this first fixation is left
out. Of the two published splits, the paper's, split1, is read.

Predicting Goal-directed Human Attention Using Inverse Reinforcement Learning. Yang, Huang, Chen, Wei, Ahn, Zelinsky,
Samaras, Hoai. CVPR 2020, arXiv:2005.14310. COCO-Search18 Fixation Dataset for Predicting Goal-directed Attention
Control. Chen, Yang, Ahn, Samaras, Hoai, Zelinsky. Scientific Reports 2021, doi:10.1038/s41598-021-87715-9.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from regard.checks import choice
from regard.data.fixations import Array, Viewed
from regard.data.images import SUFFIXES, measured, quiet, shown
from regard.data.texts import parsed, quoted

WIDTH, HEIGHT = 1680, 1050  # of the display, in pixels
CONDITIONS = ("present", "absent")
SPLITS = {"train": "train", "val": "valid"}
NEEDED = ("name", "subject", "task", "condition", "X", "Y", "correct", "split")


@dataclass(frozen=True)
class Search:
    """An image in which people searched for one kind of object.

    Args:
        viewed: the image, with the fixations of each searcher after the first.
        task: the kind of object.
        present: whether the image has one.
    """

    viewed: Viewed
    task: str
    present: bool


def read(
    folder: Path, *, task: str | None = None, part: str | None = None, condition: str = "present"
) -> tuple[Search, ...]:
    """Reads the correct trials of a folder, by image and kind of object, sorted by both.

    Args:
        folder: a folder in the layout of the header.
        task: the kind of object; None reads all.
        part: `"train"` or `"val"`; None reads all.
        condition: `"present"` for images with the object, `"absent"` for those without.

    Raises: ValueError if there are no trials, or a trial is malformed, has no image or an image of other proportions;
        LookupError if there is no such task; OSError if the folder cannot be read.
    """
    choice("condition", condition, CONDITIONS)
    if part is not None:
        choice("part", part, tuple(SPLITS))
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {shown(folder)}")
    trials = [(path, number, trial) for path in _files(folder) for number, trial in enumerate(_trials(path))]
    tasks = sorted({trial["task"] for _, _, trial in trials})
    if task is not None and task not in tasks:
        raise LookupError(f"task={task!r}: {', '.join(map(shown, tasks))} are there")
    images = _Images(folder)
    looks: dict[tuple[str, Path], dict[str, Array]] = defaultdict(dict)
    sizes: dict[Path, tuple[int, int]] = {}
    for path, number, trial in trials:
        if trial["condition"] != condition or task not in (None, trial["task"]) or trial["correct"] != 1:
            continue
        if part is not None and trial["split"] != SPLITS[part]:
            continue
        where = f"{shown(path)}[{number}]"
        image = images.of(trial, where)
        if image not in sizes:
            sizes[image] = _size(image)
        looks[trial["task"], image][str(trial["subject"])] = _points(trial, sizes[image], where)
    found = []
    for (kind, image), viewers in sorted(looks.items(), key=lambda pair: (pair[0][0], str(pair[0][1]))):
        each = tuple(viewers[subject] for subject in sorted(viewers) if len(viewers[subject]))
        if each:
            found.append(Search(Viewed(image, *sizes[image], each), kind, condition == "present"))
    if not found:
        wanted = " ".join(word for word in (condition, part, task) if word)
        raise ValueError(f"{shown(folder)}: no correct trial ({wanted}) has a fixation after the first")
    return tuple(found)


def _files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*fixations*.json") if not path.name.startswith("."))
    if any("split1" in path.stem for path in found):
        found = [path for path in found if "split2" not in path.stem]
    if not found:
        raise ValueError(f"{shown(folder)}: trials of COCO-Search18, coco_search18_fixations_….json, are needed")
    return found


def _trials(path: Path) -> list[dict[str, Any]]:
    content = parsed(path)
    if not isinstance(content, list) or not content:
        raise ValueError(f"{shown(path)}: a list of trials, as of COCO-Search18, is needed")
    for number, trial in enumerate(content):
        missing = [key for key in NEEDED if not isinstance(trial, dict) or key not in trial]
        if missing:
            raise ValueError(f"{shown(path)}[{number}]: a trial needs {', '.join(missing)}")
        if not isinstance(trial["name"], str) or not isinstance(trial["task"], str):
            raise ValueError(f"{shown(path)}[{number}]: name and task need texts")
    return content


class _Images:
    """Finds the image of a trial: in the folder of its task, or by its name if there is only one.

    Args:
        folder: the folder, which is searched at any depth.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_name: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                self.by_name[path.name].append(path)

    def of(self, trial: Mapping[str, Any], where: str) -> Path:
        """The image of a trial. Raises: ValueError if there is none, or several may be meant."""
        found = self.by_name.get(trial["name"], [])
        own = [path for path in found if path.parent.name in (trial["task"], trial["task"].replace(" ", "_"))]
        found = own or found
        if len(found) > 1:  # target present and absent are published in folders of these names
            marks = ("_TP", "_TA") if trial["condition"] == "present" else ("_TA", "_TP")
            found = [path for path in found if marks[1] not in str(path.relative_to(self.folder))] or found
        if len(found) != 1:
            what = "no image" if not found else f"{len(found)} images"
            raise ValueError(f"{where}: {what} {quoted(trial['name'])} of the task {quoted(trial['task'])}")
        return found[0]


def _size(image: Path) -> tuple[int, int]:
    with quiet():
        width, height = measured(image)
    if abs(width / height - WIDTH / HEIGHT) > 0.02:
        raise ValueError(
            f"{shown(image)} has {width}×{height}: the published images, which fill {WIDTH}×{HEIGHT}, are needed"
        )
    return width, height


def _points(trial: Mapping[str, Any], size: tuple[int, int], where: str) -> Array:
    """The fixations after the first, in pixels of the image: `n 2`."""
    try:
        x, y = (np.asarray(trial[axis], np.float64) for axis in ("X", "Y"))
    except (TypeError, ValueError):
        raise ValueError(f"{where}: numbers X and Y are needed") from None
    if x.ndim != 1 or x.shape != y.shape or not np.isfinite(x).all() or not np.isfinite(y).all():
        raise ValueError(f"{where}: lists X and Y of finite numbers, of one length, are needed")
    scale = size[0] / WIDTH, size[1] / HEIGHT
    return np.stack((x, y), 1)[1:] * scale
