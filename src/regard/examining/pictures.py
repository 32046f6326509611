"""The pictures of an examination: one map over the image that shows the finding best."""

from __future__ import annotations

import torch

from regard.core import Maps
from regard.examining.findings import Examination
from regard.viewing import draw
from regard.viewing.pictures import Picture

BLANK = 160  # pixels of the side of the empty image under maps of no image


def drawn(examination: Examination, key: str, sample: int = 0) -> Picture | None:
    """The first look of a map over an image; None if its axes are not known, or it has values that are not finite."""
    maps, whole = Maps(), examination.maps
    if key not in whole or not bool(whole[key][0].isfinite().all()):
        return None
    maps[key] = [whole[key][0].detach().cpu()]
    for name in ("axes", "grids", "tokens", "places", "sums"):
        if key in (found := getattr(whole, name)):
            getattr(maps, name)[key] = found[key]
    stage = examination.stage
    image = torch.full((3, BLANK, BLANK), 0.9) if stage is None else stage[min(sample, len(stage) - 1)]
    try:
        return draw(maps, image, sample=sample, scale="own")[0]
    except (ValueError, IndexError):  # axes that cannot be drawn, or whose first is not the batch
        return None
