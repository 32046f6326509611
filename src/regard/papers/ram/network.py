"""RAM: classification by a few small glimpses, each placed by what the earlier ones have shown.

Recurrent Models of Visual Attention. Mnih, Heess, Graves, Kavukcuoglu. NIPS 2014, arXiv:1406.6247.
Official code: none; kevinzakka/recurrent-visual-attention (PyTorch) is the common one, recorded here.

    ρ   = k patches around l_{t-1}, side g, s g, s² g …, pooled to g × g      retina, Section 3.1      (1)
    g_t = relu(W₃ relu(W₁ ρ) + W₄ relu(W₂ l_{t-1}))                          glimpse network, 3.1     (2)
    h_t = relu(W₅ g_t + W₆ h_{t-1}),     h_0 = 0                             core, Section 4          (3)
    l_t ~ N(μ(h_t), σ² I),     μ = tanh(W₈ relu(W₇ h_t))                     location network, 3.1    (4)
    p(y) = softmax(W₉ h_T)                                                   action network, 3.1      (5)
    b_t = W₁₀ h_t,   R = 1 if argmax p is right, else 0                      baseline, reward         (6)
    L = -log p(y) + Σ_t (b_t - R)² / T - w Σ_t log π(l_t) (R - b_t)          hybrid loss, Section 3.2 (7)

    Biases are left out above. In (4) and the last two terms of (7) h_t, and in the last R - b_t, are constants.

Place: a network of its own, for images in which a small part decides; its cost does not grow with the image.
Cost: T steps of O(k g² C + hidden²); memory O(T hidden) in training, whatever the size of the image.
Deviations: paper, the location network is linear | the common code has the hidden layer of (4) and its published
    checkpoint one layer, with tanh around the sample too | `policy="hidden"` is the default, `"linear"` the paper,
    `"squashed"` the checkpoint. Paper, w = 1 | code 0.01 | an argument of the task. Paper, x and y are measured alike |
    code measures both by the height | per axis here, `by_height=True` is the code; the same on square images. Code
    fails for odd g at l = 1, where the patch is one pixel short | zeros here. Both draw l_0 uniformly and each l_t, in
    use as well | so does training here, and `monte_carlo`; plain evaluation starts at the centre and follows μ, so
    that an image has one answer. The LSTM core of the paper's game is left out.
Errata: descriptions that let the gradient of (2) reach the location network through l_t turn the hard choice into
    another model; ports that clamp the sample before log π is taken train another policy.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from regard.checks import check_input, choice, flag, number, positive, whole
from regard.core import Attention
from regard.ops.glimpses import glimpse, glimpse_sides
from regard.ops.precision import wide_linear, widened
from regard.ops.reinforce import log_normal

_PATCHES, _SCALE = 16, 64  # at most: a few patches already reach over any image
POLICIES = ("hidden", "squashed", "linear")


class Episode(NamedTuple):
    """A record of the T glimpses of each image.

    Attributes:
        log_probs: of each class, `B K`.
        locations: l_0 to l_T, `B T+1 2`; the last is never looked at.
        log_policy: log π(l_t) for t = 1 to T, `B T`.
        baseline: b_t for t = 1 to T, `B T`.
    """

    log_probs: Tensor
    locations: Tensor
    log_policy: Tensor
    baseline: Tensor


class GlimpseNetwork(nn.Module):
    """Content and place of a glimpse as one vector: equations (1) and (2)."""

    def __init__(
        self, channels: int, size: int, patches: int, scale: float, by_height: bool, what: int, where: int
    ) -> None:
        super().__init__()
        self.size, self.patches, self.scale, self.by_height = size, patches, scale, by_height
        self.see_what = nn.Linear(patches * channels * size**2, what)
        self.see_where = nn.Linear(2, where)
        self.join_what = nn.Linear(what, what + where)
        self.join_where = nn.Linear(where, what + where)

    def retina(self, x: Tensor, at: Tensor) -> Tensor:
        """The patches, scale before channel, flattened: `B kCgg`."""
        found = glimpse(
            x, at, size=self.size, patches=self.patches, scale=self.scale, by_height=self.by_height
        )  # [B, k, C, g, g]
        return found.flatten(1)

    def seen(self, x: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """The locations on the image's own scale: `B T 2` -> the points, and the finest patches `B T 4`."""
        extent = at.new_tensor(x.shape[:1:-1])  # width, height
        scale = self._scale(x, at)
        first = (0.5 * (at + 1) * scale * extent).long() - self.size // 2
        corners = [2 * edge / extent - 1 for edge in (first, first + self.size)]
        return (at + 1) * scale - 1, torch.cat(corners, -1)

    def location(self, x: Tensor, points: Tensor) -> Tensor:
        """The locations of points on the image's own scale: `B T 2` -> `B T 2`."""
        return (points + 1) / self._scale(x, points) - 1

    def _scale(self, x: Tensor, like: Tensor) -> Tensor:
        extent = like.new_tensor(x.shape[:1:-1])  # width, height
        return extent[1] / extent if self.by_height else torch.ones_like(extent)

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        what = wide_linear(self.see_what, self.retina(x, at)).relu()
        where = wide_linear(self.see_where, at).relu()
        return (wide_linear(self.join_what, what) + wide_linear(self.join_where, where)).relu()


class LocationNetwork(nn.Module):
    """The next location: equation (4)."""

    def __init__(self, hidden: int, std: float, policy: str) -> None:
        super().__init__()
        self.std, self.policy = std, policy
        self.reduce = nn.Linear(hidden, hidden // 2) if policy == "hidden" else None
        self.mean = nn.Linear(hidden if self.reduce is None else hidden // 2, 2)

    def forward(self, h: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The log-density of the drawn location, and the location: `B`, `B 2`."""
        h = h.detach()
        if self.reduce is not None:
            h = wide_linear(self.reduce, h).relu()
        mean = wide_linear(self.mean, h)
        if self.policy != "linear":
            mean = mean.tanh()
        drawn = (mean + self.std * noise).detach()
        location = drawn.tanh() if self.policy == "squashed" else drawn.clamp(-1, 1)
        return log_normal(drawn, mean, self.std), location


class RecurrentAttention(Attention):
    """Classifies by a few small glimpses, each placed by what the earlier ones have shown.

    In training the first location and every next one are drawn from torch's random numbers; in evaluation the first is
    the centre and the others are the policy's means. `start` and `noise` say otherwise.

    Args:
        channels: C of the images.
        classes: K, the number of classes.
        glimpses: T, the number of glimpses.
        glimpse_size: g, the side of the finest patch in pixels.
        patches: k, patches of a glimpse.
        scale: s, how much wider each patch is than the one before.
        glimpse_hidden, location_hidden: widths of what and where in equation (2); their sum is the width of g_t.
        hidden: width of the core.
        std: σ of the policy.
        policy: the location network: `"hidden"`, `"squashed"` or `"linear"`.
        by_height: measure x in heights of the image, as the common code does; the same on square images.

    Shapes: x `B C H W` -> log-probabilities `B K`; start `B 2` and noise `T B 2` (standard normal), if given; with
        `episode=True` an `Episode`.
    Maps: path `B T 2`, the locations that were looked at, x before y; glimpse `B T 4`, the finest patch around each:
        left, top, right, bottom. Both from -1 to 1 between the image's edges.
    Raises: ValueError for an argument out of range, or inputs of other shapes.
    """

    def __init__(
        self,
        channels: int = 1,
        *,
        classes: int = 10,
        glimpses: int = 6,
        glimpse_size: int = 8,
        patches: int = 1,
        scale: float = 2,
        glimpse_hidden: int = 128,
        location_hidden: int = 128,
        hidden: int = 256,
        std: float = 0.05,
        policy: str = "hidden",
        by_height: bool = False,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.glimpses = positive("glimpses", glimpses)
        positive("classes", classes)
        whole("patches", patches, 1, _PATCHES)
        number("scale", scale, least=1, most=_SCALE)
        glimpse_sides(positive("glimpse_size", glimpse_size), patches, scale)
        choice("policy", policy, POLICIES)
        whole("hidden", hidden, 2)
        number("std", std, above=0)
        flag("by_height", by_height)
        what, where = positive("glimpse_hidden", glimpse_hidden), positive("location_hidden", location_hidden)
        self.sensor = GlimpseNetwork(channels, glimpse_size, patches, scale, by_height, what, where)
        self.update = nn.Linear(what + where, hidden)
        self.keep = nn.Linear(hidden, hidden)
        self.locator = LocationNetwork(hidden, std, policy)
        self.classifier = nn.Linear(hidden, classes)
        self.baseline = nn.Linear(hidden, 1)

    def forward(
        self, x: Tensor, *, start: Tensor | None = None, noise: Tensor | None = None, episode: bool = False
    ) -> Tensor | Episode:
        start, noise = self._placed(x, start, noise)
        h = start.new_zeros(x.shape[0], self.keep.in_features)
        states, locations, log_policy = [], [start], []
        for t in range(self.glimpses):
            locations[t] = self._acting(x, locations[t])
            g = self.sensor(x, locations[t])
            h = (wide_linear(self.update, g) + wide_linear(self.keep, h)).relu()
            states.append(h)
            if episode or t < self.glimpses - 1:
                density, location = self.locator(h, noise[t])
                log_policy.append(density)
                locations.append(location)
        if self.watched:
            path, boxes = self.sensor.seen(x, torch.stack(locations[: self.glimpses], 1))
            self.show("path", path)
            self.show("glimpse", boxes)
        log_probs = wide_linear(self.classifier, h).log_softmax(1)
        if not episode:
            return log_probs
        baseline = wide_linear(self.baseline, torch.stack(states, 1).detach())[:, :, 0]
        return Episode(log_probs, torch.stack(locations, 1), torch.stack(log_policy, 1), baseline)

    def _acting(self, x: Tensor, location: Tensor) -> Tensor:
        """The location that is looked at, `B 2`."""
        if not self.watched:
            return location
        point, _ = self.sensor.seen(x, location[:, None])
        edited = self.edited("path", point)
        return location if edited is point else self.sensor.location(x, edited)[:, 0]

    @torch.no_grad()
    def monte_carlo(self, x: Tensor, *, episodes: int = 10) -> Tensor:
        """Log-probabilities averaged over several drawn episodes: `B C H W` -> `B K`.

        All episodes of all images run as one batch.
        """
        many = x.repeat(positive("episodes", episodes), 1, 1, 1)
        start, noise = self._drawn(many)
        log_probs: Tensor = self(many, start=start, noise=noise)
        mean: Tensor = log_probs.unflatten(0, (episodes, -1)).mean(0)
        return mean

    def _placed(self, x: Tensor, start: Tensor | None, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        check_input(x, "B C H W", C=self.channels)
        if start is None or noise is None:
            own_start, own_noise = self._drawn(x) if self.training else self._still(x)
            start = own_start if start is None else start
            noise = own_noise if noise is None else noise
        for name, given, wanted in (
            ("start", start, (x.shape[0], 2)),
            ("noise", noise, (self.glimpses, x.shape[0], 2)),
        ):
            if given.shape != wanted:
                raise ValueError(f"{name} of shape {tuple(given.shape)}: {wanted} is needed")
        return start, noise

    def _drawn(self, x: Tensor) -> tuple[Tensor, Tensor]:
        wide = widened(x[:0])
        start = torch.rand(x.shape[0], 2, device=x.device, dtype=wide.dtype) * 2 - 1
        return start, torch.randn(self.glimpses, x.shape[0], 2, device=x.device, dtype=wide.dtype)

    def _still(self, x: Tensor) -> tuple[Tensor, Tensor]:
        wide = widened(x[:0])
        return wide.new_zeros(x.shape[0], 2), wide.new_zeros(self.glimpses, x.shape[0], 2)
