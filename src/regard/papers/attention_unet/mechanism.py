"""Attention gate: a spatial gate on a fine map, from the map itself and a coarser gating map.

Attention U-Net: Learning Where to Look for the Pancreas. Oktay, Schlemper, Le Folgoc, Lee, Heinrich, Misawa, Mori,
    McDonagh, Hammerla, Kainz, Glocker, Rueckert. MIDL 2018, arXiv:1804.03999.
Official code: ozan-oktay/Attention-Gated-Networks (PyTorch).

    q = ψ relu(W_θ x + resize(W_φ g + b_φ)) + b_ψ                     at every s-th position, Eq. 1          (1)
    α = resize(σ(q)) | resize(softmax_n q)                            to the size of x, Eq. 2                (2)
    y = BN(W (α x))                                                                                          (3)
    y = relu(BN(W [y_1; …; y_K]))                                     K gates with the same x and g          (4)

    W_θ is a convolution whose kernel and stride are both s; every other one is 1 × 1; resizing is linear on each axis.

Place: on every skip connection of a U-Net but the first, gated by the decoder map one level below; (4) is the authors'
    gate for CT volumes, with two of (1) to (3).
Cost: (C s² + C) C'/s² + C² multiplications for each position of x, C' = C/2; O(CN) memory.
Deviations: paper, Eq. 1, has a bias inside the ReLU | it is b_φ in the official code | as there. Its network was
    trained where linear resizing kept the corners, PyTorch's rule until 0.3 | the same code does not today |
    `align_corners=False`. Official modes: concatenation is the default here, concatenation_debug is
    `activation="softplus"`, concatenation_residual `normalization="softmax"`; nothing in it is residual. Official
    default of s, (2, 2, 2), does not fit the two-dimensional class | s = 2 on every axis.
Errata: the gate of LeeJunHyun's popular U-Net, of MONAI's AttentionUnet and their descendants has s = 1, batch norm
    after each of θ, φ and ψ, wants g at the size of x, and returns α x without (3): `subsample=1, norm=True,
    transform=False`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, check_norm_batch, choice, each_axis, flag, positive
from regard.core import Attention
from regard.ops.convolution import convolved
from regard.ops.tracing import exporting

CONV: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
NORM: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
LINEAR = {2: "bilinear", 3: "trilinear"}


def initialise(module: nn.Module) -> None:
    """Initialises convolutions by He's rule and norms near 1, as released."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(part.weight)
        elif isinstance(part, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.normal_(part.weight, 1.0, 0.02)


class AttentionGate(Attention):
    """Spatial gate on a fine map, from the map itself and a coarser gating map.

    Args:
        channels: C of x.
        gate_channels: channels of g.
        hidden: C', the width in which x and g are added; None takes C // 2, at least 1.
        dims: 2 for images, 3 for volumes.
        subsample: s, for every axis or one for each; the gate is computed at every s-th position of x.
        activation: relu or softplus of that sum.
        normalization: sigmoid, or softmax over positions.
        norm: batch norm after θ, φ and ψ, and a bias in θ, as in the popular ports.
        transform: the output's convolution and norm, Eq. 3; without it y = α x.
        align_corners: resizing keeps the corners, as in the PyTorch that the paper used.
        return_mask: return α as well.

    Shapes: x `B C H W` and g `B G h w` of any size, or `B C D H W` and `B G d h w` -> as x; with `return_mask`, (y, α).
    Maps: spatial α `B 1 H W` or `B 1 D H W`, in (0, 1); before resizing it sums to 1 for softmax.
    Raises: ValueError for an unknown option, other dims, or a map that is smaller than s.
    """

    def __init__(
        self,
        channels: int,
        *,
        gate_channels: int,
        hidden: int | None = None,
        dims: int = 2,
        subsample: int | Sequence[int] = 2,
        activation: str = "relu",
        normalization: str = "sigmoid",
        norm: bool = False,
        transform: bool = True,
        align_corners: bool = False,
        return_mask: bool = False,
    ) -> None:
        super().__init__()
        positive("channels", channels)
        positive("gate_channels", gate_channels)
        hidden = max(channels // 2, 1) if hidden is None else positive("hidden", hidden)
        choice("dims", dims, CONV)
        choice("activation", activation, ("relu", "softplus"))
        choice("normalization", normalization, ("sigmoid", "softmax"))
        self.subsample = each_axis("subsample", subsample, dims)
        self.channels, self.gate_channels = channels, gate_channels
        self.activation = activation
        self.normalization = normalization
        self.align_corners = flag("align_corners", align_corners)
        self.return_mask = flag("return_mask", return_mask)
        flag("norm", norm)
        flag("transform", transform)
        conv, batch_norm = CONV[dims], NORM[dims]
        self.theta = conv(channels, hidden, self.subsample, stride=self.subsample, bias=norm)
        self.phi = conv(gate_channels, hidden, 1)
        self.psi = conv(hidden, 1, 1)
        self.theta_norm = batch_norm(hidden) if norm else None
        self.phi_norm = batch_norm(hidden) if norm else None
        self.psi_norm = batch_norm(1) if norm else None
        self.out = conv(channels, channels, 1) if transform else None
        self.out_norm = batch_norm(channels) if transform else None
        initialise(self)

    def resized(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        """Linear interpolation along each axis; an equal size is left as it is, which an exported graph cannot know."""
        if not exporting() and x.shape[2:] == grid:
            return x
        return F.interpolate(x, grid, mode=LINEAR[len(grid)], align_corners=self.align_corners)

    def mask(self, x: Tensor, g: Tensor) -> Tensor:
        """α: `B 1 *grid of x`."""
        # φ before θ, so that the gradient of x is finished before it starts
        phi = _normed(self.phi_norm, convolved(self.phi, g))
        theta = _normed(self.theta_norm, convolved(self.theta, x))
        meeting = theta + self.resized(phi, theta.shape[2:])
        meeting = meeting.relu_() if self.activation == "relu" else F.softplus(meeting)
        q = _normed(self.psi_norm, convolved(self.psi, meeting))
        if self.normalization == "sigmoid":
            q = q.sigmoid()
        else:
            wide = torch.promote_types(q.dtype, torch.float32)
            q = q.flatten(2).softmax(-1, dtype=wide).to(q.dtype).view_as(q)
        return q if max(self.subsample) == 1 else self.resized(q, x.shape[2:])

    def forward(self, x: Tensor, g: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        grid = "H W" if len(self.subsample) == 2 else "D H W"
        check_input(x, f"B C {grid}", C=self.channels)
        check_input(g, f"B G {grid}", B=x.shape[0], G=self.gate_channels)
        if not exporting() and any(n < s for n, s in zip(x.shape[2:], self.subsample, strict=True)):
            raise ValueError(f"x of shape {tuple(x.shape)}: a map no smaller than subsample={self.subsample} is needed")
        alpha = self.see("spatial", self.mask(x, g))
        y = alpha * x
        if self.out is not None:
            y = _normed(self.out_norm, convolved(self.out, y))
        return (y, alpha) if self.return_mask else y


def _normed(norm: nn.Module | None, x: Tensor) -> Tensor:
    if norm is None:
        return x
    check_norm_batch(norm, x)
    y: Tensor = norm(x)
    return y


class MultiAttentionGate(Attention):
    """Several attention gates on one map, joined by a 1 × 1 convolution.

    Args:
        channels: C of x.
        gate_channels: channels of g.
        gates: K, how many.
        hidden: C' of each; None takes C // 2, at least 1. The authors' network gives C.
        dims: 2 for images, 3 for volumes.
        subsample: s of each gate, for every axis or one for each.
        activation: relu or softplus, in each gate.
        normalization: sigmoid, or softmax over positions, in each gate.
        align_corners: resizing keeps the corners.
        return_mask: return the K maps as well.

    Shapes: x `B C H W` and g `B G h w`, or `B C D H W` and `B G d h w` -> as x; with `return_mask`, (y, `B K H W`).
    Maps: spatial `B 1 H W` or `B 1 D H W`, of each gate, in (0, 1).
    Raises: ValueError as an attention gate.
    """

    def __init__(
        self,
        channels: int,
        *,
        gate_channels: int,
        gates: int = 2,
        hidden: int | None = None,
        dims: int = 2,
        subsample: int | Sequence[int] = 2,
        activation: str = "relu",
        normalization: str = "sigmoid",
        align_corners: bool = False,
        return_mask: bool = False,
    ) -> None:
        super().__init__()
        self.return_mask = flag("return_mask", return_mask)
        self.gates = nn.ModuleList(
            AttentionGate(
                channels,
                gate_channels=gate_channels,
                hidden=hidden,
                dims=dims,
                subsample=subsample,
                activation=activation,
                normalization=normalization,
                align_corners=align_corners,
                return_mask=True,
            )
            for _ in range(positive("gates", gates))
        )
        self.combine = CONV[dims](gates * channels, channels, 1)
        self.norm = NORM[dims](channels)
        initialise(self)

    def forward(self, x: Tensor, g: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        gated, masks = zip(*(gate(x, g) for gate in self.gates), strict=True)
        y = self.norm(convolved(self.combine, torch.cat(gated, 1))).relu_()
        return (y, torch.cat(masks, 1)) if self.return_mask else y
