"""Attention U-Net: sizes, which tensor is gated by which, and what the tiny variant learns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from regard import create, look, watch
from regard.catalog import recipes
from regard.data.drawn_volumes import DrawnVolumes
from regard.papers.attention_unet.network import PORT_WIDTHS, WIDTHS, AttentionUnet
from regard.papers.attention_unet.recipe import volumes
from regard.training import running
from regard.training.evaluate import evaluate
from regard.training.loop import fit
from regard.training.recipe import built

AUTHORS = {"channels": 1, "classes": 4, "widths": WIDTHS}
PORT = {"channels": 3, "classes": 1, "dims": 2, "widths": PORT_WIDTHS, "deep_supervision": False, "port": True}


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({**AUTHORS, "gates": 1}, 6_214_151),
        ({**AUTHORS, "gates": 2}, 6_473_322),
        ({**AUTHORS, "gates": 0}, 5_888_004),
        ({**PORT, "gates": 1}, 34_878_573),
        ({**PORT, "gates": 0}, 34_527_041),
    ],
    ids=["single", "multi", "none", "port", "port-unet"],
)
def test_parameters_are_as_many_as_the_authors(arguments: dict[str, object], count: int) -> None:
    with torch.device("meta"):
        model = create("attention_unet", **arguments)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def recorded(model: AttentionUnet, x: Tensor) -> list[tuple[int, Tensor, Tensor, Tensor]]:
    """Of each level with a gate: the level, x and g that the gate was given, and what the block joined."""
    found: list[tuple[int, Tensor, Tensor, Tensor]] = []
    given: dict[int, tuple[Tensor, Tensor]] = {}
    for level, up in enumerate(model.ups):
        if up.gate is not None:
            up.gate.register_forward_hook(lambda _, inputs, __, level=level: given.__setitem__(level, inputs))
        up.block.register_forward_pre_hook(
            lambda _, inputs, level=level: found.append((level, *given.get(level, (x, x)), inputs[0]))
        )
    with torch.no_grad():
        model(x)
    return [row for row in found if row[0] in given]


def test_the_gate_weighs_the_skip_connection_by_the_map_one_level_below() -> None:
    model = AttentionUnet(2, classes=3, widths=(4, 5, 6, 7)).eval()
    rows = recorded(model, torch.randn(1, 2, 16, 24, 32))
    assert [row[0] for row in rows] == [2, 1]  # from coarse to fine; the first skip connection has none
    for level, x, g, _ in rows:
        assert x.shape == (1, model.encoder[level].convs[1].out_channels, 16 >> level, 24 >> level, 32 >> level)
        assert g.shape == (1, (6, 7)[level - 1], 8 >> level, 12 >> level, 16 >> level)
    outputs: list[Tensor] = []
    model.gating.register_forward_hook(lambda _, __, output: outputs.append(output))
    assert torch.equal(recorded(model, torch.randn(1, 2, 16, 24, 32))[0][2], outputs[0])


def test_the_port_gates_every_skip_connection_by_the_resized_map_that_is_joined_to_it() -> None:
    model = AttentionUnet(2, classes=3, dims=2, widths=(4, 5, 6), port=True, deep_supervision=False).eval()
    rows = recorded(model, torch.randn(1, 2, 16, 24))
    assert [row[0] for row in rows] == [1, 0]
    for level, x, g, joined in rows:
        assert x.shape == g.shape == (1, (4, 5)[level], 16 >> level, 24 >> level)
        width = x.shape[1]
        assert torch.equal(joined[:, width:], g)
        alpha = model.ups[level].gate.mask(x, g)
        torch.testing.assert_close(joined[:, :width], alpha * x)


@pytest.mark.parametrize("grid", [(17, 19, 23), (3, 5, 16), (1, 1, 1)], ids=str)
def test_any_size_is_taken_and_returned(grid: tuple[int, ...]) -> None:
    model = AttentionUnet(1, classes=2, widths=(2, 3, 4, 5)).eval()
    with torch.no_grad():
        assert model(torch.randn(2, 1, *grid)).shape == (2, 2, *grid)


def test_maps_stand_at_the_levels_of_their_skip_connections() -> None:
    model = AttentionUnet(1, classes=2, widths=(2, 3, 4, 5), gates=2).eval()
    with torch.no_grad(), watch(model) as maps:
        model(torch.randn(1, 1, 16, 24, 40))
    levels = {f"ups.{level}.gate.gates.{i}/spatial": level for level in (1, 2) for i in (0, 1)}
    assert {key: tuple(looks[0].shape) for key, looks in maps.items()} == {
        key: (1, 1, 16 >> level, 24 >> level, 40 >> level) for key, level in levels.items()
    }
    assert set(maps.axes.values()) == {"B 1 D H W"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gates": 3}, "gates=3"),
        ({"gates": 2, "port": True}, "gates=2: 0 or 1 is needed with port=True"),
        ({"widths": (4,)}, "at least two levels"),
        ({"dims": 1}, "dims=1"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AttentionUnet(**arguments)


def test_the_recipe_needs_a_folder() -> None:
    with pytest.raises(ValueError, match=r"data=None: a folder with dataset\.json"):
        built(recipes.get("attention-unet"))


@pytest.mark.slow
def test_the_tiny_variant_learns_over_three_seeds_as_well_as_without_gates() -> None:
    scores: dict[int, list[float]] = {0: [], 1: []}
    drawn = volumes(tiny=True)
    train, test = ([part[i] for i in range(len(part))] for part in (drawn.train, drawn.test))  # once for all
    for gates, found in scores.items():
        recipe = volumes(tiny=True, gates=gates)
        (phase,) = recipe.phases
        for seed in (3, 5, 7):
            torch.manual_seed(seed)
            model = recipe.build()
            fit(model, phase.task, train, replace(phase.plan, seed=seed))
            found.append(evaluate(model, replace(phase.task, surfaces=False), test, batch_size=8)["dice"])
    assert min(scores[1]) > 0.6
    assert fmean(scores[1]) > fmean(scores[0]) - 0.1


def test_the_port_is_trained_by_the_defaults_of_its_script(tmp_path: Path) -> None:
    for part, side in (("images", 23), ("labels", 23)):
        (tmp_path / part).mkdir()
        for i in range(5):
            values = np.full((side, 29, 3) if part == "images" else (side, 29), i % 2, np.uint8)
            Image.fromarray(values).save(tmp_path / part / f"{i}.png")
    recipe = built(recipes.get("attention-unet-images"), tmp_path, options={"gates": 0})
    with torch.device("meta"):
        model = recipe.build()
    assert sum(p.numel() for p in model.parameters()) == 34_527_041 + 64 + 1  # of two classes
    (phase,) = recipe.phases
    assert (phase.plan.optimizer, phase.plan.lr, phase.plan.options) == ("adam", 2e-4, {"betas": (0.5, 0.999)})
    assert recipe.start is None


@pytest.mark.slow
def test_the_tiny_port_learns_drawn_scenes() -> None:
    recipe = built(recipes.get("attention-unet-images"), tiny=True)
    (phase,) = recipe.phases
    torch.manual_seed(0)
    model = recipe.build()
    before = evaluate(model, phase.task, recipe.test, normalise=phase.plan.normalise)["miou"]
    fit(model, phase.task, recipe.train, phase.plan)
    after = evaluate(model, phase.task, recipe.test, normalise=phase.plan.normalise)["miou"]
    assert after > 0.5 > before


@pytest.mark.slow
def test_a_stopped_training_resumes_to_the_bit(tmp_path: Path) -> None:
    listing, changes = recipes.get("attention-unet"), {"epochs": 2}

    class Stopped(Exception):
        pass

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 15:
            raise Stopped

    whole = running.train(listing, built(listing, tiny=True), out=tmp_path / "whole", changes=changes)
    with pytest.raises(Stopped):
        running.train(listing, built(listing, tiny=True), out=tmp_path / "two", changes=changes, on_step=stop)
    again = running.train(listing, built(listing, tiny=True), out=tmp_path / "two", changes=changes)
    assert again["scores"] == whole["scores"]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "two")]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_a_folder_of_volumes_is_trained_on_scored_and_looked_at(tmp_path: Path) -> None:
    """Five volumes whose sides are no multiples of 16; their label maps are scored at their own size."""
    nibabel = pytest.importorskip("nibabel")
    drawn, affine = DrawnVolumes(count=5, size=(17, 25, 31)), np.diag([-1, -1, -1.5, 1])
    rows = []
    for i in range(5):
        sample, row = drawn[i], {}
        for field, folder, values in (("image", "imagesTr", sample["image"][0]), ("label", "labelsTr", sample["mask"])):
            row[field] = f"{folder}/case_{i}.nii.gz"
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(values.numpy().T, affine), tmp_path / "data" / row[field])
        rows.append(row)
    table = {"training": rows, "labels": {"0": "background", "1": "target"}}
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(table))
    options = {"window": [16, 32, 32], "spacing": [1.5, 1.5, 1.5]}
    recipe = built(recipes.get("attention-unet"), tmp_path / "data", options=options)
    found = running.train(recipes.get("attention-unet"), recipe, out=tmp_path / "run", changes={"epochs": 1})
    assert {"dice", "dice/target"} <= found["scores"].keys()
    again = running.evaluate(recipe, running.load(recipe, tmp_path / "run"))
    assert again == found["scores"]
    (picture,) = look(tmp_path / "data" / rows[4]["image"], weights=tmp_path / "run", out=tmp_path / "looks").pictures
    assert picture.is_file()
