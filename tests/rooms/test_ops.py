"""Fast forms against plain ones, outputs and all gradients, at awkward sizes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from regard.ops import affinity, pooling
from regard.papers.scse.mechanism import _added, _larger


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_()


def agree(fast, plain, inputs: list[Tensor], rtol: float = 1e-9) -> None:
    ours, theirs = fast(*inputs), plain(*inputs)
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=1e-11)
    probe = randn(*theirs.shape, seed=9, dtype=theirs.dtype).detach()
    for got, wanted in zip(
        torch.autograd.grad(ours, inputs, probe), torch.autograd.grad(theirs, inputs, probe), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=rtol, atol=1e-9)


# Below and above the sizes at which the form changes.
PAIRS = [(1, 1), (7, 3), (35, 35), (1100, 997), pytest.param(4201, 4099, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("queries", "keys"), PAIRS)
@pytest.mark.parametrize(("width", "out"), [(3, 3), (5, 2), (2, 5)])
def test_softmax_attention(queries: int, keys: int, width: int, out: int) -> None:
    def plain(q, k, v):
        return (0.7 * q @ k.mT).softmax(-1) @ v

    inputs = [randn(1, queries, width), randn(1, keys, width, seed=1), randn(1, keys, out, seed=2)]
    agree(lambda q, k, v: affinity.softmax_attend(q, k, v, scale=0.7), plain, inputs)
    agree(lambda q, k, v: affinity.softmax_weights(q, k, scale=0.7) @ v, plain, inputs)


@pytest.mark.parametrize(("queries", "keys"), PAIRS[:4])
@pytest.mark.parametrize(("width", "out"), [(3, 3), (40, 31)])
def test_product_attention(queries: int, keys: int, width: int, out: int) -> None:
    inputs = [randn(2, queries, width), randn(2, keys, width, seed=1), randn(2, keys, out, seed=2)]
    agree(affinity.product_attend, lambda q, k, v: (q @ k.mT / keys) @ v, inputs)
    agree(lambda q, k, v: affinity.product_weights(q, k) @ v, lambda q, k, v: (q @ k.mT / keys) @ v, inputs)


@pytest.mark.parametrize(("queries", "keys"), PAIRS[:4])
@pytest.mark.parametrize("shift", [0.0, 100.0, -100.0])
def test_rectified_sum_attention(queries: int, keys: int, shift: float) -> None:
    def plain(a, b, v):
        return F.relu(a[:, :, None] + b[:, None]) @ v / keys

    inputs = [randn(2, queries), randn(2, keys, seed=1), randn(2, keys, 3, seed=2)]
    agree(lambda a, b, v: affinity.sum_attend(a + shift, b - shift, v), plain, inputs, rtol=1e-8)


def test_rectified_sum_attention_keeps_digits_in_float32() -> None:
    """No worse than twice the rounding error of the direct form in the same type."""
    wide = [randn(1, 1500), randn(1, 1300, seed=1), randn(1, 1300, 4, seed=2)]
    exact = affinity.sum_weights(wide[0], wide[1]) @ wide[2]
    a, b, v = (x.detach().float() for x in wide)
    direct = affinity.sum_weights(a, b) @ v
    fast = affinity.sum_attend(a, b, v)
    assert fast.dtype == torch.float32
    assert (fast - exact).abs().max() <= 2 * (direct - exact).abs().max()


def test_ties_attend_to_nothing() -> None:
    """At a_q + b_k = 0 exactly the rectifier passes neither value nor gradient."""
    a = torch.zeros(1, 1100, dtype=torch.float64, requires_grad=True)
    b = torch.zeros(1, 1000, dtype=torch.float64, requires_grad=True)
    v = randn(1, 1000, 2)
    y = affinity.sum_attend(a, b, v)
    assert torch.equal(y, torch.zeros_like(y))
    gradients = torch.autograd.grad(y.sum(), [a, b])
    assert all(torch.equal(gradient, torch.zeros_like(gradient)) for gradient in gradients)


LAYOUTS = [torch.contiguous_format, torch.channels_last]
SIZES = [(1, 1), (7, 5), (1, 9), (13, 13)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("gradient", [True, False])
def test_global_pools(layout: torch.memory_format, height: int, width: int, gradient: bool) -> None:
    plain = {
        "avg": lambda x: F.avg_pool2d(x, x.shape[2:]).flatten(1),
        "max": lambda x: F.max_pool2d(x, x.shape[2:]).flatten(1),
        "lp": lambda x: x.square().sum((2, 3)).sqrt(),
        "lse": lambda x: x.exp().sum((2, 3)).log(),
    }
    assert set(plain) == set(pooling.GLOBAL_POOLS)
    x = randn(2, 3, height, width).detach().to(memory_format=layout).requires_grad_()
    for name, pool in pooling.GLOBAL_POOLS.items():
        if gradient:
            agree(pool, plain[name], [x])
        else:
            with torch.no_grad():
                torch.testing.assert_close(pool(x), plain[name](x))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_gradient_of_a_maximum_goes_to_one_of_equal_positions(layout: torch.memory_format) -> None:
    x = torch.zeros(2, 3, 5, 4).to(memory_format=layout).requires_grad_()
    agree(pooling.maximum, lambda x: F.max_pool2d(x, x.shape[2:]).flatten(1), [x])
    agree(pooling.channel_maximum, lambda x: x.max(1, keepdim=True).values, [x])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pools_over_channels_and_weighted_positions(layout: torch.memory_format, height: int, width: int) -> None:
    x = randn(2, 3, height, width).detach().to(memory_format=layout).requires_grad_()
    m = randn(2, 1, height * width, seed=1)
    agree(pooling.channel_average, lambda x: x.mean(1, keepdim=True), [x])
    agree(pooling.channel_maximum, lambda x: x.max(1, keepdim=True).values, [x])
    agree(pooling.weighted, lambda x, m: (x * m.unflatten(-1, x.shape[2:])).sum((2, 3)), [x, m])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("height", "width"), [*SIZES, (8, 12), (61, 57)])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 5), (3, 8)])
def test_adaptive_average(layout: torch.memory_format, height: int, width: int, size: tuple[int, int]) -> None:
    x = randn(2, 3, height, width).detach().to(memory_format=layout).requires_grad_()
    agree(lambda x: pooling.adaptive_average(x, size), lambda x: F.adaptive_avg_pool2d(x, size), [x])
    for level, bins in enumerate(size):
        agree(lambda x: pooling.pyramid_average(x, size)[level], lambda x: F.adaptive_avg_pool2d(x, bins), [x])  # noqa: B023


@pytest.mark.slow
def test_adaptive_average_is_exported_for_every_size() -> None:
    class Pools(torch.nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            back = pooling.adaptive_average(pooling.adaptive_average(x, (4, 3)), (x.shape[2], x.shape[3]))
            return [back, *pooling.pyramid_average(x, (1, 6))]

    sizes = {axis: torch.export.Dim(name, min=1) for axis, name in ((0, "B"), (2, "H"), (3, "W"))}
    program = torch.export.export(Pools(), (randn(2, 3, 7, 11).detach(),), dynamic_shapes=(sizes,)).module()
    for shape in [(1, 3, 1, 1), (5, 3, 8, 2), (3, 3, 31, 64)]:
        x = randn(*shape).detach()
        for got, wanted in zip(program(x), Pools()(x), strict=True):
            torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (31, 23)])
@pytest.mark.parametrize("count", [1, 3, 20, 60])
def test_filtered_maps(layout: torch.memory_format, height: int, width: int, count: int) -> None:
    def plain(x: Tensor, filters: Tensor) -> Tensor:
        return (x * filters.repeat_interleave(60 // count, 0)).sum((2, 3))

    x = randn(2, 60, height, width).detach().to(memory_format=layout).requires_grad_()
    filters = randn(count, height, width, seed=1)
    agree(pooling.filtered, plain, [x, filters])
    with torch.no_grad():
        torch.testing.assert_close(pooling.filtered(x, filters), plain(x, filters))
        wanted = plain(x, filters).bfloat16()
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(pooling.filtered(x.bfloat16(), filters.float()), wanted, rtol=0.05, atol=0.5)


@pytest.mark.parametrize("value", [200.0, 1e4])
def test_float16_bins_do_not_overflow(value: float) -> None:
    for shape in [(1, 2, 13, 11), (1, 2, 64, 60)]:
        x = torch.full(shape, value, dtype=torch.float16)
        for pooled in (pooling.adaptive_average(x, (4, 3)), *pooling.pyramid_average(x, (1, 2))):
            torch.testing.assert_close(pooled, torch.full_like(pooled, value))


def test_float16_averages_do_not_overflow() -> None:
    x = torch.full((1, 2, 64, 64), 200.0, dtype=torch.float16)
    assert torch.equal(pooling.average(x), torch.full((1, 2), 200.0, dtype=torch.float16))
    assert pooling.power(x).isfinite().all()


def test_the_power_pool_has_no_gradient_at_zero() -> None:
    x = torch.zeros(1, 2, 3, 3, requires_grad=True)
    pooling.power(x).sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_gates_at_once(layout: torch.memory_format) -> None:
    x = randn(2, 3, 5, 4).detach().relu().to(memory_format=layout).requires_grad_()  # zeros, so ties
    c, s = randn(2, 3, 1, 1, seed=1), randn(2, 1, 5, 4, seed=2)
    agree(_added, lambda x, c, s: x * c + x * s, [x, c, s])
    agree(_larger, lambda x, c, s: torch.maximum(x * c, x * s), [x, c, s])
    with torch.no_grad():
        torch.testing.assert_close(_larger(x, c, s), torch.maximum(x * c, x * s))
