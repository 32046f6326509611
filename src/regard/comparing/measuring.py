"""Measuring the cost of a model: parameters, operations, time relative to the bare backbone, memory."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from regard.attaching.tracing import evaluating
from regard.comparing import statistics

LEAST_REPEATS = 7
MOST_REPEATS = 200
SAME = {"ratio": 1.0, "low": 1.0, "high": 1.0}  # the reference against itself


def parameters(model: nn.Module) -> int:
    """The number of parameters; one that two modules share counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def flops(model: nn.Module, images: Tensor) -> int:
    """Floating point operations of one forward pass, a multiplication and an addition counted as two.

    Convolutions, matrix products and attention count; pooling, activations and other elementwise work do not.
    """
    with evaluating(model), FlopCounterMode(display=False) as counter:
        model(images)
    return int(counter.get_total_flops())


def latency(model: nn.Module, reference: nn.Module, images: Tensor, *, seconds: float) -> dict[str, float]:
    """Time of a forward pass of `model` as a multiple of that of `reference`.

    The two run in turn, in alternating order, so that a disturbance or a drift of the machine meets both; each turn
    gives one ratio, and the median of the ratios counts.

    Args:
        images: the input of both.
        seconds: about how long to measure, within `LEAST_REPEATS` and `MOST_REPEATS` turns.

    Returns: `ratio`, and the ends of its interval, `low` and `high`.
    """
    pair = (model, reference)
    with evaluating(model), evaluating(reference):
        for each in (*pair, *pair):  # warm up caches and kernel choices
            _timed(each, images)
        spent = [_timed(each, images) for each in pair]
        repeats = min(MOST_REPEATS, max(LEAST_REPEATS, int(seconds / sum(spent))))
        ratios = []
        for repeat in range(repeats):
            if repeat % 2:
                below, above = _timed(reference, images), _timed(model, images)
            else:
                above, below = _timed(model, images), _timed(reference, images)
            ratios.append(above / below)
    found = statistics.repeated(ratios)
    return {"ratio": found.mean, "low": found.low, "high": found.high}


def peak_memory(model: nn.Module, images: Tensor, loss: Callable[[nn.Module], Tensor]) -> int:
    """Most bytes alive at once in one forward and backward pass: weights, buffers, images, activations, gradients.

    On CUDA it is what the allocator reports. Elsewhere every tensor's storage is counted from the operation that makes
    it until it is freed; scratch memory inside an operation is not seen.

    Args:
        model: put into training mode.
        images: the input.
        loss: runs the model on the images and returns the loss.
    """
    model.train()
    model.zero_grad(set_to_none=True)
    resident = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in (*model.parameters(), *model.buffers(), images)
    }
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
        torch.cuda.reset_peak_memory_stats(images.device)
        before = torch.cuda.memory_allocated(images.device)
        loss(model).backward()
        torch.cuda.synchronize(images.device)
        peak = torch.cuda.max_memory_allocated(images.device) - before
    else:
        with _Storages(set(resident)) as storages:
            loss(model).backward()
        peak = storages.peak
    model.zero_grad(set_to_none=True)
    return sum(resident.values()) + peak


class _Storages(TorchDispatchMode):
    """Counts the bytes of storages that are alive, and the most there ever were.

    Args:
        resident: addresses of storages that were there before and do not count.
    """

    def __init__(self, resident: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive = dict.fromkeys(resident, 0)
        self.now = 0
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            address, size = storage.data_ptr(), storage.nbytes()
            if size and address not in self.alive:
                self.alive[address] = size
                self.now += size
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._freed, address).atexit = False
        return out

    def _freed(self, address: int) -> None:
        self.now -= self.alive.pop(address)


def _timed(model: nn.Module, images: Tensor) -> float:
    _wait(images.device)
    began = time.perf_counter()
    model(images)
    _wait(images.device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
