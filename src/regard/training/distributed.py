"""Distributed training: the process group, and batch norm with statistics over all processes.

If a batch is split over ranks, the batch statistics must be those of the whole batch: otherwise two processes train a
different network from one. torch's `SyncBatchNorm` runs on CUDA only, and converting a model to it replaces modules:
their forward hooks are lost, and so is the activation inside a subclass such as timm's `BatchNormAct2d`. Here the
function that all of them call, `torch.nn.functional.batch_norm`, is replaced in a block, and the model is unchanged.

    n = Σ_ranks count        μ = Σ_ranks Σ x / n        σ² = Σ_ranks Σ (x − μ)² / n                              (1)
    y = w (x − μ) / √(σ² + ε) + b                                                                                (2)
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class World:
    """The device of this process, its rank, and the number of processes that train together."""

    device: torch.device
    rank: int = 0
    size: int = 1

    def total(self, value: Tensor) -> Tensor:
        """The sum of a detached value over all ranks."""
        value = value.detach().clone()
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def gathered(self, value: Any) -> list[Any]:
        """The values of all ranks, in the order of the ranks."""
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def first(self, value: Any) -> Any:
        """The value of rank 0, which is the only one that reads and writes files."""
        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, src=0)
        return values[0]


@contextmanager
def distributed(device: str | torch.device = "cpu") -> Iterator[World]:
    """Joins the process group that `torchrun` describes in the environment, and leaves it after the block.

    Without `torchrun` the world is this process; if a process group exists already, it is used. The backend is gloo on
    CPU and NCCL on CUDA, where each process uses the GPU of its local rank.

    Raises: ValueError if `device` is CUDA and torch has no CUDA device.
    """
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={str(device)!r}: torch has no CUDA device here; 'cpu' is accepted")
    if device == torch.device("cuda"):  # without an index
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", torch.cuda.current_device())))
    if dist.is_available() and dist.is_initialized():
        yield World(device, dist.get_rank(), dist.get_world_size())
        return
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys() or os.environ["WORLD_SIZE"] == "1":
        yield World(device)
        return
    world = World(device, int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    # The store outlives this group and a restart by torchrun: without a prefix of its own, the next group would wait
    # endlessly on keys of dead processes.
    restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = dist.PrefixStore(f"run{restart}.{next(_groups)}", _store(world.rank, world.size))
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo", store=store, rank=world.rank, world_size=world.size)
    try:
        yield world
        dist.barrier()  # with gloo of torch 2.6, a process that leaves drops data that others have not read yet
    finally:
        dist.destroy_process_group()


_groups = itertools.count()


@cache
def _store(rank: int, size: int) -> dist.Store:
    served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun's own process has the store
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return dist.TCPStore(host, port, size, is_master=rank == 0 and not served)


class _Normalise(torch.autograd.Function):
    """Equations (1) and (2) with statistics over all ranks; saves as much for the backward pass as the ordinary one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dims, wide = _all_but_channels(x), _at_least_float32(x)
        totals = torch.cat([wide.sum(dims), wide.new_tensor([x.numel() / x.shape[1]])])  # [C + 1]
        dist.all_reduce(totals)
        count, mean = totals[-1], totals[:-1] / totals[-1]
        centred = wide - _per_channel(mean, x)
        # A second reduction, since E[x²] − μ² loses all precision if the mean is large.
        variance = centred.square().sum(dims)
        dist.all_reduce(variance)
        variance = variance / count
        scale = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, scale, count)
        ctx.mark_non_differentiable(mean, variance, count)
        y = centred * _per_channel(weight * scale, x) + _per_channel(bias, x)
        return y.to(x.dtype), mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, scale, count = ctx.saved_tensors
        dims, wide_dy = _all_but_channels(x), _at_least_float32(dy)
        normal = (_at_least_float32(x) - _per_channel(mean, x)) * _per_channel(scale, x)
        d_bias, d_weight = wide_dy.sum(dims), (wide_dy * normal).sum(dims)
        totals = torch.stack([d_bias, d_weight])  # [2, C]
        dist.all_reduce(totals)
        spread = (_per_channel(totals[0], x) + normal * _per_channel(totals[1], x)) / count
        dx = (wide_dy - spread) * _per_channel(weight * scale, x)
        # The gradients of the parameters are those of this rank: they are reduced with all other gradients.
        return dx.to(x.dtype), d_weight.to(weight.dtype), d_bias.to(weight.dtype), None


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` with statistics over all ranks of the default process group.

    Every rank must call it, with at least one image.

    Shapes: x `B C *`; B may differ between ranks.
    Raises: ValueError if the whole batch has a single value per channel.
    """
    if not training:
        return functional.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    wide = _at_least_float32(x).dtype
    weight = torch.ones(x.shape[1], dtype=wide, device=x.device) if weight is None else weight
    bias = torch.zeros(x.shape[1], dtype=wide, device=x.device) if bias is None else bias
    y: Tensor
    y, mean, variance, count = _Normalise.apply(x, weight, bias, eps)
    # Checked only if it is possible, since reading a number from a GPU synchronises.
    if x.numel() == x.shape[1] and count.item() == 1:
        raise ValueError(f"expected more than 1 value per channel when training, got input size {tuple(x.shape)}")
    with torch.no_grad():
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        if running_var is not None:
            running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
    return y


class synchronised_batch_norm(TorchFunctionMode):
    """Makes every batch norm in training use statistics over all ranks, in the block.

    It applies to every module that calls `torch.nn.functional.batch_norm`, changes no module, and holds for this thread
    only.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        return (batch_norm if func is functional.batch_norm else func)(*args, **(kwargs or {}))


def _all_but_channels(x: Tensor) -> list[int]:
    return [axis for axis in range(x.ndim) if axis != 1]


def _per_channel(value: Tensor, x: Tensor) -> Tensor:
    return value.view(-1, *[1] * (x.ndim - 2))


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
