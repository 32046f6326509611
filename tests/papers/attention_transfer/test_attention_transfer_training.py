"""Attention transfer and distillation as tasks: what they add up to, what learns, and the recipes' tiny variants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from regard.catalog import recipes
from regard.data.batches import Batch
from regard.papers.attention_transfer.mechanism import AttentionTransfer
from regard.papers.attention_transfer.network import WideResNet
from regard.papers.attention_transfer.task import Pair, Teach, Transfer
from regard.papers.distillation.mechanism import Distillation
from regard.training import running
from regard.training.recipe import built

GROUPS = ("groups.0", "groups.1", "groups.2")


def pair() -> Pair:
    torch.manual_seed(0)
    made = Pair(*(WideResNet(2, classes=3, depth=10, width=width) for width in (0.25, 0.5)))
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.2, 0.2)
    return made.eval()


def loss_of(task: Any, model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The task's loss on a batch of images and labels."""
    loss, _ = task.loss(model, Batch(image=images, label=labels))
    return loss


IMAGES = torch.randn(5, 2, 12, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 1, 0])


def groups(network: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    y, found = network.stem(x), []
    for group in network.groups:
        y = group(y)
        found.append(y)
    return found


def test_without_weights_it_is_cross_entropy():
    both = pair()
    loss = loss_of(Transfer(classes=3), both, IMAGES, LABELS)
    torch.testing.assert_close(loss, F.cross_entropy(both.student(IMAGES), LABELS))


def test_activation_transfer_adds_up_over_the_groups():
    both = pair()
    loss = loss_of(Transfer(classes=3, beta=50.0, layers=GROUPS), both, IMAGES, LABELS)
    maps = AttentionTransfer(beta=50.0)(groups(both.student, IMAGES), groups(both.teacher, IMAGES))
    torch.testing.assert_close(loss, F.cross_entropy(both.student(IMAGES), LABELS) + maps)


def test_layers_may_have_different_names_in_student_and_teacher():
    both = pair()
    both.teacher = nn.Sequential(both.teacher)
    named = Transfer(classes=3, beta=50.0, layers=tuple((name, f"0.{name}") for name in GROUPS))
    alike = Transfer(classes=3, beta=50.0, layers=GROUPS)
    torch.testing.assert_close(loss_of(named, both, IMAGES, LABELS), loss_of(alike, pair(), IMAGES, LABELS))


def test_distillation_is_that_of_the_mechanism():
    both = pair()
    loss = loss_of(Transfer(classes=3, alpha=0.7, temperature=2.0), both, IMAGES, LABELS)
    wanted = Distillation(temperature=2.0, alpha=0.7)(both.student(IMAGES), both.teacher(IMAGES), LABELS)
    torch.testing.assert_close(loss, wanted)


def test_gradient_transfer_is_the_mean_over_images_of_the_distance_of_gradients():
    both = pair()
    wanted = F.cross_entropy(both.student(IMAGES), LABELS)
    for i in range(len(IMAGES)):
        x = IMAGES[i : i + 1].clone().requires_grad_()
        mine, its = (
            torch.autograd.grad(F.cross_entropy(network(x), LABELS[i : i + 1]), x)[0]
            for network in (both.student, both.teacher)
        )
        wanted = wanted + 3.0 / 2 * (mine - its).square().sum() / len(IMAGES)
    torch.testing.assert_close(loss_of(Transfer(classes=3, gamma=3.0), both, IMAGES, LABELS), wanted)


@pytest.mark.parametrize("ways", [{"beta": 9.0, "layers": GROUPS}, {"alpha": 0.5}, {"gamma": 2.0}], ids=str)
def test_only_the_student_learns_and_the_teacher_stays_as_it_is(ways):
    both = pair().train()
    for parameter in both.teacher.parameters():
        parameter.requires_grad_(False)
    before = {name: value.clone() for name, value in both.teacher.state_dict().items()}
    loss_of(Transfer(classes=3, **ways), both, IMAGES, LABELS).backward()
    assert all(parameter.grad is not None for parameter in both.student.parameters())
    assert all(parameter.grad is None for parameter in both.teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in both.teacher.state_dict().items())


def test_teaching_trains_the_teacher_alone():
    both = pair()
    loss_of(Teach(3), both, IMAGES, LABELS).backward()
    assert all(parameter.grad is None for parameter in both.student.parameters())
    assert all(parameter.grad is not None for parameter in both.teacher.parameters())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"beta": 1.0}, "layers"),
        ({"layers": GROUPS}, "beta"),
        ({"beta": -1.0, "layers": GROUPS}, "beta=-1"),
        ({"gamma": -2.0}, "gamma=-2"),
        ({"gamma": float("nan")}, "gamma=nan"),
        ({"beta": 1.0, "layers": "stem"}, "layers='stem': a tuple of names"),
        ({"alpha": 2.0}, "alpha=2"),
        ({"distance": "long"}, "long"),
    ],
)
def test_wrong_settings_are_named(wrong, says):
    with pytest.raises(ValueError, match=says):
        Transfer(classes=3, **wrong)


def test_it_wants_a_pair_and_modules_that_are_there():
    with pytest.raises(ValueError, match="Pair"):
        loss_of(Transfer(classes=3), nn.Flatten(), IMAGES, LABELS)
    with pytest.raises(ValueError, match=r"no module 'groups\.7'"):
        loss_of(Transfer(classes=3, beta=1.0, layers=("groups.7",)), pair(), IMAGES, LABELS)


@pytest.mark.slow
def test_the_tiny_variant_learns_and_goes_on_where_it_stopped(tmp_path):
    listing = recipes.get("attention-transfer")
    recipe = built(listing, tiny=True)
    changes = {"epochs": 2}
    result = running.train(listing, recipe, out=tmp_path, changes=changes)
    assert result["scores"]["teacher_error"] < 70  # 90 by chance
    assert result["scores"]["error"] < 80
    again = running.train(listing, recipe, out=tmp_path, changes=changes)  # every phase is done
    assert again["scores"] == result["scores"]


@pytest.mark.parametrize("name", ["transfer-none", "distillation", "gradient-transfer"])
def test_the_other_ways_are_the_same_but_for_the_task(name):
    recipe, other = built(recipes.get(name), tiny=True), built(recipes.get("attention-transfer"), tiny=True)
    assert recipe.phases[0] == other.phases[0]
    assert recipe.phases[1].plan == other.phases[1].plan
    assert recipe.phases[1].task != other.phases[1].task


@pytest.mark.parametrize("name", ["transfer-none", "attention-transfer", "gradient-transfer", "distillation"])
def test_the_page_has_every_recipe_those_that_lose_too(name: str) -> None:
    page = (Path(__file__).parents[3] / "docs" / "transfer.md").read_text(encoding="utf-8")
    assert f"\n| `{name}`" in page
