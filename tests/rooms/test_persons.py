"""Datasets of persons: what is read of the published layouts, what is left out, and what is said of it."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from regard.data import part_masks, pedestrian_files, pedestrians, persons
from regard.data.batches import Identities, collate
from regard.data.images import UnreadableImage

TRAIN, TEST, SHOTS, CAMERAS = 3, 2, 2, 6
SIZE = (32, 16)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("persons") / "drawn"
    pedestrian_files.write_images(folder, train=TRAIN, test=TEST, shots=SHOTS, distractors=5, junk=7, size=SIZE, seed=3)
    return folder


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def test_junk_is_left_out_and_distractors_stay(written: Path) -> None:
    train, test = persons.read(written, size=SIZE)
    assert len(train) == TRAIN * CAMERAS * SHOTS
    assert len(test.query) == TEST * CAMERAS
    assert len(test.gallery) == TEST * CAMERAS * (SHOTS - 1) + 5
    assert test.junk == 7 and test.missing == 0
    assert test.gallery.labels.count(0) == 5 and -1 not in test.labels
    assert len(test) == len(test.query) + len(test.gallery)


def test_only_the_training_persons_have_class_numbers(written: Path) -> None:
    train, test = persons.read(written, size=SIZE)
    assert train.people == (1, 2, 3) and sorted(set(train.labels)) == [0, 1, 2]
    assert sorted(set(test.query.labels)) == [4, 5]  # as they are written: class 0 would be the distractors
    sample = train[0]
    assert (sample["person"], sample["camera"], sample["name"]) == (0, 1, "0001_c1s1_000000_00.jpg")


def test_a_sample_has_the_image_and_the_masks_of_its_file(written: Path) -> None:
    train, test = persons.read(written, size=SIZE)
    drawn = pedestrians.Pedestrians(size=SIZE, seed=3).shot(1, 1, 1)
    sample = train[1]
    assert torch.equal(sample["parts"], torch.from_numpy(drawn.parts).float())
    assert torch.equal(sample["region"], torch.from_numpy(drawn.person))
    difference = sample["image"] - torch.from_numpy(drawn.image).permute(2, 0, 1) / 255
    assert difference.abs().mean() < 0.05  # of a JPEG
    assert torch.equal(train[1]["image"], pickle.loads(pickle.dumps(train))[1]["image"])
    batch = collate([test[0], test[len(test) - 1]])
    assert batch["query"].tolist() == [1, 0] and batch["parts"].shape == (2, 4, *SIZE)


def test_a_shot_is_a_function_of_its_numbers_and_an_occluder_hides_parts() -> None:
    drawing = pedestrians.Pedestrians(size=SIZE, seed=3)
    free, hidden = (drawing.shot(2, 5, 1, occluded=occluded) for occluded in (False, True))
    assert np.array_equal(free.image, pedestrians.Pedestrians(size=SIZE, seed=3).shot(2, 5, 1, occluded=False).image)
    assert hidden.person.sum() < free.person.sum() and not (hidden.person & ~free.person).any()
    assert (free.parts.sum((1, 2)) > 0).all() and (free.parts & ~free.person).sum() == 0
    clip = drawing.clip(2, 5, 1, 8, occluded=True)
    free_clip = drawing.clip(2, 5, 1, 8, occluded=False)
    changed = [not np.array_equal(a.person, b.person) for a, b in zip(clip, free_clip, strict=True)]
    assert sum(changed) == 4 and changed.index(True) + 4 == 8 - changed[::-1].index(True)  # a half, in a row


def test_nothing_of_a_folder_is_overwritten(written: Path) -> None:
    with pytest.raises(FileExistsError, match="it has content"):
        pedestrian_files.write_images(written, train=1, test=1)


def test_what_is_wrong_is_said_with_the_file(copied: Path) -> None:
    wrong = copied / "query" / "holiday.jpg"
    (copied / "query" / "Thumbs.db").write_bytes(b"0")  # as in Market-1501
    shutil.copy(copied / "query" / "0004_c1s1_000000_00.jpg", wrong)
    with pytest.raises(ValueError, match=r"query.holiday\.jpg: a name as 0002_c1s1_000451_03\.jpg"):
        persons.read(copied)
    wrong.rename(copied / "query" / "0000_c1s1_000000_00.jpg")
    with pytest.raises(ValueError, match=r"0000_c1s1_000000_00\.jpg: person 0 is a distractor.*not to query"):
        persons.read(copied)
    (copied / "query" / "0000_c1s1_000000_00.jpg").rename(copied / "query" / "0002_c1s1_000000_00.jpg")
    with pytest.raises(ValueError, match="person 2 is in training and test"):
        persons.read(copied)
    for path in (copied / "query").glob("*.jpg"):
        path.unlink()
    with pytest.raises(ValueError, match="query has no images of persons"):
        persons.read(copied)


def test_missing_masks_and_persons_are_counted(copied: Path) -> None:
    for path in (copied / "bounding_box_test").glob("0005_*.jpg"):
        path.unlink()
    with pytest.warns(UserWarning, match=r"0005_c1s1_000000_00\.jpg: 1 of 2 persons of the query are not in the gall"):
        _, test = persons.read(copied)
    assert test.missing == 1
    (copied / "seg_part4" / "Market1501_train_seg_part4" / "0002_c3s1_000001_00" / "shoes.png").unlink()
    with (
        pytest.warns(UserWarning, match="not in the gallery"),
        pytest.raises(ValueError, match=r"0002_c3s1_000001_00.shoes\.png: this mask is missing, and 1 of 36 images"),
    ):
        persons.read(copied)
    shutil.rmtree(copied / "seg_part4")
    (copied / "bounding_box_train" / "0001_c1s1_000000_00.jpg").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="not in the gallery"):
        train, _ = persons.read(copied)
    assert "parts" not in train[1] and part_masks.beside(copied, "train") is None
    with pytest.raises(UnreadableImage, match="0001_c1s1_000000_00"):
        train[0]


def test_other_counts_than_the_published_ones_are_told(copied: Path) -> None:
    market = copied.rename(copied.with_name("Market-1501-v15.09.15"))
    with pytest.warns(UserWarning, match=r"Market-1501 has 12,936 \+ 3,368 \+ 15,913 as published, and here 36 \+ 12"):
        persons.read(market)


def test_cuhk03_is_divided_by_its_new_protocol(tmp_path: Path) -> None:
    names = [f"1_{person:03d}_{1 + i // 2}_{i + 1:02d}.png" for person in (1, 2, 3) for i in range(4)]
    (tmp_path / "images_detected").mkdir()
    for name in names:
        Image.new("RGB", (8, 19)).save(tmp_path / "images_detected" / name)
    content = {
        "filelist": np.array([[name] for name in names], dtype=object),
        "labels": np.repeat([11.0, 5.0, 7.0], 4)[:, None],
        "train_idx": np.arange(1.0, 5)[:, None],
        "query_idx": np.array([[5.0], [9.0]]),
        "gallery_idx": np.array([[7.0], [8.0], [11.0]]),
    }
    path = tmp_path / "cuhk03_new_protocol_config_detected.mat"
    savemat(path, content)
    with pytest.warns(UserWarning, match=r"CUHK03, detected has 7,365 \+ 1,400 \+ 5,332 as published, and here 4 \+ 2"):
        train, test = persons.read(tmp_path, size=SIZE, boxes="detected")
    assert train.people == (11,) and train.labels == [0] * 4 and train.cameras == [1, 1, 2, 2]
    assert test.query.labels == [5, 7] and test.query.cameras == [1, 1]
    assert test.gallery.labels == [5, 5, 7] and test.gallery.names[2] == "1_003_2_03.png"
    with pytest.raises(ValueError, match=r"cuhk03_new_protocol_config_labeled\.mat with images_labeled"):
        persons.read(tmp_path)
    savemat(path, {**content, "query_idx": np.array([[13.0]])})
    with pytest.raises(ValueError, match=r"detected\.mat: query_idx, numbers from 1 to 12, is needed"):
        persons.read(tmp_path, boxes="detected")


def test_a_batch_has_as_many_images_of_each_person(written: Path) -> None:
    train, _ = persons.read(written, size=SIZE)
    few = persons.Persons([shot for shot in train.shots if shot.person < 3 or shot.camera == 1], SIZE, training=True)
    for batch in Identities(4).batches(few, 12, seed=1, epoch=2):
        people = [few.labels[i] for i in batch]
        assert sorted(people) == [0] * 4 + [1] * 4 + [2] * 4
        assert len({i for i in batch if few.labels[i] == 2}) == SHOTS  # fewer than K, drawn again
