"""Grad-CAM maps of the classes of a network, for photographs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from regard.attaching import siting
from regard.attaching.siting import Site
from regard.catalog import nearest
from regard.core import Maps
from regard.insight.gradcam import gradcam
from regard.looking.own import has_place, under
from regard.looking.segmenting import Said
from regard.saved.opening import Network
from regard.viewing import draw
from regard.viewing.pictures import Picture
from regard.viewing.scaling import Scale

BEST = 3  # classes named, and explained, with a photograph


class Explainer:
    """Makes Grad-CAM maps of photographs.

    Args:
        network: the network.
        target: the name or the number of the class that is explained; None explains the most likely classes of a
            network that shows no attention maps, and nothing of others.
        layer: the name of the module that is explained; None takes the last with a map. One that attends by itself is
            shown through its attention, and explained where a class is named.

    Raises: LookupError if the network has no such class.
    """

    def __init__(self, network: Network, target: int | str | None, layer: str | None) -> None:
        self.network = network
        self.target = None if target is None else class_number(network.class_names, target)
        self.layer: str | Site | None = layer
        self.asked = target is not None or layer is not None

    def explain(self, pixels: Tensor, seen: Maps, returned: object, labels: Said | None = None) -> Maps:
        """Returns the maps of one photograph, `B H W`, under names that say the class and its probability.

        Args:
            pixels: the photograph, uint8 `3 H W`.
            seen: the attention maps of the photograph.
            returned: what the network returned for it.
            labels: the label map, of a segmentation network: a class is explained where it is said, and nothing by
                itself.

        Raises: LookupError if there is no such layer; ValueError if there is no such class, the network gives no class
            scores, or no map of it can be explained.
        """
        maps = Maps()
        shown = has_place(seen) if seen.foreign else bool(seen)
        if (shown or labels is not None) and not self.asked:
            return maps
        if self.target is None and isinstance(self.layer, str) and under(seen, self.layer):
            return maps
        shares = probabilities(returned, len(self.network.class_names))
        if labels is not None:
            shares = torch.tensor(labels.shares)
        if shares is None:
            raise ValueError(
                f"{self.network.name} {'' if seen else 'has no attention and '}gives no class scores that Grad-CAM "
                "could explain"
            )
        if self.target is not None and self.target >= len(shares):
            raise ValueError(f"target={self.target}: classes from 0 to {len(shares) - 1} are needed")
        best = shares.topk(min(BEST, len(shares))).indices.tolist()
        x = self.network.prepared(pixels)
        if self.layer is None:
            self.layer = siting.last(self.network.model, x[[0, 0]])
        for number in best if self.target is None else [self.target]:
            score = partial(_score, number=number, classes=len(shares))
            if labels is not None:
                score = partial(_where_said, number=number)
            heat = gradcam(self.network.model, x, score, self.layer, upsample=False)
            name = self.network.class_names[number] if number < len(self.network.class_names) else f"class {number}"
            sure = "" if self.network.untrained == "the whole network" else f" ({100 * float(shares[number]):.0f} %)"
            key = f"Grad-CAM of {name}{sure}"
            maps[key], maps.axes[key] = [heat], "B H W"
        return maps


def drawn(maps: Maps, image: Tensor, scale: Scale) -> list[Picture]:
    """Draws Grad-CAM maps, each from 0 to its largest value where the scale is common: they are no gates.

    Args:
        maps: what `Explainer.explain` returned.
        image: the photograph, `3 H W` in [0, 1].
        scale: as for `regard.draw`.
    """
    pictures = []
    for key, (heat,) in maps.items():
        one = Maps()
        one[key], one.axes[key] = [heat], maps.axes[key]
        largest = float(heat.max())
        pictures += draw(one, image, scale=(0.0, largest) if scale == "common" and largest > 0 else scale)
    return pictures


def probabilities(returned: object, classes: int = 0) -> Tensor | None:
    """The probability of each class, of one image, float64 `K`; None if there are no class scores.

    Args:
        returned: what a network returned: the scores `1 K`, or those of several heads, whose mean prediction counts.
        classes: the number of classes, K; 0 where it is not known.
    """
    heads = [head for head in _heads(returned) if head.dim() == 2 and head.shape == (1, classes or head.shape[1])]
    if not heads or len({head.shape for head in heads}) > 1:
        return None
    return torch.stack([head[0].double().softmax(0) for head in heads]).mean(0)


def class_number(names: Sequence[str], target: int | str) -> int:
    """The number of a class that is given by its name, in any case of letters, or by its number.

    Raises: LookupError if there is no such class.
    """
    if isinstance(target, str) and target.strip().isdigit() and target not in names:
        target = int(target)
    if isinstance(target, bool) or (isinstance(target, int) and (target < 0 or (names and target >= len(names)))):
        accepted = f"a class from 0 to {len(names) - 1}" if names else "the number of a class"
        raise LookupError(f"target={target}: {accepted} is needed")
    if isinstance(target, int):
        return target
    for known, wanted in ((list(names), target), ([name.lower() for name in names], target.lower())):
        if wanted in known:
            return known.index(wanted)
    hint = nearest(target, names) if names else "the names of its classes are not known: give a number"
    raise LookupError(f"target={target!r}: the network has no such class; {hint}")


def _heads(returned: object) -> list[Tensor]:
    several = returned if isinstance(returned, tuple | list) else [returned]
    return [head for head in several if isinstance(head, Tensor)]


def _score(returned: object, *, number: int, classes: int) -> Tensor:
    """The score of a class, summed over the heads that give one. `B`."""
    return torch.stack([head[:, number] for head in _heads(returned) if head.shape == (1, classes)]).sum(0)


def _where_said(returned: object, *, number: int) -> Tensor:
    """The mean score of a class over the pixels that are given it, or over all if none is. `B`."""
    logits = _heads(returned)[0]
    said = (logits.detach().argmax(1) == number).to(logits.dtype).flatten(1)
    weights = torch.where(said.any(1, keepdim=True), said, torch.ones_like(said))
    return (logits[:, number].flatten(1) * weights).sum(1) / weights.sum(1)
