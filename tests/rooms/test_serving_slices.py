"""Slices of maps: what is cut of which axes."""

from __future__ import annotations

import pytest
import torch

from regard.core import Maps
from regard.serving.slices import cut, layout


def recorded(values, axes, **facts):
    maps = Maps()
    maps["m"], maps.axes["m"] = [values], axes
    maps.grids["m"] = facts.get("grids", {})
    if "places" in facts:
        maps.places["m"] = facts["places"]
    return maps


def counted(*shape):
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).view(shape)


def test_a_spatial_map_is_drawn_as_it_is():
    maps = recorded(counted(1, 1, 3, 5), "B 1 H W")
    assert layout(maps, "m", 0).facts() == {
        "kind": "plane", "size": [3, 5], "parts": 1, "part": "part", "queries": None, "queryTokens": 0, "tokens": 0,
    }  # fmt: skip
    assert torch.equal(cut(maps, "m").values, maps["m"][0][0, 0]) and cut(maps, "m").ends == (0, 14)


@pytest.mark.parametrize("axes", ["B C H W", "B T h w"])
def test_parts_are_chosen_or_averaged(axes):
    values = counted(1, 3, 5, 7)
    maps = recorded(values, axes)
    assert (layout(maps, "m", 0).parts, layout(maps, "m", 0).size) == (3, (5, 7))
    assert torch.equal(cut(maps, "m", part=2).values, values[0, 2])
    assert torch.equal(cut(maps, "m").values, values[0].mean(0))


def test_queries_and_keys_have_their_grids_and_tokens():
    """Two heads, one class token before 3 x 5 queries and keys."""
    values = counted(1, 2, 16, 16).softmax(-1)
    grid = ((1, 1), (3, 5))
    maps = recorded(values, "B h Q K", grids={"Q": grid, "K": grid})
    found = layout(maps, "m", 0)
    assert (found.kind, found.size, found.parts, found.part) == ("plane", (3, 5), 2, "head")
    assert (found.queries, found.query_tokens, found.tokens) == ((3, 5), 1, 1)
    one = cut(maps, "m", part=1, query=7)
    assert torch.equal(one.values, values[0, 1, 7, 1:].view(3, 5)) and one.tokens == (float(values[0, 1, 7, 0]),)
    assert torch.allclose(cut(maps, "m").values, values[0].mean((0, 1))[1:].view(3, 5))
    with pytest.raises(ValueError, match="query=16: a number from 0 to 15"):
        cut(maps, "m", query=16)
    with pytest.raises(ValueError, match="head=2: a number from 0 to 1"):
        cut(maps, "m", part=2)


def test_the_axis_of_queries_need_not_be_the_last_but_one():
    values = counted(1, 15, 2, 35)
    maps = recorded(values, "B Q h K", grids={"Q": (3, 5), "K": (5, 7)})
    assert torch.equal(cut(maps, "m", part=1, query=4).values, values[0, 4, 1].view(5, 7))


def test_windows_are_put_back_on_the_image():
    """Queries 2 x 2, each with three places of a grid of 2 x 3, some of them outside."""
    values = counted(1, 2, 4, 3)
    places = torch.tensor([[0, 1, -1], [1, 2, 5], [3, 4, 0], [-1, 4, 5]])
    maps = recorded(values, "B h Q X", grids={"Q": (2, 2), "K": (2, 3)}, places=places)
    assert torch.equal(cut(maps, "m", part=1, query=0).values, torch.tensor([[12.0, 13, 0], [0, 0, 0]]))
    assert torch.equal(cut(maps, "m", part=0, query=3).values, torch.tensor([[0.0, 0, 0], [0, 10, 11]]))
    mean = sum(cut(maps, "m", query=query).values for query in range(4)) / 4
    assert torch.allclose(cut(maps, "m").values, mean)


def test_classes_at_each_place_are_parts():
    values = counted(1, 15, 4)
    maps = recorded(values, "B Q K", grids={"Q": (3, 5)})
    assert layout(maps, "m", 0).parts == 4
    assert torch.equal(cut(maps, "m", part=3).values, values[0, :, 3].view(3, 5))


def test_gates_and_matrices_are_bars():
    gate = recorded(counted(1, 7, 1, 1), "B C 1 1")
    assert (layout(gate, "m", 0).kind, layout(gate, "m", 0).size) == ("bars", (7,))
    matrix = recorded(counted(1, 5, 7), "B C C")
    assert torch.equal(cut(matrix, "m", part=2).values, matrix["m"][0][0, 2]), "one row, never the whole matrix"


@pytest.mark.parametrize(
    ("shape", "axes", "kind"),
    [((1, 3, 2), "B T 2", "path"), ((1, 3, 4), "B T 4", "boxes"), ((1, 3, 5, 2), "B H W 2", "lattice")],
)
def test_places_stay_numbers(shape, axes, kind):
    values = counted(*shape)
    maps = recorded(values, axes)
    assert layout(maps, "m", 0).kind == kind and torch.equal(cut(maps, "m").values, values[0])


def test_a_cross_reaches_its_column_and_row():
    values = torch.zeros(1, 3, 5, 8)
    values[0, 1, 2] = torch.tensor([0.1, 0.2, 0.3, 0.0, 0.0, 0.0, 0.4, 0.0])
    found = cut(recorded(values, "B H W X"), "m", query=7).values
    exact = torch.zeros(3, 5)
    exact[:, 2] += torch.tensor([0.1, 0.2, 0.3])
    exact[1, 3] += 0.4
    assert torch.allclose(found, exact)


def test_axes_that_do_not_fit_are_bars_of_the_last():
    maps = recorded(counted(1, 3, 5), "")
    assert (layout(maps, "m", 0).parts, layout(maps, "m", 0).size) == (3, (5,))
