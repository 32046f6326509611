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
        ({"compatibility": "additive"}, "compatibility='additive': 'parametrised' or 'dot'"),
        ({"project": "both"}, "project='both': 'local' or 'global'"),
        ({"combine": "mean"}, "combine='mean': 'concat' or 'independent'"),
    ],
)
def test_wrong_arguments_are_named(wrong, says):
    with pytest.raises(ValueError, match=says):
        create("attention_vgg", **wrong)


SMALL = {"classes": 3, "widths": (2, 3, 4, 5, 6, 7)}


@pytest.mark.parametrize("project", ["local", "global"])
@pytest.mark.parametrize("compatibility", ["parametrised", "dot"])
def test_compatibilities_are_those_of_their_equations(compatibility, project):
    torch.manual_seed(0)
    arguments = {"compatibility": compatibility, "project": project, "return_compatibility": True, **SMALL}
    network = create("attention_vgg", 1, **arguments).double().eval()
    x = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    seen = {}
    for name in ("early", "middle", "late", "join"):
        getattr(network, name).register_forward_hook(lambda _, __, y, name=name: seen.__setitem__(name, y))
    scores, *compatibilities = network(x)
    descriptors = []
    for attention, name, found in zip(network.attentions, ("early", "middle", "late"), compatibilities, strict=True):
        local, g = seen[name].flatten(2), seen["join"].flatten(1)
        if project == "local":
            local = attention.project.weight @ local
        else:
            g = g @ attention.project.weight.T
        if compatibility == "dot":
            c = torch.einsum("bcn,bc->bn", local, g)
        else:
            c = torch.einsum("bcn,c->bn", local + g[..., None], attention.score.weight[0])
        torch.testing.assert_close(found.flatten(1), c)
        descriptors.append(torch.einsum("bcn,bn->bc", local, c.softmax(1)))
    torch.testing.assert_close(scores, network.classify(torch.cat(descriptors, 1)))


def test_independent_classifiers_average_their_probabilities():
    torch.manual_seed(0)
    network = create("attention_vgg", 1, combine="independent", **SMALL).double().eval()
    heard = []
    for classify in network.classify:
        classify.register_forward_hook(lambda _, __, y: heard.append(y.softmax(1)))
    x = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    scores = network(x)
    assert len(heard) == 3 and scores.shape == (2, 3)
    torch.testing.assert_close(scores.exp(), sum(heard) / 3)
    torch.testing.assert_close(scores.softmax(1), scores.exp())
    for i in range(3):  # each classifier has its own layer alone
        before = network.classify[i].weight.clone()
        torch.nn.init.zeros_(network.classify[i].weight)
        assert not torch.allclose(network(x), scores)
        network.classify[i].weight.data.copy_(before)
    assert create("attention_vgg", 1, combine="independent", attend=None, **SMALL)(x.float()).shape == (2, 3)


@pytest.mark.parametrize("compatibility", ["parametrised", "dot"])
def test_only_the_dot_product_trains_what_makes_the_global_vector(compatibility):
    torch.manual_seed(0)
    network = create("attention_vgg", 1, compatibility=compatibility, **SMALL).double()
    network(torch.randn(2, 1, 32, 32, dtype=torch.float64)).square().sum().backward()
    largest = max(parameter.grad.abs().max() for parameter in network.join.parameters())
    assert (largest > 1e-6) == (compatibility == "dot")


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
