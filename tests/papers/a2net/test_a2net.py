"""Double attention: both orders of its products."""

from __future__ import annotations

import pytest
import torch

from regard import create


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
