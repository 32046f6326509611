"""SaliencyNet: a timm backbone and a decoder with attention gates, for fixations and salient objects.

The decoder is that of Attention U-Net: Learning Where to Look for the Pancreas. Oktay, Schlemper, Le Folgoc, Lee,
    Heinrich, Misawa, Mori, McDonagh, Hammerla, Kainz, Glocker, Rueckert. MIDL 2018, arXiv:1804.03999.
Official code: ozan-oktay/Attention-Gated-Networks for the gate; the network itself is this library's.

    x_1 … x_L = backbone((image − μ) / σ)                             maps from fine to coarse              (1)
    g_L = relu(BN(W_L x_L))                                                                                 (2)
    g_l = relu(BN(W_l [α_l x_l; resize(g_{l+1})]))                    α_l of an attention gate, from x_l and g_{l+1} (3)
    s   = resize(w g_1)                                               logits, of the size of the image      (4)
    saliency = σ(s) | softmax_n(s)                                    a mask, or a density over positions   (5)

Place: trained as it is: `regard train salient-objects`, `regard train fixations`.
Cost: the backbone's, and 9 D (C_l + D) multiplications for each position of every map of it, D = `width`.
Deviations: paper has a U-Net trained from nothing, gates at half resolution and no gate on the first skip connection |
    ports gate every one, at full resolution, with batch norms and without the gate's last convolution | as the ports,
    on a backbone; one 3×3 convolution a level instead of two. The result has the backbone's first resolution, and is
    resized.
Errata: a sigmoid or softmax inside the network makes the losses on logits wrong: what is returned are logits, only what
    is shown is (5).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard import catalog
from regard.backbones import build, feature_info, normalisation
from regard.checks import check_input, check_norm_batch, flag, positive, text
from regard.core import Attention
from regard.ops.tracing import exporting


class _Join(nn.Module):
    """Equation (3), or (2) at the coarsest level."""

    def __init__(self, channels: int, width: int, *, coarsest: bool, gates: bool) -> None:
        super().__init__()
        self.gate = (
            catalog.create("attention_gate", channels, gate_channels=width, subsample=1, norm=True, transform=False)
            if gates and not coarsest
            else None
        )
        self.conv = nn.Conv2d(channels + width * (not coarsest), width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor, below: Tensor | None) -> Tensor:
        if below is not None:
            x = torch.cat((x if self.gate is None else self.gate(x, below), _resized(below, x)), 1)
        y = self.conv(x)
        check_norm_batch(self.norm, y)
        joined: Tensor = self.norm(y).relu_()
        return joined


class SaliencyNet(Attention):
    """Saliency network of a timm backbone and a decoder with attention gates.

    Args:
        channels: channels of the image.
        backbone: any network of timm's that gives maps of several resolutions.
        width: D of the decoder.
        density: what is shown is a density over positions, for fixations, rather than the probability of each position
            to belong to an object.
        gates: whether the skip connections have attention gates, α_l of (3); without them the same decoder is plain.

    Shapes: x `B C H W` in 0..1 -> logits `B 1 H W`.
    Maps: saliency `B 1 H W`, and of each gate, where there are any, spatial `B 1 h w`, in (0, 1).
    Raises: ValueError for a width below 1, a backbone that gives no maps of several resolutions, or images of another
        shape; LookupError if timm has no such backbone.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        channels: int = 3,
        *,
        backbone: str = "resnet18",
        width: int = 64,
        density: bool = False,
        gates: bool = True,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.backbone = text("backbone", backbone)
        positive("width", width)
        self.density = flag("density", density)
        self.gates = flag("gates", gates)
        self.encoder = _encoder(backbone, channels, pretrained=False)
        found = feature_info(self.encoder)
        self.widths = tuple(found.channels())
        if len(set(found.reduction())) < 2:
            raise ValueError(f"backbone={backbone!r}: a network with maps of several resolutions is needed")
        self.channels_last = str(getattr(self.encoder, "output_fmt", "")).endswith("NHWC")
        mean, std = normalisation(self.encoder)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)
        self.joins = nn.ModuleList(
            _Join(c, width, coarsest=level + 1 == len(self.widths), gates=gates) for level, c in enumerate(self.widths)
        )
        self.head = nn.Conv2d(width, 1, 1)

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads weights into the backbone: those given, by timm's names for the whole backbone, or the published ones.

        Raises: OSError if the published ones cannot be loaded; ValueError if those given do not fit.
        """
        loaded = _encoder(self.backbone, self.channels, pretrained=state is None, state=state)
        self.encoder.load_state_dict(loaded.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        levels = self.encoder((x - self.mean) / self.std)
        below = None
        for join, level in zip(reversed(self.joins), reversed(levels), strict=True):
            below = join(level.permute(0, 3, 1, 2) if self.channels_last else level, below)
        logits = _resized(self.head(below), x)
        if self.watched:
            shown = logits.flatten(1).softmax(1).view_as(logits) if self.density else logits.sigmoid()
            self.show("saliency", shown)
        return logits


def _encoder(backbone: str, channels: int, *, pretrained: bool, state: Mapping[str, Tensor] | None = None) -> nn.Module:
    try:
        return build(backbone, classes=1, in_chans=channels, pretrained=pretrained, state=state, features_only=True)
    except LookupError as error:
        raise LookupError(f"backbone={backbone!r}: {error}") from error
    except (RuntimeError, AttributeError, NotImplementedError) as error:
        raise ValueError(
            f"backbone={backbone!r}: a network with maps of several resolutions is needed: {error}"
        ) from error


def _resized(x: Tensor, like: Tensor) -> Tensor:
    if not exporting() and x.shape[2:] == like.shape[2:]:
        return x
    return functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)
