"""Far cues: what a drawn scene shows, where, and that nothing but the marker tells the class."""

from __future__ import annotations

import pytest
import torch

from regard.data.far_cue import CLASSES, FAR, GAP, FarCue, far_cue
from regard.data.frames import COLOURS


def bounds(mask: torch.Tensor) -> tuple[int, int, int, int]:
    rows, columns = mask.nonzero(as_tuple=True)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_the_marker_shares_no_row_and_no_column_with_its_region_and_is_far() -> None:
    scenes = FarCue(31, 48, seed=3)
    for i in range(len(scenes)):
        region, marker = bounds(scenes[i]["mask"] > 0), bounds(scenes.region(i))
        across = max(region[0] - marker[2], marker[0] - region[2])
        down = max(region[1] - marker[3], marker[1] - region[3])
        assert min(across, down) >= GAP * 48
        assert max(across, down) >= FAR * 48
        assert scenes.region(i).sum() == 6 * 6


def test_the_colour_of_the_marker_is_the_class_and_the_region_is_grey() -> None:
    scenes = FarCue(12, 32, seed=5)
    for i in range(len(scenes)):
        sample = scenes[i]
        label = 1 + i % 3
        assert sample["mask"].unique().tolist() == [0, label]
        marker = sample["image"][:, scenes.region(i)].mean(1)
        distance = [(marker - torch.tensor(colour)).abs().max() for colour in COLOURS]
        assert min(range(3), key=lambda c: distance[c]) == label - 1
        grey = sample["image"][:, sample["mask"] > 0].mean(1)
        assert grey.max() - grey.min() < 0.02
    assert CLASSES == ("ground", "red", "green", "blue")


def test_a_scene_depends_on_its_seed_part_and_index_alone() -> None:
    few, many, test = FarCue(4, seed=2), FarCue(9, seed=2), FarCue(4, seed=2, part=1)
    assert all(torch.equal(few[i]["image"], many[i]["image"]) for i in range(4))
    assert not torch.equal(few[0]["image"], test[0]["image"])
    assert not torch.equal(few[0]["image"], FarCue(4, seed=3)[0]["image"])
    assert few.digest != many.digest != test.digest
    sample = FarCue(1, 17, own=True)[0]
    assert (sample["image"].shape, sample["mask"].dtype) == ((3, 17, 17), torch.uint8)
    assert torch.equal(sample["truth"], sample["mask"])


def test_both_parts_are_described_as_any_dataset_for_segmentation() -> None:
    train, test = far_cue(5, 2, size=20, seed=4)
    assert (len(train), len(test), train.names[4], test.names[1]) == (5, 2, "train scene 4", "test scene 1")
    assert (train.classes, len(train.colours), train[3]["image"].shape) == (CLASSES, 4, (3, 20, 20))
    with pytest.raises(IndexError, match="index 5 is out of range: there are 5 scenes"):
        train[5]
    with pytest.raises(ValueError, match="size=15"):
        FarCue(1, 15)
