"""Laws of refusing: what an argument or an input is wrong for, and that the message says which."""

from __future__ import annotations

import inspect
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from regard.laws.subject import Broken, Subject, outputs_of, shape_of

LINES = 100_000  # of Python, for one construction: several times what the largest network takes

# No default is among them. The last two are absurd sizes.
VALUES: tuple[Any, ...] = (
    None,
    "nonsense",
    "",
    [],
    (),
    ["nonsense"],
    object(),
    True,
    False,
    0,
    -3,
    2.5,
    -8.0,
    math.nan,
    math.inf,
    -math.inf,
    10**9,
    2**40,
)
# What takes the place of the first and of the last element of a sequence.
ELEMENTS: tuple[Any, ...] = (None, "nonsense", True, 0, -3, 2.5, math.nan, 10**9)


class _EndlessError(BaseException):
    """More lines of Python than any construction takes. No `except Exception` of the module stops it."""


def names_wrong_arguments(subject: Subject) -> None:
    """A wrong argument is refused by a ValueError or TypeError that starts at its name, and in bounded time.

    Every parameter with an annotation gets values of other types, NaN, negative numbers, zero and absurd sizes. A value
    that the annotation allows may be accepted: then the module builds, and gives finite outputs or refuses its input.
    """
    if subject.factory is None:
        return
    for name, hint in _hints(subject.factory).items():
        base = subject.kwargs.get(name, inspect.signature(subject.factory).parameters[name].default)
        for value in _wrong(base):
            _asked(subject, subject.factory, name, value, right=allowed(value, hint))


def _hints(factory: Callable[..., nn.Module]) -> dict[str, Any]:
    """Parameter -> annotation, of those that have one."""
    parameters = inspect.signature(factory, eval_str=True).parameters.values()
    named = (parameter for parameter in parameters if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD,
                                                                        parameter.KEYWORD_ONLY))  # fmt: skip
    return {one.name: one.annotation for one in named if one.annotation is not inspect.Parameter.empty}


def _wrong(base: Any) -> Iterator[Any]:
    yield from VALUES
    if isinstance(base, (list, tuple)) and base:
        for place in {0, len(base) - 1}:
            for element in ELEMENTS:
                yield (*base[:place], element, *base[place + 1 :])
        yield base[:-1]
        yield (*base, base[-1])


def allowed(value: Any, hint: Any) -> bool:
    """Whether a value is of the annotated type, finite and not of an absurd size; what is not known is allowed."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(allowed(value, part) for part in parts)
    if origin is tuple and Ellipsis not in parts:
        return (
            isinstance(value, (list, tuple))
            and len(value) == len(parts)
            and all(allowed(element, part) for element, part in zip(value, parts, strict=True))
        )
    if origin in (Sequence, list, tuple):
        return isinstance(value, (list, tuple)) and all(allowed(element, parts[0]) for element in value)
    if hint in (None, type(None)):
        return value is None
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if hint is str:
        return isinstance(value, str) and value not in ("nonsense", "")
    return isinstance(value, hint) if isinstance(hint, type) else True


def _asked(subject: Subject, factory: Callable[..., nn.Module], name: str, value: Any, *, right: bool) -> None:
    """Asks for the argument to be refused by name, or else, if it is `right`, to build a module that works."""
    given, kwargs = f"{name}={value!r}", {**subject.kwargs, name: value}
    try:
        with torch.device("meta"):  # an absurd size costs nothing there
            _built(factory, kwargs)
    except (ValueError, TypeError, LookupError) as error:  # a LookupError names the nearest known name
        if not re.search(rf"(?<!\w){name}=", str(error)):
            raise Broken("names_wrong_arguments", subject.name, given, f"{type(error).__name__}: {error}",
                         f"a message with {name}=") from error  # fmt: skip
        return
    except _EndlessError:
        seen = "no answer within bounded time"
    except Exception as error:  # any module may fail in any way
        seen = f"{type(error).__name__}: {error}"
    else:
        seen = "" if right else "no error"
    if seen:
        raise Broken("names_wrong_arguments", subject.name, given, seen, f"a ValueError or TypeError with {name}=")
    changed = replace(subject, build=partial(factory, **kwargs))
    try:
        outputs = outputs_of(changed.module(spread=False)(*subject.tensors()))
    except ValueError:  # another size of the input, which the inputs here do not have
        return
    except Exception as error:  # as above
        seen = f"{type(error).__name__}: {error}"
        raise Broken("names_wrong_arguments", subject.name, f"{given}, then a forward pass", seen,
                     f"a ValueError with {name}=, or an output") from error  # fmt: skip
    if not all(y.isfinite().all() for y in outputs):
        raise Broken("names_wrong_arguments", subject.name, f"{given}, then a forward pass", "an output not finite",
                     f"a ValueError with {name}=, or a finite output")  # fmt: skip


def _built(factory: Callable[..., nn.Module], kwargs: Mapping[str, Any]) -> nn.Module:
    """Builds, and counts the lines of the factory's own package on the way: a count is the same everywhere.

    Raises: _EndlessError after `LINES`.
    """
    package, lines = factory.__module__.partition(".")[0], 0

    def entered(frame: types.FrameType, event: str, argument: object) -> Any:
        return counted if frame.f_globals.get("__name__", "").partition(".")[0] == package else None

    def counted(frame: types.FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        if lines > LINES:
            raise _EndlessError
        return counted

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        return factory(**kwargs)
    finally:
        sys.settrace(before)


def names_wrong_inputs(subject: Subject) -> None:
    """An input of a wrong rank or width, with an empty axis or below the smallest size is refused by its shape.

    A mask may have several ranks, axes that two inputs share may differ, a module may take any number of axes, which
    its outputs then have, and one without weights any width: such inputs are taken or refused likewise.
    """
    module, sound = subject.module(), subject.tensors()
    fixed = _fixed(subject)
    if not module.state_dict():  # without weights it may take any width
        fixed.discard("C")
    every = [_letter(part) for axes in subject.axes for part in axes.parts]

    def refused(place: int, x: Tensor, *, must: bool, axes: int = 0) -> None:
        _refused(subject, module, [*sound[:place], x, *sound[place + 1 :]], must=must, more=axes)

    for i, (axes, x) in enumerate(zip(subject.axes, sound, strict=True)):
        refused(i, x[..., 0], must=axes.kind != "bool", axes=-1)
        refused(i, x[..., None], must=axes.kind != "bool", axes=1)
        for axis, part in enumerate(axes.parts):
            bound = part.isdigit() or _letter(part) in fixed
            if bound or every.count(_letter(part)) > 1:
                longer = torch.cat([x, x.narrow(axis, 0, 1)], axis)
                refused(i, longer, must=bound)
    for letter in sorted(subject.known().keys() - fixed - {"B"}):
        _refused(
            subject, module, [_emptied(x, axes.parts, letter) for x, axes in zip(sound, subject.axes, strict=True)]
        )
    for letter, size in subject.smallest.items():
        if size > 1:
            _refused(subject, module, subject.tensors({letter: size - 1}))


def _fixed(subject: Subject) -> set[str]:
    """The letters whose size the arguments fix: C of what has channels, and those of a size that is an argument."""
    given = [x for value in subject.kwargs.values() for x in (value if isinstance(value, (list, tuple)) else (value,))]
    fixed = {letter for letter, size in subject.sizes.items() if size in given}
    width = subject.factory is None or "channels" in inspect.signature(subject.factory).parameters
    return fixed | ({"C"} & subject.known().keys() if width else set())


def _letter(part: str) -> str:
    return part.partition("/")[0].strip("0123456789")


def _emptied(x: Tensor, parts: Sequence[str], letter: str) -> Tensor:
    for axis, part in enumerate(parts):
        x = x.narrow(axis, 0, 0) if _letter(part) == letter else x
    return x


def _refused(subject: Subject, module: nn.Module, inputs: list[Tensor], *, must: bool = True, more: int = 0) -> None:
    """Asks for a ValueError with the shape of an input.

    Finite outputs will do where it is no `must`, or where the input has `more` axes and every output has as many more.
    """
    expected = "a ValueError with the shape"
    try:
        outputs = outputs_of(module(*inputs))
    except ValueError as error:
        if not any(str(tuple(x.shape)) in str(error) for x in inputs):
            raise Broken("names_wrong_inputs", subject.name, shape_of(inputs), str(error), expected) from error
        return
    except Exception as error:  # any module may fail in any way
        seen = f"{type(error).__name__}: {error}"
        raise Broken("names_wrong_inputs", subject.name, shape_of(inputs), seen, expected) from error
    follows = more and [y.ndim - more for y in outputs] == [len(axes.split()) for axes in subject.outputs]
    if (must and not follows) or not all(y.isfinite().all() for y in outputs):
        raise Broken("names_wrong_inputs", subject.name, shape_of(inputs), shape_of(outputs), expected)
