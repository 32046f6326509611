"""The paper's three segmentation networks, with a gate behind every encoder and every decoder block.

Concurrent Spatial and Channel Squeeze & Excitation in Fully Convolutional Networks. Roy, Navab, Wachinger. MICCAI 2018,
    arXiv:1803.02579.
Official code: ai-med/squeeze_and_excitation for the gates, ai-med/nn-common-modules for the blocks, and
    ai-med/quickNAT_pytorch for a whole network.

    e₀ = x,  u_l = a(F_l(e_l₋₁)),  e_l = pool u_l,  l = 1 … 4      encoder                               (1)
    d₄ = F(e₄)                                                     bottleneck, without a gate            (2)
    d_l₋₁ = a(G_l([u_l, up d_l])),  y = W d₀ + b                   decoder, classifier                   (3)

    densenet   F, G: norm-PReLU-5×5 twice and norm-PReLU-1×1, each of all that came before; up: max unpooling
    sdnet      F, G: 5×5-PReLU-norm; up: max unpooling
    unet       F, G: 3×3-norm-ReLU twice, the channels double from block to block; up: a transposed convolution

Deviations: densenet and sdnet are 64 channels wide, as released; unet has the widths of U-Net, 64 to 1024, since the
    release has none. Pools round up, so that every size is taken; for even sides they are as released. Released, the
    bottleneck holds a gate that it does not apply; there is none here. Dropout is left out, and so is the training. In
    half precision a pool may take another of two values that are nearly equal, which then comes up at another place.
Errata: the released blocks take a channel and spatial gate also where a channel gate alone is asked for, and those of
    quickNAT_pytorch compare the wanted gate with the wrong type, so that several of its versions have none at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, choice, positive
from regard.ops.tracing import exporting
from regard.papers.scse.mechanism import ChannelSqueezeExcite, ConcurrentSqueezeExcite, SpatialSqueezeExcite

LEVELS = 4
WIDTH = 64
GATES: Mapping[str, Callable[[int], nn.Module]] = {
    "scse": ConcurrentSqueezeExcite,
    "cse": ChannelSqueezeExcite,
    "sse": SpatialSqueezeExcite,
    "none": lambda channels: nn.Identity(),
}


class _Dense(nn.Module):
    """Two 5 × 5 convolutions and a 1 × 1, each of the input and all results before it: `B C H W` -> `B D H W`."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        inputs = [channels, channels + width, channels + 2 * width]
        self.norms = nn.ModuleList(map(nn.BatchNorm2d, inputs))
        self.convs = nn.ModuleList(
            nn.Conv2d(c, width, size, padding=size // 2) for c, size in zip(inputs, (5, 5, 1), strict=True)
        )
        self.activation = nn.PReLU()  # one slope for all three, as released

    def forward(self, x: Tensor) -> Tensor:
        for norm, conv in zip(self.norms[:-1], self.convs[:-1], strict=True):
            x = torch.cat((x, conv(self.activation(norm(x)))), 1)
        y: Tensor = self.convs[-1](self.activation(self.norms[-1](x)))
        return y


def _single(channels: int, width: int) -> nn.Sequential:
    """SD-Net's block."""
    return nn.Sequential(nn.Conv2d(channels, width, 5, padding=2), nn.PReLU(), nn.BatchNorm2d(width))


def _double(channels: int, width: int) -> nn.Sequential:
    """U-Net's block, with norms."""
    layers: list[nn.Module] = []
    for before in (channels, width):
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)


BLOCKS: Mapping[str, Callable[[int, int], nn.Module]] = {"unet": _double, "sdnet": _single, "densenet": _Dense}


class RecalibratedSegmenter(nn.Module):
    """Segmentation network with squeeze-and-excitation behind every encoder and decoder block.

    Args:
        channels: channels of the image.
        classes: K.
        name: unet, sdnet or densenet.
        gate: scse, cse, sse, or none for the network without attention.
        width: of the blocks; of unet the first, the others double it.

    Shapes: x `B C H W` -> logits `B K H W`.
    Maps: those of the gates, channel `B D 1 1` and spatial `B 1 h w`, by the name of each block.
    Raises: ValueError for another name or gate, a number that is not positive, a width that leaves a channel gate
        without a hidden channel, or images of another shape.
    """

    def __init__(
        self, channels: int = 1, *, classes: int = 28, name: str = "unet", gate: str = "scse", width: int = WIDTH
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        positive("classes", classes)
        positive("width", width)
        block, make = BLOCKS[choice("name", name, BLOCKS)], GATES[choice("gate", gate, GATES)]
        doubles = name == "unet"
        widths = [width * 2**level if doubles else width for level in range(LEVELS)]
        self.encoders = nn.ModuleList()
        before = channels
        for own in widths:
            self.encoders.append(nn.Sequential(block(before, own), make(own)))
            before = own
        self.bottleneck = block(before, 2 * before if doubles else before)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * own, own, 2, 2) for own in widths if doubles)
        self.decoders = nn.ModuleList(nn.Sequential(block(2 * own, own), make(own)) for own in widths)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        found: list[tuple[Tensor, Tensor]] = []
        for encoder in self.encoders:
            u = encoder(x)
            even = F.pad(u, (0, u.shape[3] % 2, 0, u.shape[2] % 2), value=-torch.inf)  # the pool itself rounds down
            x, places = F.max_pool2d(even, 2, return_indices=True)
            found.append((u, places))
        d = self.bottleneck(x)
        for level in reversed(range(LEVELS)):
            u, places = found[level]
            above = self.ups[level](d) if self.ups else _unpooled(d, places)
            d = self.decoders[level](torch.cat((u, _cut(above, u)), 1))
        logits: Tensor = self.classify(d)
        return logits


def _unpooled(d: Tensor, places: Tensor) -> Tensor:
    """Each value of d at the place that the pooling took it from, and zeros elsewhere: `B C h w` -> `B C 2h 2w`."""
    batch, channels, height, width = d.shape
    empty = d.new_zeros(batch, channels, 4 * height * width)
    return empty.scatter(2, places.flatten(2), d.flatten(2)).view(batch, channels, 2 * height, 2 * width)


def _cut(d: Tensor, u: Tensor) -> Tensor:
    """The rows and columns of d that u has."""
    height, width = u.shape[2:]
    if exporting():  # a slice would fix whether a side is even
        d = d.index_select(2, torch.arange(height, device=d.device))
        return d.index_select(3, torch.arange(width, device=d.device))
    return d[..., :height, :width]
