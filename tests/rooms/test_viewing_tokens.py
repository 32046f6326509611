"""Maps with tokens in front of the grid and within windows: which picture shows what, and one heat map for each."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import regard
from regard.core import Maps
from regard.viewing import spatial
from regard.viewing.scaling import Colouring
from regard.viewing.tokens import Tokens, tokens_of, windows_of

H, W = 3, 5
PLACES = H * W
TOKENS = ("class", "register 1", "register 2")
GRID = ((1, 1), (1, 1), (1, 1), (H, W))
LETTERS = ("B", "h", "Q", "K")
KEY = "blocks.1.attn/affinity"


def affinity(*shape: int, seed: int = 0) -> Tensor:
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (2 * scores).softmax(-1)


def maps_of(weights: Tensor, tokens: tuple[str, ...] = TOKENS, grid: object = GRID) -> Maps:
    maps = Maps()
    maps[KEY], maps.axes[KEY], maps.sums[KEY] = [weights], "B h Q K", "K"
    maps.grids[KEY] = {"Q": grid, "K": grid}
    maps.tokens[KEY] = {"Q": tokens, "K": tokens}
    maps.foreign.add(KEY)
    return maps


def ends(values: Tensor) -> object:
    return pytest.approx((float(values.min()), float(values.max())))


def token_view(weights: Tensor, maps: Maps) -> Tokens:
    found = tokens_of(weights[:1], LETTERS, maps.grids[KEY], maps.tokens[KEY])
    assert found is not None
    return found


def test_the_heat_map_is_the_row_of_the_class_token() -> None:
    weights = affinity(2, 7, PLACES + 3, PLACES + 3)
    heat = spatial(maps_of(weights), KEY)
    assert heat is not None
    torch.testing.assert_close(heat, weights[:, :, 0, 3:].mean(1).view(2, H, W))


def test_without_a_class_token_it_is_what_places_receive_of_places() -> None:
    weights = affinity(2, 7, PLACES + 2, PLACES + 2)
    maps = maps_of(weights, ("register 1", "register 2"), ((1, 1), (1, 1), (H, W)))
    heat = spatial(maps, KEY)
    assert heat is not None
    torch.testing.assert_close(heat, weights[:, :, 2:, 2:].mean((1, 2)).view(2, H, W))
    assert list(token_view(weights, maps).rows()) == [
        "received",
        "from the register 1 token",
        "from the register 2 token",
    ]


def test_every_part_has_its_picture() -> None:
    weights = affinity(2, 7, PLACES + 3, PLACES + 3)
    pictures = regard.draw(maps_of(weights), torch.rand(3, 30, 50))
    names = [picture.name.removeprefix(f"{KEY}, ") for picture in pictures]
    assert names == [
        "from the class token", *(f"from the class token, head {i} of 7" for i in range(1, 8)),
        "from the register 1 token", "from the register 2 token", "received", "from centre", "from strongest",
    ]  # fmt: skip
    share = 100 * float(weights[0, :, 0, :3].sum(1).mean())
    assert pictures[0].caption.endswith(f"; {share:.0f} % on the class token and 2 more")
    assert pictures[0].span == ends(weights[0, :, 0, 3:].mean(0))
    assert pictures[3].span == ends(weights[0, 2, 0, 3:])


def test_a_chosen_place_is_counted_behind_the_tokens() -> None:
    weights = affinity(2, 7, PLACES + 3, PLACES + 3)
    pictures = regard.draw(maps_of(weights), torch.rand(3, 30, 50), 1, queries=[(0.5, 0.9)])  # row 2, column 2
    last = pictures[-1]
    assert last.name == f"{KEY}, from (0.50, 0.90)" and "; the ring is the query" in last.caption
    row = weights[1, :, 3 + 2 * W + 2, 3:].mean(0)
    assert last.span == ends(row)


def test_the_strongest_place_is_one_of_the_grid() -> None:
    weights = torch.full((1, 1, PLACES + 1, PLACES + 1), 0.01)
    weights[0, 0, 0, 3] = 0.9  # the class token
    weights[0, 0, 1 + 4, 0] = 0.8  # place 4, on the class token
    weights[0, 0, 1 + 7, 1 + 2] = 0.5
    maps = maps_of(weights, ("class",), ((1, 1), (H, W)))
    view = token_view(weights, maps)
    assert view.strongest() == 7 and view.of(7)[0, 2] == 0.5 and view.of(7).shape == (H, W)
    assert view.beside_query(4) == f"{100 * 0.8 / (0.8 + 0.01 * PLACES):.0f} % on the class token"


def test_a_class_token_that_alone_asks_has_its_row_alone() -> None:
    """Class attention, as CaiT's."""
    weights = affinity(2, 7, 1, PLACES + 1)
    maps = maps_of(weights, ("class",), ((1, 1), (H, W)))
    maps.grids[KEY] = {"Q": ((1, 1),), "K": ((1, 1), (H, W))}
    names = [picture.name for picture in regard.draw(maps, torch.rand(3, 30, 50), queries=[(0.1, 0.1)])]
    assert names == [
        f"{KEY}, from the class token",
        *(f"{KEY}, from the class token, head {i} of 7" for i in range(1, 8)),
    ]
    heat = spatial(maps, KEY)
    assert heat is not None and torch.equal(heat, weights[:, :, 0, 1:].mean(1).view(2, H, W))


def test_pooled_keys_lie_on_their_own_grid() -> None:
    weights = affinity(2, 7, PLACES + 1, 6 + 1)
    maps = maps_of(weights, ("class",))
    maps.grids[KEY] = {"Q": ((1, 1), (H, W)), "K": ((1, 1), (2, 3))}
    heat = spatial(maps, KEY)
    assert heat is not None and heat.shape == (2, 2, 3)
    pictures = regard.draw(maps, torch.rand(3, 30, 50), queries=[(0.99, 0.99)])
    row = weights[0, :, PLACES, 1:].mean(0)
    assert pictures[-1].span == ends(row)


def test_tokens_of_a_line_are_a_table() -> None:
    weights = affinity(2, 7, 12, 12)
    maps = maps_of(weights, ("class",), ((1, 1), (11,)))
    assert spatial(maps, KEY) is None
    (table,) = regard.draw(maps, torch.rand(3, 30, 50))
    assert "12 by K 12" in table.caption


def test_weights_of_places_for_each_channel_leave_their_tokens_out() -> None:
    """Factorised attention, as CoaT's: the softmax runs over the places, for each channel of a head."""
    weights = affinity(2, 7, 3, PLACES + 1)
    maps = Maps()
    maps[KEY], maps.axes[KEY] = [weights], "B h C Q"
    maps.grids[KEY], maps.tokens[KEY] = {"Q": ((1, 1), (H, W))}, {"Q": ("class",)}
    heat = spatial(maps, KEY)
    assert heat is not None
    torch.testing.assert_close(heat, weights[..., 1:].mean((1, 2)).view(2, H, W))
    names = [picture.name for picture in regard.draw(maps, torch.rand(3, 30, 50))]
    assert names == [f"{KEY}, head {i} of 7" for i in range(1, 8)]


def test_weights_behind_tokens_are_no_gates() -> None:
    """What is left for the image may be little: the lightest colour is its largest weight, or twice the even share."""
    plain, weights = Colouring("common", torch.float32), Colouring("common", torch.float32, weights=True)
    peaked = torch.zeros(1, 2, 5)
    peaked[0, 1, 3] = 0.4
    assert plain.ends(peaked) == (0.0, 1.0) and weights.ends(peaked) == (0.0, pytest.approx(0.4))
    assert weights.ends(torch.full((1, 2, 5), 0.01) + torch.rand(1, 2, 5) * 1e-4) == (
        0.0,
        pytest.approx(0.02, rel=0.02),
    )


# ---- windows


def windowed() -> tuple[Maps, Tensor]:
    """A grid 4 x 6 in windows 2 x 3; the last place of each window reaches over the edge."""
    number = torch.arange(24).view(4, 6)
    windows = number.view(2, 2, 2, 3).transpose(1, 2).reshape(4, 6)
    own = torch.empty(24, 6, dtype=torch.long)
    for window in windows:
        own[window] = window
    own[:, 5] = -1
    weights = affinity(2, 7, 24, 6)
    maps = Maps()
    maps[KEY], maps.axes[KEY], maps.sums[KEY] = [weights], "B h Q X", "X"
    maps.grids[KEY] = {"Q": (4, 6), "K": (4, 6)}
    maps.places[KEY] = own
    return maps, weights


def test_windows_are_put_back_on_the_image() -> None:
    maps, weights = windowed()
    expected = torch.zeros(2, 7, 24, 24, dtype=torch.float64)
    for query in range(24):
        for slot in range(5):
            expected[:, :, query, maps.places[KEY][query, slot]] += weights[:, :, query, slot]
    heat = spatial(maps, KEY)
    assert heat is not None
    torch.testing.assert_close(heat, expected.mean((1, 2)).view(2, 4, 6))
    found = windows_of(weights[:1], ("B", "h", "Q", "X"), maps.grids[KEY], maps.places[KEY])
    assert found is not None
    for query in (0, 17):
        torch.testing.assert_close(found.of(query), expected[0, :, query].mean(0).view(4, 6))
    assert found.strongest() == int(weights[0].mean(0).amax(1).argmax())


def test_windows_are_drawn_like_other_queries() -> None:
    maps, weights = windowed()
    pictures = regard.draw(maps, torch.rand(3, 40, 60), queries=[(0.01, 0.99)])
    names = [picture.name.removeprefix(f"{KEY}, ") for picture in pictures]
    assert names == ["received", *(f"received, head {i} of 7" for i in range(1, 8)), "from (0.01, 0.99)"]
    assert pictures[-1].span == pytest.approx((0.0, float(weights[0, :, 18, :5].mean(0).max())))
