"""Training of Every Picture's detectors, classifiers and weights, and the scores of its triplets and sentences.

detect      hinge loss of the largest response of each template, whether its object is there
classify    hinge loss of each label of each node, by the share of an image's triplets that have it
match       equation (4), the mean over the triplets of an image
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.metrics.words.bleu import bleu
from regard.metrics.words.captions import BLEU
from regard.papers.every_picture.network import MAPS, EveryPicture
from regard.papers.every_picture.picture import detector_loss
from regard.papers.every_picture.task.ranking import inverse_ranks, recalls
from regard.papers.every_picture.task.sentences import Reader
from regard.papers.every_picture.triplets import best_triplets, margin_loss

BEST = 50  # triplets of an image and of a sentence that may meet
Triplet = tuple[int, int, int]


@dataclass(frozen=True)
class Match:
    """Matching of images and sentences; a batch has `image`, `triplets` with their mask, `present` and `references`.

    Args:
        reader: reads the sentences.
        pool: triplet -> the sentence that tells it.
        part: what is trained: "detect", "classify" or "match".
    """

    reader: Reader
    pool: Mapping[Triplet, str] = field(repr=False)
    part: str = "match"

    @property
    def measure(self) -> Measure:
        return Measure("tree_f1", "tree-F1 of triplets", unit="%")

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss of the part that is trained."""
        if self.part == "match":
            table = model(batch["image"])
            rows = torch.arange(len(table), device=table.device).repeat_interleave(batch["triplets_mask"].sum(1))
            return margin_loss(table[rows], batch["triplets"][batch["triplets_mask"]]), {}
        bare = _bare(model)
        features = bare.picture(batch["image"])[0]
        if self.part == "detect":
            return detector_loss(bare.picture.strongest(features).amax(1), batch["present"]), {}
        scores = bare.classifiers((features.detach() - bare.mean) / bare.deviation)
        return _classified(scores, batch["triplets"], batch["triplets_mask"], bare.sizes), {}

    def metric(self) -> Told:
        return Told(self.pool, self.reader)

    def answers(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, list[Tensor], list[list[list[str]]]]:
        """The scores of all triplets, those of pairs of labels by the corpus, the true triplets, and the sentences."""
        true = [one[mask] for one, mask in zip(batch["triplets"], batch["triplets_mask"], strict=True)]
        return model(batch["image"]), _bare(model).pairs(), true, batch["references"]


class Told:
    """How well images are told by triplets and sentences, over a dataset.

    `compute` gives, from 0 to 1: `tree_f1`, the F1 of the paths of the best triplet's labels and those of the nearest
    true triplet, the mean over nodes; `objects`, `actions`, `scenes` and `exact`, the share of images whose best label,
    or triplet, is true; `attested`, of those whose best triplet is in the training corpus; `bleu_1` … `bleu_4` of the
    sentence told of each image; and `annotation_1` … `search_median` of `ranking.recalls`.

    Args:
        pool: triplet -> the sentence that tells it.
        reader: reads the sentences.
    """

    def __init__(self, pool: Mapping[Triplet, str], reader: Reader) -> None:
        self.pool, self.reader = pool, reader
        self._known = torch.tensor(list(pool)).reshape(-1, 3)
        self._texts = [text.split() for text in pool.values()]
        self.reset()

    def reset(self) -> None:
        """Removes all images."""
        self._best: list[Tensor] = []
        self._true: list[Tensor] = []
        self._read: list[Tensor] = []
        self._of: list[int] = []
        self._told: list[list[str]] = []
        self._references: list[list[list[str]]] = []

    def update(
        self, table: Tensor, likely: Tensor, true: Sequence[Tensor], references: Sequence[Sequence[Sequence[str]]]
    ) -> None:
        """Adds images: scores of all triplets `B O A S`, those of pairs `O A S`, the true triplets, the sentences."""
        table, likely = table.detach().cpu(), likely.detach().cpu()
        count = min(BEST, likely.numel())
        for one, triplets, several in zip(table, true, references, strict=True):
            self._best.append(best_triplets(one, count)[0])
            self._true.append(triplets.cpu())
            o, a, s = self._known.T
            self._told.append(self._texts[int(one[o, a, s].argmax())])
            self._references.append([list(tokens) for tokens in several])
            for tokens in several:
                if self.reader.read(tokens) is not None:
                    self._read.append(self.reader.ranked(tokens, count, likely=likely))
                    self._of.append(len(self._best) - 1)

    def merge_state(self, incoming_state: Told) -> None:
        """Adds the images of another metric."""
        self._of += [len(self._best) + one for one in incoming_state._of]
        self._best += incoming_state._best
        self._true += incoming_state._true
        self._read += incoming_state._read
        self._told += incoming_state._told
        self._references += incoming_state._references

    def compute(self) -> dict[str, float]:
        """Raises: ValueError if there is no image."""
        if not self._best:
            raise ValueError("no images: at least one is needed")
        found = torch.stack([best[0] for best in self._best])
        hits = torch.stack([(true == best).any(0).double() for best, true in zip(found, self._true, strict=True)])
        exact = [float((true == best).all(1).any()) for best, true in zip(found, self._true, strict=True)]
        labels = dict(zip(MAPS, hits.mean(0).tolist(), strict=True))
        sizes = tuple(map(len, self.reader.labels))
        scores = inverse_ranks(self._best, sizes) @ inverse_ranks(self._read, sizes).T
        return {
            "tree_f1": _mean([self._agreement(*one) for one in zip(found, self._true, strict=True)]),
            **labels,
            "exact": _mean(exact),
            "attested": _mean([float(tuple(best) in self.pool) for best in found.tolist()]),
            **dict(zip(BLEU, bleu(self._told, self._references), strict=True)),
            **recalls(scores, torch.tensor(self._of)),
        }

    def _agreement(self, found: Tensor, true: Tensor) -> float:
        """The F1 of the paths of a triplet's labels and those of the nearest true triplet, the mean over nodes."""
        nodes = zip(self.reader.trees, self.reader.labels, found.tolist(), true.T, strict=True)
        every = torch.stack([tree.agreement(names[own], names)[others] for tree, names, own, others in nodes])
        return float(every.mean(0).max())


def _classified(scores: Tensor, triplets: Tensor, mask: Tensor, sizes: Sequence[int]) -> Tensor:
    """The hinge loss of every label against all others, by the share of an image's triplets that have it."""
    shares = []
    for node, size in enumerate(sizes):
        one_hot = torch.nn.functional.one_hot(triplets[:, :, node], size).to(scores.dtype) * mask[:, :, None]
        shares.append(one_hot.sum(1) / mask.sum(1, keepdim=True))
    share = torch.cat(shares, 1)
    loss: Tensor = ((1 - scores).relu() * share + (1 + scores).relu() * (1 - share)).mean()
    return loss


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _bare(model: nn.Module) -> EveryPicture:
    found = getattr(model, "module", model)
    assert isinstance(found, EveryPicture)
    return found
