"""The published layouts of fine-grained datasets: cars, aircraft and dogs, read as their authors wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from regard.catalog import recipes
from regard.data import aircraft, cars, dogs, fine_grained
from regard.data.images import quiet, read
from regard.training.recipe import built


def picture(path: Path, size: tuple[int, int] = (40, 30), colour: tuple[int, int, int] = (90, 120, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def extent(region: torch.Tensor | None) -> tuple[int, int, int, int]:
    """The first and the last column, and the first and the last row of a region."""
    assert region is not None
    rows, columns = region.nonzero().T
    return int(columns.min()), int(columns.max()), int(rows.min()), int(rows.max())


# ---- Stanford Cars

MAKES = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Audi R8 Coupe 2012")


def structs(rows: list[dict[str, object]]) -> np.ndarray:
    """Rows as MATLAB's array of structs, 1 × N."""
    made = np.zeros((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for i, row in enumerate(rows):
        for name, value in row.items():
            made[0, i][name] = value
    return made


def cell(values: tuple[str, ...] | list[str], *, column: bool = False) -> np.ndarray:
    made = np.array(values, dtype=object)
    return made.reshape(-1, 1) if column else made.reshape(1, -1)


def car(number: int, label: int | None, **fields: object) -> dict[str, object]:
    box = {"bbox_x1": np.uint8(11), "bbox_y1": np.uint8(6), "bbox_x2": np.uint8(30), "bbox_y2": np.uint8(15)}
    return {**box, **({} if label is None else {"class": np.uint8(label)}), "fname": f"{number:05d}.jpg", **fields}


def cars_folder(root: Path, *, labelled: bool = True, inside: bool = False) -> Path:
    for half, count in (("cars_train", 7), ("cars_test", 5)):
        for i in range(1, count + 1):
            picture(root / half / f"{i:05d}.jpg")
    kit = root / "devkit"
    kit.mkdir()
    savemat(kit / "cars_meta.mat", {"class_names": cell(MAKES)}, do_compression=True)
    train = [car(i, (i - 1) % 3 + 1) for i in range(1, 8)]
    test = [car(i, (i + 1) % 3 + 1) for i in range(1, 6)]
    savemat(kit / "cars_train_annos.mat", {"annotations": structs(train)}, do_compression=True)
    bare = [{name: value for name, value in row.items() if name != "class"} for row in test]
    savemat(kit / "cars_test_annos.mat", {"annotations": structs(bare)})
    if labelled:
        savemat((kit if inside else root) / "cars_test_annos_withlabels.mat", {"annotations": structs(test)})
    return root


@pytest.mark.parametrize("inside", [False, True])
def test_cars_as_first_published(tmp_path: Path, inside: bool) -> None:
    assert fine_grained.found(tmp_path) is None
    found = fine_grained.load(cars_folder(tmp_path, inside=inside), image_size=60)
    assert fine_grained.found(tmp_path) == "Stanford Cars"
    assert found.classes == MAKES
    assert (found.train.labels, found.test.labels) == ([0, 1, 2, 0, 1, 2, 0], [2, 0, 1, 2, 0])
    assert found.test.name(4) == "cars_test/00005.jpg"  # the same file name stands in both folders
    # columns 11 to 30 and rows 6 to 15 of 40×30, of which the middle 30×30 becomes 60×60: 2 · (10 − 5) = 10
    assert extent(found.train.region(3)) == (10, 49, 10, 29)


def test_cars_as_published_later(tmp_path: Path) -> None:
    rows = []
    for i in range(1, 9):
        row = car(i, i % 2 + 1, test=np.uint8(i > 5))
        del row["fname"]
        rows.append({"relative_im_path": f"car_ims/{i:06d}.jpg", **row})
        picture(tmp_path / "car_ims" / f"{i:06d}.jpg")
    savemat(tmp_path / "cars_annos.mat", {"annotations": structs(rows), "class_names": cell(MAKES[:2])})
    found = cars.load(tmp_path, image_size=30)
    assert (found.train.labels, found.test.labels) == ([1, 0, 1, 0, 1], [0, 1, 0])
    assert found.test.name(0) == "car_ims/000006.jpg"


def test_what_is_wrong_with_cars_is_named(tmp_path: Path) -> None:
    cars_folder(tmp_path / "unlabelled", labelled=False)
    with pytest.raises(FileNotFoundError, match=r"no file .*cars_test_annos_withlabels\.mat"):
        cars.load(tmp_path / "unlabelled")
    root = cars_folder(tmp_path / "cars")
    table = root / "devkit" / "cars_train_annos.mat"
    for row, says in (
        (car(1, 9), r"cars_train_annos.mat: class 9 of '00001.jpg' is missing among 3 names"),
        (car(1, None), "without a number class"),
        (car(1, 1, bbox_x1=np.uint8(35)), "00001.jpg.*first and the last column and row are needed, not '35 6 30 15'"),
        (car(1, 1, bbox_x1=np.uint16(300), bbox_x2=np.uint16(400)), "outside the image of 40×30"),
        (car(1, 1, fname=np.uint8(4)), "without a text fname"),
    ):
        savemat(table, {"annotations": structs([row])})
        with pytest.raises(ValueError, match=says):
            cars.load(root, image_size=8)
    table.write_bytes(b"no file of MATLAB")
    with pytest.raises(ValueError, match=r"cars_train_annos\.mat: a MATLAB file of version 5"):
        cars.load(root, image_size=8)


# ---- FGVC-Aircraft

VARIANTS = ("707-320", "Boeing 717", "F/A-18")
FAMILIES = ("Boeing 707", "Boeing 717", "F/A-18")


def aircraft_folder(root: Path, *, together: bool = True) -> Path:
    root.mkdir(parents=True)
    names = [f"{1000 + 7 * i:07d}" for i in range(9)]
    for name in names:
        path = root / "images" / f"{name}.jpg"
        picture(path, (90, 50), (250, 250, 250))
        with Image.open(path) as image:
            image.paste((0, 0, 0), (0, 30, 90, 50))  # the banner: the last 20 rows
            image.save(path, quality=100)
    for level, labels in (("variant", VARIANTS), ("family", FAMILIES), ("manufacturer", ("Boeing", "McDonnell"))):
        rows = [f"{name} {labels[i % len(labels)]}\n" for i, name in enumerate(names)]
        parts = {"trainval": rows[:6]} if together else {"train": rows[:3], "val": rows[3:6]}
        for part, own in {**parts, "test": rows[6:]}.items():
            (root / f"images_{level}_{part}.txt").write_text("".join(own), encoding="utf-8")
        (root / aircraft.NAMES[level]).write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    (root / "images_box.txt").write_text("".join(f"{name} 31 1 45 30\n" for name in names), encoding="utf-8")
    return root


@pytest.mark.parametrize("together", [True, False])
def test_aircraft_without_their_banners(tmp_path: Path, together: bool) -> None:
    aircraft_folder(tmp_path / "data", together=together)
    found = fine_grained.load(tmp_path, image_size=30)
    assert fine_grained.found(tmp_path) == fine_grained.found(tmp_path / "data") == "FGVC-Aircraft"
    assert found.classes == VARIANTS
    assert (found.train.labels, found.test.labels) == ([0, 1, 2, 0, 1, 2], [0, 1, 2])
    assert found.test.name(2) == "images/0001056.jpg"
    # of the 30 rows above the banner the middle square is columns 31 to 60
    assert found.train[0][0].min() > 0.9
    assert extent(found.train.region(0)) == (0, 14, 0, 29)
    kept = aircraft.load(tmp_path, image_size=50, banner=True)
    assert kept.train[0][0][:, :29].min() > 0.9
    assert kept.train[0][0][:, 31:].max() < 0.1
    assert extent(kept.train.region(0)) == (10, 24, 0, 29)


def test_coarser_classes_of_aircraft(tmp_path: Path) -> None:
    aircraft_folder(tmp_path / "data")
    assert aircraft.load(tmp_path, image_size=8, level="family").classes == FAMILIES
    makers = aircraft.load(tmp_path, image_size=8, level="manufacturer")
    assert (makers.classes, makers.test.labels) == (("Boeing", "McDonnell"), [0, 1, 0])
    with pytest.raises(ValueError, match="level='model': 'variant', 'family' or 'manufacturer' is needed"):
        aircraft.load(tmp_path, level="model")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("variants.txt", None, "no file .*variants.txt"),
        ("images_variant_trainval.txt", "0001000 Concorde\n", "trainval.txt, line 1: class 'Concorde' has no name"),
        ("images_variant_trainval.txt", "\n0001000\n", "line 1: an image and a class are needed, not '0001000'"),
        ("images_box.txt", "0001000 3 4 many 9\n", "image '0001000': four numbers are needed, not '3 4 many 9'"),
        ("images_box.txt", "0001000 3 4\n", "first and the last column and row are needed"),
        ("images_variant_trainval.txt", "0001000 707-320\n", "class 'Boeing 717' has no train images"),
    ],
)
def test_what_is_wrong_with_a_list_of_aircraft_is_named(
    tmp_path: Path, file: str, content: str | None, says: str
) -> None:
    root = aircraft_folder(tmp_path / "data")
    if content is None:
        (root / file).unlink()
    else:
        (root / file).write_text(content, encoding="utf-8")
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        aircraft.load(root, image_size=8)


def test_the_foot_of_a_turned_image_is_at_its_upright_bottom(tmp_path: Path) -> None:
    """An image stored on its side (EXIF orientation 6) is cut where its bottom is when it stands upright."""
    upright = Image.new("RGB", (30, 50), (255, 0, 0))
    upright.paste((0, 0, 255), (0, 30, 30, 50))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    upright.save(tmp_path / "upright.png")
    with quiet():
        for name in ("upright.png", "turned.png"):
            found = read(tmp_path / name, 30, foot=20)
            assert (found.width, found.height) == (30, 50)
            assert found.pixels[0].min() == 255
            assert found.pixels[2].max() == 0
        with pytest.raises(ValueError, match="it has 50 rows, and 50 at its bottom are left out"):
            read(tmp_path / "turned.png", 30, foot=50)


# ---- Stanford Dogs

BREEDS = ("n02085620-Chihuahua", "n02086910-papillon")
NOTE = "<annotation><object>{}</object></annotation>"
BOX = "<bndbox>\n<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"


def dogs_folder(root: Path, place: str = ".", *, boxes: bool = True) -> Path:
    files = [f"{BREEDS[i % 2]}/{BREEDS[i % 2][:9]}_{10 + i}.jpg" for i in range(8)]
    for file in files:
        picture(root / "Images" / file)
        if boxes:
            note = root / "Annotation" / file[:-4]
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(NOTE.format(BOX.format(6, 1, 10, 5) + BOX.format(26, 21, 35, 30)), encoding="utf-8")
    (root / place).mkdir(parents=True, exist_ok=True)
    for name, own in (("train_list", files[:5]), ("test_list", files[5:])):
        labels = [[BREEDS.index(file.partition("/")[0]) + 1.0] for file in own]
        content = {
            "file_list": cell(own, column=True),
            "annotation_list": cell([file[:-4] for file in own], column=True),
            "labels": np.array(labels),
        }
        savemat(root / place / f"{name}.mat", content)
    return root


@pytest.mark.parametrize("place", dogs.PLACES)
def test_dogs(tmp_path: Path, place: str) -> None:
    found = fine_grained.load(dogs_folder(tmp_path, place), image_size=60)
    assert fine_grained.found(tmp_path) == "Stanford Dogs"
    assert found.classes == ("Chihuahua", "papillon")
    assert (found.train.labels, found.test.labels) == ([0, 1, 0, 1, 0], [1, 0, 1])
    region = found.test.region(0)
    assert region is not None
    # two dogs in the middle 30×30 of 40×30, twice as large: columns 0 to 9 and 40 to 59
    assert (int(region[:10, :10].sum()), int(region[40:, 40:].sum()), int(region.sum())) == (100, 400, 500)
    assert fine_grained.load(dogs_folder(tmp_path / "bare", place, boxes=False)).train.region(0) is None


def test_what_is_wrong_with_dogs_is_named(tmp_path: Path) -> None:
    root = dogs_folder(tmp_path)
    note = root / "Annotation" / BREEDS[0] / "n02085620_10"
    for content, says in (("<annotation/>", "a box <bndbox> is needed"), ("<bndbox></bndbox>", "xmin, ymin, xmax")):
        note.write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=says):
            dogs.load(root, image_size=8)
    note.unlink()
    files = cell([f"{BREEDS[0]}/a.jpg", f"{BREEDS[1]}/b.jpg"], column=True)
    for content, says in (
        ({"file_list": files, "labels": np.array([[1.0], [1.0]])}, "images of class 1 are in n02085620-Chihuahua and"),
        ({"file_list": files, "labels": np.array([[1.0]])}, "a number for each of 2 files"),
        ({"labels": np.array([[1.0]])}, "a cell file_list"),
    ):
        savemat(root / "train_list.mat", content)
        with pytest.raises(ValueError, match=says):
            dogs.load(root, image_size=8)
    dogs_folder(root)
    (root / "test_list.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"no file .*test_list\.mat"):
        dogs.load(root)


def test_a_folder_of_another_layout_is_told_all_four(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"CUB-200-2011.*Stanford Cars.*FGVC-Aircraft.*Stanford Dogs"):
        fine_grained.load(tmp_path)


@pytest.mark.parametrize(("name", "side"), [pytest.param("ra-cnn", 448, marks=pytest.mark.slow), ("classify", 512)])
def test_recipes_for_photographs_read_all_of_them(tmp_path: Path, name: str, side: int) -> None:
    folders = {"cars": cars_folder, "dogs": dogs_folder, "aircraft": aircraft_folder}
    for kind, make in folders.items():
        root = tmp_path / kind
        root.mkdir(exist_ok=kind != "aircraft")
        make(root / "data" if kind == "aircraft" else root)
        recipe = built(recipes.get(name), root)
        assert len(recipe.train) == {"cars": 7, "dogs": 5, "aircraft": 6}[kind]
        sample: Any = recipe.train[0]
        assert sample[0].shape == (3, side, side)
