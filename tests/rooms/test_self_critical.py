"""The self-critical loss: rewards with and without the end, and which way it moves a sentence."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regard.data.batches import Batch
from regard.data.words import Words
from regard.networks.captioner import Step
from regard.ops.words import END
from regard.tasks.caption import Caption
from regard.tasks.self_critical import SelfCritical, frequencies, rewarded

WORDS = Words.of([["red", "disc"], ["blue", "disc"], ["red", "square"]], least=1)
REFERENCES = [[["red", "disc"]], [["blue", "square"]], [["blue", "disc"]], [["red", "square"]]]
RED, DISC = (WORDS.tokens.index(word) for word in ("red", "disc"))


class Table(nn.Module):
    """A captioner whose next word depends on the number of the word alone."""

    seen = ("image",)
    vocabulary = len(WORDS)

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def start(self, *seen: Tensor | None) -> Any:
        assert seen[0] is not None
        return torch.zeros(seen[0].shape[0], 1, dtype=torch.int64)

    def step(self, words: Tensor, state: Any) -> Step:
        return Step(self.logits[state[:, 0]].log_softmax(1), state + 1, {})


def task(*, ends: bool = True) -> SelfCritical:
    caption = Caption(WORDS, beam=1, longest=4)
    return SelfCritical(caption, frequencies(REFERENCES, ends=ends), ends=ends)


def test_the_loss_is_the_mean_over_the_words() -> None:
    log_probabilities = torch.tensor([[-1.0, -2.0, -4.0], [-3.0, -5.0, -7.0]])
    reward = torch.tensor([[2.0, 2.0, 2.0], [-1.0, -1.0, -1.0]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    assert rewarded(log_probabilities, reward, mask).item() == pytest.approx((14 - 8) / 5)
    assert rewarded(log_probabilities, reward, mask, each=True).tolist() == pytest.approx([14 / 3, -4.0])


def test_a_sentence_without_its_end_scores_less_only_if_the_end_is_counted() -> None:
    for ends in (True, False):
        whole, cut = task(ends=ends).rewards([[RED, DISC, END], [RED, DISC]], [REFERENCES[0]] * 2)
        assert (cut < whole) == ends
        assert whole > 0


def test_what_scores_better_than_the_greedy_sentence_becomes_likelier() -> None:
    """The greedy sentence is empty; half of the drawn ones begin with the reference's first word."""
    logits = torch.full((4, len(WORDS)), -math.inf)
    logits[0, END], logits[0, RED] = 0.1, 0.0
    logits[1, DISC], logits[2:, END] = 0.0, 0.0
    model = Table(logits.clamp_min(-30.0))
    batch = Batch({"image": torch.zeros(40, 3, 5, 7), "references": [REFERENCES[0]] * 40})
    torch.manual_seed(0)
    loss, figures = task().loss(model, batch)
    loss.backward()
    assert model.logits.grad is not None
    assert model.logits.grad[0, RED] < 0 < model.logits.grad[0, END]
    assert figures["reward"] > figures["baseline"] >= 0
