"""Where queries attend to over a cross, over a pyramid and over named classes, against sums worked out in full."""

import pytest
import torch
from torch.nn import functional as F

from regard.core import Maps
from regard.ops import criss_cross
from regard.papers.annet.mechanism import PyramidNonLocal
from regard.papers.ccnet.mechanism import CrissCrossAttention
from regard.papers.ocrnet.mechanism.head import ObjectContextHead
from regard.viewing import draw, spatial
from regard.viewing.reaching import reach
from regard.watching import watch

H, W = 5, 7
PHOTOGRAPH = torch.full((3, 50, 70), 0.5)


def drawn_from(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(one: torch.Tensor) -> torch.Tensor:
    """The weights of a cross as the full matrix of queries by places: what each place adds to `attend`."""
    unit = torch.eye(H * W, dtype=one.dtype).view(1, H, W, H * W)
    return criss_cross.attend(one, unit).view(H * W, H * W)


def test_the_second_pass_over_a_cross_reaches_every_place() -> None:
    first, second = (
        criss_cross.weights(drawn_from(1, H, W, 3, seed=i), drawn_from(1, H, W, 3, seed=9)) for i in (1, 2)
    )
    one, two = (reach(second, ("B", "H", "W", "X"), {}, before) for before in ([], [first]))
    assert one is not None and two is not None
    query = 2 * W + 4
    expected = dense(second)[query].view(H, W)
    assert torch.allclose(one.of(query), expected, atol=1e-12)
    assert int((one.of(query) > 0).sum()) == H + W - 1
    assert torch.allclose(two.of(query), (dense(second) @ dense(first))[query].view(H, W), atol=1e-12)
    assert (two.of(query) > 0).all() and two.of(query).sum().item() == pytest.approx(1)
    assert torch.allclose(one.received()[0], dense(second).mean(0).view(H, W), atol=1e-12)


def test_criss_cross_attention_is_drawn_from_a_clicked_place_after_each_pass() -> None:
    module = CrissCrossAttention(8, recurrence=2).double().eval()
    with torch.no_grad(), watch(module) as maps:
        module(drawn_from(1, 8, H, W))
    assert maps.axes == {"affinity": "B H W X"}
    pictures = draw(maps, PHOTOGRAPH, queries=[(0.99, 0.01)])
    assert [picture.name for picture in pictures] == [
        f"affinity, look {number} of 2, {what}" for number in (1, 2) for what in ("received", "from (0.99, 0.01)")
    ]
    cross, whole = pictures[1], pictures[3]
    assert cross.span is not None and cross.span[0] == 0 and whole.span is not None and whole.span[0] > 0
    assert "through 2 passes; the ring is the query" in whole.caption and "passes" not in cross.caption
    heat = spatial(maps, "affinity")
    assert heat is not None
    both = torch.stack([dense(look).mean(0).view(H, W) for look in maps["affinity"]]).mean(0)
    assert torch.allclose(heat[0], both, atol=1e-12)


def test_weights_of_a_pyramid_are_spread_as_its_regions_are_pooled() -> None:
    module = PyramidNonLocal(8, sizes=(1, 3)).double().eval()
    with torch.no_grad(), watch(module) as maps:
        module(drawn_from(1, 8, H, W))
    assert maps.grids["affinity"] == {"Q": (H, W), "S": ((1, 1), (3, 3))}
    (weights,) = maps["affinity"]
    way = reach(weights, ("B", "Q", "S"), maps.grids["affinity"])
    assert way is not None
    values, query = drawn_from(1, 1, H, W, seed=5), 11
    pooled = torch.cat([F.adaptive_avg_pool2d(values, side).flatten() for side in (1, 3)])
    assert (way.of(query) * values[0, 0]).sum().item() == pytest.approx((weights[0, query] @ pooled).item())
    names = [picture.name for picture in draw(maps, PHOTOGRAPH, queries=[(0.5, 0.5)])]
    assert names == ["affinity, received", "affinity, from (0.50, 0.50)"]
    heat = spatial(maps, "affinity")
    assert heat is not None and heat.shape == (1, H, W) and heat.sum().item() == pytest.approx(1)


def test_regions_and_weights_of_classes_bear_their_names() -> None:
    module = ObjectContextHead(6, classes=3, hidden=8).eval()
    with torch.no_grad(), watch(module) as maps:
        module(drawn_from(1, 6, H, W).float())
    named = {2: "sky", 0: "road", 1: "a class whose name is far too long for its place"}
    names = [picture.name for picture in draw(maps, PHOTOGRAPH, queries=[(0.2, 0.9)], classes=named)]
    region, affinity = "gather/region", "context.attention/affinity"
    assert names == [
        *(f"{region}, {name}" for name in named.values()),
        *(f"{affinity}, {name}" for name in named.values()),
        f"{affinity}, from (0.20, 0.90)",
    ]
    other = [picture.name for picture in draw(maps, PHOTOGRAPH, classes={0: "one", 1: "two"})]
    assert not any(name.endswith(("one", "two")) for name in other), "names of other classes name nothing"


def test_a_cross_of_other_sizes_is_no_cross() -> None:
    maps = Maps()
    maps["m"], maps.axes["m"] = [torch.rand(1, 3, 4, 5)], "B H W X"
    assert len(draw(maps, PHOTOGRAPH)) == 4, "five maps of 3 x 4: their mean and the three strongest"
