"""What neither laws nor recordings ask of attention gates: degenerate scores, missing projections, arguments."""

from __future__ import annotations

import pytest
import torch

from regard import create, watch


@pytest.mark.parametrize("normalization", ["mean", "mean_flow", "range"])
def test_equal_scores_that_leave_nothing_to_divide_by_give_zeros(normalization: str) -> None:
    gate = create("sononet_gate", channels=4, gate_channels=3, normalization=normalization, transform=False)
    torch.nn.init.zeros_(gate.psi.weight)
    torch.nn.init.zeros_(gate.psi.bias)
    x = torch.randn(2, 4, 5, 7, requires_grad=True)
    y = gate(x, torch.randn(2, 3, 2, 3))
    assert (y == 0).all()
    y.sum().backward()
    assert (x.grad == 0).all()


def test_the_aggregation_sums_what_the_gates_let_through() -> None:
    torch.manual_seed(0)
    head = create("sononet_aggregation", channels=6, level_channels=(3, 4), classes=13).eval()
    torch.nn.init.eye_(head.classify.weight)
    torch.nn.init.zeros_(head.classify.bias)
    x1, x2, g = torch.randn(2, 3, 9, 7), torch.randn(2, 4, 5, 4), torch.randn(2, 6, 3, 2)
    sums = [gate(x, g).sum((2, 3)) for gate, x in zip(head.gates, (x1, x2), strict=True)]
    torch.testing.assert_close(head(x1, x2, g), torch.cat([*sums, g.mean((2, 3))], 1))


def test_maps_of_the_gates_sum_to_one() -> None:
    head = create("sononet_aggregation", channels=6, level_channels=(3, 4), classes=2)
    with watch(head) as maps:
        head(torch.randn(2, 3, 9, 7), torch.randn(2, 4, 5, 4), torch.randn(2, 6, 3, 2))
    assert sorted(maps) == ["gates.0/spatial", "gates.1/spatial"]
    for looks in maps.values():
        torch.testing.assert_close(looks[0].sum((2, 3)), torch.ones(2, 1))


def test_a_softmax_gate_resized_keeps_its_mean() -> None:
    gate = create("attention_gate", channels=4, gate_channels=3, normalization="softmax", return_mask=True).eval()
    _, mask = gate(torch.randn(2, 4, 6, 8), torch.randn(2, 3, 3, 4))
    # 12 scores that sum to 1 on 48 positions: twice as large on each axis, linear resizing keeps the mean
    torch.testing.assert_close(mask.sum((2, 3)), torch.full((2, 1), 4.0))


@pytest.mark.parametrize(
    ("entry", "wrong", "message"),
    [
        ("sononet_gate", {"normalization": "dot"}, "normalization='dot'.*mean_flow"),
        ("sononet_gate", {"theta": False, "hidden": 5}, "hidden=5, theta=False: hidden=8 is needed"),
        ("sononet_gate", {"phi": False, "hidden": 5}, "hidden=5, phi=False: hidden=6 is needed"),
        ("sononet_gate", {"psi": False, "hidden": 5}, "hidden=5: 1, .*psi=False"),
        ("sononet_gate", {"activation": "tanh"}, "activation='tanh'"),
        ("attention_gate", {"dims": 1}, "dims=1"),
        ("attention_gate", {"subsample": (2, 2, 2)}, "subsample=.*2 values"),
        ("attention_gate", {"activation": "tanh"}, "activation='tanh'"),
        ("attention_gate", {"normalization": "mean"}, "normalization='mean'"),
        ("multi_attention_gate", {"gates": 0}, "gates=0"),
    ],
)
def test_wrong_arguments_are_named(entry: str, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create(entry, channels=8, gate_channels=6, **wrong)


def test_maps_that_do_not_fit_are_refused() -> None:
    gate = create("attention_gate", channels=4, gate_channels=3)
    with pytest.raises(ValueError, match="smaller than subsample"):
        gate(torch.randn(1, 4, 1, 5), torch.randn(1, 3, 1, 3))
    with pytest.raises(ValueError, match=r"\(1, 3\): B G H W, B=1, G=3 is needed"):
        gate(torch.randn(1, 4, 6, 5), torch.randn(1, 3))
    with pytest.raises(ValueError, match=r"level_channels=\(3, 4, 5\): 2 values"):
        create("sononet_aggregation", channels=6, level_channels=(3, 4, 5), classes=2)
    with pytest.raises(ValueError, match="aggregation='sum'"):
        create("sononet_aggregation", channels=6, level_channels=(3, 4), classes=2, aggregation="sum")
