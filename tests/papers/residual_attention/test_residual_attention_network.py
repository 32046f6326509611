"""Residual Attention Networks by their names: published counts, depth, stages, wrong arguments, and the recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from regard import watch
from regard.catalog import recipes
from regard.papers.residual_attention.network import ResidualAttentionNetwork, module_counts
from regard.training import running
from regard.training.recipe import built

SMALL = {"classes": 5, "width": 2, "stem": "cifar"}


@pytest.mark.parametrize(
    ("depth", "unit", "count"),
    [
        (56, "preact", 31_810_728),
        (92, "preact", 52_466_344),
        (56, "resnext", 31_318_824),
        (92, "resnext", 52_102_952),
    ],
)
def test_as_many_parameters_as_the_released_definitions(depth: int, unit: str, count: int) -> None:
    with torch.device("meta"):
        network = ResidualAttentionNetwork(depth=depth, unit=unit)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize(("depth", "millions"), [(92, 1.9), (236, 5.1)])
def test_as_many_parameters_on_cifar_as_the_papers_table(depth: int, millions: float) -> None:
    with torch.device("meta"):
        network = ResidualAttentionNetwork(depth=depth, stem="cifar", width=16, classes=100)
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 1) == millions


def test_no_error_of_the_paper_stands_beside_a_network_with_other_parameters() -> None:
    for name, comparable in (("cifar", False), ("cifar-92", True), ("cifar-236", True)):
        claim = recipes.get(f"residual-attention-{name}").claim
        assert claim is not None and (not claim.unlike) == comparable


def test_attention_452_has_larger_modules() -> None:
    with torch.device("meta"):
        network = ResidualAttentionNetwork(depth=452, stem="cifar", width=16)
        small = ResidualAttentionNetwork(depth=92, stem="cifar", width=16, p=2, t=4, r=3)
    for net, modules in ((network, 6), (small, 1)):
        assert [len(stage) for stage in net.stages] == [modules] * 3
        first = net.stages[0][0]
        assert [len(first.pre), len(first.trunk), len(first.post)] == [2, 4, 2]
        assert [len(units) for units in first.down] == [3, 3, 6] and [len(units) for units in first.up] == [3, 3]


@pytest.mark.slow
@pytest.mark.parametrize("depth", [56, 92, 128, 164, 236, 452])
@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_the_trunk_is_as_deep_as_the_name_says(depth: int, stem: str) -> None:
    with torch.device("meta"):
        network = ResidualAttentionNetwork(depth=depth, stem=stem, width=8)
    branches = (".down.", ".skip.", ".up.", ".project")
    inside = [name for name, part in network.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    mask = [f"stages.{stage}.{i}.conv" for stage in range(3) for i in range(depth)]
    trunk = [name for name in inside if not any(part in name for part in branches) and name.rstrip("12") not in mask]
    assert len(trunk) == depth


def test_imagenet_and_cifar_differ_in_attention_92_alone() -> None:
    assert module_counts(92) == (1, 2, 3)
    assert module_counts(92, stem="cifar") == (2, 2, 2)
    assert module_counts(236) == module_counts(236, stem="cifar") == (6, 6, 6)
    assert module_counts(452, units=8) == (6, 6, 6)  # p = 2 and t = 4
    assert module_counts(452) == (12, 12, 12)


def test_masks_are_as_large_as_their_stages() -> None:
    network = ResidualAttentionNetwork(depth=56, **SMALL).eval()
    with watch(network) as maps, torch.no_grad():
        assert network(torch.randn(2, 3, 16, 24)).shape == (2, 5)
    shapes = {key: tuple(look.shape) for key, (look,) in maps.items()}
    assert shapes == {
        "stages.0.0/spatial": (2, 8, 16, 24),
        "stages.1.0/spatial": (2, 16, 8, 12),
        "stages.2.0/spatial": (2, 32, 4, 6),
    }


@pytest.mark.parametrize("unit", ["preact", "resnext", "inception"])
def test_a_batch_of_one_position_is_refused_in_training(unit: str) -> None:
    network = ResidualAttentionNetwork(unit=unit, modules=(0, 0, 0), **SMALL)
    assert network.eval()(torch.randn(1, 3, 4, 4)).shape == (1, 5)
    with pytest.raises(ValueError, match="batch of at least 2"):
        network.train()(torch.randn(1, 3, 4, 4))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depth": 50}, r"depth=50.*56, 92"),
        ({"depth": 20}, "depth=20"),
        ({"depth": 236, "t": 3}, "depth=236: 65, 110, 155, 200 or another in steps of 45"),
        ({"r": 0}, "r=0"),
        ({"stem": "mnist"}, "stem='mnist': 'imagenet' or 'cifar'"),
        ({"unit": "dense"}, "unit='dense'.*resnext"),
        ({"modules": (1, 1)}, r"modules=\(1, 1\): 3 values"),
        ({"modules": (1, 1, -1)}, "modules=.*at least 0"),
        ({"unit": "resnext", "groups": 3, "modules": (0, 0, 0)}, "groups=3.*4"),
        ({"width": 0}, "width=0"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResidualAttentionNetwork(**{**SMALL, **wrong})


@pytest.mark.slow
def test_the_tiny_variant_learns_and_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    def never(*_: object) -> None:
        raise AssertionError("it was trained again")

    listing = recipes.get("residual-attention-cifar")
    recipe = built(listing, tiny=True)
    result = running.train(listing, recipe, out=tmp_path, changes={"epochs": 2})
    assert result["scores"]["error"] < 20  # 90 by chance
    again = running.train(listing, recipe, out=tmp_path, changes={"epochs": 2}, on_step=never)
    assert again["scores"] == result["scores"]
