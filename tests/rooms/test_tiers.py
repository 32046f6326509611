"""The tiers of the tests: together they are all tests, and no test stands in two of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

ROOT = Path(__file__).parents[2]
MARKS = ("slow", "gpu")


@cache
def selections() -> dict[str, str]:
    """Target of the Makefile -> the marker expression by which it selects tests."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return dict(re.findall(r'^(test[a-z-]*): .*\n\t\$\(PYTEST\) -m "([^"]+)"', text, flags=re.MULTILINE))


@cache
def tiers(marks: frozenset[str]) -> set[str]:
    """The targets that select a test with these markers."""

    def has(name: str, **_: object) -> bool:
        assert name in MARKS, f"a tier is chosen by the marker {name}, which this test does not know"
        return name in marks

    return {target for target, rule in selections().items() if Expression.compile(rule).evaluate(has)}


def named(node: ast.expr) -> str | None:
    """The marker that a decorator sets: the last name of `pytest.mark.slow` or of `pytest.mark.parametrize(...)`."""
    mark = node.func if isinstance(node, ast.Call) else node
    if isinstance(mark, ast.Attribute) and isinstance(mark.value, ast.Attribute) and mark.value.attr == "mark":
        return mark.attr
    return None


def markers(source: str) -> Iterator[tuple[str, frozenset[str]]]:
    """The tests of a file, each with the markers of its function and of its file."""
    module = ast.parse(source)
    shared: set[str] = set()
    for node in module.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(at, ast.Name) and at.id == "pytestmark" for at in node.targets
        ):
            given = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
            shared |= {mark for one in given if (mark := named(one)) is not None}
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            own = {mark for one in node.decorator_list if (mark := named(one)) is not None}
            yield node.name, frozenset(shared | own)


def test_the_continuous_run_is_the_check_the_quick_tier_and_then_the_rest() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("make ")] == ["make check", "make test", "make test-slow"]
    assert selections().keys() == {"test", "test-slow", "test-all"}


@pytest.mark.parametrize("marks", [some for count in range(3) for some in combinations(MARKS, count)], ids=str)
def test_whatever_its_marks_a_test_stands_in_one_tier(marks: tuple[str, ...]) -> None:
    wanted = set() if "gpu" in marks else {"test-all", "test-slow" if "slow" in marks else "test"}
    assert tiers(frozenset(marks)) == wanted


@pytest.mark.slow
def test_every_file_has_a_test_in_the_quick_tier() -> None:
    found = {path: list(markers(path.read_text(encoding="utf-8"))) for path in (ROOT / "tests").rglob("test_*.py")}
    assert all(found.values()), "a file of tests without a test"
    on_cpu = {path.relative_to(ROOT): tests for path, tests in found.items() if not all("gpu" in m for _, m in tests)}
    assert len(on_cpu) > 100
    assert [path for path, tests in on_cpu.items() if not any("test" in tiers(marks) for _, marks in tests)] == []


def test_marks_of_a_function_and_of_its_file_are_found() -> None:
    source = """
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(True, reason="none")]

@pytest.mark.slow
@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.other)])
def test_one(x): ...

@cache
def test_two(): ...
"""
    gpu = {"gpu", "skipif"}
    assert dict(markers(source)) == {"test_one": {"slow", "parametrize", *gpu}, "test_two": gpu}
