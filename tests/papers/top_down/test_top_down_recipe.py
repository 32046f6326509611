"""The recipes of Bottom-Up and Top-Down: what they ask for, and that their tiny variants train, resume and open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from regard.catalog import recipes
from regard.data.bottom_up import BottomUp
from regard.data.scene_files import write
from regard.data.scenes import scenes
from regard.papers.top_down.recipe import top_down
from regard.saved.opening import open_network
from regard.tasks.self_critical import SelfCritical
from regard.training import running
from regard.training.recipe import built


@pytest.mark.parametrize("name", ["top-down", "top-down-vqa"])
def test_it_asks_for_its_data(name: str) -> None:
    with pytest.raises(ValueError, match="data=None: a folder with"):
        built(recipes.get(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["top-down", "top-down-vqa"])
def test_a_tiny_training_that_was_stopped_goes_on_to_the_bit_and_opens(name: str, tmp_path: Path) -> None:
    listing = recipes.get(name)

    def train(folder: Path, stop: int | None = None) -> dict[str, Any]:
        def on_step(step: int, steps: int, loss: float) -> None:
            if step == stop:
                raise KeyboardInterrupt

        return running.train(listing, built(listing, tiny=True), out=folder, changes={"epochs": 1}, on_step=on_step)

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", stop=9)
    assert train(tmp_path / "parts")["scores"] == whole["scores"]
    found = open_network(weights=tmp_path / "whole")
    assert found.vocabulary[:4] == ("<pad>", "<start>", "<end>", "<unk>")


@pytest.mark.slow
def test_a_file_of_regions_takes_the_place_of_the_images(tmp_path: Path) -> None:
    write(tmp_path, *scenes(5, 3, 32, seed=2))
    recipe = top_down(tmp_path, features=str(tmp_path / "regions.tsv"))
    assert [phase.name for phase in recipe.phases] == ["caption", "self-critical"]
    reward = recipe.phases[1].task
    assert isinstance(reward, SelfCritical) and reward.frequencies.images == 5
    sample: Any = recipe.train[7]
    seen = BottomUp(tmp_path / "regions.tsv")[sample["name"]]
    assert torch.equal(sample["features"], torch.from_numpy(seen.features.copy()))
    assert sample["boxes"].shape == (len(seen.boxes), 4) and "image" not in sample
    with torch.device("meta"):
        assert recipe.build().channels == seen.features.shape[1]
    without = top_down(tmp_path, features=str(tmp_path / "regions.tsv"), self_critical=False)
    assert [phase.name for phase in without.phases] == ["caption"]
    assert replace(without, phases=recipe.phases).phases == recipe.phases
