"""CAT2000, MIT1003 and COCO in the folders in which they are published, on files that the tests write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from regard.catalog import recipes
from regard.data import boxes, coco, fixations, masks
from regard.looking import gaze
from regard.training.recipe import built


def paint(path: Path, width: int, height: int, value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (value, 10, 200)).save(path)


def located(path: Path, width: int, height: int, points: list[tuple[int, int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    marked = np.zeros((height, width), np.uint8)
    for x, y in points:
        marked[y, x] = 1
    savemat(path, {"fixLocs": marked})


@pytest.fixture
def cat2000(tmp_path: Path) -> Path:
    """Two categories with images of the same names, the authors' maps beside them, and the images without fixations."""
    train = tmp_path / "CAT2000" / "trainSet"
    for k, category in enumerate(("Action", "Affective")):
        for i in (1, 2, 3):
            name = f"{i:03}"
            paint(train / "Stimuli" / category / f"{name}.jpg", 23 + k, 17)
            paint(train / "Stimuli" / category / "Output" / f"{name}_SaliencyMap.jpg", 23 + k, 17)
            located(train / "FIXATIONLOCS" / category / f"{name}.mat", 23 + k, 17, [(3 * i + k, 5), (7, 2 * i)])
            paint(train / "FIXATIONMAPS" / category / f"{name}.jpg", 23 + k, 17)
    paint(tmp_path / "CAT2000" / "testSet" / "Stimuli" / "Action" / "001.jpg", 23, 17)
    return tmp_path / "CAT2000"


def test_cat2000_as_it_is_published(cat2000: Path) -> None:
    for folder in (cat2000, cat2000 / "trainSet"):
        found = fixations.read(folder)
        names = ["/".join(one.path.parts[-2:]) for one in found]
        assert names == [f"{category}/{i:03}.jpg" for category in ("Action", "Affective") for i in (1, 2, 3)]
        assert [one.width for one in found] == [23] * 3 + [24] * 3
        assert [one.viewers[0].tolist() for one in found[::4]] == [[[7.5, 2.5], [3.5, 5.5]], [[7.5, 4.5], [7.5, 5.5]]]
    assert len(built(recipes.get("fixations"), cat2000).test) == 1
    rows = {
        row.name: row for row in gaze.gaze(cat2000, "saliency_net", kwargs={"backbone": "test_resnet"}, limit=2).rows
    }
    assert np.isnan(rows[gaze.CEILING].values["nss"]).all(), "its viewers are not told apart"
    assert np.isfinite(rows["saliency"].values["nss"]).all()


def test_fixations_of_one_name_need_its_folder(cat2000: Path) -> None:
    place = cat2000 / "trainSet" / "FIXATIONLOCS"
    (place / "Action" / "001.mat").rename(place / "001.mat")
    with pytest.raises(
        ValueError, match=r"'001.mat' matches Action/001.jpg and Affective/001.jpg; give more of the path"
    ):
        fixations.read(cat2000)


def test_one_image_with_two_files_of_fixations_is_refused(tmp_path: Path) -> None:
    paint(tmp_path / "images" / "a.png", 23, 17)
    for place in ("one", "two"):
        located(tmp_path / "fixations" / place / "a.mat", 23, 17, [(3, 5)])
    with pytest.raises(ValueError, match=r"two entries of the fixations are of the image a\.png"):
        fixations.read(tmp_path)


def test_mit1003_without_its_viewers(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for i in range(5):
        paint(tmp_path / "ALLSTIMULI" / f"i{i}.jpeg", 31 + i, 37)
        marked = np.zeros((37, 31 + i), np.uint8)
        for x, y in draw.integers(4, 27, (6, 2)):
            marked[y, x] = 255
        (tmp_path / "ALLFIXATIONMAPS").mkdir(exist_ok=True)
        for kind in ("Map", "Pts"):
            Image.fromarray(marked).save(tmp_path / "ALLFIXATIONMAPS" / f"i{i}_fix{kind}.jpg", quality=100)
    found = fixations.read(tmp_path)
    assert [one.path.name for one in found] == [f"i{i}.jpeg" for i in range(5)]
    assert all(len(one.viewers) == 1 and len(one.points) >= 5 for one in found)
    recipe = built(recipes.get("fixations"), tmp_path)
    assert (len(recipe.train), len(recipe.test)) == (4, 1)
    scored = gaze.gaze(tmp_path, "saliency_net", kwargs={"backbone": "test_resnet"}, limit=3)
    assert np.isfinite([row.mean("nss") for row in scored.rows if row.name != gaze.CEILING]).all()
    for path in (tmp_path / "ALLFIXATIONMAPS").glob("*_fixPts.jpg"):
        path.unlink()
    with pytest.raises(ValueError, match=r"i0_fixMap\.jpg is a density: the fixations, …_fixPts, are needed"):
        fixations.read(tmp_path)


def annotated(root: Path, half: str, count: int) -> None:
    """Images of 20×14 with a square, an L of two polygons and a crowd, each at a place of its own."""
    images, notes = [], []
    for i in range(count):
        paint(root / f"{half}2017" / f"{i:012}.jpg", 20, 14)
        images.append({"id": 10 + i, "file_name": f"{i:012}.jpg", "width": 20, "height": 14})
        square = [[2 + i, 3, 6 + i, 3, 6 + i, 7, 2 + i, 7]]
        notes.append({"image_id": 10 + i, "iscrowd": 0, "segmentation": square, "bbox": [2 + i, 3, 4, 4]})
    images.append({"id": 99, "file_name": "of-another-part.jpg", "width": 5, "height": 7})
    notes.append({"image_id": 99, "iscrowd": 0, "segmentation": [[1, 1, 2, 1, 2, 2]], "bbox": [1, 1, 1, 1]})
    counts = [14 * 16, 14 * 3, 14]  # three whole columns
    notes.append(
        {"image_id": 10, "iscrowd": 1, "segmentation": {"size": [14, 20], "counts": counts}, "bbox": [16, 0, 3, 14]}
    )
    paint(root / f"{half}2017" / "without-an-object.jpg", 20, 14)
    images.append({"id": 98, "file_name": "without-an-object.jpg", "width": 20, "height": 14})
    (root / "annotations").mkdir(exist_ok=True)
    content = {"images": images, "annotations": notes, "categories": [{"id": 1, "name": "dog"}]}
    (root / "annotations" / f"instances_{half}2017.json").write_text(json.dumps(content))
    (root / "annotations" / f"captions_{half}2017.json").write_text("{}")


def test_coco_as_it_is_published(tmp_path: Path) -> None:
    annotated(tmp_path, "train", 7)
    annotated(tmp_path, "val", 3)
    train, test = masks.read(tmp_path)
    assert (len(train), len(test)) == (7, 3)
    sample = masks.Masked(test, 28, own=True)[0]
    wanted = torch.zeros(14, 20, dtype=torch.bool)
    wanted[3:7, 2:6], wanted[:, 16:19] = True, True
    assert torch.equal(sample["truth"], wanted)
    assert sample["image"].shape == (3, 28, 28) and sample["mask"].shape == (1, 28, 28)
    assert sample["mask"].mean() == pytest.approx(wanted.float().mean().item(), abs=0.03)
    recipe = built(recipes.get("salient-objects"), tmp_path)
    assert (len(recipe.train), len(recipe.test)) == (7, 3)
    scenes = boxes.read(tmp_path)
    assert [len(part) for part in scenes] == [7, 3]
    assert scenes[1][2].boxes.tolist() == [[4, 3, 8, 7]], "crowds are no proposals"


def test_coco_with_one_part_sets_every_fifth_image_aside(tmp_path: Path) -> None:
    annotated(tmp_path, "val", 11)
    assert [len(part) for part in masks.read(tmp_path)] == [len(part) for part in boxes.read(tmp_path)] == [9, 2]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of the published library
def test_run_length_masks_are_those_of_the_published_library() -> None:
    published = pytest.importorskip("pycocotools.mask")
    draw = np.random.default_rng(0)
    for height, width in ((1, 1), (13, 29), (101, 67)):
        for share in (0.0, 0.03, 0.5, 1.0):
            mask = np.asfortranarray(draw.random((height, width)) < share)
            text = published.encode(mask.astype(np.uint8))["counts"].decode()
            counts = coco.unpacked(text, "here")
            assert np.array_equal(coco.run_mask(counts, height, width), mask)
    large = np.zeros((1021, 997), np.uint8, order="F")
    large[500:, 400:] = 1
    counts = coco.unpacked(published.encode(large)["counts"].decode(), "here")
    assert np.array_equal(coco.run_mask(counts, 1021, 997), large.astype(bool))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_polygons_cover_what_the_published_library_draws() -> None:
    published = pytest.importorskip("pycocotools.mask")
    draw = np.random.default_rng(1)
    for _ in range(5):
        angles = np.sort(draw.uniform(0, 2 * np.pi, 11))
        reach = draw.uniform(20, 45, 11)
        points = np.stack((60 + reach * np.cos(angles), 50 + reach * np.sin(angles)), 1).ravel().tolist()
        theirs = published.decode(published.merge(published.frPyObjects([points], 103, 127))).astype(bool)
        ours = coco.Outlines(127, 103, "here", [points]).mask()
        assert (theirs & ours).sum() / (theirs | ours).sum() > 0.96


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segmentation": [[1, 2, 3, 4]]}, r"annotations\[0\]: a polygon needs three points or more"),
        ({"segmentation": {"size": [20, 14], "counts": [280]}}, r"counts and the size \[14, 20\]"),
        ({"segmentation": {"size": [14, 20], "counts": [100, 100]}}, "counts of 200 pixels; 280 are needed"),
        ({"segmentation": {"size": [14, 20], "counts": [281, -1]}}, "whole numbers of at least 0"),
        ({"segmentation": {"size": [14, 20], "counts": "0é"}}, "run-length mask is damaged"),
        ({"segmentation": {"size": [14, 20], "counts": "o"}}, "run-length mask is cut short"),
        ({"image_id": 1234}, "no image has the id 1234"),
    ],
)
def test_damaged_annotations_are_named(tmp_path: Path, change: dict, message: str) -> None:
    annotated(tmp_path, "val", 5)
    file = tmp_path / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    content["annotations"][0] |= change
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        masks.read(tmp_path)


def test_a_folder_of_coco_that_is_incomplete_is_named(tmp_path: Path) -> None:
    annotated(tmp_path, "train", 5)
    (tmp_path / "annotations" / "instances_train2014.json").write_text("{}")
    with pytest.raises(ValueError, match=r"has instances_train2014\.json and instances_train2017\.json: one file"):
        masks.read(tmp_path)
    (tmp_path / "annotations" / "instances_train2014.json").unlink()
    (tmp_path / "train2017").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="needs the folder of its images, train2017/"):
        masks.read(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "elsewhere").rename(tmp_path / "images" / "train2017")
    assert len(masks.read(tmp_path)[0]) == 4
    paint(tmp_path / "images" / "train2017" / f"{0:012}.jpg", 21, 14)
    with pytest.raises(ValueError, match=r"has 21×14: .* is for 20×14"):
        masks.Masked(masks.read(tmp_path)[0], 28)[0]
