"""Prepositions of Baby Talk: how well a geometric relation holds between two regions of an image.

Baby Talk: Understanding and Generating Simple Image Descriptions. Kulkarni et al. CVPR 2011 and PAMI 2013,
doi:10.1109/TPAMI.2012.162. Official code: none; recorded are the definitions that the paper gives, and two in their
style. |·| counts pixels, ▢(b) is the smallest box around region b, with its edges.

    above(a, b)  = |a in the rows above ▢(b)| / |a|                                                  (1)
    below(a, b)  = |a in the rows below ▢(b)| / |a|                                                  (2)
    inside(a, b) = |a ∩ ▢(b)| / |a|                                                                  (3)
    near(a, b)   = min distance of their pixels / diagonal of ▢(a)            smaller is nearer      (4)

Place: between the regions of a detector and the field of `network`.
Cost: one pass over the pixels for each pair, and for (4) the product of their pixels.
Deviations: the paper has sixteen words with functions of their own, of which (1) and (4) are given | words that mean
    the same share one of four functions (`FUNCTIONS`). A region related to itself scores 0.
Errata: the rows above a box reach over the whole width of the image, not over the box's columns only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from regard.checks import check_input

RELATIONS = ("above", "below", "inside", "near")
# The paper's words, and the function of each; `beside` and the like are near without being above or below.
FUNCTIONS = {
    "above": "above",
    "over": "above",
    "on": "above",
    "below": "below",
    "beneath": "below",
    "under": "below",
    "underneath": "below",
    "in": "inside",
    "inside": "inside",
    "within": "inside",
    "across": "near",
    "against": "near",
    "along": "near",
    "beside": "near",
    "by": "near",
    "near": "near",
}


def relations(regions: Tensor) -> Tensor:
    """Equations (1) to (4) for every ordered pair of regions.

    Args:
        regions: their masks, above 0 inside.

    Shapes: `N H W` -> `4 N N` in float64, in the order of `RELATIONS`: `[r, a, b]` is the relation of a to b.
    Raises: ValueError for another shape or an empty region.
    """
    check_input(regions, "N H W")
    masks = regions > 0
    if not masks.flatten(1).any(1).all():
        raise ValueError(f"regions: {int((~masks.flatten(1).any(1)).sum())} of {len(masks)} are empty")
    rows, columns = masks.any(2).double(), masks.any(1).double()
    first, last = rows.argmax(1), rows.shape[1] - 1 - rows.flip(1).argmax(1)
    left, right = columns.argmax(1), columns.shape[1] - 1 - columns.flip(1).argmax(1)
    y, x = torch.arange(masks.shape[1], device=masks.device), torch.arange(masks.shape[2], device=masks.device)
    over, under = y < first[:, None], y > last[:, None]
    boxes = ((y >= first[:, None]) & (y <= last[:, None]))[:, :, None]
    boxes = boxes & ((x >= left[:, None]) & (x <= right[:, None]))[:, None]
    area = masks.flatten(1).sum(1).double()[:, None]
    along_rows = masks.sum(2).double()
    found = torch.stack(
        [
            along_rows @ over.double().T / area,
            along_rows @ under.double().T / area,
            masks.flatten(1).double() @ boxes.flatten(1).double().T / area,
            _distances(masks) / torch.hypot((last - first + 1).double(), (right - left + 1).double())[:, None],
        ]
    )
    own = torch.eye(len(masks), dtype=torch.bool, device=masks.device)
    return found.masked_fill(own, 0)


def scores(found: Tensor, words: tuple[str, ...]) -> Tensor:
    """The score of every preposition for every ordered pair, in 0..1: 1 − near for the words of nearness.

    Args:
        found: of `relations`, `4 N N`.
        words: prepositions of `FUNCTIONS`.

    Shapes: -> `N N P`.
    Raises: ValueError for another shape or an unknown word.
    """
    check_input(found, "R N N", R=len(RELATIONS), N=found.shape[-1])
    unknown = [word for word in words if word not in FUNCTIONS]
    if unknown:
        raise ValueError(f"words={unknown[0]!r}: {', '.join(FUNCTIONS)} are known")
    closeness = (1 - found[3]).clamp_min(0)
    by_name = {**dict(zip(RELATIONS[:3], found[:3], strict=True)), "near": closeness}
    return torch.stack([by_name[FUNCTIONS[word]] for word in words], -1)


def masks_of(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Regions that fill their boxes, for detectors that give no masks: at least one pixel each.

    Shapes: boxes `N 4` in 0..1 as x0 y0 x1 y1, size (H, W) -> `bool N H W`.
    """
    check_input(boxes, "N 4")
    height, width = size
    low = (boxes[:, :2] * boxes.new_tensor([width, height])).floor().clamp_min(0)
    high = torch.maximum((boxes[:, 2:] * boxes.new_tensor([width, height])).ceil(), low + 1)
    y, x = torch.arange(height, device=boxes.device), torch.arange(width, device=boxes.device)
    rows = (y >= low[:, 1, None]) & (y < high[:, 1, None])
    columns = (x >= low[:, 0, None]) & (x < high[:, 0, None])
    return rows[:, :, None] & columns[:, None]


def _distances(masks: Tensor) -> Tensor:
    """The least distance of the pixels of each two regions, `N N`."""
    pixels = [mask.nonzero().double() for mask in masks]
    pairs = [[torch.cdist(one, other).min() for other in pixels] for one in pixels]
    return torch.stack([torch.stack(row) for row in pairs])
