"""Action recognition using visual attention: its equations written out, what each score knows, its loss, its recipe."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regard import watch
from regard.catalog import recipes
from regard.data.batches import Batch
from regard.data.drawn_events import CLASSES, DrawnEvents
from regard.papers.action_attention.network import ActionAttention
from regard.papers.action_attention.task import ClassifyFrames
from regard.training import running
from regard.training.recipe import built

LISTING = recipes.get("action-attention")
SIZES: dict[str, Any] = {"classes": 5, "hidden": 11, "layers": 2, "output": 13, "dropout": 0.0}


def network(score: str, **more: Any) -> ActionAttention:
    torch.manual_seed(0)
    model = ActionAttention(7, score=score, places=(2, 3), attention=17, **{**SIZES, **more}).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0, 0.4)
    return model


def written_out(model: ActionAttention, clip: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """(2) to (6) for one clip `D T H W`, place by place: the probabilities of every frame, and its weights."""
    frames = clip.shape[1]
    places = [[clip[:, t, i, j] for i in range(2) for j in range(3)] for t in range(frames)]
    m = sum(x for frame in places for x in frame) / (6 * frames)
    state = [torch.tanh(layer.weight @ m + layer.bias) for layer in model.first]  # type: ignore[union-attr]
    h, c = state[0::2], state[1::2]
    said, looked = [], []
    for frame in places:
        if model.score == "location":
            e = [row @ h[-1] for row in model.where.weight]  # type: ignore[union-attr]
        else:
            u, w, v = model.value, model.place, model.state
            e = [u.weight[0] @ torch.tanh(w.weight @ x + w.bias + v.weight @ h[-1]) + u.bias[0] for x in frame]  # type: ignore[union-attr]
        total = sum(torch.exp(one) for one in e)
        weights = [torch.exp(one) / total for one in e]
        x = sum(weight * one for weight, one in zip(weights, frame, strict=True))
        for i, layer in enumerate(model.memory):
            gates = layer.input.weight @ x + layer.input.bias + layer.state.weight @ h[i]  # type: ignore[union-attr]
            a, b, g, o = gates.split(11)
            c[i] = torch.sigmoid(b) * c[i] + torch.sigmoid(a) * torch.tanh(g)
            h[i] = torch.sigmoid(o) * torch.tanh(c[i])
            x = h[i]
        y = torch.tanh(model.output.weight @ x + model.output.bias)
        logits = model.classify.weight @ y + model.classify.bias
        said.append(torch.exp(logits) / torch.exp(logits).sum())
        looked.append(torch.stack(weights).view(2, 3))
    return said, looked


@pytest.mark.parametrize("score", ["location", "content"])
def test_the_network_is_its_equations(score: str) -> None:
    model, clips = network(score), torch.randn(3, 7, 5, 2, 3, dtype=torch.float64)
    with torch.no_grad(), watch(model) as maps:
        found = model(clips)
        steps = model(clips, steps=True)
    for i, clip in enumerate(clips):
        said, looked = written_out(model, clip)
        torch.testing.assert_close(steps.log_probabilities[i].exp(), torch.stack(said), atol=1e-12, rtol=0)
        torch.testing.assert_close(maps["spatial"][0][i], torch.stack(looked), atol=1e-12, rtol=0)
        torch.testing.assert_close(found[i].exp(), torch.stack(said).mean(0), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("score", "first"), [("location", 3), ("content", 2)])
def test_the_score_of_a_location_does_not_see_the_frame_that_it_looks_at(score: str, first: int) -> None:
    model = network(score)
    for layer in model.first:  # else the mean of all frames is known from the first one on
        nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
    clip = torch.randn(1, 7, 5, 2, 3, dtype=torch.float64)
    other = clip.clone()
    other[:, :, 2] = torch.randn(1, 7, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        gap = (model(clip, steps=True).weights - model(other, steps=True).weights).abs().amax((0, 2, 3))
    assert gap[:first].max() == 0 and gap[first:].min() > 1e-6


def test_on_maps_of_one_place_there_is_nothing_to_attend_to() -> None:
    """The network of a mean over places is the network itself, on means."""
    model = network("content")
    maps = torch.randn(2, 7, 5, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        nn.init.zeros_(model.value.weight)  # type: ignore[union-attr]  # all scores are equal
        torch.testing.assert_close(model(maps), model(maps.mean((3, 4), keepdim=True)), atol=1e-12, rtol=0)


def test_the_loss_is_the_cross_entropy_of_every_frame_and_the_penalty() -> None:
    model, clip, label = network("content", coverage=0.7), torch.randn(2, 7, 5, 2, 3).double(), torch.tensor([4, 1])
    batch = Batch({"image": clip, "label": label})
    loss, figures = ClassifyFrames(5).loss(model, batch)
    said = model(clip, steps=True)
    entropy = -sum(said.log_probabilities[b, t, label[b]] for b in range(2) for t in range(5)) / 10
    covered = sum((1 - said.weights[b, :, i, j].sum()) ** 2 for b in range(2) for i in range(2) for j in range(3)) / 12
    torch.testing.assert_close(figures["entropy"], entropy)
    torch.testing.assert_close(loss, entropy + 0.7 * covered)
    views = torch.stack([clip, clip.flip(2)], 2)
    answers, _ = ClassifyFrames(5).answers(model, Batch({"image": views, "label": label}))
    wanted = (model(clip).exp() + model(clip.flip(2)).exp()) / 2
    torch.testing.assert_close(answers.exp(), wanted.to(answers.dtype))


def test_a_map_of_another_size_is_refused_where_places_have_weights() -> None:
    with pytest.raises(ValueError, match=r'maps of 3 x 3 places; places=\(2, 3\) are needed, or score="content"'):
        network("location")(torch.zeros(1, 7, 2, 3, 3).double())
    assert network("content")(torch.zeros(1, 7, 2, 3, 3).double()).shape == (1, 5)
    with pytest.raises(ValueError, match="score='mean': 'location' or 'content' is needed"):
        ActionAttention(7, classes=5, score="mean")


def test_the_recipe_asks_for_videos_and_knows_its_options() -> None:
    with pytest.raises(ValueError, match="a folder of videos is needed"):
        built(LISTING)
    with pytest.raises(ValueError, match="views='two'"):
        built(LISTING, Path("videos"), options={"views": "two"})


@pytest.mark.slow
def test_the_tiny_variant_learns_and_needs_the_order_of_the_frames(tmp_path: Path) -> None:
    """Three seeds beside a control: the trained network on the same frames in reverse, which are of another class."""
    scores, control = [], []
    recipe = built(LISTING, tiny=True)
    for seed in range(3):
        result = running.train(LISTING, recipe, out=tmp_path / str(seed), seed=seed)
        scores.append(result["scores"]["error"])
        model = running.load(recipe, tmp_path / str(seed)).eval()
        test = DrawnEvents(count=60, frames=4, size=24, coloured=True, part="test")
        clips = torch.stack([test.clip(i) for i in range(60)])
        with torch.no_grad():
            said = model((clips.flip(2) - 0.2) / 0.25).argmax(1)
        control.append(100 * float((said != torch.tensor(test.labels)).float().mean()))
    assert max(scores) < 35 and min(control) > 65, (scores, control)
    assert math.isclose(100 * (1 - 1 / len(CLASSES)), 83.3, abs_tol=0.1)  # the error of a guess
