"""Checkpoints of a training: states and facts in one file, which can only be replaced together."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from regard.saved.files import write_whole


def save(path: Path, states: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Writes state dicts, and facts that JSON can hold, into one file: they can only be replaced together.

    Raises: OSError naming the path and the reason.
    """
    content = io.BytesIO()  # torch.save into a file turns a full disk into an error of another kind
    torch.save({**states, "facts": json.dumps(facts)}, content)
    write_whole(path, content.getvalue())


def read(path: Path, settings: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The states and the facts at `path`, or None where there is no file.

    Args:
        path: what `save` wrote.
        settings: has to equal `facts["settings"]`.

    Raises: ValueError if it is damaged or was made with other settings; OSError if it cannot be read.
    """
    if not path.exists():
        return None
    try:
        states = torch.load(path, map_location="cpu", weights_only=True)
        facts = json.loads(states.pop("facts"))
        found = dict(facts["settings"])
    except OSError as error:
        raise OSError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # torch.load names no narrower set
        raise ValueError(f"{path} is damaged, or no checkpoint of this program; delete it to start again") from error
    differences = [
        f"{name} was {found.get(name, 'not recorded')}, is {settings.get(name, 'not known')}"
        for name in sorted({*found, *settings})
        if found.get(name) != settings.get(name)
    ]
    if differences:
        raise ValueError(
            f"{path} was made with other settings ({'; '.join(differences)}): use those, or another folder"
        )
    return states, facts
