"""Losses on maps: lists, values by hand, the second derivative, and wrong arguments."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import regard
from regard.papers.attention_transfer.mechanism import sensitivity


def test_values_by_hand() -> None:
    student = torch.tensor([[[[3.0, 0.0]], [[0.0, 2.0]]]])  # squares 9 and 4
    teacher = torch.tensor([[[[0.0, 5.0]]]])
    q = torch.tensor([9, 4]) / 97**0.5
    wanted = ((q - torch.tensor([0, 1])) ** 2).mean()
    for pool in ("mean", "sum", "max"):
        torch.testing.assert_close(regard.create("attention_transfer", pool=pool)(student, teacher), wanted)
    paper = regard.create("attention_transfer", distance="norm", beta=6.0)
    torch.testing.assert_close(paper(student, teacher), 3 * (2 * wanted).sqrt())
    torch.testing.assert_close(regard.create("attention_transfer", power=1)(student, -student), torch.tensor(0.0))


def test_lists_add_up_and_are_seen_pair_by_pair() -> None:
    module = regard.create("attention_transfer", beta=7.0)
    student = [torch.randn(2, 3, size, size) for size in (8, 4)]
    teacher = [torch.randn(2, 5, size, size) for size in (8, 4)]
    with regard.watch(module) as maps:
        loss = module(student, teacher)
    torch.testing.assert_close(loss, sum(map(module, student, teacher)))
    assert [look.shape for look in maps["teacher"]] == [(2, 1, 8, 8), (2, 1, 4, 4)]
    for wrong in ((student, teacher[:1]), (student, teacher[0]), ([], [])):
        with pytest.raises(ValueError, match="the same number of maps"):
            module(*wrong)


def test_refuses() -> None:
    for kwargs, message in (
        ({"power": 0.5}, "power=0.5"),
        ({"pool": "min"}, "pool='min'"),
        ({"distance": "cosine"}, "distance='cosine'"),
    ):
        with pytest.raises(ValueError, match=message):
            regard.create("attention_transfer", **kwargs)
    with pytest.raises(ValueError, match=r"student \(2, 3, 8, 8\) and teacher \(2, 5, 4, 4\)"):
        regard.create("attention_transfer")(torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4))
    with pytest.raises(ValueError, match="must agree"):
        regard.create("gradient_transfer")(torch.randn(2, 3, 8, 8), torch.randn(1, 3, 8, 8))


@pytest.mark.parametrize("symmetric", [False, True])
def test_gradients_are_brought_together_through_the_second_derivative(symmetric: bool) -> None:
    torch.manual_seed(0)
    student, teacher = (
        nn.Sequential(nn.Flatten(), nn.Linear(90, 8), nn.Tanh(), nn.Linear(8, 2)).double() for _ in range(2)
    )
    module = regard.create("gradient_transfer", symmetric=symmetric)
    x = torch.randn(3, 3, 5, 6, dtype=torch.float64, requires_grad=True)

    def gradient(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
        return sensitivity(network(image).square().sum(), image)

    def apart() -> torch.Tensor:
        other = gradient(student, x.flip(-1)) if symmetric else gradient(teacher, x)
        return module(gradient(student, x), other)

    optimizer = torch.optim.Adam(student.parameters(), 0.01)
    before = apart()
    for _ in range(100):
        optimizer.zero_grad()
        apart().backward()
        optimizer.step()
    assert apart() < before / 10


def test_a_mirrored_network_is_symmetric() -> None:
    x = torch.randn(2, 3, 4, 6, requires_grad=True)
    image = x.flip(-1)
    loss = regard.create("gradient_transfer", symmetric=True)(
        sensitivity(x.square().sum(), x), sensitivity(image.square().sum(), image)
    )
    assert loss == 0


@pytest.mark.parametrize(("wrong", "says"), [({"depth": 12}, "10, 16, 22"), ({"width": 0.01}, "0.0625")])
def test_wrong_arguments_of_the_network_are_named(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        regard.create("wide_resnet", **wrong)
