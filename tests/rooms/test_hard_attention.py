"""Hard attention: its estimators, the layer that mechanisms share, the switch of each mechanism, and REINFORCE."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from regard import catalog, create, watch
from regard.data.batches import Batch
from regard.layers import HardSoftmax, drawing, hard_softmax
from regard.ops import hard_attention
from regard.tasks.reinforced import Reinforced
from regard.training.loop import fit
from regard.training.plan import Plan

LOGITS = torch.tensor([[0.5, -1.0, 2.0, 1.0, -0.5], [1.5, 0.0, -2.0, 0.3, 1.4]], dtype=torch.float64)
SWITCHED = {  # what the mechanism is given beside its label's default, and the softmax map that chooses
    "bahdanau": ({}, "temporal"),
    "sca": ({"scale": False}, "spatial"),
    "ltpa": ({}, "attention"),
    "pam": ({}, "affinity"),
    "nonlocal": ({}, "affinity"),
    "gc": ({}, "spatial"),
    "dipole": ({}, "temporal"),
}


def layer(hard: str, top_k: int = 3, temperature: float = 1.0) -> HardSoftmax:
    made = hard_softmax(hard, top_k, temperature)
    assert made is not None
    return made.double()


def given(name: str) -> list[Tensor]:
    torch.manual_seed(3)
    image = torch.randn(3, catalog.get(name).kwargs["channels"], 5, 7)
    visible = torch.ones(3, 11, dtype=torch.bool)
    visible[0], visible[1, 4:] = False, False
    return {
        "bahdanau": [torch.randn(3, 10), torch.randn(3, 11, 14), visible],
        "ltpa": [image, torch.randn(3, 10)],
        "dipole": [torch.randn(3, 11, catalog.get("dipole").kwargs["channels"]), visible],
    }.get(name, [image])


def made(name: str, hard: str | None, **more: object) -> nn.Module:
    torch.manual_seed(5)
    module = create(name, **catalog.get(name).kwargs, **SWITCHED[name][0], hard=hard, **more)
    torch.manual_seed(7)
    for parameter in module.parameters():  # a mechanism may start with scores of zero, or as the identity
        nn.init.normal_(parameter, 0.1, 0.3)
    return module


def test_places_are_drawn_with_the_probabilities_of_the_softmax() -> None:
    torch.manual_seed(0)
    place = hard_attention.drawn(LOGITS[:, None].expand(-1, 40_000, -1))
    shares = F.one_hot(place, 5).double().mean(1)
    torch.testing.assert_close(shares, LOGITS.softmax(1), atol=0.01, rtol=0)


def test_each_mode_gives_its_weights() -> None:
    first, second = [0.0, 0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]
    for mode in hard_attention.MODES[:-1]:
        assert layer(mode).eval()(LOGITS).tolist() == [first, second], mode
        drawn = layer(mode).train()(LOGITS)
        assert torch.equal(drawn.sort(1).values, torch.tensor([[0.0, 0, 0, 0, 1]] * 2, dtype=torch.float64)), mode
    kept = layer("top-k", top_k=2)(LOGITS)
    shares = torch.tensor([2.0, 1.0], dtype=torch.float64).softmax(0)
    torch.testing.assert_close(kept[0], torch.tensor([0.0, 0.0, shares[0], shares[1], 0.0], dtype=torch.float64))
    torch.testing.assert_close(layer("top-k", top_k=9)(LOGITS), LOGITS.softmax(1))


def test_evaluation_draws_nothing() -> None:
    before = torch.get_rng_state()
    for mode in hard_attention.MODES:
        layer(mode).eval()(LOGITS)
        layer(mode).eval().attend(LOGITS[:, None], torch.ones(2, 5, 3, dtype=torch.float64))
    assert torch.equal(torch.get_rng_state(), before)


def test_straight_through_has_the_gradient_of_the_softmax_and_gumbel_that_of_the_noisy_one() -> None:
    weight = torch.randn(2, 5, dtype=torch.float64)
    for mode, temperature in (("straight-through", 1.0), ("gumbel", 0.7)):
        logits = LOGITS.clone().requires_grad_()
        torch.manual_seed(1)
        (layer(mode, temperature=temperature)(logits) * weight).sum().backward()
        soft = LOGITS.clone().requires_grad_()
        torch.manual_seed(1)
        noise = hard_attention.gumbel_noise(soft) if mode == "gumbel" else 0
        (((soft + noise) / temperature).softmax(1) * weight).sum().backward()
        torch.testing.assert_close(logits.grad, soft.grad)


def test_reinforce_is_unbiased_and_the_baseline_takes_most_of_its_variance() -> None:
    reward = torch.tensor([-3.0, -2.5, -4.0, -2.0, -3.5], dtype=torch.float64)
    exact = LOGITS[0].clone().requires_grad_()
    (exact.softmax(0) * reward).sum().backward()
    torch.manual_seed(2)
    logits = LOGITS[0].expand(60_000, -1).clone().requires_grad_()
    sampled = layer("sample")
    with drawing(sampled) as draws:
        weights = sampled(logits)
    (found,) = torch.autograd.grad(draws[0].log_probability.sum(), logits)  # ∇ log π
    earned = (weights @ reward)[:, None]
    bare, against = found * earned, found * (earned - (LOGITS[0].softmax(0) * reward).sum())
    for each in (bare, against):
        error = 4 * each.std(0) / len(each) ** 0.5
        assert ((each.mean(0) - exact.grad).abs() < error).all()
    assert against.var(0).sum() < bare.var(0).sum() / 10
    assert not weights.requires_grad
    torch.testing.assert_close(draws[0].entropy[0], torch.distributions.Categorical(logits=LOGITS[0]).entropy())


@pytest.mark.parametrize("mode", hard_attention.MODES)
@pytest.mark.parametrize("train", [False, True])
def test_reading_one_value_is_the_product_with_the_weights(mode: str, train: bool) -> None:
    chooses, values = layer(mode).train(train), torch.randn(2, 5, 3, dtype=torch.float64)
    shown: list[Tensor] = []
    torch.manual_seed(4)
    attended = chooses.attend(LOGITS[:, None].expand(-1, 7, -1), values, lambda map: shown.append(map) or map)
    torch.testing.assert_close(attended, shown[0] @ values)
    torch.manual_seed(4)
    assert torch.equal(chooses.attend(LOGITS[:, None].expand(-1, 7, -1), values), attended)
    even = chooses.attend(LOGITS[:, None].expand(-1, 7, -1), values, lambda map: torch.full_like(map, 0.2))
    torch.testing.assert_close(even, values.mean(1, keepdim=True).expand(-1, 7, -1))  # the map that `see` returns


def test_what_is_drawn_is_kept_in_the_block_alone() -> None:
    module, inputs = made("pam", "sample"), given("pam")
    with drawing(module) as draws:
        module(*inputs)
        module(*inputs)
    assert [draw.log_probability.shape for draw in draws] == [(3, 35)] * 2
    assert all((draw.log_probability <= 0).all() and (draw.entropy > 0).all() for draw in draws)
    draws[0].log_probability.sum().backward()
    assert module.query.weight.grad.abs().sum() > 0
    module(*inputs)
    assert len(draws) == 2
    with drawing(module) as inside:
        module.eval()(*inputs)
    assert not inside
    with pytest.raises(ValueError, match="hard='sample' is needed"), drawing(made("pam", "gumbel")):
        pass


@pytest.mark.parametrize("name", SWITCHED)
def test_every_mode_of_every_mechanism(name: str) -> None:
    inputs, soft = given(name), made(name, None).eval()
    with watch(soft) as maps:
        soft(*inputs)
    wanted = maps[SWITCHED[name][1]][0]
    for mode in hard_attention.MODES:
        module = made(name, mode, top_k=2).eval()
        module.load_state_dict(soft.state_dict())
        with watch(module) as maps:
            attended = module(*inputs)
        torch.testing.assert_close(module(*inputs), attended)
        weights = maps[SWITCHED[name][1]][0]
        assert weights.shape == wanted.shape
        rows, soft_rows = (x.flatten(1) if x.shape[1] == 1 else x.flatten(0, -2) for x in (weights, wanted))
        some = soft_rows.sum(1) > 0.5  # a row without a visible place has no weight
        torch.testing.assert_close(rows.sum(1), some.float())
        assert (rows[some] > 0).sum(1).max() == (2 if mode == "top-k" else 1)
        assert torch.equal(rows[some].argmax(1), soft_rows[some].argmax(1))
        module.train()
        y = module(*[x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs])
        y.square().sum().backward()
        assert y.isfinite().all()
        scored = [parameter.grad is not None for parameter in module.parameters()]
        assert all(scored) == (mode not in ("sample", "argmax")), mode


@pytest.mark.parametrize("name", SWITCHED)
def test_the_label_says_both(name: str) -> None:
    assert catalog.get(name).weights == "both"
    assert catalog.get(name) in catalog.find(soft=False)


def test_a_hidden_annotation_is_never_chosen_and_none_gives_zeros() -> None:
    state, annotations, visible = given("bahdanau")
    for mode in hard_attention.MODES:
        module = made("bahdanau", mode, return_weights=True)
        for _ in range(20):
            context, alpha = module(state, annotations, visible)
            assert not alpha[~visible].any()
            assert not context[0].any()
            torch.testing.assert_close(context, (alpha[:, None] @ annotations)[:, 0])


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("bahdanau", {"hard": "softest"}, "hard='softest': None, 'sample', 'argmax'"),
        ("gc", {"hard": "top-k", "top_k": 0}, "top_k=0"),
        ("pam", {"hard": "gumbel", "temperature": 0.0}, r"temperature=0\.0"),
        ("gc", {"hard": "argmax", "pool": "average"}, "hard='argmax': None is needed with pool='average'"),
        ("sca", {"hard": "argmax", "order": "channel"}, "hard='argmax': None is needed with order='channel'"),
        ("ltpa", {"hard": "argmax", "normalise": "sigmoid"}, "hard='argmax': None is needed with normalise='sigmoid'"),
        ("nonlocal", {"hard": "argmax", "affinity": "dot_product"}, "hard='argmax': None is needed with affinity="),
        ("dipole", {"hard": "argmax", "epsilon": 0.5}, r"hard='argmax': None is needed with epsilon=0\.5"),
    ],
)
def test_arguments_that_do_not_fit_say_what_would(name: str, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        create(name, **{**catalog.get(name).kwargs, **arguments})


class Looking(nn.Module):
    """Two annotations for each image, of which one is drawn and classified."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(3, 1)
        self.classify = nn.Linear(3, 4)
        self.choice = layer("sample")

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.classify(self.choice.attend(self.score(x).mT, x)[:, 0])
        return scores


def test_the_loss_is_that_of_its_equations_and_moves_the_baseline() -> None:
    torch.manual_seed(0)
    model = Looking().double()
    x, labels = torch.randn(5, 2, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 1])
    model.choice.baseline.fill_(-0.7)
    torch.manual_seed(8)
    loss, figures = Reinforced(4, weight=0.3, entropy=0.2).loss(model, Batch({"image": x, "label": labels}))
    torch.manual_seed(8)
    log_p = model.score(x)[..., 0].log_softmax(1)
    place = hard_attention.drawn(model.score(x).mT)[:, 0]
    rows = torch.arange(5)
    told = model.classify(x[rows, place]).log_softmax(1)[rows, labels]  # R
    spread = -(log_p.exp() * log_p).sum(1)
    wanted = (-told - 0.3 * (told.detach() + 0.7) * log_p[rows, place] - 0.2 * spread).mean()
    torch.testing.assert_close(loss, wanted)
    for seen, hoped in zip(
        *(torch.autograd.grad(value, list(model.parameters())) for value in (loss, wanted)), strict=True
    ):
        torch.testing.assert_close(seen, hoped)
    torch.testing.assert_close(model.choice.baseline, 0.9 * torch.tensor(-0.7).double() + 0.1 * told.mean())
    assert figures["entropy"].item() == pytest.approx(spread.mean().item())


def test_the_baseline_is_saved_with_the_weights_and_a_model_can_be_copied_after_a_loss() -> None:
    model, task = Looking().double(), Reinforced(4)
    batch = Batch({"image": torch.randn(5, 2, 3, dtype=torch.float64), "label": torch.tensor([0, 1, 2, 3, 1])})
    task.loss(model, batch)[0].backward()
    assert model.choice.baseline < 0
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), Looking().double()):
        other.load_state_dict(model.state_dict())
        assert torch.equal(other.choice.baseline, model.choice.baseline)
    model.eval()
    with pytest.raises(ValueError, match="training mode is needed"):
        task.loss(model, batch)
    with pytest.raises(ValueError, match="momentum=1"):
        Reinforced(4, momentum=1)


def test_a_training_that_was_stopped_goes_on_with_the_same_baseline(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(14, 2, 3), torch.arange(14) % 4)
    first, plan = Looking().float(), Plan(epochs=3, batch_size=5, lr=0.01)
    start = copy.deepcopy(first)
    fit(first, Reinforced(4), data, plan)

    def stopped(epoch: int, record: object) -> None:
        raise KeyboardInterrupt

    model = copy.deepcopy(start)
    with pytest.raises(KeyboardInterrupt):
        fit(model, Reinforced(4), data, plan, folder=tmp_path, on_epoch=stopped)
    second = copy.deepcopy(start)
    fit(second, Reinforced(4), data, plan, folder=tmp_path)
    assert first.choice.baseline < 0
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("mode", hard_attention.MODES)
def test_compiled_training_is_one_graph_and_keeps_what_it_draws(mode: str) -> None:
    module, inputs = made("gc", mode).train(), given("gc")
    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.manual_seed(1)
    wanted = module(*inputs)
    torch.manual_seed(1)
    torch.testing.assert_close(compiled(*inputs), wanted)
    if mode == "sample":
        with drawing(compiled) as draws:
            compiled(*inputs)
        draws[0].log_probability.sum().backward()
        assert module.mask.weight.grad.abs().sum() > 0
    torch.compiler.reset()
