"""Position and channel attention, and their head, where laws and recordings do not reach."""

from __future__ import annotations

import math

import pytest
import torch

import regard


@pytest.mark.parametrize("name", ["pam", "cam"])
def test_the_gate_starts_shut(name: str) -> None:
    x = torch.randn(2, 8, 7, 5)
    assert torch.equal(regard.create(name, channels=8)(x), x)


@pytest.mark.parametrize("energy", ["dissimilar", "similar"])
def test_channels_weigh_by_their_energy(energy: str) -> None:
    """F = diag(1, 2) has E = diag(1, 4): the released code favours 0 over E_ii, the paper E_ii over 0."""
    module = regard.create("cam", channels=2, energy=energy)
    x = torch.diag(torch.tensor([1.0, 2.0])).reshape(1, 2, 1, 2)
    with regard.watch(module) as maps:
        module(x)
    first, second = (1 / (1 + math.exp(e)) for e in ((1, 4) if energy == "dissimilar" else (-1, -4)))
    wanted = torch.tensor([[first, 1 - first], [1 - second, second]])
    torch.testing.assert_close(maps["channel_affinity"][0][0], wanted)


@pytest.mark.parametrize("energy", ["dissimilar", "similar"])
def test_energies_far_apart_give_the_same_numbers(energy: str) -> None:
    """Weights below exp(-60) are raised to it; neither outputs nor gradients can tell."""
    module = regard.create("cam", channels=6, energy=energy).double()
    torch.nn.init.constant_(module.gamma, 0.7)
    ours = (10 * torch.randn(2, 6, 9, 8, dtype=torch.float64)).requires_grad_()
    plain = ours.detach().clone().requires_grad_()
    f = plain.flatten(2)
    e = f @ f.mT
    e = e.amax(-1, keepdim=True) - e if energy == "dissimilar" else e
    wanted = (0.7 * (e.softmax(-1) @ f) + f).reshape(plain.shape)
    seen = module(ours)
    torch.testing.assert_close(seen, wanted, rtol=1e-12, atol=1e-12)
    probe = torch.randn_like(wanted)
    torch.testing.assert_close(
        torch.autograd.grad(seen, ours, probe)[0], torch.autograd.grad(wanted, plain, probe)[0], rtol=1e-9, atol=1e-9
    )


def test_the_heads_widths() -> None:
    head = regard.create("danet", channels=64, classes=5)
    assert head.position.query.weight.shape == (2, 16)
    sum_logits, position, channel = head.eval()(torch.randn(1, 64, 5, 7))
    assert sum_logits.shape == position.shape == channel.shape == (1, 5, 5, 7)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("pam", {"channels": 6}, "reduction=8: at most channels=6"),
        ("cam", {"channels": 6, "energy": "paper"}, "energy='paper': 'dissimilar' or 'similar'"),
        ("danet", {"channels": 8, "classes": 2}, "width=2: at least 8"),
        ("danet", {"channels": 3, "classes": 2}, "channels=3: at least 4"),
        ("danet", {"channels": 64, "classes": 0}, "classes=0"),
    ],
)
def test_wrong_arguments_are_named(name: str, wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        regard.create(name, **wrong)


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"input of shape \(1, 5, 4, 4\): B C H W, C=6"):
        regard.create("cam", channels=6)(torch.randn(1, 5, 4, 4))
