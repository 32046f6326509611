"""Baby Talk's classifiers of regions, and the triples that its field finds.

The loss is the cross-entropy of the objects and attributes of regions; the score is the F1 of the triples of all pairs
of regions, each an (attribute, object), a preposition and an (attribute, object).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.papers.baby_talk.fitting import coordinate_search
from regard.papers.baby_talk.network import BabyTalk
from regard.papers.baby_talk.text.templates import Triple
from regard.papers.baby_talk.text.triples import Grammar, agreement


@dataclass(frozen=True)
class Describe:
    """Describing regions; a batch has `features`, `labels`, `colours` and `related` with their masks, and `triples`.

    Args:
        grammar: the words of the labels.
    """

    grammar: Grammar

    @property
    def measure(self) -> Measure:
        return Measure("f1", "F1 of triples", unit="%")

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The cross-entropy of objects and attributes, the mean over regions."""
        objects, attributes = _bare(model).classified(batch["features"])
        mask = batch["features_mask"]
        named = F.nll_loss(objects[mask], batch["labels"][mask])
        coloured = F.nll_loss(attributes[mask], batch["colours"][mask])
        return named + coloured, {"objects": named.detach(), "attributes": coloured.detach()}

    def metric(self) -> Triples:
        return Triples()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[list[list[Triple]], list[list[Triple]]]:
        """The triples found and the true ones, of each image."""
        return self.found(_bare(model), batch), batch["triples"]

    def found(self, model: BabyTalk, batch: Batch) -> list[list[Triple]]:
        """The triples of the labelling with the least energy, of each image."""
        objects, attributes = model.classified(batch["features"])
        every = []
        for i, mask in enumerate(batch["features_mask"]):
            several = batch["related"][i][batch["related_mask"][i]]
            best = model.described(objects[i][mask][None], attributes[i][mask][None], several[None])
            every.append(self.told(best.objects[0], best.attributes[0], best.prepositions[0]))
        return every

    def told(self, objects: Tensor, attributes: Tensor, prepositions: Tensor) -> list[Triple]:
        """The triples of labels: `N`, `N`, `M`."""
        kinds, shades, words = self.grammar.names
        things = [(shades[a], kinds[o]) for o, a in zip(objects.tolist(), attributes.tolist(), strict=True)]
        pairs = combinations(range(len(things)), 2)
        return [(things[i], words[p], things[j]) for (i, j), p in zip(pairs, prepositions.tolist(), strict=True)]


class Triples:
    """Precision, recall and F1 of triples over a dataset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._found: list[Sequence[Triple]] = []
        self._true: list[Sequence[Triple]] = []

    def update(self, found: Sequence[Sequence[Triple]], true: Sequence[Sequence[Triple]]) -> None:
        """Adds the triples of images."""
        self._found += found
        self._true += true

    def merge_state(self, incoming_state: Triples) -> None:
        self._found += incoming_state._found
        self._true += incoming_state._true

    def compute(self) -> dict[str, float]:
        """Raises: ValueError if there is no image."""
        if not self._true:
            raise ValueError("no images: at least one is needed")
        return agreement(self._found, self._true)._asdict()


def _bare(model: nn.Module) -> BabyTalk:
    found = getattr(model, "module", model)
    assert isinstance(found, BabyTalk)
    return found


def search_weights(model: nn.Module, task: Describe, batch: Batch, *, rounds: int = 2) -> float:
    """Gives a field the weights that find the most true words in a batch, by coordinate search from its own weights.

    Args:
        model: the field, with its potentials of text.
        task: describes the batch.
        batch: of images that the classifiers were not trained on, where they are less sure.
        rounds: as for `coordinate_search`.

    Returns: the share of the true words, of objects, attributes and prepositions, that these weights find.
    """
    field = _bare(model)
    before, training = field.weights.detach().clone(), field.training

    def score(weights: Sequence[float]) -> float:
        with torch.no_grad():
            field.weights.copy_(field.weights.new_tensor(weights))
            return right_words(task.found(field, batch), batch["triples"])

    field.eval()
    best, share = coordinate_search(score, before.tolist(), rounds=rounds)
    with torch.no_grad():
        field.weights.copy_(field.weights.new_tensor(best))
    field.train(training)
    return share


def right_words(found: Sequence[Sequence[Triple]], true: Sequence[Sequence[Triple]]) -> float:
    """The share of the words of true triples that those at the same places have.

    Raises: ValueError if there are not as many images or triples in both, or no word.
    """
    pairs = [
        pair
        for one, other in zip(found, true, strict=True)
        for this, that in zip(one, other, strict=True)
        for pair in zip((*this[0], this[1], *this[2]), (*that[0], that[1], *that[2]), strict=True)
    ]
    if not pairs:
        raise ValueError("true: at least one triple is needed")
    return sum(one == other for one, other in pairs) / len(pairs)


def set_priors(model: nn.Module, attributes: Tensor, prepositions: Tensor) -> None:
    """Gives a field its potentials of text, `K A` and `K P K`."""
    field = _bare(model)
    with torch.no_grad():
        field.of_attributes.copy_(attributes)
        field.of_prepositions.copy_(prepositions)
