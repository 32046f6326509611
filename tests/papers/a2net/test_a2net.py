"""Double attention: both orders of its products."""

from __future__ import annotations

import pytest
import torch

from regard import create, watch
from regard.papers.a2net.mechanism import DoubleAttention


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("expand", [True, False])
def test_projecting_descriptors_equals_projecting_positions(expand: bool, residual: bool) -> None:
    hidden = 5 if expand or not residual else 7
    module = create("a2", channels=7, hidden=hidden, descriptors=3, expand=expand, residual=residual).double()
    x = torch.randn(2, 7, 5, 4, dtype=torch.float64)
    first = module(x)
    module.narrow = not module.narrow
    torch.testing.assert_close(module(x), first)


def test_the_cheaper_order_is_taken() -> None:
    assert not create("a2", channels=64).narrow
    assert create("a2", channels=64, hidden=4, descriptors=32).narrow


def test_what_cannot_be_added_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden=2 channels cannot be added to channels=8"):
        create("a2", channels=8, expand=False)


@pytest.mark.parametrize(
    ("name", "blocks", "parameters", "narrow"),
    [
        ("a2_resnet50", ["1.1", "1.3", "2.1", "2.3", "2.5"], 32_907_304, 2),
        ("a2_resnet26", ["1.0", "1.1", "2.0", "2.1"], 7_694_400, 4),
        ("resnet26_clips", [], 7_036_352, None),
    ],
)
def test_its_own_networks_have_their_blocks_in_the_middle(
    name: str, blocks: list[str], parameters: int, narrow: int | None
) -> None:
    """Behind the named blocks (stage and block, from 0); their counts are derived in the header of the networks."""
    with torch.device("meta"):
        network = create(name) if name == "a2_resnet50" else create(name, classes=400)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    found = []
    for stage, parts in enumerate(network.stages):
        block = -1
        for part in parts:
            if isinstance(part, DoubleAttention):
                found.append(f"{stage}.{block}")
                assert part.project.weight.shape[0] * narrow == part.gather.weight.shape[0] * narrow == part.channels
            else:
                block += 1
    assert found == blocks


def test_clips_are_attended_over_time_and_space() -> None:
    network = create("a2_resnet26", classes=5, width=8, blocks=(1, 2))
    clip = torch.randn(2, 3, 5, 48, 40)
    with watch(network) as maps:
        network(clip).sum().backward()
    # 48×40 behind the stem 12×10, behind stage 2, which halves time too, 6×5
    gathers = [of[0] for name, of in maps.items() if name.endswith("/gather")]
    assert [gather.shape for gather in gathers] == [(2, 16, 3, 6, 5)] * 2
    torch.testing.assert_close(gathers[0].sum((2, 3, 4)), torch.ones(2, 16))
    assert all(parameter.grad is not None for parameter in network.parameters())
