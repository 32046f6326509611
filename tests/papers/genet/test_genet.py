"""Extents of gather-excite against windows written out, and what a gate for one size of map refuses."""

from __future__ import annotations

import math

import pytest
import torch

from regard import attach, watch
from regard.papers.genet.mechanism import GatherExcite
from regard.papers.resnet.network import PaperNetwork


@pytest.mark.parametrize("extent", [2, 4, 8])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (16, 13), (9, 24)])
def test_windows_count_what_lies_inside_the_map(extent: int, height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    module = GatherExcite(3, extent=extent)
    gathered = module.gather(x)
    assert gathered.shape == (2, 3, math.ceil(height / extent), math.ceil(width / extent))
    for i in range(gathered.shape[2]):
        for j in range(gathered.shape[3]):
            rows = slice(max(0, i * extent - extent + 1), i * extent + extent)
            columns = slice(max(0, j * extent - extent + 1), j * extent + extent)
            torch.testing.assert_close(gathered[:, :, i, j], x[:, :, rows, columns].mean((2, 3)))
    with watch(module) as maps:
        y = module(x)
    torch.testing.assert_close(y, x * maps["gate"][0])


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["theta", "theta_plus"])
@pytest.mark.parametrize("extent", [4, 8])
def test_larger_extents_are_exported_from_the_size_that_leaves_two_windows(variant: str, extent: int) -> None:
    module = GatherExcite(6, variant=variant, extent=extent, reduction=3).eval()
    least = extent + 1
    sizes = {axis: torch.export.Dim(name, min=least, max=512) for axis, name in ((2, "H"), (3, "W"))}
    program = torch.export.export(module, (torch.randn(2, 6, 2 * extent + 3, 3 * extent),), dynamic_shapes=(sizes,))
    for height, width in [(least, 2 * extent), (37, 29)]:
        x = torch.randn(2, 6, height, width)
        torch.testing.assert_close(program.module()(x), module(x))


def test_a_kernel_for_the_whole_map_wants_its_size() -> None:
    with pytest.raises(ValueError, match=r"grid=None, extent=None: \(H, W\) is needed where variant='theta'"):
        GatherExcite(6, variant="theta")
    with pytest.raises(ValueError, match=r"shape \(2, 6, 7, 5\).*H=7, W=6"):
        GatherExcite(6, variant="theta", grid=(7, 6))(torch.randn(2, 6, 7, 5))
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3))
    attach(model, "ge", after="0", variant="theta", example=torch.randn(1, 3, 9, 8))
    assert model[0].attention.kernel.shape == (6, 7, 6)


@pytest.mark.parametrize("extent", [0, 1, 6, -2])
def test_extents_are_powers_of_two(extent: int) -> None:
    with pytest.raises(ValueError, match=f"extent={extent}"):
        GatherExcite(6, extent=extent)


@pytest.mark.parametrize("extent", [2, 4, 8])
def test_an_extent_costs_a_convolution_and_a_norm_for_each_halving(extent: int) -> None:
    with torch.device("meta"):
        plain, free, learned = (
            sum(parameter.numel() for parameter in PaperNetwork(name=f"ge_resnet50_{name}").parameters())
            for name in ("theta_minus", f"theta_minus_e{extent}", f"theta_e{extent}")
        )
    channels = 3 * 256 + 4 * 512 + 6 * 1024 + 3 * 2048
    assert free == plain
    assert learned - plain == (9 + 2) * channels * {2: 1, 4: 2, 8: 3}[extent]


def test_a_gate_of_one_size_refuses_another() -> None:
    network = PaperNetwork(name="ge_resnet50_theta", width=16, blocks=(1,), image_size=32).eval()
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
    with pytest.raises(ValueError, match=r"\(1, 3, 40, 40\).*H=32, W=32"):
        network(torch.zeros(1, 3, 40, 40))
