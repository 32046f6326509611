"""Dipole whole: what a prediction may know, padding, the first visit, and the published forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from regard import published, watch
from regard.papers.dipole.network import DipoleNetwork

SIZES = {"codes": 7, "categories": 3, "embedding": 5, "hidden": 4, "width": 6, "attention": 2}
SCORES = ("location", "general", "concatenation", "uniform", None)


def network(**kwargs: object) -> DipoleNetwork:
    torch.manual_seed(3)
    return DipoleNetwork(**{**SIZES, **kwargs}).double().eval()  # type: ignore[arg-type]


def visits(count: int = 5, *, seed: int = 0) -> Tensor:
    return (torch.rand(2, count, 7, generator=torch.Generator().manual_seed(seed)) < 0.4).double()


@pytest.mark.parametrize("score", SCORES, ids=str)
def test_visits_after_t_change_no_prediction_at_t(score: str | None) -> None:
    model = network(score=score)
    x, other = visits(), visits(seed=1)
    for t in range(5):
        changed = torch.cat([x[:, : t + 1], other[:, t + 1 :]], 1)
        assert torch.equal(model(changed)[:, : t + 1], model(x)[:, : t + 1])
    torch.testing.assert_close(model(x)[:, 2], model(x[:, :3])[:, 2])


def test_the_port_passes_once_and_predicts_from_what_comes_later() -> None:
    model = network(causal=False)
    changed = visits().clone()
    changed[:, 4] = 1 - changed[:, 4]
    assert not torch.equal(model(changed)[:, 1], model(visits())[:, 1])
    torch.testing.assert_close(model(visits())[:, 4], _same(network(), model)(visits())[:, 4])


def test_the_way_back_begins_anew_at_every_visit() -> None:
    """States of torch's own bidirectional GRU over the visits up to t."""
    model = network()
    gru = nn.GRU(5, 4, batch_first=True, bidirectional=True).double()
    cells = {"": model.ahead, "_reverse": model.back}
    gru.load_state_dict(
        {f"{name}_l0{behind}": value for behind, cell in cells.items() for name, value in cell.state_dict().items()}
    )
    states = model.states(visits(), torch.ones(2, 5, dtype=torch.bool))
    for t in range(5):
        wanted, _ = gru(model.embed(visits()[:, : t + 1]).relu())
        torch.testing.assert_close(states[:, t, : t + 1], wanted)


def test_padding_is_no_visit_wherever_it_stands() -> None:
    model = network(score="concatenation")
    x = visits()
    padded, here = torch.full((2, 8, 7), 1.0, dtype=torch.float64), torch.zeros(2, 8, dtype=torch.bool)
    padded[:, [0, 2, 3, 5, 6]], here[:, [0, 2, 3, 5, 6]] = x, True
    found = model(padded, here)
    torch.testing.assert_close(found[:, [0, 2, 3, 5, 6]], model(x))
    assert found[:, [1, 4, 7]].eq(0).all()
    other = torch.where(here[..., None], padded, -3.0)
    assert torch.equal(model(other, here), found)


@pytest.mark.parametrize("score", ["location", "uniform"])
def test_a_first_visit_has_no_context_and_weights_are_of_visits_before(score: str) -> None:
    model = network(score=score)
    with watch(model) as maps:
        first = model(visits(1))
        model(visits())
    assert maps["temporal"][0].shape == (2, 1, 1) and maps["temporal"][0].eq(0).all()
    h = model.states(visits(1), torch.ones(2, 1, dtype=torch.bool))[:, 0]
    torch.testing.assert_close(first, model.output(model.mix(torch.cat([torch.zeros_like(h), h], 2)).tanh()))
    weights = maps["temporal"][1]
    assert weights.triu().eq(0).all()
    torch.testing.assert_close(weights.sum(2), torch.tensor([0.0, 1, 1, 1, 1], dtype=torch.float64).expand(2, 5))
    if score == "uniform":
        torch.testing.assert_close(weights[0, 4, :4], torch.full((4,), 0.25, dtype=torch.float64))


def test_controls_lack_what_they_take_away() -> None:
    assert network(score=None).attend is None and network(score="uniform").attend is None
    assert network(bidirectional=False).back is None
    assert network(score=None).mix.in_features == 8 and network(bidirectional=False).mix.in_features == 8


def test_a_published_bidirectional_pass_is_rebuilt_as_it_is() -> None:
    args = {"input_size": 7, "embed_size": 5, "hidden_size": 4, "output_size": 6, "label_size": 3}
    inside = published.get("dipole/sunlabuiuc.PyHealth/callPredictor")
    arguments, _ = inside.build(**args, attention_type="general")
    assert arguments["causal"] is False and arguments["rectified"] is False and arguments["epsilon"] == 1e-10
    with pytest.raises(ValueError, match="attention_type='dot'"):
        inside.build(**args, attention_type="dot")
    with pytest.raises(ValueError, match="bias=False"):
        inside.build(**args, bias=False)


def test_wrong_masks_and_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="booleans"):
        network()(visits(), torch.ones(2, 5))
    with pytest.raises(ValueError, match="B T F, F=7"):
        network()(visits()[..., :6])
    with pytest.raises(ValueError, match="score='dot'"):
        network(score="dot")


def _same(model: DipoleNetwork, other: DipoleNetwork) -> DipoleNetwork:
    model.load_state_dict(other.state_dict())
    return model
