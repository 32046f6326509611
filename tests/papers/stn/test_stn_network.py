"""Rotated digits, and the classifier that turns them upright."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator

from regard import create
from regard.catalog import recipes
from regard.data.rotating import Rotate
from regard.training import running
from regard.training.recipe import built


def test_ink_turns_about_the_middle_by_no_more_than_the_angle():
    image = torch.zeros(1, 5, 5)
    image[0, 0, 2] = 1.0  # ink above the middle
    seen = []
    for seed in range(60):
        turned = Rotate(90, 9)(image, Generator().manual_seed(seed))[0]
        assert turned.shape == (9, 9)
        y, x = torch.meshgrid(torch.arange(9.0) - 4, torch.arange(9.0) - 4, indexing="ij")
        mass = turned.sum()
        seen.append(math.degrees(math.atan2(float((x * turned).sum() / mass), -float((y * turned).sum() / mass))))
    assert all(-95 < angle < 95 for angle in seen)
    assert min(seen) < -60
    assert max(seen) > 60
    assert torch.equal(Rotate(0, 5)(image, Generator()), image)


def test_what_cannot_be_rotated_is_named():
    with pytest.raises(ValueError, match="degrees=200"):
        Rotate(200, 9)
    with pytest.raises(ValueError, match="canvas=4: at least"):
        Rotate(90, 4)(torch.zeros(1, 5, 5), Generator())


def test_with_the_transformer_at_the_identity_it_is_the_network_without():
    torch.manual_seed(0)
    with_it = create("stn_classifier", 1, grid=(24, 24)).eval()
    without = create("stn_classifier", 1, grid=(24, 24), transform=None).eval()
    without.load_state_dict({k: v for k, v in with_it.state_dict().items() if not k.startswith("transform.")})
    x = torch.randn(3, 1, 24, 24)
    torch.testing.assert_close(with_it(x), without(x))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"grid": (15, 28)}, "at least 16"),
        ({"grid": (17, 28)}, "at least 18"),
        ({"widths": (3,)}, "2 values are needed"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"transform": "perspective"}, "perspective"),
    ],
)
def test_wrong_arguments_are_named(wrong, says):
    with pytest.raises(ValueError, match=says):
        create("stn_classifier", **wrong)


@pytest.mark.slow
def test_the_tiny_variant_learns_and_a_finished_run_is_not_trained_again(tmp_path):
    def never(*_):
        raise AssertionError("it was trained again")

    listing = recipes.get("stn-rotated")
    recipe = built(listing, tiny=True)
    result = running.train(listing, recipe, out=tmp_path, changes={"epochs": 3})
    assert result["scores"]["error"] < 60  # 90 by chance
    again = running.train(listing, recipe, out=tmp_path, changes={"epochs": 3}, on_step=never)
    assert again["scores"] == result["scores"]
