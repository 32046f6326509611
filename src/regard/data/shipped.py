"""Data files of other installed packages, found without importing these packages.

Importing scikit-learn for one file costs about a second in every process, and joblib, which it imports, renames the
standard library's semaphores. scikit-image's own function would use the network if the file were missing.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def shipped(package: str, file: str) -> Path:
    """The path of a data file of an installed package.

    Args:
        package: the import name of the package.
        file: the path relative to the package, with forward slashes.

    Raises: FileNotFoundError if the package has no such file.
    """
    spec = find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder, file)).is_file():
            return path
    raise FileNotFoundError(f"the installed {package} has no file {file}: install its published wheel")
