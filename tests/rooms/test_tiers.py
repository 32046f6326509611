"""The tiers of the tests: together they are all tests, and no test stands in two of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def selections() -> dict[str, str]:
    """Target of the Makefile -> the marker expression by which it selects tests."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return dict(re.findall(r'^(test[a-z-]*): .*\n\t\$\(PYTEST\) -m "([^"]+)"', text, flags=re.MULTILINE))


def collected(expression: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", expression, "-p", "no:cacheprovider"]
    command += ["-o", "addopts=--import-mode=importlib --strict-markers", str(ROOT / "tests")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_the_continuous_run_is_the_check_the_quick_tier_and_then_the_rest() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("make ")] == ["make check", "make test", "make test-slow"]
    assert selections().keys() == {"test", "test-slow", "test-all"}


@pytest.mark.slow
def test_every_test_stands_in_one_tier_and_every_file_in_the_quick_one() -> None:
    every = collected("slow or not slow")
    tiers = {target: collected(expression) for target, expression in selections().items()}
    gpu = collected("gpu")
    assert len(set(every)) == len(every)
    assert sorted(tiers["test"] + tiers["test-slow"]) == sorted(tiers["test-all"])
    assert sorted(tiers["test-all"] + gpu) == sorted(every)
    files = {line.partition("::")[0] for line in tiers["test-all"]}
    assert files == {line.partition("::")[0] for line in tiers["test"]}
    assert len(tiers["test-slow"]) > 0
