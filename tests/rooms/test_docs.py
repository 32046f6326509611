"""Generated pages are what the catalogue says today, and links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from regard import catalog

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_nothing_generated_is_stale() -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "docs" / "build.py", "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_readme_has_every_entry() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    for entry in catalog.entries():
        assert f"[`{entry.name}`](docs/entries/{entry.name}.md)" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readmes_python_runs() -> None:
    """The ten lines, with a model and images small enough for a test."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(encoding="utf-8"), flags=re.DOTALL)
    assert "pretrained=True" in code
    setup = "import torch\nimages = torch.randn(2, 3, 64, 64)\n"
    exec(compile(setup + code.replace("pretrained=True", "pretrained=False"), "README.md", "exec"), {})
