"""The data room: embedded images, folders of the user's own, damaged files, and where the object is."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as photographs
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from regard import data
from regard.data import digits, dividing, images, load
from regard.data.shipped import shipped


def save(path: Path, pixels: np.ndarray | Image.Image, **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **how)
    return path


def crops(folder: Path, label: str, count: int, suffix: str = ".png") -> None:
    """Square pieces of a photograph that ships with scikit-image."""
    photo = getattr(photographs, label)()
    random = np.random.default_rng(len(label))
    for number in range(count):
        top, left = random.integers(photo.shape[0] - 60), random.integers(photo.shape[1] - 80)
        save(folder / label / f"{number}{suffix}", photo[top : top + 60, left : left + 80])


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """One folder, three classes, 8 images each."""
    for label in ("astronaut", "chelsea", "coffee"):
        crops(tmp_path / "zoo", label, 8)
    return tmp_path / "zoo"


def names(split: data.Split) -> list[str]:
    return [split.name(i) for i in range(len(split))]


def read(path: Path, size: int) -> images.Picture:
    with images.quiet():
        return images.read(path, size)


def png(width: int, height: int) -> bytes:
    """The start of a PNG that claims a size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


# --- what DATA may be -------------------------------------------------------------------------------------------------


def test_a_wrong_name_says_what_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        LookupError, match=r"source='digit': 'digits', 'faces', 'frames' or a folder .*did you mean 'digits'"
    ):
        load("digit")
    with pytest.raises(LookupError, match=r"source='zebra': 'digits', 'faces', 'frames' or a folder"):
        load("zebra")
    with pytest.raises(FileNotFoundError, match="source='some/where': there is no such folder"):
        load("some/where")
    with pytest.raises(NotADirectoryError, match="is a file"):
        load(save(tmp_path / "a.png", np.zeros((4, 4), np.uint8)))


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"image_size": 0}, {"train_size": 2.5}, {"test_size": True}])
def test_wrong_numbers_are_named(wrong: dict[str, object]) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name}={value}"):
        load("faces", **wrong)


@pytest.mark.parametrize("source", ["digits", "faces", "frames"])
def test_embedded_images_take_no_regions(source: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="accepted only with a folder of images"):
        load(source, regions=tmp_path)


# --- what every split does --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["digits", "faces", "frames", "zoo"])
def test_a_split_is_a_sequence_of_images_and_labels(source: str, zoo: Path) -> None:
    found = load(zoo if source == "zoo" else source, image_size=50, train_size=15, test_size=10)
    for split in (found.train, found.test):
        image, label = split[3]
        assert image.shape == (3, 50, 50) and image.dtype == torch.float32
        assert image.min() >= 0 and image.max() <= 1 and image.std() > 0.01
        assert label == split.labels[3] and isinstance(label, int)
        assert torch.equal(split.images([0, 3])[1], image)
        assert torch.equal(split.images(torch.tensor([3])), image[None])
        assert torch.equal(split[3 - len(split)][0], image)
        assert len(list(split)) == len(split) == len(split.labels) == len(set(names(split)))
        with pytest.raises(IndexError, match="index 99"):
            split[99]
        image.fill_(0)  # the caller's own copy
        assert split[3][0].std() > 0.01


@pytest.mark.parametrize("source", ["digits", "faces", "frames", "zoo"])
def test_a_pickled_split_is_small_and_the_same(source: str, zoo: Path) -> None:
    split = load(zoo if source == "zoo" else source, train_size=18).train
    everything = range(len(split))
    seen = split.images(everything)
    parcel = pickle.dumps(split)
    assert len(parcel) < seen.numel()  # one byte a value is what is kept
    assert torch.equal(pickle.loads(parcel).images(everything), seen)


def test_memory_bounds_what_is_kept_and_not_what_is_seen(zoo: Path) -> None:
    kept = load(zoo, image_size=32).train
    lazy = pickle.loads(pickle.dumps(kept))
    lazy.keep_bytes = 5 * 3 * 32 * 32
    everything = range(len(kept))
    first, second = lazy.images(everything), lazy.images(everything)
    for i in everything:
        (zoo / kept.name(i)).unlink()
    assert torch.equal(first, second) and torch.equal(first, kept.images(everything))
    assert torch.equal(lazy.images(range(5)), first[:5])
    with pytest.raises(images.UnreadableImage, match="no such file"):
        lazy.images([5])


# --- choosing by a seed -----------------------------------------------------------------------------------------------


def test_dividing_keeps_every_class_on_both_sides() -> None:
    labels = [0] * 40 + [1] * 2 + [2] * 3
    train, test = dividing.divide(labels, 0.25, 0)
    assert sorted(train + test) == list(range(45))
    assert [[labels[i] for i in part].count(label) for part in (train, test) for label in range(3)] == [
        30,
        1,
        2,
        10,
        1,
        1,
    ]
    assert dividing.divide(labels, 0.25, 0) == (train, test)
    assert dividing.divide(labels, 0.25, 1) != (train, test)
    assert dividing.divide(labels[:40], 0.25, 0)[1] == test[:10]  # other classes do not matter


def test_limiting_keeps_the_shares() -> None:
    labels = [0] * 60 + [1] * 30 + [2] * 3
    some = [labels[i] for i in dividing.limit(labels, 31, 0)]
    assert [some.count(label) for label in range(3)] == [20, 10, 1]
    assert [labels[i] for i in dividing.limit(labels, 3, 0)] == [0, 1, 2]
    assert set(dividing.limit(labels, 20, 0)) < set(dividing.limit(labels, 40, 0))
    assert dividing.limit(labels, 500, 0) == list(range(93))
    with pytest.raises(ValueError, match="2 images: at least 3 are needed, one of each class"):
        dividing.limit(labels, 2, 0)


# --- digits -----------------------------------------------------------------------------------------------------------


def test_digits_by_default() -> None:
    found = load("digits")
    assert (found.name, found.classes) == ("digits", tuple("0123456789"))
    assert (len(found.train), len(found.test)) == (2000, 1000)
    assert found.train[0][0].shape == (3, 48, 48)
    assert np.bincount(found.test.labels).tolist() == [100] * 10


def test_an_image_of_digits_depends_on_seed_part_and_position_alone() -> None:
    first = load("digits", train_size=50, test_size=50)
    backwards = torch.stack([first.train[i][0] for i in reversed(range(50))]).flip(0)
    again = load("digits", train_size=3000, test_size=10)
    assert torch.equal(again.train.images(range(50)), backwards)
    assert not torch.equal(first.test.images(range(50)), backwards)
    assert not torch.equal(load("digits", seed=1).train.images(range(50)), backwards)


@pytest.mark.parametrize("seed", [0, 7])
def test_no_handwritten_digit_is_in_both_parts(seed: int) -> None:
    found = load("digits", seed=seed)
    assert isinstance(found.train, digits.Digits) and isinstance(found.test, digits.Digits)
    train = {source.tobytes() for source in found.train.sources}
    test = {source.tobytes() for source in found.test.sources}
    real = {np.rint(greys * 255 / 16).astype(np.uint8).tobytes() for greys in load_digits().images}
    assert len(train) + len(test) == len(train | test) == 1797
    assert train | test == real


def test_a_missing_data_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"the installed sklearn has no file datasets/none\.csv"):
        shipped("sklearn", "datasets/none.csv")
    with pytest.raises(FileNotFoundError, match="the installed no_such_package has no file"):
        shipped("no_such_package", "x.csv")


def test_clutter_is_never_cut_from_the_digit_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two sources, one of them black: if the digit is the inked one, all clutter must be without ink.
    sources = np.zeros((2, 8, 8), np.uint8)
    sources[0, 2:6, 2:6] = 255
    monkeypatch.setattr(digits, "NOISE", 0)
    cluttered = digits.Digits(sources, np.array([0, 0]), count=1, size=64, key=(0, 0))
    cluttered.by_digit[0] = np.array([0])
    monkeypatch.setattr(digits, "PIECES", (20, 21))
    grey = cluttered.images([0])[0].mean(0)
    steps = (grey.diff(dim=1).abs() > 0.06).float()[1:] + (grey.diff(dim=0).abs() > 0.06).float()[:, 1:]
    outside = ~cluttered.region(0)[1:, 1:]
    left, top, right, bottom = cluttered.box(0)
    outside[max(top - 4, 0) : bottom + 3, max(left - 4, 0) : right + 3] = False
    assert steps[~outside].sum() > 10
    assert steps[outside].sum() == 0


@pytest.mark.parametrize("size", [48, 97])
def test_the_region_is_the_box(size: int) -> None:
    split = load("digits", image_size=size, train_size=20).train
    assert isinstance(split, digits.Digits)
    for i in range(20):
        left, top, right, bottom = split.box(i)
        region = split.region(i)
        assert region.shape == (size, size) and region.dtype == torch.bool
        assert region.sum() == (right - left) * (bottom - top) == region[top:bottom, left:right].sum()
        assert 0.38 < (bottom - top) / size < 0.62


@pytest.mark.slow
def test_the_digit_is_in_its_box() -> None:
    """Nearest neighbours, shown what is in the boxes, tell the digits; shown the boxes of other images, they do not."""
    found = load("digits", train_size=400, test_size=100)
    assert isinstance(found.train, digits.Digits) and isinstance(found.test, digits.Digits)

    def looks(split: data.Split, shift: int) -> np.ndarray:
        assert isinstance(split, digits.Digits)
        inside = []
        for i, grey in enumerate(split.images(range(len(split))).mean(1) * 255):
            box = split.box((i + shift) % len(split))
            glyph = np.asarray(Image.fromarray(grey.byte().numpy()).resize((8, 8), Image.Resampling.BOX, box))
            inside.append(np.abs(glyph - float(grey.median())).ravel())
        return np.stack(inside)

    assert found.test.box(0) != found.train.box(0)
    scores = []
    for shift in (0, 3):
        judge = KNeighborsClassifier(5).fit(looks(found.train, shift), found.train.labels)
        scores.append(judge.score(looks(found.test, shift), found.test.labels))
    assert scores[0] > 0.5 > 0.25 > scores[1]


def test_digits_come_anywhere_in_both_polarities() -> None:
    split = load("digits", train_size=200).train
    assert isinstance(split, digits.Digits)
    boxes = np.array([split.box(i) for i in range(200)])
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert (middles.min(0) < 48 / 3).all() and (middles.max(0) > 48 * 2 / 3).all()
    heights = boxes[:, 3] - boxes[:, 1]
    assert heights.max() > 1.3 * heights.min()
    brighter = [
        float(image.mean(0)[region].mean() - image.mean()) > 0
        for image, region in ((split[i][0], split.region(i)) for i in range(200))
        if region is not None
    ]
    assert 60 < sum(brighter) < 140


def test_digits_refuse_what_they_cannot_show() -> None:
    with pytest.raises(ValueError, match="image_size=47: at least 48 pixels are needed"):
        load("digits", image_size=47)
    with pytest.raises(ValueError, match="test_size=9: at least 10"):
        load("digits", test_size=9)


# --- faces ------------------------------------------------------------------------------------------------------------


def test_faces_are_photographs_that_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    found = load("faces")
    assert found.classes == ("no face", "face")
    assert (len(found.train), len(found.test)) == (120, 80)
    assert sum(found.train.labels) == 60 and sum(found.test.labels) == 40
    assert not set(names(found.train)) & set(names(found.test))
    assert found.train[0][0].shape == (3, 48, 48)
    assert found.train.region(0) is None
    assert names(load("faces", seed=1).test) != names(found.test)
    pictures = photographs.lfw_subset()
    position = int(found.test.name(5).removeprefix("lfw_subset[").removesuffix("]"))
    assert (position < 100) == (found.test.labels[5] == 1)
    small = load("faces", image_size=25).test[5][0]
    assert np.abs(small.numpy() - pictures[position]).max() < 0.01


# --- folders ----------------------------------------------------------------------------------------------------------


def test_one_folder_is_split_by_the_seed(zoo: Path) -> None:
    found = load(zoo)
    assert found.classes == ("astronaut", "chelsea", "coffee")
    assert found.train[0][0].shape == (3, 128, 128)
    assert np.bincount(found.train.labels).tolist() == [6, 6, 6]
    assert np.bincount(found.test.labels).tolist() == [2, 2, 2]
    files = {path.relative_to(zoo).as_posix() for path in zoo.rglob("*.png")}
    assert set(names(found.train)) | set(names(found.test)) == files
    assert [name.split("/")[0] for name in names(found.test)] == [found.classes[label] for label in found.test.labels]
    assert names(load(str(zoo)).test) == names(found.test) != names(load(zoo, seed=1).test)
    assert found.skipped == found.regions == found.unmatched == ()
    assert found.train.region(0) is None


def test_train_and_val_are_kept_apart(tmp_path: Path) -> None:
    for half, count in (("Train", 3), ("val", 2), ("test", 1)):
        for label in ("coffee", "chelsea"):
            crops(tmp_path / half, label, count)
    found = load(tmp_path)
    assert {name.split("/")[0] for name in names(found.train)} == {"Train"} and len(found.train) == 6
    assert {name.split("/")[0] for name in names(found.test)} == {"val"} and len(found.test) == 4
    shutil.rmtree(tmp_path / "val")
    assert len(load(tmp_path).test) == 2
    shutil.rmtree(tmp_path / "test")
    found = load(tmp_path)
    assert (len(found.train), len(found.test)) == (4, 2)
    (tmp_path / "Train").rename(tmp_path / "valid")
    with pytest.raises(ValueError, match="has valid/: train/ is needed"):
        load(tmp_path)


def test_pictures_of_trains_are_a_class(zoo: Path) -> None:
    (zoo / "coffee").rename(zoo / "train")
    assert load(zoo).classes == ("astronaut", "chelsea", "train")


def test_an_image_is_the_middle_square_resized(tmp_path: Path) -> None:
    photo = photographs.astronaut()[:300, :450]
    for number in range(2):
        save(tmp_path / "a" / f"{number}.png", photo)
        save(tmp_path / "b" / f"{number}.png", photo[:, ::-1])
    found = load(tmp_path, image_size=100)
    want = photo[:, 75:375].reshape(100, 3, 100, 3, 3).mean((1, 3)).transpose(2, 0, 1) / 255
    assert np.abs(found.train[0][0].numpy() - want).mean() < 0.02
    assert np.abs(found.train[1][0].numpy() - want[..., ::-1]).mean() < 0.02


def test_limits_and_progress(zoo: Path) -> None:
    told: list[tuple[int, int]] = []
    found = load(zoo, train_size=9, test_size=3, progress=lambda done, total: told.append((done, total)))
    assert np.bincount(found.train.labels).tolist() == [3, 3, 3]
    assert np.bincount(found.test.labels).tolist() == [1, 1, 1]
    assert told == [(done, 12) for done in range(1, 13)]


def test_damaged_images_are_named_and_skipped(zoo: Path) -> None:
    crops(zoo, "coffee", 20, ".jpg")
    whole = (zoo / "coffee" / "0.jpg").read_bytes()
    damaged = {
        "coffee/half.jpg": (whole[: len(whole) // 2], "damaged"),
        "coffee/head.jpg": (whole[:20], "not an image|damaged"),
        "coffee/zeros.png": (bytes(500), "not an image"),
        "coffee/empty.png": (b"", "empty"),
        "coffee/words.jpeg": (b"not found", "not an image in a format that is read"),
        "coffee/short.png": (png(30, 30)[:-30], "damaged"),
        "coffee/bomb.png": (png(12000, 9000), "12000×9000 is 108 megapixels"),
        "coffee/great bomb.png": (png(60000, 60000), "too many pixels"),
        "coffee/drawing.svg": (b"<svg/>", "not an image in a format that is read"),
        "coffee/new.avif": (b"\0\0\0 ftypavif", "not an image in a format that is read"),
        "loose.png": (whole, "outside the class folders"),
    }
    for name, (content, _) in damaged.items():
        (zoo / name).write_bytes(content)
    (zoo / "coffee" / "lost.png").symlink_to(zoo / "nowhere.png")
    found = load(zoo)
    reasons = {skipped.path: skipped.reason for skipped in found.skipped}
    assert set(reasons) == set(damaged) | {"coffee/lost.png"}
    for name, (_, reason) in damaged.items():
        assert any(part in reasons[name] for part in reason.split("|")), (name, reasons[name])
    assert "broken link" in reasons["coffee/lost.png"]
    assert not set(reasons) & {*names(found.train), *names(found.test)}
    assert len(found.train) + len(found.test) == 3 * 8 + 20
    assert len(found.train.images(range(len(found.train)))) == len(found.train)


def test_the_split_is_as_if_damaged_files_were_not_there(zoo: Path) -> None:
    for number in range(4):
        (zoo / "coffee" / f"{number}.png").write_bytes(b"")
    found = load(zoo, train_size=9)
    assert np.bincount(found.train.labels).tolist() == [4, 3, 2]
    assert np.bincount(found.test.labels).tolist() == [2, 2, 1]
    for skipped in found.skipped:
        (zoo / skipped.path).unlink()
    again = load(zoo, train_size=9)
    assert names(again.train) == names(found.train) and names(again.test) == names(found.test)
    assert torch.equal(again.test.images(range(5)), found.test.images(range(5)))
    for number in range(4, 7):
        (zoo / "coffee" / f"{number}.png").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"class 'coffee' has one image in .*coffee \(.*the file is empty\): at least two"
    ):
        load(zoo)


def test_what_is_no_image_is_passed_over(zoo: Path) -> None:
    for name in ("notes.txt", "coffee/labels.csv", "coffee/.hidden.png", "coffee/._0.png", "coffee/Thumbs.db"):
        (zoo / name).write_text("x")
    for name in (".cache", "__MACOSX", "coffee/.thumbnails"):
        save(zoo / name / "0.png", np.zeros((4, 4), np.uint8))
    found = load(zoo)
    assert found.skipped == () and len(found.train) + len(found.test) == 24


def test_a_class_may_be_a_link_and_circles_are_not_followed(zoo: Path, tmp_path: Path) -> None:
    (zoo / "coffee").rename(tmp_path / "elsewhere")
    (zoo / "coffee").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "circle").symlink_to(tmp_path / "elsewhere")
    save(tmp_path / "elsewhere" / "deep" / "er" / "8.PNG", np.zeros((9, 9), np.uint8))
    found = load(zoo)
    assert len(found.train) + len(found.test) == 25
    assert "coffee/deep/er/8.PNG" in names(found.train) + names(found.test)
    (skipped,) = found.skipped
    assert skipped.path == "coffee/circle" and "is a link to a folder" in skipped.reason


def test_a_link_to_a_folder_gives_its_images_no_second_class(zoo: Path, tmp_path: Path) -> None:
    (zoo / "coffee" / "more").symlink_to(zoo / "chelsea")
    crops(tmp_path / "outside", "cat", 3)
    (zoo / "chelsea" / "more").symlink_to(tmp_path / "outside" / "cat")
    found = load(zoo)
    assert len(found.train) + len(found.test) == 24
    assert {skipped.path for skipped in found.skipped} == {"coffee/more", "chelsea/more"}
    assert not any("more" in name for name in names(found.train) + names(found.test))


def test_linked_files_keep_their_class_and_contradictions_have_none(zoo: Path, tmp_path: Path) -> None:
    expected = load(zoo)
    shutil.copytree(zoo, tmp_path / "cache")
    for path in list(zoo.rglob("*.png")):  # as caches of datasets make them
        path.unlink()
        path.symlink_to(tmp_path / "cache" / path.relative_to(zoo))
    (tmp_path / "linked").symlink_to(zoo)
    found = load(tmp_path / "linked")
    assert found.skipped == () and names(found.train) == names(expected.train)
    assert torch.equal(found.test.images(range(6)), expected.test.images(range(6)))
    assert found.train.digest == expected.train.digest
    (zoo / "coffee" / "8.png").symlink_to(tmp_path / "cache" / "chelsea" / "5.png")
    (zoo / "chelsea" / "8.png").symlink_to(tmp_path / "cache" / "chelsea" / "6.png")  # twice in one class is no matter
    told = {skipped.path: skipped.reason for skipped in load(zoo).skipped}
    assert told == {
        "chelsea/5.png": "is the same file as coffee/8.png, of another class",
        "coffee/8.png": "is the same file as chelsea/5.png, of another class",
    }


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("coffee", r"coffee and .*tea are links to one folder: an image has one class"),
        (".", r"tea is a link to a folder that holds .*astronaut: an image has one class"),
    ],
)
def test_two_classes_are_two_folders(target: str, message: str, zoo: Path) -> None:
    (zoo / "tea").symlink_to(zoo / target)
    with pytest.raises(ValueError, match=message):
        load(zoo)


def test_training_and_testing_are_two_folders(zoo: Path, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for part in ("train", "val"):
        (tmp_path / "parts" / part).symlink_to(zoo)
    with pytest.raises(ValueError, match=r"train and .*val are links to one folder: two folders are needed"):
        load(tmp_path / "parts")


def test_a_digest_tells_changed_pixels_names_classes_and_regions(zoo: Path) -> None:
    first = load(zoo).train
    assert load(zoo).train.digest == first.digest
    path = zoo / first.name(4)
    pixels = np.array(Image.open(path))
    pixels[30, 40, 1] ^= 16
    Image.fromarray(pixels).save(path)
    changed = load(zoo).train
    assert names(changed) == names(first) and changed.labels == first.labels and changed.digest != first.digest
    lazy = pickle.loads(pickle.dumps(first))
    with pytest.raises(images.UnreadableImage, match=r"other pixels than when the folder was loaded"):
        lazy.images([4])
    (zoo / "boxes.csv").write_text(f"file,x0,y0,x1,y1\n{first.name(2)},5,6,40,50\n")
    boxed = load(zoo).train
    assert boxed.region(2) is not None and boxed.digest != changed.digest
    (zoo / "boxes.csv").write_text(f"file,x0,y0,x1,y1\n{first.name(2)},5,6,40,51\n")
    assert load(zoo).train.digest not in (boxed.digest, changed.digest)


def test_odd_file_names(zoo: Path) -> None:
    odd = [
        b'a:b?"<>|.png',
        b"two\nlines.png",
        b"\xff\xfe.png",
        "ähnlich 猫.png".encode(),
        b" .png",
        b"-rf.png",
        b"con.png",
    ]
    for number, name in enumerate(odd):
        shutil.copy(zoo / "coffee" / f"{number}.png", os.fsencode(zoo / "coffee") + b"/" + name)
    found = load(zoo)
    everything = names(found.train) + names(found.test)
    assert len(everything) == 31
    assert "coffee/ähnlich 猫.png" in everything
    "\n".join(everything).encode()  # can be printed


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda zoo: [path.unlink() for path in list((zoo / "coffee").iterdir())[1:]],
            "class 'coffee' has one image in .*coffee",
        ),
        (
            lambda zoo: [path.unlink() for path in (zoo / "coffee").iterdir()],
            "class 'coffee' has no images in .*coffee",
        ),
        (
            lambda zoo: [shutil.rmtree(zoo / name) for name in ("coffee", "chelsea")],
            "one class, 'astronaut': at least two",
        ),
        (lambda zoo: [shutil.rmtree(path) for path in zoo.iterdir()], "zoo has no subfolders: one for each class"),
        (
            lambda zoo: [path.write_bytes(b"") for path in (zoo / "coffee").iterdir()],
            r"class 'coffee' has no images in .*coffee \(8 cannot be read, coffee/.*png: the file is empty\)",
        ),
    ],
)
def test_folders_that_make_no_classification(zoo: Path, spoil, message: str) -> None:
    spoil(zoo)
    with pytest.raises(ValueError, match=message):
        load(zoo)


def test_train_and_val_must_have_the_same_classes(tmp_path: Path) -> None:
    for half in ("train", "val"):
        for label in ("coffee", "chelsea"):
            crops(tmp_path / half, label, 1)  # one each is enough here
    assert len(load(tmp_path).test) == 2
    crops(tmp_path / "val", "rocket", 1)
    with pytest.raises(ValueError, match=r"class 'rocket' is in .*val but not in .*train"):
        load(tmp_path)
    (tmp_path / "val" / "rocket").rename(tmp_path / "train" / "rocket")
    with pytest.raises(ValueError, match=r"class 'rocket' is in .*train but not in .*val"):
        load(tmp_path)
    (tmp_path / "val" / "rocket").mkdir()
    with pytest.raises(ValueError, match=r"class 'rocket' has no images in .*val"):
        load(tmp_path)


# --- image files ------------------------------------------------------------------------------------------------------

RAMP = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (40, 1))
GREY = (RAMP * 255).round().astype(np.uint8)
RGBA = Image.merge("RGBA", [Image.new("L", (40, 40), 0)] * 3 + [Image.fromarray(255 - GREY)])


def palette(transparent: bool) -> Image.Image:
    image = Image.fromarray(GREY).convert("P")
    if transparent:
        image.info["transparency"] = bytes([255] * 128 + [0] * 128)
    return image


@pytest.mark.parametrize(
    ("name", "image", "want"),
    [
        ("grey.png", Image.fromarray(GREY), RAMP),
        ("grey16.png", Image.fromarray((RAMP * 65535).astype(np.uint16)), RAMP),
        ("grey16.tif", Image.fromarray((RAMP * 65535).astype(np.uint16)), RAMP),
        ("grey32.tif", Image.fromarray((RAMP * 65535).astype(np.int32)), RAMP),
        ("float1.tif", Image.fromarray(RAMP), RAMP),
        ("float255.tif", Image.fromarray(RAMP * 255), RAMP),
        ("bits.png", Image.fromarray(GREY > 127), RAMP > 0.5),
        ("palette.png", palette(False), RAMP),
        ("palette.gif", palette(False), RAMP),
        ("palette with holes.png", palette(True), np.where(RAMP > 0.5, 1, RAMP)),
        ("black behind glass.png", RGBA, RAMP),
        ("black behind glass.webp", RGBA, RAMP),
        ("grey behind glass.png", Image.merge("LA", [Image.new("L", (40, 40), 0), Image.fromarray(255 - GREY)]), RAMP),
        ("print.jpg", Image.fromarray(GREY).convert("CMYK"), RAMP),
        ("print.tif", Image.fromarray(GREY).convert("CMYK"), RAMP),
        ("video.jpg", Image.fromarray(GREY).convert("YCbCr"), RAMP),
        ("old.bmp", Image.fromarray(GREY).convert("RGB"), RAMP),
        ("old.ppm", Image.fromarray(GREY).convert("RGB"), RAMP),
        ("wrongly named.jpg", Image.fromarray(GREY), RAMP),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_kind_of_pixel_becomes_rgb(tmp_path: Path, name: str, image: Image.Image, want: np.ndarray) -> None:
    path = save(
        tmp_path / name,
        image,
        format="PNG" if "wrongly" in name else None,
        **({"lossless": True} if name.endswith("webp") else {}),
    )
    picture = read(path, 40)
    assert picture.pixels.shape == (3, 40, 40) and picture.pixels.dtype == torch.uint8
    assert np.abs(picture.pixels.numpy() / 255 - want).max() < 0.04


def test_values_without_a_scale_are_refused(tmp_path: Path) -> None:
    for number, values in enumerate((RAMP - 0.5, RAMP * 1e6, RAMP * np.nan)):
        path = save(tmp_path / f"{number}.tif", values)
        with pytest.raises(images.UnreadableImage, match=r"its values are from .* to .*; greys from 0 to 65535"):
            read(path, 8)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = photographs.astronaut()[:240, 40:400]
    turn = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[::-1],
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"turned{suffix}", np.ascontiguousarray(turn(upright)), exif=exif)
    picture = read(path, 48)
    assert (picture.width, picture.height) == (360, 240)
    want = read(save(tmp_path / "upright.png", upright), 48).pixels
    assert (picture.pixels.float() - want.float()).abs().mean() < 4


def test_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue", "blue")]
    for suffix in (".gif", ".webp", ".tif", ".png"):
        path = save(tmp_path / f"film{suffix}", frames[0], save_all=True, append_images=frames[1:])
        assert (read(path, 8).pixels.float().mean((1, 2)) - torch.tensor([255.0, 0, 0])).abs().max() < 20


def test_the_error_names_file_and_reason_and_travels(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"")
    with pytest.raises(images.UnreadableImage) as caught:
        read(path, 8)
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert (error.path, error.reason, str(error)) == (path, "the file is empty", f"{path}: the file is empty")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(images.UnreadableImage, match="not a regular file"):
        read(tmp_path / "pipe.png", 8)


def test_a_large_photograph_is_what_it_would_be_as_png(tmp_path: Path) -> None:
    photo = Image.fromarray(photographs.astronaut()).resize((1500, 1001))
    shortcut = read(save(tmp_path / "a.jpg", photo, quality=95), 64)
    want = read(save(tmp_path / "a.png", photo), 64)
    assert (shortcut.width, shortcut.height) == (want.width, want.height) == (1500, 1001)
    assert (shortcut.pixels.float() - want.pixels.float()).abs().mean() < 0.5


# --- where the object is ----------------------------------------------------------------------------------------------


def board(folder: Path, *, exif: bool = False) -> None:
    """Two classes of two images, 90×60, each black with one white square from (50, 20) to (70, 40)."""
    pixels = np.zeros((60, 90), np.uint8)
    pixels[20:40, 50:70] = 255
    how = {}
    if exif:
        pixels = np.ascontiguousarray(pixels.T[::-1])
        how["exif"] = Image.Exif()
        how["exif"][0x0112] = 6
    for name in ("cat/c1", "cat/c2", "dog/d1", "dog/d2"):
        save(folder / f"{name}.png", pixels, **how)


def csv(folder: Path, *rows: str, header: str = "file,x0,y0,x1,y1") -> Path:
    path = folder / "boxes.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def coco(
    folder: Path, *annotations: dict, files=("cat/c1.png", "cat/c2.png", "d1.png", "d2.png"), **more: object
) -> Path:
    path = folder / "annotations.json"
    listed = [{"id": number, "file_name": name, "width": 90, "height": 60} for number, name in enumerate(files)]
    path.write_text(json.dumps({"images": listed, "annotations": list(annotations), **more}))
    return path


def say_csv(folder: Path) -> None:
    csv(
        folder,
        "cat/c1.png,50,20,70,40",
        "c2.png,50,20,60,40",
        "c2.png,60,20,70,40",
        "d1.png,50,20,70,40",
        "d2.png,5e1,20.0,70,40",
    )


def say_coco_boxes(folder: Path) -> None:
    coco(folder, *({"image_id": number, "bbox": [50, 20, 20, 20]} for number in range(4)))


def say_coco_polygons(folder: Path) -> None:
    outline = [50, 20, 70, 20, 70, 40, 50, 40]
    coco(folder, *({"image_id": n, "bbox": [0, 0, 9, 9], "segmentation": [outline]} for n in range(4)))


def say_masks(folder: Path) -> None:
    mask = np.zeros((60, 90), np.uint8)
    mask[20:40, 50:70] = 1
    for name in ("cat/c1", "c2", "dog/d1", "dog/d2"):
        save(folder / "masks" / f"{name}.png", mask)


@pytest.mark.parametrize("size", [60, 33, 128])
@pytest.mark.parametrize("exif", [False, True], ids=["upright", "turned"])
@pytest.mark.parametrize("say", [say_csv, say_coco_boxes, say_coco_polygons, say_masks])
def test_regions_go_where_the_image_goes(tmp_path: Path, say, exif: bool, size: int) -> None:
    board(tmp_path, exif=exif)
    say(tmp_path)
    found = load(tmp_path, image_size=size)
    assert found.classes == ("cat", "dog") and len(found.regions) == 1 and found.unmatched == ()
    for split in (found.train, found.test, pickle.loads(pickle.dumps(found.test))):
        for i in range(len(split)):
            region = split.region(i)
            assert region is not None and region.shape == (size, size) and region.dtype == torch.bool
            white = split[i][0].mean(0) > 0.5
            assert (region & white).sum() / (region | white).sum() > (0.99 if size == 60 else 0.9)


def test_a_cropped_region(tmp_path: Path) -> None:
    board(tmp_path)  # the crop takes 15 pixels off left and right
    csv(tmp_path, "c1.png,0,0,15,60", "c2.png,-20,-20,25,300", "d1.png,44.9,29.9,45.2,30.3")
    found = load(tmp_path, image_size=30)
    regions = {split.name(i): split.region(i) for split in (found.train, found.test) for i in range(len(split))}
    assert regions["cat/c1.png"] is None  # nothing of it is left
    assert regions["cat/c2.png"].nonzero().unique(dim=0).shape == (30 * 5, 2) and regions["cat/c2.png"][:, :5].all()
    assert 1 <= regions["dog/d1.png"].sum() <= 4 and regions["dog/d1.png"][15, 15]  # too small for half a pixel
    assert regions["dog/d2.png"] is None  # nothing is known


def test_names_that_answer_and_names_that_do_not(tmp_path: Path) -> None:
    board(tmp_path)
    rest = "1,1,30,30"
    csv(
        tmp_path,
        f"cat\\c1.png,{rest}",
        f"/data/elsewhere/cat/c2.png,{rest}",
        f'"images/d1.png",{rest}',
        f"cat/d2.png,{rest}",
        f"nobody.png,{rest}",
        f"nobody.png,{rest}",
        "",
    )
    found = load(tmp_path)
    known = {
        split.name(i) for split in (found.train, found.test) for i in range(len(split)) if split.region(i) is not None
    }
    assert known == {"cat/c1.png", "cat/c2.png", "dog/d1.png"}
    assert found.unmatched == ("cat/d2.png", "nobody.png")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("c1.png,1,2,3", "boxes.csv line 3: 4 fields; 5, as in the header, are needed"),
        ("c1.png,1,2,3,4,5", "line 3: 6 fields"),
        ("c1.png,1,2,x,4", "line 3: numbers x0, y0, x1, y1 are needed, not x0='1', y0='2', x1='x'"),
        ("c1.png,1,2,,4", "line 3: numbers x0, y0, x1, y1 are needed"),
        ("c1.png,1,2,nan,4", "line 3: finite x0 < x1 and y0 < y1 are needed"),
        ("c1.png,9,2,3,4", "line 3: finite x0 < x1 and y0 < y1 are needed, not x0='9'"),
        ("c1.png,90,2,95,4", r"line 3: the box from \(90, 2\) to \(95, 4\) is outside the image of 90×60"),
        ("same.png,1,2,3,4", "line 3: 'same.png' matches cat/same.png and dog/same.png; give more of the path"),
        ('"c1.png,1,2,3,4', "boxes.csv line 3"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    board(tmp_path)
    for label in ("cat", "dog"):
        shutil.copy(tmp_path / label / f"{label[0]}1.png", tmp_path / label / "same.png")
    csv(tmp_path, "c2.png,1,2,3,4", row)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: the header file,x0,y0,x1,y1 is needed, not ''"),
        (b"c1.png,1,2,3,4\n", "line 1: the header file,x0,y0,x1,y1 is needed, not 'c1.png,1,2,3,4'"),
        (b"file;x0;y0;x1;y1\n", "line 1: the header file,x0,y0,x1,y1 is needed, not"),
        (b"file,x0,y0,x1,y1\n", "names none of the 4 images"),
        (b"file,x0,y0,x1,y1\nother.png,1,2,3,4\n", "names none of the 4 images, for example 'other.png'"),
        (b"file,x0,y0,x1,y1\n\xe4.png,1,2,3,4\n", "not UTF-8 text"),
    ],
)
def test_a_wrong_csv_file(tmp_path: Path, content: bytes, message: str) -> None:
    board(tmp_path)
    (tmp_path / "boxes.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_csv_columns_in_any_order_among_others(tmp_path: Path) -> None:
    board(tmp_path)
    csv(tmp_path, "70,40,cat,c1.png,50,20", header="\ufeffX1,Y1,label,File, x0,y0")
    found = load(tmp_path, image_size=60)
    regions = [split.region(i) for split in (found.train, found.test) for i in range(2)]
    (region,) = [region for region in regions if region is not None]
    assert region.sum() == 400 and region[20:40, 35:55].all()


def test_coco_tells_the_object_from_other_things(tmp_path: Path) -> None:
    board(tmp_path)
    coco(
        tmp_path,
        {"image_id": 0, "category_id": 7, "bbox": [20, 10, 10, 10]},
        {"image_id": 0, "category_id": 8, "bbox": [40, 10, 10, 10]},
        {"image_id": 1, "category_id": 7, "bbox": [20, 10, 10, 10], "iscrowd": 1, "segmentation": {"counts": "x"}},
        {"image_id": 2, "category_id": 7, "bbox": [20, 10, 10, 10]},
        {"image_id": 3, "category_id": 9, "bbox": [20, 10, 10, 10], "segmentation": {"counts": "x"}},
        categories=[{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}, {"id": 9, "name": "dog"}],
    )
    found = load(tmp_path, image_size=60)
    regions = {split.name(i): split.region(i) for split in (found.train, found.test) for i in range(2)}
    assert regions["cat/c1.png"].sum() == 100 and regions["cat/c1.png"][10:20, 5:15].all()
    assert regions["cat/c2.png"] is None and regions["dog/d1.png"] is None
    assert regions["dog/d2.png"].sum() == 100


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"image_id": 99, "bbox": [1, 1, 2, 2]}, r"annotations\[1\]: no image has the id 99"),
        ({"image_id": 1, "bbox": [1, 1, 2]}, r"annotations\[1\]: polygons, or a bbox of x, y, width, height"),
        (
            {"image_id": 1, "bbox": [1, 1, 0, 2]},
            r"annotations\[1\]: .*the last two above 0, are needed, not \[1, 1, 0, 2\]",
        ),
        ({"image_id": 1, "bbox": None}, r"annotations\[1\]: polygons, or a bbox of x, y, width, height"),
        ({"image_id": 1, "bbox": [1, 1, "2", 2]}, r"annotations\[1\]: polygons, or a bbox of x, y, width, height"),
        ({"image_id": 1, "segmentation": [[1, 1, 5, 5]]}, r"annotations\[1\]: polygons of a segmentation"),
        ({"image_id": 1, "segmentation": [[1, 1, 5, 5, 2, 8, 1]]}, r"annotations\[1\]: polygons of a segmentation"),
        (
            {"image_id": 1, "segmentation": [[-9, -9, -5, -5, -9, -5]]},
            r"annotations\[1\]: .* outside the image of 90×60",
        ),
        ({"image_id": 1, "bbox": [100, 1, 2, 2]}, r"annotations\[1\]: the box .* is outside"),
    ],
)
def test_a_wrong_annotation_is_named(tmp_path: Path, annotation: dict, message: str) -> None:
    board(tmp_path)
    coco(tmp_path, {"image_id": 0, "bbox": [20, 10, 10, 10]}, annotation)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{\n\n,", "annotations.json line 3: not JSON"),
        ("[]", "an object with images and annotations"),
        ('{"annotations": []}', "need 'images', a list of objects"),
        ('{"images": [3]}', "need 'images', a list of objects"),
        ('{"images": [{"id": 1}], "annotations": []}', r"images\[0\]: an image needs an id and a file_name"),
        (
            '{"images": [{"id": 1, "file_name": "c1.png"}, {"id": 1, "file_name": "c2.png"}]}',
            r"images\[1\]: the id 1 occurs twice",
        ),
        ('{"images": [{"id": 1, "file_name": "c1.png"}]}', "need 'annotations', a list of objects"),
        (
            '{"images": [{"id": 1, "file_name": "z.png"}], "annotations": []}',
            "names none of the 4 images, for example 'z.png'",
        ),
        (
            '{"images": [{"id": 1, "file_name": "c1.png", "width": 45, "height": 30}], '
            '"annotations": [{"image_id": 1, "bbox": [1, 1, 2, 2]}]}',
            r"annotations\[0\]: the annotations give 45×30, and the image has 90×60",
        ),
    ],
)
def test_a_wrong_coco_file(tmp_path: Path, content: str, message: str) -> None:
    board(tmp_path)
    (tmp_path / "annotations.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_masks_of_any_kind(tmp_path: Path) -> None:
    board(tmp_path)
    wanted = np.zeros((60, 90), bool)
    wanted[20:40, 50:70] = True
    indices = Image.fromarray(wanted.astype(np.uint8) * 3).convert("P")
    indices.putpalette([200, 0, 0] + [0] * 765)  # what is zero is not what is black
    colour = np.dstack([np.zeros_like(wanted), np.zeros_like(wanted), wanted]).astype(np.uint8)
    glass = np.dstack([np.full((60, 90, 3), 9), wanted * 255]).astype(np.uint8)
    for name, mask in {"c1": indices, "c2": colour, "d1": glass, "d2": np.zeros((60, 90), np.uint8)}.items():
        save(tmp_path / "masks" / f"{name}.png", mask)
    found = load(tmp_path, image_size=60)
    regions = {split.name(i): split.region(i) for split in (found.train, found.test) for i in range(2)}
    assert regions.pop("dog/d2.png") is None  # an empty mask marks nothing
    assert all((region == torch.from_numpy(wanted[:, 15:75])).all() for region in regions.values())


def test_wrong_masks(tmp_path: Path) -> None:
    board(tmp_path)
    say_masks(tmp_path)
    (tmp_path / "masks" / "c2.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"the mask .*c2.png: not an image"):
        load(tmp_path)
    save(tmp_path / "masks" / "c2.png", np.zeros((60, 80), np.uint8))
    with pytest.raises(ValueError, match=r"c2\.png: the mask has 80×60, and its image 90×60"):
        load(tmp_path)
    save(tmp_path / "masks" / "cat" / "c2.tif", np.zeros((60, 90), np.uint8))
    with pytest.raises(ValueError, match=r"one mask for cat/c2\.png is needed"):
        load(tmp_path)


def test_a_class_may_be_called_masks(tmp_path: Path) -> None:
    board(tmp_path)
    for name in ("one", "two", "c1"):
        shutil.copy(tmp_path / "cat" / "c1.png", save(tmp_path / "masks" / f"{name}.png", np.zeros((4, 4), np.uint8)))
    found = load(tmp_path)
    assert found.classes == ("cat", "dog", "masks") and found.regions == ()
    # Unless the user says what they are.
    found = load(tmp_path, regions=tmp_path / "masks")
    assert found.classes == ("cat", "dog") and found.unmatched == ("one.png", "two.png")


def test_regions_from_elsewhere(tmp_path: Path) -> None:
    board(tmp_path / "photos")
    (tmp_path / "notes").mkdir()
    path = csv(tmp_path / "notes", "c1.png,50,20,70,40")
    assert load(tmp_path / "photos").regions == ()
    assert load(tmp_path / "photos", regions=path).regions == (str(path),)
    with pytest.raises(FileNotFoundError, match=r"regions='.*none\.csv': there is no such file or folder"):
        load(tmp_path / "photos", regions=tmp_path / "none.csv")
    with pytest.raises(ValueError, match=r"notes.txt: boxes \(.csv\), COCO annotations \(.json\) or a folder"):
        (tmp_path / "notes.txt").write_text("x")
        load(tmp_path / "photos", regions=tmp_path / "notes.txt")


def test_two_region_files_need_a_choice(tmp_path: Path) -> None:
    board(tmp_path)
    say_csv(tmp_path)
    say_masks(tmp_path)
    with pytest.raises(ValueError, match=r"has boxes\.csv and masks: choose one by regions="):
        load(tmp_path)
    assert load(tmp_path, regions=tmp_path / "masks").regions == (str(tmp_path / "masks"),)


def test_each_half_may_bring_its_own_regions(tmp_path: Path) -> None:
    for number, half in enumerate(("train", "valid", "test")):
        board(tmp_path / half)
        path = coco(tmp_path / half, {"image_id": 0, "bbox": [20 + 10 * number, 0, 10, 60]}, files=("c1.png",))
        path.rename(tmp_path / half / "_annotations.coco.json")
    found = load(tmp_path, image_size=60)
    for number, split in enumerate((found.train, found.test)):
        region = split.region(0)
        assert region is not None and region.any(0).nonzero().flatten().tolist() == list(
            range(5 + 10 * number, 15 + 10 * number)
        )
        assert split.region(1) is None
    assert len(found.regions) == 2


def test_regions_of_images_that_are_not_used_are_no_mistake(tmp_path: Path) -> None:
    for half in ("train", "val", "test"):
        board(tmp_path / half)
    csv(
        tmp_path, *(f"{half}/cat/c1.png,50,20,70,40" for half in ("train", "val", "test")), "train/cat/gone.png,1,2,3,4"
    )
    (tmp_path / "train" / "cat" / "c2.png").write_bytes(b"")
    shutil.copy(tmp_path / "val" / "cat" / "c1.png", tmp_path / "val" / "cat" / "gone.png")  # another image altogether
    found = load(tmp_path)
    assert found.unmatched == ("train/cat/gone.png",)
    for split in (found.train, found.test):
        known = [split.region(i) is not None for i in range(len(split))]
        assert split.name(0).endswith("cat/c1.png") and known[0] and not any(known[1:])


def test_a_failed_load_leaves_the_warning_filters_alone(tmp_path: Path) -> None:
    board(tmp_path)
    csv(tmp_path, "c1.png,500,500,600,600")
    before = list(warnings.filters)
    with pytest.raises(ValueError, match="outside the image") as caught:
        load(tmp_path)
    assert warnings.filters == before
    del caught  # with it the frames that the failure came from
