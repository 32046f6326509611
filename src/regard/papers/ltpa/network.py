"""The attention VGG: a classifier of small images by its attention to three of its layers.

Learn To Pay Attention. Jetley, Lord, Lee, Torr. ICLR 2018, arXiv:1804.02391.
Official code: none for PyTorch; the port in use is SaoYan/LearnToPayAttention.

    l_1, l_2, l_3 = outputs of stages 3, 4, 5                          before or after their pooling    (1)
    g = W * stage6(l_3)                                                * a convolution over all that is left (2)
    c_s,i = u_s · (P_s l_s,i + g)                                      parametrised, "pc"               (3)
    c_s,i = (P_s l_s,i) · g                                            dot product, "dp"                (4)
    g_s = Σ_i a_s,i P_s l_s,i,  a_s = softmax over positions of c_s                                     (5)
    z = U [g_1; g_2; g_3] + b                                          "concat"                         (6)
    p = 1/3 Σ_s softmax(U_s g_s + b_s)                                 "indep", independent             (7)

    Stages of 2, 2, 3, 3, 3 and 2 convolutions of 3 × 3, each with BN and ReLU, 64, 128, 256, 512, 512 and 512 wide;
    pooled by 2 after stages 3, 4 and 5, and after either convolution of stage 6. P_1 brings 256 channels to 512. Of (7)
    the network returns log p, which a softmax maps to p.

Place: CIFAR-10 and -100, SVHN and others at 32 × 32; the maps a_s are the answer to where it looked.
Cost: 20.0 million parameters with 100 classes; 3.8 thousand million multiplications at 32 × 32. Without early pooling
    the first three stages take nearly half of them. (3) to (5) are those of `ltpa`.
Deviations: paper has biases and dropout of VGG and projects g to the widths of l | port: batch norms, no dropout,
    projects l_1 to that of g | as the port, `project="global"` for the paper. Paper compares (3) with (4) and (6) with
    (7) | port has (3) and (6) | all four. Under (3) and (5) g cancels (see `ltpa`), so that g and what makes it, stage
    6 and *, get no gradient; (4), and the sigmoid, train them. Paper attends before pooling | port, both |
    `attend="before"`, and "after". The port's normalize_attn=False, which its command line turns on by default, is not
    the paper's (see there). Weights start as the port's: Xavier uniform with gain √2, batch norms' weights uniform in
    0..1.
Errata: the port returns scores and three maps of compatibilities even where attention is off; the maps are None then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from regard.checks import check_input, check_norm_batch, choice, flag, positive, whole_numbers
from regard.core import Attention
from regard.ops.precision import widened
from regard.papers.ltpa.mechanism import NORMALISATIONS, LearnToPay

WIDTHS = (64, 128, 256, 512, 512, 512)
CONVOLUTIONS = (2, 2, 3, 3, 3, 2)
PLACES = ("before", "after")
COMPATIBILITIES = ("parametrised", "dot")
SIDES = ("local", "global")
COMBINATIONS = ("concat", "independent")


class _Stage(nn.Module):
    """3 × 3 convolutions, each with batch norm and ReLU, and pooled by 2 if `pool`."""

    def __init__(self, channels: int, out: int, count: int, *, pool: bool = False) -> None:
        super().__init__()
        widths = [channels] + [out] * count
        self.convolutions = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(out) for _ in range(count))
        self.pool = nn.MaxPool2d(2) if pool else None

    def forward(self, x: Tensor) -> Tensor:
        for convolve, norm in zip(self.convolutions, self.norms, strict=True):
            x = convolve(x)
            check_norm_batch(norm, x)
            x = norm(x).relu()
            if self.pool is not None:
                x = self.pool(x)
        return x


class AttentionVGG(Attention):
    """Classifier of small images by its attention to three of its layers.

    Args:
        channels: channels of the image.
        classes: number of classes.
        grid: height and width of the image, each at least 32.
        widths: of the six stages.
        attend: to each stage "before" or "after" its pooling, or None: a VGG that reads g.
        normalise: "softmax" over positions, or "sigmoid" of each and the mean, the port's other way.
        compatibility: "parametrised" or "dot".
        project: where widths differ, "local" brings the local features to the width of g, "global" g to theirs.
        combine: "concat", one linear classifier of all three descriptors, or "independent", one of each, whose
            probabilities are averaged; then the scores are log-probabilities.
        return_compatibility: return c_1, c_2 and c_3 after the scores, as the port does.

    Shapes: `B C H W` -> `B classes`, with `return_compatibility` also c_s `B 1 h w`.
    Maps: attention a_s `B 1 h w`, one for each of the three.
    Raises: ValueError for an argument out of range, and images of another shape.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        classes: int = 100,
        grid: tuple[int, int] = (32, 32),
        widths: Sequence[int] = WIDTHS,
        attend: str | None = "before",
        normalise: str = "softmax",
        compatibility: str = COMPATIBILITIES[0],
        project: str = SIDES[0],
        combine: str = COMBINATIONS[0],
        return_compatibility: bool = False,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        positive("classes", classes)
        choice("attend", attend, (*PLACES, None))
        choice("normalise", normalise, NORMALISATIONS)
        choice("compatibility", compatibility, COMPATIBILITIES)
        choice("project", project, SIDES)
        choice("combine", combine, COMBINATIONS)
        widths = whole_numbers("widths", widths, count=len(CONVOLUTIONS))
        height, width = whole_numbers("grid", grid, 32, count=2)
        if flag("return_compatibility", return_compatibility) and attend is None:
            raise ValueError("return_compatibility=True: attend='before' or attend='after' is needed")
        self.grid, self.attend, self.return_compatibility = (height, width), attend, return_compatibility
        before = (channels, *widths[:-1])
        stages = [
            _Stage(a, b, count, pool=i == 5)
            for i, (a, b, count) in enumerate(zip(before, widths, CONVOLUTIONS, strict=True))
        ]
        self.early = nn.Sequential(*stages[:3])
        self.middle, self.late, self.last = stages[3:]
        self.pool = nn.MaxPool2d(2)
        top = widths[-1]
        self.join = nn.Conv2d(top, top, (self.grid[0] // 32, self.grid[1] // 32))
        looks = widths[2:5] if attend is not None else ()
        self.attentions = nn.ModuleList(
            LearnToPay(
                size,
                gate_channels=top,
                normalise=normalise,
                compatibility=compatibility,
                project=project if size != top else None,
                return_compatibility=True,
            )
            for size in looks
        )
        ends = [top if project == "local" else size for size in looks] or [top]
        self.classify: nn.Linear | nn.ModuleList
        if combine == "concat" or attend is None:
            self.classify = nn.Linear(sum(ends), classes)
        else:
            self.classify = nn.ModuleList(nn.Linear(end, classes) for end in ends)
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(part.weight, gain=math.sqrt(2))
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
            elif isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.weight)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        check_input(x, "B C H W", C=self.channels, H=self.grid[0], W=self.grid[1])
        taps = []
        for stage in (self.early, self.middle, self.late):
            full = stage(x)
            x = self.pool(full)
            taps.append(full if self.attend == "before" else x)
        g = self.join(self.last(x)).flatten(1)  # [B, C]
        if self.attend is None:
            logits: Tensor | tuple[Tensor, ...] = self.classify(g)
            return logits
        looks = [attention(tap, g) for attention, tap in zip(self.attentions, taps, strict=True)]
        scores = self.scores([attended for _, attended in looks])
        return (scores, *(c for c, _ in looks)) if self.return_compatibility else scores

    def scores(self, descriptors: Sequence[Tensor]) -> Tensor:
        """z of Eq. 6, or log p of Eq. 7: g_s `B C` -> `B K`."""
        if isinstance(self.classify, nn.Linear):
            logits: Tensor = self.classify(torch.cat(list(descriptors), 1))
            return logits
        each = [classify(g) for classify, g in zip(self.classify, descriptors, strict=True)]
        logs = torch.stack([widened(logits).log_softmax(1) for logits in each])  # [S, B, K]
        return (logs.logsumexp(0) - math.log(len(each))).to(each[0].dtype)
