"""Deletion and insertion curves of a row's maps, on the images of the gallery; see `regard.faithful`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn

from regard.comparing.images import Part
from regard.comparing.looking import View, own_map
from regard.data.batches import normalised
from regard.insight.faithfulness.faithful import faithful
from regard.report import CURVES, OWN

SQUARES = 32


def tested(model: nn.Module, data: Part, shown: Sequence[int], view: View, *, classes: bool) -> dict[str, NDArray[Any]]:
    """`MAP.CURVE.BASELINE` -> the curves [n, S], and `MAP.infidelity` [n], of the row's own map and of the references.

    Args:
        model: the trained model.
        data: the test images.
        shown: the images that are taken.
        view: where and how the model is looked at.
        classes: whether the model gives class scores: then the probability of the true class is followed.
    """
    x = normalised(data.images(shown).to(view.device), view.normalise)

    def maps(images: Tensor) -> dict[str, Tensor]:
        own = own_map(model, images, view.place)
        return {} if own is None else {OWN: own}

    labels = [data.labels[i] for i in shown] if classes and data.labels else view.score
    found = faithful(model, x, maps, labels, layer=view.place.explained, squares=SQUARES, stages=0)
    arrays = {f"{row.name}.infidelity": row.infidelity.values for row in found.rows}
    for row in found.rows:
        for kind in CURVES:
            for baseline, curve in getattr(row, kind).items():
                arrays[f"{row.name}.{kind}.{baseline}"] = curve.values
    return arrays
