"""`regard.edits`: what each edit makes of a map, JSON both ways, and clear errors."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor

from regard import edits
from regard.watching.edits import KINDS, Edit

AFFINITY = {"key": "block/affinity", "axes": "B h Q K", "grids": {"Q": (2, 3), "K": ((1, 1), (2, 3))}, "sums": "K"}
GATE = {"key": "se/gate", "axes": "B C 1 1"}
SPATIAL = {"key": "gc/spatial", "axes": "B 1 H W", "sums": "H W"}


def affinity() -> Tensor:
    """Of 2 images, 5 heads, 6 queries and 7 keys, of which the first is a class token."""
    return torch.linspace(0.1, 1, 2 * 5 * 6 * 7).view(2, 5, 6, 7).softmax(-1)


def gate() -> Tensor:
    return torch.linspace(0.1, 0.9, 6).view(2, 3, 1, 1)


def test_constant_scale_and_uniform() -> None:
    assert torch.equal(edits.constant(0.25)(gate(), **GATE), torch.full((2, 3, 1, 1), 0.25))
    torch.testing.assert_close(edits.constant(3)(affinity(), **AFFINITY), torch.full((2, 5, 6, 7), 1 / 7))
    assert not edits.constant(0)(affinity(), **AFFINITY).any()
    torch.testing.assert_close(edits.scale(0.5)(gate(), **GATE), gate() / 2)
    with pytest.raises(ValueError, match="scale: block/affinity sums to 1 over K, which no factor changes"):
        edits.scale(2)(affinity(), **AFFINITY)
    torch.testing.assert_close(edits.uniform()(affinity(), **AFFINITY), torch.full((2, 5, 6, 7), 1 / 7))
    even = edits.uniform()(gate(), **GATE)
    torch.testing.assert_close(even, gate().mean((1, 2, 3), keepdim=True).expand(2, 3, 1, 1))


def test_hidden_places_stay_hidden_but_a_hard_map_is_spread() -> None:
    causal = torch.tensor([[1, 0, 0], [0.25, 0.75, 0], [0.5, 0.25, 0.25]])[None, None]
    told = {**AFFINITY, "grids": {}}
    wanted = torch.tensor([[1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]])[None, None]
    torch.testing.assert_close(edits.uniform()(causal, **told), wanted)
    shuffled = edits.shuffle(3)(causal, **told)
    assert torch.equal(shuffled == 0, causal == 0)
    assert torch.equal(shuffled.sort(-1).values, causal.sort(-1).values)
    hard = torch.tensor([[0.0, 1.0, 0.0]])[None, None]
    torch.testing.assert_close(edits.uniform()(hard, **told), torch.full((1, 1, 1, 3), 1 / 3))


def test_temperature_is_that_of_the_softmax_and_of_the_sigmoid() -> None:
    scores = torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    for value in (0.05, 0.5, 3.0):
        sharpened = edits.temperature(value)(scores.softmax(-1), **AFFINITY)
        torch.testing.assert_close(sharpened, (scores / value).softmax(-1), rtol=1e-4, atol=1e-6)
        logits = scores[:, :3, :1, :1]
        torch.testing.assert_close(edits.temperature(value)(logits.sigmoid(), **GATE), (logits / value).sigmoid())
    with pytest.raises(
        ValueError, match=r"temperature: se/gate goes from 0.2 to 1.8: a gate between 0 and 1 is needed"
    ):
        edits.temperature(2)(2 * gate(), **GATE)
    hidden = torch.tensor([[0.5, 0.5, 0.0]], requires_grad=True)
    edits.temperature(2)(hidden, key="m", axes="B K", sums="K")[0, 0].backward()
    assert hidden.grad is not None and hidden.grad.isfinite().all()


def test_ablate_takes_all_weight_and_only_what_sums_to_1_over_it_is_shared_out() -> None:
    map = affinity()
    ablated = edits.ablate(head=2)(map, **AFFINITY)
    assert not ablated[:, 2].any()
    assert torch.equal(ablated[:, [0, 1, 3, 4]], map[:, [0, 1, 3, 4]])
    queries = edits.ablate(query=[0, 5])(map, **AFFINITY)
    assert not queries[:, :, [0, 5]].any() and torch.equal(queries[:, :, 1:5], map[:, :, 1:5])
    channels = edits.ablate(channel=1)(gate(), **GATE)
    assert torch.equal(channels[:, 0], gate()[:, 0]) and not channels[:, 1].any()
    over_channels = edits.ablate(channel=0)(gate() / gate().sum(1, keepdim=True), **GATE, sums="C")
    torch.testing.assert_close(over_channels.sum(1), torch.ones(2, 1, 1))
    rows = edits.ablate(query=1)(map, key="self", axes="B h T T", sums="T")
    assert not rows[:, :, 1].any() and torch.equal(rows[:, :, 2:], map[:, :, 2:])


def test_ablate_names_the_map_and_what_it_has() -> None:
    with pytest.raises(ValueError, match=r"ablate\(head=5\): block/affinity has 5, numbered 0 to 4"):
        edits.ablate(head=[1, 5])(affinity(), **AFFINITY)
    with pytest.raises(ValueError, match=r"ablate\(head=…\): gc/spatial has the axes 'B 1 H W', none of which counts"):
        edits.ablate(head=0)(torch.ones(2, 1, 3, 5), **SPATIAL)
    with pytest.raises(ValueError, match="one of head, channel and query is needed, not head, query"):
        edits.ablate(head=1, query=2)
    with pytest.raises(ValueError, match="one of head, channel and query is needed, not none"):
        edits.ablate()
    with pytest.raises(ValueError, match=r"head=-1: a whole number of at least 0 is needed"):
        edits.ablate(head=-1)


def test_mask_takes_the_weight_from_a_region_of_the_image() -> None:
    map = torch.full((2, 1, 4, 6), 1 / 24)
    left = edits.mask((0, 0, 0.5, 1))(map, **SPATIAL)
    assert not left[..., :3].any()
    torch.testing.assert_close(left[..., 3:], torch.full((2, 1, 4, 3), 1 / 12))
    kept = edits.mask((0, 0, 0.5, 1), keep=True)(map, **SPATIAL)
    torch.testing.assert_close(kept, left.flip(-1))
    quarter = edits.mask((0, 0, 1 / 12, 1), keep=True)(torch.ones(1, 1, 4, 6), key="g", axes="B 1 H W")
    torch.testing.assert_close(quarter[..., 0], torch.full((1, 1, 4), 0.5))  # half of a cell
    drawn = edits.mask([[1, 0], [0, 0]])(torch.ones(1, 1, 2, 2), key="g", axes="B 1 H W")
    torch.testing.assert_close(drawn, torch.tensor([[[[0.0, 1], [1, 1]]]]))


def test_mask_of_keys_leaves_tokens_in_front_and_windows_have_keys_of_their_own() -> None:
    masked = edits.mask((0, 0, 1, 0.5))(affinity(), **AFFINITY)  # the upper of two rows of three
    assert not masked[..., 1:4].any() and (masked[..., [0, 4, 5, 6]] > 0).all()
    torch.testing.assert_close(masked.sum(-1), torch.ones(2, 5, 6))
    places = torch.tensor([[0, 1], [0, 1], [2, -1]])  # of three queries, two keys each on a grid of 1 x 3
    windows = torch.full((1, 2, 3, 2), 0.5)
    told = {"key": "w/affinity", "axes": "B h Q X", "grids": {"Q": (1, 3), "K": (1, 3)}, "sums": "X"}
    masked = edits.mask((0, 0, 1 / 3, 1))(windows, **told, places=places)
    torch.testing.assert_close(masked[0, 0], torch.tensor([[0.0, 1], [0, 1], [0.5, 0.5]]))


def test_mask_needs_positions_and_a_region() -> None:
    with pytest.raises(ValueError, match="mask: se/gate has the axes 'B C 1 1', none of which are positions"):
        edits.mask((0, 0, 1, 1))(gate(), **GATE)
    with pytest.raises(ValueError, match="none of which are positions"):
        edits.mask((0, 0, 1, 1))(torch.ones(1, 3, 5, 7), key="cca/affinity", axes="B H W X", sums="X")
    with pytest.raises(ValueError, match="left < right and top < bottom are needed"):
        edits.mask((0.5, 0, 0.5, 1))
    with pytest.raises(ValueError, match="region: rows of one length are needed"):
        edits.mask([[0, 1], [1]])


def test_shuffle_moves_the_weights_of_each_row_the_same_in_every_pass() -> None:
    map = affinity()
    once, twice, other = (edits.shuffle(seed)(map, **AFFINITY) for seed in (1, 1, 2))
    assert torch.equal(once, twice) and not torch.equal(once, other)
    assert torch.equal(once.sort(-1).values, map.sort(-1).values)
    spatial = torch.linspace(0, 1, 2 * 15).view(2, 1, 3, 5)
    moved = edits.shuffle(0)(spatial, key="g", axes="B 1 H W")
    assert torch.equal(moved.flatten(1).sort().values, spatial.flatten(1))
    assert not torch.equal(moved, spatial)
    over_channels = edits.shuffle(0)(torch.rand(2, 7, 3, 5).softmax(1), key="d", axes="B G H W", sums="G")
    torch.testing.assert_close(over_channels.sum(1), torch.ones(2, 3, 5))


def test_mean_and_swap_take_maps_of_other_images() -> None:
    map, others = affinity(), affinity().flip(0, -1)
    torch.testing.assert_close(edits.mean(others)(map, **AFFINITY), others.mean(0, keepdim=True).expand_as(map))
    torch.testing.assert_close(edits.swap(others[:1])(map, **AFFINITY), others[:1].expand_as(map))
    torch.testing.assert_close(edits.swap(others.tolist())(map, **AFFINITY), others)
    looks = edits.swap([gate(), 2 * gate()])
    assert torch.equal(looks(gate(), **GATE, look=1), 2 * gate())
    assert torch.equal(looks(gate(), **GATE, look=2), gate())
    words = torch.arange(2 * 3 * 5.0).view(2, 3, 5)
    step = edits.swap(words)(torch.zeros(2, 1, 5), key="attention", axes="B L N", look=2)
    assert torch.equal(step, words[:, 2:])
    shapes = r"swap: maps of shape \(2, 5, 6, 6\), but block/affinity is \(2, 5, 6, 7\), B h Q K"
    with pytest.raises(ValueError, match=shapes):
        edits.swap(map[..., :6])(map, **AFFINITY)
    with pytest.raises(ValueError, match="maps: a tensor, a list of them or nested lists of numbers are needed"):
        edits.mean([[1, 2], [3]])


EVERY = (
    edits.constant(0.5), edits.scale(2), edits.temperature(0.5), edits.mask((0, 0, 0.5, 1), keep=True),
    edits.mask([[0, 1], [1, 0.5]]), edits.uniform(), edits.shuffle(3), edits.ablate(head=[1, 2]),
    edits.ablate(query=0), edits.mean(gate()), edits.swap(gate()[:1]),
)  # fmt: skip


@pytest.mark.parametrize("edit", EVERY, ids=[one.kind for one in EVERY])
def test_edits_go_to_json_and_back(edit: Edit) -> None:
    text = json.dumps(edit.to_json())
    back = Edit.from_json(json.loads(text))
    assert type(back) is type(edit) and json.dumps(back.to_json()) == text
    if edit.kind not in ("mean", "swap"):
        assert back == edit
    assert edit.to_json()["edit"] in KINDS


def test_data_that_are_no_edit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"edit='blur': one of ablate, constant, mask, mean, .* is needed"):
        Edit.from_json({"edit": "blur"})
    with pytest.raises(ValueError, match="scale: no argument 'value'; it takes factor"):
        Edit.from_json({"edit": "scale", "value": 2})
    with pytest.raises(ValueError, match=r"scale: .*factor"):
        Edit.from_json({"edit": "scale"})
    with pytest.raises(ValueError, match="factor='2'"):
        Edit.from_json({"edit": "scale", "factor": "2"})
    with pytest.raises(ValueError, match="factor=nan"):
        edits.scale(math.nan)
    with pytest.raises(ValueError, match="value=0: "):
        edits.temperature(0)
    with pytest.raises(ValueError, match="maps: 2 looks, of which JSON holds one"):
        edits.mean([gate(), gate()]).to_json()


def test_every_function_of_the_file_is_an_edit_that_json_knows() -> None:
    here = {kind for kind, edit in KINDS.items() if edit.__module__ == edits.__name__}
    assert {edit.kind for edit in EVERY} == here
    assert all(callable(getattr(edits, kind)) for kind in here)


def test_a_plane_has_no_hidden_places() -> None:
    map = torch.arange(15.0).view(1, 1, 3, 5) / 105  # of which the first is exactly 0
    torch.testing.assert_close(edits.uniform()(map, **SPATIAL), torch.full((1, 1, 3, 5), 1 / 15))
    assert edits.shuffle(0)(map, **SPATIAL)[0, 0, 0, 0] > 0
