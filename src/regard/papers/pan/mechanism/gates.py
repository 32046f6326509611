"""Pyramid attention: a pixel gate from a small pyramid, and a decoder's step gated by its coarse map.

Pyramid Attention Network for Semantic Segmentation. Li, Xiong, An, Wang. BMVC 2018, arXiv:1805.10180.
Official code: none; JaveyWang/Pyramid-Attention-Networks-pytorch is nearest to the paper, segmentation-models-pytorch
    has another form.

    p_1 = relu(BN(W_7 x)), p_2 = relu(BN(W_5 p_1)), p_3 = relu(BN(W_3 p_2))      each half as large              (1)
    m_3 = BN(V_3 p_3),  m_i = relu(BN(V_i p_i) + up m_{i+1})                     V_1, V_2, V_3 are 7, 5, 3 wide  (2)
    P = up m_1,  up m = relu(BN(transposed 4 × 4 convolution of m))                                              (3)
    y = relu(P · BN(W x) + BN(U mean x))                                         feature pyramid attention       (4)
    s = relu(BN(W_1 mean g)) | σ(BN(W_1 mean g))                                 from the coarse map g           (5)
    y = relu(s · BN(W_3 x) + up g) | s · relu(BN(W_3 x)) + up g                  global attention upsample       (6)

Place: (4) on the last stage of the encoder, dilated to a sixteenth of the image; (6) in every step of the decoder.
Cost: multiplications for each position of x: (1) to (4) C² + 16Ch + 17h², h = C/4, and (6) 9C² + 4 C C_g; O(CN) memory.
Deviations: paper draws 7 × 7, 5 × 5 and 3 × 3 convolutions and resizing without saying how | JaveyWang strides and
    transposes | as there. segmentation-models-pytorch (`upsample="bilinear"`) max-pools, has one channel in the
    pyramid, biases, a ReLU on every branch and none on sums, and resizes keeping the corners; its global attention
    upsample has the right-hand forms of (5), (6). JaveyWang's sides are multiples of 8 | here any: a transposed
    convolution that comes out one too long loses its last row. In float16 the unbounded product saturates.
Errata: a sigmoid in (5), as in segmentation-models-pytorch, is not the paper's, which bounds the gate from below only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import bottleneck_width, check_input, check_norm_batch, choice, positive
from regard.core import Attention
from regard.ops import pooling
from regard.ops.tracing import exporting

_KERNELS = (7, 5, 3)
RESIZING = ("bilinear", "bicubic", "nearest")


def _layer(channels: int, out: int, kernel_size: int, *, stride: int = 1, bias: bool = False) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, kernel_size, stride, kernel_size // 2, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(out))


def _multiply_add(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """a b + c; in float16, whose range products of two maps soon leave, through float32 and clamped to its range."""
    if a.dtype is not torch.float16:
        # one pass; but its gradient writes out a map more than the gradients of a product and a sum
        return (a * b).add_(c) if torch.is_grad_enabled() else torch.addcmul(c, a, b)
    top = torch.finfo(torch.float16).max
    return torch.addcmul(c.float(), a.float(), b.float()).clamp(-top, top).half()


def _resized(x: Tensor, like: Tensor, mode: str) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode=mode, align_corners=True if mode == "bilinear" else None)


def _normed(layer: nn.Module, x: Tensor) -> Tensor:
    """The layer on x, checked for a norm that would train on a single value for each channel."""
    conv, norm = layer.children()
    y = conv(x)
    check_norm_batch(norm, y)
    normed: Tensor = norm(y)
    return normed


def _averaged(layer: nn.Module, x: Tensor) -> Tensor:
    """The layer on the global average: `B C H W` -> `B out 1 1`."""
    return _normed(layer, pooling.average(x)[:, :, None, None])


class _Double(nn.Module):
    """Batch norm of a transposed 4 × 4 convolution, cut to the size of `like` where that is odd."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        height, width = like.shape[2:]
        y = self.conv(x)
        if exporting():  # a slice would fix whether there is anything to cut
            y = y[:, :, torch.arange(height, device=x.device)][..., torch.arange(width, device=x.device)]
        else:
            y = y[:, :, :height, :width]
        normed: Tensor = self.norm(y)
        return normed


class FeaturePyramidAttention(Attention):
    """Pixel gate from a small U-shaped pyramid, with a global average beside it.

    Args:
        channels: C of the input.
        out_channels: of the output; None takes C.
        hidden: width of the pyramid; None takes C // 4, or 1 where it is resized.
        upsample: deconvolution, strides down and transposed convolutions up; or bilinear or bicubic, max pools down and
            resizing up, as segmentation-models-pytorch.

    Shapes: x `B C H W` -> `B out H W`. Maps: pyramid `B out H W`, P of Eq. 3; `B 1 H W` where it is resized.
    Raises: ValueError for an argument out of range, a pyramid that cannot gate, other shapes, or training on one image.
    """

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int | None = None,
        hidden: int | None = None,
        upsample: str = "deconvolution",
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        out = channels if out_channels is None else positive("out_channels", out_channels)
        choice("upsample", upsample, ("deconvolution", "bilinear", "bicubic"))
        self.upsample = upsample
        self.strided = upsample == "deconvolution"
        if self.strided:
            hidden = bottleneck_width(channels, 4, hidden)
        else:
            hidden = 1 if hidden is None else positive("hidden", hidden)
            if hidden not in (1, out):
                raise ValueError(f"hidden={hidden}: 1 or {out}, as in the output, is needed with upsample={upsample!r}")
        stride, bias = (2, False) if self.strided else (1, True)
        self.master = _layer(channels, out, 1, bias=bias)
        self.context = _layer(channels, out, 1, bias=bias)
        widths = (channels, hidden, hidden)
        self.down = nn.ModuleList(
            _layer(width, hidden, size, stride=stride, bias=bias) for width, size in zip(widths, _KERNELS, strict=True)
        )
        self.level = nn.ModuleList(_layer(hidden, hidden, size, bias=bias) for size in _KERNELS)
        self.up = nn.ModuleList(_Double(hidden, width) for width in (out, hidden, hidden) if self.strided)

    def raised(self, i: int, m: Tensor, like: Tensor) -> Tensor:
        """`up m` at the size of `like`."""
        return self.up[i](m, like).relu_() if self.strided else _resized(m, like, self.upsample)

    def pyramid(self, x: Tensor) -> Tensor:
        """P of Eqs. 1 to 3."""
        maps = [x]
        for layer in self.down:
            below = maps[-1] if self.strided else pooling.halved_maximum(maps[-1], 2)
            maps.append(_normed(layer, below).relu_())
        m = self.level[2](maps[3])
        m = m if self.strided else m.relu_()
        for i in (1, 0):
            level, upper = self.level[i](maps[i + 1]), self.raised(i + 1, m, maps[i + 1])
            m = (level + upper).relu_() if self.strided else level.relu_() + upper
        return self.raised(0, m, x)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        context = _averaged(self.context, x)  # [B, C, 1, 1]
        pyramid = self.see("pyramid", self.pyramid(x))
        master = self.master(x)
        if self.strided:
            return _multiply_add(master, pyramid, context).relu_()
        return _multiply_add(master.relu_(), pyramid, context.relu_())


class GlobalAttentionUpsample(Attention):
    """A fine map, its channels gated by the average of a coarse map, which is added to it.

    Args:
        channels: C of the fine map x.
        gate_channels: channels of the coarse map g.
        out_channels: of the output; None takes C.
        upsample: of g: deconvolution, to twice its size; projection, for a g as large as x; or bilinear, bicubic or
            nearest, for a g as wide as the output.
        gate: relu, or sigmoid, which also moves the ReLU from the output to the fine map.

    Shapes: x `B C H W` and g `B G ⌈H/2⌉ ⌈W/2⌉`, as large as x for projection and of any size where it is resized ->
        `B out H W`. Maps: channel `B out 1 1`, in (0, 1) for sigmoid, not negative for relu.
    Raises: ValueError for an argument out of range, inputs that do not fit, and training on a batch of 1.
    """

    def __init__(
        self,
        channels: int,
        *,
        gate_channels: int,
        out_channels: int | None = None,
        upsample: str = "deconvolution",
        gate: str = "relu",
    ) -> None:
        super().__init__()
        self.channels, self.gate_channels = positive("channels", channels), positive("gate_channels", gate_channels)
        out = channels if out_channels is None else positive("out_channels", out_channels)
        choice("upsample", upsample, ("deconvolution", "projection", *RESIZING))
        choice("gate", gate, ("relu", "sigmoid"))
        if upsample in RESIZING and gate_channels != out:
            raise ValueError(
                f"gate_channels={gate_channels}, out_channels={out}: one number for both is needed with "
                f"upsample={upsample!r}"
            )
        self.upsample = upsample
        self.sigmoid = gate == "sigmoid"
        self.fine = _layer(channels, out, 3, bias=self.sigmoid)
        self.gate = _layer(gate_channels, out, 1, bias=self.sigmoid)
        self.deconvolve = _Double(gate_channels, out) if upsample == "deconvolution" else None
        self.project = _layer(gate_channels, out, 1) if upsample == "projection" else nn.Identity()

    def raised(self, g: Tensor, x: Tensor) -> Tensor:
        """g at the size of x."""
        if self.upsample in RESIZING:
            return _resized(g, x, self.upsample)
        if not exporting():
            factor = 2 if self.upsample == "deconvolution" else 1
            wanted = tuple(-(-n // factor) for n in x.shape[2:])
            if g.shape[2:] != wanted:
                raise ValueError(
                    f"g of shape {tuple(g.shape)}: {wanted} behind the channels is needed for x of {tuple(x.shape)}"
                )
        y: Tensor = self.project(g) if self.deconvolve is None else self.deconvolve(g, x)
        return y

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        check_input(g, "B G h w", B=x.shape[0], G=self.gate_channels)
        fine = _normed(self.fine, x)
        gate = _averaged(self.gate, g)  # [B, C, 1, 1]
        if self.sigmoid:
            return _multiply_add(fine.relu_(), self.see("channel", gate.sigmoid()), self.raised(g, x))
        return _multiply_add(fine, self.see("channel", gate.relu_()), self.raised(g, x)).relu_()
