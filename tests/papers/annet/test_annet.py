"""Asymmetric non-local blocks and their head, where laws and recordings do not reach."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import regard


def test_a_block_starts_without_context() -> None:
    block = regard.create("apnb", channels=6, dropout=0.0).eval()
    x = torch.randn(2, 6, 9, 7)
    weight = block.block.fuse.weight[:, 6:, None, None]
    wanted = F.conv2d(x, weight, block.block.fuse.bias).div((1 + 1e-5) ** 0.5).relu()
    torch.testing.assert_close(block(x), wanted)


@pytest.mark.parametrize(("shared", "momentum"), [(True, 0.19), (False, 0.1)])
def test_a_shared_norm_moves_twice(shared: bool, momentum: float) -> None:
    block = regard.create("apnb", channels=6, shared=shared)
    key = block.block.stages[0].key
    x = torch.randn(3, 6, 9, 7)
    mean = key.project(x.flatten(2)).mean((0, 2))
    block(x)
    torch.testing.assert_close(key.norm.running_mean, momentum * mean)


@pytest.mark.parametrize("stages", [1, 2])
def test_the_fusion_asks_a_map_of_another_size(stages: int) -> None:
    """Against the equations in the order in which they are written."""
    module = regard.create("afnb", channels=6, low_channels=4, out_channels=5, sizes=(1, 3), stages=stages)
    module = module.double().eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 0, 0.5)
    low, x = torch.randn(2, 4, 8, 10, dtype=torch.float64), torch.randn(2, 6, 4, 5, dtype=torch.float64)

    def pyramid(z: torch.Tensor) -> torch.Tensor:
        return torch.cat([F.adaptive_avg_pool2d(z, size).flatten(2) for size in (1, 3)], 2)

    def conv(layer, z: torch.Tensor) -> torch.Tensor:
        return F.conv2d(z, layer.weight[..., None, None], layer.bias)

    context = torch.zeros(2, 5, 4, 5, dtype=torch.float64)
    for stage in module.block.stages:
        q, k = (e.norm(conv(e.project, z)).relu() for e, z in ((stage.query, x), (stage.key, low)))
        a = (q.flatten(2).mT @ pyramid(k) / 3**0.5).softmax(-1)
        y = a @ pyramid(conv(stage.value, low)).mT
        context += conv(stage.out, y.mT.unflatten(2, (4, 5)))
    wanted = module.block.norm(conv(module.block.fuse, torch.cat([context, x], 1)))
    with regard.watch(module) as maps:
        torch.testing.assert_close(module(low, x), wanted)
    assert [look.shape for look in maps["affinity"]] == [(2, 20, 10)] * stages
    torch.testing.assert_close(maps["affinity"][-1], a)


def test_the_heads_default_widths_are_those_of_a_resnet_in_proportion() -> None:
    head = regard.create("annet", channels=32, classes=5).eval()
    assert head.fusion.block.stages[0].key.project.weight.shape == (4, 16)
    assert head.reduce[0].weight.shape[:2] == (8, 32)
    assert head.auxiliary[0].weight.shape[:2] == (8, 16)
    auxiliary, main = head(torch.randn(1, 16, 5, 7), torch.randn(1, 32, 5, 7))
    assert auxiliary.shape == main.shape == (1, 5, 5, 7)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("apnb", {"sizes": ()}, r"sizes=\(\): at least one value"),
        ("apnb", {"sizes": (1, 0)}, "sizes=0"),
        ("apnb", {"stages": 0}, "stages=0"),
        ("afnb", {"low_channels": -1}, "low_channels=-1"),
        ("afnb", {"value_hidden": 0}, "value_hidden=0"),
        ("annet", {"classes": 3, "size": (4, 0)}, "size=0"),
        ("annet", {"classes": 3, "auxiliary": -2}, "auxiliary=-2"),
    ],
)
def test_wrong_arguments_are_named(name: str, wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        regard.create(name, channels=8, **wrong)
