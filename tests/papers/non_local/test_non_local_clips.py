"""Non-local networks on clips: what they can tell from the order of frames, their recipe, and drawn clips."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from regard import watch
from regard.catalog import recipes
from regard.cli import app
from regard.data.clips import Drawn
from regard.ops.seeds import mixed, seeded
from regard.papers.resnet.network import PaperNetwork
from regard.saved.opening import open_network
from regard.training import running
from regard.training.loop import fit
from regard.training.recipe import Recipe, built

LISTING = recipes.get("non-local-clips")


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = PaperNetwork(3, name=name, classes=5, width=4, blocks=(1, 2, 1)).double().eval()
    for module in model.modules():  # its blocks begin as the identity
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
    return model


@pytest.mark.parametrize(
    ("name", "tells"), [("c2d_resnet50_8f", False), ("nonlocal5_c2d_resnet50_8f", False), ("i3d_resnet50_8f", True)]
)
def test_without_kernels_over_time_a_clip_and_its_reverse_are_one(name: str, tells: bool) -> None:
    """Attention over space-time has no order of its own: of C2D it makes nothing that tells before from after."""
    model = network(name)
    clip = torch.rand(2, 3, 8, 24, 24, dtype=torch.float64)
    gap = (model(clip) - model(clip.flip(2))).abs().max().item()
    assert gap > 1e-6 if tells else gap < 1e-12


def test_maps_of_a_clip_range_over_space_and_time() -> None:
    model = network("nonlocal5_c2d_resnet50_8f")
    with watch(model) as maps:
        model(torch.rand(1, 3, 8, 24, 24, dtype=torch.float64))
    (key,) = maps
    (time, height, width) = maps.grids[key]["Q"]
    assert time == 4 and maps[key][0].shape == (1, time * height * width, time * (height // 2) * (width // 2))
    torch.testing.assert_close(maps[key][0].sum(2), torch.ones_like(maps[key][0][:, :, 0]))


def frames(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(np.full((240, 320, 3), 20 * i, np.uint8)).save(folder / f"{i}.jpg")


def test_the_recipe_reads_videos_as_the_paper_does(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for name in ("run", "walk"):
            frames(tmp_path / part / name / "clip", 3)
    recipe = built(LISTING, tmp_path, options={"views": "one", "network": "i3d_resnet50_8f"})
    (phase,) = recipe.phases
    assert isinstance(phase.plan.augment, Drawn) and phase.plan.optimizer == "sgd"
    drawn = phase.plan.augment(recipe.train[0], torch.Generator().manual_seed(0))
    assert drawn["image"].shape == (3, 8, 224, 224)
    assert recipe.test[1]["image"].shape == (3, 8, 224, 224) and recipe.class_names == ("run", "walk")
    assert recipe.claim is not None and recipe.claim.value == 26.6
    assert recipe.build.keywords["name"] == "i3d_resnet50_8f" and recipe.build.keywords["classes"] == 2
    assert (built(LISTING, tmp_path).test.clips, built(LISTING, tmp_path).test.crops) == (10, 3)
    with pytest.raises(ValueError, match="takes images: a network for clips"):
        built(LISTING, tmp_path, options={"network": "se_resnet50"})
    with pytest.raises(ValueError, match="views='all': 'published' or 'one'"):
        built(LISTING, tmp_path, options={"views": "all"})
    with pytest.raises(ValueError, match="a folder of videos is needed"):
        built(LISTING)


def test_the_command_line_takes_the_network_and_the_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["train", "non-local-clips", "--tiny", "--views", "some"])
    assert isinstance(found.exception, ValueError) and "views='some': 'published' or 'one'" in str(found.exception)
    found = CliRunner().invoke(app, ["train", "ram-mnist", "--tiny", "--views", "one"])
    assert "views='one' is no option of the recipe ram-mnist" in str(found.exception)


@pytest.mark.slow
def test_a_tiny_variant_trains_and_opens_again(tmp_path: Path) -> None:
    recipe = built(LISTING, tiny=True)
    result = running.train(LISTING, recipe, out=tmp_path / "run", changes={"epochs": 1})
    model = running.load(recipe, tmp_path / "run")
    assert running.evaluate(recipe, model)["error"] == pytest.approx(result["scores"]["error"])
    with pytest.raises(ValueError, match="was trained on clips of 8 frames: a network for photographs is needed"):
        open_network("paper_network", weights=tmp_path / "run" / "model.safetensors")


class Enough(Exception):
    """The training went on for as long as the test needs."""


def wrong(recipe: Recipe, clips: list[object], *, seed: int, epochs: int) -> float:
    """The test error, in percent, after the first epochs of a training on the recipe's clips."""

    def on_epoch(done: int, record: object) -> None:
        if done == epochs:
            raise Enough

    (phase,) = recipe.phases
    with seeded(mixed("recipe", LISTING.name, seed)):  # as the recipe is trained
        model = recipe.build()
    with suppress(Enough):
        fit(model, phase.task, clips, replace(phase.plan, seed=seed), on_epoch=on_epoch)
    return running.evaluate(recipe, model)["error"]


@pytest.mark.slow
def test_the_tiny_variant_compares_moments_and_its_trunk_guesses() -> None:
    """Whoever compares no moments is wrong in two thirds of the clips.

    After 12 of its 20 epochs; of three seeds one learns more slowly than the others, so that their mean is compared.
    """
    recipe, trunk = built(LISTING, tiny=True), built(LISTING, tiny=True, options={"network": "c2d_resnet50_8f"})
    clips = [recipe.train[i] for i in range(len(recipe.train))]  # drawn once for all
    guessed = wrong(trunk, clips, seed=0, epochs=3)
    assert guessed > 55
    assert sum(wrong(recipe, clips, seed=seed, epochs=12) for seed in range(3)) / 3 < guessed - 20
