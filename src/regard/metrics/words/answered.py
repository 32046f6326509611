"""Accuracy of answers to visual questions, over all of them and by their type.

VQA: Visual Question Answering. Antol et al. ICCV 2015, arXiv:1505.00468:

    accuracy = mean over the ten annotators of min(1, n / 3),  n of the nine others gave the answer                (1)
             = 0, 0.3, 0.6, 0.9, 1 for an answer that 0, 1, 2, 3, 4 or more of the ten gave                        (2)

(2) is the score of each answer that a network chooses from; the strings' own rules stand with the reader.
"""

from __future__ import annotations

from collections.abc import Iterable

from regard.metrics.metric import Measure

ACCURACY = Measure("accuracy", "VQA accuracy", unit="%")


class Answered:
    """VQA accuracy of chosen answers.

    `update` takes the score (2) of each chosen answer and the type of its question. `compute` gives `accuracy`, and
    for each type that occurred `accuracy_<type>`, such as `accuracy_yes_no`, as numbers from 0 to 1.

    Raises: ValueError, in `update`, if there are not as many types as scores, or a score is not in 0..1; in `compute`,
        without answers.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Removes all answers."""
        self.totals: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def update(self, scores: Iterable[float], types: Iterable[str]) -> None:
        """Adds answers."""
        for score, kind in zip(scores, types, strict=True):
            if not 0 <= score <= 1:
                raise ValueError(f"scores: {score!r} is not in 0..1")
            self.totals[kind] = self.totals.get(kind, 0.0) + score
            self.counts[kind] = self.counts.get(kind, 0) + 1

    def merge_state(self, incoming_state: Answered) -> None:
        """Adds the answers of another metric."""
        for kind, count in incoming_state.counts.items():
            self.totals[kind] = self.totals.get(kind, 0.0) + incoming_state.totals[kind]
            self.counts[kind] = self.counts.get(kind, 0) + count

    def compute(self) -> dict[str, float]:
        if not self.counts:
            raise ValueError("no answers: at least one is needed to compute scores")
        found = {"accuracy": sum(self.totals.values()) / sum(self.counts.values())}
        for kind in sorted(self.counts):
            if kind:
                name = "".join(letter if letter.isalnum() else "_" for letter in kind)
                found[f"accuracy_{name}"] = self.totals[kind] / self.counts[kind]
        return found
