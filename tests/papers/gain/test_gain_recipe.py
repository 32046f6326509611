"""The recipes of GAIN and SEC, trained as a user trains them, and folders of label maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from regard import watch
from regard.catalog import recipes
from regard.data import biased_digits
from regard.papers.gain.recipe import guided, seeded
from regard.papers.gain.task import Guide
from regard.saved.opening import open_network
from regard.tasks.classify import Classify
from regard.training.loop import fit
from regard.training.recipe import built
from regard.training.running import train


def folder(root: Path, count: int = 12) -> Path:
    """Images with a square of one of two classes, in the plain layout."""
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(count):
        pixels, labels = random.integers(0, 60, (37, 41, 3), dtype=np.uint8), np.zeros((37, 41), np.uint8)
        top, left, kind = int(random.integers(20)), int(random.integers(20)), 1 + i % 2
        pixels[top : top + 13, left : left + 13, kind] = 220
        labels[top : top + 13, left : left + 13] = kind
        Image.fromarray(pixels).save(root / "images" / f"{i:02}.png")
        Image.fromarray(labels).save(root / "labels" / f"{i:02}.png")
    (root / "classes.txt").write_text("background\ngreen\nblue\n", encoding="utf-8")
    return root


@pytest.mark.slow
def test_a_trained_gain_opens_from_its_run_folder_as_a_classifier_with_its_maps(tmp_path: Path) -> None:
    listing = recipes.get("gain")
    train(listing, built(listing, tiny=True, options={"masks": 20}), out=tmp_path / "run", changes={"epochs": 1})
    opened = open_network(weights=tmp_path / "run")
    assert opened.class_names == biased_digits.CLASSES
    images = biased_digits.load().test.images(range(5))
    with watch(opened.model) as maps:
        assert opened.model(images).shape == (5, 10)
    assert maps["cam"][0].shape == maps["mask"][0].shape == (5, 1, biased_digits.SIZE, biased_digits.SIZE)


@pytest.mark.slow
def test_masks_move_the_map_to_the_digit_over_three_seeds() -> None:
    """The plain classifier looks at the background, which agrees with the class; a classifier with masks at the digit.

    The tiny variant's figures are of the maps alone: on what a map explains, the classifier may still read the hue.
    """
    recipe = guided(tiny=True)
    task, plan = recipe.phases[0].task, replace(recipe.phases[0].plan, epochs=6)
    found = biased_digits.load()
    regions = torch.stack([found.train.region(i) for i in range(300)])
    mean, std = (torch.tensor(values)[:, None, None] for values in plan.normalise)
    images, labels = (found.train.images(range(300)) - mean) / std, torch.tensor(found.train.labels[:300])
    for seed in (0, 1, 2):
        shares = []
        for learning in (Classify(10), task):
            torch.manual_seed(seed)
            model = recipe.build()
            fit(model, learning, recipe.train, plan)
            with torch.no_grad():
                cams = model.eval()(images, labels).cams[:, 0]
            shares.append(float((cams * regions).sum() / cams.sum()))
        assert shares[1] > shares[0] + 0.1, shares


@pytest.mark.slow
def test_sec_learns_a_segmentation_from_few_pixels(tmp_path: Path) -> None:
    listing = recipes.get("sec")
    recipe = built(listing, tiny=True)
    miou = train(listing, recipe, out=tmp_path / "run")["scores"]["miou"]
    assert miou > 0.2, miou  # all background is 0.93 / 11


@pytest.mark.slow
def test_seeds_of_a_trained_classifier_train_the_segmentation(tmp_path: Path) -> None:
    """A folder of label maps: a guided classifier, and then a student on its seeds, with the curve of both shares."""
    data = folder(tmp_path / "data")
    options = {"masks": 3, "backbone": "test_resnet", "image_size": 64}
    listing = recipes.get("gain")
    first = built(listing, data, options=options)
    assert first.class_names == ("green", "blue") and first.facts["masks"] == 3
    assert sum(bool((first.train[i]["mask"] != 255).any()) for i in range(len(first.train))) == 3
    result = train(listing, first, out=tmp_path / "gain", changes={"epochs": 2}, random=True)
    assert 0 <= result["scores"]["map"] <= 1
    listing = recipes.get("sec")
    options = {"seeds": str(tmp_path / "gain"), "held": 3, "backbone": "test_resnet"}
    second = built(listing, data, options=options)
    curves = second.facts["seeds_curve"]
    assert set(curves) == {"held", "train"} and len(curves["held"]) == len(curves["train"]) == 19
    assert curves["held"][str(second.facts["threshold"])] == max(curves["held"].values())
    assert second.facts["seeds_miou"] == curves["train"][str(second.facts["threshold"])]
    assert len(second.train) == len(first.train) - 3
    result = train(listing, second, out=tmp_path / "sec", changes={"epochs": 1}, random=True)
    assert 0 <= result["scores"]["miou"] <= 1
    with pytest.raises(ValueError, match="a GAIN of 2 classes is needed"):
        built(listing, data, options={"seeds": str(tmp_path / "sec")})


def test_what_a_recipe_needs_is_said() -> None:
    for build in (guided, seeded):
        with pytest.raises(ValueError, match=r"data=None: a folder with .*VOC2012"):
            build()
    with pytest.raises(ValueError, match="masks=-1"):
        guided(tiny=True, masks=-1)
    with pytest.raises(ValueError, match="score='probability'"):
        guided(tiny=True, score="probability")
    assert isinstance(guided(tiny=True).phases[0].task, Guide)


def test_seeds_have_to_be_given(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seeds=None: the run folder of a trained GAIN is needed"):
        seeded(folder(tmp_path))
