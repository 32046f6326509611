"""Efficient channel attention: the size of its kernel follows from the number of channels."""

from __future__ import annotations

import math
from typing import Any

import pytest

import regard
from regard.papers.eca_net.mechanism import adaptive_kernel


def test_the_kernel_grows_with_the_channels() -> None:
    sizes = {channels: adaptive_kernel(channels) for channels in (4, 8, 64, 128, 1024, 2048)}
    assert sizes == {4: 1, 8: 3, 64: 3, 128: 5, 1024: 5, 2048: 7}
    assert adaptive_kernel(64, gamma=1, beta=-2) == 5


@pytest.mark.parametrize("name", ["eca", "eca_ns"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gamma": 0}, "gamma=0: a number above 0"),
        ({"gamma": -8}, "gamma=-8: a number above 0"),
        ({"gamma": math.nan, "kernel_size": 3}, "gamma=nan"),
        ({"gamma": 1e-300}, "gamma=1e-300, beta=1: a kernel of at most 16777216 channels"),
        ({"beta": "1"}, "beta='1': a number that is finite"),
        ({"kernel_size": 4}, "kernel_size=4: an odd number"),
    ],
)
def test_wrong_arguments_are_named(name: str, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        regard.create(name, channels=12, **wrong)
