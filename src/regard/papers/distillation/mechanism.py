"""Distillation: a student network learns the softened class probabilities of a teacher.

Distilling the Knowledge in a Neural Network. Hinton, Vinyals, Dean. NIPS Deep Learning Workshop 2015, arXiv:1503.02531.
Official code: none; as in szagoruyko/attention-transfer, which combines it with the transfer of attention maps.

    p = softmax(z_S / T),  q = softmax(z_T / T)                        over the K classes, Eq. 1        (1)
    L = α T² 1/B Σ KL(q ‖ p) + (1 - α) 1/B Σ CE(y, softmax(z_S))                                        (2)

Place: on the logits of student and teacher, beside a loss on their maps.
Cost: a few passes over B × K numbers.
Deviations: paper minimises the cross-entropy with q, whose gradient is that of KL, and says that T² keeps the balance
    of the two terms | szagoruyko/attention-transfer: (2) with T = 4 and α = 0.9, the default here.
Errata: ports with the mean of a KL loss, which divides by K too, or without T², let the soft term fade as K or T grows.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from regard.checks import check_input, number
from regard.core import Attention
from regard.ops.precision import widened


class Distillation(Attention):
    """A loss between a student's scores, a teacher's softened probabilities, and the labels.

    Args:
        temperature: T; the higher it is, the more the improbable classes count.
        alpha: weight of the teacher, from 0 to 1; the labels have the rest.

    Shapes: logits of student and teacher `B K`, labels `B` (whole numbers) or `B K` (probabilities) -> a single number.
        Without labels it is the teacher's term alone, not weighted by α.
    Maps: student and teacher `B K`, p and q of Eq. 1; rows sum to 1.
    Raises: ValueError for a temperature that is not positive, an α out of range, and logits of different shape.
    """

    def __init__(self, *, temperature: float = 4.0, alpha: float = 0.9) -> None:
        super().__init__()
        self.temperature = number("temperature", temperature, above=0)
        self.alpha = number("alpha", alpha, least=0, most=1)

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor | None = None) -> Tensor:
        check_input(student, "B K")
        if student.shape != teacher.shape:
            raise ValueError(f"logits of shapes {tuple(student.shape)} and {tuple(teacher.shape)} must agree")
        if labels is not None:
            check_input(labels, "B K" if labels.is_floating_point() else "B", B=student.shape[0], K=student.shape[1])
        student, teacher = widened(student), widened(teacher)
        log_p = (student / self.temperature).log_softmax(1)  # [B, K]
        log_q = (teacher / self.temperature).log_softmax(1)
        q = self.see("teacher", log_q.exp())
        if self.watched:
            self.show("student", log_p.exp())
        soft = (q * (log_q - log_p)).sum() * (self.temperature**2 / student.shape[0])
        if labels is None:
            return soft
        if labels.is_floating_point():  # written out, since ONNX knows no probabilities as labels
            hard = -(widened(labels) * student.log_softmax(1)).sum() / student.shape[0]
        else:
            hard = F.cross_entropy(student, labels)
        return self.alpha * soft + (1 - self.alpha) * hard
