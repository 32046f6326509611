"""Recipes for segmentation: plans as released, folders of label maps, the tiny variants, and runs that go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from regard.catalog import recipes
from regard.cli import completion, main
from regard.data.batches import as_sample
from regard.data.far_cue import FarCue
from regard.tasks.inference import Inference
from regard.tasks.segment import Segment
from regard.training import running, segmentation
from regard.training.claims import judged
from regard.training.plan import learning_rate, optimizer
from regard.training.recipe import Recipe, built

NAMES = ("danet", "ccnet", "annet", "ocrnet", "gcnet", "fcn")
CLASSES = ("sky", "road", "tree")


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def scenes(root: Path) -> Path:
    """Five images of two sizes in the plain layout, with three classes and void."""
    random = np.random.default_rng(0)
    for i in range(5):
        size = (29, 37) if i % 2 else (41, 31)
        for folder, pixels in (
            ("images", random.integers(256, size=(*size, 3), dtype=np.uint8)),
            ("labels", random.choice(np.array([0, 1, 2, 255], np.uint8), size=size)),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / folder / f"{i}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes(tmp_path_factory.mktemp("scenes"))


def made(name: str, data: Path | None = None, *, tiny: bool = False, **options: Any) -> Recipe:
    return built(recipes.get(name), data, tiny=tiny, options=options)


def task_of(recipe: Recipe) -> Segment:
    task = recipe.phases[0].task
    assert isinstance(task, Segment)
    return task


# Plans


@pytest.mark.parametrize(
    ("name", "network", "epochs", "batch", "lr", "decay", "crop", "weights"),
    [
        ("danet", None, 240, 8, 0.002, 1e-4, (768, 768), (1.0, 1.0, 1.0)),
        ("ccnet", None, 60_000, 8, 0.01, 1e-4, (769, 769), (1.0, 0.4)),
        ("annet", None, 60_000, 8, 0.01, 5e-4, (769, 769), (1.0, 0.4)),
        ("ocrnet", None, 40_000, 8, 0.01, 5e-4, (769, 769), (1.0, 0.4)),
        ("ocrnet", "ocrnet_hrnet_w48", 484, 12, 0.01, 5e-4, (512, 1024), (1.0, 0.4)),
        ("gcnet", None, 80_000, 8, 0.01, 5e-4, (512, 1024), (1.0, 0.4)),
        ("fcn", "fcn_resnet101", 30, 32, 0.02, 1e-4, (480, 480), (1.0, 0.5)),
    ],
)
def test_plans_are_those_of_the_authors(
    data: Path,
    name: str,
    network: str | None,
    epochs: int,
    batch: int,
    lr: float,
    decay: float,
    crop: tuple[int, int],
    weights: tuple[float, ...],
) -> None:
    """Four training images make one step an epoch, so that steps are epochs."""
    recipe = made(name, data, **({} if network is None else {"network": network}))
    plan = recipe.phases[0].plan
    assert (plan.epochs, plan.batch_size, plan.lr, plan.weight_decay) == (epochs, batch, lr, decay)
    assert (plan.optimizer, plan.options, plan.decays) == ("sgd", {"momentum": 0.9, "nesterov": False}, {"*": 1.0})
    assert learning_rate(plan, 250, 1000) == pytest.approx(lr * 0.75**0.9) and plan.schedule.every == "step"
    assert plan.augment is not None
    drawn = plan.augment(as_sample(recipe.train[0]), torch.Generator().manual_seed(0))
    assert drawn["image"].shape == (3, *crop) and drawn["mask"].shape == crop
    assert (drawn["mask"][-1] == 255).all() and drawn["image"][0, -1, -1] == pytest.approx(0.45)
    assert task_of(recipe).weights == weights and recipe.class_names == task_of(recipe).names == CLASSES


def test_steps_are_whole_epochs() -> None:
    training = segmentation.Training(lr=0.1, weight_decay=0, batch=8, crop=(7, 7), steps=60_000, where="here")
    assert training.passes(2975) == 161 and training.passes(8) == 60_000 and training.passes(10**6) == 1
    for given in ({}, {"epochs": 1, "steps": 1}):
        with pytest.raises(ValueError, match="one of them is needed"):
            segmentation.Training(lr=0.1, weight_decay=0, batch=8, crop=(7, 7), where="here", **given)


def test_new_layers_learn_ten_times_as_fast(data: Path) -> None:
    """The head of DANet and the auxiliary head of the plain network, as released."""
    for name, fast in (("danet", "head."), ("fcn", "auxiliary.")):
        model = made(name, tiny=True).build()
        groups = optimizer(model, made(name, data).phases[0].plan).param_groups
        rates = {id(parameter): group["rate"] for group in groups for parameter in group["params"]}
        for key, parameter in model.named_parameters():
            assert rates[id(parameter)] == (10.0 if key.startswith(fast) else 1.0), key


def test_options_change_windows_inference_and_the_loss(data: Path) -> None:
    recipe = made("ccnet", data, image_size=23, window=32, scales=[0.75, 1], mirror=True, ohem=True)
    assert task_of(recipe).inference == Inference(window=32, scales=(0.75, 1), mirror=True)
    assert task_of(recipe).hard == 0.7 and task_of(recipe).keep == 100_000
    drawn = recipe.phases[0].plan.augment(as_sample(recipe.train[0]), torch.Generator().manual_seed(0))
    assert drawn["image"].shape == (3, 23, 23)
    assert task_of(made("danet", data)).inference == Inference(window=768), "as the authors' number"
    assert task_of(made("danet", data, window=0)).inference == Inference()
    other = made("danet", data, backbone="test_resnet")
    assert other.build.keywords["backbone"] == "test_resnet"  # type: ignore[attr-defined]


def test_the_number_of_the_paper_compares_on_its_data_alone(data: Path) -> None:
    listing = recipes.get("danet")
    claim = judged(listing, made("danet", data))
    assert claim is not None and (claim["measure"], claim["value"]) == ("miou", 0.7993) and not claim["comparable"]
    changed = judged(listing, made("danet", data, backbone="test_resnet", window=0))
    assert changed is not None and changed["reason"] == "the paper has another backbone, another inference"
    assert judged(recipes.get("gcnet"), made("gcnet", data)) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "fcn_resnet50"}, "network='fcn_resnet50': 'ocrnet_resnet101' or 'ocrnet_hrnet_w48' is needed"),
        ({"image_size": 0}, "image_size=0"),
        ({"window": -1}, "window=-1"),
        ({"scales": []}, r"scales=\(\): at least one value"),
        ({"mirror": "yes"}, "mirror='yes'"),
        ({"ohem": 1}, "ohem=1"),
        ({"depth": 50}, "depth=50 is no option of the recipe ocrnet: its options are network, backbone, image_size"),
    ],
)
def test_wrong_options_are_named(data: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made("ocrnet", data, **options)


def test_what_the_tiny_variant_does_not_take_is_named() -> None:
    for options, message in (({"backbone": "resnet18"}, "backbone='resnet18'"), ({"image_size": 64}, "image_size=64")):
        with pytest.raises(ValueError, match=message + ": None is needed for the tiny variant"):
            made("danet", tiny=True, **options)
    for name in NAMES:
        with pytest.raises(ValueError, match=r"data=None: a folder .* is needed \(--data\); --tiny trains on drawn"):
            made(name)


# First weights


class Small(nn.Module):
    """A trunk and a classifier, with `start_from` as the segmenter has it."""

    def __init__(self, classes: int = 3, width: int = 5) -> None:
        super().__init__()
        self.trunk, self.classify = nn.Conv2d(3, width, 1), nn.Conv2d(width, classes, 1)

    def start_from(self, state: dict[str, Tensor] | None) -> None:
        self.trunk.load_state_dict({key: torch.ones_like(value) for key, value in self.trunk.state_dict().items()})


def test_it_starts_from_the_published_trunk_or_from_the_same_network() -> None:
    model, other = Small(), Small(classes=7)
    head = model.classify.weight.clone()
    segmentation.start(model, other.state_dict())
    assert model.trunk.weight.equal(other.trunk.weight), "the trunk is loaded"
    assert model.classify.weight.equal(head), "the classifier has other classes"
    same = Small()
    segmentation.start(model, same.state_dict())
    assert model.classify.weight.equal(same.classify.weight)
    segmentation.start(model, None)
    assert (model.trunk.weight == 1).all()
    with pytest.raises(ValueError, match="does not fit; weights of the same network are needed"):
        segmentation.start(model, Small(width=6).state_dict())
    state = same.state_dict()
    del state["trunk.bias"]
    with pytest.raises(ValueError, match=r"trunk\.bias is in one of both only"):
        segmentation.start(model, state)


# Runs


@pytest.mark.parametrize("name", ["danet", *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])])
def test_every_recipe_has_a_tiny_variant(name: str) -> None:
    recipe = made(name, tiny=True)
    assert isinstance(recipe.train, FarCue) and recipe.start is None
    model = recipe.build().eval()
    assert sum(parameter.numel() for parameter in model.parameters()) < 10**6
    image = as_sample(recipe.test[0])["image"][None]
    with torch.no_grad():
        assert task_of(recipe).inference(model, image).shape == (1, 4, 32, 32)


@pytest.fixture(scope="module")
def drawn() -> list[object]:
    """The training scenes of the tiny variants, drawn once for all."""
    train = made("fcn", tiny=True).train
    return [train[i] for i in range(len(train))]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_tiny_variant_finds_the_marker(name: str, drawn: list[object], tmp_path: Path) -> None:
    """A network that sees each region but not its marker gives each of three classes at random, an mIoU of 0.4.

    Of trunks that see the whole scene the plain one needs no attention here, so that no head has to be ahead of it;
    docs/far_cue.md compares heads on a trunk that does not.
    """
    listing, recipe, found = recipes.get(name), made(name, tiny=True), []
    assert isinstance(recipe.train, FarCue) and recipe.train.digest == made("fcn", tiny=True).train.digest
    for seed in range(3):
        result = running.train(listing, replace(recipe, train=drawn), out=tmp_path / str(seed), seed=seed)
        found.append(result["scores"]["miou"])
    again = running.evaluate(recipe, running.load(recipe, tmp_path / "2"))
    assert again == result["scores"], "the saved weights are those that were scored"
    assert sum(found) / 3 > 0.6, found


def test_a_network_that_does_not_see_the_marker_has_an_miou_of_four_tenths() -> None:
    """The baseline of the tiny variants, on their test scenes."""
    recipe, generator = made("fcn", tiny=True), torch.Generator().manual_seed(0)
    metric = task_of(recipe).metric()
    for i in range(len(recipe.test)):
        truth = as_sample(recipe.test[i])["mask"]
        guess = int(torch.randint(1, 4, (), generator=generator))
        metric.update([(truth > 0) * guess], [truth])
    assert metric.compute()["miou"] == pytest.approx(0.4, abs=0.05)


@pytest.mark.slow
def test_a_network_is_trained_and_scored_on_a_folder_of_images(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run folder remembers the options; validation images of two sizes are scored in their own."""
    out = tmp_path / "run"
    words = ("--random", "--backbone", "test_resnet", "--image-size", 24, "--epochs", 2, "--out", out)
    assert run("train", "ccnet", "--data", data, *words) == 0
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert result["claim"]["comparable"] is False
    assert set(result["scores"]) >= {"miou", "image_miou", "pixel_accuracy", *(f"iou/{name}" for name in CLASSES)}
    assert running.recorded(out) == ("ccnet", False, {"backbone": "test_resnet", "image_size": 24})
    capsys.readouterr()
    assert run("eval", "--weights", out, "--data", data) == 0
    assert f"miou: {result['scores']['miou']:.4g}" in capsys.readouterr().out
    assert run("eval", "--weights", out, "--data", data, "--window", 24, "--scales", "0.75,1", "--mirror") == 0
    assert run("eval", "--weights", out, "--data", data, "--scales", "big") == 1
    assert "--scales='big': numbers with commas between them are accepted" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_a_stopped_training_goes_on_bit_by_bit(data: Path, tmp_path: Path) -> None:
    """Augmentation, poly rates and batch norms included; stopped in the middle of an epoch."""
    listing = recipes.get("danet")

    def train(folder: Path, stop: int | None = None) -> dict[str, Any]:
        def on_step(step: int, steps: int, loss: float) -> None:
            if step == stop:
                raise KeyboardInterrupt

        recipe = made("danet", data, backbone="test_resnet", image_size=24, window=0)
        changes = {"epochs": 3, "batch_size": 2}
        return running.train(listing, recipe, out=folder, changes=changes, random=True, on_step=on_step)

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", stop=3)
    resumed = train(tmp_path / "parts")
    assert resumed["scores"] == whole["scores"]
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert one == other


def test_the_shell_offers_the_names_of_segmentation_networks() -> None:
    assert completion.networks("danet") == ["danet_resnet101"]
    assert "se_resnet50" in completion.networks("se_")
