"""Sinusoidal positions: the values of the paper and of the official code."""

from __future__ import annotations

import math

import pytest
import torch

from regard import create


def test_sinusoids_of_the_paper() -> None:
    table = create("sinusoidal", 6)(torch.zeros(1, 4, 6, dtype=torch.float64))[0]
    angles = [3 / 10000 ** (2 * i / 6) for i in range(3)]
    wanted = [f(angle) for angle in angles for f in (math.sin, math.cos)]
    torch.testing.assert_close(table[3], torch.tensor(wanted, dtype=torch.float64))
    torch.testing.assert_close(table[0], torch.tensor([0.0, 1.0] * 3, dtype=torch.float64))


def test_sinusoids_of_the_official_code() -> None:
    table = create("sinusoidal", 7, halves=True)(torch.zeros(1, 4, 7, dtype=torch.float64))[0]
    angles = [3 / 10000 ** (i / 2) for i in range(3)]
    wanted = [*map(math.sin, angles), *map(math.cos, angles), 0.0]
    torch.testing.assert_close(table[3], torch.tensor(wanted, dtype=torch.float64))


def test_sinusoids_of_a_map_count_rows_and_columns() -> None:
    rows, columns = create("sinusoidal", 9, dims=2)(torch.zeros(1, 9, 5, 3))[0].split((4, 5))
    line = create("sinusoidal", 4)(torch.zeros(1, 5, 4))[0]
    torch.testing.assert_close(rows, line.T[:, :, None].expand(4, 5, 3))
    torch.testing.assert_close(columns[:4], line[:3].T[:, None].expand(4, 5, 3))
    assert columns[4].eq(0).all()


def test_a_table_made_without_gradients_serves_training() -> None:
    module = create("sinusoidal", 8)
    with torch.inference_mode():
        module(torch.randn(1, 43, 8))
    x = torch.randn(2, 43, 8, requires_grad=True)
    (module(x) ** 2).sum().backward()
    assert x.grad is not None


def test_positions_refuse_what_is_no_sequence() -> None:
    with pytest.raises(ValueError, match="B T C, C=8 is needed"):
        create("sinusoidal", 8)(torch.randn(2, 8, 3, 5))
    with pytest.raises(ValueError, match="dims=3"):
        create("sinusoidal", 8, dims=3)
