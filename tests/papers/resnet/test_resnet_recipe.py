"""Recipes for classification: the networks known by name, on the layouts of data that they read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from scipy.io import savemat

from regard import catalog, published
from regard.catalog import recipes
from regard.catalog.recipes import trainings
from regard.cli import main
from regard.data.augmenting import Prepared
from regard.data.batches import as_sample
from regard.networks import design
from regard.networks.residual import ResNet
from regard.training import running
from regard.training.claims import judged
from regard.training.classification import USUAL
from regard.training.plan import Plan, learning_rate, optimizer
from regard.training.recipe import Recipe, built
from regard.training.schedules import Steps

CLASSIFY = recipes.get("classify")
NETWORKS = {name: design.find(name) for name in catalog.networks()}
OF_IMAGES = {name: network for name, network in NETWORKS.items() if "T" not in network.backbone.axes}
SYSTEMS = ("paper_network", "residual_attention_network")
LISTINGS = [each for each in recipes.listings() if each.system in SYSTEMS and "clips" not in each.name]


def classify(data: Path | None = None, network: str = "resnet50", *, tiny: bool = False) -> Recipe:
    return built(CLASSIFY, data, tiny=tiny, options={"network": network})


def picture(path: Path, seed: int, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def photographs(root: Path, labels: tuple[str, ...] = ("one", "two", "three")) -> Path:
    for part in ("train", "val"):
        for label in labels:
            for i in range(2):
                picture(root / part / label / f"{i}.png", seed=i)
    return root


def rates(recipe: Recipe) -> list[float]:
    """The learning rate of the first step of each epoch, as a share of 10,000 steps an epoch."""
    plan = recipe.phases[0].plan
    return [learning_rate(plan, epoch * 100, plan.epochs * 100, 100) for epoch in range(plan.epochs)]


# ---- the tiny variants


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.name)
def test_every_recipe_has_a_tiny_variant_and_asks_for_its_data(listing: recipes.Listing) -> None:
    recipe = built(listing, tiny=True)
    assert recipe.build().eval()(recipe.train.images([0, 1])).shape == (2, 10)
    with pytest.raises(ValueError, match="--tiny"):
        built(listing)


def in_small(network: design.Network) -> design.Network:
    """What the tiny variant takes from a network: all but its depth and its published numbers."""
    trunk = network.backbone
    trunk = replace(trunk, blocks=()) if isinstance(trunk, ResNet) else trunk
    return replace(network, backbone=trunk, classes=0, parameters=None, error=None)


def learns(name: str, steps: int) -> tuple[float, float]:
    """The loss of 32 digits before and after some steps of the tiny variant, which move its parameters."""
    recipe = classify(network=name, tiny=True)
    torch.manual_seed(0)
    model = recipe.build()
    images, labels = recipe.train.images(range(32)), torch.tensor(recipe.train.labels[:32])
    learner, losses = optimizer(model, recipe.phases[0].plan), []
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    for _ in range(steps + 1):
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        learner.zero_grad()
        loss.backward()
        learner.step()
        losses.append(loss.item())
    still = [key for key, value in model.named_parameters() if torch.equal(value, before[key])]
    assert len(still) <= 2, still  # the two hidden units of a narrow gate may be dead from the start
    return losses[0], losses[-1]


def test_a_tiny_network_learns_its_digits() -> None:
    first, last = learns("se_resnet20", 9)
    assert last < 0.8 * first


# Of networks that differ in depth alone the tiny variants are one network.
DISTINCT = list({in_small(network): name for name, network in OF_IMAGES.items()}.values())


def test_networks_with_one_tiny_variant_build_the_same() -> None:
    deep, shallow = (classify(network=name, tiny=True).build() for name in ("se_resnet50", "se_resnet152"))
    assert in_small(NETWORKS["se_resnet50"]) == in_small(NETWORKS["se_resnet152"]) and repr(deep) == repr(shallow)
    assert in_small(NETWORKS["se_resnet50"]) != in_small(NETWORKS["se_resnet50_port"])


@pytest.mark.slow
@pytest.mark.parametrize("name", DISTINCT)
def test_every_tiny_network_learns_its_digits(name: str) -> None:
    first, last = learns(name, 30)
    assert last < 0.5 * first


@pytest.mark.slow
def test_the_tiny_variant_learns_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    listing = recipes.get("se-imagenet")
    recipe = built(listing, tiny=True)
    result = running.train(listing, recipe, out=tmp_path, changes={"epochs": 2})
    assert result["scores"]["error"] < 15  # 90 by chance
    again = running.train(listing, recipe, out=tmp_path, changes={"epochs": 2})
    assert again["scores"] == result["scores"]
    assert running.evaluate(recipe, running.load(recipe, tmp_path / "model.safetensors")) == result["scores"]


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


@pytest.mark.slow
def test_a_network_is_trained_scored_and_looked_at_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run folder remembers the network: neither `eval` nor `look` asks for its name."""
    out = tmp_path / "run"
    assert run("train", "classify", "--network", "cbam_resnet18", "--tiny", "--epochs", 1, "--out", out) == 0
    scores = json.loads((out / "result.json").read_text(encoding="utf-8"))["scores"]
    assert running.recorded(out) == ("classify", True, {"network": "cbam_resnet18"})
    capsys.readouterr()
    assert run("eval", "--weights", out) == 0
    assert f"error: {scores['error']:.4g}" in capsys.readouterr().out
    picture(tmp_path / "photo.png", seed=3)
    assert run("look", tmp_path / "photo.png", "--weights", out, "--out", tmp_path / "looks") == 0
    assert [path.suffix for path in (tmp_path / "looks").iterdir()] == [".png"]
    assert run("eval", "classify", "--weights", out, "--tiny", "--network", "se_resnet18") == 1
    assert "'cbam_resnet18', and the recipe has name='se_resnet18'" in " ".join(capsys.readouterr().err.split())


def test_mistakes_in_the_options_are_named() -> None:
    with pytest.raises(LookupError, match=r"cbam_resnet5.*did you mean.*cbam_resnet50"):
        classify(network="cbam_resnet5", tiny=True)
    with pytest.raises(ValueError, match="'nonlocal5_c2d_resnet50' takes clips"):
        classify(network="nonlocal5_c2d_resnet50", tiny=True)
    with pytest.raises(ValueError, match="network='resnet50' is no option of the recipe ram-mnist: it has no options"):
        built(recipes.get("ram-mnist"), tiny=True, options={"network": "resnet50"})
    with pytest.raises(ValueError, match="depth=50 is no option of the recipe classify: its options are network"):
        built(CLASSIFY, tiny=True, options={"depth": 50})
    with pytest.raises(ValueError, match="no option of the recipe se-imagenet"):
        built(recipes.get("se-imagenet"), tiny=True, options={"network": "resnet50"})


# ---- how the authors trained


def test_every_training_is_of_a_network() -> None:
    """Each network has the training of its own label, and each training a network."""
    found = trainings()
    for folder, label in catalog.labels().items():
        for training in getattr(label, "TRAININGS", ()):
            own = [name for name, known in found.items() if known is training]
            assert own, training
            assert {catalog.networks()[name] for name in own} == {folder}
            assert training.where and list(training.falls) == sorted(training.falls)
            assert max(training.falls, default=0) < training.epochs
    assert len(found) == 69


@pytest.mark.parametrize(
    ("name", "epochs", "batch", "expected"),
    [
        ("se_resnet50", 100, 1024, {0: 0.6, 29: 0.6, 30: 0.06, 60: 0.006, 99: 0.0006}),
        ("eca_mobilenetv2", 400, 96, {0: 0.045, 1: 0.0441, 399: 0.045 * 0.98**399}),
        ("gsop_net2", 65, 256, {29: 0.1, 30: 0.01, 45: 0.001, 60: 0.0001}),
        ("fcanet50", 100, 256, {0: 0.1 / 501, 5: 0.1, 99: 0.1 * (1 + np.cos(np.pi * 94 / 95)) / 2}),
    ],
)
def test_rates_fall_as_in_the_release(
    tmp_path: Path, name: str, epochs: int, batch: int, expected: dict[int, float]
) -> None:
    recipe = classify(photographs(tmp_path), name)
    plan = recipe.phases[0].plan
    assert (plan.epochs, plan.batch_size, plan.optimizer) == (epochs, batch, "sgd")
    found = rates(recipe)
    assert {epoch: pytest.approx(rate) for epoch, rate in expected.items()} == {at: found[at] for at in expected}


def test_the_release_decays_every_parameter_and_smooths_its_labels(tmp_path: Path) -> None:
    recipe = classify(photographs(tmp_path), "fcanet34")
    plan = recipe.phases[0].plan
    groups = optimizer(classify(network="fcanet34", tiny=True).build(), plan).param_groups
    assert {(group["weight_decay"], group["momentum"], group["nesterov"]) for group in groups} == {(1e-4, 0.9, False)}
    task: Any = recipe.phases[0].task
    assert task.label_smoothing == 0.1
    assert recipe.facts["training"] == "main.py and launch_training_classification.sh"
    other: Any = classify(tmp_path, "ge_resnet50_theta_minus").phases[0].task
    assert other.label_smoothing == 0


# ---- what the folder holds


def test_a_folder_of_images_is_tested_as_the_papers_test(tmp_path: Path) -> None:
    """The middle 224 pixels of 256, as `Resize(256)` and `CenterCrop(224)` give them."""
    recipe = classify(photographs(tmp_path), "eca_resnet50")
    assert recipe.train[0][0].shape == (3, 256, 256)
    assert len(recipe.train) == len(recipe.test) == 6
    assert recipe.facts["classes"] == 3 and recipe.class_names == ("one", "three", "two")
    test = recipe.test
    assert isinstance(test, Prepared)
    whole = test.data.images([4])[0]  # type: ignore[attr-defined]
    assert torch.equal(as_sample(test[4])["image"], whole[:, 16:240, 16:240])
    assert torch.equal(test.__getitems__([4, 1])[0]["image"], whole[:, 16:240, 16:240])
    described = running.describe(recipe)
    assert described is not None and described.image == (3, 224, 224) and described.arguments["name"] == "eca_resnet50"


@pytest.mark.parametrize(("name", "side"), [("ge_resnet50_theta", 224), ("ge_resnet50_theta", 32)])
def test_a_network_of_one_size_is_built_for_the_size_of_the_images(tmp_path: Path, name: str, side: int) -> None:
    root = photographs(tmp_path) if side == 224 else ten(tmp_path)
    arguments = classify(root, name).build.keywords  # type: ignore[attr-defined]
    assert arguments["image_size"] == (side if side == 224 else (side, side))


def ten(root: Path) -> Path:
    """CIFAR-10's binary files with seven images each."""
    place = root / "cifar-10-batches-bin"
    place.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        rows = random.integers(256, size=(7, 3073), dtype=np.uint8)
        rows[:, 0] = random.integers(10, size=7)
        (place / f"{name}.bin").write_bytes(rows.tobytes())
    (place / "batches.meta.txt").write_text("".join(f"class{i}\n" for i in range(10)) + "\n", encoding="utf-8")
    return root


def test_networks_read_cifar_with_the_training_of_their_own_data(tmp_path: Path) -> None:
    root = ten(tmp_path)
    small, large = classify(root, "se_resnet20"), classify(root, "se_resnet50")
    assert small.train[0][0].shape == as_sample(large.test[0])["image"].shape == (3, 32, 32)
    assert small.class_names[9] == "class9"
    assert (small.phases[0].plan.epochs, rates(small)[79:81]) == (200, [pytest.approx(0.1), pytest.approx(0.01)])
    assert large.facts["training"] == USUAL["cifar"].where, "its authors trained it on ImageNet alone"
    assert large.phases[0].plan.batch_size == 64
    folder = classify(photographs(tmp_path / "folder"), "se_resnet20")
    assert folder.train[0][0].shape == (3, 32, 32), "a network for CIFAR reads a folder at its size"


def test_fine_grained_data_are_read_at_twice_the_size(tmp_path: Path) -> None:
    for i in range(6):
        picture(tmp_path / "images" / f"{i}.jpg", seed=i)
    rows = {
        "images": "".join(f"{i} {i}.jpg\n" for i in range(6)),
        "image_class_labels": "".join(f"{i} {i % 2}\n" for i in range(6)),
        "classes": "0 finch\n1 wren\n",
        "train_test_split": "".join(f"{i} {int(i < 4)}\n" for i in range(6)),
    }
    for name, text in rows.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    recipe = classify(tmp_path, "cbam_resnet50")
    plan = recipe.phases[0].plan
    assert recipe.train[0][0].shape == (3, 512, 512)
    assert as_sample(recipe.test[0])["image"].shape == (3, 448, 448)
    assert plan.augment is not None
    drawn = plan.augment(as_sample(recipe.train[0]), torch.Generator().manual_seed(0))
    assert drawn["image"].shape == (3, 448, 448)
    assert (plan.epochs, plan.batch_size, plan.lr) == (100, 16, 0.01)


# ---- ImageNet's own layouts

SYNSETS = ("n01440764", "n01443537", "n02999999")


def trained(root: Path, folder: str) -> None:
    for synset in SYNSETS:
        for i in range(2):
            picture(root / folder / synset / f"{synset}_{i}.JPEG", seed=i)


def kit(root: Path) -> Path:
    """The layout of the archives: the second synset has number 1, and images 1 to 5 show numbers 3, 1, 2, 1, 3."""
    trained(root, "ILSVRC2012_img_train")
    for i in range(1, 6):
        picture(root / "ILSVRC2012_img_val" / f"ILSVRC2012_val_{i:08d}.JPEG", seed=i)
    place = root / "ILSVRC2012_devkit_t12" / "data"
    place.mkdir(parents=True)
    rows = np.zeros((4, 1), dtype=[("ILSVRC2012_ID", object), ("WNID", object), ("words", object)])
    for i, (synset, words) in enumerate(
        [(SYNSETS[1], "goldfish"), (SYNSETS[2], "crane"), (SYNSETS[0], "tench, Tinca"), ("n00001740", "entity")]
    ):
        rows[i, 0] = (float(i + 1), synset, words)
    savemat(place / "meta.mat", {"synsets": rows}, do_compression=True)
    (place / "ILSVRC2012_validation_ground_truth.txt").write_text("3\n1\n2\n1\n3\n", encoding="utf-8")
    return root


def test_imagenet_as_its_archives_are(tmp_path: Path) -> None:
    recipe = classify(kit(tmp_path), "resnet18")
    assert recipe.class_names == ("tench, Tinca", "goldfish", "crane")
    assert recipe.train.labels == [0, 0, 1, 1, 2, 2]  # type: ignore[attr-defined]
    assert [as_sample(recipe.test[i])["label"] for i in range(5)] == [0, 1, 2, 1, 0]
    assert recipe.phases[0].plan.epochs == 90
    (tmp_path / "ILSVRC2012_devkit_t12" / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text("3\n1\n")
    with pytest.raises(ValueError, match="5 numbers are needed, one for each image"):
        classify(tmp_path, "resnet18")


def test_imagenet_as_kaggle_has_it(tmp_path: Path) -> None:
    trained(tmp_path, "ILSVRC/Data/CLS-LOC/train")
    for i in range(1, 4):
        picture(tmp_path / "ILSVRC/Data/CLS-LOC/val" / f"ILSVRC2012_val_{i:08d}.JPEG", seed=i)
    mapping = zip(SYNSETS, ("tench", "crane", "crane"), strict=True)  # two synsets of ImageNet have the name crane
    (tmp_path / "LOC_synset_mapping.txt").write_text("".join(f"{key} {name}\n" for key, name in mapping))
    rows = ["ImageId,PredictionString"]
    rows += [f"ILSVRC2012_val_{i:08d},{SYNSETS[-i]} 85 1 499 272 " for i in (3, 1, 2)]
    (tmp_path / "LOC_val_solution.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    recipe = classify(tmp_path, "resnet18")
    assert recipe.class_names == ("tench", "crane", "crane")
    assert [as_sample(recipe.test[i])["label"] for i in range(3)] == [2, 1, 0]
    (tmp_path / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"LOC_val_solution\.csv, 'ILSVRC2012_val_00000001': it has no synset"):
        classify(tmp_path, "resnet18")


def test_imagenet_with_sorted_validation_images_gets_the_names_of_its_synsets(tmp_path: Path) -> None:
    for part in ("train", "val"):
        trained(tmp_path, part)
    assert classify(tmp_path, "resnet18").class_names == SYNSETS
    (tmp_path / "LOC_synset_mapping.txt").write_text(f"{SYNSETS[0]} tench, Tinca\n", encoding="utf-8")
    recipe = classify(tmp_path, "resnet18")
    assert recipe.class_names == ("tench, Tinca", *SYNSETS[1:])
    assert len(recipe.test) == 6


def test_the_claim_is_that_of_the_network(tmp_path: Path) -> None:
    recipe = classify(photographs(tmp_path), "senet154")
    claim = judged(CLASSIFY, recipe)
    assert claim is not None and (claim["value"], claim["data"], claim["comparable"]) == (18.68, "ImageNet", False)
    assert judged(CLASSIFY, classify(tmp_path, "resnet50")) is None
    assert judged(recipes.get("sk-imagenet"), built(recipes.get("sk-imagenet"), tmp_path))["where"].startswith("README")


def test_it_starts_from_weights_of_the_same_network(tmp_path: Path) -> None:
    """The trunk is loaded; the classifier too, where it has as many classes."""
    recipe = classify(photographs(tmp_path), "se_resnet20")
    model, other = recipe.build(), recipe.build()
    state = other.state_dict()
    assert recipe.start is not None and classify(network="se_resnet20", tiny=True).start is None
    recipe.start(model, None)
    assert not torch.equal(model.state_dict()["stem.0.weight"], state["stem.0.weight"])
    recipe.start(model, state)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    more = {**state, "classify.weight": torch.zeros(1000, 64), "classify.bias": torch.zeros(1000)}
    third = recipe.build()
    recipe.start(third, more)
    assert torch.equal(third.state_dict()["stem.0.weight"], state["stem.0.weight"])
    assert third.state_dict()["classify.weight"].shape == (3, 64)
    with pytest.raises(ValueError, match=r"fc\.weight does not fit; weights of the same network are needed"):
        recipe.start(model, {**state, "fc.weight": torch.zeros(3, 64)})
    del state["stages.0.0.convs.1.weight"]
    with pytest.raises(ValueError, match=r"stages\.0\.0\.convs\.1\.weight is missing"):
        recipe.start(model, state)


@pytest.mark.parametrize("depth", [18, pytest.param(50, marks=pytest.mark.slow)])
def test_weights_of_torchvision_are_ours(depth: int) -> None:
    theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=7).eval()
    ours = published.rebuild(f"resnet/torchvision/resnet{depth}", {"num_classes": 7}, theirs.state_dict())
    x = torch.randn(2, 3, 65, 50)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(("at", "epochs", "moved"), [((30, 60, 90), 10, (3.0, 6.0, 9.0)), ((2, 3), 6, (4.0, 6.0))])
def test_the_falls_of_a_rate_move_with_the_epochs(at: tuple[int, ...], epochs: int, moved: tuple[float, ...]) -> None:
    plan = Plan(epochs=at[-1] + (10 if epochs == 10 else 0), schedule=Steps(at=at, by=0.2, every="epoch"))
    schedule = running.changed(plan, {"epochs": epochs}).schedule
    assert schedule == Steps(at=moved, by=0.2, every="epoch")
    assert running.changed(plan, {"lr": 0.5}).schedule == plan.schedule
    kept = Steps(at=(1,))
    assert running.changed(plan, {"epochs": epochs, "schedule": kept}).schedule == kept
