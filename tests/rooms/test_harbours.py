"""Drawn harbours are functions of their seed, and their labels agree with their boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from regard.data.harbours import ENDS, HULL, LAND, SEA, Harbours


def test_a_harbour_is_a_function_of_seed_part_and_index() -> None:
    first, again = Harbours(count=3, size=64, seed=7), Harbours(count=2, size=64, seed=7)
    assert all(torch.equal(first[1][name], again[1][name]) for name in ("image", "mask", "ships"))
    for other in (Harbours(count=2, size=64, seed=8), Harbours(count=2, size=64, seed=7, part=1)):
        assert not torch.equal(first[1]["image"], other[1]["image"])
    assert not torch.equal(first[0]["image"], first[1]["image"])
    sample = first[2]
    assert sample["image"].shape == (3, 64, 64) and sample["image"].min() >= 0 and sample["image"].max() <= 1
    assert sample["mask"].dtype == torch.uint8 and sample["ships"].shape[1:] == (5,)
    assert "ships" not in Harbours(count=1, size=64, boxes=False)[0]
    with pytest.raises(IndexError, match="index 3 is out of range"):
        first[3]


def test_labels_agree_with_the_boxes() -> None:
    data, seen = Harbours(count=6), 0
    for i in range(len(data)):
        sample = data[i]
        mask = sample["mask"].numpy()
        assert set(np.unique(mask)) <= {ENDS, HULL, SEA, LAND} and {SEA, LAND} <= set(np.unique(mask))
        for x, y, length, width, angle in sample["ships"].tolist():
            seen += 1

            def label(along: float, across: float = 0.0) -> int:
                column = x + along * math.cos(angle) - across * math.sin(angle)  # noqa: B023
                row = y + along * math.sin(angle) + across * math.cos(angle)  # noqa: B023
                return int(mask[math.floor(row), math.floor(column)])  # noqa: B023

            assert [label(share * length) for share in (-0.4, -0.2, 0, 0.2, 0.38)] == [ENDS, HULL, HULL, HULL, ENDS]
            assert label(0, 0.3 * width) == HULL and label(0, width / 2 + 1.2) != HULL
            assert label(-0.42 * length, 0.35 * width) == ENDS, "a stern is as wide as the ship"
            assert label(0.46 * length, 0.4 * width) not in (ENDS, HULL), "a bow is pointed, and lies at the angle"
    assert seen > 10


@pytest.mark.parametrize(("given", "message"), [({"count": 0}, "count=0"), ({"count": 2, "size": 63}, "size=63")])
def test_arguments_out_of_range_are_refused(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Harbours(**given)
