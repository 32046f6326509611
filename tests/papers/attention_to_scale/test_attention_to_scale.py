"""Attention to scale: counts, sizes, losses, weights, and the recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from regard import create, published, watch
from regard.catalog import recipes
from regard.networks.large_fov import LargeFOV
from regard.papers.attention_to_scale.network import AttentionToScale, scaled_size
from regard.tasks.segment import Segment
from regard.training.loop import fit
from regard.training.recipe import built

GOLDEN = sorted((Path(__file__).parent / "golden").glob("a_*.safetensors"))


def parameters(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())


def small(**options: object) -> AttentionToScale:
    made: AttentionToScale = create(
        "attention_to_scale",
        **{"classes": 5, "width": 2, "features": 7, "hidden": 6, "dilation": 2, "scales": (1.0, 0.5), **options},
    )
    return made.eval()


def test_the_counts_are_those_of_deeplab_largefov_and_of_the_head() -> None:
    with torch.device("meta"):
        whole, average = AttentionToScale(), AttentionToScale(merge="average")
    assert parameters(average) == 20_505_429
    assert parameters(whole) - parameters(average) == parameters(whole.merge) == 14_157_827


def test_the_trunk_halves_three_times_and_looks_through_a_dilated_layer() -> None:
    trunk = LargeFOV(3, width=2, features=11).eval()
    assert trunk(torch.rand(2, 3, 41, 57)).shape == (2, 11, 6, 8)
    assert trunk.field.fc6.dilation == (12, 12)
    dilations = [layer.dilation[0] for stage in trunk.stages for layer in stage if isinstance(layer, nn.Conv2d)]
    assert dilations == [1] * 10 + [2] * 3


def test_the_trunk_takes_the_weights_of_vgg16() -> None:
    torch.manual_seed(0)
    widths, state, before, number = (4, 8, 16, 32, 32), {}, 3, 0
    for width, count in zip(widths, (2, 2, 3, 3, 3), strict=True):
        for _ in range(count):
            state[f"features.{number}.weight"] = torch.randn(width, before, 3, 3)
            state[f"features.{number}.bias"] = torch.randn(width)
            before, number = width, number + 2
        number += 1  # the pool
    state |= {"pre_logits.fc1.weight": torch.randn(20, 32, 7, 7), "pre_logits.fc1.bias": torch.randn(20)}
    state |= {"pre_logits.fc2.weight": torch.randn(20, 20, 1, 1), "pre_logits.fc2.bias": torch.randn(20)}
    network = small(width=4, features=5)
    network.start_from(state)
    first, last = network.trunk.stages[0][0], network.trunk.stages[4][4]
    assert torch.equal(first.weight, state["features.0.weight"])
    assert torch.equal(last.weight, state["features.28.weight"])
    assert torch.equal(network.trunk.field.fc6.weight, state["pre_logits.fc1.weight"][::4, :, ::3, ::3])
    assert torch.equal(network.trunk.field.fc7.weight, state["pre_logits.fc2.weight"][::4, ::4])
    del state["features.28.bias"]
    with pytest.raises(ValueError, match=r"features\.28\.weight of shape"):
        network.start_from(state)


def test_an_image_is_seen_at_the_sizes_of_the_paper() -> None:
    x = torch.rand(1, 3, 31, 42)
    assert [scaled_size(x, scale) for scale in (1.0, 0.75, 0.5)] == [(31, 42), (23, 32), (16, 21)]
    for side in range(1, 90):  # of halves the even one
        assert scaled_size(torch.rand(1, 1, side, 1), 0.5)[0] == round((side - 1) * 0.5) + 1


def test_the_prediction_has_the_size_of_the_image_and_each_scale_its_own() -> None:
    x = torch.rand(2, 3, 41, 57)
    outputs = small()(x)
    assert [tuple(one.shape) for one in outputs] == [(2, 5, 41, 57), (2, 5, 6, 8), (2, 5, 3, 4)]
    alone = small(extra=False)
    assert isinstance(alone(x), Tensor)
    with watch(alone) as maps:
        alone(x)
    (weights,) = maps["merge/scale"]
    assert weights.shape == (2, 2, 6, 8)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 6, 8))


@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet"])
def test_any_network_of_timm_serves_as_trunk(backbone: str) -> None:
    network = small(backbone=backbone, output_stride=8)
    assert [tuple(one.shape) for one in network(torch.rand(1, 3, 33, 65))] == [
        (1, 5, 33, 65),
        (1, 5, 5, 9),
        (1, 5, 3, 5),
    ]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_loss_is_the_recorded_one(path: Path) -> None:
    """Every cross-entropy at its own size, with labels resized to the nearest."""
    with safe_open(path, "pt") as file:
        facts = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    state = {key.removeprefix("param."): value for key, value in tensors.items() if key.startswith("param.")}
    network = published.rebuild(facts["reference"], json.loads(facts["args"]), state)
    outputs = network(tensors["input.0"])
    task = Segment(outputs[0].shape[1])
    parts = [task._entropy(one, tensors["label"].long(), hard=None) for one in outputs]
    for i, part in enumerate(parts):
        torch.testing.assert_close(part, tensors[f"loss.{i}"], rtol=1e-8, atol=1e-11)
    torch.testing.assert_close(torch.stack(parts).sum(), tensors["loss.total"], rtol=1e-8, atol=1e-11)


def test_extra_supervision_adds_a_loss_for_each_scale() -> None:
    torch.manual_seed(0)
    network, alone = small(), small(extra=False)
    alone.load_state_dict(network.state_dict())
    batch = {"image": torch.rand(2, 3, 41, 57), "mask": torch.randint(5, (2, 41, 57))}
    task = Segment(5, weights=(1.0, 1.0, 1.0))
    both = task.loss(network, batch)[0]  # type: ignore[arg-type]
    merged = task.loss(alone, batch)[0]  # type: ignore[arg-type]
    scales = [Segment(5)._entropy(one, batch["mask"], hard=None) for one in network(batch["image"])[1:]]
    torch.testing.assert_close(both, merged + scales[0] + scales[1])
    assert merged < both


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": (0.5, 1.0)}, r"scales=\(0\.5, 1\.0\): the largest first"),
        ({"scales": (1.0, 1.0)}, "no two equal"),
        ({"scales": (1.0,)}, "at least two are needed with merge='attention'"),
        ({"merge": "sum"}, "merge='sum': 'attention', 'average' or 'max'"),
        ({"backbone": "vit_nothing"}, "backbone='vit_nothing'"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, LookupError), match=message):
        small(**options)


def test_the_head_wants_the_maps_of_every_scale() -> None:
    head = create("scale_attention", channels=7, scales=2, hidden=3)
    fine, coarse, scores = torch.rand(2, 7, 11, 13), torch.rand(2, 7, 6, 7), torch.rand(2, 5, 11, 13)
    with pytest.raises(ValueError, match="3 maps: the features and the scores of 2 scales"):
        head(fine, coarse, scores)
    with pytest.raises(ValueError, match=r"scores of shape \(2, 5, 6, 7\)"):
        head(fine, coarse, torch.rand(2, 5, 6, 7), scores)


def test_the_recipe_has_the_papers_settings() -> None:
    from regard.papers.attention_to_scale.recipe import TRAINING

    assert (TRAINING.batch, TRAINING.lr, TRAINING.rates) == (30, 1e-3, {"classify.*": 10.0})
    tiny = built(recipes.get("attention-to-scale"), tiny=True, options={"merge": "max", "extra": False})
    assert tiny.build().extra is False
    with pytest.raises(ValueError, match="data=None: a folder with images/"):
        built(recipes.get("attention-to-scale"))
    with pytest.raises(ValueError, match="backbone='resnet18': None is needed for the tiny variant"):
        built(recipes.get("attention-to-scale"), tiny=True, options={"backbone": "resnet18"})


@pytest.mark.slow
def test_the_tiny_variant_beats_averages_over_three_seeds() -> None:
    found: dict[str, list[float]] = {}
    drawn = built(recipes.get("attention-to-scale"), tiny=True)
    train, samples = ([part[i] for i in range(len(part))] for part in (drawn.train, drawn.test))  # once for all
    batch = {name: torch.stack([sample[name] for sample in samples]) for name in ("image", "mask")}
    for merge in ("attention", "average"):
        for seed in (1, 2, 3):
            tiny = built(recipes.get("attention-to-scale"), tiny=True, options={"merge": merge})
            (phase,) = tiny.phases
            torch.manual_seed(seed)
            model = tiny.build()
            fit(model, phase.task, train, replace(phase.plan, seed=seed))
            metric = phase.task.metric()
            model.eval()
            with torch.no_grad():
                metric.update(*phase.task.answers(model, batch))  # type: ignore[arg-type]
            found.setdefault(merge, []).append(metric.compute()["miou"])
    assert min(found["attention"]) > 0.45
    assert sum(found["attention"]) > sum(found["average"])
