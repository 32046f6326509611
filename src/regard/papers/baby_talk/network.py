"""Baby Talk's field: which objects, attributes and prepositions describe an image best, by detectors and by text.

Baby Talk: Understanding and Generating Simple Image Descriptions. Kulkarni et al. CVPR 2011 and PAMI 2013,
doi:10.1109/TPAMI.2012.162. Official code: none; recorded is a reading of the paper's energy.

    E = − Σ_i F_i − 2/(N−1) Σ_{i<j} G_ij                                                                   (1)
    F_i  = α₀β₀ ψ(o_i; detector) + α₀β₁ ψ(a_i; classifier) + α₁γ₀ ψ(a_i, o_i; text)                        (2)
    G_ij = α₀β₂ ψ(p_ij; function) + α₁γ₁ ψ(o_i, p_ij, o_j; text)                                           (3)

    The labelling with the least energy is found exactly. Given the objects, each attribute and each preposition is
    chosen by itself, so that they are maximised out:

    U_i(o)      = α₀β₀ ψ(o) + max_a [α₀β₁ ψ(a) + α₁γ₀ ψ(a, o)]                                             (4)
    V_ij(o, o') = 2/(N−1) max_p [α₀β₂ ψ(p) + α₁γ₁ ψ(o, p, o')]                                             (5)
    min E = − max_{o_1 … o_N} [Σ_i U_i(o_i) + Σ_{i<j} V_ij(o_i, o_j)]                                      (6)

Place: behind detectors of objects, classifiers of attributes and `prepositions`; sentences are made of what it finds.
Cost: K^N additions of N(N+1)/2 terms for N objects of K kinds, and N²/2·K²·P for (5).
Deviations: the paper turns terms of three nodes into pairs and infers with TRW-S | exact search over the objects. The
    seven weights are found by coordinate search over a score (`fitting`), as in the paper; here they are parameters,
    and (6) also has gradients. The paper: part detectors and support vector machines | any scores, or linear
    classifiers of the features of regions, trained with cross-entropy. The paper's terms are of 24 kinds of things and
    21 attributes | any.
Errata: 2/(N−1) keeps the pairs from outweighing the objects as N grows; for N = 1 there are no pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor, nn

from regard.checks import check_input, positive
from regard.core import Attention
from regard.networks.captioner import log_softmax
from regard.ops.precision import widened
from regard.papers.baby_talk.text.drawn import features_of, related
from regard.papers.baby_talk.text.templates import described

WEIGHTS = ("alpha0", "alpha1", "beta0", "beta1", "beta2", "gamma0", "gamma1")
TOLD = 5  # regions of a photograph that are described
MOST = 2**25  # labellings of the objects that are compared


class Labelling(NamedTuple):
    """What describes an image best: objects `B N`, attributes `B N`, prepositions `B M`, and the energy `B`."""

    objects: Tensor
    attributes: Tensor
    prepositions: Tensor
    energy: Tensor


class BabyTalk(Attention):
    """The field over objects, attributes and prepositions; it answers with the best score that each kind can have.

    Args:
        channels: of the features of a region, from which linear classifiers score its objects and attributes; None
            takes their scores.
        objects: K, the kinds of objects.
        attributes: A, the kinds of attributes.
        prepositions: P, the number of prepositions.

    The parameters `weights` are α₀ α₁ β₀ β₁ β₂ γ₀ γ₁, all 1 at first. The buffers `of_attributes`, ψ(a, o; text) `K A`,
    and `of_prepositions`, ψ(o, p, o'; text) `K P K`, are 0 until they are set; see `text.triples.priors`.

    Shapes: object scores `B N K` and attribute scores `B N A`, or with channels features `B N C`; preposition scores
        `B M P` of the M = N(N−1)/2 pairs in the order (0, 1), (0, 2), … -> `B N K`: −E of the best labelling in which
        object i is of kind k.
    Maps: none.
    Raises: ValueError for an argument out of range, inputs of other shapes, or more labellings than can be compared.
    """

    seen = ("image", "boxes")  # of a photograph, by `told`
    colours = 3  # of it; `channels` are those of the features

    def __init__(self, channels: int | None = None, *, objects: int, attributes: int, prepositions: int) -> None:
        super().__init__()
        self.objects, self.attributes = positive("objects", objects), positive("attributes", attributes)
        self.prepositions = positive("prepositions", prepositions)
        self.weights = nn.Parameter(torch.ones(len(WEIGHTS)))
        self.register_buffer("of_attributes", torch.zeros(objects, attributes))
        self.register_buffer("of_prepositions", torch.zeros(objects, prepositions, objects))
        self.channels = None if channels is None else positive("channels", channels)
        self.see_objects = None if channels is None else nn.Linear(channels, objects)
        self.see_attributes = None if channels is None else nn.Linear(channels, attributes)
        self.of_attributes: Tensor
        self.of_prepositions: Tensor

    def classified(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the objects `B N K` and attributes `B N A` of regions, of their features `B N C`.

        Raises: ValueError for a network without channels, or features of another shape.
        """
        if self.see_objects is None or self.see_attributes is None:
            raise ValueError("channels=None: the channels of the features are needed to classify regions")
        check_input(features, "B N C", C=self.channels or 0)
        return log_softmax(self.see_objects(features)), log_softmax(self.see_attributes(features))

    def forward(self, *seen: Tensor) -> Tensor:
        *regions, prepositions = seen
        objects, attributes = self.classified(*regions) if len(regions) == 1 else regions
        total = self._total(*self._terms(objects, attributes, prepositions))
        kinds = range(1, total.ndim)
        best = [total.amax([one for one in kinds if one != i]) if total.ndim > 2 else total for i in kinds]
        return torch.stack(best, 1)

    def described(self, objects: Tensor, attributes: Tensor, prepositions: Tensor) -> Labelling:
        """The labelling with the least energy, equation (6), for scores as `forward` takes them without channels."""
        unary, pair = self._terms(objects, attributes, prepositions)
        total = self._total(unary, pair)
        best, at = total.flatten(1).max(1)
        chosen = torch.stack(torch.unravel_index(at, total.shape[1:]), 1)
        a0, a1, _, b1, b2, g0, g1 = self.weights
        each = a0 * b1 * attributes + a1 * g0 * self.of_attributes[chosen]
        first, second = _pairs(objects.shape[1])
        of_text = self.of_prepositions[chosen[:, first], :, chosen[:, second]]
        return Labelling(chosen, each.argmax(2), (a0 * b2 * prepositions + a1 * g1 * of_text).argmax(2), -best)

    def told(self, image: Tensor, boxes: Tensor, *, words: Mapping[str, Sequence[str]]) -> list[str]:
        """Sentences by template about the first regions of images, as many as can be compared, at most `TOLD`.

        Args:
            image: in 0..1.
            boxes: of the regions, the most certain first.
            words: the names of the `objects`, `attributes` and `prepositions`.

        Shapes: `B 3 H W`, `B N 4` in 0..1 -> B texts.
        """
        found = []
        for one, several in zip(image, boxes[:, :TOLD], strict=True):
            objects, attributes = self.classified(features_of(one, several)[None])
            best = self.described(objects, attributes, related(several)[None])
            shades, kinds = ([words[name][i] for i in labels[0]] for name, labels in (
                ("attributes", best.attributes), ("objects", best.objects)
            ))  # fmt: skip
            things = list(zip(shades, kinds, strict=True))
            said = [words["prepositions"][i] for i in best.prepositions[0]]
            triples = [(things[i], word, things[j]) for i, j, word in zip(*_pairs(len(things)), said, strict=True)]
            found.append(described(triples, things))
        return found

    def energy(self, seen: tuple[Tensor, Tensor, Tensor], labels: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Equation (1) of a labelling: the inputs of `forward` and the labels as in `Labelling` -> `B`."""
        objects, attributes, prepositions = seen
        o, a, p = labels
        a0, a1, b0, b1, b2, g0, g1 = self.weights
        chosen = a0 * b0 * _at(objects, o) + a0 * b1 * _at(attributes, a) + a1 * g0 * self.of_attributes[o, a]
        first, second = _pairs(objects.shape[1])
        related = a0 * b2 * _at(prepositions, p) + a1 * g1 * self.of_prepositions[o[:, first], p, o[:, second]]
        energy: Tensor = -chosen.sum(1) - self._share(objects.shape[1]) * related.sum(1)
        return energy

    def _terms(self, objects: Tensor, attributes: Tensor, prepositions: Tensor) -> tuple[Tensor, Tensor]:
        """U `B N K` and V `B M K K`: equations (4) and (5)."""
        check_input(objects, "B N K", K=self.objects)
        count = objects.shape[1]
        check_input(attributes, "B N A", B=objects.shape[0], N=count, A=self.attributes)
        if self.objects**count > MOST:
            raise ValueError(f"objects: {count} of {self.objects} kinds are {self.objects}^{count} labellings: "
                             f"at most {MOST} can be compared")  # fmt: skip
        objects, attributes, prepositions = widened(objects), widened(attributes), widened(prepositions)
        a0, a1, b0, b1, b2, g0, g1 = self.weights
        of_attributes = a0 * b1 * attributes[:, :, None] + a1 * g0 * self.of_attributes
        unary = a0 * b0 * objects + of_attributes.amax(3)
        if count == 1:
            return unary, unary.new_zeros(unary.shape[0], 0, self.objects, self.objects)
        check_input(prepositions, "B M P", B=objects.shape[0], M=count * (count - 1) // 2, P=self.prepositions)
        of_text = a1 * g1 * self.of_prepositions.transpose(1, 2)  # K K P
        related = a0 * b2 * prepositions[:, :, None, None] + of_text
        return unary, self._share(count) * related.amax(4)

    def _total(self, unary: Tensor, pair: Tensor) -> Tensor:
        """−E of every labelling of the objects, `B K … K`."""
        count = unary.shape[1]
        shape = [unary.shape[0], *[1] * count]
        total = unary.new_zeros(shape)
        for i in range(count):
            total = total + unary[:, i].reshape([*shape[: i + 1], self.objects, *shape[i + 2 :]])
        for m, (i, j) in enumerate(zip(*_pairs(count), strict=True)):
            sizes = list(shape)
            sizes[i + 1] = sizes[j + 1] = self.objects
            total = total + pair[:, m].reshape(sizes)
        return total

    def _share(self, count: int) -> float:
        return 2 / (count - 1) if count > 1 else 0.0


def _pairs(count: int) -> tuple[list[int], list[int]]:
    """The first and the second object of each pair, in the order (0, 1), (0, 2), …"""
    pairs = list(combinations(range(count), 2))
    return [i for i, _ in pairs], [j for _, j in pairs]


def _at(scores: Tensor, labels: Tensor) -> Tensor:
    chosen: Tensor = scores.gather(2, labels[:, :, None]).squeeze(2)
    return chosen
