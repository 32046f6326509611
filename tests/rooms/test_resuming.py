"""Runs of persons and of clips: stopped and resumed to the bit, and scored and looked at from their folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from regard.catalog import recipes
from regard.cli import app
from regard.data.drawn_events import DrawnEvents
from regard.data.drawn_persons import DrawnPersons
from regard.training import running
from regard.training.recipe import Recipe, built

EPOCHS = {"epochs": 2}


def tiny(name: str) -> Recipe:
    """The tiny variant with a small part of its training; the test is whole, as `regard eval` has it."""
    recipe = built(recipes.get(name), tiny=True)
    train = recipe.train
    if isinstance(train, DrawnEvents):
        return replace(recipe, train=replace(train, count=66))
    assert isinstance(train, DrawnPersons)
    few = DrawnPersons(train.drawing, train.people[:11], range(1), frames=train.frames, training=True)
    return replace(recipe, train=few)


def test_a_part_of_the_training_is_drawn_as_the_whole() -> None:
    part, whole = tiny("action-attention").train, built(recipes.get("action-attention"), tiny=True).train
    assert len(part) == 66 < len(whole)
    assert torch.equal(part[5]["image"], whole[5]["image"]) and part[5]["label"] == whole[5]["label"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rga", "iaunet-video", "action-attention", "video-description"])
def test_a_run_that_was_stopped_resumes_to_the_bit_and_is_scored_from_its_folder(name: str, tmp_path: Path) -> None:
    listing, recipe, whole, parts = recipes.get(name), tiny(name), tmp_path / "whole", tmp_path / "parts"
    found = running.train(listing, recipe, out=whole, seed=3, changes=EPOCHS)

    def stop(done: int, _: object) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        running.train(listing, recipe, out=parts, seed=3, changes=EPOCHS, on_epoch=stop)
    assert not (parts / "model.safetensors").exists() and list(parts.rglob("checkpoint.pt"))
    steps: list[int] = []
    again = running.train(
        listing, recipe, out=parts, seed=3, changes=EPOCHS, on_step=lambda step, *_: steps.append(step)
    )
    assert 0 < len(steps) == max(steps) / 2  # the second epoch alone
    one, two = (load_file(out / "model.safetensors") for out in (whole, parts))
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    assert again["scores"] == found["scores"]
    told = CliRunner().invoke(app, ["eval", "--weights", str(parts)])
    assert told.exit_code == 0, told.output
    said = dict(line.split("  ")[0].split(" (")[0].split(": ", 1) for line in told.output.splitlines() if ": " in line)
    scores = {key: value for key, value in found["scores"].items() if ": " not in key and key in said}
    assert scores and {key: f"{value:.4g}" for key, value in scores.items()} == {key: said[key] for key in scores}


@pytest.mark.slow
def test_a_person_of_a_run_is_searched_in_a_gallery(tmp_path: Path) -> None:
    run = tmp_path / "run"
    running.train(recipes.get("iaunet"), tiny("iaunet"), out=run, changes={"epochs": 1})
    search = built(recipes.get("iaunet"), tiny=True).test
    (tmp_path / "gallery").mkdir()
    for i in (0, 1, 12 * 6, 12 * 6 + 7):  # two of the query and two of the gallery
        sample = search[i]
        pixels = (sample["image"] * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(tmp_path / "gallery" / f"{sample['name']}.png")
    query = tmp_path / "gallery" / f"{search[0]['name']}.png"
    arguments = ["look", str(query), "--gallery", str(query.parent), "--weights", str(run), "--out", str(tmp_path)]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.output
    assert "does not count" in told.output  # the shot of the same person under the same camera
    assert sorted(path.name for path in tmp_path.glob("*.png"))
