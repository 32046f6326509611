"""Watching attention that no `regard.Attention` forms: what counts as attention, its axes and places, editing it."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch._dynamo.testing
from torch import Tensor, nn
from torch.nn import functional as F

import regard
from regard.core import Formed, Maps, NothingSeen
from regard.watching import listen, watch

X = torch.linspace(-1, 1, 2 * 3 * 5 * 7).reshape(2, 3, 5, 7).sin()
Body = Callable[["Net", Tensor], Tensor]


class Net(nn.Module):
    """Two convolutions of an image, and what `body` makes of them."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body
        self.first = nn.Conv2d(3, 11, 1)
        self.second = nn.Conv2d(3, 11, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, x)


def net(body: Body) -> Net:
    torch.manual_seed(0)
    return Net(body).eval()


def times(gate: Callable[[Tensor], Tensor]) -> Body:
    """y · gate(y) of one convolution."""

    def body(own: Net, x: Tensor) -> Tensor:
        y = own.first(x)
        return y * gate(y)

    return body


def glu(own: Net, x: Tensor) -> Tensor:
    a, b = own.first(x)[:, :10].chunk(2, 1)
    return a * b.sigmoid()


def lstm(own: Net, x: Tensor) -> Tensor:
    """A step of a convolutional LSTM: gates are parts of one tensor, and of the same shape as the cell."""
    forget, let, out = own.first(x)[:, :9].chunk(3, 1)
    cell = forget.sigmoid() * own.second(x)[:, :3] + let.sigmoid() * let.tanh()
    return out.sigmoid() * cell.tanh()


ACTIVATIONS: dict[str, Body] = {
    "silu": times(torch.sigmoid),
    "quick gelu": times(lambda y: torch.sigmoid(1.702 * y)),
    "gelu": times(lambda y: 0.5 * (1 + torch.tanh(0.8 * (y + 0.045 * y**3)))),
    "hard swish": times(F.hardsigmoid),
    "ported hard swish": times(lambda y: F.relu6(y + 3) / 6),
    "mish": times(lambda y: F.softplus(y).tanh()),
    "glu": glu,
    "lstm": lstm,
    "gated unit": lambda own, x: own.first(x).tanh() * own.second(x).sigmoid(),
    "learned scale": lambda own, x: own.first(x) * own.second.bias.sigmoid()[:, None, None],
    "sigmoid layer": lambda own, x: F.linear(own.first(x).sigmoid(), torch.ones(2, 7)),
    "softmax of classes": lambda own, x: own.first(x).mean((2, 3)).softmax(-1),
    "place of the maximum": lambda own, x: (own.first(x).flatten(2).softmax(-1) * torch.arange(35.0)).sum(-1),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_function_is_no_attention(name: str) -> None:
    model = net(ACTIVATIONS[name])
    with pytest.raises(NothingSeen, match="Net has no attention to watch"), watch(model):
        model(X)


def pooled(own: Net, x: Tensor) -> Tensor:
    return own.second(x).mean((2, 3), keepdim=True)


def masked(own: Net, x: Tensor) -> Tensor:
    """A mask from a coarser grid, as of residual attention networks."""
    coarse = F.max_pool2d(own.second(x), 2).sigmoid()
    return own.first(x) * (1 + F.interpolate(coarse, (5, 7)))


def tokens(x: Tensor) -> Tensor:
    return x.flatten(2).mT


def branches(own: Net, x: Tensor) -> Tensor:
    y = torch.stack([own.first(x), own.second(x)], 1)
    return (y * y.mean((3, 4), keepdim=True).softmax(1)).sum(1)


def context(own: Net, x: Tensor) -> Tensor:
    weights = own.second(x)[:, :1].flatten(2).softmax(-1)
    return own.first(x).flatten(2) @ weights.mT


def attended(own: Net, x: Tensor) -> Tensor:
    q, k = tokens(own.first(x)), own.second(x).flatten(2)
    return (q @ k / 11**0.5).softmax(-1) @ q


def reduced(own: Net, x: Tensor) -> Tensor:
    """Keys on a coarser grid, by einsum, with the queries last."""
    q, k = own.first(x).flatten(2), F.avg_pool2d(own.second(x), (2, 3)).flatten(2)
    return torch.einsum("bck,bkq->bcq", k, torch.einsum("bck,bcq->bkq", k, q).softmax(1))


# body -> key, axes, shape, axes that sum to 1, grids
MAPS: dict[str, tuple[Body, str, str, tuple[int, ...], str, dict[str, tuple[int, ...]]]] = {
    "channels": (lambda n, x: n.first(x) * pooled(n, x).sigmoid(), "gate", "B C 1 1", (2, 11, 1, 1), "", {}),
    "expanded": (
        lambda n, x: pooled(n, x).sigmoid().expand(-1, -1, 5, 7) * n.first(x),
        "gate",
        "B C 1 1",
        (2, 11, 1, 1),
        "",
        {},
    ),
    "in place": (
        lambda n, x: n.first(x).mul_(F.hardsigmoid(pooled(n, x), inplace=True)),
        "gate",
        "B C 1 1",
        (2, 11, 1, 1),
        "",
        {},
    ),
    "ported": (lambda n, x: n.first(x) * (F.relu6(pooled(n, x) + 3) / 6), "gate", "B C 1 1", (2, 11, 1, 1), "", {}),
    "channels last": (
        lambda n, x: n.first(x).permute(0, 2, 3, 1) * pooled(n, x).sigmoid().permute(0, 2, 3, 1),
        "gate",
        "B C 1 1",
        (2, 11, 1, 1),
        "",
        {},
    ),
    "places": (
        lambda n, x: tokens(n.first(x)) * tokens(n.second(x)).mean(2, keepdim=True).sigmoid(),
        "gate",
        "B 1 H W",
        (2, 1, 5, 7),
        "",
        {},
    ),
    "mask": (masked, "gate", "B C H W", (2, 11, 5, 7), "", {}),
    "branches": (branches, "weights", "B S C 1 1", (2, 2, 11, 1, 1), "S", {}),
    "scaled": (
        lambda n, x: 3 * tokens(n.second(x)).mT.softmax(-1) @ tokens(n.first(x)),
        "weights",
        "B C H W",
        (2, 11, 5, 7),
        "",
        {},
    ),
    "rows": (
        lambda n, x: n.first(x) * n.second(x).mean((1, 3), keepdim=True).softmax(2),
        "weights",
        "B 1 H 1",
        (2, 1, 5, 1),
        "H",
        {},
    ),
    "context": (context, "weights", "B 1 H W", (2, 1, 5, 7), "H W", {}),
    "self-attention": (attended, "affinity", "B Q K", (2, 35, 35), "K", {"Q": (5, 7), "K": (5, 7)}),
    "reduced": (reduced, "affinity", "B Q K", (2, 35, 4), "K", {"Q": (5, 7), "K": (2, 2)}),
}


@pytest.mark.parametrize("name", MAPS)
def test_attention_has_axes_sums_and_grids(name: str) -> None:
    body, key, axes, shape, sums, grids = MAPS[name]
    model = net(body)
    plain = model(X)
    with watch(model, keep_graph=True) as maps:
        seen = model(X)
    torch.testing.assert_close(seen, plain)
    assert list(maps) == [key] and maps.foreign == {key}
    assert (maps.axes[key], tuple(maps[key][0].shape), maps.sums[key]) == (axes, shape, sums)
    assert maps.grids.get(key, {}) == grids
    if sums:
        over = [axes.split().index(letter) for letter in sums.split()]
        torch.testing.assert_close(maps[key][0].sum(over), torch.ones_like(maps[key][0].sum(over)))
    (gradient,) = torch.autograd.grad(seen.square().sum(), maps[key][0])
    assert gradient.any(), "the recorded map lies on the way to the output"


@pytest.mark.parametrize("name", MAPS)
def test_an_edited_map_acts(name: str) -> None:
    model = net(MAPS[name][0])
    plain = model(X)
    with listen(model, lambda formed: formed.map.clone(), edits=True):
        assert torch.equal(model(X), plain)
    with listen(model, lambda formed: formed.map * 2, edits=True), watch(model) as maps:
        doubled = model(X)
    torch.testing.assert_close(doubled, 2 * plain)  # each of these outputs is linear in its map
    with watch(model) as once:
        model(X)
    assert torch.equal(maps[MAPS[name][1]][0], 2 * once[MAPS[name][1]][0])


class Windows(nn.Module):
    """Attention in windows of 3 × 4 that are shifted by (1, 2) over a padded image; its values are the image."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Conv2d(3, 20, 1)

    def cut(self, x: Tensor) -> Tensor:
        x = torch.roll(F.pad(x, (0, 1, 0, 1)).permute(0, 2, 3, 1), (-1, -2), (1, 2))
        return x.reshape(x.shape[0], 2, 3, 2, 4, -1).permute(0, 1, 3, 2, 4, 5).reshape(x.shape[0] * 4, 12, -1)

    def forward(self, x: Tensor) -> Tensor:
        q, k = self.cut(self.project(x)).reshape(-1, 12, 2, 10).transpose(1, 2).chunk(2, -1)
        y = F.scaled_dot_product_attention(q, k, self.cut(x)[:, None].expand(-1, 2, -1, -1))
        y = y.reshape(-1, 2, 2, 2, 3, 4, 3).permute(0, 3, 6, 1, 4, 2, 5).reshape(-1, 2, 3, 6, 8)
        return torch.roll(y, (1, 2), (3, 4))[..., :5, :7]


@pytest.mark.parametrize("batch", [1, 2])
def test_windows_are_put_back_on_the_image(batch: int) -> None:
    torch.manual_seed(1)
    model, x = Windows().eval(), X[:batch].clone()
    x[:, 0] = torch.arange(35.0).reshape(5, 7) / 9  # values that are the index of their place, scaled
    plain = model(x)
    with watch(model) as maps:
        seen = model(x)
    torch.testing.assert_close(seen, plain)
    map, places = maps["affinity"][0], maps.places["affinity"]
    assert maps.axes["affinity"] == "B h Q X" and maps.sums["affinity"] == "X"
    assert map.shape == (batch, 2, 35, 12) and places.shape == (35, 12)
    assert maps.grids["affinity"] == {"Q": (5, 7), "K": (5, 7)}
    expected = (map * places.clamp(min=0)).sum(-1) / 9  # padding is worth 0, and so is place 0
    torch.testing.assert_close(seen[:, :, 0].flatten(2), expected, atol=1e-4, rtol=1e-4)
    with listen(model, lambda formed: formed.map * torch.tensor([1.0, 3.0])[:, None, None], edits=True):
        edited = model(x)
    torch.testing.assert_close(edited, plain * torch.tensor([1.0, 3.0])[:, None, None, None])


class Heads(nn.Module):
    """Scaled dot-product attention over the tokens of an image, with learned tokens in front."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__()
        self.attend = partial(F.scaled_dot_product_attention, **kwargs)  # type: ignore[arg-type]
        self.cls_token = nn.Parameter(torch.ones(1, 1, 24))
        self.register_tokens = nn.Parameter(torch.zeros(1, 2, 24))
        self.embed = nn.Conv2d(3, 24, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).mT
        x = torch.cat([token.expand(len(x), -1, -1) for token in (self.cls_token, self.register_tokens)] + [x], 1)
        x = x.unflatten(-1, (4, 6)).transpose(1, 2)
        return self.attend(x, x.sin(), x.cos())


class Patches(nn.Module):
    """Weights over the patches of an image, for each pixel of a patch by itself, as in MobileViT v2."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Conv2d(3, 7, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.project(x[..., :4, :6]).reshape(-1, 7, 2, 2, 3, 2).permute(0, 1, 3, 5, 2, 4).reshape(-1, 7, 4, 6)
        score, value = x.split((1, 6), 1)
        return value * score.softmax(-1)


def test_places_that_are_out_of_order_are_put_back_on_the_image() -> None:
    torch.manual_seed(0)
    model = Patches()
    plain = model(X)
    with watch(model) as maps:
        model(X)
    assert maps.axes == {"weights": "B 1 H W"}
    scores = model.project(X[..., :4, :6])[:, :1]
    for top, left in ((0, 0), (0, 1), (1, 0), (1, 1)):  # the same pixel of each patch
        expected = scores[..., top::2, left::2].flatten(2).softmax(-1).unflatten(-1, (2, 3))
        torch.testing.assert_close(maps["weights"][0][..., top::2, left::2], expected)
    with listen(model, lambda formed: 2 * formed.map, edits=True):
        torch.testing.assert_close(model(X), 2 * plain)


def test_tokens_in_front_of_the_grid_are_named() -> None:
    model = Heads()
    with watch(model) as maps:
        model(X)
    assert maps["affinity"][0].shape == (2, 4, 38, 38) and maps.axes["affinity"] == "B h Q K"
    grids = ((1, 1), (1, 1), (1, 1), (5, 7))
    assert maps.grids["affinity"] == {"Q": grids, "K": grids}
    assert maps.tokens["affinity"]["K"] == ("class", "register 1", "register 2")


def lower(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.bool).tril(2)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"is_causal": True},
        {"scale": 0.3},
        {"attn_mask": lower(38, 38)},
        {"attn_mask": torch.zeros(38, 38).masked_fill(~lower(38, 38), -3.0)},
        {"attn_mask": torch.zeros(38, 38, dtype=torch.bool)},  # rows without keys
    ],
    ids=["causal", "scale", "boolean mask", "additive mask", "no keys"],
)
def test_fused_attention_has_the_same_output_in_explicit_form(kwargs: dict[str, object]) -> None:
    torch.manual_seed(0)
    model = Heads(**kwargs)
    with watch(model):
        seen = model(X)
    torch.testing.assert_close(seen, model(X), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_fused_attention_with_fewer_heads_of_keys(dtype: torch.dtype) -> None:
    class Grouped(nn.Module):
        def forward(self, q: Tensor, k: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k, k.sin(), enable_gqa=True)

    q, k = torch.randn(2, 6, 5, 4).to(dtype), torch.randn(2, 3, 7, 4).to(dtype)
    model = Grouped()
    with watch(model) as maps:
        seen = model(q, k)
    assert maps["affinity"][0].shape == (2, 6, 5, 7) and maps["affinity"][0].dtype == dtype
    tolerance = 1e-2 if dtype == torch.bfloat16 else 1e-9
    torch.testing.assert_close(seen, model(q, k), atol=tolerance, rtol=tolerance)


def test_dropout_in_training_comes_after_the_map() -> None:
    model = Heads(dropout_p=1.0)
    with watch(model) as maps:
        assert not model(X).any()
    torch.testing.assert_close(maps["affinity"][0].sum(-1), torch.ones(2, 4, 38))


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("first", ["batch", "length"])
def test_multi_head_attention_of_torch(first: str, weights: bool) -> None:
    torch.manual_seed(0)
    model = nn.MultiheadAttention(12, 4, batch_first=first == "batch", add_bias_kv=True, add_zero_attn=True).eval()
    q, k = (torch.randn(3, length, 12) if first == "batch" else torch.randn(length, 3, 12) for length in (5, 7))
    with torch.no_grad():
        plain, averaged = model(q, k, k, need_weights=weights)
        with watch(model) as maps:
            seen, shown = model(q, k, k, need_weights=weights)
        with listen(model, lambda formed: formed.map * 0, edits=True):
            even, _ = model(q, k, k, need_weights=weights)
    torch.testing.assert_close(seen, plain)
    assert maps["affinity"][0].shape == (3, 4, 5, 9) and maps.axes["affinity"] == "B h Q K"
    if weights:
        torch.testing.assert_close(maps["affinity"][0].mean(1), averaged)
        torch.testing.assert_close(shown, averaged)
    torch.testing.assert_close(even, model.out_proj.bias.expand_as(even))


def test_an_encoder_of_torch_leaves_its_fast_path() -> None:
    torch.manual_seed(0)
    model = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(12, 4, 16, batch_first=True), 2, enable_nested_tensor=False
    ).eval()
    x, padding = torch.randn(3, 5, 12), torch.zeros(3, 5, dtype=torch.bool)
    padding[1, 3:] = True
    with torch.no_grad():
        plain = model(x, src_key_padding_mask=padding)
        with watch(model) as maps:
            seen = model(x, src_key_padding_mask=padding)
    torch.testing.assert_close(seen[~padding], plain[~padding])  # the fast path makes zeros of what is padded
    assert list(maps) == ["layers.0.self_attn/affinity", "layers.1.self_attn/affinity"]
    assert not maps["layers.0.self_attn/affinity"][0][1, :, :, 3:].any()


class Gates(nn.Module):
    """Two gates of different axes in one module, the first of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 3, 1), nn.Sigmoid())
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = x * self.squeeze(x)
        return x * self.sigmoid(F.conv2d(x, torch.ones(1, 3, 1, 1)))


def test_maps_of_one_module_are_looks_if_their_axes_agree() -> None:
    model = nn.Sequential(Gates(), nn.ReLU())
    with watch(model) as maps:
        model(X)
        model(X)
    assert {key: len(looks) for key, looks in maps.items()} == {"0/gate": 4, "0/gate2": 2}
    assert maps.axes == {"0/gate": "B C 1 1", "0/gate2": "B 1 H W"}


def mixed() -> nn.Sequential:
    """A mechanism of ours and attention of another origin."""
    torch.manual_seed(0)
    return nn.Sequential(regard.create("se", channels=3, reduction=1), Gates(), net(attended)).eval()


def test_own_and_foreign_maps_are_recorded_together() -> None:
    model = mixed()
    with watch(model) as maps:
        model(X)
    assert list(maps) == ["0/channel", "1/gate", "1/gate2", "2/affinity"]
    assert maps.foreign == {"1/gate", "1/gate2", "2/affinity"}
    with watch(model, foreign=False) as maps:
        model(X)
    assert list(maps) == ["0/channel"] and not maps.foreign
    with (
        pytest.raises(NothingSeen, match=r"none of its 7 modules is a regard\.Attention"),
        watch(nn.Sequential(Gates()), foreign=False),
    ):
        pass


def test_nested_watches_see_each_map_once() -> None:
    model = mixed()
    with watch(model) as outer, watch(model[1]) as inner:
        model(X)
        model(X)
    assert {key: len(looks) for key, looks in outer.items()} == {
        "0/channel": 2, "1/gate": 4, "1/gate2": 2, "2/affinity": 2
    }  # fmt: skip
    assert {key: len(looks) for key, looks in inner.items()} == {"gate": 4, "gate2": 2}


def state(model: nn.Module) -> dict[str, dict[str, object]]:
    return {name: copy.copy(module.__dict__) for name, module in model.named_modules()}


def test_nothing_is_left_behind_after_an_error() -> None:
    model = mixed()
    plain, before = model(X), state(model)

    def fails(_: Formed) -> None:
        raise ZeroDivisionError

    for listener in (fails, lambda _: None):
        with pytest.raises(ZeroDivisionError), listen(model, listener):
            model(X)
            raise ZeroDivisionError
    assert state(model) == before
    assert torch.overrides._get_current_function_mode_stack() == []
    assert torch.equal(model(X), plain)
    with watch(model) as maps:
        with pytest.raises(ValueError, match="C=3 is needed"):
            model(X[:, :2])  # an error inside a module that the caller catches
        model(X)
    assert maps["2/affinity"][0].shape == (2, 35, 35)


def test_copies_and_pickles_made_inside_the_block_are_not_watched() -> None:
    model = nn.Sequential(Gates())
    with watch(model) as maps:
        copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
        for other in copies:
            assert torch.equal(other(X), model(X))
    assert len(maps["0/gate2"]) == 2, "the copies' passes are not recorded"
    for other in copies:
        other(X)
        assert not other[0]._forward_hooks and not other[0]._forward_pre_hooks


def test_passes_of_other_threads_are_not_recorded() -> None:
    model, seen = nn.Sequential(Gates()), Maps()

    def other() -> None:
        model(X)
        with watch(model) as maps:
            model(X)
        seen.update(maps)

    thread = threading.Thread(target=other)
    with watch(model) as maps:
        model(X)
        thread.start()
        thread.join(timeout=0.1)
        assert thread.is_alive(), "the second watcher has to wait"
        model(X)
    thread.join(timeout=30)
    assert len(maps["0/gate2"]) == 2
    assert len(seen["0/gate2"]) == 1


@pytest.mark.slow
def test_a_compiled_model_runs_eagerly_inside_and_is_not_compiled_again() -> None:
    torch.compiler.reset()
    model = net(attended)
    plain = model(X)
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(model, backend=counter)
    compiled(X)
    with watch(compiled) as maps:
        torch.testing.assert_close(compiled(X), plain)
    assert list(maps) == ["affinity"]
    torch.testing.assert_close(compiled(X), plain)
    assert counter.frame_count == 1
    torch.compiler.reset()
