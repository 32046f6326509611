"""How recipes start: published weights, a checkpoint of the trunk, random weights, and a hub that does not answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from regard import backbones, cli
from regard.catalog import recipes
from regard.papers.saliency_net import recipe as saliency
from regard.training import running
from regard.training.recipe import Recipe, built
from regard.training.starting import beginning

LISTING = recipes.get("salient-objects")


class Silent:
    """A session that reaches nothing, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def head(self, url: str, timeout: float) -> None:
        self.asked += 1
        raise ConnectionError("no route to host\nat all")


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Silent:
    session = Silent()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(backbones, "try_to_load_from_cache", lambda *where: None)
    monkeypatch.setattr(backbones, "get_session", lambda: session)
    monkeypatch.setattr("timm.create_model", lambda *args, **kwargs: pytest.fail("the hub's own client is asked"))
    return session


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    for part in ("images", "masks"):
        (place / part).mkdir(parents=True)
        for i in range(5):
            image = np.full((30, 40, 3), 10 * i, np.uint8)
            image[5:20, 8:30] = 255
            Image.fromarray(image).save(place / part / f"{i}.png")
    return place


@pytest.fixture
def recipe(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setattr(saliency, "SIZE", 32)
    return built(LISTING, folder)


def test_a_hub_that_does_not_answer_is_asked_once(silent: Silent) -> None:
    with pytest.raises(OSError, match=r"weights of 'resnet18' cannot be loaded.*https://.* does not answer: no route"):
        backbones.build("resnet18", classes=3, pretrained=True)
    assert silent.asked == 1


def test_weights_in_the_cache_are_loaded_without_asking(silent: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[bool] = []

    def create(name: str, *, pretrained: bool, **kwargs: object) -> torch.nn.Module:
        built.append(pretrained)
        return model

    monkeypatch.undo()
    model = backbones.build("test_resnet", classes=3)
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(backbones, "try_to_load_from_cache", lambda *where: asked.append(where) or "a/file")
    monkeypatch.setattr(backbones, "get_session", lambda: pytest.fail("the hub is asked"))
    monkeypatch.setattr("timm.create_model", create)
    assert backbones.build("test_resnet", classes=3, pretrained=True) is model and built == [True]
    assert asked == [("timm/test_resnet.r160_in1k", "model.safetensors", None, None)]


def test_a_checkpoint_is_loaded_also_into_a_network_of_maps() -> None:
    whole = backbones.build("test_resnet", classes=5)
    for parameter in whole.parameters():
        parameter.data.normal_()
    state = whole.state_dict()
    maps = backbones.build("test_resnet", classes=1, state=state, features_only=True).state_dict()
    assert len(maps) > 50 and all(torch.equal(value, state[name]) for name, value in maps.items())
    grey = backbones.build("test_resnet", classes=5, state=state, in_chans=1).state_dict()
    torch.testing.assert_close(grey["conv1.0.weight"], state["conv1.0.weight"].sum(1, keepdim=True))
    with pytest.raises(ValueError, match=r"the weights have no conv1.0.weight of 'test_resnet'.*first is 'other'"):
        backbones.build("test_resnet", classes=5, state={"other": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"the weights do not fit 'test_resnet': .*layer1.0.conv1.weight"):
        backbones.build("test_resnet", classes=5, state=state | {"layer1.0.conv1.weight": torch.zeros(3)})


def test_without_a_hub_the_training_names_both_ways_to_start(recipe: Recipe, silent: Silent, tmp_path: Path) -> None:
    model = torch.nn.Module.__new__(saliency.SaliencyNet)
    torch.nn.Module.__init__(model)
    model.backbone, model.channels = "resnet18", 3
    with pytest.raises(
        OSError, match=r"--weights FILE starts from a checkpoint of the trunk, and --random from random"
    ):
        beginning(recipe).give(model)
    assert silent.asked == 1


def test_the_trunk_alone_gets_the_weights() -> None:
    state = backbones.build("test_resnet", classes=7).state_dict()
    model = saliency.SaliencyNet(backbone="test_resnet", width=5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.start_from(state)
    for name, value in model.state_dict().items():
        trunk = name.startswith("encoder.")
        assert torch.equal(value, state[name.removeprefix("encoder.")] if trunk else before[name]), name


@pytest.mark.slow
def test_a_training_starts_from_a_checkpoint_of_the_trunk(recipe: Recipe, tmp_path: Path) -> None:
    state = {
        name: torch.full_like(value, 0.25)
        for name, value in backbones.build("resnet18", classes=7).state_dict().items()
    }
    save_file(state, tmp_path / "trunk.safetensors")
    model = recipe.build()
    head = model.head.weight.clone()
    begins = beginning(recipe, weights=tmp_path / "trunk.safetensors")
    begins.give(model)
    assert begins.fact is not None and begins.fact.startswith("trunk.safetensors (")
    assert all(torch.equal(value, state[name]) for name, value in model.encoder.state_dict().items())
    assert torch.equal(model.head.weight, head)
    save_file({"fc.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(
        ValueError, match=r"weights='.*other.safetensors': the weights have no conv1.weight of 'resnet18'"
    ):
        beginning(recipe, weights=tmp_path / "other.safetensors").give(model)


def test_a_start_that_makes_no_sense_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    file = tmp_path / "trunk.safetensors"
    save_file({"a": torch.zeros(3)}, file)
    with pytest.raises(ValueError, match="one of the two is accepted"):
        beginning(recipe, weights=file, random=True)
    with pytest.raises(ValueError, match="the tiny variant of this recipe has no trunk that starts from weights"):
        beginning(built(LISTING, tiny=True), weights=file)
    with pytest.raises(FileNotFoundError):
        beginning(recipe, weights=tmp_path / "nowhere.safetensors")
    with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        cli.main(["train", "salient-objects", "--weights", str(file), "--random"])


@pytest.mark.slow
def test_a_training_from_random_weights_says_so_and_resumes_without_the_hub(recipe: Recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = running.train(LISTING, recipe, out=run, changes={"epochs": 1}, random=True)
    assert result["changes"] == {"epochs": 1, "start": "random weights"}
    with pytest.raises(ValueError, match=r"start was random weights, is not known"):
        running.train(LISTING, recipe, out=run, changes={"epochs": 1})
    again = running.train(LISTING, recipe, out=run, changes={"epochs": 1}, random=True)
    assert again["scores"] == result["scores"]
