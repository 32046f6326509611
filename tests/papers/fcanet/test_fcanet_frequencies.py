"""The published choices of frequencies, the transform, and ranking frequencies on a model and data of one's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from regard import attach, data
from regard.papers.fcanet.frequencies import FREQUENCIES, Ranking, rank_frequencies
from regard.papers.fcanet.mechanism import FrequencyChannel, cosine, frequency_set
from regard.papers.resnet.network import PaperNetwork
from regard.tasks.classify import Classify
from regard.training.loop import fit
from regard.training.plan import Plan


def test_the_basis_is_orthonormal() -> None:
    for length in (7, 14):
        basis = torch.stack([cosine(u, length) for u in range(length)])
        torch.testing.assert_close(basis @ basis.T, torch.eye(length, dtype=torch.float64))


@pytest.mark.parametrize("choice", ["top", "low", "bot"])
def test_published_choices_hold_different_frequencies(choice: str) -> None:
    every = frequency_set(f"{choice}32")
    assert len(set(every)) == len(every) == 32
    assert set(every) <= set(FREQUENCIES)
    assert all(frequency_set(f"{choice}{k}") == every[:k] for k in range(1, 33))


def test_low_frequencies_are_slow() -> None:
    assert set(frequency_set("low8")) < set(FREQUENCIES[:15])  # u + v below 5
    assert frequency_set("low1") == frequency_set("top1") == ((0, 0),)


@pytest.mark.parametrize("name", ["top0", "top33", "top", "mid4", "low-1", "top016"])
def test_other_choices_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"frequencies='{name}'"):
        FrequencyChannel(32, frequencies=name)
    with pytest.raises(ValueError, match="frequencies=5"):
        frequency_set(5)  # type: ignore[arg-type]


def test_frequencies_have_to_divide_the_channels() -> None:
    with pytest.raises(ValueError, match=r"16 frequencies do not divide channels=50; 1, 2, 5, 10, 25 of them"):
        FrequencyChannel(50)
    with pytest.raises(ValueError, match="frequencies=7: a whole number of at most 6"):
        FrequencyChannel(50, frequencies=((7, 0),))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 7), (14, 7), (13, 24)])
@pytest.mark.parametrize("count", [1, 3, 24])
def test_the_transform_of_an_averaged_map_in_one_step(height: int, width: int, count: int) -> None:
    module = FrequencyChannel(24, frequencies=FREQUENCIES[:count], size=(14, 7)).double()
    x = torch.randn(2, 24, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    small = F.adaptive_avg_pool2d(x, (14, 7))
    torch.testing.assert_close(module.transform(x), (small * module.filters).sum((2, 3)))


def test_a_transform_below_seven_positions_knows_averages_only() -> None:
    module = FrequencyChannel(4, frequencies="bot4", size=(5, 7), reduction=2).double()
    x = torch.randn(2, 4, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = torch.stack([(x[:, i].sum(1) * cosine(v, 7)).sum(1) for i, (_, v) in enumerate(frequency_set("bot4"))], 1)
    torch.testing.assert_close(module.transform(x), wanted / 5**0.5, rtol=1e-6, atol=1e-6)


class Waves(nn.Module):
    """Guesses the class from whether its frequency is in the image: right for (1, 2), wrong for (0, 3)."""

    def __init__(self, frequencies: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        self.waves = nn.Parameter(torch.stack([torch.outer(cosine(u, 7), cosine(v, 7)) for u, v in frequencies]))

    def forward(self, x: Tensor) -> Tensor:
        strength = (x * self.waves[:, None, None]).sum((0, 2, 3, 4))
        return torch.stack([torch.full_like(strength, 0.5), strength], 1)


def wave_batches() -> list[tuple[Tensor, Tensor]]:
    """Class 1 has a wave (1, 2); every other image of class 0 has one of (0, 3)."""
    wave, other = torch.outer(cosine(1, 7), cosine(2, 7)), torch.outer(cosine(0, 7), cosine(3, 7))
    labels = torch.tensor([0, 1, 0, 1, 0, 0, 0])
    images = torch.stack([wave if label else other * (i % 4 == 0) for i, label in enumerate(labels)])[:, None]
    return [(images[:4], labels[:4]), (images[4:], labels[4:])]


def test_the_best_frequency_comes_first_and_equal_ones_slow_first() -> None:
    seen = []
    ranking = rank_frequencies(Waves, wave_batches(), counts=(1, 2), progress=lambda *step: seen.append(step))
    pairs = list(ranking.scores)
    assert ranking.scores[1, 2] == 1 and pairs[0] == (1, 2)
    assert ranking.scores[0, 3] == 3 / 7 and pairs[-1] == (0, 3)
    assert pairs[1:4] == [(0, 0), (0, 1), (1, 0)]  # no more than guessing class 0
    assert ranking.top(2) == ((1, 2), (0, 0)) and ranking.together == {1: 1.0, 2: 1.0} and ranking.best == ((1, 2),)
    assert len(pairs) == 49 and [done for _, _, done, _ in seen] == list(range(1, 52))
    assert {total for *_, total in seen} == {51} and seen[-1][0] == ranking.top(2)


def test_known_scores_are_not_measured_again() -> None:
    def fail(frequencies: tuple[tuple[int, int], ...]) -> nn.Module:
        raise AssertionError(frequencies)

    known = {pair: i / 100 for i, pair in enumerate(FREQUENCIES)}
    ranking = rank_frequencies(fail, [], known=known)
    assert ranking.top(2) == FREQUENCIES[:-3:-1]


def test_a_ranking_prints_as_a_table() -> None:
    lines = str(Ranking({(1, 2): 0.5, (0, 0): 0.25}, {2: 0.75})).splitlines()
    assert lines[0].split() == ["u", "\\", "v", *"0123456"]
    assert lines[1].split() == ["0", "25.0%"] and lines[2].split() == ["1", "50.0%"]
    assert lines[2].index("50.0%") > lines[1].index("25.0%")
    assert lines[-1] == "best 2 together: 75.0%"


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(ValueError, match=r"frequencies=\[\(7, 0\)\]"):
        rank_frequencies(Waves, wave_batches(), frequencies=[(7, 0)])
    with pytest.raises(ValueError, match="frequencies=5: pairs"):
        rank_frequencies(Waves, wave_batches(), frequencies=5)
    with pytest.raises(ValueError, match=r"counts=1\.5"):
        rank_frequencies(Waves, wave_batches(), counts=(1.5,))
    with pytest.raises(ValueError, match=r"counts=\(3,\).*2"):
        rank_frequencies(Waves, wave_batches(), frequencies=FREQUENCIES[:2], counts=(3,))
    with pytest.raises(ValueError, match=r"test has no images.*iterator"):
        rank_frequencies(Waves, iter(wave_batches()), frequencies=FREQUENCIES[:2])
    with pytest.raises(ValueError, match="k=3: only 2"):
        Ranking({(0, 0): 1.0, (1, 0): 0.5}).top(3)


@pytest.mark.slow
def test_ranking_on_the_embedded_digits() -> None:
    images = data.load("digits", train_size=200, test_size=100)

    def build(frequencies: tuple[tuple[int, int], ...]) -> nn.Module:
        stem = nn.Sequential(nn.Conv2d(3, 8, 5, stride=3), nn.BatchNorm2d(8), nn.ReLU())
        pool = nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
        stem = attach(stem, "fca", after="1", example=images.test.images([0]), frequencies=frequencies, reduction=2)
        return nn.Sequential(stem, pool)

    def rank() -> Ranking:
        return rank_frequencies(
            build,
            DataLoader(images.test, batch_size=16),
            fit=lambda model: fit(model, Classify(10), images.train, Plan(epochs=4, batch_size=40, lr=0.02)),
            frequencies=[(0, 0), (0, 1), (3, 2)],
            counts=(1, 2),
        )

    before = torch.get_rng_state()
    ranking = rank()
    assert torch.equal(before, torch.get_rng_state())
    assert list(ranking.scores.values()) == sorted(ranking.scores.values(), reverse=True)
    assert ranking.together[1] == next(iter(ranking.scores.values()))  # the best alone, trained once more
    assert len(set(ranking.scores.values())) > 1, "frequencies make no difference"
    assert rank() == ranking


def test_frequencies_are_those_of_maps_at_224() -> None:
    with torch.device("meta"):
        stages = PaperNetwork(name="fcanet50").stages
    assert [stage[0].attention.size for stage in stages] == [(56, 56), (28, 28), (14, 14), (7, 7)]
