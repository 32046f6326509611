"""Captioning with slots: the loss of words, pointer and names, and sentences that are written with a beam.

L = − mean over the words of log p(w)  − mean over the visual words of log p(plural) and of log p(name)         (1)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from regard.checks import flag, number, positive, whole
from regard.data.batches import Batch
from regard.data.object_names import ObjectNames
from regard.data.words import Words
from regard.metrics.metric import Measure
from regard.metrics.words.captions import Captions
from regard.networks.captioner import decode, evaluated
from regard.ops.constrained_search import GROUPS, constrained_search
from regard.ops.words import END, PAD, SPECIAL, START, UNKNOWN
from regard.papers.neural_baby_talk.network import NeuralBabyTalk, Slot
from regard.papers.neural_baby_talk.regions import overlaps
from regard.papers.neural_baby_talk.targets import Told, losses, wanted
from regard.tasks.caption import CIDER, bare, seen


@dataclass(frozen=True)
class BabyTalk:
    """Captioning with slots; batches are those of `slots.Slotted`.

    Args:
        words: the textual words.
        names: the names of the classes.
        beam: the number of hypotheses with which sentences are written.
        longest: the most words of a sentence, the end counted.
        required: how many regions a sentence has to name, by constrained beam search: the highest scores, one of a
            class; 0 leaves it to the network.
        least: the score above which a region can be required.
        unknown: whether `<unk>` may be written.

    Raises: ValueError if an argument is out of range.
    """

    words: Words
    names: ObjectNames
    beam: int = 3
    longest: int = 20
    required: int = 0
    least: float = 0.8
    unknown: bool = False

    def __post_init__(self) -> None:
        positive("beam", self.beam)
        positive("longest", self.longest)
        whole("required", self.required, 0, GROUPS)
        number("least", self.least, least=0, most=1)
        flag("unknown", self.unknown)

    @property
    def measure(self) -> Measure:
        return CIDER

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Equation (1), and its three parts; `pointed` is the share of words whose target is a region."""
        own = bare(model)
        after = {name: batch[name][:, 1:] for name in ("own", "of_class", "plural", "names")}
        of_class = after["of_class"]
        target = wanted(
            of_class,
            after["plural"],
            after["names"],
            after["own"],
            overlap=overlaps(batch["boxes"], batch["objects"]),
            meant=(batch["object_classes"][:, None] == of_class[:, :, None]) & (of_class > 0)[:, :, None],
            classes=batch["classes"],
            scores=batch["scores"],
        )
        told: Told = model(*seen(own, batch), batch["words"][:, :-1], chosen=target.chosen)
        mask = batch["words_mask"][:, 1:]
        found = losses(told, target, mask)
        named = found.name_count.clamp_min(1)
        return found.total, {
            "words": (found.words / found.word_count).detach(),
            "plural": (found.plural / named).detach(),
            "names": (found.names / named).detach(),
            "pointed": target.visual.sum() / mask.sum(),
        }

    def metric(self) -> Captions:
        return Captions()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[list[list[str]], list[list[list[str]]]]:
        """The best sentence for each image as words, and its references."""
        written = self.written(model, batch)
        return [self.spelled(slots) for slots in written], [list(one) for one in batch["references"]]

    def written(self, model: nn.Module, batch: Batch) -> list[list[Slot]]:
        """The best sentence for each image."""
        own: NeuralBabyTalk = bare(model)
        inputs = seen(own, batch)
        never = (PAD, START) if self.unknown else (PAD, START, UNKNOWN)
        if self.required:
            sentences = [self._constrained(own, inputs, row, never) for row in range(len(batch["boxes"]))]
        else:
            found = decode(own, inputs, beam=self.beam, longest=self.longest, finished="aside", never=never)
            sentences = [best[0].words for best in found]
        return own.slots(inputs, sentences)

    def spelled(self, slots: list[Slot]) -> list[str]:
        """The words of a sentence."""
        spelled: list[str] = []
        for slot in slots:
            if slot.word is None:
                spelled += self.names.said(slot.name, bool(slot.plural))
            elif slot.word >= len(SPECIAL) or slot.word == UNKNOWN:
                spelled.append(self.words.tokens[slot.word])
        return spelled

    def _constrained(
        self, model: NeuralBabyTalk, inputs: list[Any], row: int, never: tuple[int, ...]
    ) -> tuple[int, ...]:
        """The best sentence for one image that names the regions that are required."""
        alone: list[Any] = [None if one is None else one[row : row + 1] for one in inputs]
        groups = [[model.vocabulary + region] for region in self._required(alone)]
        with evaluated(model), torch.no_grad():
            found = constrained_search(
                model.step,
                model.start(*alone),
                groups,
                start=START,
                end=END,
                beam=self.beam,
                longest=self.longest,
                never=never,
            )
        return found[0].words

    def _required(self, inputs: list[Any]) -> list[int]:
        """The regions of the highest scores, one of a class."""
        _, _, classes, scores, visible = inputs
        kept: dict[int, int] = {}
        for region in scores[0].argsort(descending=True, stable=True).tolist():
            there = visible is None or bool(visible[0, region])
            if there and scores[0, region] > self.least and len(kept) < self.required:
                kept.setdefault(int(classes[0, region]), region)
        return list(kept.values())
