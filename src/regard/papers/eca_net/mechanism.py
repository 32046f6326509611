"""ECA: a channel gate from a short convolution over the pooled channels, without a bottleneck.

ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks. Wang, Wu, Zhu, Li, Zuo, Hu. CVPR 2020,
arXiv:1910.03151. Official code: BangguWu/ECANet.

    z_c = 1/(HW) Σ_hw x_chw                                                                          (1)
    e_c = σ(Σ_j w_j z_{c+j-⌊k/2⌋}),  j = 0 … k-1, zeros outside             ECA, Eq. 7               (2)
    e_c = σ(Σ_j w_cj z_{c+j-⌊k/2⌋})                                         ECA-NS, Eq. 6            (3)
    k   = |(log₂ C + b) / γ| made odd, γ = 2, b = 1                         Eq. 12                   (4)
    y_c = e_c · x_c                                                                                  (5)

Place: on the residual branch of every block, after its last batch norm and before the addition.
Cost: one pass to pool and one to scale, kC multiplications; O(C) extra memory; k parameters, or kC unshared.
Deviations: paper, Eq. 12, takes the nearest odd number | official code truncates and then adds one to an even number,
    also here. The released ImageNet networks set k by hand for each stage (`kernel_size`).
Errata: timm raises k to at least 3, so that small channel counts get another kernel than the formula's (C = 4 gives
    1). A port with a bias, or one k for all widths, is not this mechanism.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import LARGEST, check_input, number, positive
from regard.core import Attention
from regard.ops import pooling


def adaptive_kernel(channels: int, *, gamma: float = 2, beta: float = 1) -> int:
    """k for C channels (Eq. 12 as released): 1 for C = 4, 3 for 8 … 64, 5 for 128 … 1024, 7 for 2048.

    Raises: ValueError if an argument is out of range, or γ and b choose a size that nothing has.
    """
    positive("channels", channels)
    size = abs((math.log2(channels) + number("beta", beta)) / number("gamma", gamma, above=0))
    if size > LARGEST:
        raise ValueError(f"gamma={gamma!r}, beta={beta!r}: a kernel of at most {LARGEST} channels is needed")
    return int(size) if int(size) % 2 else int(size) + 1


def _kernel_size(channels: int, kernel_size: int | None, gamma: float, beta: float) -> int:
    chosen = adaptive_kernel(channels, gamma=gamma, beta=beta)
    if kernel_size is None:
        return chosen
    if positive("kernel_size", kernel_size) % 2 == 0:
        raise ValueError(f"kernel_size={kernel_size}: an odd number is needed")
    return kernel_size


class EfficientChannel(Attention):
    """Channel gate from one k-tap filter over the pooled channels (ECA).

    Args:
        channels: C of the input.
        kernel_size: k, odd; None chooses it from C by Eq. 12.
        gamma, beta: γ, above 0, and b of Eq. 12.

    Shapes: x `B C H W` -> `B C H W`. Maps: channel `B C 1 1`, in (0, 1).
    Raises: ValueError for an even kernel size, or a γ that is not positive.
    """

    def __init__(self, channels: int, *, kernel_size: int | None = None, gamma: float = 2, beta: float = 1) -> None:
        super().__init__()
        self.channels = channels
        size = _kernel_size(channels, kernel_size, gamma, beta)
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        z = pooling.average(x)  # [B, C]
        e = self.conv(z[:, None]).sigmoid()  # [B, 1, C]
        return x * self.see("channel", e[:, 0, :, None, None])


class UnsharedEfficientChannel(Attention):
    """Channel gate from k-tap filters over the pooled channels, one for every channel (ECA-NS).

    Args:
        channels: C of the input.
        kernel_size: k, odd; None chooses it from C by Eq. 12.
        gamma, beta: γ, above 0, and b of Eq. 12.

    Shapes: x `B C H W` -> `B C H W`. Maps: channel `B C 1 1`, in (0, 1).
    Raises: ValueError for an even kernel size, or a γ that is not positive.
    """

    def __init__(self, channels: int, *, kernel_size: int | None = None, gamma: float = 2, beta: float = 1) -> None:
        super().__init__()
        self.channels = channels
        size = _kernel_size(channels, kernel_size, gamma, beta)
        self.weight = nn.Parameter(torch.empty(channels, size))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        size = self.weight.shape[1]
        z = F.pad(pooling.average(x), (size // 2, size // 2))  # [B, C + k - 1]
        e = (z.unfold(1, size, 1) * self.weight).sum(-1).sigmoid()  # [B, C]
        return x * self.see("channel", e[:, :, None, None])
