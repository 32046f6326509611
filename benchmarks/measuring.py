"""Measuring: paired ratios of time, peak memory, and the distance to what memory traffic alone costs."""

from __future__ import annotations

import gc
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._pytree import tree_leaves

MODES = ("forward", "forward+backward")


@dataclass(frozen=True)
class Ratio:
    """Time of the first over time of the second, paired: median and quartiles over the rounds."""

    median: float
    low: float
    high: float
    rounds: int
    first_ms: float
    second_ms: float


def tensors_in(outputs: Any) -> list[Tensor]:
    """Every tensor of a module's output, whatever it is packed into."""
    return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]


def differentiable(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor for tensor in tensors if tensor.requires_grad]


def call(module: nn.Module, inputs: Sequence[Tensor], mode: str) -> Callable[[], None]:
    """One forward pass without gradients, or one with a backward pass to the inputs and all parameters."""
    if mode == "forward":

        def forward() -> None:
            with torch.no_grad():
                module(*inputs)

        return forward

    inputs = [x.detach().requires_grad_(x.is_floating_point()) for x in inputs]
    probes = [torch.randn_like(y) for y in differentiable(tensors_in(module(*inputs)))]
    leaves = [*inputs, *module.parameters()]

    def forward_backward() -> None:
        torch.autograd.backward(differentiable(tensors_in(module(*inputs))), probes)
        for leaf in leaves:
            leaf.grad = None

    return forward_backward


def paired(first: Callable[[], None], second: Callable[[], None], *, seconds: float, device: str) -> Ratio:
    """Times two calls in turns, the order swapped every round, for about `seconds`.

    Interference from the rest of the machine then hits both sides of a ratio alike; an absolute time never recovers
    from it. Short calls are repeated within a sample until the clock's resolution does not matter.

    One thread on CPU is timed by the processor time of this process, which waiting for other processes does not enter;
    a GPU by its own events.
    """
    once = [_time(function, 1, device) for function in (first, second, first, second)][2:]  # the first two warm up
    repeats = [max(1, math.ceil(2e-3 / max(seconds_once, 1e-7))) for seconds_once in once]
    round_seconds = sum(repeat * seconds_once for repeat, seconds_once in zip(repeats, once, strict=True))
    rounds = min(max(int(seconds / round_seconds), 5), 101)
    first_times, second_times = [], []
    gc.collect()
    gc.disable()
    try:
        for i in range(rounds):
            sides = [(first, repeats[0], first_times), (second, repeats[1], second_times)]
            for function, repeat, times in sides if i % 2 == 0 else reversed(sides):
                times.append(_time(function, repeat, device))
    finally:
        gc.enable()
    ratios = [a / b for a, b in zip(first_times, second_times, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4)
    return Ratio(median, low, high, rounds, statistics.median(first_times) * 1e3, statistics.median(second_times) * 1e3)


def _time(function: Callable[[], None], repeat: int, device: str) -> float:
    """Seconds for one call: between two events of the GPU, which stand in the order of its work, or by the clock."""
    if device == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(repeat):
            function()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3 / repeat
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    for _ in range(repeat):
        function()
    return (clock() - start) / repeat


def peak_memory(function: Callable[[], None], device: str) -> int:
    """Bytes that one call holds at its worst moment beyond what was held before it.

    On CPU: the largest running sum of every allocation and release that torch's allocator reports to its profiler,
    which includes buffers inside operators, saved tensors, the output and the gradients, but neither inputs and
    weights, which exist before, nor scratch space that MKL and oneDNN get from elsewhere. On CUDA: the caching
    allocator's own peak.
    """
    function()  # lazily made buffers belong to nobody
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    changes = sorted(
        ((event["ts"], event["args"]["Bytes"]) for event in events if event.get("name") == "[memory]"),
        key=lambda change: change[0],
    )
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def floor(inputs: Sequence[Tensor], reads: int) -> Callable[[], None]:
    """What must at least happen to memory: all reads but the last as sums, the last one and the write as a copy."""
    x, *others = inputs

    def passes() -> None:
        with torch.no_grad():
            for _ in range(reads - 1):
                x.sum()
            for other in others:
                other.sum()
            x.clone()

    return passes
