"""DRAM: several objects are read one after the other, by glimpses that two recurrent layers place and remember.

Multiple Object Recognition with Visual Attention. Ba, Mnih, Kavukcuoglu. ICLR 2015, arXiv:1412.7755.
Official code: none; conan7882/recurrent-attention-model and google-research/saccader hold readings of it.

    g_n  = relu(W₁ conv³(ρ(x, l_n))) ⊙ relu(W₂ l_n)                    glimpse network, Section 3.1        (1)
    r¹_n = LSTM₁(g_n, r¹_{n-1}),     r¹_0 = 0                          recurrent network                   (2)
    r²_n = LSTM₂(r¹_n, r²_{n-1}),    r²_0 = LSTM₂(0, context)          recurrent network                   (3)
    context = W₃ conv³(x made small)                                   context network                     (4)
    l_n ~ N(W₄ r²_{n-1}, σ² I)                                         emission network                    (5)
    p(y_s) = softmax(W₆ relu(W₅ r¹_{sN}))                              classification, after N glimpses    (6)
    b_n = W₇ r²_{n-1},     R_n = how many of y_1 … y_s are right       baseline, reward of y_s's glimpses  (7)
    L = -Σ_s log p(y_s) + mean_n (b_n - R_n)² - w Σ_n log π(l_n) (R_n - b_n)                               (8)

    ρ is the retina: k patches around l_n. Biases are left out; each conv³ is three convolutions without padding, each
    with a relu. In the baseline r² is a constant, and so is the last R_n - b_n.

Place: a network of its own, for images with several objects to be read in order: house numbers, lines of digits.
Cost: S N steps of three small convolutions and two LSTM layers, whatever the size of the image, and one look at all of
    it to make it small.
Deviations: transcribed, for no code of the authors is public. Paper, the context makes r²_0 | conan7882 fills the cell
    too, saccader has no context network | `context_cell=True` fills both halves, `False` the output alone. The image is
    made small by averaging over bins here, bilinearly in conan7882. Patches are RAM's, zero beyond the image; saccader
    repeats the edge, which `border="edge"` does. Drawn locations are cut to the image, as in both; a mean that has left
    it gets no more signal, and `bounded=True` keeps it inside by RAM's tanh. The first term of the game, an
    end-of-sequence symbol, is one more class.
Errata: descriptions in which the context reaches the classifier are of another network: it starts the upper layer only,
    so that nothing is read without a glimpse. Equation (1) is a product, not RAM's sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, choice, flag, number, positive, whole_numbers
from regard.core import Attention
from regard.ops.glimpses import edge_glimpse, glimpse, glimpse_sides
from regard.ops.pooling import adaptive_average
from regard.ops.precision import uncast, wide_linear, widened
from regard.ops.reinforce import log_normal


class Reading(NamedTuple):
    """A record of the glimpses of each image.

    Attributes:
        log_probs: of each class for each of S targets, `B S K`.
        locations: l_1 to l_SN, all looked at, `B SN 2`.
        log_policy: log π(l_n), `B SN`.
        baseline: b_n, `B SN`.
    """

    log_probs: Tensor
    locations: Tensor
    log_policy: Tensor
    baseline: Tensor


class Layers(nn.Module):
    """Three convolutions without padding, each with a ReLU, and the flattened rest of the map."""

    def __init__(self, channels: int, widths: Sequence[int], kernels: Sequence[int]) -> None:
        super().__init__()
        inputs = (channels, *widths[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel) for before, after, kernel in zip(inputs, widths, kernels, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.convolutions:
            assert isinstance(layer, nn.Conv2d) and layer.bias is not None
            with uncast(x):
                x = F.conv2d(widened(x), widened(layer.weight), widened(layer.bias)).relu()
        return x.flatten(1)


class Recurrent(nn.Module):
    """A layer of LSTM cells: input, forget, candidate and output gates, in this order."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, 4 * hidden)
        self.state = nn.Linear(hidden, 4 * hidden)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Input and (output, cell) -> the next output and cell."""
        gates = wide_linear(self.input, x) + wide_linear(self.state, state[0])
        opened, kept, candidate, shown = gates.chunk(4, 1)
        cell = kept.sigmoid() * state[1] + opened.sigmoid() * candidate.tanh()
        return shown.sigmoid() * cell.tanh(), cell


class DeepRecurrentAttention(Attention):
    """Reads several objects one after the other, by glimpses that two recurrent layers place.

    In training every location is drawn from torch's random numbers; in evaluation it is the mean. `noise` says
    otherwise, and `spread` that what is drawn lies so many times as far from the mean: to learn to read all over the
    image before it is learned where to look.

    Args:
        channels: C of the images.
        classes: K, an end of the sequence included where there is one.
        targets: S, the number of objects that are read.
        glimpses: N, for each target.
        glimpse_size: g, the side of the finest patch in pixels.
        patches: k, patches of a glimpse.
        scale: how much wider each patch is than the one before.
        glimpse_widths, glimpse_kernels: of the glimpse network's three convolutions.
        features: width of g_n.
        context_size: side to which the whole image is made small.
        context_widths, context_kernels: of the context network's three convolutions.
        context_cell: the context starts the cell of the upper layer as well as its output.
        hidden: widths of the lower and the upper layer.
        class_hidden: width before the classes.
        std: σ of the policy.
        border: beyond the image: `"zeros"` as in RAM, or `"edge"`, its edge repeated.
        bounded: the policy's mean is tanh of what (5) has, and cannot leave the image.

    Shapes: x `B C H W` -> log-probabilities `B S K`; noise `SN B 2` (standard normal), if given; with `episode=True` a
        `Reading`.
    Maps: path `B T 2`, the locations that were looked at, x before y, from -1 to 1 between the image's edges.
    Raises: ValueError for an argument out of range, or inputs of other shapes.
    """

    def __init__(
        self,
        channels: int = 1,
        *,
        classes: int = 10,
        targets: int = 2,
        glimpses: int = 3,
        glimpse_size: int = 12,
        patches: int = 2,
        scale: float = 2,
        glimpse_widths: Sequence[int] = (64, 64, 128),
        glimpse_kernels: Sequence[int] = (5, 3, 3),
        features: int = 1024,
        context_size: int = 12,
        context_widths: Sequence[int] = (16, 16, 32),
        context_kernels: Sequence[int] = (5, 3, 3),
        context_cell: bool = True,
        hidden: Sequence[int] = (512, 512),
        class_hidden: int = 1024,
        std: float = 0.03,
        border: str = "zeros",
        bounded: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.targets, self.glimpses = positive("channels", channels), targets, glimpses
        for name, value in (
            ("classes", classes), ("targets", targets), ("glimpses", glimpses), ("glimpse_size", glimpse_size),
            ("patches", patches), ("features", features), ("context_size", context_size),
            ("class_hidden", class_hidden),
        ):  # fmt: skip
            positive(name, value)
        glimpse_sides(glimpse_size, patches, scale)
        number("std", std, above=0)
        choice("border", border, ("zeros", "edge"))
        flag("context_cell", context_cell)
        flag("bounded", bounded)
        self.size, self.patches, self.scale, self.border = glimpse_size, patches, scale, border
        self.context_size, self.context_cell, self.std, self.bounded = context_size, context_cell, std, bounded
        lower, upper = whole_numbers("hidden", hidden, count=2)
        left = _left("glimpse", glimpse_size, glimpse_widths, glimpse_kernels)
        self.look = Layers(patches * channels, glimpse_widths, glimpse_kernels)
        self.what = nn.Linear(left, features)
        self.where = nn.Linear(2, features)
        left = _left("context", context_size, context_widths, context_kernels)
        self.overview = Layers(channels, context_widths, context_kernels)
        self.context = nn.Linear(left, upper * (2 if context_cell else 1))
        self.lower = Recurrent(features, lower)
        self.upper = Recurrent(lower, upper)
        self.emission = nn.Linear(upper, 2)
        self.baseline = nn.Linear(upper, 1)
        self.reduce = nn.Linear(lower, class_hidden)
        self.classifier = nn.Linear(class_hidden, classes)

    def forward(
        self, x: Tensor, *, noise: Tensor | None = None, spread: float = 1.0, episode: bool = False
    ) -> Tensor | Reading:
        noise = self._noise(x, noise)
        number("spread", spread, above=0)
        if spread != 1:
            noise = noise * spread
        upper = self.upper(x.new_zeros(x.shape[0], self.lower.state.in_features), self._start(x))
        width = self.lower.state.in_features
        lower = noise.new_zeros(x.shape[0], width), noise.new_zeros(x.shape[0], width)
        means, drawn, looked, read, above = [], [], [], [], []
        for n in range(self.targets * self.glimpses):
            above.append(upper[0])
            mean = wide_linear(self.emission, upper[0])
            if self.bounded:
                mean = mean.tanh()
            location = (mean + self.std * noise[n]).detach()
            means.append(mean)
            drawn.append(location)
            looked.append(self.edited("path", location.clamp(-1, 1)[:, None])[:, 0])
            lower = self.lower(self.glimpse(x, looked[-1]), lower)
            upper = self.upper(lower[0], upper)
            if (n + 1) % self.glimpses == 0:
                read.append(lower[0])
        locations = torch.stack(drawn, 1)  # [B, SN, 2]
        path = torch.stack(looked, 1)
        self.show("path", path)
        hidden = wide_linear(self.reduce, torch.stack(read, 1)).relu()
        log_probs = wide_linear(self.classifier, hidden).log_softmax(-1)
        if not episode:
            return log_probs
        log_policy = log_normal(locations, torch.stack(means, 1), self.std)
        baseline = wide_linear(self.baseline, torch.stack(above, 1).detach())[:, :, 0]
        return Reading(log_probs, path, log_policy, baseline)

    def glimpse(self, x: Tensor, at: Tensor) -> Tensor:
        """Equation (1)."""
        what = wide_linear(self.what, self.look(self.retina(x, at))).relu()
        return what * wide_linear(self.where, at).relu()

    def retina(self, x: Tensor, at: Tensor) -> Tensor:
        """The patches, scale before channel: `B kC g g`."""
        if self.border == "zeros":
            return glimpse(x, at, size=self.size, patches=self.patches, scale=self.scale).flatten(1, 2)
        sides = glimpse_sides(self.size, self.patches, self.scale)
        found = [edge_glimpse(x, at, size=(side, side)) for side in sides]
        return torch.cat([F.avg_pool2d(widened(patch), patch.shape[-1] // self.size) for patch in found], 1)

    def _start(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Output and cell of the upper layer before the first glimpse: equation (4)."""
        small = adaptive_average(widened(x), (self.context_size,) * 2)
        context = wide_linear(self.context, self.overview(small))
        if not self.context_cell:
            return context, torch.zeros_like(context)
        cell, output = context.chunk(2, 1)
        return output, cell

    def _noise(self, x: Tensor, noise: Tensor | None) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        wanted = (self.targets * self.glimpses, x.shape[0], 2)
        wide = widened(x[:0])
        if noise is None:
            make = torch.randn if self.training else torch.zeros
            return make(*wanted, device=x.device, dtype=wide.dtype)
        if noise.shape != wanted:
            raise ValueError(f"noise of shape {tuple(noise.shape)}: {wanted} is needed")
        return noise


def _left(name: str, side: int, widths: Sequence[int], kernels: Sequence[int]) -> int:
    """Number of values that the convolutions leave of a square.

    Raises: ValueError if they leave nothing, or there are not as many kernels as widths.
    """
    whole_numbers(f"{name}_widths", widths)
    if len(whole_numbers(f"{name}_kernels", kernels)) != len(widths):
        raise ValueError(f"{name}_widths={tuple(widths)}, {name}_kernels={tuple(kernels)}: as many of both are needed")
    left = side - sum(kernel - 1 for kernel in kernels)
    if left < 1:
        raise ValueError(
            f"{name}_size={side}: more is needed, since {name}_kernels={tuple(kernels)} leave nothing of it"
        )
    return int(widths[-1] * left**2)
