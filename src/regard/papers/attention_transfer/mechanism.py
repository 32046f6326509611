"""Attention transfer: a student network learns to look where a teacher looks.

Paying More Attention to Attention: Improving the Performance of Convolutional Neural Networks via Attention Transfer.
Zagoruyko, Komodakis. ICLR 2017, arXiv:1612.03928. Official code: szagoruyko/attention-transfer.

    F(A)_n = Σ_c |A_cn|^p,  or max_c |A_cn|^p                          attention map, Section 3.1       (1)
    Q = F(A) / ‖F(A)‖₂                                                 one for each sample              (2)
    L = β mean over samples and positions of (Q_S - Q_T)²              as released                      (3)
    L = β/2 ‖Q_S - Q_T‖₂, averaged over samples                        distance="norm", Eq. 2           (4)
    J = ∂L(W, x)/∂x,  L = β/2 ‖J_S - J_T‖²                             gradient-based, Eqs. 5, 6        (5)
    L = β/2 ‖J(x) - flip(J(flip(x)))‖²                                 symmetric, Eqs. 7, 8             (6)

Place: (3), (4) between the ends of the residual stages of student and teacher, which have the same resolution there,
    and any widths; (5), (6) at the image. Added to the cross-entropy of the student.
Cost: one pass to read each map, O(BN) memory beside what the gradient keeps; (5) and (6) a second backward pass.
Deviations: paper, Eq. 2, has (4) and sums over channels | official code has (3), averages over channels, which (2)
    takes out again, and β = 1000 outside of the loss | default: (3), the mean, and β = 1. Only activation-based
    transfer was released; (5) and (6) are the paper's, summed over samples.
Errata: HobbitLong/RepDistiller averages the larger of two maps down without a word, and takes odd powers of signed
    activations, which cancel; without (2) it is not this loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from regard.checks import check_input, choice, flag, number
from regard.core import Attention
from regard.ops.precision import widened

Maps = Tensor | Sequence[Tensor]


class AttentionTransfer(Attention):
    """A loss between the attention maps of a student and of a teacher.

    Args:
        power: p of the map, from 1 to 16; the released code uses 2.
        pool: over channels: "mean", as released, "sum" or "max".
        distance: "squared", the mean of squared differences, as released, or "norm", that of the paper.
        beta: weight of the loss; the released code uses 1000.

    Shapes: student `B C H W` and teacher `B G H W`, or as many of one as of the other in two lists, whose losses are
        added -> a single number. A gradient reaches the teacher too: detach it, or run it without gradients.
    Maps: student and teacher `B 1 H W`, F of Eq. 1, not negative; one look for each pair.
    Raises: ValueError for an unknown setting, maps of different resolution, and lists of different length.
    """

    def __init__(self, *, power: float = 2, pool: str = "mean", distance: str = "squared", beta: float = 1.0) -> None:
        super().__init__()
        number("power", power, least=1, most=16)
        number("beta", beta)
        choice("pool", pool, ("mean", "sum", "max"))
        choice("distance", distance, ("squared", "norm"))
        self.power, self.pool, self.distance, self.beta = power, pool, distance, beta

    def forward(self, student: Maps, teacher: Maps) -> Tensor:
        pairs = [(student, teacher)] if isinstance(student, Tensor) and isinstance(teacher, Tensor) else None
        if pairs is None:
            if isinstance(student, Tensor) or isinstance(teacher, Tensor) or not 0 < len(student) == len(teacher):
                raise ValueError("student and teacher: two maps, or two lists of the same number of maps, are needed")
            pairs = list(zip(student, teacher, strict=True))
        losses = [self.between(*pair) for pair in pairs]
        return self.beta * (losses[0] if len(losses) == 1 else torch.stack(losses).sum())

    def between(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Eq. 3, or the mean of Eq. 4 over samples, without β."""
        if self.distance == "norm":
            return self.distances(student, teacher).mean()
        return self.difference(student, teacher).square().mean()

    def distances(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Eq. 4 of each sample, without β: `B`."""
        lengths: Tensor = torch.linalg.vector_norm(self.difference(student, teacher), dim=1) / 2
        return lengths

    def difference(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Q_S - Q_T: `B N`."""
        check_input(student, "B C H W")
        check_input(teacher, "B G H W")
        if student.shape[2:] != teacher.shape[2:] or student.shape[0] != teacher.shape[0]:
            raise ValueError(
                f"student {tuple(student.shape)} and teacher {tuple(teacher.shape)} must agree, except in channels"
            )
        mine = self.see("student", self.attention(student))
        theirs = self.see("teacher", self.attention(teacher))
        return F.normalize(mine.flatten(1)) - F.normalize(theirs.flatten(1))

    def attention(self, x: Tensor) -> Tensor:
        """F of Eq. 1, in float32 at least: `B C H W` -> `B 1 H W`."""
        x = widened(x)
        if self.pool == "max":
            return x.abs().max(1, keepdim=True).values.pow(self.power)
        # x · x has a cheaper gradient than a square
        energy = x * x if self.power == 2 else x.abs() if self.power == 1 else x.abs().pow(self.power)
        summed = energy.sum(1, keepdim=True)
        return summed / x.shape[1] if self.pool == "mean" else summed


class GradientTransfer(Attention):
    """A loss between a student's and a teacher's gradients with respect to the image.

    Take both with `sensitivity`, so that the student's gradient can be differentiated once more.

    Args:
        symmetric: the second gradient is the student's own for the mirrored image, J(flip(x)).
        beta: weight of the loss.

    Shapes: J_S `B C H W`, and J_T or J(flip(x)) `B C H W` -> a single number.
    Maps: student `B C H W`, teacher `B C H W`; symmetric: mirrored `B C H W`, flipped back, in place of teacher.
    Raises: ValueError for gradients of different shape.
    """

    def __init__(self, *, symmetric: bool = False, beta: float = 1.0) -> None:
        super().__init__()
        self.symmetric, self.beta = flag("symmetric", symmetric), number("beta", beta)

    def forward(self, student: Tensor, other: Tensor) -> Tensor:
        check_input(student, "B C H W")
        if student.shape != other.shape:
            raise ValueError(f"gradients of shapes {tuple(student.shape)} and {tuple(other.shape)} must agree")
        student = self.see("student", student)
        other = self.see("mirrored", other.flip(-1)) if self.symmetric else self.see("teacher", other)
        return self.beta / 2 * (widened(student) - widened(other)).square().sum()


def sensitivity(loss: Tensor, x: Tensor) -> Tensor:
    """J = ∂loss/∂x, which can be differentiated again; a loss summed over the batch gives the J of each sample."""
    return torch.autograd.grad(loss, x, create_graph=True)[0]
