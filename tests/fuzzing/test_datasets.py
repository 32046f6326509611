"""Mutated files of datasets: images, masks, boxes, fixations, digits, colour images and lists."""

from __future__ import annotations

import io
import json
import pickle
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from regard.data import boxes, cifar, cub, fixations, folder, images, masks, matlab, mnist, region_files, searches

DRAW = np.random.default_rng(0)
PIXELS = DRAW.integers(256, size=(17, 13, 3), dtype=np.uint8)


def picture(path: Path, kind: str = "PNG", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PIXELS).save(path, kind, **options)
    return path


def written(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read_image(path: Path) -> object:
    with images.quiet():
        return images.read(path, 8), images.whole(path), images.measured(path), images.read_mask(path)


def image_file(kind: str, **options: object) -> Callable[[Path], Path]:
    return lambda root: picture(root / f"image.{kind.lower()}", kind, **options)


def classes(root: Path, regions: str) -> Path:
    """Two classes of three images, with a file of regions."""
    for label in ("cat", "dog"):
        for number in range(3):
            picture(root / label / f"{number}.png")
    return root / regions


def with_boxes(root: Path) -> Path:
    rows = [f"{label}/{number}.png,1,2.5,11,13" for label in ("cat", "dog") for number in range(3)]
    return written(classes(root, "boxes.csv"), "\n".join(["file,x0,y0,x1,y1", *rows, "cat/0.png,0,0,3,3"]) + "\n")


def coco(names: list[str], points: bool = False) -> str:
    listed = [{"id": i, "file_name": name, "width": 13, "height": 17} for i, name in enumerate(names)]
    outline = [[1, 1, 12, 1, 6.5, 15]]
    notes = [
        {"id": i, "image_id": i, "category_id": 0, "iscrowd": 0}
        | ({"segmentation": outline} if points and i % 2 else {"bbox": [1, 2, 7.5, 11]})
        for i in range(len(names))
    ]
    return json.dumps({"images": listed, "categories": [{"id": 0, "name": "thing"}], "annotations": notes})


def with_coco(root: Path) -> Path:
    names = [f"{label}/{number}.png" for label in ("cat", "dog") for number in range(3)]
    return written(classes(root, "annotations.json"), coco(names, points=True))


def with_masks(root: Path) -> Path:
    classes(root, "masks")
    return picture(root / "masks" / "cat" / "1.png")


def read_folder(root: Path) -> object:
    found = folder.load(root, image_size=8, seed=0, regions=None, train_size=None, test_size=None, progress=None)
    return [split.region(i) for split in (found.train, found.test) for i in range(len(split))]


def scenes(root: Path, table: str, text: str) -> Path:
    for number in range(5):
        picture(root / "images" / f"{number}.png")
    return written(root / table, text)


def scenes_csv(root: Path) -> Path:
    rows = [f"images/{number}.png,1,2,{number + 3},9" for number in range(5)]
    return scenes(root, "boxes.csv", "\n".join(["file,x0,y0,x1,y1", *rows]))


def scenes_coco(root: Path) -> Path:
    return scenes(root, "annotations.json", coco([f"{number}.png" for number in range(5)], points=True))


def read_scenes(root: Path) -> object:
    train, test = boxes.read(root)
    return boxes.Boxed([*train, *test], 8)[0]


def salient(root: Path) -> Path:
    for number in range(5):
        picture(root / "images" / f"{number}.jpg", "JPEG")
        picture(root / "masks" / f"{number}.png")
    return root / "masks" / "3.png"


def read_masks(root: Path) -> object:
    train, test = masks.read(root)
    data = masks.Masked([*train, *test], 8, own=True)
    return [data[i] for i in range(len(data))]


def coco_masks(root: Path) -> Path:
    """COCO's own folders, with polygons and run-length masks of both kinds."""
    content = json.loads(coco([f"{number}.jpg" for number in range(5)], points=True))
    for number, counts in ((0, [17, 34, 170]), (2, "a0R1Z5")):
        content["annotations"][number]["segmentation"] = {"size": [17, 13], "counts": counts}
    content["annotations"][4]["segmentation"] = [[1, 1, 12.5, 1, 6.5, 15], [2, 2, 3, 2, 3, 3]]
    for number in range(5):
        picture(root / "val2017" / f"{number}.jpg", "JPEG")
    return written(root / "annotations" / "instances_val2017.json", json.dumps(content))


def search(root: Path) -> Path:
    trial = {"subject": 1, "task": "cup", "condition": "present", "X": [840, 12.5, 1600], "Y": [525, 9.0, 1000]}
    trials = [{**trial, "name": f"{number}.png", "correct": 1, "split": "train"} for number in range(3)]
    for number in range(3):
        (root / "images" / "cup").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 20)).save(root / "images" / "cup" / f"{number}.png")
    return written(root / "coco_search18_fixations_TP_train_split1.json", json.dumps(trials))


def looked_at(root: Path, name: str, text: str | bytes) -> Path:
    for number in range(3):
        picture(root / "stimuli" / f"{number}.jpg", "JPEG")
    return written(root / name, text)


def osie(root: Path) -> Path:
    looks = [{"fix_x": [1.5, 3, 12], "fix_y": [2, 4.5, 16]}, [[5, 6], [7, 8]], {"x": [1], "y": [2]}]
    return looked_at(root, "fixations.json", json.dumps({f"{number}.jpg": looks for number in range(3)}))


def salicon(root: Path) -> Path:
    listed = [{"id": number, "file_name": f"{number}.jpg"} for number in range(3)]
    notes = [{"image_id": number, "fixations": [[2, 3], [17, 13]]} for number in range(3)]
    return looked_at(root, "fixations.json", json.dumps({"images": listed, "annotations": notes}))


def table(root: Path) -> Path:
    rows = [f"{number}.jpg,{viewer},{number + 1}.5,{viewer}" for number in range(3) for viewer in range(2)]
    return looked_at(root, "fixations.csv", "\n".join(["image,viewer,x,y", *rows]))


def matlab_file(content: dict[str, object]) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        out = io.BytesIO()
        savemat(out, content)
        return looked_at(root, "fixations/1.mat", out.getvalue())

    return make


GAZE = np.array([([[1.0, 2.0], [5.0, 7.0]],), ([[3.0, 4.0], [13.0, 17.0]],)], dtype=[("fixations", "O")])
LOCATIONS = np.zeros((17, 13), np.uint8)
LOCATIONS[3, 5] = 1


def marked(root: Path) -> Path:
    looked_at(root, "fixations/notes.txt", "")
    return picture(root / "fixations" / "1_fixPts.jpg", "JPEG")


def read_fixations(root: Path) -> object:
    viewed = fixations.read(root)
    return fixations.Fixated(viewed, 8)[0]


def idx(values: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def digits(file: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        for part in ("train", "t10k"):
            written(root / f"{part}-images-idx3-ubyte", idx(DRAW.integers(256, size=(5, 7, 3), dtype=np.uint8)))
            written(root / f"{part}-labels-idx1-ubyte", idx(DRAW.integers(10, size=5, dtype=np.uint8)))
        return root / file

    return make


def colours(file: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        for name in (*cifar.TEN, "test_batch"):
            content = {b"data": np.zeros((2, 3072), np.uint8), b"labels": [3, 9]}
            written(root / name, pickle.dumps(content, protocol=2))
        written(root / "batches.meta", pickle.dumps({b"label_names": [b"name"] * 10}, protocol=2))
        return root / file

    return make


def birds(file: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        for number in range(1, 5):
            picture(root / "images" / f"{number}.jpg", "JPEG")
        lists = {
            "images.txt": [f"{number} {number}.jpg" for number in range(1, 5)],
            "image_class_labels.txt": [f"{number} {1 + number % 2}" for number in range(1, 5)],
            "classes.txt": ["1 001.Albatross", "2 002.Finch"],
            "train_test_split.txt": ["1 1", "2 1", "3 0", "4 0"],
            "bounding_boxes.txt": [f"{number} 1.0 2.0 {number + 3}.0 9.0" for number in range(1, 5)],
        }
        for name, lines in lists.items():
            written(root / name, "\n".join(lines) + "\n")
        return root / file

    return make


def read_birds(root: Path) -> object:
    found = cub.load(root, image_size=8)
    return [split.region(i) for split in (found.train, found.test) for i in range(len(split))]


@dataclass(frozen=True)
class Reader:
    """A reader of a dataset: what writes a valid one and returns the file to mutate, and what reads it."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    kind: str
    alone: bool = True  # errors name the file, rather than the folder of several files


READERS = {
    **{
        f"image {kind.lower()}": Reader(
            image_file(kind), lambda root: read_image(next(root.iterdir())), "png" if kind == "PNG" else "bytes"
        )
        for kind in images.FORMATS
    },
    "image tiff deflate": Reader(
        image_file("TIFF", compression="tiff_adobe_deflate"), lambda root: read_image(root / "image.tiff"), "bytes"
    ),
    "class folder, boxes.csv": Reader(with_boxes, read_folder, "text"),
    "class folder, annotations.json": Reader(with_coco, read_folder, "json"),
    "class folder, mask": Reader(with_masks, read_folder, "png"),
    "scenes, boxes.csv": Reader(scenes_csv, read_scenes, "text", alone=False),
    "scenes, annotations.json": Reader(scenes_coco, read_scenes, "json", alone=False),
    "salient masks": Reader(salient, read_masks, "png", alone=False),
    "masks of COCO": Reader(coco_masks, read_masks, "json", alone=False),
    "searches": Reader(search, searches.read, "json", alone=False),
    "fixations of OSIE": Reader(osie, read_fixations, "json", alone=False),
    "fixations of SALICON": Reader(salicon, read_fixations, "json", alone=False),
    "fixations.csv": Reader(table, read_fixations, "text", alone=False),
    "fixations, gaze.mat": Reader(matlab_file({"gaze": GAZE}), read_fixations, "bytes", alone=False),
    "fixations, fixLocs.mat": Reader(matlab_file({"fixLocs": LOCATIONS}), read_fixations, "bytes", alone=False),
    "fixations, image": Reader(marked, read_fixations, "bytes", alone=False),
    "MNIST images": Reader(digits("train-images-idx3-ubyte"), mnist.load, "bytes", alone=False),
    "MNIST labels": Reader(digits("t10k-labels-idx1-ubyte"), mnist.load, "bytes", alone=False),
    "CIFAR batch": Reader(colours("data_batch_3"), cifar.load, "bytes"),
    "CIFAR names": Reader(colours("batches.meta"), cifar.load, "bytes"),
    **{
        f"CUB {name}": Reader(birds(name), read_birds, "text", alone=False)
        for name in (
            "images.txt", "image_class_labels.txt", "classes.txt", "train_test_split.txt", "bounding_boxes.txt"
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("count", [15, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", READERS)
def test_a_mutated_file_of_a_dataset_is_read_or_refused_by_name(tmp_path, fuzzing, mutated, name, count):
    reader, root = READERS[name], tmp_path / "dataset"
    root.mkdir()
    path = reader.make(root)
    assert reader.read(root) is not None
    changes = mutated(path.read_bytes(), 1, reader.kind)

    def cases() -> Iterator[tuple[object, str]]:
        for number in range(count):
            path.write_bytes(next(changes))
            yield f"mutation {number} of {path.name}", path.name if reader.alone else "dataset"

    fuzzing(lambda: reader.read(root), cases())


def test_region_files_of_no_known_kind_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"boxes\.xml"):
        region_files.read(written(tmp_path / "boxes.xml", "<annotation/>"), {"a.png": "a"})


MATLAB = {
    "numbers": np.arange(42, dtype=np.float64).reshape(2, 3, 7),
    "narrow": np.array([[-3, 5], [7, 200]], np.int16),
    "single": np.float32([[0.5, 1e30]]),
    "flags": np.array([[True, False, True]]),
    "complex": np.array([[1 + 2j]]),
    "nothing": np.zeros((0, 0)),
    "name": "photo 7 é.jpg",
    "struct": {"x": 3.0, "inner": {"y": np.arange(5)}},
    "cells": np.array([np.arange(3), "text", {"z": 2}], dtype=object),
    "gaze": GAZE,
}


@pytest.mark.parametrize("compressed", [False, True])
def test_a_matlab_file_reads_as_scipy_reads_it(tmp_path, compressed):
    savemat(tmp_path / "file.mat", MATLAB, do_compression=compressed)
    found, wanted = matlab.read(tmp_path / "file.mat"), loadmat(tmp_path / "file.mat", simplify_cells=True)
    assert list(found) == list(MATLAB)
    for name in ("numbers", "narrow", "single", "flags", "nothing"):
        assert np.array_equal(found[name].ravel(), wanted[name].ravel()) and found[name].shape == MATLAB[name].shape
    assert found["complex"].tolist() == [[1.0]]
    assert found["name"] == wanted["name"] == MATLAB["name"]
    assert found["struct"]["x"].tolist() == [[3.0]]
    assert found["struct"]["inner"]["y"].ravel().tolist() == wanted["struct"]["inner"]["y"].tolist()
    assert found["cells"][0].ravel().tolist() == [0, 1, 2] and found["cells"][1] == "text"
    assert found["cells"][2]["z"].tolist() == [[2]]
    for own, theirs in zip(found["gaze"], wanted["gaze"], strict=True):
        assert np.array_equal(own["fixations"], theirs["fixations"])


def test_a_matlab_file_of_another_byte_order_is_read(tmp_path):
    """SciPy writes the order of the machine; this is the number 7 and the name `n` in the other one."""
    parts = struct.pack(">2I2I", 6, 8, 6, 0) + struct.pack(">2I2i", 5, 8, 1, 1)
    parts += struct.pack(">HH", 1, 1) + b"n\0\0\0" + struct.pack(">2Id", 9, 8, 7.0)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
    path = written(tmp_path / "other.mat", header + struct.pack(">2I", 14, len(parts)) + parts)
    assert matlab.read(path)["n"].tolist() == [[7.0]]


def test_matlab_files_are_bounded_in_size_and_depth(tmp_path, monkeypatch):
    monkeypatch.setattr(matlab, "LARGEST", 2**20)
    deep: object = 1.0
    for _ in range(matlab.DEEPEST + 2):
        deep = {"x": deep}
    for name, content in (("deep", {"x": deep}), ("wide", {"x": np.zeros((2**9, 2**9))})):
        savemat(tmp_path / f"{name}.mat", content, do_compression=True)
    with pytest.raises(ValueError, match="nested too deep"):
        matlab.read(tmp_path / "deep.mat")
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        matlab.read(tmp_path / "wide.mat")
