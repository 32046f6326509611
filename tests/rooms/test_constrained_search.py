"""Constrained beam search against all sentences of a small language."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from regard.ops.beam_search import beam_search
from regard.ops.constrained_search import constrained_search

WORDS, LONGEST, END, START = 5, 4, 1, 0
HOW = {"start": START, "end": END, "longest": LONGEST}


def language(seed: int) -> Tensor:
    """Log-probabilities of a word after the two words before it, `V V V`."""
    return torch.randn(WORDS, WORDS, WORDS, generator=torch.Generator().manual_seed(seed)).double().log_softmax(2)


def stepping(table: Tensor):  # type: ignore[no-untyped-def]
    def step(words: Tensor, last: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        return table[last, words], words, {"at": words.double() * 10 + last}

    return step


def score(table: Tensor, sentence: tuple[int, ...]) -> float:
    before = (START, START, *sentence)
    return sum(table[before[i], before[i + 1], word].item() for i, word in enumerate(sentence))


def best(table: Tensor, groups: list[list[int]]) -> tuple[int, ...]:
    every = (
        (*middle, END)
        for count in range(LONGEST)
        for middle in itertools.product([word for word in range(WORDS) if word != END], repeat=count)
    )
    return max((one for one in every if all(set(one) & set(group) for group in groups)), key=lambda s: score(table, s))


@pytest.mark.parametrize("seed", range(7))
@pytest.mark.parametrize("groups", [[[4]], [[2], [3]], [[2, 4], [3]], [[2], [3], [4]]])
def test_a_wide_beam_finds_the_best_sentence_with_all_groups(seed: int, groups: list[list[int]]) -> None:
    table = language(seed)
    found = constrained_search(stepping(table), torch.zeros(1, dtype=torch.int64), groups, beam=125, **HOW)
    assert found[0].words == best(table, groups)
    assert math.isclose(found[0].score, score(table, found[0].words), rel_tol=1e-12)
    before = (START, START, *found[0].words)
    assert found[0].maps["at"].tolist() == [10 * b + a for a, b in itertools.pairwise(before[:-1])]


def test_without_groups_it_is_a_beam_search() -> None:
    table, state = language(3), torch.zeros(1, dtype=torch.int64)
    found = constrained_search(stepping(table), state, [], beam=125, **HOW)
    plain = beam_search(stepping(table), state, beam=125, finished="aside", **HOW)[0]
    assert found[0].words == next(one for one in plain if one.finished).words


def test_a_narrow_beam_still_has_every_group() -> None:
    for seed in range(11):
        state = torch.zeros(1, dtype=torch.int64)
        found = constrained_search(stepping(language(seed)), state, [[2], [3]], beam=1, never=[START], **HOW)
        assert {2, 3} <= set(found[0].words) and START not in found[0].words


def test_more_groups_than_words_give_the_sentences_with_most_of_them() -> None:
    short = {**HOW, "longest": 2}
    found = constrained_search(
        stepping(language(1)), torch.zeros(1, dtype=torch.int64), [[2], [3], [4]], beam=3, **short
    )
    assert len(set(found[0].words) & {2, 3, 4}) == 2 and not found[0].finished


@pytest.mark.parametrize(
    ("groups", "message"),
    [([[]], r"groups\[0\]=\[\]"), ([[2], [3, 2]], r"groups\[1\]=\[3, 2\]"), ([[END]], "not the end"),
     ([[i] for i in range(2, 9)], "groups=7")],
)  # fmt: skip
def test_groups_that_cannot_be(groups: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        constrained_search(stepping(language(0)), torch.zeros(1, dtype=torch.int64), groups, beam=2, **HOW)
