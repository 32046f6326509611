"""Measuring what an entry costs at a standard size; `regard.catalog.costs` reads what was measured."""

from __future__ import annotations

import inspect

import torch
from torch.utils.flop_counter import FlopCounterMode

from regard.catalog import Entry
from regard.catalog.costs import Cost
from regard.laws.subject import SIZES, Axes, default_arguments, size_of

IMAGE = {"B": 1, "H": 224, "W": 224}
GRID = {"B": 1, "H": 14, "W": 14}  # of the features that a captioner reads
STANDARD = {"B": 1, "C": 256, "H": 56, "W": 56, "T": 8, "Q": 8, "K": 8, "S": 8, "N": 8}


def standard_cost(entry: Entry) -> Cost:
    """The cost of an entry's default at 256 × 56 × 56, or at 8 frames or tokens of 256 channels.

    A system gets one image of 224 × 224, or of the only size that it takes; one that uses words gets a map of 14 × 14.
    """
    factory = entry.load()
    device = "meta" if entry.system else "cpu"  # shapes tell, and systems are large
    kwargs = default_arguments(factory, entry.kwargs, {} if entry.system else entry.sizes)
    if entry.system:
        usual = inspect.signature(factory).parameters.get("channels")
        known = {
            **SIZES,
            **(GRID if "vocabulary" in kwargs else IMAGE),
            "C": kwargs.get("channels", usual.default if usual else 3),
            **entry.sizes,
        }
    else:
        free = {letter: size for letter, size in STANDARD.items() if letter not in entry.sizes or letter in "CHW"}
        known = {**SIZES, **entry.sizes, **free}
        if "grid" in kwargs:
            kwargs["grid"] = (known["H"], known["W"])
        if "channels" in kwargs:
            kwargs["channels"] = known["C"]
    with torch.device(device):
        module = factory(**kwargs).eval()
    if entry.system and getattr(module, "grid", None):
        known["H"], known["W"] = module.grid
    slots = [Axes.read(text) for text in entry.inputs]
    shapes = [[size_of(part, known) for part in slot.parts] for slot in slots]
    inputs = [
        torch.zeros(shape, dtype=torch.int64, device=device)  # words: every vocabulary has a word 0
        if slot.kind == "word"
        else torch.ones(shape, dtype=torch.bool if slot.kind == "bool" else None, device=device)
        for shape, slot in zip(shapes, slots, strict=True)
    ]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*inputs)
    return Cost(
        input=", ".join(" × ".join(map(str, shape)) for shape in shapes),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        flops=counter.get_total_flops(),
    )
