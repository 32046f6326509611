"""Attributes of an image: the words that its captions would have, found in the whole image or in a part of it.

What Value Do Explicit High Level Concepts Have in Vision to Language Problems? Wu, Shen, Liu, Dick, van den Hengel.
CVPR 2016, arXiv:1506.01144, Section 3.1, after Wei et al.: CNN: Single-label to Multi-label, arXiv:1406.5726.
Official code: none; recorded are the equations as transcribed.

    p_hj = w_j · f_h + b_j                    f_h: the feature of hypothesis h, the whole image among them      (1)
    p_j  = max_h p_hj,   V_att,j = σ(p_j)                                                                       (2)
    L    = 1/B Σ_b Σ_j log(1 + exp(−y_bj p_bj))         y = 1 for an attribute of the image, else −1     Eq. 1  (3)

Place: behind an image encoder; the attributes are what a captioner or an answering network sees of the image.
Cost: a pass of the encoder for each hypothesis (the paper: 51), and A·width for its scores.
Deviations: paper: proposals by MCG | any boxes in the field `boxes`; `hypotheses.chosen` clusters them by their
    overlap and keeps 5 of each of 10 groups, as in the paper. The paper trains on whole images first and then on
    hypotheses | both are this network.
Errata: the maximum is over scores before the sigmoid, which is the same, and its gradient goes to one hypothesis.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.checks import check_input, positive
from regard.core import Attention
from regard.networks.captioner import Encoder
from regard.ops.sampling import affine_grid, sample


class AttributeNet(Attention):
    """Scores of attributes, each by the hypothesis that shows it best.

    Args:
        channels: of the features of a hypothesis, or with a backbone of the image.
        attributes: A, the number of attributes.
        backbone: a network of timm's, or "convolutions", see `networks.captioner.Encoder`; None takes features.

    Shapes: features `B N C`, mask `bool B N` (None: all) -> `B A`; with a backbone image `B C H W`, boxes `B N 4` in
        0..1 as x0 y0 x1 y1 and their mask, or neither: then the image is the only hypothesis.
    Maps: hypotheses `B N A`: the scores p_hj; with a backbone the first hypothesis is the whole image.
    Raises: ValueError for an argument out of range or inputs of other shapes; LookupError for an unknown backbone.
    """

    def __init__(self, channels: int, *, attributes: int = 256, backbone: str | None = None) -> None:
        super().__init__()
        self.channels, self.attributes = positive("channels", channels), positive("attributes", attributes)
        self.encoder = None if backbone is None else Encoder(backbone, channels)
        self.score: nn.Module = nn.Linear(channels if self.encoder is None else self.encoder.width, attributes)

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the image encoder; see `networks.captioner.Encoder.start_from`."""
        if self.encoder is not None:
            self.encoder.start_from(state)

    def forward(self, x: Tensor, boxes: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        if self.encoder is None:
            features, mask = x, boxes
            check_input(features, "B N C", C=self.channels)
        else:
            features, mask = self._hypotheses(x, boxes, mask)
        scores = self.see("hypotheses", self.score(features))
        if mask is not None:
            check_input(mask, "B N", B=features.shape[0], N=features.shape[1])
            scores = scores.masked_fill(~mask[..., None], -torch.inf)
        best: Tensor = scores.amax(1)
        return best

    def _hypotheses(self, image: Tensor, boxes: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The features of the image and of its windows, `B 1+N width`, and which of them there are."""
        assert self.encoder is not None
        check_input(image, "B C H W", C=self.channels)
        if boxes is None:
            return self.encoder(image).mean((2, 3))[:, None], None
        check_input(boxes, "B N 4", B=image.shape[0])
        if mask is not None:
            check_input(mask, "B N", B=boxes.shape[0], N=boxes.shape[1])
        seen = torch.cat([image[:, None], windows(image, boxes)], 1)
        features = self.encoder(seen.flatten(0, 1)).mean((2, 3)).unflatten(0, seen.shape[:2])
        return features, None if mask is None else F.pad(mask, (1, 0), value=True)


def windows(image: Tensor, boxes: Tensor) -> Tensor:
    """The content of boxes, each resized to the size of the image: `B C H W`, `B N 4` in 0..1 -> `B N C H W`."""
    low, high = boxes[..., :2], boxes[..., 2:]
    scale, centre = high - low, low + high - 1  # of an affine map onto [-1, 1]
    theta = torch.cat([torch.diag_embed(scale), centre[..., None]], -1).flatten(0, 1)
    several = image[:, None].expand(-1, boxes.shape[1], -1, -1, -1).flatten(0, 1)
    height, width = image.shape[2:]
    grid = affine_grid(theta.to(image.dtype), (height, width), align_corners=False)
    seen: Tensor = sample(several, grid, padding="border", align_corners=False).unflatten(0, boxes.shape[:2])
    return seen


def logistic_loss(scores: Tensor, present: Tensor) -> Tensor:
    """Equation (3).

    Shapes: scores `B A`, present `B A` (true, or above 0, for an attribute of the image) -> a number.
    """
    check_input(present, "B A", B=scores.shape[0], A=scores.shape[1])
    signs = torch.where(present > 0, 1, -1).to(scores.dtype)
    loss: Tensor = F.softplus(-signs * scores).sum(1).mean()
    return loss
