"""Writes drawn persons in the layouts of Market-1501 and MARS, with masks of parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from regard.checks import positive, whole
from regard.data.images import shown
from regard.data.part_masks import FOLDER, PARTS, WHOLE
from regard.data.pedestrians import CAMERAS, SIZE, Pedestrians, Picture
from regard.data.persons import DISTRACTOR, FOLDERS, JUNK


def write_images(
    folder: Path,
    *,
    train: int,
    test: int,
    shots: int = 2,
    distractors: int = 0,
    junk: int = 0,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
    occlusion: float = 0.3,
) -> None:
    """Writes a dataset of images in Market-1501's layout, with the masks of the parts of all images.

    The first shot of a person in the test under each camera is in the query, the others are in the gallery.

    Args:
        folder: a new or empty folder.
        train, test: the number of persons in each part.
        shots: of each person under each camera, at least 2.
        distractors, junk: the number of such images in the gallery.
        size, seed, occlusion: as for `Pedestrians`.

    Raises: FileExistsError if the folder has content; ValueError if an argument is out of range.
    """
    drawing = Pedestrians(size=size, seed=seed, occlusion=occlusion)
    positive("train", train), positive("test", test), whole("shots", shots, 2)
    whole("distractors", distractors, 0), whole("junk", junk, 0)
    _prepared(folder)
    for person in range(1, train + test + 1):
        for camera in range(1, CAMERAS + 1):
            for shot in range(shots):
                part = FOLDERS[0] if person <= train else FOLDERS[2 if shot else 1]
                _write(folder, part, f"{person:04d}_c{camera}s1_{shot:06d}_00", drawing.shot(person, camera, shot))
    for i in range(distractors + junk):
        camera, nobody = i % CAMERAS + 1, i < distractors
        # Junk is a person whose box is wrong: a shot of somebody in the test, hidden.
        picture = drawing.shot(DISTRACTOR if nobody else train + 1, camera, shots + i, occluded=not nobody)
        name = f"{'0000' if nobody else '-1'}_c{camera}s1_{i:06d}_01"
        _write(folder, FOLDERS[2], name, picture)


def write_tracklets(
    folder: Path,
    *,
    train: int,
    test: int,
    frames: int = 8,
    tracklets: int = 2,
    distractors: int = 0,
    junk: int = 0,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
    occlusion: float = 0.5,
) -> None:
    """Writes a dataset of tracklets in MARS's layout; an occluder hides a person in a half of the frames.

    The first tracklet of a person in the test under each camera is in the query, the others are in the gallery.

    Args:
        folder: a new or empty folder.
        train, test: the number of persons in each part.
        frames: of each tracklet.
        tracklets: of each person under each camera, at least 2.
        distractors, junk: the number of such tracklets in the gallery.
        size, seed, occlusion: as for `Pedestrians`.

    Raises: FileExistsError if the folder has content; ValueError if an argument is out of range.
    """
    drawing = Pedestrians(size=size, seed=seed, occlusion=occlusion)
    positive("train", train), positive("test", test), positive("frames", frames), whole("tracklets", tracklets, 2)
    whole("distractors", distractors, 0), whole("junk", junk, 0)
    _prepared(folder)
    (folder / "info").mkdir()
    people = [("bbox_train", person) for person in range(1, train + 1)]
    people += [("bbox_test", person) for person in range(train + 1, train + test + 1)]
    walks = [(*who, camera, i) for who in people for camera in range(1, CAMERAS + 1) for i in range(tracklets)]
    extra = [DISTRACTOR] * distractors + [JUNK] * junk
    walks += [("bbox_test", person, i % CAMERAS + 1, tracklets + i) for i, person in enumerate(extra)]
    names: dict[str, list[str]] = {"bbox_train": [], "bbox_test": []}
    rows: dict[str, list[tuple[int, int, int, int]]] = {"bbox_train": [], "bbox_test": []}
    query = []
    for part, person, camera, number_of in walks:
        written = "00-1" if person == JUNK else f"{person:04d}"
        begins = len(names[part]) + 1
        shown_person = train + 1 if person == JUNK else person
        clip = drawing.clip(shown_person, camera, number_of, frames, occluded=True if person == JUNK else None)
        (folder / part / written).mkdir(parents=True, exist_ok=True)
        for frame, picture in enumerate(clip, 1):
            name = f"{written}C{camera}T{number_of + 1:04d}F{frame:03d}.jpg"
            Image.fromarray(picture.image).save(folder / part / written / name, quality=95)
            names[part].append(name)
        rows[part].append((begins, len(names[part]), person, camera))
        if part == "bbox_test" and person > 0 and number_of == 0:
            query.append(len(rows[part]))
    for part in ("train", "test"):
        lines = "".join(f"{name}\n" for name in names[f"bbox_{part}"])
        (folder / "info" / f"{part}_name.txt").write_text(lines, encoding="utf-8")
        table = np.array(rows[f"bbox_{part}"], float)
        savemat(folder / "info" / f"tracks_{part}_info.mat", {f"track_{part}_info": table}, do_compression=True)
    savemat(folder / "info" / "query_IDX.mat", {"query_IDX": np.array(query, float)[None]}, do_compression=True)


def _prepared(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"folder={shown(folder)!r}: it has content; a new or an empty folder is needed")


def _write(folder: Path, part: str, stem: str, picture: Picture) -> None:
    masks = folder / FOLDER / f"Market1501_{'train' if part == FOLDERS[0] else 'test'}_seg_part4" / stem
    (folder / part).mkdir(exist_ok=True)
    masks.mkdir(parents=True)
    Image.fromarray(picture.image).save(folder / part / f"{stem}.jpg", quality=95)
    for name, inside in [*zip(PARTS, picture.parts, strict=True), (WHOLE, picture.person)]:
        Image.fromarray(inside.astype(np.uint8) * 255).save(masks / f"{name}.png")
