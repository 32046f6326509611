"""How much the logit of a class falls when a map of the network is replaced."""

from __future__ import annotations

import torch
from torch import nn

from regard.core import Maps
from regard.insight.faithfulness.measured import Measured
from regard.insight.faithfulness.replacing import replacing
from regard.insight.faithfulness.scoring import Score

ALONE = ("even", "mean", "shuffled")  # replacements that need no other image
TOGETHER = ("images", "swapped")
ALL = "all of them"


def effects(model: nn.Module, score: Score, maps: Maps, batch: int, seed: int) -> dict[str, dict[str, Measured]]:
    """key of a map, or all of them -> replacement -> the fall of the logit of each image.

    Maps that do not act are left out.

    Args:
        model: the network.
        score: what is followed; of a class its logit.
        maps: the maps that are replaced, one at a time.
        batch: the most images in a pass.
        seed: of the order of shuffled maps.
    """
    images = score.images
    several = len(images) > 1
    # Parts of like size: one image alone has no other to be swapped with.
    parts = torch.arange(len(images), device=images.device).tensor_split(-(-len(images) // max(batch, 2)))
    before = torch.cat([score(images[which], which, of="logit") for which in parts])
    found: dict[str, dict[str, Measured]] = {}
    keys = {key: {key} for key in maps}
    if len(keys) > 1:
        keys[ALL] = set(maps)
    for key, only in keys.items():
        for name in (*ALONE, *(TOGETHER if several else ())):
            after = []
            with replacing(model, name, only=only, seed=seed) as met:
                for which in parts:
                    after.append(score(images[which], which, of="logit"))
            if met:
                found.setdefault(key, {})[name] = Measured.of(before - torch.cat(after))
    return found
