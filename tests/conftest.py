"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

POISONED = ("test_ops.py", "test_golden.py")


@pytest.fixture(autouse=True)
def _memory_that_nobody_filled_is_nan(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where values are compared, `torch.empty` holds NaN, so that a value that is read before it is written is seen."""
    if request.path.name not in POISONED:
        yield
        return
    torch.use_deterministic_algorithms(True)  # which fills what is not initialised
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
