"""Interaction and aggregation: how near positions weigh, and wrong settings."""

from __future__ import annotations

import pytest
import torch

import regard
from regard.papers.ianet.mechanism import nearness


def test_nearness_of_a_plane_is_the_product_of_its_sides() -> None:
    height, width, (a, b) = 5, 3, (4.0, 2.0)
    one = torch.ones((), dtype=torch.double)
    y, x = torch.arange(height).repeat_interleave(width), torch.arange(width).repeat(height)
    apart = (y[:, None] - y) ** 2 / (2 * a**2) + (x[:, None] - x) ** 2 / (2 * b**2)
    product = torch.kron(nearness(height, a, like=one), nearness(width, b, like=one))
    torch.testing.assert_close(product, (-apart.double()).softmax(-1))


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match="widths"):
        regard.create("ia", channels=6, widths=(0.0, 1.0))
    with pytest.raises(ValueError, match="at least one unit"):
        regard.create("ia", channels=6, spatial=False, channel=False)
