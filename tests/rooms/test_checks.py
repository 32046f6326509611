"""Checks of arguments and inputs: what is accepted comes back, what is not is named with its value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from regard import checks


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: checks.whole("n", 3, 3, 5), 3),
        (lambda: checks.whole("n", 2**40, 0, 2**63), 2**40),
        (lambda: checks.positive("n", 1), 1),
        (lambda: checks.number("n", 2, least=2, most=2), 2),
        (lambda: checks.number("n", -0.5), -0.5),
        (lambda: checks.flag("n", False), False),
        (lambda: checks.choice("n", "b", ("a", "b")), "b"),
        (lambda: checks.choice("n", None, ("a", None)), None),
        (lambda: checks.text("n", "a"), "a"),
        (lambda: checks.sequence("n", [1, "a"]), (1, "a")),
        (lambda: checks.sequence("n", (1, 2), 2), (1, 2)),
        (lambda: checks.whole_numbers("n", [3, 5, 7]), (3, 5, 7)),
        (lambda: checks.whole_numbers("n", torch.Size((0, 2)), 0, 2, count=2), (0, 2)),
        (lambda: checks.each_axis("n", 3, 2), (3, 3)),
        (lambda: checks.each_axis("n", [3, 5], 2), (3, 5)),
        (lambda: checks.bottleneck_width(17, 3), 5),
        (lambda: checks.bottleneck_width(17, 30, 7), 7),
    ],
)
def test_what_is_accepted_comes_back(call: Callable[[], Any], wanted: object) -> None:
    found = call()
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: checks.whole("n", True, 0), "n=True: a whole number of at least 0 is needed"),
        (lambda: checks.whole("n", 2.0, 0), "n=2.0: a whole number of at least 0 is needed"),
        (lambda: checks.whole("n", 6, 3, 5), "n=6: a whole number of at most 5 is needed"),
        (lambda: checks.positive("n", 10**9), "n=1000000000: a whole number of at most 16777216 is needed"),
        (lambda: checks.positive("n", "3"), "n='3': a whole number of at least 1 is needed"),
        (lambda: checks.number("n", math.nan), "n=nan: a number that is finite is needed"),
        (lambda: checks.number("n", 10**400), f"n={10**400}: a number that is finite is needed"),
        (lambda: checks.number("n", True, least=0), "n=True: a number of at least 0 is needed"),
        (lambda: checks.number("n", 0, above=0, most=1), "n=0: a number above 0 and of at most 1 is needed"),
        (lambda: checks.number("n", math.inf, least=0), "n=inf: a number of at least 0 is needed"),
        (lambda: checks.flag("n", "false"), "n='false': True or False is needed"),
        (lambda: checks.flag("n", 1), "n=1: True or False is needed"),
        (lambda: checks.choice("n", 1, (True, "a", "b")), "n=1: True, 'a' or 'b' is needed"),
        (lambda: checks.choice("n", ["a"], ("a",)), "n=['a']: 'a' is needed"),
        (lambda: checks.text("n", ""), "n='': a name is needed"),
        (lambda: checks.text("n", 5), "n=5: a name is needed"),
        (lambda: checks.sequence("n", "ab"), "n='ab': at least one value is needed"),
        (lambda: checks.sequence("n", None, 2), "n=None: 2 values are needed"),
        (lambda: checks.sequence("n", ()), "n=(): at least one value is needed"),
        (lambda: checks.whole_numbers("n", (3, 5), count=3), "n=(3, 5): 3 values are needed"),
        (lambda: checks.whole_numbers("n", (3, 5.0)), "n=5.0: a whole number of at least 1 is needed"),
        (lambda: checks.whole_numbers("n", (3, 7), 0, 5), "n=7: a whole number of at most 5 is needed"),
        (lambda: checks.each_axis("n", None, 2), "n=None: a whole number of at least 1 is needed"),
        (lambda: checks.each_axis("n", (3, 5, 7), 2), "n=(3, 5, 7): 2 values are needed"),
        (lambda: checks.bottleneck_width(17, "16", 5), "reduction='16': a whole number of at least 1 is needed"),
        (lambda: checks.bottleneck_width(5, 7), "reduction=7: at most channels=5 is needed, or give hidden="),
    ],
)
def test_what_is_not_accepted_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


def test_an_input_has_its_axes_and_none_is_empty_but_the_batch() -> None:
    for shape in ((2, 3, 5, 7), (0, 3, 5, 7)):
        checks.check_input(torch.empty(shape), "B C H W", C=3)
    checks.check_input(torch.empty(2, 5, 4), "B T 4", B=2)
    checks.check_input(torch.empty(2, 3, 5, 7, 11), "B C *", C=3)
    for shape, axes, sizes in (
        ((2, 3, 5), "B C H W", {}),
        ((2, 4, 5, 7), "B C H W", {"C": 3}),
        ((2, 3, 0, 7), "B C H W", {}),
        ((2, 5, 3), "B T 4", {}),
        ((3, 5, 4), "B T 4", {"B": 2}),
        ((2, 3), "B C *", {}),
        ((2, 3, 5, 0), "B C *", {}),
        ((), "B", {}),
    ):
        known = "".join(f", {name}={size}" for name, size in sizes.items())
        message = f"input of shape {shape}: {axes}{known} is needed, and no axis empty"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            checks.check_input(torch.empty(shape), axes, **sizes)
