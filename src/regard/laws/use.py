"""Laws of use: saving, compiling, exporting, building, attaching."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import warnings
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from regard.attaching import attach, detach
from regard.laws.subject import (
    SIZES,
    Broken,
    Subject,
    default_arguments,
    floats,
    loss,
    outputs_of,
    same,
    seeded,
    shape_of,
)


def keeps_state(subject: Subject) -> None:
    """A copy by state dict, deepcopy or pickle gives the same outputs."""
    module, inputs = subject.module(), subject.tensors()
    wanted = module(*inputs)
    fresh = subject.build().eval()
    fresh.load_state_dict(module.state_dict())
    stream = io.BytesIO()
    pickle.dump(module, stream)
    stream.seek(0)
    for way, copied in (
        ("state_dict", fresh), ("deepcopy", copy.deepcopy(module)), ("pickle", pickle.load(stream))
    ):  # fmt: skip
        if not list(copied.state_dict()) and list(module.state_dict()):
            raise Broken("keeps_state", subject.name, way, "an empty state_dict", "every parameter in it")
        same(
            "keeps_state",
            subject,
            f"{way}, {shape_of(inputs)}",
            copied(*inputs),
            wanted,
            "the same output",
            tolerance=0,
        )


def builds_on_meta(subject: Subject) -> None:
    """The module builds on the meta device, and computes there the shapes that it computes on the CPU."""
    with torch.device("meta"):
        module = subject.build().eval()
        inputs = [torch.empty(x.shape, dtype=x.dtype) for x in subject.tensors()]
    odd = [name for name, value in module.state_dict().items() if value.device.type != "meta"]
    if odd:
        raise Broken("builds_on_meta", subject.name, "torch.device('meta')", f"{odd[0]} elsewhere", "all of it on meta")
    outputs = outputs_of(module(*inputs))
    wanted = outputs_of(subject.module()(*subject.tensors()))
    if [y.shape for y in outputs] != [y.shape for y in wanted]:
        raise Broken("builds_on_meta", subject.name, shape_of(inputs), shape_of(outputs), shape_of(wanted))


def channels_last(subject: Subject) -> None:
    """Outputs are the same for channels-last input."""
    inputs, module = subject.tensors(), subject.module()
    ways = {4: torch.channels_last, 5: torch.channels_last_3d}
    if not any(x.ndim in ways for x in inputs):
        return
    moved = [x.to(memory_format=ways[x.ndim]) if x.ndim in ways else x for x in inputs]
    same(
        "channels_last", subject, shape_of(inputs), module(*moved), module(*inputs), "the same as for contiguous input"
    )


def compiles(subject: Subject, backend: str = "aot_eager") -> None:
    """`torch.compile(fullgraph=True)` gives the same outputs and gradients."""
    module, inputs = subject.module(), subject.tensors()
    for x in floats(inputs):
        x.requires_grad_()
    leaves = floats(inputs) or [x for x in module.parameters() if x.requires_grad]  # words have no gradients
    wanted = outputs_of(module(*inputs))
    gradients = torch.autograd.grad(loss(wanted), leaves) if subject.soft else ()
    torch.compiler.reset()
    try:
        seen = outputs_of(torch.compile(module, fullgraph=True, backend=backend)(*inputs))
        back = torch.autograd.grad(loss(seen), leaves) if subject.soft else ()
    except Exception as error:  # the compiler raises many types
        raise Broken("compiles", subject.name, shape_of(inputs), _first_line(error), "one whole graph") from error
    finally:
        torch.compiler.reset()
    same("compiles", subject, shape_of(inputs), seen, wanted, "the eager output")
    if gradients:  # each by its own scale, but for one that rounding alone has made, as softmax makes of a shift
        largest = max(gradient.abs().max().item() for gradient in gradients)
        floor = max(1e-6, 1e-2 * largest)
        same("compiles", subject, shape_of(inputs), back, gradients, "the eager gradients", floor=floor)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:300]


# Other sizes for a program exported at those of `subject.SIZES`.
OTHER = {"B": 3, "H": 8, "W": 9, "T": 4, "N": 6, "Q": 7, "K": 5, "S": 6, "M": 8}


def _exported_sizes(subject: Subject) -> tuple[dict[str, int], dict[str, int]]:
    """The sizes at which a program is exported, and others at which it has to run."""
    more = subject.exported - 4
    first = {"H": SIZES["H"] + more, "W": SIZES["W"] + more} if more else {}
    return first, {**OTHER, "H": OTHER["H"] + more, "W": OTHER["W"] + more}


def _dynamic(subject: Subject) -> tuple[dict[int, Any], ...]:
    """Dynamic sizes of every axis that the arguments leave open, from 4 up: halving one leaves more than a position.

    An axis that is a multiple or a quotient of another one follows from the one alone, if the program is sound.
    """
    letters = {
        letter: torch.export.Dim(
            letter,
            min=2 if letter == "B" else max(subject.exported if letter in "HW" else 4, subject.smallest.get(letter, 4)),
            max=4096,
        )
        for letter in OTHER
        if letter not in subject.sizes
    }

    def dimension(part: str) -> Any:
        letter = part.strip("0123456789/")
        if letter not in letters:
            return None
        return letters[letter] if part == letter else torch.export.Dim.AUTO

    axes = [axes.parts for axes in subject.axes]
    mixed = any(len(part) > 1 and part.strip("0123456789/") in letters for parts in axes for part in parts)
    if mixed:  # named and automatic axes cannot be related to each other
        return tuple(
            {i: torch.export.Dim.AUTO for i, part in enumerate(parts) if part.strip("0123456789/") in letters}
            for parts in axes
        )
    return tuple({i: size for i, part in enumerate(parts) if (size := dimension(part)) is not None} for parts in axes)


@lru_cache(maxsize=1)  # both laws of exporting follow each other, and read the same program
def _program(subject: Subject) -> ExportedProgram:
    inputs, module, shapes = subject.tensors(_exported_sizes(subject)[0]), subject.module(), _dynamic(subject)
    taken = inspect.signature(module.forward).parameters.values()
    together = any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in taken)  # `*maps` is one argument
    return torch.export.export(module, tuple(inputs), dynamic_shapes=(shapes,) if together else shapes)


def _exported(law: str, subject: Subject) -> ExportedProgram:
    try:
        return _program(subject)
    except Exception as error:  # the exporter raises many types
        given = f"{shape_of(subject.tensors(_exported_sizes(subject)[0]))}, every axis but C dynamic"
        raise Broken(law, subject.name, given, _first_line(error), "torch.export to succeed") from error


def exports(subject: Subject) -> None:
    """`torch.export` takes the module with dynamic sizes; the program agrees with the module at other sizes."""
    program, module = _exported("exports", subject).module(), subject.module()
    for sizes in _exported_sizes(subject):
        inputs = subject.tensors(sizes)
        same("exports", subject, shape_of(inputs), program(*inputs), module(*inputs), "the eager output")


def exports_to_onnx(subject: Subject) -> None:
    """ONNX export takes that program; onnxruntime agrees with the module at other sizes (needs `regard[export]`)."""
    import onnxruntime

    program, module = _exported("exports_to_onnx", subject), subject.module()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.onnx.export(program, dynamo=True, verbose=False)
        assert exported is not None
        session = onnxruntime.InferenceSession(
            exported.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the exporter and the runtime raise many types
        raise Broken(
            "exports_to_onnx", subject.name, "dynamic sizes", _first_line(error), "ONNX export to succeed"
        ) from error
    for sizes in _exported_sizes(subject):
        inputs = subject.tensors(sizes)
        names = [slot.name for slot in session.get_inputs()]
        seen = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
        same("exports_to_onnx", subject, shape_of(inputs), [torch.from_numpy(y) for y in seen], module(*inputs),
              "the eager output")  # fmt: skip


def rejects(subject: Subject) -> None:
    """An unknown argument and `channels` that are no positive whole number are refused by name."""
    if subject.factory is None:
        return
    trials: list[tuple[dict[str, Any], type[Exception], str]] = [({"no_such_option": 1}, TypeError, "no_such_option")]
    if "channels" in inspect.signature(subject.factory).parameters:
        trials += [({"channels": bad}, ValueError, f"channels={bad!r}") for bad in (0, -3, 2.5)]
    for wrong, kind, name in trials:
        given = ", ".join(f"{key}={value!r}" for key, value in wrong.items())
        try:
            subject.factory(**{**subject.kwargs, **wrong})
        except kind as error:
            if name not in str(error):
                raise Broken("rejects", subject.name, given, f"{error}", f"a message with {name!r}") from None
        except Exception as error:
            raise Broken("rejects", subject.name, given, _first_line(error), f"{kind.__name__}") from error
        else:
            raise Broken("rejects", subject.name, given, "no error", f"{kind.__name__}")


def takes_widths(subject: Subject) -> None:
    """Under the default options 72, 50 and 8 channels work, or a ValueError says which numbers do."""
    if subject.factory is None or not subject.plain or "channels" not in inspect.signature(subject.factory).parameters:
        return
    kwargs = default_arguments(subject.factory, subject.kwargs, subject.fixed)
    for width in (72, 50, 8):
        try:
            module = subject.factory(**{**kwargs, "channels": width}).eval()
        except ValueError as error:
            if not any(character.isdigit() for character in str(error)):
                raise Broken("takes_widths", subject.name, f"channels={width}", str(error), "an error that says which "
                             "would do") from error  # fmt: skip
            continue
        module(*replace(subject, channels=width).tensors())


def attaches(subject: Subject) -> None:
    """The module attaches to a convolution, starts there as the identity, and detaches without a trace."""
    if subject.inputs != ("B C H W",) or subject.outputs != ("B C H W",):
        return
    with seeded(3):
        host = nn.Sequential(
            nn.Conv2d(3, subject.channels, 3, padding=1), nn.ReLU(), nn.Conv2d(subject.channels, 2, 1)
        ).eval()
        x = torch.randn(2, 3, subject.sizes.get("H", 8), subject.sizes.get("W", 7))
    before, names = host(x), list(host.state_dict())
    built = subject.module(spread=False)
    attach(host, lambda channels: built, after="0", identity=True, example=x)
    if not torch.equal(host(x), before):
        raise Broken("attaches", subject.name, shape_of([x]), "other outputs", "bit-equal outputs with identity=True")
    detach(host)
    if list(host.state_dict()) != names or not torch.equal(host(x), before):
        raise Broken("attaches", subject.name, shape_of([x]), "a trace left after detach", "the old model")
