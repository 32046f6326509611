"""Which frequencies `fca` should attend with, on a model and data of one's own: the paper's two-step selection.

FcaNet: Frequency Channel Attention Networks. Qin, Zhang, Wu, Li. ICCV 2021, arXiv:2012.11879.

    1. Train a network for each of the 7 × 7 frequencies, with all channels on that one, and rank them by accuracy.
    2. Take the k best together; which k, the same accuracy says.

The published choice, `frequencies="top16"`, is what came of it for ResNet-50 on ImageNet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from regard.checks import positive, whole_numbers
from regard.papers.fcanet.mechanism import GRID

Frequency = tuple[int, int]
Build = Callable[[tuple[Frequency, ...]], nn.Module]

# From slow to fast, so that of equal ones the simpler is ranked first.
FREQUENCIES: tuple[Frequency, ...] = tuple(
    sorted(((u, v) for u in range(GRID) for v in range(GRID)), key=lambda pair: (sum(pair), pair))
)


@dataclass(frozen=True)
class Ranking:
    """How good each frequency is alone, and the best ones together; prints as a table.

    Attributes:
        scores: (u, v) -> its accuracy alone, best first.
        together: k -> accuracy of the k best, where `counts` asked for it.
    """

    scores: Mapping[Frequency, float]
    together: Mapping[int, float] = field(default_factory=dict)

    def top(self, k: int) -> tuple[Frequency, ...]:
        """The k best, best first, as `fca` takes them: `frequencies=ranking.top(16)`.

        Raises: ValueError if fewer were ranked.
        """
        if positive("k", k) > len(self.scores):
            raise ValueError(f"k={k}: only {len(self.scores)} frequencies were ranked")
        return tuple(self.scores)[:k]

    @property
    def best(self) -> tuple[Frequency, ...]:
        """The k best for the k that did best; of equal ones the smallest. Without `counts` the best one alone."""
        return self.top(max(self.together, key=lambda k: (self.together[k], -k), default=1))

    def __str__(self) -> str:
        cells = {pair: f"{score:.1%}" for pair, score in self.scores.items()}
        width = max(6, *(len(cell) for cell in cells.values()))
        lines = ["u \\ v".ljust(7) + " ".join(str(v).rjust(width) for v in range(GRID))]
        for u in range(GRID):
            lines.append(f"{u}".ljust(7) + " ".join(cells.get((u, v), "").rjust(width) for v in range(GRID)))
        lines += [f"best {k} together: {score:.1%}" for k, score in self.together.items()]
        return "\n".join(line.rstrip() for line in lines)


def rank_frequencies(
    build: Build,
    test: Iterable[Any],
    *,
    fit: Callable[[nn.Module], object] | None = None,
    frequencies: Collection[Frequency] = FREQUENCIES,
    counts: Sequence[int] = (),
    known: Mapping[Frequency, float] | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Callable[[tuple[Frequency, ...], float, int, int], None] | None = None,
) -> Ranking:
    """Ranks frequencies by the accuracy of a model whose attention has each of them alone.

        images = regard.data.load("digits")
        ranking = rank_frequencies(
            lambda frequencies: regard.attach(resnet18(num_classes=10), "fca", frequencies=frequencies),
            DataLoader(images.test, batch_size=64),
            fit=lambda model: training.fit(model, Classify(10), images.train, Plan(epochs=5)),
            counts=(1, 2, 4, 8, 16),
        )
        regard.attach(model, "fca", frequencies=ranking.best)

    Every model is built and trained from the same random state, so the frequencies are all that differs; the caller's
    is left alone.

    Args:
        build: takes frequencies, pairs (u, v) from 0 to 6, and returns a model that attends with them.
        test: batches (images, labels) to measure the accuracy on, such as a `DataLoader`; it is read once per model.
        fit: trains a model in place; None if `build` returns trained ones.
        frequencies: which to rank; all 49 by default.
        counts: numbers k of the best frequencies to try together afterwards.
        known: accuracies from an earlier run, which are not measured again.
        seed: of the random state in which every model is built and trained.
        device: where models and images go.
        progress: called after each model as `(frequencies, accuracy, models done, models in all)`.

    Returns: the ranking, best first; of equal ones the slower frequency first.
    Raises: ValueError for a frequency off the grid, a number of them that was not ranked, or no images to test on.
    """
    given = list(frequencies) if isinstance(frequencies, Collection) else []
    off = [pair for pair in given if pair not in FREQUENCIES]
    if off or not given:
        found = off or frequencies
        raise ValueError(f"frequencies={found!r}: pairs (u, v) of whole numbers from 0 to {GRID - 1} are needed")
    wanted = sorted(given, key=lambda pair: (sum(pair), pair))
    for k in () if counts in ((), []) else whole_numbers("counts", counts):
        if k > len(wanted):
            raise ValueError(f"counts={tuple(counts)!r}: at most the {len(wanted)} ranked frequencies can be joined")
    measured = {pair: score for pair, score in (known or {}).items() if pair in wanted}
    total, done = len(wanted) - len(measured) + len(counts), 0

    def measure(pairs: tuple[Frequency, ...]) -> float:
        nonlocal done
        score = _trained_accuracy(partial(build, pairs), fit, test, seed, torch.device(device))
        done += 1
        if progress is not None:
            progress(pairs, score, done, total)
        return score

    scores = {pair: measured[pair] if pair in measured else measure((pair,)) for pair in wanted}
    ranking = Ranking(dict(sorted(scores.items(), key=lambda item: -item[1])))  # a stable sort
    return Ranking(ranking.scores, {k: measure(ranking.top(k)) for k in counts})


def _trained_accuracy(
    build: Callable[[], nn.Module],
    fit: Callable[[nn.Module], object] | None,
    test: Iterable[Any],
    seed: int,
    device: torch.device,
) -> float:
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        model = build().to(device)
        if fit is not None:
            fit(model)
        return _accuracy(model.to(device).eval(), test, device)


@torch.no_grad()
def _accuracy(model: nn.Module, test: Iterable[Any], device: torch.device) -> float:
    right = images_seen = 0
    for images, labels in test:
        logits: Tensor = model(images.to(device))
        if logits.ndim != 2 or len(logits) != len(labels):
            raise ValueError(f"the model returns {tuple(logits.shape)}; {len(labels)} rows of logits are needed")
        right += int((logits.argmax(1) == labels.to(device)).sum())
        images_seen += len(labels)
    if not images_seen:
        raise ValueError(
            "test has no images: it has to give batches (images, labels) anew for each model, as a DataLoader or a "
            "list does and an iterator does not"
        )
    return right / images_seen
