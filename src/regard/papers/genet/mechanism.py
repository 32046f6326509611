"""Gather-excite: a gate for each channel from its own content in a neighbourhood or in the whole map.

Gather-Excite: Exploiting Feature Context in CNNs. Hu, Shen, Albanie, Sun, Vedaldi. NeurIPS 2018, arXiv:1810.12348.
Official code: hujie-frank/GENet (Caffe).

    g_c = mean of x_c over windows of 2e - 1, e apart, or over the map          gather without parameters, θ⁻   (1)
    g   = BN(D_k * relu( … BN(D_1 * x)))                                        gather, θ and θ⁺, e = 2^k       (2)
    g_c = BN(Σ_hw D_chw x_chw)                                                  the same for the whole map      (3)
    g  <- W₂ relu(W₁ relu(g) + b₁) + b₂                                         excite of θ⁺                    (4)
    y   = x · σ(up(g))                                                          nearest neighbour               (5)

    D_i: depthwise 3 × 3, stride 2.

Place: on the residual branch of every block, after its last batch norm and before the addition; in the ablations only
    one stage has it.
Cost: θ⁻ no parameters, 4 additions per value, at the whole map 1; θ 9C log₂ e or HWC parameters; θ⁺ 2C²/r more. O(C)
    extra memory for the whole map, a gate as large as the map for an extent.
Deviations: released networks only have the whole map, which also is the default here; extents follow the paper and the
    figures of the release, which leave two things open: whether a window at the border counts what lies outside (here
    not, as in timm), and the order of (4) and upsampling, which makes no difference. Gates are upsampled after σ, which
    makes none either. r = 16 as released.
Errata: timm's GatherExcite leaves out the ReLU between (3) and (4), pads the kernel of (3) so that its result is a map
    and no single value, and cannot be built with its default options in 1.0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import bottleneck_width, check_input, check_norm_batch, choice, positive, whole_numbers
from regard.core import Attention
from regard.ops import pooling
from regard.ops.tracing import exporting

_VARIANTS = ("theta_minus", "theta", "theta_plus")


class GatherExcite(Attention):
    """Gate for each channel from its own content in a neighbourhood or in the whole map.

    Args:
        channels: C of the input.
        variant: theta_minus averages; theta gathers by depthwise convolutions; theta_plus has a bottleneck after them.
        extent: how many times coarser than the map the gate is, a power of 2 (the paper has 2, 4 and 8); None gathers
            the whole map.
        reduction: r, how many times narrower the bottleneck of theta_plus is.
        hidden: width of that bottleneck itself, in place of `reduction`.
        grid: (H, W) of the input, needed to gather the whole map with parameters.

    Shapes: x `B C H W` -> `B C H W`. Maps: gate `B C 1 1`, with an extent `B C H W`; in (0, 1).
    Raises: ValueError for an unknown variant, an extent that is no power of 2, a missing grid, or an input of another.
    """

    def __init__(
        self,
        channels: int,
        *,
        variant: str = "theta_minus",
        extent: int | None = None,
        reduction: int = 16,
        hidden: int | None = None,
        grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        positive("channels", channels)
        choice("variant", variant, _VARIANTS)
        if extent is not None and (positive("extent", extent) < 2 or extent & (extent - 1)):
            raise ValueError(
                f"extent={extent!r}: a power of 2, such as 2, 4 or 8, is needed, or None for the whole map"
            )
        positive("reduction", reduction)
        if hidden is not None:
            positive("hidden", hidden)
        if grid is not None:
            whole_numbers("grid", grid, count=2)
        self.sizes = {} if variant == "theta_minus" else {"C": channels}  # without weights it takes any width
        self.extent = extent
        self.kernel: nn.Parameter | None = None
        self.grid: tuple[int, int] | None = None
        steps = 0
        if variant != "theta_minus":
            steps = 1 if extent is None else extent.bit_length() - 1
            if extent is None:
                self._set_kernel(channels, variant, grid)
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels, bias=False)
            for _ in range(steps if extent else 0)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(steps))
        self.reduce: nn.Conv2d | None = None
        self.expand: nn.Conv2d | None = None
        if variant == "theta_plus":
            hidden = bottleneck_width(channels, reduction, hidden)
            self.reduce = nn.Conv2d(channels, hidden, 1)
            self.expand = nn.Conv2d(hidden, channels, 1)

    def _set_kernel(self, channels: int, variant: str, grid: tuple[int, int] | None) -> None:
        if grid is None:
            raise ValueError(
                f"grid=None, extent=None: (H, W) is needed where variant={variant!r} gathers the whole map; an extent "
                f"of 2, 4 or 8 accepts maps of any size"
            )
        self.grid = (grid[0], grid[1])
        self.sizes |= {"H": grid[0], "W": grid[1]}
        self.kernel = nn.Parameter(torch.empty(channels, *grid))
        bound = (grid[0] * grid[1]) ** -0.5
        nn.init.uniform_(self.kernel, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", **self.sizes)
        g = self.gather(x)  # [B, C, h, w]
        if self.reduce is not None and self.expand is not None:
            g = self.expand(self.reduce(g.relu()).relu())
        gate = g.sigmoid()
        if self.extent is not None:
            single = not exporting() and gate.shape[2:] == (1, 1)
            gate = gate.expand_as(x) if single else F.interpolate(gate, size=x.shape[2:])
        return x * self.see("gate", gate)

    def gather(self, x: Tensor) -> Tensor:
        """Content of every neighbourhood: `B C H W` -> `B C ⌈H/e⌉ ⌈W/e⌉`, of the whole map `B C 1 1`."""
        if self.kernel is not None:
            g = pooling.filtered(x, self.kernel)[:, :, None, None]
            check_norm_batch(self.norms[0], g)
            gathered: Tensor = self.norms[0](g)
            return gathered
        if self.extent is None:
            return pooling.average(x)[:, :, None, None]
        if not self.convs:
            return F.avg_pool2d(x, 2 * self.extent - 1, self.extent, padding=self.extent - 1, count_include_pad=False)
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = conv(x.relu() if i else x)
            check_norm_batch(norm, x)
            x = norm(x)
        return x
