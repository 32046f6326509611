"""Objectness: the likelihood that a window holds an object, from a few cues that integral images give.

Measuring the Objectness of Image Windows. Alexe, Deselaers, Ferrari. PAMI 2012, doi:10.1109/TPAMI.2012.28.
Official code: none that can be run without MATLAB and its binaries.

    m_1 = |x̄|, m_2 = ‖∇ x̄‖, m_3 = ‖x − mean x‖ / √C             brightness, edges, contrast, x̄ the mean channel  (1)
    f_w = [mean of m_k in w, in w without its core, in a ring around w] / mean of m_k in the image                (2)
    e_w = (share of m_k in w) − (share of the area)                                                               (3)
    g_w = [log √(area share), log aspect, (log aspect)²]                                                          (4)
    s_w = v relu(W [f_w − 1; 4 e_w; g_w] + b)                     logit of window w                               (5)

    The windows are those of a grid: six sizes, five aspects, a quarter of their size apart, and the whole image.

Place: on whole pictures, before a detector; `regard train objectness`.
Cost: 3 HW for the integral images and 15 D for each of some two thousand windows, D = `hidden`.
Deviations: paper joins multi-scale saliency, colour contrast, edge density and superpixel straddling by naive Bayes,
    and draws windows at random | here are other cues, brightness, edges and contrast in rings and borders like the
    paper's, joined by a small network, on all windows of a grid | the paper's own measure is `measure.bayes.learned`,
    with its four cues in `measure.cues`; docs/objectness.md compares them.
Errata: none known.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard.checks import check_input, positive
from regard.core import Attention
from regard.ops.precision import uncast, wide_linear, widened
from regard.ops.windows import grown, sliding, sums
from regard.papers.objectness.proposing import RATIOS, SIDES, STRIDE

CUES = 3
CORE, RING = -0.2, 0.25  # shares of a window that its border is wide, inside and outside
LEAST = 1e-6  # of a cue's mean: an image without any edge has none in every window


class Objectness(Attention):
    """Scores windows by brightness, edges and contrast inside, along the border and around.

    Args:
        channels: channels of the image.
        hidden: D of the network.
        shown: how many of the best windows are shown, at most.

    Shapes: x `B C H W` -> `B N 5`, in float32 at least: left, top, right and bottom in pixels, logit; of windows in a
        fixed order.
    Maps: boxes `B T 4`, the best windows in [-1, 1], best first.
    Raises: ValueError for an argument below 1, or images of another shape.
    """

    def __init__(self, channels: int = 3, *, hidden: int = 32, shown: int = 5) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        positive("hidden", hidden)
        self.shown = positive("shown", shown)
        self.scale = channels**-0.5
        self.mix = nn.Linear(4 * CUES + 3, hidden)
        self.judge = nn.Linear(hidden, 1)

    def cues(self, x: Tensor) -> Tensor:
        """The cues of (1), each divided by its mean over the image: `B 3 H W`."""
        grey = x.sum(1, keepdim=True) / x.shape[1]
        padded = functional.pad(grey, (1, 1, 1, 1), mode="replicate")
        across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
        down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
        apart = x - x.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3])
        maps = torch.cat((grey.abs(), _length(across, down), _length(apart) * self.scale), 1)
        mean = maps.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3])
        return maps / (mean + LEAST)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        height, width = x.shape[2:]
        found = sliding(height, width, sides=SIDES, ratios=RATIOS, stride=STRIDE)
        boxes = torch.tensor(found, device=x.device)  # [N, 4]
        with uncast(x):
            maps = self.cues(widened(x))
            inside = sums(maps, boxes)
            core, around = (grown(boxes, share, height, width) for share in (CORE, RING))
            areas = [_area(b) for b in (boxes, core, around)]
            parts = (
                inside / areas[0],
                (inside - sums(maps, core)) / (areas[0] - areas[1]).clamp_min(1),
                (sums(maps, around) - inside) / (areas[2] - areas[0]).clamp_min(1),
            )
            extra = 4 * (inside - areas[0]) / (height * width)  # 4: of the order of the others
            features = torch.cat((torch.cat(parts, 1) - 1, extra), 1).mT  # [B, N, 12]
            size = (boxes[:, 2:] - boxes[:, :2]).to(features)
            aspect = (size[:, 0] / size[:, 1]).log()
            share = (areas[0].to(features) / (height * width)).log() / 2
            shape = torch.stack((share, aspect, aspect.square()), 1).expand(len(x), -1, -1)
            logits = wide_linear(self.judge, wide_linear(self.mix, torch.cat((features, shape), 2)).relu())
        if self.watched:
            best = logits[..., 0].topk(min(self.shown, len(found)), 1).indices  # [B, T]
            span = boxes.new_tensor((width, height, width, height))
            self.show("boxes", (2 * boxes / span - 1).to(x.dtype)[best])
        return torch.cat((boxes.expand(len(x), -1, -1).to(logits), logits), 2)  # half precision lacks whole pixels


def _length(*parts: Tensor) -> Tensor:
    """Square root of the sum of squares over channels, with a gradient at 0."""
    squares = [part.square().sum(1, keepdim=True) for part in parts]
    return (torch.stack(squares).sum(0) + LEAST * LEAST).sqrt()


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)
