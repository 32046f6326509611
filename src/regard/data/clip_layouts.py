"""Layouts of datasets of labelled videos: which videos a folder has, of which class, for training and for testing.

folder      train/CLASS/VIDEO and val/CLASS/VIDEO (or test/); without two parts, all in one part
Kinetics    train.csv and val.csv (or validate.csv): label,youtube_id,time_start,time_end,split; the videos anywhere
            below, as ID_000010_000020 or ID
UCF-101     trainlist01.txt (CLASS/VIDEO.avi NUMBER), testlist01.txt (CLASS/VIDEO.avi) and classInd.txt (NUMBER CLASS,
            from 1), here or in a folder below
HMDB-51     CLASS_test_split1.txt of every class (VIDEO.avi, and 1 for training, 2 for testing or 0 for neither), here
            or in a folder below
list        trainlist.txt and vallist.txt: a path and the number of a class a line; names in classids.json, if any

A VIDEO is a file, or a folder of frames (`data.videos`), which has the name of the file or that name without its
ending. Those of UCF-101 and HMDB-51 lie at CLASS/VIDEO here or in a folder below. Listed videos that are not there are
left out and told.

UCF101: A Dataset of 101 Human Actions Classes From Videos in The Wild. Soomro, Zamir, Shah. 2012, arXiv:1212.0402.
HMDB: A Large Video Database for Human Motion Recognition. Kuehne, Jhuang, Garrote, Poggio, Serre. ICCV 2011.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from regard.checks import positive
from regard.data import Skipped
from regard.data.dividing import TEST, TRAIN
from regard.data.images import shown
from regard.data.texts import parsed, quoted, text
from regard.data.videos import FILES, numbered

COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
LISTS = (("trainlist.txt", ("vallist.txt", "testlist.txt")), ("train.txt", ("val.txt", "test.txt")))
LABEL = re.compile(r"[0-9]{1,6}")  # the number of a class in a list
TABLES = ("val.csv", "validate.csv", "validation.csv", "test.csv")
UCF = ("trainlist{:02d}.txt", "testlist{:02d}.txt")
UCF_CLASSES = "classInd.txt"
HMDB = "_test_split{}.txt"  # behind the name of a class
TRAINING, TESTING, NEITHER = "1", "2", "0"  # behind a video of HMDB-51


@dataclass(frozen=True)
class Labelled:
    """A video with the index of its class."""

    path: Path
    label: int


Found = tuple[Sequence[str], list[list[Labelled]], list[Skipped]]


def found_in(folder: Path, split: int) -> Found:
    """The names of the classes, the videos of one part or of two, and those that are listed and not there.

    Args:
        folder: the folder of the dataset.
        split: which of the published splits of UCF-101 or HMDB-51, from 1; of other layouts there is one.

    Raises: ValueError if it has none of the layouts, a line cannot be read, or none of the listed videos is there.
    """
    positive("split", split)
    for layout in (_ucf, _hmdb):
        found = layout(folder, split)
        if found is not None:
            return found
    if split != 1:
        raise ValueError(f"split={split}: {shown(folder)} has no splits; those of UCF-101 and HMDB-51 have numbers")
    return _listed(folder) or _tabled(folder) or _in_folders(folder)


def _ucf(folder: Path, split: int) -> Found | None:
    """Videos of UCF-101 in one of its published splits."""
    place = _place_of(folder, UCF[0].replace("{:02d}", "[0-9][0-9]"))
    if place is None:
        return None
    lists = [place / name.format(split) for name in UCF]
    for path in (*lists, place / UCF_CLASSES):
        if not path.is_file():
            raise ValueError(f"split={split}: {shown(path)} is needed, beside the other lists of UCF-101")
    numbers: dict[str, int] = {}
    for where, line in _lines(place / UCF_CLASSES):
        number, _, name = line.partition(" ")
        if not LABEL.fullmatch(number) or int(number) != len(numbers) + 1 or not name:
            raise ValueError(
                f"{where}, {quoted(line)}: the number {len(numbers) + 1} and the name of a class are needed"
            )
        numbers[name] = len(numbers)
    roots = _roots(folder, numbers)
    skipped: list[Skipped] = []
    parts = []
    for path in lists:
        part: list[Labelled] = []
        for where, line in _lines(path):
            listed, _, number = line.partition(" ") if LABEL.fullmatch(line.rpartition(" ")[2]) else (line, "", "")
            name = listed.partition("/")[0]
            if name not in numbers or (number and int(number) != numbers[name] + 1):
                what = f"CLASS/VIDEO is needed, with a class of {UCF_CLASSES}, and its number if any"
                raise ValueError(f"{where}, {quoted(line)}: {what}")
            _add(part, skipped, roots, listed, numbers[name])
        parts.append(_some(part, path))
    return tuple(numbers), parts, skipped


def _hmdb(folder: Path, split: int) -> Found | None:
    """Videos of HMDB-51 in one of its published splits."""
    place = _place_of(folder, f"*{HMDB.format('*')}")
    if place is None:
        return None
    ending = HMDB.format(split)
    lists = sorted(place.glob(f"*{ending}"))
    if not lists:
        raise ValueError(f"split={split}: {shown(place)} has no file CLASS{ending}")
    classes = [path.name.removesuffix(ending) for path in lists]
    roots = _roots(folder, classes)
    skipped: list[Skipped] = []
    parts: dict[str, list[Labelled]] = {TRAINING: [], TESTING: [], NEITHER: []}
    for label, path in enumerate(lists):
        for where, line in _lines(path):
            video, _, which = line.rpartition(" ")
            if which not in parts or not video.strip():
                raise ValueError(f"{where}, {quoted(line)}: a video and 0, 1 or 2 are needed")
            if which != NEITHER:
                _add(parts[which], skipped, roots, f"{classes[label]}/{video.strip()}", label)
    return classes, [_some(parts[which], place) for which in (TRAINING, TESTING)], skipped


def _place_of(folder: Path, pattern: str) -> Path | None:
    """The folder, or the first one below it, with a file that fits the pattern."""
    below = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    return next((place for place in (folder, *below) if any(place.glob(pattern))), None)


def _lines(path: Path) -> list[tuple[str, str]]:
    """The lines that are not empty, each behind its place for messages."""
    found = enumerate(text(path).splitlines(), 1)
    return [(f"{shown(path)}, line {number}", line.strip()) for number, line in found if line.strip()]


def _roots(folder: Path, classes: Sequence[str] | Mapping[str, int]) -> list[Path]:
    """The folders that have folders of classes: the folder itself, and those below it."""
    below = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    return [place for place in (folder, *below) if any((place / name).is_dir() for name in classes)]


def _add(part: list[Labelled], skipped: list[Skipped], roots: Sequence[Path], listed: str, label: int) -> None:
    """Adds a listed video to a part, as the file or as a folder of its frames, or to those that are not there."""
    stem = re.sub(r"\.[A-Za-z0-9]{2,4}$", "", listed)
    place = next((root / name for root in roots for name in (stem, listed) if _exists(root / name)), None)
    if place is None:
        skipped.append(Skipped(listed, "is listed and not there"))
    else:
        part.append(Labelled(place, label))


def _some(part: list[Labelled], path: Path) -> list[Labelled]:
    if not part:
        raise ValueError(
            f"{shown(path)}: none of the listed videos is there; CLASS/VIDEO is needed, a file or a folder"
        )
    return part


def _in_folders(folder: Path) -> Found:
    """Videos in folders of classes."""
    halves = [next((folder / name for name in names if (folder / name).is_dir()), None) for names in (TRAIN, TEST)]
    if halves[0] is not None and halves[1] is None:
        raise ValueError(f"{shown(folder)} has {halves[0].name}/: {TEST[0]}/ or test/ is needed as well")
    places = [half for half in halves if half is not None] if halves[0] is not None else [folder]
    found = [
        {child.name: _videos(child) for child in sorted(place.iterdir()) if child.is_dir() and child.name[0] != "."}
        for place in places
    ]
    classes = sorted(name for name, videos_of in found[0].items() if videos_of)
    for place, own in zip(places, found, strict=True):
        for name in {*classes, *own}:
            if not own.get(name):
                raise ValueError(
                    f"{shown(place / name)}: video files or folders of frames are needed, in each class of each part "
                    f"(or trainlist.txt and vallist.txt, or Kinetics' train.csv and val.csv, in {shown(folder)})"
                )
    parts = [[Labelled(path, label) for label, name in enumerate(classes) for path in own[name]] for own in found]
    return classes, parts, []


def _videos(folder: Path) -> list[Path]:
    """The videos of a class, in the order of the numbers in their names."""
    children = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return sorted((path for path in children if path.is_dir() or path.suffix.lower() in FILES), key=numbered)


def _listed(folder: Path) -> Found | None:
    """Videos in lists of paths and numbers."""
    names = _names_of_lists(folder)
    if names is None:
        return None
    skipped: list[Skipped] = []
    parts = []
    for name in names:
        if not (folder / name).is_file():
            raise ValueError(f"{shown(folder / names[0])} is there: {name} is needed as well")
        part = []
        for number, line in enumerate(text(folder / name).splitlines(), 1):
            path, _, label = line.strip().rpartition(" ")
            if not line.strip():
                continue
            if not path or "\0" in path or not LABEL.fullmatch(label):
                raise ValueError(
                    f"{shown(folder / name)}, line {number}, {quoted(line)}: a path and a number are needed"
                )
            place = folder / path
            if _exists(place):
                part.append(Labelled(place, int(label)))
            else:
                skipped.append(Skipped(path, "is listed and not there"))
        if not part:
            raise ValueError(f"{shown(folder / name)}: none of the listed videos is there; a path of them is needed")
        parts.append(part)
    count = 1 + max(video.label for part in parts for video in part)
    return _named(folder, count), parts, skipped


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:  # a name that no file can have
        return False


def _names_of_lists(folder: Path) -> tuple[str, str] | None:
    """The names of the lists for training and testing; of the second, the first usual one if none is there."""
    for train, tests in LISTS:
        if (folder / train).is_file():
            return train, next((name for name in tests if (folder / name).is_file()), tests[0])
    return None


def _named(folder: Path, count: int) -> list[str]:
    """The names of the classes in classids.json, whose keys may be quoted once more; or their numbers."""
    path = folder / "classids.json"
    numbers = {i: str(i) for i in range(count)}
    if path.is_file():
        try:
            numbers |= {int(i): name.strip('"') for name, i in parsed(path).items()}
        except (ValueError, AttributeError, TypeError, OverflowError) as error:
            raise ValueError(f"{shown(path)}: names of classes and their numbers are needed, as JSON") from error
    return [numbers[i] for i in range(count)]


def _tabled(folder: Path) -> Found | None:
    """Videos in Kinetics' tables."""
    place = folder / "annotations" if (folder / "annotations" / "train.csv").is_file() else folder
    if not (place / "train.csv").is_file():
        return None
    test = next((place / name for name in TABLES if (place / name).is_file()), None)
    if test is None:
        raise ValueError(f"{shown(place / 'train.csv')} is there: {TABLES[0]} is needed as well")
    there = {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in FILES}
    there |= {path.name: path for path in sorted(folder.rglob("*")) if path.is_dir()}
    skipped: list[Skipped] = []
    rows = []
    for table in (place / "train.csv", test):
        reader = csv.DictReader(text(table).splitlines())
        try:
            listed = list(reader)
        except csv.Error as error:
            raise ValueError(f"{shown(table)}: not a table: {error}") from error
        missing = [name for name in COLUMNS[:2] if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{shown(table)}: the columns {', '.join(COLUMNS)} are needed, and {missing[0]} is missing"
            )
        part, name = [], "none"
        for row in listed:
            if not row["label"] or not row["youtube_id"]:
                raise ValueError(f"{shown(table)}: a row without {' or '.join(COLUMNS[:2])}: {quoted(row)}")
            name = _clip_name(row, table)
            path = there.get(name) or there.get(row["youtube_id"])
            if path is None:
                skipped.append(Skipped(name, "is listed and not there"))
            else:
                part.append((path, row["label"]))
        if not part:
            raise ValueError(
                f"{shown(table)}: none of the listed videos is below {shown(folder)}; {quoted(name)} is the last"
            )
        rows.append(part)
    classes = sorted({label for part in rows for _, label in part})
    index = {label: i for i, label in enumerate(classes)}
    return classes, [[Labelled(path, index[label]) for path, label in part] for part in rows], skipped


def _clip_name(row: Mapping[str, str], table: Path) -> str:
    """The name of a clip's file as Kinetics' crawlers write it."""
    start, end = row.get("time_start"), row.get("time_end")
    if not start or not end:
        return row["youtube_id"]
    try:
        return f"{row['youtube_id']}_{int(float(start)):06d}_{int(float(end)):06d}"
    except (ValueError, OverflowError):
        raise ValueError(
            f"{shown(table)}: time_start={quoted(start)}, time_end={quoted(end)} of {quoted(row['youtube_id'])}: "
            f"seconds are needed"
        ) from None
