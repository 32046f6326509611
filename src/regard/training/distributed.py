"""Processes that train one network together: the group they form, and batch norm over all of them.

With a batch split over ranks, batch statistics have to be those of the whole batch, or two processes train another
network than one. torch's `SyncBatchNorm` runs on CUDA only, and converting a model to it replaces modules: forward
hooks registered on them are lost, and so is the activation inside a subclass such as timm's `BatchNormAct2d`. Here the
function under all of them, `torch.nn.functional.batch_norm`, changes while the block runs, and the model is left alone.

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
    """Where this process stands among those that train together."""

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
        """Everybody's value, by rank."""
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def first(self, value: Any) -> Any:
        """Rank 0's value: it alone need see the disk."""
        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, src=0)
        return values[0]


@contextmanager
def distributed(device: str | torch.device = "cpu") -> Iterator[World]:
    """Joins the process group that `torchrun` describes in the environment, and leaves it at the end.

    Without `torchrun` the world is this process; inside a group that exists already it is that group. Gloo on CPU, NCCL
    on CUDA, where each process takes the GPU of its local rank.

    Raises: ValueError if `device` is not there.
    """
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={str(device)!r}: torch sees no CUDA device here; use 'cpu'")
    if device == torch.device("cuda"):  # no number yet
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", torch.cuda.current_device())))
    if dist.is_available() and dist.is_initialized():
        yield World(device, dist.get_rank(), dist.get_world_size())
        return
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys() or os.environ["WORLD_SIZE"] == "1":
        yield World(device)
        return
    world = World(device, int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    # The store outlives a restart by torchrun and this group: without a prefix of their own, keys that a dead process
    # left there make the next group wait for ever.
    restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = dist.PrefixStore(f"run{restart}.{next(_groups)}", _store(world.rank, world.size))
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo", store=store, rank=world.rank, world_size=world.size)
    try:
        yield world
        dist.barrier()  # with gloo of torch 2.6, who leaves first takes along what others have not read yet
    finally:
        dist.destroy_process_group()


_groups = itertools.count()


@cache
def _store(rank: int, size: int) -> dist.Store:
    served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun's own process holds the keys
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return dist.TCPStore(host, port, size, is_master=rank == 0 and not served)


class _Normalise(torch.autograd.Function):
    """(1) and (2) with whole-batch statistics; keeps as much for the backward pass as the ordinary one does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dims, wide = _all_but_channels(x), _at_least_float32(x)
        totals = torch.cat([wide.sum(dims), wide.new_tensor([x.numel() / x.shape[1]])])  # [C + 1]
        dist.all_reduce(totals)
        count, mean = totals[-1], totals[:-1] / totals[-1]
        centred = wide - _per_channel(mean, x)
        # A second round, in place of E[x²] − μ², which loses every digit where the mean is large.
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
        # The parameters' gradients stay this rank's own: whoever reduces all other gradients reduces these too.
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

    Every rank has to call it, with at least one image.

    Shapes: x `B C *`, of any B on each rank, the same C.
    Raises: ValueError if the whole batch has a single value per channel.
    """
    if not training:
        return functional.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    wide = _at_least_float32(x).dtype
    weight = torch.ones(x.shape[1], dtype=wide, device=x.device) if weight is None else weight
    bias = torch.zeros(x.shape[1], dtype=wide, device=x.device) if bias is None else bias
    y: Tensor
    y, mean, variance, count = _Normalise.apply(x, weight, bias, eps)
    # Asked only where it is possible: reading a number back makes a GPU wait.
    if x.numel() == x.shape[1] and count.item() == 1:
        raise ValueError(f"expected more than 1 value per channel when training, got input size {tuple(x.shape)}")
    with torch.no_grad():
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        if running_var is not None:
            running_var.lerp_((variance * (count / (count - 1))).to(running_var.dtype), momentum)
    return y


class synchronised_batch_norm(TorchFunctionMode):
    """While the block runs, every batch norm in training takes its statistics over all ranks.

    It sees any module that calls `torch.nn.functional.batch_norm`, changes none, and holds for this thread only.
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
