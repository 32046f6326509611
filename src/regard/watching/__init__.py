"""Watching: which attention a model forms, its own and that of any other origin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from regard.core import Attention, Formed, Listener, Maps, NothingSeen, listening
from regard.watching.foreign import observing


@contextmanager
def watch(model: nn.Module, *, keep_graph: bool = False, foreign: bool = True) -> Iterator[Maps]:
    """Records every attention map that `model` forms while the block runs.

        with regard.watch(model) as maps:
            model(images)
        maps["layer4.1.bn2.attention/channel"][0].shape  # B C 1 1
        maps.axes["layer4.1.bn2.attention/channel"]  # "B C 1 1"

    A compiled model runs eagerly inside the block. A second thread that wants to watch a module already being watched
    waits; passes that other threads make meanwhile are not recorded. Copies and pickles of the model that are made
    inside the block are not watched. Blocks of one thread nest, and what `regard.edit` changes is recorded as it acts.

    Args:
        model: any module that attends somewhere.
        keep_graph: keep the maps in the autograd graph, for losses on maps; otherwise they are detached.
        foreign: also record attention that no `regard.Attention` forms.

    Yields:
        `Maps`, filled as the model runs: `{"layer4.1.bn2.attention/channel": [Tensor, ...]}`.

    Raises:
        NothingSeen: a ValueError; nothing in `model` can be watched. Whether a model without `regard.Attention` attends
            is known when it has run: then it is raised at the end of the block.
    """
    maps = Maps()

    def record(formed: Formed) -> None:
        key, map = formed.key, formed.map
        maps.setdefault(key, []).append(map if keep_graph else map.detach())
        maps.axes[key], maps.sums[key] = formed.axes, formed.sums
        if formed.grids:
            maps.grids[key] = formed.grids
        if formed.tokens:
            maps.tokens[key] = formed.tokens
        if formed.places is not None:
            maps.places[key] = formed.places
        if formed.foreign:
            maps.foreign.add(key)

    with listen(model, record, foreign=foreign):
        yield maps


@contextmanager
def listen(model: nn.Module, listener: Listener, *, foreign: bool = True, edits: bool = False) -> Iterator[None]:
    """Passes each attention map that `model` forms while the block runs to `listener`; see `core.listening`.

    Args:
        model: any module that attends somewhere.
        listener: gets a `core.Formed`.
        foreign: also pass on attention that no `Attention` forms.
        edits: the map that `listener` returns, if it returns one, acts instead of the one that it got.

    Raises: NothingSeen if nothing in `model` can be listened to.
    """
    every = {
        module: ".".join(part for part in name.split(".") if part != "_orig_mod")
        for name, module in model.named_modules()
    }
    own: dict[nn.Module, str] = {module: path for module, path in every.items() if isinstance(module, Attention)}
    what = f"{type(model).__name__} has no attention to watch: none of its {len(every)} modules is a regard.Attention"
    if not own and not foreign:
        raise NothingSeen(f"{what}; regard.attach(model, name) adds one")
    seen = bool(own)

    def told(formed: Formed) -> Tensor | None:
        nonlocal seen
        seen = True
        return listener(formed)

    if not foreign:
        with listening(own, listener, edits=edits):
            yield
        return
    with listening(every, told, edits=edits), observing(every):
        yield
    if not seen:
        raise NothingSeen(
            f"{what}, and while the block ran nothing else in it attended (if the model did run there); "
            f"regard.attach(model, name) adds one"
        )
