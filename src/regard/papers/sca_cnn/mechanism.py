"""SCA-CNN: a softmax over channels and one over positions, both conditioned on a decoder's state.

SCA-CNN: Spatial and Channel-wise Attention in Convolutional Networks for Image Captioning. Chen, Zhang, Xiao, Nie,
Shao, Liu, Chua. CVPR 2017, arXiv:1611.05594. Official code: zjuchenlong/sca-cnn.cvpr17 (Theano).

    b_c = tanh(w_c v_c + b₁ + W_hc h),  v_c = 1/(HW) Σ_n x_cn          channel-wise attention           (1)
    β   = softmax over the C channels of u_c · b_c + c₁                                                 (2)
    a_n = tanh(W_s x_n + b₂ + W_hs h)                                  spatial attention                (3)
    α   = softmax over the HW positions of u_s · a_n + c₂                                               (4)
    y   = HW α_n · (C β_c · x_cn)                                                                       (5)

    channel-spatial (C-S) forms α from C β x, spatial-channel (S-C) forms β from HW α x. h is the state of the decoder
    before the word that is asked for.

Place: on the last one or two convolutional maps of an image encoder, at each step of a recurrent decoder.
Cost: k (C + N C) multiplications for N positions and (C + N) k hyperbolic tangents, whose values the gradient keeps;
    two passes to write. S-C forms no map in between to pool.
Deviations: paper multiplies by α and β alone, which leaves 1/(C HW) of the map | official code multiplies by C and HW
    too | default `scale=True`. Paper has S-C beside C-S | official code C-S only | `order`. Without a decoder
    (`state_channels=None`) the terms of h are left out, which the paper does not do. In the second of the two layers of
    the official code c₂ is added to u_s and not to the product: a pair of brackets stands wrong.
Errata: stevehuanghe/image_captioning writes what the first attention has weighed back over the features, so that
    attention compounds from word to word.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from regard.checks import check_input, choice, flag, positive, text
from regard.core import Attention
from regard.layers import hard_softmax
from regard.ops import pooling
from regard.ops.precision import widened

_ORDERS = ("channel-spatial", "spatial-channel", "channel", "spatial")
_PAPERS = {"cs": "channel-spatial", "sc": "spatial-channel"}  # C-S and S-C in the paper


class _Scores(nn.Module):
    """u · tanh(W f + b + W_h h) + c for each of several items with features f."""

    def __init__(self, features: int, hidden: int, state: int | None) -> None:
        super().__init__()
        self.embed = nn.Linear(features, hidden)
        self.state = None if state is None else nn.Linear(state, hidden, bias=False)
        self.score = nn.Linear(hidden, 1)
        for layer in (self.embed, self.state, self.score):
            if layer is not None:
                nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(self.embed.bias)
        nn.init.zeros_(self.score.bias)

    def offset(self, state: Tensor | None) -> Tensor:
        """The part of the scores that all items share: `B 1 k`, or `1 1 k` without a state."""
        if self.state is None:
            return self.embed.bias[None, None]
        term: Tensor = (self.embed.bias + self.state(state))[:, None]
        return term

    def logits(self, embedded: Tensor) -> Tensor:
        """Of the items, in float32 at least: `B items k` -> `B items`."""
        return widened(self.score(embedded.tanh())[..., 0])


class SpatialChannel(Attention):
    """Softmax over channels and softmax over positions, both conditioned on a decoder's state.

    Args:
        channels: C of the input.
        hidden: k, the width in which scores are formed; the official code uses 512.
        state_channels: width of the decoder's state h; None is attention without a decoder.
        order: "channel-spatial" or "spatial-channel" (also "cs" and "sc", as the paper abbreviates them), the second
            looking at what the first attended to, or one alone, "channel" or "spatial".
        scale: multiply by C and HW, as in the official code, so that even attention is the identity.
        hard: a hard choice in place of the softmax of (4), a mode of `ops.hard_attention`; None is soft.
        top_k, temperature: k of "top-k", τ of "gumbel".

    Shapes: x `B C H W`, and h `B state_channels` where there is one -> `B C H W`.
    Maps: channel `B C 1 1`, spatial `B 1 H W`; each sums to 1.
    Raises: ValueError for an argument out of range, another shape, and a missing, unasked or differently wide state.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int = 512,
        state_channels: int | None = None,
        order: str = "channel-spatial",
        scale: bool = True,
        hard: str | None = None,
        top_k: int = 4,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        positive("hidden", hidden)
        self.width = None if state_channels is None else positive("state_channels", state_channels)
        order = choice("order", _PAPERS.get(text("order", order), order), _ORDERS)
        self.order, self.scale = order, flag("scale", scale)
        self.channel = _Scores(1, hidden, state_channels) if "channel" in order else None
        self.spatial = _Scores(channels, hidden, state_channels) if "spatial" in order else None
        self.choice = hard_softmax(hard, top_k, temperature)
        if hard is not None and self.spatial is None:
            raise ValueError(f"hard={hard!r}: None is needed with order={order!r}, which has no softmax over positions")

    def forward(self, x: Tensor, state: Tensor | None = None) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        if (state is None) != (self.width is None):
            given = "state=None" if state is None else f"state of shape {tuple(state.shape)}"
            raise ValueError(f"{given}: state_channels={self.width} is needed, as the module was built")
        if state is not None:
            check_input(state, "B D", B=x.shape[0], D=self.width or 0)
        return self.attended(x, state, self.see)[0]

    def attended(
        self, x: Tensor, state: Tensor | None, see: Callable[[str, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The output, β `B C 1 1` and α `B 1 H W`, each None where the order lacks it.

        Args:
            see: is shown each of them by name, and returns the weights that act.
        """
        alpha = self._over_grid(x, state, see) if self.order.startswith("spatial") else None  # [B, 1, HW]
        beta = None
        if self.channel is not None:
            beta = self.over_channels(x, state, None if alpha is None else self._scaled(alpha, x))
            beta = see("channel", beta)
            x = x * self._scaled(beta, x)
        if self.order == "channel-spatial":
            alpha = self._over_grid(x, state, see)
        if alpha is None:
            return x, beta, None
        return x * self._scaled(alpha, x).unflatten(-1, x.shape[2:]), beta, alpha.unflatten(-1, x.shape[2:])

    def _over_grid(self, x: Tensor, state: Tensor | None, see: Callable[[str, Tensor], Tensor]) -> Tensor:
        """α as it acts: `B C H W` -> `B 1 HW`."""
        alpha = self.over_positions(x, state)
        return see("spatial", alpha.unflatten(-1, x.shape[2:])).flatten(2)

    def over_channels(self, x: Tensor, state: Tensor | None, alpha: Tensor | None) -> Tensor:
        """β of Eqs. 1 and 2, for the map that α has weighed, if there is one: `B C H W` -> `B C 1 1`."""
        assert self.channel is not None
        n = x.shape[2] * x.shape[3]
        v = pooling.average(x) if alpha is None else pooling.weighted(x, alpha) / n  # [B, C]
        w = self.channel.embed.weight[:, 0]  # [k]
        b = torch.addcmul(self.channel.offset(state), v[..., None], w)  # [B, C, k]
        return self.channel.logits(b).softmax(-1)[..., None, None]

    def over_positions(self, x: Tensor, state: Tensor | None) -> Tensor:
        """α of Eqs. 3 and 4: `B C H W` -> `B 1 HW`."""
        assert self.spatial is not None
        weight = self.spatial.embed.weight.T.expand(x.shape[0], -1, -1)  # [B, C, k]
        a = torch.baddbmm(self.spatial.offset(state), x.flatten(2).mT, weight)  # [B, HW, k]
        logits = self.spatial.logits(a)[:, None]  # [B, 1, HW]
        return logits.softmax(-1) if self.choice is None else self.choice(logits)

    def _scaled(self, weights: Tensor, x: Tensor) -> Tensor:
        """The weights as x is multiplied by them: times their number with `scale`, in the type of x."""
        return (weights * (weights.shape[1] * weights.shape[2]) if self.scale else weights).to(x.dtype)
