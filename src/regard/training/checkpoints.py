"""Checkpoints of a training: states and facts in one file, which is replaced as a whole."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from regard.saved import digests
from regard.saved.files import write_whole


def save(path: Path, states: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Writes a checkpoint: state dicts and facts, which must be JSON values, in one file that is replaced as a whole.

    Raises: OSError naming the path and the reason.
    """
    content = io.BytesIO()  # torch.save to a file raises another type of error for a full disk
    torch.save({**states, "facts": json.dumps(facts)}, content)
    write_whole(path, digests.sealed(content.getvalue()))


def read(path: Path, settings: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Reads a checkpoint: its states and its facts, or None if there is no file.

    Args:
        path: a file that `save` has written.
        settings: the settings that the checkpoint must have as `facts["settings"]`.

    Raises: ValueError if the file is damaged or has other settings; OSError if it cannot be read.
    """
    if not path.exists():
        return None
    try:
        content = digests.opened(path.read_bytes())
        states = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        facts = json.loads(states.pop("facts"))
        found = dict(facts["settings"])
    except OSError as error:
        raise OSError(f"cannot read {path}: {error.strerror or error}") from error
    except MemoryError:
        raise
    except digests.Damaged as error:
        raise ValueError(f"{path} is damaged, {error}; delete it to start again") from error
    except Exception as error:  # torch.load documents no narrower types
        raise ValueError(f"{path} is damaged or not a checkpoint of regard; delete it to start again") from error
    differences = [
        f"{name} was {found.get(name, 'not recorded')}, is {settings.get(name, 'not known')}"
        for name in sorted({*found, *settings})
        if found.get(name) != settings.get(name)
    ]
    if differences:
        raise ValueError(f"{path} has other settings ({'; '.join(differences)}): use these settings, or another folder")
    return states, facts
