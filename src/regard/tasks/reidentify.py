"""Re-identification: features that are near for one person and far for others, under all cameras.

    L = CE_ε(logits) + T + w · mean of BCE(mask, part)      over all masks and parts                            (1)
    T = mean_i max(0, max_{j: same} d_ij - min_{j: other} d_ij + m)      the hardest of the batch               (2)

In Defense of the Triplet Loss for Person Re-Identification. Hermans, Beyer, Leibe. 2017, arXiv:1703.07737, for (2).
The papers differ in what d is: RGA takes the Euclidean distance of the features before the batch norm in front of the
classifier, IAUnet minus the cosine of the features behind it, both with m = 0.3. So may a score: the cosine of the
features before the batch norm is not that of the features behind it, and `scored` says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard.checks import choice, flag, number, positive
from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.metrics.retrieval import ReRanking, Retrieval
from regard.ops.distances import COMPARED, distances
from regard.ops.precision import uncast, widened
from regard.tasks.classify import fitting

PLACES = ("behind", "before")  # the batch norm in front of the classifier


def hardest_triplets(d: Tensor, persons: Tensor, margin: float) -> Tensor:
    """Equation (2) over the anchors that have another person in the batch.

    Shapes: d `B B`, persons `B` -> a single number.
    Raises: ValueError if all images are of one person.
    """
    same = persons[:, None] == persons
    if bool(same.all()):
        raise ValueError(
            f"a batch of {len(persons)} images of one person: images of at least two are needed, as the order "
            f"`Identities` of the plan gives them"
        )
    far = d.masked_fill(~same, -torch.inf).amax(1)
    near = d.masked_fill(same, torch.inf).amin(1)
    return (far - near + margin).clamp_min(0).mean()


@dataclass(frozen=True)
class Seen:
    """What a person network returns.

    Args:
        behind, before: the features behind and before the batch norm in front of the classifier.
        logits: of the persons of the training.
        masks: of the body parts, in 0..1, of each block that has them.

    Shapes: features `B C`, logits `B K`, each of the masks `B P h w`, or `B T P h w` of clips.
    """

    behind: Tensor
    before: Tensor
    logits: Tensor
    masks: Sequence[Tensor] = ()

    def features(self, place: str) -> Tensor:
        """The features `"behind"` or `"before"` the batch norm, in float32 or wider."""
        return widened(self.behind if place == "behind" else self.before)


def seen(model: nn.Module, images: Tensor) -> Seen:
    """Runs a person network, which returns features behind and before the batch norm, logits, and any masks.

    Raises: ValueError if the model returns something else.
    """
    found = model(images)
    parts = tuple(found) if isinstance(found, tuple | list) else ()
    shapes = [tuple(part.shape) for part in parts if isinstance(part, Tensor)]
    good = len(parts) >= 3 and len(shapes) == len(parts) and all(len(shape) == 2 for shape in shapes[:3])
    if not good or shapes[0] != shapes[1] or any(shape[0] != len(images) for shape in shapes):
        what = shapes if parts else type(found).__name__
        raise ValueError(
            f"the model returns {what}: the features behind and before the batch norm, B C each, logits B K and masks "
            f"are needed"
        )
    return Seen(parts[0], parts[1], parts[2], parts[3:])


@dataclass(frozen=True)
class Reidentify:
    """Re-identification of persons; batches have `image` and `person`, for masks `parts`, for scores also `camera` and
    `query`.

    Args:
        classes: K, the persons of the training.
        label_smoothing: ε of (1).
        margin: m of (2).
        place: the features of (2), `"before"` or `"behind"` the batch norm.
        distance: d of (2), `"euclidean"` or `"cosine"`.
        mask_weight: w of (1); with 0 masks are not supervised, and `parts` are not needed.
        scored: the features that are ranked, `"behind"` or `"before"` the batch norm.
        compared: the distance by which they are ranked.
        precision: of mAP, `"hits"` or `"trapezoid"`: see `regard.metrics.retrieval`.
        mirror: average the features of each image with those of its mirror image.
        reranking: k-reciprocal re-ranking of the gallery; None for none.
        same_camera: keep the images of the same person under the same camera in the gallery.

    Raises: ValueError if an argument is out of range.
    """

    classes: int
    label_smoothing: float = 0.1
    margin: float = 0.3
    place: str = "before"
    distance: str = "euclidean"
    mask_weight: float = 0.0
    scored: str = "behind"
    compared: str = "cosine"
    precision: str = "hits"
    mirror: bool = False
    reranking: ReRanking | None = None
    same_camera: bool = False

    def __post_init__(self) -> None:
        positive("classes", self.classes)
        if number("label_smoothing", self.label_smoothing, least=0) >= 1:
            raise ValueError(f"label_smoothing={self.label_smoothing!r}: a number of at least 0 and below 1 is needed")
        number("margin", self.margin, least=0)
        number("mask_weight", self.mask_weight, least=0)
        choice("place", self.place, PLACES)
        choice("scored", self.scored, PLACES)
        choice("distance", self.distance, COMPARED)
        flag("mirror", self.mirror)
        self.metric()

    @property
    def measure(self) -> Measure:
        again = "" if self.reranking is None else ", re-ranked"
        of = f"{self.compared} {self.scored} the batch norm"
        return Measure(f"map_{self.precision}", f"mAP ({self.precision}, {of}{again})", unit="%")

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1), in float32 or wider, and its terms.

        Shapes: image `B C H W`, or `B C T H W` of clips; person `B`, whole numbers below K; parts `B P H W`, or
            `B T P H W`, in 0..1.
        Raises: ValueError if the model returns something else, or masks are supervised and there are none or no parts.
        """
        found, persons = seen(model, batch["image"]), batch["person"]
        logits = fitting(found.logits, batch.size, self.classes)
        entropy = functional.cross_entropy(logits, persons, label_smoothing=self.label_smoothing)
        features = found.features(self.place)
        triplet = hardest_triplets(distances(features, features, self.distance), persons, self.margin)
        terms = {"entropy": entropy, "triplet": triplet}
        if self.mask_weight:
            terms["masks"] = mask_entropy(found.masks, batch.get("parts"))
            return entropy + triplet + self.mask_weight * terms["masks"], terms
        return entropy + triplet, terms

    def metric(self) -> Retrieval:
        return Retrieval(
            compared=self.compared,
            precision=self.precision,
            reranking=self.reranking,
            same_camera=self.same_camera,
        )

    def answers(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The features, and `person`, `camera` and `query` of the batch."""
        return self.features(model, batch["image"]), batch["person"], batch["camera"], batch["query"]

    def features(self, model: nn.Module, images: Tensor) -> Tensor:
        """The features that are ranked, with `mirror` the mean with those of the mirror image.

        Shapes: images `B C H W`, or `B C T H W` of clips -> `B C`.
        """
        features = seen(model, images).features(self.scored)
        if not self.mirror:
            return features
        return (features + seen(model, images.flip(-1)).features(self.scored)) / 2


def mask_entropy(masks: Sequence[Tensor], parts: Tensor | None) -> Tensor:
    """The mean binary cross-entropy of predicted masks against the parts, resized to each bilinearly, corners aligned.

    Shapes: each of the masks `B P h w` or `B T P h w` in 0..1, parts `B P H W` or `B T P H W` -> a single number.
    Raises: ValueError without masks or parts, or if their numbers differ.
    """
    if not masks:
        raise ValueError("mask_weight: a network that returns masks is needed, or mask_weight=0")
    if parts is None:
        raise ValueError("mask_weight: batches with parts are needed, or mask_weight=0")
    terms = []
    for mask in masks:
        if parts.shape[:-2] != mask.shape[:-2]:
            raise ValueError(
                f"parts {tuple(parts.shape)} and a mask {tuple(mask.shape)}: as many images and parts are needed"
            )
        flat = parts.reshape(-1, 1, *parts.shape[-2:]).to(widened(mask))
        aim = functional.interpolate(flat, mask.shape[-2:], mode="bilinear", align_corners=True)
        with uncast(mask):  # a logarithm near 0 needs float32
            terms.append(functional.binary_cross_entropy(widened(mask).flatten(0, -3)[:, None], aim))
    return torch.stack(terms).mean()
