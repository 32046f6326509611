"""Rollout and gradient-weighted attention: closed forms, loops by hand, and what cannot be chained."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import regard
from regard.core import Maps

CLASS = ("class",)
GRID = (2, 3)
WHOLE = ((1, 1), GRID)  # a class token before the grid: 7 positions


def affinities(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return (2 * scores).softmax(-1)


def maps_of(*layers: Tensor, grid: object = WHOLE, tokens: tuple[str, ...] = CLASS, first: int = 0) -> Maps:
    maps = Maps()
    for number, layer in enumerate(layers, first):
        key = f"blocks.{number}.attn/affinity"
        maps[key], maps.axes[key], maps.sums[key] = [layer], "B h Q K", "K"
        maps.grids[key] = {"Q": grid, "K": grid}
        maps.tokens[key] = {"Q": tokens, "K": tokens}
    return maps


def gated(maps: Maps) -> Maps:
    """The maps, with a gate that is none of their layers in between."""
    mixed = Maps()
    for key in maps:
        mixed[key], mixed.axes[key] = maps[key], maps.axes[key]
        mixed.grids[key], mixed.tokens[key] = maps.grids[key], maps.tokens[key]
        mixed[f"{key}-se"], mixed.axes[f"{key}-se"] = [torch.ones(2, 5, 1, 1)], "B C 1 1"
    return mixed


# ---- rollout


def test_rollout_is_the_product_of_the_layers() -> None:
    """Each entry as a sum over paths through the layers, by hand."""
    layers = [affinities(2, 3, 7, 7, seed=seed) for seed in range(3)]
    flow = regard.rollout(gated(maps_of(*layers)))
    expected = torch.zeros(2, 7, 7, dtype=torch.float64)
    for image in range(2):
        mixed = []
        for layer in layers:
            heads = layer[image].tolist()
            rows = [[sum(heads[h][q][k] for h in range(3)) / 3 for k in range(7)] for q in range(7)]
            mixed.append([[0.5 * rows[q][k] + 0.5 * (q == k) for k in range(7)] for q in range(7)])
        for q in range(7):
            for k in range(7):
                expected[image, q, k] = sum(
                    mixed[2][q][i] * mixed[1][i][j] * mixed[0][j][k] for i in range(7) for j in range(7)
                )
    (key,) = flow
    assert key == "rollout" and flow.axes[key] == "B Q K" and flow.sums[key] == "K"
    assert flow.grids[key] == {"Q": WHOLE, "K": WHOLE} and flow.tokens[key] == {"Q": CLASS, "K": CLASS}
    torch.testing.assert_close(flow[key][0], expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(flow[key][0].sum(-1), torch.ones(2, 7, dtype=torch.float64))


@pytest.mark.parametrize("residual", [0, 0.25, 0.5])
def test_equal_layers_have_a_power(residual: float) -> None:
    """With A = p I + (1-p)/n 11ᵀ, R = s I + (1-s)/n 11ᵀ, where s = (r + (1-r) p)^L."""
    n, p, count = 7, 0.3, 5
    one = p * torch.eye(n, dtype=torch.float64) + (1 - p) / n
    flow = regard.rollout(maps_of(*[one.expand(2, 3, n, n)] * count), residual=residual)["rollout"][0]
    s = (residual + (1 - residual) * p) ** count
    expected = s * torch.eye(n, dtype=torch.float64) + (1 - s) / n
    torch.testing.assert_close(flow, expected.expand(2, n, n), rtol=1e-12, atol=0)


def test_rows_that_do_not_sum_to_one_are_brought_to_it() -> None:
    """As in the authors' code: heads that are mixed after the softmax."""
    layer = affinities(2, 3, 7, 7)
    scaled = regard.rollout(maps_of(1.5 * layer))["rollout"][0]
    expected = (1.5 * layer.mean(1) + torch.eye(7)) / 2.5
    torch.testing.assert_close(scaled, expected)


def test_class_attention_reads_the_positions_of_the_layers_before_it() -> None:
    """CaiT: layers over the grid alone, then a class token that reads it and itself."""
    before = [affinities(2, 3, 6, 6, seed=seed) for seed in range(2)]
    after = [affinities(2, 5, 1, 7, seed=seed) for seed in (5, 6)]
    maps = maps_of(*before, grid=GRID, tokens=())
    for number, layer in enumerate(after):
        key = f"token_only.{number}/affinity"
        maps[key], maps.axes[key] = [layer], "B h Q K"
        maps.grids[key] = {"Q": ((1, 1),), "K": WHOLE}
        maps.tokens[key] = {"Q": CLASS, "K": CLASS}
    found = regard.rollout(maps)
    inside = torch.eye(6, dtype=torch.float64).expand(2, 6, 6)
    for layer in before:
        inside = (0.5 * layer.mean(1) + 0.5 * torch.eye(6)) @ inside
    first, second = (0.5 * layer.mean(1)[:, 0] for layer in after)  # of the class token
    on_class = (0.5 + first[:, :1]) * (0.5 + second[:, :1])
    on_grid = (second[:, 1:] + (0.5 + second[:, :1]) * first[:, 1:])[:, None] @ inside
    row = found["rollout"][0][:, 0]
    torch.testing.assert_close(row, torch.cat([on_class, on_grid[:, 0]], 1), rtol=1e-12, atol=0)
    torch.testing.assert_close(found["rollout"][0][:, 1:, 1:], inside)
    assert found.grids["rollout"] == {"Q": WHOLE, "K": WHOLE}


def test_register_tokens_take_part() -> None:
    tokens = ("class", "register 1", "register 2", "register 3", "register 4")
    grid = (*((1, 1),) * 5, (2, 3))
    layers = [affinities(2, 3, 11, 11, seed=seed) for seed in range(2)]
    flow = regard.rollout(maps_of(*layers, grid=grid, tokens=tokens))
    steps = [(layer.mean(1) + torch.eye(11)) / 2 for layer in layers]
    torch.testing.assert_close(flow["rollout"][0], steps[1] @ steps[0])
    assert flow.tokens["rollout"]["K"] == tokens


def test_only_chooses_the_layers() -> None:
    layers = [affinities(2, 3, 7, 7, seed=seed) for seed in range(3)]
    maps = maps_of(*layers)
    last = regard.rollout(maps, "blocks.2.*")["rollout"][0]
    torch.testing.assert_close(last, (layers[2].mean(1) + torch.eye(7)) / 2)
    with pytest.raises(LookupError, match=r"only='layer4\*': the key of a map is needed; seen: blocks.0.attn/affinity"):
        regard.rollout(maps, "layer4*")


def test_one_head_without_a_grid_is_a_layer() -> None:
    maps = Maps()
    maps["attend/affinity"], maps.axes["attend/affinity"] = [affinities(2, 5, 5, dtype=torch.float16)], "B Q K"
    flow = regard.rollout(maps)
    assert flow["rollout"][0].dtype == torch.float32 and flow["rollout"][0].shape == (2, 5, 5)
    assert not flow.grids and not flow.tokens


# ---- what cannot be chained


def windows() -> Maps:
    maps = Maps()
    key = "layers.0.blocks.0.attn/affinity"
    maps[key], maps.axes[key] = [affinities(2, 3, 36, 4)], "B h Q X"
    maps.grids[key] = {"Q": (6, 6), "K": (6, 6)}
    maps.places[key] = torch.zeros(36, 4, dtype=torch.long)
    return maps


def pooled() -> Maps:
    maps = maps_of(affinities(2, 3, 36, 9), tokens=())
    maps.grids["blocks.0.attn/affinity"] = {"Q": (6, 6), "K": (3, 3)}
    return maps


def stages() -> Maps:
    maps = maps_of(affinities(2, 3, 36, 36), grid=(6, 6), tokens=())
    later = maps_of(affinities(2, 3, 9, 9), grid=(3, 3), tokens=(), first=1)
    for name in ("axes", "grids", "tokens"):
        getattr(maps, name).update(getattr(later, name))
    maps.update(later)
    return maps


def twice() -> Maps:
    maps = maps_of(affinities(2, 3, 7, 7))
    maps["blocks.0.attn/affinity"] *= 2
    return maps


def gates() -> Maps:
    maps = Maps()
    maps["layer1.0.se/gate"], maps.axes["layer1.0.se/gate"] = [torch.rand(2, 5, 1, 1)], "B C 1 1"
    return maps


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (windows, "layers.0.blocks.0.attn/affinity: attention within windows cannot be chained"),
        (pooled, r"keys \(3 x 3\) are not its queries \(6 x 6\), as with windows or pooled keys"),
        (stages, r"blocks.1.attn/affinity: its positions \(3 x 3\) are not those of blocks.0.attn/affinity \(6 x 6\)"),
        (twice, "it was formed 2 times; the maps of one pass"),
        (gates, r"only='\*': attention from positions to positions .* seen: layer1.0.se/gate \(B C 1 1\)"),
        (lambda: maps_of(-affinities(2, 3, 7, 7)), "negative weights"),
        (lambda: maps_of(affinities(2, 3, 8, 8)), r"the grid of Q \(class and 2 x 3\) does not hold 8 positions"),
        (Maps, "seen: none"),
    ],
)
def test_what_cannot_be_chained_is_said(maps: Callable[[], Maps], message: str) -> None:
    with pytest.raises((ValueError, LookupError), match=message):
        regard.rollout(maps())


@pytest.mark.parametrize("residual", [-0.1, 1, math.nan, "half"])
def test_a_share_of_the_residual_is_asked_for(residual: object) -> None:
    with pytest.raises(ValueError, match="residual="):
        regard.rollout(maps_of(affinities(2, 3, 7, 7)), residual=residual)  # type: ignore[arg-type]


# ---- relevance


class Small(nn.Module):
    """Two layers of attention with residual connections, whose class token is read; it shows its maps by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.ParameterList([nn.Parameter(2 * torch.randn(3, 7, 7)) for _ in range(2)])
        self.values = nn.ModuleList([nn.Linear(5, 15) for _ in range(2)])
        self.mix = nn.ModuleList([nn.Linear(15, 5) for _ in range(2)])
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        formed = []
        for scores, values, mix in zip(self.scores, self.values, self.mix, strict=True):
            weights = (scores + x.mean((1, 2))[:, None, None, None]).softmax(-1)
            formed.append(weights)
            attended = weights @ values(x).unflatten(2, (3, 5)).transpose(1, 2)
            x = x + mix(attended.transpose(1, 2).flatten(2)).tanh()
        return self.head(x[:, 0]), formed


@pytest.fixture
def passed() -> tuple[Tensor, list[Tensor], Maps]:
    torch.manual_seed(0)
    scores, formed = Small().double()(torch.randn(2, 7, 5).double())
    return scores, formed, maps_of(*formed)


@pytest.mark.parametrize("target", [None, 3, [2, 0]])
def test_relevance_is_that_of_a_loop_over_layers_and_heads(
    passed: tuple[Tensor, list[Tensor], Maps], target: int | list[int] | None
) -> None:
    scores, formed, maps = passed
    found = regard.relevance(maps, scores, target)
    chosen = scores.argmax(1).tolist() if target is None else [target] * 2 if isinstance(target, int) else target
    for image in range(2):
        total = torch.eye(7, dtype=torch.float64)
        for layer in formed:
            (slope,) = torch.autograd.grad(scores[image, chosen[image]], layer, retain_graph=True)
            raised = torch.zeros(7, 7, dtype=torch.float64)
            for head in range(3):
                raised += (slope[image, head] * layer[image, head].detach()).clamp_min(0) / 3
            total = total + raised @ total
        torch.testing.assert_close(found["relevance"][0][image], total, rtol=1e-12, atol=0)
    assert not found["relevance"][0].requires_grad and found.axes["relevance"] == "B Q K"
    assert found.grids["relevance"] == {"Q": WHOLE, "K": WHOLE} and found.sums["relevance"] == ""


def test_relevance_of_one_linear_layer_is_its_positive_contributions() -> None:
    """With y = Σ_k A_0k v_k, the row of the class token is relu(A_0k v_k), and 1 more on itself."""
    weights = affinities(2, 1, 7, 7).requires_grad_()
    values = torch.tensor([3.0, -2.0, 5.0, -7.0, 11.0, 13.0, -17.0], dtype=torch.float64)
    scores = (weights[:, 0, 0] * values).sum(1)
    found = regard.relevance(maps_of(weights), scores, target=lambda score: score)["relevance"][0]
    expected = torch.eye(7, dtype=torch.float64).repeat(2, 1, 1)
    expected[:, 0] += (weights.detach()[:, 0, 0] * values).relu()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_a_pass_can_be_explained_again(passed: tuple[Tensor, list[Tensor], Maps]) -> None:
    scores, _, maps = passed
    first = regard.relevance(maps, scores, 1)["relevance"][0]
    other = regard.relevance(maps, scores, 2)["relevance"][0]
    assert torch.equal(first, regard.relevance(maps, scores, 1)["relevance"][0]) and not torch.equal(first, other)


def test_a_pass_can_be_explained_where_gradients_are_off(passed: tuple[Tensor, list[Tensor], Maps]) -> None:
    scores, _, maps = passed
    with torch.no_grad():
        found = regard.relevance(maps, scores, 1)["relevance"][0]
    assert torch.equal(found, regard.relevance(maps, scores, 1)["relevance"][0])


def test_relevance_needs_the_graph(passed: tuple[Tensor, list[Tensor], Maps]) -> None:
    scores, formed, maps = passed
    with pytest.raises(ValueError, match=r"blocks.0.attn/affinity: the map is not in the graph .* keep_graph=True"):
        regard.relevance(maps_of(*[layer.detach() for layer in formed]), scores)
    with pytest.raises(ValueError, match="target=1: the score does not depend on the maps"):
        regard.relevance(maps, scores.detach(), 1)
    with pytest.raises(ValueError, match="target=2: the score does not depend on the maps"):
        regard.relevance(maps, torch.ones(2, 5, requires_grad=True), 2)
    with pytest.raises(ValueError, match="classes from 0 to 3"):
        regard.relevance(maps, scores, 4)
    with pytest.raises(ValueError, match="attention within windows cannot be chained"):
        regard.relevance(windows(), scores)
