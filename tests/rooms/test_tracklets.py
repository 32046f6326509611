"""Tracklets in MARS's layout, and augmentations that change image and masks alike."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat
from torch import Generator

from regard.data import pedestrian_files, tracklets
from regard.data.augmenting import InTurn, Mirror
from regard.data.batches import as_sample, collate
from regard.data.drawn_persons import drawn
from regard.data.person_augmenting import Erase, Shift

SIZE, FRAMES, CAMERAS = (32, 16), 8, 6


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracklets") / "drawn"
    pedestrian_files.write_tracklets(
        folder, train=1, test=1, frames=FRAMES, tracklets=2, distractors=2, junk=1, size=SIZE, seed=3
    )
    return folder


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def test_rows_of_the_tables_become_training_query_and_gallery(written: Path) -> None:
    train, test = tracklets.read(written, size=SIZE, frames=4)
    assert tracklets.found(written)
    assert (len(train), len(test.query), len(test.gallery)) == (2 * CAMERAS, CAMERAS, CAMERAS + 2)
    assert train.labels == [0] * 12 and train.people == (1,) and test.query.labels == [2] * 6
    assert sorted(test.gallery.labels) == [0, 0] + [2] * 6 and test.junk == 1
    assert train.cameras[:4] == [1, 1, 2, 2] and train.names[1] == "0001C1T0002F001.jpg"
    batch = collate([test[0], test[len(test) - 1]])
    assert batch["image"].shape == (2, 3, 4, *SIZE) and batch["query"].tolist() == [1, 0]


def test_a_sample_has_one_frame_of_each_part(written: Path) -> None:
    train, _ = tracklets.read(written, size=SIZE, frames=4)
    whole, _ = tracklets.read(written, size=SIZE, frames=FRAMES)
    sample, every = as_sample(train[1]), whole[1]["image"]
    assert torch.equal(sample["image"], every[:, [1, 3, 5, 7]])  # the middle of 0 1 | 2 3 | 4 5 | 6 7
    augment = tracklets.Chosen()
    seen = set()
    for seed in range(6):
        clip = augment(sample, Generator().manual_seed(seed))["image"]
        chosen = [int((every - clip[:, t : t + 1]).abs().sum((0, 2, 3)).argmin()) for t in range(4)]
        assert [frame // 2 for frame in chosen] == [0, 1, 2, 3]
        seen.add(tuple(chosen))
    assert len(seen) > 2
    twelve, _ = tracklets.read(written, size=SIZE, frames=12)
    assert twelve[1]["image"].shape == (3, 12, *SIZE)  # frames of a shorter tracklet are repeated


def test_what_is_wrong_is_said_with_the_file(copied: Path) -> None:
    table = copied / "info" / "tracks_test_info.mat"
    rows = loadmat(table)["track_test_info"]
    for wrong, message in (
        (rows[:, :3], "rows of first and last frame, person and camera"),
        (rows + np.array([0, 999, 0, 0]), r"tracks_test_info\.mat row 1: frames 1 to 1007 of 120"),
        (
            rows + np.array([0, 0, 1, 0]),
            r"row 1: person 3 under camera 1, and its frame 0002C1T0001F001\.jpg is of another",
        ),
    ):
        savemat(table, {"track_test_info": wrong})
        with pytest.raises(ValueError, match=message):
            tracklets.read(copied)
    savemat(table, {"track_test_info": rows})
    savemat(copied / "info" / "query_IDX.mat", {"query_IDX": [[16.0]]})
    with pytest.raises(ValueError, match=r"query_IDX\.mat: 16 is no row of tracks_test_info\.mat, which has 15"):
        tracklets.read(copied)
    lost = copied / "bbox_train" / "0001" / "0001C2T0001F003.jpg"
    lost.unlink()
    with pytest.raises(ValueError, match=r"0001C2T0001F003\.jpg: no such image, which train_name\.txt lists"):
        tracklets.read(copied)
    listing = copied / "info" / "train_name.txt"
    listing.write_text("0001C1T0001F001.jpg\nholiday.jpg\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"train_name\.txt line 2: 'holiday\.jpg': a name as 0001C1T0001F001\.jpg"):
        tracklets.read(copied)


def test_other_counts_than_the_published_ones_are_told(copied: Path) -> None:
    with pytest.warns(UserWarning, match=r"MARS has 8,298 \+ 1,980 \+ 9,330 as published, and here 12 \+ 6 \+ 8"):
        tracklets.read(copied.rename(copied.with_name("MARS")))


def test_image_and_masks_are_moved_and_erased_alike() -> None:
    """The masks of a sample whose image is its own masks stay those of the image."""
    masks = (torch.rand(3, 24, 12, generator=Generator().manual_seed(1)) > 0.5).float()
    augment = InTurn(Shift(1.0), Mirror(), Erase(1.0))
    changed = 0
    for seed in range(5):
        sample = augment({"image": masks, "parts": masks, "region": masks[0] > 0}, Generator().manual_seed(seed))
        torch.testing.assert_close(sample["image"], sample["parts"])
        assert sample["image"].shape == (3, 24, 12)
        changed += not torch.equal(sample["image"], masks)
    assert changed == 5


def test_a_rectangle_gets_the_colour_in_every_frame() -> None:
    clip = torch.rand(3, 4, 24, 12)
    sample = Erase(1.0, fill=(0.1, 0.2, 0.3))({"image": clip}, Generator().manual_seed(2))
    inside = (sample["image"] != clip).any(0)
    assert torch.equal(inside[0], inside[3]) and 0.02 * 288 <= inside[0].sum() <= 0.5 * 288
    torch.testing.assert_close(
        sample["image"][:, 2][:, inside[2]].T, torch.tensor([[0.1, 0.2, 0.3]]).expand(int(inside[2].sum()), -1)
    )
    assert torch.equal(Erase(0.0)({"image": clip}, Generator())["image"], clip)
    assert Shift(1.0)({"image": clip}, Generator().manual_seed(1))["image"].shape == clip.shape
    with pytest.raises(ValueError, match=r"least=0\.5"):
        Erase(least=0.5, most=0.4)


def test_drawn_persons_are_those_that_are_written(written: Path) -> None:
    train, test = drawn(train=1, test=1, frames=FRAMES, size=SIZE, seed=3, occlusion=0.5)
    read, read_test = tracklets.read(written, size=SIZE, frames=FRAMES)
    assert (train.labels, train.cameras) == (read.labels, read.cameras)
    assert (test.query.labels, test.query.cameras) == (read_test.query.labels, read_test.query.cameras)
    assert (train[3]["image"] - read[3]["image"]).abs().mean() < 0.05  # of a JPEG
    assert train[3]["parts"].shape == (FRAMES, 4, *SIZE) and train[3]["region"].shape == (FRAMES, *SIZE)
    assert train.digest != drawn(train=1, test=1, frames=FRAMES, size=SIZE, seed=4)[0].digest
