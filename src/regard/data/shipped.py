"""Data files inside other installed packages, found without importing them.

Importing scikit-learn for one file costs about a second in every process, and renames the standard library's semaphores
on the way (joblib does). scikit-image's own function would turn to the network if the file were missing.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def shipped(package: str, file: str) -> Path:
    """The path of a file that a package brings.

    Args:
        package: the package's import name.
        file: the path below it, with forward slashes.

    Raises: FileNotFoundError if the installation has no such file.
    """
    spec = find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder, file)).is_file():
            return path
    raise FileNotFoundError(f"this installation of {package} comes without {file}; install its published wheel")
