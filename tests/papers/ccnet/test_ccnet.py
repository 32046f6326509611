"""Where criss-cross attention looks."""

from __future__ import annotations

import pytest
import torch

import regard
from regard import watch


def built(recurrence: int) -> torch.nn.Module:
    torch.manual_seed(0)
    module = regard.create("cca", channels=8, recurrence=recurrence).double()
    torch.nn.init.ones_(module.gamma)
    return module


def reach(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The positions that the output at (2, 1) depends on."""
    x = x.requires_grad_()
    (gradient,) = torch.autograd.grad(module(x)[0, :, 2, 1].sum(), x)
    return gradient[0].abs().sum(0) > 0


def test_one_pass_sees_column_and_row_and_two_see_everything() -> None:
    x = torch.randn(1, 8, 5, 3, dtype=torch.double)
    cross = torch.zeros(5, 3, dtype=torch.bool)
    cross[2], cross[:, 1] = True, True
    assert torch.equal(reach(built(1), x), cross)
    assert reach(built(2), x).all()


@pytest.mark.parametrize("grid", [(5, 3), (1, 4), (4, 1), (1, 1)])
def test_equals_attention_over_all_positions_with_the_others_hidden(grid: tuple[int, int]) -> None:
    height, width = grid
    module, x = built(1), torch.randn(2, 8, height, width, dtype=torch.double)
    n = x.flatten(2)
    q, k, v = module.query(n), module.key(n), module.value(n)
    place = torch.arange(height * width)
    row, column = place // width, place % width
    visible = (row[:, None] == row) | (column[:, None] == column)
    a = (q.mT @ k).masked_fill(~visible, -torch.inf).softmax(-1)  # the position itself counts once
    torch.testing.assert_close(module(x), (v @ a.mT).view(x.shape) + x)


def test_every_pass_is_shown_and_hides_the_position_in_its_column() -> None:
    x = torch.randn(2, 8, 5, 3, dtype=torch.double)
    module = built(3)
    with watch(module) as maps:
        module(x)
    assert len(maps["affinity"]) == 3
    for look in maps["affinity"]:
        torch.testing.assert_close(look.sum(-1), torch.ones(2, 5, 3, dtype=torch.double))
        assert (look[..., :5].diagonal(dim1=1, dim2=3) == 0).all()


def test_the_head_says_that_the_attention_is_too_narrow() -> None:
    with pytest.raises(ValueError, match=r"hidden=5, from channels=20: at least 8"):
        regard.create("ccnet", 20, classes=3)
