"""Editing: what a model computes with other attention maps than its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from regard.core import Attention, Formed, declared_maps, only_shown
from regard.watching import listen
from regard.watching.edits import Edit

Change = Edit | Callable[..., Tensor]


@contextmanager
def edit(model: nn.Module, edits: Mapping[str, Change], *, foreign: bool = True) -> Iterator[None]:
    """Replaces attention maps of `model` by what edits make of them, while the block runs.

        edits = regard.edits
        with regard.edit(model, {"layer4.*/spatial": edits.uniform(), "blocks.3.attn/affinity": edits.ablate(head=2)}):
            logits = model(images)

    The network computes with the edited maps, and `regard.watch` in the same thread records them. Blocks of both kinds
    nest in any order; several edits of one map act in the order in which they were entered. A compiled model runs
    eagerly inside the block, and as compiled again behind it.

    Args:
        model: any module that attends somewhere.
        edits: pattern over the keys of `watch` (`*` and `?` are wildcards) -> an edit of `regard.edits`, or a function
            `(map, *, key, axes, grids) -> Tensor` of the same shape, whose own parameters get gradients.
        foreign: also edit attention that no `regard.Attention` forms.

    Raises:
        ValueError: a map is only shown and does not act; or behind the block, if it ended without an error, a pattern
            fits no map that was formed.
        TypeError: an edit is neither of both, or returns no tensor.
        NothingSeen: nothing in `model` attends.
    """
    for pattern, change in edits.items():
        if not callable(change):
            raise TypeError(f"{pattern!r}: an edit of regard.edits or a function is needed, not {change!r}")
    _refuse_shown(model, edits)
    formed_keys: set[str] = set()
    shown_keys: set[str] = set()
    acted: set[str] = set()
    looks: Counter[str] = Counter()

    def listener(formed: Formed) -> Tensor | None:
        (formed_keys if formed.acts else shown_keys).add(formed.key)
        if not formed.acts:
            return None
        map = formed.map
        for pattern, change in edits.items():
            if fnmatchcase(formed.key, pattern):
                acted.add(pattern)
                map = _edited(change, formed, map, looks[formed.key])
        looks[formed.key] += 1
        return map

    with listen(model, listener, foreign=foreign, edits=True):
        yield
    for pattern in edits:
        if pattern not in acted:
            raise ValueError(_unmatched(pattern, formed_keys, shown_keys - formed_keys))


def _edited(change: Change, formed: Formed, map: Tensor, look: int) -> Tensor:
    """The map as an edit makes it, which has to have the shape, the type and the place of the old one."""
    told: dict[str, Any] = {"key": formed.key, "axes": formed.axes, "grids": formed.grids}
    if isinstance(change, Edit):
        told |= {"sums": formed.sums, "places": formed.places, "look": look}
    edited = change(map, **told)
    if not isinstance(edited, Tensor):
        raise TypeError(f"the edit of {formed.key} returns {type(edited).__name__}: a tensor is needed")
    if edited.shape != map.shape or edited.device != map.device:
        raise ValueError(
            f"the edit of {formed.key} returns {tuple(edited.shape)} on {edited.device}: {tuple(map.shape)} on "
            f"{map.device} is needed"
        )
    return edited.to(map.dtype)


def _refuse_shown(model: nn.Module, edits: Mapping[str, Change]) -> None:
    """Refuses patterns that fit maps of the model's own which are shown only, and none that act."""
    shown: set[str] = set()
    acting: set[str] = set()
    for path, module in model.named_modules():
        if isinstance(module, Attention):
            path = ".".join(part for part in path.split(".") if part != "_orig_mod")
            for name in declared_maps(module):
                (shown if name in only_shown(module) else acting).add(f"{path}/{name}" if path else name)
    for pattern in edits:
        found = [key for key in sorted(shown) if fnmatchcase(key, pattern)]
        if found and not any(fnmatchcase(key, pattern) for key in acting):
            raise ValueError(f"{pattern!r}: {found[0]} is shown only: no edit of it changes what the network computes")


def _unmatched(pattern: str, formed: set[str], shown: set[str]) -> str:
    only = [key for key in sorted(shown) if fnmatchcase(key, pattern)]
    if only:
        return f"{pattern!r}: {only[0]} is shown only: no edit of it changes what the network computes"
    if not formed:
        return f"{pattern!r}: no map was formed while the block ran"
    listed = ", ".join(sorted(formed)[:8]) + (", …" if len(formed) > 8 else "")
    return f"{pattern!r} fits no map that was formed; there were {listed}"
