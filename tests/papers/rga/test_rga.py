"""Relation-aware attention: the affinity matrix that is never formed, and the size it is built for."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from regard import create

SMALL = {"channel_reduction": 3, "spatial_reduction": 5, "gate_reduction": 2}


def test_the_relations_are_those_of_the_whole_affinity_matrix() -> None:
    module = create("rga", channels=6, grid=(5, 3), channel=False, **SMALL).double().eval()
    x = torch.randn(2, 6, 15, dtype=torch.float64)
    part = module.spatial
    seen: list[torch.Tensor] = []
    part.relate_norm.register_forward_pre_hook(lambda norm, inputs: seen.append(inputs[0]))
    part(x)
    formed: list[torch.Tensor] = []
    part(x, lambda g: formed.append(g) or 2 * g)
    (g,) = formed  # [B, n, n]
    torch.testing.assert_close(g, part.theta(x).mT @ part.phi(x))
    wanted = part.relate.weight @ torch.cat([g.mT, g], 1)
    torch.testing.assert_close(seen[0], wanted)
    torch.testing.assert_close(seen[1], 2 * wanted)  # the matrix that `see` returns is used


def test_no_matrix_of_positions_is_formed_unless_watched() -> None:
    module = create("rga", channels=64, grid=(16, 16), channel=False).eval()
    sizes: list[int] = []

    class Largest(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                sizes.append(out.numel())
            return out

    with Largest(), torch.no_grad():
        module(torch.randn(1, 64, 16, 16))
    assert 0 < max(sizes) < 256 * 256 / 2


def test_a_single_number_takes_any_map_of_so_many_positions() -> None:
    module = create("rga", channels=6, grid=15, **SMALL).eval()
    x = torch.randn(1, 6, 5, 3)
    assert module(x).shape == x.shape and module(x.mT).shape == x.mT.shape
    with pytest.raises(ValueError, match=r"\(1, 6, 5, 4\).*15"):
        module(torch.randn(1, 6, 5, 4))


def test_another_grid_is_refused_by_name() -> None:
    module = create("rga", channels=6, grid=(5, 3), **SMALL).eval()
    with pytest.raises(ValueError, match=r"\(1, 6, 3, 5\).*\(5, 3\)"):
        module(torch.randn(1, 6, 3, 5))


def test_wrong_settings_are_named() -> None:
    for wrong, message in (
        ({"grid": (5, 3), "spatial": False, "channel": False}, "spatial=False, channel=False"),
        ({"grid": (5, 3, 2)}, r"grid=\(5, 3, 2\)"),
        ({"grid": (5, 0)}, "grid=0"),
        ({"grid": (2, 2), "spatial_reduction": 5}, "spatial_reduction=5.*at most 4"),
        ({"grid": (5, 3), "gate_reduction": 5}, "gate_reduction=5.*at most 4"),
    ):
        with pytest.raises(ValueError, match=message):
            create("rga", **{"channels": 6, **SMALL, **wrong})
