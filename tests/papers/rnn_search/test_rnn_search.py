"""Additive attention: exact values, masks, and wrong arguments."""

from __future__ import annotations

import pytest
import torch

from regard import create


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


def test_other_shapes_and_masks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 1, 7\): B D, D=7 is needed"):
        create("bahdanau", 14)(torch.randn(2, 1, 7), torch.randn(2, 3, 14))
    with pytest.raises(ValueError, match=r"\(2, 4\): B T, B=2, T=3 is needed"):
        create("bahdanau", 14)(torch.randn(2, 7), torch.randn(2, 3, 14), torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="booleans"):
        create("bahdanau", 14)(torch.randn(2, 7), torch.randn(2, 3, 14), torch.ones(2, 3))
