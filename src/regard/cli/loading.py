"""A class in a user's file."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from typing import Any

from regard.catalog import nearest


def class_at(target: str, kind: str = "class") -> Any:
    """The class, or another thing of a `kind` in words, that `PATH.py:CLASS` names.

    Raises:
        FileNotFoundError: there is no such file.
        LookupError: it has no such class; the message names the nearest.
        ValueError: the file is not Python, or cannot be imported.
    """
    place, _, name = target.rpartition(":")
    path = Path(place)
    form = f"PATH.py:{'CLASS' if kind == 'class' else 'NAME'}"
    if not path.is_file():
        raise FileNotFoundError(f"no file {place!r}; the form is {form}")
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ValueError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error
    wanted = ast.ClassDef if kind == "class" else (ast.ClassDef, ast.FunctionDef)
    written = [node.name for node in tree.body if isinstance(node, wanted)]
    if name not in path.read_text(encoding="utf-8"):  # seen before torch is imported, as files of attention do
        raise LookupError(f"{place} has no {kind} {name!r}; {nearest(name, written)}")
    spec = importlib.util.spec_from_file_location(f"user_file_{path.stem}", path)  # a name that shadows no package
    if spec is None or spec.loader is None:
        raise ValueError(f"{place!r} is not a Python file; the form is {form}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # so that its classes can be pickled
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    if not hasattr(module, name):
        classes = tuple(key for key, value in vars(module).items() if isinstance(value, type))
        raise LookupError(f"{place} has no {kind} {name!r}; {nearest(name, classes)}")
    return getattr(module, name)
