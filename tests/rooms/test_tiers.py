"""The tiers of the tests: together they are all tests, and no test stands in two of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

ROOT = Path(__file__).parents[2]


def selections() -> dict[str, str]:
    """Target of the Makefile -> the marker expression by which it selects tests."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return dict(re.findall(r'^(test[a-z-]*): .*\n\t\$\(PYTEST\) -m "([^"]+)"', text, flags=re.MULTILINE))


COLLECTING = """
import json, sys, pytest

class Marks:
    def pytest_collection_modifyitems(self, items):
        for item in items:
            print("::marks", json.dumps([item.nodeid, sorted({mark.name for mark in item.iter_markers()})]))

sys.exit(pytest.main(sys.argv[1:], plugins=[Marks()]))
"""


def collected() -> list[tuple[str, frozenset[str]]]:
    """Every test with the names of its markers."""
    command = [sys.executable, "-c", COLLECTING, "--collect-only", "-q", "-p", "no:cacheprovider"]
    command += ["-o", "addopts=--import-mode=importlib --strict-markers", str(ROOT / "tests")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith("::marks ")]
    return [(name, frozenset(marks)) for name, marks in (json.loads(line.partition(" ")[2]) for line in lines)]


def test_the_continuous_run_is_the_check_the_quick_tier_and_then_the_rest() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("make ")] == ["make check", "make test", "make test-slow"]
    assert selections().keys() == {"test", "test-slow", "test-all"}


@pytest.mark.slow
def test_every_test_stands_in_one_tier_and_every_file_in_the_quick_one() -> None:
    found = collected()
    every = [name for name, _ in found]

    def chosen(expression: str) -> list[str]:
        rule = Expression.compile(expression)
        return [name for name, marks in found if rule.evaluate(lambda mark, has=marks, **_: mark in has)]

    tiers = {target: chosen(expression) for target, expression in selections().items()}
    gpu = chosen("gpu")
    assert len(set(every)) == len(every)
    assert sorted(tiers["test"] + tiers["test-slow"]) == sorted(tiers["test-all"])
    assert sorted(tiers["test-all"] + gpu) == sorted(every)
    files = {line.partition("::")[0] for line in tiers["test-all"]}
    assert files == {line.partition("::")[0] for line in tiers["test"]}
    assert len(tiers["test-slow"]) > 0
