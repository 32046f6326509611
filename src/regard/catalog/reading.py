"""Reads the declarations of classes from their source files, without importing them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent


@cache
def parsed(module: str) -> ast.Module:
    """The file of a module below `regard`."""
    path = PACKAGE.joinpath(*module.split("."))
    return ast.parse(path.with_suffix(".py").read_text(encoding="utf-8"))


def section(header: str, title: str) -> str:
    """The text under `title:` in a header docstring, or an empty string."""
    lines = header.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith(f"{title}:")]
    if not starts:
        return ""
    first = starts[0]
    body = [lines[first].partition(":")[2].strip()]
    for line in lines[first + 1 :]:
        if line and not line.startswith(" "):
            break
        body.append(line.strip())
    return " ".join(part for part in body if part)
