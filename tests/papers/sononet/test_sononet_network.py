"""The gated Sononet: wrong arguments, the sum of several heads, and its recipe."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from regard import create
from regard.catalog import recipes
from regard.data.batches import Batch
from regard.tasks.several_heads import SeveralHeads, together
from regard.training import running
from regard.training.recipe import built


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"feature_scale": 65}, "at most 64"),
        ({"convolutions": (1, 2)}, "5 values"),
        ({"aggregation": "vote"}, "vote"),
    ],
)
def test_wrong_arguments_are_named(wrong, says):
    with pytest.raises(ValueError, match=says):
        create("gated_sononet", **wrong)


def test_every_head_learns_and_their_mean_answers():
    class Fixed(nn.Module):
        def forward(self, x):
            return x, -x

    logits, labels = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]]), torch.tensor([0, 1])
    batch = Batch(image=logits, label=labels)
    loss, _ = SeveralHeads(3).loss(Fixed(), batch)
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels) + F.cross_entropy(-logits, labels))
    torch.testing.assert_close(together((logits, -logits)).exp(), (logits.softmax(1) + (-logits).softmax(1)) / 2)

    class Silent(nn.Module):
        def forward(self, x):
            return None

    for wrong in (nn.Identity(), Silent()):
        with pytest.raises(ValueError, match="a tuple of the logits"):
            SeveralHeads(3).loss(wrong, batch)


def test_sure_heads_answer_finitely_and_in_their_own_precision():
    sure = torch.tensor([[0.0, 200.0, -300.0]])
    torch.testing.assert_close(together((sure, sure)), sure.log_softmax(1))
    assert together((sure.double(), sure.double())).dtype == torch.float64
    assert together((sure.bfloat16(), sure.bfloat16())).dtype == torch.float32


def never(*_):
    raise AssertionError("it was trained again")


@pytest.mark.slow
def test_the_tiny_recipe_learns_and_a_finished_run_is_not_trained_again(tmp_path):
    listing = recipes.get("gated-sononet")
    recipe = built(listing, tiny=True)
    result = running.train(listing, recipe, out=tmp_path, changes={"epochs": 2})
    assert result["scores"]["accuracy"] > 0.2  # a tenth by chance
    again = running.train(listing, recipe, out=tmp_path, changes={"epochs": 2}, on_step=never)
    assert math.isclose(again["scores"]["accuracy"], result["scores"]["accuracy"])


def test_without_a_folder_a_recipe_says_what_it_should_hold():
    with pytest.raises(ValueError, match="each class"):
        built(recipes.get("gated-sononet"))


def test_the_recipe_on_embedded_digits_takes_no_folder(tmp_path):
    listing = recipes.get("gated-sononet-digits")
    with pytest.raises(ValueError, match=r"data=.*none is needed"):
        built(listing, tmp_path)
    recipe = built(listing, tiny=True)
    assert recipe.class_names == tuple("0123456789") and (len(recipe.train), len(recipe.test)) == (400, 100)
    assert running.describe(recipe).class_names == recipe.class_names
