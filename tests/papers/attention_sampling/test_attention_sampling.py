"""Attention sampling: the patches that are computed, their weights and gradients, and its recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from regard import look, watch
from regard.catalog import recipes
from regard.data import mnist
from regard.ops import hard_attention
from regard.papers.attention_sampling.network import EXPECTATION, AttentionSampling
from regard.saved.opening import open_network
from regard.training import running
from regard.training.recipe import built

SIZES = {"classes": 3, "patch": 6, "stride": 4, "scale": 2, "widths": (4, 5), "attention_width": 3}


def network(hard: str | None, **more: int) -> AttentionSampling:
    torch.manual_seed(0)
    return AttentionSampling(2, hard=hard, **SIZES, **more).double()


def image() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(3, 2, 17, 23, dtype=torch.float64)  # patches at 0, 4, 8 by 0, 4, 8, 12, 16


def one_by_one(model: AttentionSampling, x: Tensor) -> tuple[Tensor, Tensor]:
    """The probabilities `B 15` of all patches, and their features `B 15 F`, each cut out and computed alone."""
    probabilities = model.attention(F.avg_pool2d(x, 2)).flatten(1).softmax(1)
    corners = [(top, left) for top in range(0, 12, 4) for left in range(0, 18, 4)]
    cut = [x[:, :, top : top + 6, left : left + 6] for top, left in corners]
    return probabilities, torch.stack([model.feature(patch).mean((2, 3)) for patch in cut], 1)


def test_soft_attention_is_the_mean_over_every_patch() -> None:
    model, x = network(None), image()
    probabilities, features = one_by_one(model, x)
    assert features.shape == (3, 15, 5)
    torch.testing.assert_close(model(x), model.classify((probabilities[:, None] @ features)[:, 0]))


@pytest.mark.parametrize("hard", [EXPECTATION, *hard_attention.MODES])
def test_in_evaluation_the_likeliest_patches_are_all_that_counts(hard: str) -> None:
    model, x = network(hard, top_k=2).eval(), image()
    probabilities, features = one_by_one(model, x)
    k = 2 if hard in (EXPECTATION, "top-k") else 1
    largest = probabilities.topk(k, 1)
    weights = largest.values / largest.values.sum(1, keepdim=True)
    chosen = features.gather(1, largest.indices[..., None].expand(-1, -1, 5))
    with watch(model) as maps:
        scores = model(x)
    torch.testing.assert_close(scores, model.classify((weights[:, None] @ chosen)[:, 0]))
    (spatial,) = maps["spatial"]
    assert spatial.shape == (3, 1, 17, 23)
    torch.testing.assert_close(spatial.sum((1, 2, 3)), torch.ones(3, dtype=torch.float64))
    top, left = 4 * (largest.indices[0, 0] // 5), 4 * (largest.indices[0, 0] % 5)
    assert (spatial[0, 0, top : top + 6, left : left + 6] > 0).all()
    assert (spatial > 0).sum((1, 2, 3)).max() <= 36 * k


def test_a_hard_choice_computes_one_patch() -> None:
    def operations(hard: str | None, train: bool) -> int:
        model = network(hard, top_k=2).train(train)
        with FlopCounterMode(display=False) as counter:
            model(image())
        return int(counter.get_total_flops())

    with FlopCounterMode(display=False) as counter:
        network(None).feature(torch.zeros(3, 2, 6, 6, dtype=torch.float64))
    patch = counter.get_total_flops()
    soft = operations(None, train=True)
    for mode, train, patches in (
        ("sample", True, 1), ("sample", False, 1), ("argmax", True, 1), ("gumbel", True, 15), ("gumbel", False, 1),
        ("straight-through", True, 15), ("straight-through", False, 1), ("top-k", True, 2), (EXPECTATION, True, 2),
    ):  # fmt: skip
        sums = 2 * 3 * 5 * (15 - patches)  # the weighted sum of the features
        assert soft - operations(mode, train) == (15 - patches) * patch + sums, (mode, train)


def test_the_weights_of_drawn_patches_have_the_mean_and_the_gradient_of_soft_attention() -> None:
    torch.manual_seed(2)
    values, many = torch.randn(7, dtype=torch.float64), 40_000
    logits = torch.randn(7, dtype=torch.float64, requires_grad=True)
    exact = logits.softmax(0) @ values
    (wanted,) = torch.autograd.grad(exact, logits)
    copies = logits.detach().expand(many, -1).clone().requires_grad_()
    place, weights = network(EXPECTATION, top_k=3).train().chosen(copies)
    assert place.shape == weights.shape == (many, 3)
    found = (weights * values[place]).sum(1)
    (gradients,) = torch.autograd.grad(found.sum(), copies)
    for seen, hoped in ((found[:, None], exact[None]), (gradients, wanted)):
        assert ((seen.mean(0) - hoped).abs() < 4 * seen.std(0) / many**0.5).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"patch": 7}, r"patch=7: a multiple of scale=2"),
        ({"stride": 3}, r"stride=3: a multiple of scale=2"),
        ({"hard": "soft"}, "hard='soft': None, 'expectation', 'sample'"),
        ({"top_k": 0}, "top_k=0"),
    ],
)
def test_arguments_that_do_not_fit_say_what_would(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AttentionSampling(2, **{**SIZES, **arguments})  # type: ignore[arg-type]


def test_an_image_smaller_than_a_patch_says_so() -> None:
    with pytest.raises(ValueError, match=r"\(3, 2, 5, 9\): at least patch=6 pixels a side are needed"):
        network(None)(torch.zeros(3, 2, 5, 9, dtype=torch.float64))


@pytest.mark.slow
def test_the_tiny_recipe_opens_from_its_run_folder_and_a_look_draws_its_patch(tmp_path: Path) -> None:
    listing = recipes.get("hard-digits")
    running.train(listing, built(listing, tiny=True), out=tmp_path / "run", changes={"epochs": 1})
    network = open_network(weights=tmp_path / "run").model
    assert isinstance(network, AttentionSampling)
    assert network.choice is not None
    assert network.choice.baseline < 0
    photograph = tmp_path / "photo.png"
    _picture(photograph)
    looks = look(photograph, weights=tmp_path / "run", out=tmp_path / "looks")
    assert looks.pictures[0].is_file()
    assert len(looks.predictions[0][1]) == 3


def _picture(path: Path) -> None:
    from PIL import Image

    Image.fromarray(mnist.embedded().test.greys[0].numpy()).resize((48, 48)).save(path)


class Anywhere(nn.Module):
    """A random logit for every patch."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.own = attention

    def forward(self, x: Tensor) -> Tensor:
        return torch.rand_like(self.own(x))


@pytest.mark.slow
def test_the_chosen_patch_beats_a_random_one_for_three_seeds(tmp_path: Path) -> None:
    """The same network, trained on the same canvases, with a random patch in training and in evaluation."""
    listing = recipes.get("hard-digits")
    recipe = built(listing, tiny=True)
    for seed in (0, 1, 2):
        chosen = running.train(listing, recipe, out=tmp_path / f"{seed}", seed=seed)["scores"]["error"]
        random = _random(recipe, seed)
        assert chosen < random - 20, (seed, chosen, random)


def _random(recipe, seed: int) -> float:
    from dataclasses import replace

    from regard.tasks.classify import Classify
    from regard.training.loop import fit

    torch.manual_seed(seed)
    model = recipe.build()
    model.attention = Anywhere(model.attention)
    fit(model, Classify(10, errors=True), recipe.train, replace(recipe.phases[0].plan, seed=seed))
    return running.evaluate(recipe, model)["error"]
