"""The paper's networks: where their gates stand, their counts, and how their maps come up again."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from regard import create, watch
from regard.core import Attention
from regard.papers.scse.network import _unpooled


def count(name: str, gate: str) -> int:
    with torch.device("meta"):
        network = create("scse_segmenter", name=name, gate=gate)
    return sum(parameter.numel() for parameter in network.parameters())


def gates(widths: list[int]) -> int:
    """Two layers with C / 2 hidden channels and their biases, and a projection to one channel with its bias."""
    return sum(2 * c * (c // 2) + c // 2 + c + c + 1 for c in widths)


@pytest.mark.parametrize(
    ("name", "widths", "plain"),
    [("densenet", [64] * 8, 3_516_971), ("sdnet", [64] * 8, 1_233_957), ("unet", [64, 128, 256, 512] * 2, 31_044_124)],
)
def test_counts_of_the_networks_and_their_gates(name: str, widths: list[int], plain: int) -> None:
    """The gates of the dense network are one percent of it, "about 1.5 %" in the paper's own words for all three."""
    assert count(name, "none") == plain
    assert count(name, "scse") - plain == gates(widths)
    assert count(name, "sse") - plain == sum(c + 1 for c in widths)


def test_the_dense_network_counts_as_its_blocks_do() -> None:
    """Per block: norms of C, C + 64 and C + 128 channels, 5 × 5 twice, 1 × 1, one slope."""

    def block(c: int) -> int:
        norms = 2 * (c + (c + 64) + (c + 128))
        return norms + 25 * 64 * (c + c + 64) + 64 * (c + 128) + 3 * 64 + 1

    assert count("densenet", "none") == block(1) + 4 * block(64) + 4 * block(128) + 28 * 65


@pytest.mark.parametrize("name", ["densenet", "sdnet", "unet"])
def test_every_block_but_the_bottleneck_has_a_gate_whose_map_is_watched(name: str) -> None:
    network = create("scse_segmenter", 3, classes=5, name=name, width=4)
    assert sum(isinstance(part, Attention) for part in network.modules()) == 8
    assert not any(isinstance(part, Attention) for part in network.bottleneck.modules())
    with watch(network) as maps:
        network(torch.randn(2, 3, 37, 50)).square().mean().backward()
    sides = [(37, 50), (19, 25), (10, 13), (5, 7)]
    for half in ("encoders", "decoders"):
        for level, side in enumerate(sides):
            assert maps[f"{half}.{level}.1/spatial"][0].shape == (2, 1, *side)
            wide = 4 * 2**level if name == "unet" else 4
            assert maps[f"{half}.{level}.1/channel"][0].shape == (2, wide, 1, 1)
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_unpooling_is_torch_s_own() -> None:
    u = torch.randn(2, 3, 8, 6)
    d, places = functional.max_pool2d(u, 2, return_indices=True)
    assert torch.equal(_unpooled(d, places), functional.max_unpool2d(d, places, 2))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["densenet", "sdnet", "unet"])
def test_each_network_learns_to_mark_a_square(name: str) -> None:
    """A bright square on noise, whose pixels are to be marked."""
    torch.manual_seed(0)
    network = create("scse_segmenter", 1, classes=2, name=name, width=4)
    learner = torch.optim.Adam(network.parameters(), lr=1e-2)
    truth = torch.zeros(8, 16, 16, dtype=torch.long)
    for i, mask in enumerate(truth):
        mask[i : i + 7, 8 - i : 15 - i] = 1
    images = truth[:, None] + 0.5 * torch.randn(8, 1, 16, 16)
    losses = []
    for _ in range(30):
        loss = functional.cross_entropy(network(images), truth)
        learner.zero_grad()
        loss.backward()
        learner.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": "fcn"}, "name='fcn': 'unet', 'sdnet' or 'densenet' is needed"),
        ({"gate": "max"}, "gate='max': 'scse', 'cse', 'sse' or 'none' is needed"),
        ({"width": 1}, "reduction=2: at most channels=1"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        create("scse_segmenter", **wrong)
