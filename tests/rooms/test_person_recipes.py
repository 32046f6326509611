"""Recipes for persons: the trainings as released, what is said without masks, first weights, and the tiny variants."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regard
from regard.catalog import recipes
from regard.data import pedestrian_files, pedestrians
from regard.data.batches import Identities
from regard.data.drawn_persons import DrawnPersons
from regard.tasks.reidentify import Reidentify
from regard.training import persons
from regard.training.claims import judged
from regard.training.evaluate import evaluate
from regard.training.loop import fit
from regard.training.plan import Plan, learning_rate, optimizer
from regard.training.recipe import Recipe, built
from regard.training.schedules import Rising
from regard.training.starting import beginning

NAMES = ("rga", "ianet", "iaunet", "iaunet-video")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("persons") / "drawn"
    pedestrian_files.write_images(folder, train=2, test=1, distractors=1, size=(16, 16))
    return folder


def made(name: str, data: Path | None = None, *, tiny: bool = False, **options: Any) -> Recipe:
    return built(recipes.get(name), data, tiny=tiny, options=options)


def of(recipe: Recipe) -> tuple[Reidentify, Plan]:
    task = recipe.phases[0].task
    assert isinstance(task, Reidentify)
    return task, recipe.phases[0].plan


def test_rga_is_trained_as_released(images: Path) -> None:
    task, plan = of(made("rga", images))
    assert (plan.epochs, plan.batch_size, plan.optimizer, plan.weight_decay) == (600, 64, "adam", 5e-4)
    assert plan.order == Identities(4, once=True)
    rates = [learning_rate(plan, epoch * 3, 1800, 3) for epoch in (0, 10, 20, 79, 80, 360, 599)]
    assert rates == pytest.approx([8e-6, 4.04e-4, 8e-4, 8e-4, 4e-4, 8e-4 / 256, 8e-4 / 256])
    assert (task.place, task.distance, task.margin, task.label_smoothing) == ("before", "euclidean", 0.3, 0.1)
    groups = optimizer(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), plan).param_groups
    assert {group["weight_decay"] for group in groups} == {5e-4}  # of biases and norms too


def test_iaunet_is_trained_as_released(images: Path) -> None:
    task, plan = of(made("iaunet", images))
    rates = [learning_rate(plan, epoch * 3, 180, 3) for epoch in (0, 19, 20, 40, 59)]
    assert rates == pytest.approx([3.5e-4, 3.5e-4, 3.5e-5, 3.5e-6, 3.5e-6])
    assert (task.place, task.distance, task.mask_weight) == ("behind", "cosine", 0.5)
    assert plan.order == Identities(4) and plan.epochs == 60
    assert of(made("iaunet", images, masks=False))[0].mask_weight == 0
    assert of(made("iaunet", images, attention=False))[0].mask_weight == 0  # the baseline has the same plan
    assert of(made("iaunet", images, attention=False))[1] == plan
    assert of(made("ianet", images))[0].mask_weight == 0
    small, plain = (of(made("iaunet", tiny=True, attention=attention))[1] for attention in (True, False))
    assert small == replace(plain, rates=small.rates)  # and of the tiny variant, but for the layers that it lacks


def test_the_papers_number_stands_beside_the_papers_network_alone(images: Path) -> None:
    listing = recipes.get("rga")
    for options in ({"gates": "spatial"}, {"size": [128, 64]}, {"rerank": True}, {"precision": "trapezoid"}):
        told = judged(listing, made("rga", images, **options))
        assert told is not None and told["reason"].startswith("the paper has RGA-SC at 256 × 128"), options
    told = judged(listing, made("rga", images, mirror=True))
    assert told is not None and told["reason"].startswith("24 training and ")  # another dataset than Market-1501


def test_without_masks_it_trains_without_them_and_says_so(images: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(images, tmp_path / "bare", ignore=shutil.ignore_patterns("seg_part4")))
    with pytest.warns(UserWarning, match="there are no masks of parts"):
        recipe = made("iaunet", folder)
    assert of(recipe)[0].mask_weight == 0 and recipe.facts["masks of parts"] is False
    assert made("iaunet", images).facts["masks of parts"] is True


def test_options_and_a_missing_folder_are_named(images: Path) -> None:
    for name, options, message in (
        ("rga", {"gates": "all"}, "gates='all': 'both', 'spatial', 'channel' or 'none'"),
        ("ianet", {"precision": "best"}, "precision='best'"),
        ("iaunet", {"rerank": 1}, "rerank=1"),
        ("rga", {"size": "large"}, "size='large'"),
    ):
        with pytest.raises(ValueError, match=message):
            made(name, images, **options)
    with pytest.raises(ValueError, match=r"bbox_train/, bbox_test/ and info/ as of MARS is needed \(--data\)"):
        made("iaunet-video")


def test_a_rate_rises_by_epochs_and_falls_by_milestones() -> None:
    plan = Plan(epochs=4, lr=2.0, warmup=0.5, schedule=Rising(over=2, start=0.1, at=(3.0,), by=0.5))
    assert [learning_rate(plan, step, 8, 2) for step in range(8)] == pytest.approx(
        [0.2, 0.2, 1.1, 1.1, 2.0, 2.0, 1.0, 1.0]
    )
    with pytest.raises(ValueError, match="start=2"):
        Rising(over=2, start=2, at=(3.0,))


def test_an_epoch_may_show_each_person_once() -> None:
    data = DrawnPersons(pedestrians.Pedestrians(), range(1, 8), range(3), training=True)
    batches = Identities(2, once=True).batches(data, 4, seed=0, epoch=0)
    shown = [sorted(data.labels[i] for i in batch) for batch in batches]
    assert len(batches) == 4 and all(batch[0] == batch[1] < batch[2] == batch[3] for batch in shown)
    assert {label for batch in shown for label in batch} == set(range(7))
    assert len(Identities(2).batches(data, 4, seed=0, epoch=0)) == 7 * 6 * 3 // 4 + 1


def torchvision_names(network: nn.Module) -> dict[str, Tensor]:
    """A state of the trunk by torchvision's names, with a classifier, which is to be left out."""
    names = {"stem.0": "conv1", "stem.1": "bn1", "convs.": "conv", "norms.": "bn", "project": "downsample"}
    state = {"fc.weight": torch.zeros(1000, 9)}
    for key, value in network.state_dict().items():
        if key.startswith(("stem.", "stages.")):
            theirs = key.replace("stages.0", "layer1").replace("stages.1", "layer2")
            for ours, other in names.items():
                theirs = theirs.replace(ours, other)
            for n in (2, 1, 0):  # conv1 to conv3
                theirs = theirs.replace(f".conv{n}.", f".conv{n + 1}.").replace(f".bn{n}.", f".bn{n + 1}.")
            state[theirs] = torch.full_like(value, 0.25)
    return state


def test_the_trunk_starts_from_a_resnet_by_torchvisions_names() -> None:
    network = regard.create("iaunet", classes=5, width=4, blocks=(1, 1))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = torchvision_names(network)
    persons.start(network, state)
    after = network.state_dict()
    for key, value in after.items():
        if key.startswith(("stem.", "stages.")):
            assert (value == 0.25).all() or key.endswith("num_batches_tracked"), key
        else:
            assert torch.equal(value, before[key]), key
    with pytest.raises(ValueError, match=r"layer2\.0\.conv3\.weight is missing"):
        persons.start(network, {key: value for key, value in state.items() if key != "layer2.0.conv3.weight"})
    with pytest.raises(ValueError, match=r"conv1\.weight has the shape \(3, 1\)"):
        persons.start(network, {**state, "conv1.weight": torch.zeros(3, 1)})


def test_the_first_weights_are_read_from_a_file(images: Path, tmp_path: Path) -> None:
    network = regard.create("rga_network", classes=2, width=4, blocks=(1, 1), image_size=(32, 16))
    torch.save(torchvision_names(network), tmp_path / "resnet.pth")
    recipe = made("rga", images)
    begins = beginning(recipe, weights=tmp_path / "resnet.pth")
    begins.give(network)
    assert all((value == 0.25).all() for key, value in network.named_parameters() if key.startswith("stages."))
    assert begins.fact is not None and begins.fact.startswith("resnet.pth (")
    with pytest.raises(ValueError, match=r"resnet\.pth'?: conv1\.weight has the shape \(4, 3, 7, 7\)"):
        begins.give(regard.create("rga_network", classes=2, width=6, blocks=(1, 1), image_size=(32, 16)))


def test_the_same_network_starts_without_its_classifier() -> None:
    network, other = (regard.create("ianet", classes=classes, width=4, blocks=(1, 1)) for classes in (5, 7))
    persons.start(network, {key: torch.full_like(value, 0.5) for key, value in other.state_dict().items()})
    assert (network.neck.weight == 0.5).all() and network.classify.weight.shape == (5, 32)
    assert not (network.classify.weight == 0.5).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_step_of_the_tiny_variant_trains_every_parameter(name: str) -> None:
    recipe = made(name, tiny=True)
    task, plan = of(recipe)
    torch.manual_seed(0)
    network = recipe.build()
    before = {key: value.clone() for key, value in network.named_parameters() if value.requires_grad}
    batch = [recipe.train[i] for i in Identities(4).batches(recipe.train, 8, 0, 0)[0]]
    fields = {
        field: torch.stack([torch.as_tensor(sample[field]) for sample in batch])
        for field in ("image", "person", "parts")
    }
    loss, figures = task.loss(network, _Batch(fields))
    loss.backward()
    assert set(figures) == {"entropy", "triplet"} | ({"masks"} if name.startswith("iaunet") else set())
    assert all(parameter.grad is not None for key, parameter in network.named_parameters() if key in before)
    assert plan.batch_size == 32


class _Batch(dict[str, Tensor]):
    @property
    def size(self) -> int:
        return len(self["image"])


class Stripes(nn.Module):
    """The mean colours of four stripes, as a network: what finds a person without learning."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = nn.functional.adaptive_avg_pool2d(x, (4, 1)).flatten(1)
        return found, found, found[:, :1]


@pytest.mark.slow
def test_a_quarter_of_the_tiny_training_finds_persons_far_better_than_their_colours() -> None:
    recipe = made("iaunet", tiny=True)
    task, plan = of(recipe)

    def found(network: nn.Module) -> float:
        return evaluate(network, task, recipe.test, normalise=plan.normalise)["map_hits"]

    by_colour = found(Stripes())
    for seed in range(3):
        torch.manual_seed(seed)
        network = recipe.build()
        fit(network, task, recipe.train, replace(plan, epochs=plan.epochs // 4, seed=seed))
        assert found(network) > 2 * by_colour > 0.2
