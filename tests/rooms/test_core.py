"""Watching: what is seen, by whom, and what it leaves behind."""

from __future__ import annotations

import copy
import itertools
import pickle
import threading
from contextlib import ExitStack

import pytest
import torch
from torch import Tensor, nn

import regard
from regard.core import Attention, Formed, Listener, declared_maps
from regard.watching import listen, watch


def two_gates() -> nn.Sequential:
    torch.manual_seed(0)
    first, second = regard.create("se", channels=8, reduction=2), regard.create("cbam", channels=8, reduction=2)
    return nn.Sequential(first, nn.ReLU(), second).eval()


X = torch.linspace(-1, 1, 2 * 8 * 5 * 3).reshape(2, 8, 5, 3)


def test_maps_are_named_by_module_and_map_with_axes() -> None:
    with watch(two_gates()) as maps:
        two_gates()  # another model is not watched
    assert not maps
    model = two_gates()
    with watch(model) as maps:
        model(X)
    assert {key: tuple(looks[0].shape) for key, looks in maps.items()} == {
        "0/channel": (2, 8, 1, 1),
        "2/channel": (2, 8, 1, 1),
        "2/spatial": (2, 1, 5, 3),
    }
    assert maps.axes == {"0/channel": "B C 1 1", "2/channel": "B C 1 1", "2/spatial": "B 1 H W"}


def test_every_look_is_kept_in_order() -> None:
    model = two_gates()
    with watch(model) as maps:
        model(X)
        model(2 * X)
    first, second = maps["0/channel"]
    assert not torch.equal(first, second)
    with watch(model) as again:
        model(2 * X)
    assert torch.equal(again["0/channel"][0], second)


def test_a_single_mechanism_is_named_by_its_maps_alone() -> None:
    gate = regard.create("se", channels=8, reduction=2)
    with watch(gate) as maps:
        gate(X)
    assert list(maps) == ["channel"]


def test_grids_say_what_a_flattened_axis_was() -> None:
    block = regard.create("nonlocal", channels=8).eval()
    with watch(block) as maps:
        block(X)
    assert maps["affinity"][0].shape == (2, 15, 2)
    assert maps.grids["affinity"] == {"Q": (5, 3), "K": (2, 1)}


def test_maps_are_detached_unless_the_graph_is_kept() -> None:
    model = two_gates()
    with watch(model) as maps:
        model(X)
    assert not maps["0/channel"][0].requires_grad
    with watch(model, keep_graph=True) as maps:
        model(X)
    maps["2/spatial"][0].square().sum().backward()
    assert model[0].reduce.weight.grad is not None


def test_nothing_is_left_behind() -> None:
    model = two_gates()
    before = {name: dict(module.__dict__) for name, module in model.named_modules()}
    with pytest.raises(ZeroDivisionError), watch(model) as maps:
        raise ZeroDivisionError
    model(X)
    assert not maps
    assert {name: dict(module.__dict__) for name, module in model.named_modules()} == before
    pickle.dumps(model)
    copy.deepcopy(model)


def test_nothing_to_watch_is_an_error() -> None:
    with pytest.raises(ValueError, match="Sequential has no attention to watch"), watch(nn.Sequential(nn.ReLU())):
        pass


def test_watches_nest_in_one_thread() -> None:
    model = two_gates()
    with watch(model) as outer:
        model(X)
        with watch(model[2]) as inner:
            model(2 * X)
        model(3 * X)
    model(X)
    assert {key: len(looks) for key, looks in outer.items()} == {"0/channel": 3, "2/channel": 3, "2/spatial": 3}
    assert {key: len(looks) for key, looks in inner.items()} == {"channel": 1, "spatial": 1}
    assert torch.equal(inner["spatial"][0], outer["2/spatial"][1])
    assert not any("watcher" in module.__dict__ for module in model.modules())


@pytest.mark.parametrize("order", list(itertools.permutations(("first", "second", "watch"))), ids="-".join)
def test_edits_act_in_the_order_of_entering_before_every_watch(order: tuple[str, ...]) -> None:
    model = two_gates()
    plain = model[0](X)
    edits: dict[str, Listener] = {"first": lambda formed: formed.map * 0 + 2, "second": lambda formed: formed.map + 3}
    with ExitStack() as stack:
        for name in order:
            if name == "watch":
                maps = stack.enter_context(watch(model[0]))
            else:
                stack.enter_context(listen(model[0], edits[name], foreign=False, edits=True))
        y = model[0](X)
    acts = 5 if order.index("first") < order.index("second") else 2
    assert torch.equal(y, acts * X)
    assert torch.equal(maps["channel"][0], torch.full((2, 8, 1, 1), float(acts)))
    assert torch.equal(model[0](X), plain)


def test_parts_reach_edits_alone_and_what_is_shown_changes_nothing() -> None:
    class Steps(Attention):
        maps = {"place": "B L H W"}  # noqa: RUF012

        def forward(self, x: Tensor) -> Tensor:
            parts = [self.edited("place", x[:, step : step + 1]) for step in range(3)]
            self.show("place", torch.cat(parts, 1))
            return parts[0] + parts[1] + parts[2]

    steps, told = Steps(), []

    def edit(formed: Formed) -> Tensor:
        told.append((formed.acts, tuple(formed.map.shape)))
        return formed.map + 1

    with watch(steps, foreign=False) as maps, listen(steps, edit, foreign=False, edits=True):
        y = steps(X)
    assert told == [(True, (2, 1, 5, 3))] * 3 + [(False, (2, 3, 5, 3))]
    assert torch.equal(maps["place"][0], X[:, :3] + 1)
    torch.testing.assert_close(y, X[:, :3].sum(1, keepdim=True) + 3)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["wrapped", "in place"])
def test_a_compiled_model_can_be_watched(how: str) -> None:
    torch.compiler.reset()
    model = two_gates()
    plain = model(X)
    compiled = model
    if how == "wrapped":
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    else:
        model.compile(backend="aot_eager", fullgraph=True)
    compiled(X)
    with watch(compiled) as maps:
        seen = compiled(X)
    assert sorted(maps) == ["0/channel", "2/channel", "2/spatial"]
    torch.testing.assert_close(seen, plain)
    torch.testing.assert_close(compiled(X), plain)
    torch.compiler.reset()


def test_two_threads_take_turns_and_see_only_their_own() -> None:
    model = two_gates()
    inside, checked = threading.Event(), threading.Event()
    results: dict[str, Tensor] = {}

    def other() -> None:
        inside.wait()
        model(5 * X)  # an unwatched pass meanwhile is not recorded
        checked.set()
        with watch(model) as maps:
            model(3 * X)
        results["other"] = maps["0/channel"][0]
        results["count"] = torch.tensor(len(maps["0/channel"]))

    thread = threading.Thread(target=other)
    thread.start()
    with watch(model) as maps:
        model(X)
        inside.set()
        checked.wait()
        thread.join(timeout=0.2)
        assert thread.is_alive(), "the second watcher has to wait"
        model(X)
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert len(maps["0/channel"]) == 2
    assert results["count"] == 1
    assert not torch.equal(results["other"], maps["0/channel"][0])


def test_two_threads_watch_two_models_at_once() -> None:
    models = [two_gates(), two_gates()]
    meet = threading.Barrier(2, timeout=30)
    counts: list[int] = []

    def look(model: nn.Module) -> None:
        with watch(model) as maps:
            meet.wait()
            for _ in range(5):
                model(X)
        counts.append(len(maps["2/spatial"]))

    threads = [threading.Thread(target=look, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert counts == [5, 5]
    compiled = torch.compile(models[0], backend="aot_eager")
    torch.testing.assert_close(compiled(X), models[0](X))  # and compiling works again afterwards
    torch.compiler.reset()


def test_a_class_outside_the_catalogue_declares_its_own_maps() -> None:
    class Own(Attention):
        maps = {"gate": "B 1 H W"}  # noqa: RUF012

        def forward(self, x: Tensor) -> Tensor:
            return x * self.see("gate", x.mean(1, keepdim=True).sigmoid())

    own = Own()
    with watch(own) as maps:
        own(X)
    assert maps.axes == {"gate": "B 1 H W"}
    assert declared_maps(own) == {"gate": "B 1 H W"}


def test_declared_maps_cover_every_option() -> None:
    gate = regard.create("gc", channels=8, reduction=2)
    assert declared_maps(gate) == {"channel": "B C 1 1", "spatial": "B 1 H W"}


def test_copies_made_inside_the_block_are_not_watched() -> None:
    model = two_gates()
    with watch(model) as maps:
        model(X)
        copied, pickled = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
        averaged = torch.optim.swa_utils.AveragedModel(model)
        for other in (copied, pickled, averaged):
            assert torch.equal(other(2 * X), model(2 * X))
    assert len(maps["0/channel"]) == 1 + 3, "the copies' passes are not recorded"
    for other in (copied, pickled):
        assert torch.equal(other(X), model(X))
        with watch(other) as own:
            other(X)
        assert torch.equal(own["0/channel"][0], maps["0/channel"][0])


def test_a_watch_that_its_thread_never_left_ends_with_the_thread() -> None:
    model = two_gates()
    kept = []

    def leak() -> None:
        kept.append(watch(model))
        kept[0].__enter__()

    thread = threading.Thread(target=leak)
    thread.start()
    thread.join()
    seen: list[int] = []

    def look() -> None:
        with watch(model) as maps:
            model(X)
        seen.append(len(maps["0/channel"]))

    # A new thread often gets the identifier of the one that has ended; this one certainly has another.
    for target in (threading.Thread(target=look), None):
        if target is None:
            look()
        else:
            target.start()
            target.join(timeout=30)
    assert seen == [1, 1]
    with watch(model) as maps:
        kept.pop().__exit__(None, None, None)  # the forgotten block ends late: it takes nothing from this one
        model(X)
    assert len(maps["0/channel"]) == 1
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    calls = torch._dynamo.testing.CompileCounter()
    torch.compile(model, backend=calls)(X)
    assert calls.frame_count == 1, "code is compiled again after the forgotten block"
    assert torch.equal(compiled(X), model(X))
    torch.compiler.reset()
