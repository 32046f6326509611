"""Alignment of sentences with images: the ranking loss, and how often the true one is found among all.

Deep Visual-Semantic Alignments for Generating Image Descriptions. Karpathy, Fei-Fei. CVPR 2015, arXiv:1412.2306.
Recall@K is the share of images whose own sentence is among the K that score best (annotation), and of sentences whose
own image is (search); beside them stands the median rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regard.checks import check_input, number
from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.ops.words import END, START
from regard.papers.neural_talk.network.alignment import Alignment
from regard.papers.neural_talk.ranking import ranking_loss
from regard.tasks.caption import bare, seen

AT = (1, 5, 10)
ROWS = 64  # images that are scored with all sentences at once


@dataclass(frozen=True)
class Align:
    """Ranking of sentences and images; a batch has what the network sees, `words` and `words_mask`.

    Args:
        margin: by which a pair has to score higher than a false one.

    Raises: ValueError if the margin is not positive.
    """

    margin: float = 1.0

    def __post_init__(self) -> None:
        number("margin", self.margin, above=0)

    @property
    def measure(self) -> Measure:
        return Measure("annotation_10", "annotation recall@10", unit="%")

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The ranking loss of a batch, for each pair."""
        words, mask = _bare_words(batch)
        scores: Tensor = model(*seen(bare(model), batch), words, mask)
        return ranking_loss(scores, self.margin) / len(scores), {}

    def metric(self) -> Ranks:
        return Ranks()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[Alignment, Tensor, Tensor, Tensor, Tensor]:
        """The network, and what it makes of the images and of the sentences."""
        network: Alignment = bare(model)
        words, mask = _bare_words(batch)
        return (network, *network.regions(*seen(network, batch)), *network.sentences(words, mask))  # type: ignore[arg-type]  # one or two


class Ranks:
    """The ranks of the true sentence for each image, and of the true image for each sentence, over a whole dataset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._network: Alignment | None = None
        self._regions: list[tuple[Tensor, Tensor]] = []  # v and mask of one image each
        self._words: list[tuple[Tensor, Tensor]] = []

    def update(
        self, network: Alignment, regions: Tensor, regions_mask: Tensor, words: Tensor, words_mask: Tensor
    ) -> None:
        """Adds pairs: `B N D`, `bool B N`, `B L D`, `bool B L`."""
        self._network = network
        self._regions += list(zip(regions.cpu(), regions_mask.cpu(), strict=True))
        self._words += list(zip(words.cpu(), words_mask.cpu(), strict=True))

    def merge_state(self, incoming_state: Ranks) -> None:
        self._network = self._network or incoming_state._network
        self._regions += incoming_state._regions
        self._words += incoming_state._words

    def compute(self) -> dict[str, float]:
        """Recall at 1, 5 and 10, and the median rank, of annotation and search.

        Raises: ValueError if there is no pair.
        """
        if self._network is None:
            raise ValueError("no pairs: at least one is needed")
        v, regions_mask = _padded(self._regions)
        s, words_mask = _padded(self._words)
        score = self._network.scores
        rows = [score(v[i : i + ROWS], regions_mask[i : i + ROWS], s, words_mask) for i in range(0, len(v), ROWS)]
        return recalls(torch.cat(rows))


def recalls(scores: Tensor) -> dict[str, float]:
    """Recall at K and median rank of the diagonal of scores `B B`, by rows (annotation) and by columns (search)."""
    check_input(scores, "B B", B=scores.shape[0])
    own = scores.diagonal()
    found: dict[str, float] = {}
    for name, several in (("annotation", scores > own[:, None]), ("search", (scores > own[None]).T)):
        ranks = several.sum(1) + 1
        found |= {f"{name}_{k}": (ranks <= k).double().mean().item() for k in AT}
        found[f"{name}_median"] = ranks.double().quantile(0.5).item()
    return found


def _bare_words(batch: Batch) -> tuple[Tensor, Tensor]:
    """The words without start and end, which point at nothing."""
    words = batch["words"]
    return words, batch["words_mask"] & (words != START) & (words != END)


def _padded(several: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    values = torch.nn.utils.rnn.pad_sequence([value for value, _ in several], batch_first=True)
    masks = torch.nn.utils.rnn.pad_sequence([mask for _, mask in several], batch_first=True)
    return values, masks
