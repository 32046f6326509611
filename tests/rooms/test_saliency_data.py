"""Fixations and masks in the formats of the published data sets, on files that the tests write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from regard import data
from regard.data import fixations, masks
from regard.data.images import measured, quiet, whole


def paint(path: Path, width: int, height: int, value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (value, 10, 200)).save(path)


@pytest.fixture
def stimuli(tmp_path: Path) -> Path:
    for name, width, height in (("a", 23, 17), ("b", 13, 29)):
        paint(tmp_path / "stimuli" / f"{name}.png", width, height)
    return tmp_path


EXPECTED = {"a": [[[3.5, 2.25], [22, 16]], [[0, 5]]], "b": [[[7, 11]]]}


def looks(found: tuple[fixations.Viewed, ...]) -> dict[str, list]:
    return {one.path.stem: [viewer.tolist() for viewer in one.viewers] for one in found}


@pytest.mark.parametrize("form", ["fix_", "", "pairs"])
def test_json_of_viewers(stimuli: Path, form: str) -> None:
    def said(viewer: list) -> object:
        x, y = zip(*viewer, strict=True)
        return viewer if form == "pairs" else {f"{form}x": x, f"{form}y": y, "fix_duration": [1.0] * len(x)}

    content = {f"{name}.jpg": [said(viewer) for viewer in viewers] for name, viewers in EXPECTED.items()}
    (stimuli / "fixations.json").write_text(json.dumps(content | {"missing.jpg": []}))
    found = fixations.read(stimuli)
    assert looks(found) == EXPECTED
    assert [(one.width, one.height) for one in found] == [(23, 17), (13, 29)]
    assert found[0].points.shape == (3, 2)


def test_json_of_salicon_has_rows_first_from_one(stimuli: Path) -> None:
    images = [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}]
    notes = [
        {"image_id": number, "fixations": [[y + 1, x + 1] for x, y in viewer]}
        for number, name in ((7, "a"), (8, "b"))
        for viewer in EXPECTED[name]
    ]
    (stimuli / "fixations_train2014.json").write_text(json.dumps({"images": images, "annotations": notes}))
    assert looks(fixations.read(stimuli)) == EXPECTED


def test_a_table_of_fixations(stimuli: Path) -> None:
    rows = [
        f"{name}.png,{viewer},{x},{y}"
        for name, viewers in EXPECTED.items()
        for viewer, points in enumerate(viewers)
        for x, y in points
    ]
    (stimuli / "fixations.csv").write_text("\n".join(["image,viewer,x,y", *rows]))
    assert looks(fixations.read(stimuli)) == EXPECTED


def test_matlab_files_of_both_kinds(stimuli: Path) -> None:
    place = stimuli / "fixations"
    place.mkdir()
    gaze = np.zeros(2, dtype=[("location", object), ("fixations", object)])
    for i, viewer in enumerate(EXPECTED["a"]):
        gaze[i] = (np.zeros((1, 2)), np.array(viewer) + 1)
    savemat(place / "a.mat", {"gaze": gaze, "resolution": [17, 23]})
    marked = np.zeros((29, 13))
    marked[11, 7] = 1
    savemat(place / "b.mat", {"fixLocs": marked})
    assert looks(fixations.read(stimuli)) == EXPECTED | {"b": [[[7.5, 11.5]]]}
    savemat(place / "b.mat", {"other": marked})
    with pytest.raises(ValueError, match="holds other: gaze or fixLocs"):
        fixations.read(stimuli)
    (place / "b.mat").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read as a MATLAB file"):
        fixations.read(stimuli)


def test_pictures_of_fixations_as_in_mit1003(tmp_path: Path) -> None:
    paint(tmp_path / "ALLSTIMULI" / "one.png", 13, 29)
    place = tmp_path / "ALLFIXATIONMAPS"
    paint(place / "one_fixMap.png", 13, 29, 255)  # the density, which is not read
    marked = np.zeros((29, 13), np.uint8)
    marked[11, 7] = 255
    marked[3, 4] = 60  # a trace of compression
    Image.fromarray(marked).save(place / "one_fixPts.png")
    assert looks(fixations.read(tmp_path)) == {"one": [[[7.5, 11.5]]]}


def test_a_map_of_fixations_has_the_size_of_its_image(stimuli: Path) -> None:
    place = stimuli / "fixations"
    place.mkdir()
    savemat(place / "b.mat", {"fixLocs": np.ones((58, 26))})
    with pytest.raises(ValueError, match=r"b\.mat: a map of 26×58; the size of its image, 13×29, is needed"):
        fixations.read(stimuli)
    (place / "b.mat").unlink()
    paint(place / "a_fixPts.png", 17, 23, 255)
    with pytest.raises(ValueError, match=r"a_fixPts\.png: a map of 17×23; the size of its image, 23×17, is needed"):
        fixations.read(stimuli)


def test_train_and_val_are_told_apart(tmp_path: Path) -> None:
    for part, name in (("train", "a"), ("val", "b")):
        paint(tmp_path / "images" / part / f"{name}.png", 13, 29)
        (tmp_path / f"fixations_{part}2014.json").write_text(json.dumps({f"{name}.png": [[[1, 2]]]}))
    assert fixations.parts(tmp_path)
    assert [list(looks(fixations.read(tmp_path, part))) for part in ("train", "val")] == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "an object that maps images to viewers"),
        ('{"a.png": 3}', "needs a list of viewers"),
        ('{"a.png": [{"x": [1], "y": []}]}', "lists fix_x and fix_y of one length"),
        ('{"a.png": [[[1, "two"]]]}', "pairs of numbers"),
        ('{"a.png": [[1, 2, 3]]}', "finite pairs"),
        ('{"a.png": [[[1, NaN]]]}', "finite pairs"),
        ('{"z.png": [[[1, 2]]]}', "name none of its 2 images, for example 'z.png'"),
        ('{"images": [], "annotations": [{"image_id": 3, "fixations": []}]}', "images need id"),
    ],
)
def test_bad_fixation_files_are_named(stimuli: Path, text: str, message: str) -> None:
    (stimuli / "fixations.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        fixations.read(stimuli)


def test_folders_without_fixations_say_what_is_missing(stimuli: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ValueError, match="found none"):
        fixations.read(stimuli)
    (stimuli / "fixations.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match="the header image,viewer,x,y is needed"):
        fixations.read(stimuli)
    (stimuli / "fixations.csv").write_text("image,viewer,x,y\na,0,1,two\n")
    with pytest.raises(ValueError, match="line 2: numbers x and y"):
        fixations.read(stimuli)
    with pytest.raises(ValueError, match="has no images"):
        fixations.read(tmp_path_factory.mktemp("empty"))
    with pytest.raises(FileNotFoundError):
        fixations.read(stimuli / "nowhere")


def test_fixated_images_move_with_the_picture(stimuli: Path) -> None:
    (stimuli / "fixations.json").write_text(json.dumps({"a.png": [[[11.4, 16.9], [40, 2]]]}))
    image, label = fixations.Fixated(fixations.read(stimuli), 46, sigma=0.05)[0].values()
    assert image.shape == (3, 46, 46) and label.shape == (2, 46, 46)
    assert label[1].nonzero().tolist() == [[45, 22]]  # the second one is outside
    assert label[0].sum() == pytest.approx(1) and label[0].argmax() == 45 * 46 + 22


def test_whole_images_are_upright(tmp_path: Path) -> None:
    stored = np.zeros((10, 20, 3), np.uint8)
    stored[:, :10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "turned.png", exif=exif)
    with quiet():
        picture = whole(tmp_path / "turned.png")
        assert picture.pixels.shape == (3, 20, 10)
        assert measured(tmp_path / "turned.png") == (10, 20) == (picture.width, picture.height)
        assert picture.pixels[:, :10].min() == 255 and picture.pixels[:, 10:].max() == 0
        assert whole(tmp_path / "turned.png", (6, 4)).pixels.shape == (3, 6, 4)


@pytest.mark.parametrize(
    "layout",
    [
        ("DUTS-TR/DUTS-TR-Image", "DUTS-TR/DUTS-TR-Mask", "DUTS-TE/DUTS-TE-Image", "DUTS-TE/DUTS-TE-Mask"),
        ("train/images", "train/masks", "test/images", "test/gt"),
        ("images", "ground_truth_mask", "", ""),
        ("Imgs", "Imgs", "", ""),
    ],
)
def test_masks_in_every_layout(tmp_path: Path, layout: tuple[str, ...]) -> None:
    for image, mask in (layout[:2], layout[2:]):
        for number in range(5 if image else 0):
            paint(tmp_path / image / f"{number}.jpg", 23, 17)
            (tmp_path / mask).mkdir(parents=True, exist_ok=True)
            truth = np.zeros((17, 23), np.uint8)
            truth[3:8, 5:20], truth[9:11, 5:20] = 129, 128
            Image.fromarray(truth).save(tmp_path / mask / f"{number}.png")
    train, test = masks.read(tmp_path)
    assert (len(train), len(test)) == ((5, 5) if layout[2] else (4, 1))
    sample = masks.Masked(test, 34, own=True)[0]
    image, mask, truth = sample["image"], sample["mask"], sample["truth"]
    assert "truth" not in masks.Masked(test, 34)[0]
    assert image.shape == (3, 34, 34) and mask.shape == (1, 34, 34) and mask.unique().tolist() == [0, 1]
    assert truth.nonzero().amin(0).tolist() == [3, 5] and truth.sum() == 75


def test_masks_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a folder images/ and a folder masks/ are needed"):
        masks.read(tmp_path)
    paint(tmp_path / "images" / "a.jpg", 5, 7)
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match="a mask for 'a' is missing"):
        masks.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        masks.read(tmp_path / "nowhere")


@pytest.mark.parametrize("suffix", [".jpeg", ".bmp"])
def test_beside_the_images_only_png_files_are_masks(tmp_path: Path, suffix: str) -> None:
    for number in range(5):
        paint(tmp_path / "Imgs" / f"{number}{suffix}", 5, 7)
    with pytest.raises(ValueError, match="a mask for '0' is missing"):
        masks.read(tmp_path)


def test_too_few_images_to_set_some_aside_are_refused(tmp_path: Path) -> None:
    for number in range(4):
        for part in ("images", "masks"):
            paint(tmp_path / part / f"{number}.png", 5, 7)
    with pytest.raises(ValueError, match=r"4 images: at least 5 are needed"):
        masks.read(tmp_path)


def test_masks_of_labels_instead_of_greys_are_refused(tmp_path: Path) -> None:
    paint(tmp_path / "image.png", 23, 17)
    for value, sound in ((0, True), (1, False), (255, True)):
        truth = np.zeros((17, 23), np.uint8)
        truth[3:8, 5:20] = value
        Image.fromarray(truth).save(tmp_path / "mask.png")
        split = masks.Masked([(tmp_path / "image.png", tmp_path / "mask.png")], 16, own=True)
        if sound:
            assert split[0]["mask"].any() == split[0]["truth"].any() == (value == 255)
        else:
            with pytest.raises(ValueError, match=r"mask.png: .* 0 and 1; .* above 128"):
                split[0]


def test_regions_of_digits_are_masks() -> None:
    split = data.load("digits", train_size=10, test_size=10).train
    image, mask = masks.Regions(split)[3].values()
    assert image.shape == (3, 48, 48) and torch.equal(mask[0].bool(), split.region(3))
    located = masks.Located(split)[3]
    assert torch.equal(located["region"], split.region(3)) and located["label"] == split.labels[3]
    faces = data.load("faces").train
    with pytest.raises(ValueError, match=r"lfw_subset\[.*\]: the region of the object is unknown"):
        masks.Regions(faces)[0]
    assert not masks.Located(faces)[0]["region"].any()
