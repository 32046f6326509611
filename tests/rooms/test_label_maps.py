"""Label maps for segmentation: every published layout, on folders that the tests write, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from regard.cli import main
from regard.data import label_maps
from regard.data.batches import in_order, loader
from regard.data.coco import Outlines
from regard.data.images import UnreadableImage
from regard.data.label_maps import LabelMaps
from regard.data.label_names import CITYSCAPES, PALETTE_CLASSES, PALETTES, apart

WIDTH, HEIGHT = 7, 5


def photograph(path: Path, value: int = 90, width: int = WIDTH, height: int = HEIGHT) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (value, 10, 200)).save(path)


def labelled(path: Path, values: Sequence[int], *, palette: bool = False) -> np.ndarray:
    """Writes a label map whose first pixels, row by row, have the values; the others have the last one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = np.full(HEIGHT * WIDTH, values[-1], np.uint8)
    found[: len(values)] = values
    image = Image.fromarray(found.reshape(HEIGHT, WIDTH))
    if palette:
        image.putpalette([channel for colour in apart(256) for channel in colour])
    image.save(path)
    return found.reshape(HEIGHT, WIDTH)


def listing(path: Path, names: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def plain(folder: Path, count: int = 6, values: Sequence[int] = (0, 1, 2)) -> Path:
    for i in range(count):
        photograph(folder / "images" / f"{i}.jpg")
        labelled(folder / "labels" / f"{i}.png", values)
    return folder


def voc(folder: Path, augmented: str = "") -> Path:
    root = folder / "VOCdevkit" / "VOC2012"
    for name in ("2007_1", "2007_2", "2008_3"):
        photograph(root / "JPEGImages" / f"{name}.jpg")
        labelled(root / "SegmentationClass" / f"{name}.png", (0, 15, 255, 20), palette=True)
    listing(root / "ImageSets" / "Segmentation" / "train.txt", ["2007_1"])
    listing(root / "ImageSets" / "Segmentation" / "val.txt", ["2008_3"])
    if augmented:
        for name in ("2007_1", "2007_2", "2008_3"):
            labelled(root / "SegmentationClassAug" / f"{name}.png", (0, 15, 255, 4))
        if augmented == "listed":
            listing(root / "ImageSets" / "Segmentation" / "trainaug.txt", ["2007_2"])
    return folder


def test_voc_is_read_from_the_indices_of_its_palette(tmp_path: Path) -> None:
    train, val = label_maps.read(voc(tmp_path))
    assert (train.names, val.names) == (("2007_1.jpg",), ("2008_3.jpg",))
    assert (len(train.classes), train.classes[15], train.colours[15]) == (21, "person", (192, 128, 128))
    assert train[0]["mask"].unique().tolist() == [0, 15, 20, 255]
    assert train[0]["mask"].flatten()[:4].tolist() == [0, 15, 255, 20]


@pytest.mark.parametrize(("how", "names"), [("listed", ["2007_2.jpg"]), ("there", ["2007_1.jpg", "2007_2.jpg"])])
def test_voc_trains_on_augmented_labels_but_never_on_its_validation(how: str, names: list[str], tmp_path: Path) -> None:
    train, val = label_maps.read(voc(tmp_path, how))
    assert (list(train.names), val.names) == (names, ("2008_3.jpg",))
    assert (train[0]["mask"].max(), train[0]["mask"][-1, -1]) == (255, 4)  # of SegmentationClassAug
    assert val[0]["mask"][-1, -1] == 20  # of SegmentationClass


def test_pascal_context_has_59_classes_and_no_background(tmp_path: Path) -> None:
    for name in ("a", "b"):
        photograph(tmp_path / "VOC2010" / "JPEGImages" / f"{name}.jpg")
        labelled(tmp_path / "VOC2010" / "SegmentationClassContext" / f"{name}.png", (0, 1, 59))
        listing(
            tmp_path / "VOC2010/ImageSets/SegmentationContext" / ("train.txt" if name == "a" else "val.txt"), [name]
        )
    train, _ = label_maps.read(tmp_path)
    assert (len(train.classes), train.classes[0], train.classes[58]) == (59, "aeroplane", "wood")
    assert train[0]["mask"].flatten()[:3].tolist() == [255, 0, 58]


def test_cityscapes_has_19_of_34_ids(tmp_path: Path) -> None:
    for part, city in (("train", "ulm"), ("val", "bonn")):
        photograph(tmp_path / "leftImg8bit" / part / city / f"{city}_0_1_leftImg8bit.png")
        labelled(tmp_path / "gtFine" / part / city / f"{city}_0_1_gtFine_labelIds.png", (0, 7, 33, 255, 24, 18))
    train, val = label_maps.read(tmp_path)
    assert train[0]["mask"].flatten()[:6].tolist() == [255, 0, 18, 255, 11, 255]
    assert (train.classes[13], train.colours[13], len(val)) == ("car", (0, 0, 142), 1)
    assert list(CITYSCAPES) == [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    labelled(tmp_path / "gtFine/val/bonn/bonn_0_1_gtFine_labelIds.png", (34,))
    with pytest.raises(ValueError, match=r"bonn_0_1_gtFine_labelIds.png: the label 34 .* 0 to 33 or 255 is needed"):
        val[0]


def test_ade20k_counts_its_classes_from_one(tmp_path: Path) -> None:
    for part in ("training", "validation"):
        photograph(tmp_path / "images" / part / "ADE_1.jpg")
        labelled(tmp_path / "annotations" / part / "ADE_1.png", (0, 1, 150))
    (tmp_path / "objectInfo150.txt").write_text("", encoding="utf-8")
    train, _ = label_maps.read(tmp_path)
    assert (len(train.classes), train.classes[0], train.classes[149]) == (150, "wall", "flag")
    assert train[0]["mask"].flatten()[:3].tolist() == [255, 0, 149]


def test_coco_stuff_has_171_of_182_ids(tmp_path: Path) -> None:
    for part in ("train2017", "val2017"):
        photograph(tmp_path / "images" / part / "000001.jpg")
        labelled(tmp_path / "stuffthingmaps" / part / "000001.png", (0, 10, 11, 12, 181, 255))
    train, _ = label_maps.read(tmp_path)
    assert (len(train.classes), train.classes[0], train.classes[170]) == (171, "person", "wood")
    # id 12, street sign, is no class, and the classes behind it move up.
    assert train[0]["mask"].flatten()[:6].tolist() == [0, 10, 255, 11, 170, 255]


def test_coco_stuff_10k_is_in_matlab_files(tmp_path: Path) -> None:
    truth = np.zeros((HEIGHT, WIDTH), np.uint16)
    truth[0, :4] = [0, 1, 13, 182]
    for name in ("train", "test"):
        photograph(tmp_path / "images" / f"COCO_{name}.jpg")
        (tmp_path / "annotations").mkdir(exist_ok=True)
        savemat(tmp_path / "annotations" / f"COCO_{name}.mat", {"S": truth}, do_compression=True)
        listing(tmp_path / "imageLists" / f"{name}.txt", [f"COCO_{name}"])
    train, val = label_maps.read(tmp_path)
    assert train[0]["mask"].flatten()[:4].tolist() == [255, 0, 11, 170]
    (tmp_path / "annotations" / "COCO_test.mat").write_bytes(b"no MATLAB file")
    with pytest.raises(UnreadableImage, match=r"COCO_test\.mat: damaged"):
        val[0]


def coco(folder: Path) -> Path:
    """One image a part: a square of 4 × 4, a smaller one on it, and a crowd over the left half of the image."""
    crowd = {"size": [6, 9], "counts": [0, 6 * 4, 6 * 5]}
    boxes = [(3, [1, 1, 5, 1, 5, 5, 1, 5]), (90, [2, 2, 4, 2, 4, 4, 2, 4])]
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 9, "height": 6}],
        "categories": [{"id": 90, "name": "brush"}, {"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
        "annotations": [
            {"image_id": 7, "category_id": 90, "segmentation": [boxes[1][1]], "iscrowd": 0},
            {"image_id": 7, "category_id": 3, "segmentation": [boxes[0][1]], "iscrowd": 0},
            {"image_id": 7, "category_id": 1, "segmentation": crowd, "iscrowd": 1},
        ],
    }
    for part in ("train2017", "val2017"):
        photograph(folder / part / "a.jpg", width=9, height=6)
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_coco_draws_small_objects_last_and_crowds_as_void(tmp_path: Path) -> None:
    train, val = label_maps.read(coco(tmp_path))
    assert train.classes == val.classes == ("background", "person", "car", "brush")
    expected = np.zeros((6, 9), np.uint8)
    expected[:, :4] = 255
    expected[1:5, 1:5] = 2
    expected[2:4, 2:4] = 3
    assert train[0]["mask"].tolist() == expected.tolist()


def test_coco_with_an_unknown_category_is_refused(tmp_path: Path) -> None:
    path = coco(tmp_path) / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["annotations"][1]["category_id"] = 5
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"instances_val2017\.json annotations\[1\]: no category has the id 5"):
        label_maps.read(tmp_path)


def test_polygons_are_drawn_in_their_box_as_on_the_whole_image() -> None:
    shape = [1.4, 0.9, 5.6, 0.9, 5.6, 4.1, 1.4, 4.1]  # six tenths of the outer columns, a tenth of the outer rows
    alone = Outlines(7, 5, "", [shape]).mask()
    far = Outlines(7, 5, "", [shape, [0.0, 0.0, 0.2, 0.0, 0.2, 0.2]]).mask()  # makes the box the whole image
    expected = np.zeros((5, 7), np.bool_)
    expected[1:4, 1:6] = True
    assert alone.tolist() == far.tolist() == expected.tolist()
    assert not Outlines(7, 5, "", [[-9.0, -9.0, -8.0, -9.0, -8.0, -8.0]]).mask().any()


def test_camvid_has_eleven_classes_and_void(tmp_path: Path) -> None:
    for part in ("train", "val"):
        photograph(tmp_path / part / "0001.png")
        labelled(tmp_path / f"{part}annot" / "0001.png", (0, 10, 11))
    train, val = label_maps.read(tmp_path)
    assert (len(train.classes), train.classes[3], train.colours[3]) == (11, "road", (128, 64, 128))
    assert val[0]["mask"].flatten()[:3].tolist() == [0, 10, 255]
    labelled(tmp_path / "valannot" / "0001.png", (12,))
    with pytest.raises(ValueError, match=r"valannot.0001\.png: the label 12 at row 0, column 0 is no class"):
        val[0]


def test_any_folder_of_images_and_labels(tmp_path: Path) -> None:
    train, val = label_maps.read(plain(tmp_path))
    assert (train.names, val.names) == (("0.jpg", "1.jpg", "2.jpg", "3.jpg", "5.jpg"), ("4.jpg",))
    assert (train.classes, train.colours) == (("0", "1", "2"), apart(3))
    listing(tmp_path / "train.txt", ["3", "5.jpg"])
    listing(tmp_path / "val.txt", ["0"])
    listing(tmp_path / "classes.txt", ["sea", "red sail", "land"])
    train, val = label_maps.read(tmp_path)
    assert (train.names, val.names, train.classes[1]) == (("3.jpg", "5.jpg"), ("0.jpg",), "red sail")


@pytest.mark.parametrize("inside", [False, True])
def test_parts_lie_inside_or_outside(inside: bool, tmp_path: Path) -> None:
    for part, count in (("train", 3), ("val", 2)):
        for i in range(count):
            for kind, suffix, write in (("images", "jpg", photograph), ("masks", "png", labelled)):
                place = tmp_path / kind / part if inside else tmp_path / part / kind
                write(place / f"{i}.{suffix}", *([(0, 1)] if kind == "masks" else []))  # type: ignore[operator]
    train, val = label_maps.read(tmp_path)
    assert (len(train), len(val), train.classes) == (3, 2, ("0", "1"))


def test_rgb_labels_are_read_by_the_colours_of_classes_txt(tmp_path: Path) -> None:
    plain(tmp_path)
    truth = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    truth[1, 2] = (9, 8, 7)
    for path in (tmp_path / "labels").iterdir():
        Image.fromarray(truth).save(path)
    listing(tmp_path / "classes.txt", ["dark ground 0 0 0", "spot 9,8,7"])
    train, _ = label_maps.read(tmp_path)
    assert (train.classes, train.colours) == (("dark ground", "spot"), ((0, 0, 0), (9, 8, 7)))
    assert train[0]["mask"].nonzero().tolist() == [[1, 2]]
    listing(tmp_path / "classes.txt", ["ground 0 0 0", "spot 9 8 6"])
    with pytest.raises(UnreadableImage, match=r"0\.png: the colour \(9, 8, 7\) at row 1, column 2 is no class"):
        label_maps.read(tmp_path)[0][0]


@pytest.mark.parametrize("name", list(PALETTES))
def test_a_known_palette_is_offered_and_taken(name: str, tmp_path: Path) -> None:
    plain(tmp_path)
    truth = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    colours = {label: colour for colour, label in PALETTES[name].items()}
    truth[:, :3], truth[:, 3:] = colours[11 if name != "camvid" else 10], colours[3]
    for path in (tmp_path / "labels").iterdir():
        Image.fromarray(truth).save(path)
    with pytest.raises(
        UnreadableImage, match=f"class numbers are needed; .* palette '{name}': a line `palette {name}`"
    ):
        label_maps.read(tmp_path)
    listing(tmp_path / "classes.txt", [f"palette {name}"])
    train, _ = label_maps.read(tmp_path)
    assert train.classes == PALETTE_CLASSES[name]
    assert train[0]["mask"].unique().tolist() == [3, 11 if name != "camvid" else 10]


def test_labels_are_resized_by_the_nearest_pixel_and_truth_is_not(tmp_path: Path) -> None:
    data = label_maps.read(plain(tmp_path, values=(0, 7)))[0].resized_to((11, 13), own=True)
    sample = data[0]
    assert (sample["image"].shape, sample["mask"].shape, sample["truth"].shape) == ((3, 11, 13), (11, 13), (5, 7))
    assert (sample["mask"].dtype, sample["truth"].dtype) == (torch.uint8, torch.uint8)
    assert sample["mask"].unique().tolist() == [0, 7]  # bilinearly there would be values between
    rows, columns = (torch.arange(n).add(0.5).mul(m / n).long() for n, m in ((11, 5), (13, 7)))
    assert sample["mask"].equal(sample["truth"][rows][:, columns])
    batch = next(iter(loader(data, in_order(range(3), 3))))
    assert (batch["mask"].shape, len(batch["truth"]), batch["truth"][2].shape) == ((3, 11, 13), 3, (5, 7))


def refused(folder: Path, change: Callable[[Path], object], error: str) -> None:
    change(plain(folder))
    with pytest.raises(ValueError, match=error):
        label_maps.checked(*label_maps.read(folder))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda f: photograph(f / "images" / "2.jpg", width=8), r"2\.png: the labels have 7×5, and their image .*8×5"),
        (lambda f: (f / "labels" / "3.png").unlink(), r"3\.jpg: a label file 3\.png is needed"),
        (lambda f: (f / "labels" / "3.png").write_bytes(b"no image"), r"3\.png: not an image"),
        (lambda f: (f / "images" / "3.jpg").write_bytes(b""), r"3\.jpg: the file is empty"),
        (
            lambda f: listing(f / "classes.txt", ["a", "b"]),
            r"0\.png: the label 2 at row 0, column 2 is no class: 0 to 1",
        ),
        (lambda f: listing(f / "classes.txt", ["a", "b", "a"]), r"classes\.txt line 3, 'a': a name that no other"),
        (lambda f: listing(f / "classes.txt", ["a 1 2 3", "b"]), r"classes\.txt line 2, 'b': a colour on every line"),
        (
            lambda f: listing(f / "classes.txt", ["palette wonder"]),
            r"palette 'wonder': voc, cityscapes, camvid is needed",
        ),
        (lambda f: listing(f / "classes.txt", []), r"classes\.txt has 0 classes"),
        (lambda f: (listing(f / "train.txt", []), listing(f / "val.txt", ["1"])), r"train\.txt is empty"),
        (lambda f: (listing(f / "train.txt", ["9"]), listing(f / "val.txt", ["1"])), r"train\.txt: no image '9'"),
        (
            lambda f: (listing(f / "train.txt", ["2"] * 2), listing(f / "val.txt", ["1"])),
            r"train\.txt: '2' occurs twice",
        ),
        (lambda f: [labelled(f / "labels" / f"{i}.png", (0,)) for i in range(6)], "the label maps have one class"),
        (lambda f: Image.new("F", (7, 5)).save(f / "labels" / "0.tif"), r"0\.tif and 0\.png: one file of each stem"),
        (lambda f: (f / "labels").rename(f / "truths"), "folders images/ and labels/ are needed"),
    ],
)
def test_errors_name_the_file(change: Callable[[Path], object], error: str, tmp_path: Path) -> None:
    refused(tmp_path, change, error)


def test_a_class_that_training_never_shows_is_warned_of(tmp_path: Path) -> None:
    plain(tmp_path)
    listing(tmp_path / "classes.txt", ["sea", "ship", "land", "ice"])
    train, val = label_maps.read(tmp_path)
    seen: list[tuple[int, int]] = []
    with pytest.warns(UserWarning, match=r"1 of 4 classes are in no training label map: 'ice'"):
        counts = label_maps.checked(train, val, lambda done, of: seen.append((done, of)))
    assert counts.tolist() == [[5, 5, 165, 0], [1, 1, 33, 0]]
    assert seen == [(i, 6) for i in range(1, 7)]
    for i in range(6):
        labelled(tmp_path / "labels" / f"{i}.png", (2, 255))
    with pytest.raises(ValueError, match="the training label maps have 1 of 4 classes: at least two are needed"):
        label_maps.checked(train, val)


def test_a_dataset_is_described_and_cut(tmp_path: Path) -> None:
    train, val = label_maps.read(plain(tmp_path))
    assert train.digest == label_maps.read(tmp_path)[0].digest != val.digest
    part = train.resized_to(6).subset([4, 0])
    assert (part.names, part[1]["mask"].shape, part.at_once, train.at_once) == (("5.jpg", "0.jpg"), (6, 6), 2, 1)
    with pytest.raises(IndexError, match="index 2 is out of range: there are 2 images"):
        part[2]
    with pytest.raises(ValueError, match="size"):
        LabelMaps(train.pairs, train.coding, 0)
    with pytest.raises(FileNotFoundError, match="no folder"):
        label_maps.read(tmp_path / "nothing")


@pytest.mark.slow
def test_camvid_passes_through_training_scoring_and_looking(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    for part, count in (("train", 3), ("val", 2)):
        for i in range(count):
            for folder, pixels in (
                (part, random.integers(256, size=(33, 47, 3), dtype=np.uint8)),
                (f"{part}annot", random.integers(12, size=(33, 47), dtype=np.uint8)),
            ):
                (tmp_path / "camvid" / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(tmp_path / "camvid" / folder / f"000{i}.png")
    data, out = tmp_path / "camvid", tmp_path / "run"
    sizes = ("--backbone", "test_resnet", "--image-size", 32, "--window", 0, "--random")
    command = ("train", "danet", "--data", data, *sizes, "--epochs", 1, "--batch-size", 3, "--out", out)
    assert command_line(*command) == 0
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert 0 <= result["scores"]["miou"] < 0.5 and result["facts"]["classes"] == 11
    weights = (out / "model.safetensors").read_bytes()
    assert command_line(*command) == 0  # goes on where nothing is left to do
    assert (out / "model.safetensors").read_bytes() == weights
    capfd.readouterr()
    assert command_line("eval", "--weights", out, "--data", data) == 0
    said = capfd.readouterr().out
    assert "miou" in said and "iou/bicyclist" in said and "not comparable" in said
    assert command_line("look", data / "val" / "0001.png", "--weights", out, "--out", tmp_path / "looks") == 0
    assert [path.name for path in (tmp_path / "looks").iterdir()] == ["0001-segmenter.png"]


def command_line(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)
