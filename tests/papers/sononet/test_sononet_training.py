"""The attention VGG and the gated Sononet: sizes, wrong arguments, the sum of several heads, the twins."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from regard import create, watch
from regard.catalog import recipes
from regard.tasks.several_heads import SeveralHeads, together
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
    ("name", "wrong", "says"),
    [
        ("attention_vgg", {"attend": "between"}, "between"),
        ("attention_vgg", {"widths": (1, 2)}, "6 widths"),
        ("attention_vgg", {"grid": (31, 32)}, "at least 32"),
        ("attention_vgg", {"attend": None, "return_compatibility": True}, "attend="),
        ("gated_sononet", {"feature_scale": 65}, "at most 64"),
        ("gated_sononet", {"convolutions": (1, 2)}, "5 counts"),
        ("gated_sononet", {"aggregation": "vote"}, "vote"),
        ("wide_resnet", {"depth": 12}, r"6 n \+ 4"),
        ("wide_resnet", {"width": 0.01}, "1/16"),
    ],
)
def test_wrong_arguments_are_named(name, wrong, says):
    with pytest.raises(ValueError, match=says):
        create(name, **wrong)


def test_every_head_learns_and_their_mean_answers():
    class Fixed(nn.Module):
        def forward(self, x):
            return x, -x

    logits, labels = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]]), torch.tensor([0, 1])
    loss = SeveralHeads(3).loss(Fixed(), logits, labels)
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels) + F.cross_entropy(-logits, labels))
    torch.testing.assert_close(together((logits, -logits)).exp(), (logits.softmax(1) + (-logits).softmax(1)) / 2)

    class Silent(nn.Module):
        def forward(self, x):
            return None

    for wrong in (nn.Identity(), Silent()):
        with pytest.raises(ValueError, match="several heads"):
            SeveralHeads(3).loss(wrong, logits, labels)


def test_sure_heads_answer_finitely_and_in_their_own_precision():
    sure = torch.tensor([[0.0, 200.0, -300.0]])
    torch.testing.assert_close(together((sure, sure)), sure.log_softmax(1))
    assert together((sure.double(), sure.double())).dtype == torch.float64
    assert together((sure.bfloat16(), sure.bfloat16())).dtype == torch.float32


def never(*_):
    raise AssertionError("it was trained again")


@pytest.mark.parametrize(
    ("name", "measure", "chance"), [("ltpa-before", "error", 90.0), ("gated-sononet", "accuracy", 0.1)]
)
def test_the_twins_learn_and_finished_runs_are_not_trained_again(name, measure, chance, tmp_path):
    listing = recipes.get(name)
    recipe = built(listing, tiny=True)
    result = running.train(listing, recipe, out=tmp_path, changes={"epochs": 2})
    score = result["scores"][measure]
    assert score < 0.8 * chance if measure == "error" else score > 2 * chance
    again = running.train(listing, recipe, out=tmp_path, changes={"epochs": 2}, on_step=never)
    assert math.isclose(again["scores"][measure], score)


@pytest.mark.parametrize(("name", "says"), [("ltpa-after", "data_batch_1"), ("gated-sononet", "each class")])
def test_without_a_folder_a_recipe_says_what_it_should_hold(name, says):
    with pytest.raises(ValueError, match=says):
        built(recipes.get(name))
