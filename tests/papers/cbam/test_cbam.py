"""CBAM: the three arrangements of its two gates, either gate alone, and what the spatial gate reads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from regard import create, watch


def trained(order: str) -> nn.Module:
    """A module whose spatial gate is not the constant one half that it starts with."""
    torch.manual_seed(0)
    module: nn.Module = create("cbam", channels=6, reduction=3, order=order).double().eval()
    nn.init.normal_(module.norm.weight)
    return module


def by_hand(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The channel gate and the spatial gate of x, from the equations."""
    pools = x.mean((2, 3)), x.amax((2, 3))
    channel = sum(module.expand(module.reduce(pool).relu()) for pool in pools).sigmoid()[:, :, None, None]
    statistics = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
    return channel, module.norm(module.conv(statistics)).sigmoid()


@pytest.mark.parametrize("order", ["channel-spatial", "spatial-channel", "parallel"])
def test_each_order_is_that_of_its_equation(order: str) -> None:
    module, x = trained(order), torch.randn(2, 6, 5, 3, dtype=torch.float64)
    with watch(module) as maps:
        y = module(x)
    channel, spatial = by_hand(module, x)
    if order == "channel-spatial":
        spatial = by_hand(module, x * channel)[1]
    elif order == "spatial-channel":
        channel = by_hand(module, x * spatial)[0]
    torch.testing.assert_close(maps["channel"][0], channel)
    torch.testing.assert_close(maps["spatial"][0], spatial)
    torch.testing.assert_close(y, x * channel * spatial)


def test_the_orders_share_their_weights_and_differ_in_their_output() -> None:
    x = torch.randn(2, 6, 5, 3, dtype=torch.float64)
    published = trained("channel-spatial")
    outputs = [published(x)]
    for order in ("spatial-channel", "parallel"):
        module = trained(order)
        module.load_state_dict(published.state_dict())
        outputs.append(module(x))
    assert not any(torch.allclose(outputs[a], outputs[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("descriptor", ["pools", "conv"])
def test_the_spatial_gate_stands_alone(descriptor: str) -> None:
    torch.manual_seed(0)
    # two channels: no bottleneck is made, and so none can be too narrow
    module = create("cbam", channels=2, channel=False, descriptor=descriptor).double().eval()
    nn.init.normal_(module.norm.weight)
    assert {name.partition(".")[0] for name, _ in module.named_parameters()} == (
        {"conv", "norm"} if descriptor == "pools" else {"describe", "conv", "norm"}
    )
    x = torch.randn(3, 2, 5, 7, dtype=torch.float64)
    with watch(module) as maps:
        y = module(x)
    if descriptor == "pools":
        read = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
    else:
        read = torch.einsum("bchw,c->bhw", x, module.describe.weight.flatten())[:, None]
    gate = module.norm(module.conv(read)).sigmoid()
    assert set(maps) == {"spatial"}
    torch.testing.assert_close(maps["spatial"][0], gate)
    torch.testing.assert_close(y, x * gate)


def test_either_gate_alone_is_that_of_the_parallel_arrangement() -> None:
    both, x = trained("parallel"), torch.randn(2, 6, 5, 3, dtype=torch.float64)
    with watch(both) as maps:
        both(x)
    for name, off in (("channel", {"spatial": False}), ("spatial", {"channel": False})):
        alone = create("cbam", channels=6, reduction=3, **off).double().eval()
        alone.load_state_dict({key: value for key, value in both.state_dict().items() if key in alone.state_dict()})
        torch.testing.assert_close(alone(x), x * maps[name][0])


def test_wrong_settings_are_named() -> None:
    for wrong, message in (
        ({"order": "serial"}, "order='serial': 'channel-spatial', 'spatial-channel' or 'parallel'"),
        ({"order": "parallel", "spatial": False}, "order='parallel': spatial=False leaves one gate"),
        ({"order": "parallel", "channel": False}, "order='parallel': channel=False leaves one gate"),
        ({"channel": False, "spatial": False}, "channel=False, spatial=False: one of the two gates"),
        ({"channel": None}, "channel=None: True or False"),
        ({"descriptor": "max"}, "descriptor='max': 'pools' or 'conv'"),
        ({"kernel_size": 4}, "kernel_size=4"),
        ({"pools": "avg"}, "pools='avg'"),
    ):
        with pytest.raises(ValueError, match=message):
            create("cbam", channels=16, **wrong)
