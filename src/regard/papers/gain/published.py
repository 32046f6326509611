"""Checkpoint mappings for GAIN: the paper's equations, and a port with its own way of forming the map."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from regard.papers.gain.streams import Streams, erasing, external
from regard.published.reference import Given, Names, Reference


def _tiny(c: int, c2: int, num_classes: int, bn: bool) -> tuple[dict[str, Any], Names]:
    """Two convolutions in place of the backbone: conv [BN] ReLU, pool, conv [BN] ReLU, average, linear."""
    second = 4 if bn else 3
    names = {"classifier.convolutions.0": "features.0", "classifier.convolutions.1": f"features.{second}"}
    if bn:
        names |= {"classifier.norms.0": "features.1", "classifier.norms.1": f"features.{second + 1}"}
    names["classifier.classify"] = "fc"
    return {"classes": num_classes, "backbone": None, "widths": (c, c2), "norm": bn}, names


def _paper(c, c2, num_classes, bn, sigma, omega, normalise, align_corners, alpha=1.0, omega_ext=10.0):
    arguments, names = _tiny(c, c2, num_classes, bn)
    given = {"sigma": sigma, "omega": omega, "normalise": normalise, "align_corners": align_corners}
    return {**arguments, **given}, names


class _Losses(nn.Module):
    """Both streams, the image without what the map shows, and every loss of the paper by its name."""

    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()
        self.module = module
        self.alpha, self.omega = args.get("alpha", 1.0), args.get("omega_ext", 10.0)

    def forward(self, x: Tensor, **given: Tensor) -> dict[str, Tensor]:
        streams: Streams = self.module(x, given["class"])
        classified = F.multilabel_soft_margin_loss(streams.scores, given["multilabel"])
        erased, guided = erasing(streams), external(streams, _labels(given["pixel_mask"], given["class"]))
        own = classified + self.alpha * erased
        return {
            "L_self": own,
            "L_ext": own + self.omega * guided,
            "L_cl": classified,
            "L_am_scores": erased,
            "L_am_sigmoid": erasing(streams, "sigmoid"),
            "L_e_raw": guided,
            "masked_image": streams.erased,
            "0": streams.scores,
            "1": streams.again,
        }


def _labels(masks: Tensor, classes: Tensor) -> Tensor:
    """Label maps from masks of 0 and 1, `B 1 H W`, of the class of each image."""
    return (masks[:, 0] * (classes + 1)[:, None, None]).byte()


def _port(c, c2, num_classes, bn, sigma, omega, normalise="batch", align_corners=True):
    arguments, names = _tiny(c, c2, num_classes, bn)
    given = {"sigma": float(sigma), "omega": float(omega), "normalise": normalise, "align_corners": align_corners}
    return {**arguments, **given, "detach": True, ".summed": True}, names


class _Scores(nn.Module):
    """The scores of the two streams."""

    def __init__(self, module: Any, args: Given) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, **given: Tensor) -> tuple[Tensor, Tensor]:
        streams: Streams = self.module(x, given["class"])
        return streams.scores, streams.again


MAPS = {"cam_image": "module/cam", "soft_mask": "module/mask"}
REFERENCES = (
    Reference("gain/paper", "gain", _paper, adapt=_Losses, maps=MAPS, recording="equations of the paper"),
    Reference("gain/ngxbac.GAIN/GAIN", "gain", _port, adapt=_Scores, maps=MAPS),
)
