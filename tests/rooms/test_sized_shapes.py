"""Drawn shapes of three sizes: what a scene holds, and that it is a function of its seed and number."""

from __future__ import annotations

import pytest
import torch

from regard.data.sized_shapes import CLASSES, COUNTS, DIAMETERS, GREYS, SIDE, SizedShapes


def test_a_scene_has_objects_of_three_sizes_that_do_not_touch() -> None:
    scenes = SizedShapes(11, seed=3)
    sizes, classes = set(), set()
    for i in range(len(scenes)):
        scene = scenes[i]
        assert scene["image"].shape == (3, SIDE, SIDE)
        assert scene["image"].min() >= 0 and scene["image"].max() <= 1
        number = int(scene["object"].max())
        assert 1 <= number <= sum(COUNTS)
        for one in range(1, number + 1):
            of = scene["object"] == one
            (diameter,), (label,) = scene["diameter"][of].unique().tolist(), scene["mask"][of].unique().tolist()
            rows, columns = of.any(1).sum(), of.any(0).sum()
            assert max(rows, columns) == diameter
            assert any(least <= diameter <= most for least, most in DIAMETERS)
            wide = torch.nn.functional.max_pool2d(of[None].float(), 3, 1, 1)[0] > 0
            assert set(scene["object"][wide].tolist()) <= {0, one}
            sizes.add(diameter)
            classes.add(label)
        background = scene["object"] == 0
        assert not scene["mask"][background].any()
        mean = scene["image"][:, background].mean(1)
        assert GREYS[0] - 0.02 < mean.min() and mean.max() < GREYS[1] + 0.02 and mean.max() - mean.min() < 0.02
    assert min(sizes) <= DIAMETERS[2][1] and max(sizes) >= DIAMETERS[0][0]
    assert classes == set(range(1, len(CLASSES)))


def test_the_area_says_the_shape() -> None:
    shares = {name: [] for name in CLASSES}
    scenes = SizedShapes(13, seed=5)
    for scene in (scenes[i] for i in range(len(scenes))):
        for one in range(1, int(scene["object"].max()) + 1):
            of = scene["object"] == one
            name = CLASSES[int(scene["mask"][of][0])]
            shares[name].append(float(of.sum()) / int(scene["diameter"][of][0]) ** 2)
    assert set(shares["square"]) == {1.0}
    assert all(0.7 < share < 0.95 for share in shares["disc"])
    assert all(0.45 < share < 0.7 for share in shares["triangle"])


def test_a_scene_is_a_function_of_seed_and_number() -> None:
    scene = SizedShapes(7, seed=2)[5]
    for same in (SizedShapes(7, seed=2)[5], SizedShapes(11, seed=2)[5], SizedShapes(7, seed=2)[-2]):
        assert all(torch.equal(scene[name], same[name]) for name in scene)
    assert not torch.equal(scene["image"], SizedShapes(7, seed=3)[5]["image"])
    with pytest.raises(IndexError, match="scene 7 of 7"):
        SizedShapes(7)[7]
    with pytest.raises(ValueError, match="count=0: a whole number of at least 1"):
        SizedShapes(0)
