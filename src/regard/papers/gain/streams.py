"""The streams of GAIN, and the losses on the image without what the map shows and on the map.

Tell Me Where to Look: Guided Attention Inference Network. Li, Wu, Peng, Ernst, Fu. CVPR 2018, arXiv:1802.10171.

    L_am = 1/n Σ_c s^c(I*^c)                      n classes present in the image        Eq. 5               (1)
    L_e  = 1/n Σ_c mean_hw (A^c − H^c)²           H^c, the pixels of class c, of images with a mask  Eq. 7  (2)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from regard.ops.precision import widened

SCORES = ("logit", "sigmoid", "softmax")
VOID = 255


class Streams(NamedTuple):
    """A record of the streams; a pair is an image and a class present in it, and there are M of them.

    Attributes:
        scores: s, `B K`.
        image, label: the image and the class of each pair, `M` each.
        cams: A^c at the size of the image, not normalised, `M 1 H W`.
        masks: T(A^c), `M 1 H W`.
        erased: I*^c, `M C H W`.
        again: s* of each pair, `M K`.
    """

    scores: Tensor
    image: Tensor
    label: Tensor
    cams: Tensor
    masks: Tensor
    erased: Tensor
    again: Tensor


def erasing(streams: Streams, score: str = "logit") -> Tensor:
    """L_am, equation (1), the mean over the images that have a class.

    Args:
        streams: what the network returned with `present`.
        score: `"logit"`, as the equation, `"sigmoid"` or `"softmax"` of it.
    """
    again = widened(streams.again)
    taken = again.softmax(1) if score == "softmax" else again.sigmoid() if score == "sigmoid" else again
    return _over_images(taken.gather(1, streams.label[:, None])[:, 0], streams.image, len(streams.scores))


def external(streams: Streams, masks: Tensor) -> Tensor:
    """L_e, equation (2), the mean over the images with a mask; 0 without any.

    Args:
        streams: what the network returned with `present`.
        masks: label maps: 0 is the background, c + 1 is class c, and 255 is unknown, as is all of an image without a
            mask.

    Shapes: masks uint8 `B H W`.
    """
    labels = masks[streams.image]  # [M, H, W]
    known = labels != VOID
    wanted = (labels == (streams.label + 1)[:, None, None]).to(streams.cams.dtype)
    square = ((streams.cams[:, 0] - wanted) ** 2 * known).sum((1, 2))
    pixels = known.sum((1, 2))
    given = pixels > 0
    return _over_images((square / pixels.clamp_min(1))[given], streams.image[given], len(streams.scores))


def _over_images(values: Tensor, image: Tensor, images: int) -> Tensor:
    """The mean over images of the mean over their pairs; images without a pair do not count."""
    sums = values.new_zeros(images).index_add(0, image, values)
    counts = values.new_zeros(images).index_add(0, image, torch.ones_like(values))
    return (sums / counts.clamp_min(1)).sum() / (counts > 0).sum().clamp_min(1)
