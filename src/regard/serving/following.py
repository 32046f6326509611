"""Deletion and insertion curves of one map for one photograph, one line at a time, beside three references."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from regard.attaching.tracing import evaluating
from regard.core import Maps
from regard.insight.faithfulness.curves import curves, ranked
from regard.insight.faithfulness.heats import CENTRE, GRADCAM, RANDOM, GradCam, centre_maps, random_maps
from regard.insight.faithfulness.imputing import Baseline
from regard.insight.faithfulness.scoring import Score
from regard.viewing import spatial

STEPS = 16
BATCH = 16
SEED = 0
BASELINE = "blur"
NAMES = ("this map", GRADCAM, CENTRE, RANDOM)


@dataclass(frozen=True)
class Asked:
    """What is followed.

    Args:
        maps: the maps of a pass.
        key: the map whose places are taken away.
        x: the network's input, `1 C H W`.
        number: the class whose share is followed.
    """

    maps: Maps
    key: str
    x: Tensor
    number: int


def line(model: nn.Module, asked: Asked, name: str) -> dict[str, Any] | None:
    """The curves of one of `NAMES`, as JSON; None where there is no Grad-CAM map.

    Raises: ValueError if the map has no place.
    """
    size = (asked.x.shape[2], asked.x.shape[3])
    with evaluating(model), torch.no_grad():
        score = Score(model, asked.x, partial(share, number=asked.number), of="probability", batch=BATCH)
        heat = spatial(asked.maps, asked.key)
        if heat is None or heat[0].numel() < 2:
            raise ValueError(f"{asked.key} has no places that could be taken away")
        if name == GRADCAM:
            try:
                with torch.enable_grad():
                    heat = GradCam(model, score, None)().detach()
            except (LookupError, ValueError):
                return None
        elif name == CENTRE:
            heat = centre_maps(size, 1)
        elif name == RANDOM:
            heat = random_maps((heat.shape[1], heat.shape[2]), 1, SEED)
        baseline = Baseline(BASELINE, asked.x, SEED)
        everything = torch.ones(1, *size, dtype=torch.bool)
        which = torch.zeros(1, dtype=torch.long)
        ends = score.intact(), score(baseline.without(which, everything), which)
        taken, put = curves(score, baseline, ranked(heat[:1], size, SEED), STEPS, ends)
    return {"name": name, "deletion": taken.mean, "insertion": put.mean}


def share(returned: object, number: int) -> Tensor:
    """The probability of a class, the mean over the heads that give one: `B`. Raises: ValueError without any."""
    several = returned if isinstance(returned, tuple | list) else [returned]
    heads = [head for head in several if isinstance(head, Tensor) and head.dim() == 2 and number < head.shape[1]]
    if not heads:
        raise ValueError("the network gives no class scores that could be followed")
    return torch.stack([head.softmax(1)[:, number] for head in heads]).mean(0)
