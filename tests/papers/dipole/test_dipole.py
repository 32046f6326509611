"""Dipole's attention: which visits are seen, the epsilon, and wrong arguments."""

from __future__ import annotations

import pytest
import torch

from regard import create, watch


@pytest.mark.parametrize("score", ["location", "general", "concatenation"])
def test_a_visit_attends_to_those_before_it(score: str) -> None:
    module = create("dipole", 6, score=score).double()
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    with watch(module) as maps:
        module(x)
    (weights,) = maps["temporal"]
    assert weights.triu(0).eq(0).all()
    torch.testing.assert_close(weights.sum(-1), torch.tensor([0.0, 1, 1, 1, 1], dtype=torch.float64).expand(2, 5))
    torch.testing.assert_close(module(x)[:, :3], module(x[:, :3]))


def test_an_epsilon_takes_its_part_of_the_weight_and_large_scores_stay_finite() -> None:
    module = create("dipole", 6, score="general", epsilon=0.5).double()
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    before = torch.ones(5, 5, dtype=torch.float64).tril(-1)
    exponentials = module.scores(x, x).exp() * before
    wanted = exponentials / (exponentials.sum(-1, keepdim=True) + 0.5)
    with watch(module) as maps:
        module(x)
    torch.testing.assert_close(maps["temporal"][0], wanted)
    assert module(100 * x).isfinite().all()


def test_other_shapes_masks_and_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="B T C, C=14 is needed"):
        create("dipole", 14)(torch.randn(2, 14))
    with pytest.raises(ValueError, match="booleans"):
        create("dipole", 14)(torch.randn(2, 3, 14), torch.ones(2, 3))
    with pytest.raises(ValueError, match="score='dot'"):
        create("dipole", 14, score="dot")
    with pytest.raises(ValueError, match="epsilon=-1"):
        create("dipole", 14, epsilon=-1)
