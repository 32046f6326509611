"""What makes several hundred exports affordable."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_table_of_translations() -> Iterator[None]:
    """The exporter to ONNX builds its table of translations anew for each program: half of the time of a small one."""
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry
    except ImportError:  # a private part of torch: where it has moved, exporting is slower and nothing else
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        yield
