"""Pairwise mechanisms form no matrix of positions × positions, forward or backward, unless somebody watches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import regard
from regard.ops import affinity, heads

SIDE = 96


class Largest(TorchDispatchMode):
    """Remembers how many elements the largest tensor has that any operator returns."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = (x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor))
        self.numel = max(self.numel, *sizes, 0)
        return result


def largest(module: Any, *inputs: torch.Tensor) -> int:
    with Largest() as seen:
        outputs = module(*inputs)
        sum(y.sum() for y in (outputs if isinstance(outputs, tuple) else (outputs,))).backward()
    return seen.numel


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(
            ("nonlocal", {"affinity": kind})
            for kind in ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
        ),
        ("pam", {}),
        ("danet", {"classes": 3, "width": 8}),
        pytest.param("ia", {}, marks=pytest.mark.slow),
    ],
)
def test_a_large_map_forms_no_matrix_of_positions(name: str, options: dict[str, Any]) -> None:
    pool = {"pool": 1} if name == "nonlocal" else {}
    module = regard.create(name, channels=16, **pool, **options)
    x = torch.randn(1, 16, SIDE, SIDE, requires_grad=True)
    assert largest(module, x) <= 2 * 1024**2 * 8 < SIDE**4 / 4
    assert x.grad is not None


def test_watching_a_small_map_forms_it() -> None:
    module = regard.create("pam", channels=16)
    with regard.watch(module) as maps, Largest() as seen:
        module(torch.randn(1, 16, 13, 11))
    assert maps["affinity"][0].shape == (1, 143, 143)
    assert seen.numel == 143**2


@pytest.mark.parametrize(("width", "out"), [(8, 8), (2, 16), (16, 2), (8, 512)])
def test_attention_of_many_positions_is_never_formed(width: int, out: int) -> None:
    q, k, v = (torch.randn(1, 4200, size, requires_grad=True) for size in (width, width, out))
    assert largest(affinity.softmax_attend, q, k, v) <= 512 * 4200 < 4200**2


@pytest.mark.parametrize(("width", "out"), [(6, 6), (6, 2), (2, 6)])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_in_heads_is_never_formed(width: int, out: int, masked: bool) -> None:
    q, k, v = (torch.randn(1, 2, 2500, size, requires_grad=True) for size in (width, width, out))
    visible = torch.arange(2500)[None] % 3 > 0 if masked else None

    def attend(*inputs: torch.Tensor) -> torch.Tensor:
        return heads.attend(*inputs, scale=0.5, visible=visible)[0]

    assert largest(attend, q, k, v) <= 20 * 2500 < 2500**2
    wanted = heads.weights(q, k, scale=0.5, visible=visible) @ v
    torch.testing.assert_close(attend(q, k, v), wanted)


@pytest.mark.slow
def test_blocks_of_rows_give_what_the_whole_matrix_gives() -> None:
    module = regard.create("ia", channels=3, channel=False).eval()
    torch.nn.init.constant_(module.spatial_norm.weight, 0.7)
    x = torch.randn(1, 3, 67, 63, requires_grad=True)
    seen = module(x)
    with regard.watch(module):
        wanted = module(x)
    torch.testing.assert_close(seen, wanted)
    probe = torch.randn_like(x)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, probe)[0] for y in (seen, wanted)), rtol=1e-4, atol=1e-5)
