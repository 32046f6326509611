"""The saliency network and its two recipes: what is shown, what is learned, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset

from regard import watch
from regard.catalog import recipes
from regard.data import masks
from regard.metrics.salient_objects import averaged, measures
from regard.papers.saliency_net import network as saliency_net
from regard.papers.saliency_net import recipe as saliency
from regard.papers.saliency_net.network import SaliencyNet
from regard.tasks.salient_objects import SalientObjects
from regard.training import running
from regard.training.evaluate import evaluate
from regard.training.recipe import built

BACKBONE = "test_efficientnet"


def test_what_is_shown_is_a_density_or_probabilities() -> None:
    x = torch.rand(2, 3, 37, 41)
    for density in (False, True):
        model = SaliencyNet(backbone=BACKBONE, width=5, density=density).eval()
        with torch.no_grad(), watch(model) as maps:
            logits = model(x)
        assert logits.shape == (2, 1, 37, 41)
        shown = maps["saliency"][0]
        wanted = logits.flatten(1).softmax(1).view_as(logits) if density else logits.sigmoid()
        torch.testing.assert_close(shown, wanted)
        gates = [key for key in maps if key.endswith("gate/spatial")]
        assert len(gates) == 4  # on every level but the coarsest


def test_without_gates_the_decoder_is_the_same_but_for_them() -> None:
    gated, plain = (SaliencyNet(backbone=BACKBONE, width=5, gates=gates).eval() for gates in (True, False))
    missing = gated.load_state_dict(plain.state_dict(), strict=False)
    assert not missing.unexpected_keys and missing.missing_keys
    assert all(".gate." in name for name in missing.missing_keys)
    x = torch.rand(2, 3, 37, 41)
    with torch.no_grad(), watch(plain) as maps:
        before = plain(x)
    assert list(maps) == ["saliency"]
    for join in gated.joins:
        if join.gate is not None:  # α = 1
            join.gate.forward = lambda features, signal: features
    with torch.no_grad():
        torch.testing.assert_close(gated(x), before, rtol=0, atol=0)


def test_a_backbone_whose_maps_have_their_channels_last() -> None:
    model = SaliencyNet(backbone="swin_tiny_patch4_window7_224", width=4).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 3, 224, 224)).shape == (1, 1, 224, 224)


def test_maps_with_channels_last_are_told_by_the_backbone_and_not_by_their_size() -> None:
    """At 192 × 192 the first maps have as many rows as channels: 48."""
    torch.manual_seed(0)
    model = SaliencyNet(backbone="mambaout_femto", width=4).eval()
    seen: list[torch.Tensor] = []
    model.joins[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = torch.rand(1, 3, 192, 192)
    with torch.no_grad():
        model(x)
        finest = model.encoder((x - model.mean) / model.std)[0]
    assert finest.shape == (1, 48, 48, 48)
    assert torch.equal(seen[0], finest.permute(0, 3, 1, 2))


@pytest.mark.parametrize(("channels", "shape"), [(3, (2, 1, 32, 32)), (1, (2, 3, 32, 32)), (3, (3, 32, 32))])
def test_an_image_of_other_channels_is_refused(channels: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"B C H W, C={channels} is needed"):
        SaliencyNet(channels, backbone=BACKBONE, width=4)(torch.rand(shape))


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"backbone": "resnet81"}, LookupError, "did you mean"),
        ({"backbone": "test_vit"}, ValueError, "several resolutions"),
        ({"width": 0}, ValueError, "width=0"),
    ],
)
def test_what_cannot_be_built_is_named(kwargs: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SaliencyNet(**kwargs)


def test_published_weights_go_into_the_encoder_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, bool]] = []

    def encoder(backbone: str, channels: int, *, pretrained: bool, state: object) -> torch.nn.Module:
        asked.append((backbone, channels, pretrained))
        return given

    model = SaliencyNet(2, backbone=BACKBONE, width=4)
    given = SaliencyNet(2, backbone=BACKBONE, width=4).encoder
    head = model.head.weight.clone()
    monkeypatch.setattr(saliency_net, "_encoder", encoder)
    model.start_from()
    assert asked == [(BACKBONE, 2, True)]
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(value, given.state_dict()[name]), name
    assert torch.equal(model.head.weight, head)


@pytest.mark.slow
def test_the_tiny_variant_finds_the_digit(tmp_path: Path) -> None:
    listing = recipes.get("salient-objects")
    recipe = built(listing, tiny=True)
    result = running.train(listing, recipe, out=tmp_path, changes={"epochs": 5})
    mean = torch.stack([recipe.train[i]["mask"][0] for i in range(len(recipe.train))]).mean(0)
    known = averaged(measures(mean, recipe.test[i]["mask"][0] > 0) for i in range(len(recipe.test))).scores()
    for measure in ("max_f", "s_measure"):
        assert result["scores"][measure] > known[measure] + 0.05, "no better than the mean mask"
    model = running.load(recipe, tmp_path / "model.safetensors")
    assert running.evaluate(recipe, model) == pytest.approx(result["scores"])


@pytest.mark.slow
def test_the_tiny_variant_predicts_fixations_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    listing = recipes.get("fixations")
    recipe = built(listing, tiny=True)
    recipe = replace(recipe, train=Subset(recipe.train, range(96)))

    def train(folder: str, **kwargs: object) -> dict:
        return running.train(listing, recipe, out=tmp_path / folder, changes={"epochs": 4}, **kwargs)

    class Stop(Exception):
        pass

    def stop(done: int, record: dict) -> None:
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        train("interrupted", on_epoch=stop)
    scores = train("interrupted")["scores"]
    assert scores == train("whole")["scores"]
    assert scores["nss"] > 1.2 and scores["auc_judd"] > 0.75 and scores["cc"] > 0.3  # chance: 0, 0.5 and 0


def test_recipes_read_the_published_layouts(tmp_path: Path) -> None:
    for name in ("salient-objects", "fixations"):
        with pytest.raises(ValueError, match="data=None: a folder with"):
            built(recipes.get(name))
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
        for i in range(5):
            image = np.full((30, 40, 3), 10 * i, np.uint8)
            image[5:20, 8:30] = 255
            Image.fromarray(image).save(tmp_path / part / f"{i}.png")
    content = {f"{i}.png": [[[9.0, 9.0]], [[20.0, 12.0]]] for i in range(5)}
    (tmp_path / "fixations.json").write_text(json.dumps(content))
    for name, axes in (("salient-objects", 1), ("fixations", 2)):
        recipe = built(recipes.get(name), tmp_path)
        assert (len(recipe.train), len(recipe.test)) == (4, 1)
        image, label, *_ = recipe.test[0].values()
        assert image.shape == (3, saliency.SIZE, saliency.SIZE) and label.shape == (axes, saliency.SIZE, saliency.SIZE)
    test = masks.Masked(masks.read(tmp_path)[1], 32, own=True)
    scores = evaluate(SaliencyNet(backbone=BACKBONE, width=4), SalientObjects(), test)
    assert set(scores) >= {"mae", "max_f", "s_measure", "max_e"}
