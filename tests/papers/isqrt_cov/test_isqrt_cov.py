"""Covariance pooling: the covariance, its square root, the triangle that is written out, and wrong settings."""

from __future__ import annotations

import pytest
import torch

from regard import create
from regard.ops import second_order


def test_covariance_is_the_textbook_one() -> None:
    x = torch.randn(3, 5, 7, dtype=torch.float64)
    wanted = torch.stack([torch.cov(sample, correction=0) for sample in x])
    torch.testing.assert_close(second_order.covariance(x), wanted)


def test_the_square_root_squares_to_the_matrix() -> None:
    x = torch.randn(2, 5, 40, dtype=torch.float64)
    s = second_order.covariance(x)
    root = second_order.square_root(s, iterations=20)
    torch.testing.assert_close(root @ root, s)


def test_one_iteration_is_the_first_of_newton_and_schulz() -> None:
    s = torch.diag(torch.tensor([3.0, 1.0]))[None]
    a = torch.tensor([0.75, 0.25])
    wanted = torch.diag(2 * a * (3 - a) / 2)[None]  # √tr = 2
    torch.testing.assert_close(second_order.square_root(s, iterations=1), wanted)


@pytest.mark.parametrize("triangle, wanted", [("upper", [0, 1, 2, 4, 5, 8]), ("lower", [0, 3, 4, 6, 7, 8])])
def test_a_triangle_is_written_row_by_row(triangle: str, wanted: list[int]) -> None:
    module = create("isqrt_covariance", channels=3, hidden=None, triangle=triangle)
    matrix = torch.arange(9.0).reshape(1, 3, 3)
    assert module.written_out(matrix)[0].tolist() == wanted


def test_a_map_without_variance_has_a_root_and_gradients() -> None:
    x = torch.full((2, 3, 4, 5), 7.0, requires_grad=True)
    y = create("isqrt_covariance", channels=3, hidden=None)(x)
    y.sum().backward()
    assert (y == 0).all() and x.grad is not None and (x.grad == 0).all()


@pytest.mark.parametrize(
    ("wrong", "says"), [({"iterations": -1}, "iterations=-1"), ({"triangle": "left"}, "triangle='left'")]
)
def test_wrong_settings_are_named(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        create("isqrt_covariance", channels=8, **wrong)
