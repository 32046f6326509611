"""The recipe of NIC: its tiny variant from the training to the sentences, and its phases on photographs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from regard.catalog import recipes
from regard.data.words import Words
from regard.saved.opening import open_network
from regard.training import running
from regard.training.evaluate import batches
from regard.training.recipe import Recipe, built

LISTING = recipes.get("show-and-tell")


@pytest.mark.slow
def test_the_tiny_variant_learns_to_write_and_is_opened_from_its_folder(tmp_path: Path) -> None:
    recipe = built(LISTING, tiny=True)
    untrained = running.evaluate(recipe, recipe.build())
    result = running.train(LISTING, recipe, out=tmp_path)
    losses = [epoch["loss"] for epoch in result["history"]["caption"]]
    assert losses[-1] < 1.6 < 3 < losses[0]  # 3.7 is the logarithm of the number of words
    assert result["scores"]["cider"] > untrained["cider"] + 0.1
    opened = open_network(weights=tmp_path)
    assert opened.vocabulary == recipe.vocabulary.tokens  # type: ignore[union-attr]
    task = recipe.phases[-1].task
    (batch,) = batches(recipe.test, range(7), normalise=opened.normalise)
    sentences, references = task.answers(opened.model, batch)
    assert running.evaluate(recipe, running.load(recipe, tmp_path)) == result["scores"]
    known = Words(opened.vocabulary)  # type: ignore[arg-type]
    assert all(word in known for sentence in sentences for word in sentence)
    assert all(len(several) == 5 for several in references)


def photographs(folder: Path) -> Path:
    for half, count in (("train2017", 5), ("val2017", 2)):
        (folder / half).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (280, 270), (40 * i, 9, 99)).save(folder / half / f"{i}.png")
        content = {
            "images": [{"id": i, "file_name": f"{i}.png"} for i in range(count)],
            "annotations": [{"image_id": i, "caption": "a plain square"} for i in range(count)],
        }
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"captions_{half}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def on_photographs(tmp_path: Path, **options: object) -> Recipe:
    return built(LISTING, photographs(tmp_path), options={"backbone": "test_resnet", "least": 1, **options})


@pytest.mark.slow
def test_the_trunk_is_frozen_first_and_has_a_rate_of_its_own_then(tmp_path: Path) -> None:
    recipe = on_photographs(tmp_path, beam=2)
    first, then = recipe.phases
    assert (first.name, then.name) == ("caption", "fine-tune")
    assert (first.plan.epochs, then.plan.epochs) == (56, 4)
    assert not any(pattern.startswith("encoder") for pattern in first.trains)
    model = recipe.build()
    with running.only(model, first):
        learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learned == {name for name, _ in model.named_parameters() if not name.startswith("encoder.")}
    assert then.trains == ("*",)
    assert then.plan.lr == pytest.approx(2.0 * 0.5**7)  # 56 epochs of 8 each
    assert then.plan.rates["encoder.*"] * 2.0 == pytest.approx(0.0005)
    assert (len(recipe.train), len(recipe.test)) == (5, 2)
    assert recipe.test[0]["image"].shape == (3, 224, 224)
    assert recipe.task is None
    assert first.task.beam == 2  # type: ignore[attr-defined]
    assert recipe.claim is not None
    assert "another beam" in recipe.claim.unlike
    batch = recipe.train.collate_fn([recipe.train[0]])
    augmented = first.plan.augment(recipe.train[0], torch.Generator().manual_seed(0))  # type: ignore[misc]
    assert (batch["image"].shape, augmented["image"].shape) == ((1, 3, 256, 256), (3, 224, 224))


def test_a_folder_is_needed() -> None:
    with pytest.raises(ValueError, match="data=None: a folder with annotations/captions_"):
        built(LISTING)
    with pytest.raises(ValueError, match="least=0"):
        built(LISTING, tiny=True, options={"least": 0})
