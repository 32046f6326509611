"""Authors' checkpoints, loaded under our names: published constructor arguments and parameter names -> ours.

    module = regard.published.rebuild("se/moskomule.senet.pytorch/SELayer", {"channel": 64}, state_dict)

`references()` lists what is known; `regard published` does the same on the command line and converts files. What is
known of a paper's code stands in `papers/<paper>/published.py`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from regard import catalog
from regard.published.reference import Reference

# Facts that only say which of several published classes is meant, as the reference's name already does.
_WHICH = ("variant", "dimension")


@cache
def _all() -> tuple[Reference, ...]:
    folders = dict.fromkeys(entry.folder for entry in catalog.entries())
    modules = (f"regard.papers.{folder}.published" for folder in folders)
    known = [name for name in modules if find_spec(name)]
    return tuple(reference for name in known for reference in importlib.import_module(name).REFERENCES)


def references(entry: str | None = None) -> tuple[Reference, ...]:
    """Returns every published module that can be rebuilt, or those of one catalogue entry."""
    return tuple(reference for reference in _all() if entry is None or reference.entry == entry)


def get(name: str) -> Reference:
    """Returns the reference called `name`.

    Raises:
        LookupError: it is not known; the message names the nearest.
    """
    for reference in _all():
        if reference.name == name:
            return reference
    near = difflib.get_close_matches(name, [reference.name for reference in _all()], n=3, cutoff=0.4)
    hint = f"nearest: {', '.join(near)}" if near else "`regard published` lists what is known"
    raise LookupError(f"no published module {name!r}; {hint}")


def rebuild(reference: str, args: Mapping[str, Any], state: Mapping[str, Tensor]) -> nn.Module:
    """Builds our module with an authors' checkpoint: equal inputs and outputs, trainable, in eval mode.

    Args:
        reference: `mechanism/owner.repository/Class`, see `references()`.
        args: the published constructor's own arguments.
        state: the published module's state_dict; its dtype is kept.

    Raises:
        LookupError: unknown reference; the message names the nearest.
        TypeError: `args` has an argument that the published constructor lacks, or lacks one.
        ValueError: `state` does not belong to a module built with `args`, or `args` ask for what the paper lacks.
    """
    row = get(reference)
    taken = inspect.signature(row.build)
    given = {key: value for key, value in args.items() if key in taken.parameters or key not in _WHICH}
    try:
        taken.bind(**given)
    except TypeError as error:
        raise TypeError(f"{reference}: {error}; it takes {row.signature}") from None
    arguments, names = row.build(**given)
    module = catalog.create(row.entry, **{key: value for key, value in arguments.items() if "." not in key})
    for path, value in arguments.items():
        part, dot, attribute = path.rpartition(".")
        if dot:
            setattr(module.get_submodule(part), attribute, value)
    if row.host is not None:
        module = row.host(module, given)
    if row.state is not None:
        state = row.state(dict(state), given)
    _drop_absent_biases(module, names, state)
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    module.to(dtype).load_state_dict(_renamed(reference, module, names, state))
    return (module if row.adapt is None else row.adapt(module, given)).eval()


def _drop_absent_biases(module: nn.Module, names: Mapping[str, str], state: Mapping[str, Tensor]) -> None:
    """Removes our bias from a convolution that is published without one, before a norm that makes it redundant."""
    modules = dict(module.named_modules())
    for ours, theirs in names.items():
        part = modules.get(ours)  # None for a parameter that belongs to no layer
        if (
            part is not None
            and not isinstance(part, nn.Sequential)
            and f"{theirs}.weight" in state
            and f"{theirs}.bias" not in state
        ):
            part._parameters["bias"] = None


def _renamed(
    reference: str, module: nn.Module, names: Mapping[str, str], state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    wanted = module.state_dict()
    found: dict[str, Tensor] = {}
    used = set()
    for key, blank in wanted.items():
        prefix = max((name for name in names if name in ("", key) or key.startswith(f"{name}.")), key=len, default=None)
        theirs = "" if prefix is None else f"{names[prefix]}.{key.removeprefix(prefix).removeprefix('.')}".strip(".")
        if theirs in state:
            tensor = state[theirs]
            if [n for n in tensor.shape if n != 1] != [n for n in blank.shape if n != 1]:
                raise ValueError(
                    f"{reference}: {theirs} has shape {tuple(tensor.shape)}; these arguments need {tuple(blank.shape)}"
                )
            found[key] = tensor.detach().reshape(blank.shape)
            used.add(theirs)
        elif key.endswith("num_batches_tracked"):
            found[key] = blank
        else:
            raise ValueError(f"{reference}: the state has no {theirs or key}; it has {', '.join(sorted(state))}")
    left = sorted(key for key in state if key not in used and not key.endswith("num_batches_tracked"))
    if left:
        raise ValueError(f"{reference}: a module built with these arguments has no {', '.join(left)}")
    return found


def load(path: str | Path, *, prefix: str = "") -> dict[str, Tensor]:
    """Reads a state_dict from a `.safetensors`, `.pth`, `.pt` or `.bin` file without running any code in it.

    Args:
        path: the file.
        prefix: keep only the keys that start with it, and cut it off: `layer1.0.se.` takes one module out of a network.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no state_dict, needs code to be run, or has no key with the prefix.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        loaded = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # the readers raise many types, none of which names the file
        reason = str(error).strip().partition("\n")[0][:200]
        raise ValueError(f"{path} cannot be read as weights without running code: {reason}") from error
    for wrapper in ("state_dict", "model_state", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not any(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError(f"{path} contains no state_dict")
    tensors = {key.removeprefix("module."): value for key, value in loaded.items() if isinstance(value, Tensor)}
    kept = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    if not kept:
        raise ValueError(f"{path} has no key that starts with {prefix!r}; its first is {next(iter(tensors))!r}")
    return kept


def convert(
    source: str | Path, target: str | Path, *, reference: str, args: Mapping[str, Any], prefix: str = ""
) -> nn.Module:
    """Writes an authors' checkpoint under our names, as safetensors with the entry and its facts as metadata.

    Raises:
        FileExistsError: `target` exists; nothing is overwritten.
        LookupError, TypeError, ValueError, FileNotFoundError: as `load` and `rebuild`.
    """
    target = Path(target)
    if target.exists():
        raise FileExistsError(f"{target} exists; choose another name")
    module = rebuild(reference, args, load(source, prefix=prefix))
    metadata = {"reference": reference, "args": json.dumps(dict(args)), "entry": get(reference).entry}
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, target, metadata=metadata)
    return module
