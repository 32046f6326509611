"""Augmentation by name: draws from the generator alone, and moves everything that lies on the image."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Generator

from regard.data import load, presets
from regard.data.batches import loader


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def sample(channels: int = 3, height: int = 24, width: int = 40) -> dict:
    image = torch.rand((channels, height, width), generator=seeded(0))
    return {"image": image, "label": 3, "mask": (255 * image[0]).long(), "region": image > 0.5, "name": "a"}


def test_the_names() -> None:
    assert list(presets.PRESETS) == ["none", "light", "timm"] and presets.get("none") is None
    with pytest.raises(ValueError, match="augment='strong': none, light, timm are accepted"):
        presets.get("strong")


@pytest.mark.parametrize("name", ["light", "timm"])
def test_what_is_drawn_follows_the_generator_alone(name: str) -> None:
    augment = presets.get(name)
    image = torch.rand((3, 24, 40), generator=seeded(0))
    given = {"image": image, "label": 3, "name": "a"}
    made = []
    for outside in (0, 1):
        random.seed(outside)
        np.random.seed(outside)  # noqa: NPY002
        torch.manual_seed(outside)
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
        made.append([augment(given, seeded(seed))["image"] for seed in range(6)])
        assert before[0] == random.getstate() and before[1] == np.random.get_state()[1].tolist()  # noqa: NPY002
        assert torch.equal(before[2], torch.get_rng_state())
    assert all(torch.equal(one, other) for one, other in zip(*made, strict=True))
    assert len({float(each.sum()) for each in made[0]}) > 1
    assert torch.equal(given["image"], torch.rand((3, 24, 40), generator=seeded(0))), "the sample is not written into"
    other = augment(given, seeded(0))
    assert (other["label"], other["name"]) == (3, "a") and other["image"].shape == (3, 24, 40)


def test_light_moves_masks_and_regions_with_the_image() -> None:
    given = sample()
    flipped = 0
    for seed in range(12):
        made = presets.light(given, seeded(seed))
        assert torch.equal(made["mask"], (255 * made["image"][0]).long())
        assert torch.equal(made["region"], made["image"] > 0.5)
        places = {
            (down, right, flip)
            for down in range(-3, 4)
            for right in range(-5, 6)
            for flip in (False, True)
            if torch.equal(_by_hand(given["image"], down, right, flip), made["image"])
        }
        assert len(places) == 1
        flipped += next(iter(places))[2]
    assert 0 < flipped < 12


def _by_hand(image: torch.Tensor, down: int, right: int, flip: bool) -> torch.Tensor:
    """Reflected at the borders, cut out `down` and `right` of where it was, mirrored."""
    padded = torch.nn.functional.pad(image[None], (5, 5, 3, 3), mode="reflect")[0]
    cut = padded[:, 3 + down : 3 + down + image.shape[1], 5 + right : 5 + right + image.shape[2]]
    return cut.flip(2) if flip else cut


def test_light_takes_images_of_one_pixel_and_a_sample_without_masks() -> None:
    one = {"image": torch.full((2, 1, 1), 7.0), "mask": None}
    assert torch.equal(presets.light(one, seeded(0))["image"], one["image"])


def test_timm_keeps_the_range_and_grey_images_grey() -> None:
    grey = {"image": torch.rand((1, 24, 40), generator=seeded(0))}
    for seed in range(8):
        made = presets.timm(grey, seeded(seed))["image"]
        assert made.shape == (1, 24, 40) and made.min() >= 0 and made.max() <= 1
    assert "RandAugment" in repr(presets._transform(24, 40)) and "RandomErasing" in repr(presets._transform(24, 40))


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("light", {"image": torch.rand(3, 8, 8), "boxes": torch.zeros(1, 4)}, "cannot transform boxes"),
        ("timm", sample(), "cannot transform mask and region"),
        ("timm", {"image": torch.rand(3, 8, 8) - 1}, r"from -[\d.]+ to -?[\d.e-]+: 1 or 3 channels in 0\.\.1"),
        ("timm", {"image": torch.rand(4, 8, 8)}, r"\(4, 8, 8\)"),
    ],
)
def test_what_a_preset_cannot_move_is_refused(name: str, given: dict, said: str) -> None:
    with pytest.raises(ValueError, match=rf"augment='{name}'.*{said}"):
        presets.get(name)(given, seeded(0))


@pytest.mark.parametrize("name", ["light", "timm"])
def test_one_and_two_processes_read_the_same_augmented_batches(name: str) -> None:
    data = load("digits", image_size=48, train_size=12, test_size=10).train
    keys = [[(0, 3), (0, 7)], [(1, 3), (1, 7)], [(0, 3), (1, 3)]]
    read = [
        [batch["image"] for batch in loader(data, keys, augment=presets.get(name), seed=5, workers=workers)]
        for workers in (0, 1)
    ]
    assert all(torch.equal(one, other) for one, other in zip(*read, strict=True))
    first, second, again = read[0]
    assert not torch.equal(first, second) and torch.equal(again[0], first[0]) and torch.equal(again[1], second[0])
