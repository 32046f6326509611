"""The attention VGG: its size, where its attention sits, wrong arguments, and its recipes."""

from __future__ import annotations

import math

import pytest
import torch

from regard import create, watch
from regard.catalog import recipes
from regard.training import running
from regard.training.recipe import built


def test_the_papers_network_has_as_many_parameters_as_published():
    with torch.device("meta"):
        network = create("attention_vgg", classes=100)
    assert sum(parameter.numel() for parameter in network.parameters()) == 19_993_764


@pytest.mark.parametrize(("attend", "sizes"), [("before", (32, 16, 8)), ("after", (16, 8, 4))])
def test_attention_sits_before_or_after_the_poolings(attend, sizes):
    network = create("attention_vgg", 1, classes=3, widths=(2, 3, 4, 5, 5, 6), attend=attend).eval()
    with watch(network) as maps:
        network(torch.randn(2, 1, 32, 32))
    assert [looks[0].shape[-1] for looks in maps.values()] == list(sizes)
    for looks in maps.values():
        torch.testing.assert_close(looks[0].sum((2, 3)), torch.ones(2, 1))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"attend": "between"}, "between"),
        ({"widths": (1, 2)}, "6 values are needed"),
        ({"grid": (31, 32)}, "at least 32"),
        ({"attend": None, "return_compatibility": True}, "attend="),
    ],
)
def test_wrong_arguments_are_named(wrong, says):
    with pytest.raises(ValueError, match=says):
        create("attention_vgg", **wrong)


def never(*_):
    raise AssertionError("it was trained again")


@pytest.mark.slow
def test_the_tiny_recipe_learns_and_a_finished_run_is_not_trained_again(tmp_path):
    listing = recipes.get("ltpa-before")
    recipe = built(listing, tiny=True)
    result = running.train(listing, recipe, out=tmp_path, changes={"epochs": 2})
    assert result["scores"]["error"] < 72  # 90 by chance
    again = running.train(listing, recipe, out=tmp_path, changes={"epochs": 2}, on_step=never)
    assert math.isclose(again["scores"]["error"], result["scores"]["error"])


def test_without_a_folder_a_recipe_says_what_it_should_hold():
    with pytest.raises(ValueError, match="data_batch_1"):
        built(recipes.get("ltpa-after"))
