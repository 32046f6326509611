"""The laws of the contract as functions, for the library's mechanisms and for any other module.

    report = regard.check(MyAttention(64), maps={"gate": "B C 1 1"})
    print(report)
    report.raise_if_broken()

A law takes a `Subject` and raises `Broken`, which says the law, the input, the result and the expected result. What
only the library's own entries promise, `ADVICE`, breaks no other module: there it is advice.
"""

from __future__ import annotations

import copy
import logging
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import nn

from regard import catalog
from regard.core import Attention, declared_maps
from regard.laws import arguments, behaviour, use, watching
from regard.laws.subject import Broken, Subject

LAWS: Mapping[str, Callable[[Subject], None]] = {
    law.__name__: law
    for law in (
        behaviour.shapes,
        behaviour.finite,
        behaviour.leaves_inputs_alone,
        behaviour.batch_independent,
        behaviour.deterministic,
        behaviour.changes_no_parameter,
        watching.watched_equals_unwatched,
        watching.shows_declared_maps,
        watching.edits_act,
        behaviour.gradients_reach,
        behaviour.gradcheck,
        behaviour.trains_on_one,
        behaviour.low_precision,
        use.keeps_state,
        use.builds_on_meta,
        use.channels_last,
        use.compiles,
        use.exports,
        use.exports_to_onnx,
        use.rejects,
        arguments.names_wrong_arguments,
        arguments.names_wrong_inputs,
        use.takes_widths,
        use.attaches,
    )
}

# A module that computes and learns as it should is sound without these: errors that name what is wrong, any number of
# channels, the meta device, whole graphs, exported programs, the range of half precision, and maps that can be edited.
ADVICE = frozenset(
    (
        "builds_on_meta",
        "compiles",
        "edits_act",
        "exports",
        "exports_to_onnx",
        "low_precision",
        "names_wrong_arguments",
        "names_wrong_inputs",
        "rejects",
        "takes_widths",
    )
)


@dataclass(frozen=True)
class Outcome:
    """The outcome of one law for one subject.

    Attributes:
        law: its name in `LAWS`.
        setting: the subject and its options.
        status: "kept", "broken", "advice" (not kept by a module of which it is not asked), "exempt" (broken, as the
            label declares) or "not asked" (a package is missing).
        message: the reason, for a law that is not kept.
    """

    law: str
    setting: str
    status: str
    message: str = ""


@dataclass(frozen=True)
class Report:
    """The outcomes of all laws; prints one line for each that is not kept, and a count."""

    outcomes: tuple[Outcome, ...]

    @property
    def broken(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.status == "broken")

    @property
    def ok(self) -> bool:
        return not self.broken

    def raise_if_broken(self) -> None:
        """Raises an AssertionError with the message of every broken law, where one is broken."""
        if self.broken:
            raise AssertionError("\n".join(outcome.message for outcome in self.broken))

    def __str__(self) -> str:
        lines = [f"{o.status}: {o.setting}: {o.law}: {o.message}" for o in self.outcomes if o.status != "kept"]
        kept, advised = (sum(o.status == status for o in self.outcomes) for status in ("kept", "advice"))
        count = f"{kept} of {len(self.outcomes)} laws kept, {len(self.broken)} broken"
        return "\n".join([*lines, f"{count}, {advised} advised" if advised else count])


def check(
    target: str | catalog.Entry | nn.Module | Callable[..., nn.Module],
    *,
    kwargs: Mapping[str, Any] | None = None,
    channels: int | None = None,
    inputs: Sequence[str] = ("B C H W",),
    outputs: Sequence[str] = ("B C H W",),
    maps: Mapping[str, str] | None = None,
    least: Sequence[int] | None = None,
    sizes: Mapping[str, int] | None = None,
    soft: bool = True,
    laws: Sequence[str] | None = None,
    on_law: Callable[[str, str, int, int], None] | None = None,
) -> Report:
    """Holds a module to the laws of the library, and reports each law that it breaks.

        report = regard.check(MyAttention, kwargs={"channels": 64})
        print(report)
        report.raise_if_broken()

    The laws of `ADVICE` are promises of the library's own entries; another module that does not keep one gets advice.

    Args:
        target: a catalogue name or `Entry` (then every option is checked and the label says the rest), a module, or a
            class to build with `kwargs`.
        kwargs: arguments for a class.
        channels: the size of the letter C; None takes it from `kwargs`, from `sizes` or from the first layer.
        inputs: axes of each input, for example `("B C H W",)`. `"bool B T"` is a mask, `"word<11> B T"` holds whole
            numbers below 11; `"word<V> B T"` takes their number from `sizes`.
        outputs: axes of each output.
        maps: declared map -> axes; None takes the maps that the class declares.
        least: smallest accepted sizes of the last axes of the first input, without batch and channels; None: all 1.
        sizes: letter -> size, where the arguments of the class fix it.
        soft: differentiable weights; discrete attention is not held to gradients.
        laws: names from `LAWS`; None asks all.
        on_law: called before each law, with the setting, the law, how many were asked before it, and of how many.

    Raises:
        LookupError: unknown entry or law; the message names the nearest.
        ValueError: the number of channels cannot be found, or the axes of an input cannot be read.
    """
    asked = [_law(name) for name in (LAWS if laws is None else laws)]
    if isinstance(target, str):
        target = catalog.get(target)
    if isinstance(target, catalog.Entry):
        return _report(
            [(subject, law, target.exempt.get(law)) for subject in subjects(target) for law in asked], on_law
        )
    if isinstance(target, nn.Module):
        module = target
        name, build, factory = type(module).__name__, partial(copy.deepcopy, module), None
    else:
        factory = target
        named = target.func if isinstance(target, partial) else target
        name, build = getattr(named, "__name__", str(named)), partial(target, **(kwargs or {}))
        module = build()
    if maps is None and isinstance(module, Attention):
        maps = declared_maps(module) or None
    subject = Subject(
        name=name,
        build=build,
        channels=channels or (kwargs or {}).get("channels") or (sizes or {}).get("C") or _first_width(module),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        maps=maps,
        sizes=sizes or {},
        soft=soft,
        factory=factory,
        kwargs=kwargs or {},
    )
    subject = replace(subject, least=(1,) * len(subject.plane) if least is None else tuple(least))
    return _report([(subject, law, None) for law in asked], on_law, foreign=True)


def _report(
    questions: Sequence[tuple[Subject, str, str | None]],
    on_law: Callable[[str, str, int, int], None] | None,
    *,
    foreign: bool = False,
) -> Report:
    """Asks each subject its law, with the reason of its exemption if there is one."""
    found = []
    for done, (subject, law, exemption) in enumerate(questions):
        if on_law is not None:
            on_law(subject.name, law, done, len(questions))
        outcome = _ask(law, subject, exemption)
        found.append(_advised(outcome) if foreign else outcome)
    return Report(tuple(found))


def _advised(outcome: Outcome) -> Outcome:
    """The outcome of a module from elsewhere: advice if the law is a promise of the library's own entries."""
    asked = outcome.law not in ADVICE and not outcome.message.startswith(_NO_PICKLE)
    if outcome.status != "broken" or asked:
        return outcome
    message = outcome.message.replace(f"breaks {outcome.law}", f"does not keep {outcome.law}", 1)
    return replace(outcome, status="advice", message=message.removeprefix(_NO_PICKLE))


def subjects(entry: catalog.Entry) -> Iterator[Subject]:
    """One subject for the default of an entry and one for each of its options; no two have the same name."""
    factory = entry.load()
    names: set[str] = set()
    for setting in entry.settings:
        changed = {key: value for key, value in setting.kwargs.items() if entry.kwargs.get(key) != value}
        options = ", ".join(f"{key}={value!r}" for key, value in changed.items())
        name = f"{entry.name}({options})"
        if name in names:  # the same arguments, asked with other inputs
            name += f" of {', '.join(setting.inputs or entry.inputs)}"
        names.add(name)
        yield Subject(
            name=name,
            build=partial(factory, **setting.kwargs),
            channels=setting.kwargs.get("channels") or (setting.sizes or {}).get("C", 12),
            inputs=setting.inputs or entry.inputs,
            outputs=setting.outputs or entry.outputs,
            maps=setting.maps,
            least=setting.least or entry.least,
            sizes=setting.sizes or {},
            exported=entry.exported,
            soft=bool(setting.soft),
            sums=setting.sums,
            shown=setting.shown,
            factory=factory,
            kwargs=setting.kwargs,
            plain=setting is entry.settings[0],
        )


def _law(name: str) -> str:
    if name not in LAWS:
        raise LookupError(f"law={name!r}: there is no such law; {catalog.nearest(name, tuple(LAWS))}")
    return name


def _first_width(module: nn.Module) -> int:
    for part in module.modules():
        for attribute in ("in_channels", "in_features", "num_channels", "num_features", "embed_dim", "embedding_dim"):
            width = getattr(part, attribute, None)
            if isinstance(width, int) and width > 1:
                return width
    raise ValueError(f"channels=None: no layer of {type(module).__name__} says how many it takes; pass channels=")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps warnings and logs of compilers, exporters and runtimes from the terminal: the outcome says what matters."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


_NO_PICKLE = "without pickle: "  # a class of a function or of a notebook is sound, though it cannot be pickled


def _ask(name: str, subject: Subject, exemption: str | None) -> Outcome:
    try:
        with _quiet():
            LAWS[name](subject)
    except ImportError as error:
        return Outcome(name, subject.name, "not asked", f"{error}; install regard[export]")
    except Broken as broken:
        message = str(broken)
    except Exception as error:  # any module may fail in any way, and all of them are failures of the law
        first = str(error).strip().partition("\n")[0]
        message = f"{subject.name} breaks {name}: {type(error).__name__}: {first}"
        if isinstance(error, pickle.PicklingError) or (isinstance(error, AttributeError) and "pickle" in first):
            message = f"{_NO_PICKLE}{message}"
    else:
        if exemption is None:
            return Outcome(name, subject.name, "kept")
        return Outcome(name, subject.name, "broken", f"{subject.name} is exempt from {name} ({exemption}) but keeps it")
    return Outcome(name, subject.name, "broken" if exemption is None else "exempt", exemption or message)
