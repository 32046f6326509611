"""Positions, additive attention and Dipole: exact values, and what a mask leaves over."""

from __future__ import annotations

import math

import pytest
import torch

from regard import create, watch


def test_sinusoids_of_the_paper() -> None:
    table = create("sinusoidal", 6)(torch.zeros(1, 4, 6, dtype=torch.float64))[0]
    angles = [3 / 10000 ** (2 * i / 6) for i in range(3)]
    wanted = [f(angle) for angle in angles for f in (math.sin, math.cos)]
    torch.testing.assert_close(table[3], torch.tensor(wanted, dtype=torch.float64))
    torch.testing.assert_close(table[0], torch.tensor([0.0, 1.0] * 3, dtype=torch.float64))


def test_sinusoids_of_the_official_code() -> None:
    table = create("sinusoidal", 7, halves=True)(torch.zeros(1, 4, 7, dtype=torch.float64))[0]
    angles = [3 / 10000 ** (i / 2) for i in range(3)]
    wanted = [*map(math.sin, angles), *map(math.cos, angles), 0.0]
    torch.testing.assert_close(table[3], torch.tensor(wanted, dtype=torch.float64))


def test_sinusoids_of_a_map_count_rows_and_columns() -> None:
    rows, columns = create("sinusoidal", 9, dims=2)(torch.zeros(1, 9, 5, 3))[0].split((4, 5))
    line = create("sinusoidal", 4)(torch.zeros(1, 5, 4))[0]
    torch.testing.assert_close(rows, line.T[:, :, None].expand(4, 5, 3))
    torch.testing.assert_close(columns[:4], line[:3].T[:, None].expand(4, 5, 3))
    assert columns[4].eq(0).all()


def test_a_table_made_without_gradients_serves_training() -> None:
    module = create("sinusoidal", 8)
    with torch.inference_mode():
        module(torch.randn(1, 43, 8))
    x = torch.randn(2, 43, 8, requires_grad=True)
    (module(x) ** 2).sum().backward()
    assert x.grad is not None


def test_positions_refuse_what_is_no_sequence() -> None:
    with pytest.raises(ValueError, match="B T 8"):
        create("sinusoidal", 8)(torch.randn(2, 8, 3, 5))
    with pytest.raises(ValueError, match="dims=3"):
        create("sinusoidal", 8, dims=3)


def test_additive_attention_takes_a_projection_made_once() -> None:
    module = create("bahdanau", 14, state_channels=10, hidden=6)
    torch.nn.init.normal_(module.score.weight)
    state, annotations = torch.randn(2, 10), torch.randn(2, 7, 14)
    torch.testing.assert_close(
        module(state, annotations, projected=module.project(annotations)), module(state, annotations)
    )


def test_additive_attention_starts_as_the_mean() -> None:
    annotations = torch.randn(2, 7, 14)
    torch.testing.assert_close(create("bahdanau", 14)(torch.randn(2, 7), annotations), annotations.mean(1))


def test_additive_attention_to_nothing_is_zero() -> None:
    module = create("bahdanau", 14, return_weights=True)
    visible = torch.tensor([[True, False, True], [False, False, False]])
    state = torch.randn(2, 7, requires_grad=True)
    context, weights = module(state, torch.randn(2, 3, 14), visible)
    torch.testing.assert_close(weights.detach(), torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.0, 0.0]]))
    assert context[1].eq(0).all()
    context.sum().backward()
    assert state.grad is not None and state.grad.isfinite().all()


def test_sequences_refuse_other_shapes_and_masks() -> None:
    with pytest.raises(ValueError, match="a state B D"):
        create("bahdanau", 14)(torch.randn(2, 1, 7), torch.randn(2, 3, 14))
    with pytest.raises(ValueError, match="booleans"):
        create("bahdanau", 14)(torch.randn(2, 7), torch.randn(2, 3, 14), torch.ones(2, 3))
    with pytest.raises(ValueError, match="a sequence B T C"):
        create("dipole", 14)(torch.randn(2, 14))
    with pytest.raises(ValueError, match="booleans"):
        create("dipole", 14)(torch.randn(2, 3, 14), torch.ones(2, 3))
    with pytest.raises(ValueError, match="score='dot'"):
        create("dipole", 14, score="dot")
    with pytest.raises(ValueError, match="epsilon=-1"):
        create("dipole", 14, epsilon=-1)


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
    exponentials = module.scores(x).exp() * before
    wanted = exponentials / (exponentials.sum(-1, keepdim=True) + 0.5)
    with watch(module) as maps:
        module(x)
    torch.testing.assert_close(maps["temporal"][0], wanted)
    assert module(100 * x).isfinite().all()
