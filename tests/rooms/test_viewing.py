"""Maps to pictures, and the two localisation scores, against values worked out by hand."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from regard import catalog
from regard.comparing.looking import _range, _stretched
from regard.core import Maps
from regard.laws import subjects
from regard.metrics.localisation import energy, pointing
from regard.papers.senet.mechanism import SqueezeExcite
from regard.report import gallery
from regard.viewing import draw, spatial
from regard.viewing.colours import scale
from regard.viewing.painting import EVEN, bars, heat, lattice, overlay, png
from regard.viewing.sheet import photograph as photographed
from regard.viewing.sheet import sheet
from regard.watching import watch


def seen(axes, *looks, key="m", **grids):
    maps = Maps()
    maps[key] = list(looks)
    maps.axes[key] = axes
    if grids:
        maps.grids[key] = grids
    return maps


def photograph(height=30, width=40):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def pixels(picture):
    return np.asarray(picture).astype(int)


# ---- colours


def test_the_scale_rises_in_even_steps():
    linear = scale() / 255.0
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance[::8]) > 0).all()
    assert luminance[0] < 0.02 and luminance[-1] > 0.7
    steps = np.abs(np.diff(scale()[::16].astype(int), axis=0)).sum(1)
    assert steps.min() > 10, "no two neighbouring sixteenths look alike"


def test_heat_maps_lowest_to_first_and_highest_to_last_colour():
    coloured = pixels(heat(torch.tensor([[0.0, 1.0, 2.0]])))
    assert coloured.shape == (1, 3, 3)
    assert (coloured[0, 0] == scale()[0]).all() and (coloured[0, 2] == scale()[255]).all()
    assert (coloured[0, 1] == scale()[128]).all()
    assert (pixels(heat(torch.full((2, 2), 7.0))) == scale()[128]).all(), "a constant map has the middle colour"
    assert (pixels(heat(torch.tensor([[5.0]]), low=0, high=10)) == scale()[128]).all()
    assert heat(torch.rand(2, 3).bfloat16()).size == (3, 2)


@pytest.mark.parametrize("bad", [torch.tensor([[float("nan")]]), torch.tensor([[float("inf")]])])
def test_a_map_that_is_not_finite_is_refused(bad):
    for paint in (heat, lambda map: overlay(photograph(), map), lambda map: bars(map[0])):
        with pytest.raises(ValueError, match="finite"):
            paint(bad)


def test_overlay_keeps_the_image_at_zero_and_shows_the_map_at_one():
    image = photograph()
    map = torch.arange(12.0).reshape(3, 4)
    original = (255 * image).round().byte().permute(1, 2, 0).numpy()
    assert (pixels(overlay(image, map, 0)) == original).all()
    alone = overlay(image, map, 1)
    assert alone.size == (40, 30)
    expected = torch.nn.functional.interpolate(map[None, None], (30, 40), mode="bilinear")[0, 0]
    assert np.abs(pixels(alone) - pixels(heat(expected))).max() <= 3
    half = pixels(overlay(image, map, 0.5))
    grey = pixels(Image.fromarray(original).convert("L"))[..., None]
    assert np.abs(half - (pixels(alone) + grey) / 2).max() <= 1
    with pytest.raises(ValueError, match=r"alpha.*1\.5"):
        overlay(image, map, 1.5)
    with pytest.raises(ValueError, match=r"image=Tensor .*: a Pillow image"):
        overlay(torch.rand(5, 4, 4), map)


def test_bars_are_sorted_and_their_lengths_are_the_values():
    picture = pixels(bars(torch.tensor([1.0, 4.0, 2.0])))
    bar = np.array((120, 84, 160))
    lengths = [(picture[4 + 15 * row + 7] == bar).all(-1).sum() for row in range(3)]
    assert lengths[0] > lengths[1] > lengths[2] > 0
    assert lengths[1] == pytest.approx(lengths[0] / 2, abs=2) and lengths[2] == pytest.approx(lengths[0] / 4, abs=2)
    signed = pixels(bars(torch.tensor([-1.0, 1.0])))
    starts = [np.flatnonzero((signed[4 + 15 * row + 7] == bar).all(-1))[0] for row in range(2)]
    assert starts[1] < starts[0], "a negative bar goes to the left of zero"
    assert bars(torch.rand(2048)).height < 400
    assert bars(torch.zeros(3)).height > 0


def test_png_gives_the_picture_back():
    picture = heat(torch.rand(5, 6))
    assert (pixels(Image.open(io.BytesIO(png(picture)))) == pixels(picture)).all()


# ---- rounding, and which value gets which colour


def rounded(base, sides, dtype=torch.float32):
    """A map that is even but for the last bits: bands of neighbouring numbers around `base`."""
    bands = (torch.arange(sides[0] * sides[1]) % 7 - 3).reshape(sides).double()
    return (base * (1 + bands * torch.finfo(dtype).eps / 4)).to(dtype)


NOISE = [(1 / 784, torch.float32), (0.5, torch.float32), (3e-20, torch.float64), (1 / 784, torch.bfloat16)]


@pytest.mark.parametrize(("base", "dtype"), NOISE)
@pytest.mark.parametrize("scale", ["common", "own"])
def test_rounding_errors_are_drawn_flat_and_said_to_be_even(base, dtype, scale):
    map = rounded(base, (28, 28), dtype)[None, None]
    assert map.unique().numel() > 1
    black = torch.zeros(3, 40, 40)
    (picture,) = draw(seen("B 1 H W", map), black, scale=scale)
    assert len(np.unique(pixels(picture.image).reshape(-1, 3), axis=0)) == 1
    assert np.ptp(pixels(picture.image)[0, 0]) < 9 and picture.ends is None, "grey: a colour would mean a value"
    assert picture.caption == f"28 x 28; even: {float(map.double().mean()):.3g} everywhere"


def test_rounding_errors_in_matrices_bars_and_queries_are_even_too():
    affinity = rounded(1 / 784, (15, 784))[None]
    received, *_ = draw(seen("B Q K", affinity, Q=(3, 5), K=(28, 28)), photograph())
    assert received.caption == "28 x 28; even: 0.00128 everywhere"
    table = draw(seen("B C K", rounded(0.2, (3, 5))[None]), photograph())[0]
    assert len(np.unique(pixels(table.image).reshape(-1, 3), axis=0)) == 1 and "even: 0.2 everywhere" in table.caption
    assert draw(seen("B C", rounded(0.5, (1, 11))), photograph())[0].caption == "11 values; even: 0.5 everywhere"


def test_a_real_difference_is_drawn_however_small():
    map = torch.full((1, 1, 5, 7), 0.5)
    map[..., 2, 3] += 1e-5
    (picture,) = draw(seen("B 1 H W", map), torch.zeros(3, 40, 40), scale="own")
    assert len(np.unique(pixels(picture.image).reshape(-1, 3), axis=0)) > 50
    assert picture.caption == "5 x 7; 0.5 to 0.50001", "as many digits as the two need to differ"


def levels(picture):
    """The position of the colours of a picture drawn over black in the scale of colours, darkest and lightest."""
    shown = np.unique(pixels(picture.image).reshape(-1, 3), axis=0)[:, None] / 0.6
    positions = np.abs(shown - scale()[None].astype(int)).sum(-1).argmin(1)
    return positions.min(), positions.max()


def test_colours_of_a_gate_say_where_it_is_between_zero_and_one():
    gate = torch.linspace(0.49, 0.51, 35).reshape(1, 1, 5, 7)
    black = torch.zeros(3, 40, 40)
    common, own, given = (
        draw(seen("B 1 H W", gate), black, scale=scale)[0] for scale in ("common", "own", (0.0, 1.02))
    )
    assert levels(common) == (pytest.approx(125, abs=3), pytest.approx(130, abs=3)) and common.ends == (0, 1)
    assert levels(own) == (pytest.approx(0, abs=4), pytest.approx(255, abs=4)) and own.ends == pytest.approx(
        (0.49, 0.51)
    )
    assert levels(given) == (pytest.approx(122, abs=3), pytest.approx(128, abs=3)) and given.ends == (0, 1.02)
    assert {picture.caption for picture in (common, own, given)} == {"5 x 7; 0.49 to 0.51"}


def test_weights_that_sum_to_one_share_the_colours_from_zero_to_the_largest():
    heads = torch.full((1, 2, 3, 5), 1 / 15)
    heads[0, 0] = 0
    heads[0, 0, 0, :2] = 0.5
    heads[0, 1, 0, 0] += 1e-4
    peaked, level = draw(seen("B h H W", heads), photograph())
    assert peaked.ends == level.ends == (0, 0.5)
    (alone,) = draw(seen("B 1 H W", heads[:, 1:]), torch.zeros(3, 40, 40))
    assert alone.ends == (0, pytest.approx(2 / 15)), "a nearly even map has the middle colour"
    assert levels(alone) == (pytest.approx(127.5, abs=2),) * 2


def test_other_values_keep_their_own_ends():
    (signed,) = draw(seen("B 1 H W", torch.linspace(-3, 5, 35).reshape(1, 1, 5, 7)), photograph())
    assert signed.ends == (-3, 5)
    (large,) = draw(seen("B 1 H W", torch.linspace(2, 5, 35).reshape(1, 1, 5, 7)), photograph())
    assert large.ends == (0, 5)


@pytest.mark.parametrize("wrong", ["wide", (1, 0), (0, float("nan")), (0, 1, 2), 3, (False, True)])
def test_an_unknown_scale_is_named(wrong):
    with pytest.raises(ValueError, match=r"scale=.*'common', 'own' or a pair"):
        draw(seen("B C", torch.rand(1, 5)), photograph(), scale=wrong)


def test_the_gallery_of_a_comparison_draws_rounding_errors_flat():
    heat_maps = torch.stack([rounded(1 / 784, (28, 28)), torch.linspace(0.5, 1.5, 784).reshape(28, 28)])
    drawn = _stretched(heat_maps, torch.Size((48, 48)))
    assert (drawn[0] == 0).all() and drawn[1].min() == 0 and drawn[1].max() == 1
    ends = _range(heat_maps)
    assert ends[0].tolist() == [1, 1] and ends[1].tolist() == pytest.approx([0.5, 1.5])
    flat, rising = (Image.open(io.BytesIO(gallery._map_png(map, 48))).convert("RGB") for map in drawn)
    assert np.unique(pixels(flat).reshape(-1, 3), axis=0).tolist() == [list(EVEN)], "grey, as no value has"
    assert (pixels(rising)[0, 0] == scale()[0]).all() and (pixels(rising)[-1, -1] == scale()[255]).all()


# ---- axes


def test_spatial_averages_everything_that_is_not_a_place():
    map = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(spatial(seen("B S H W", map), "m"), map.mean(1))
    torch.testing.assert_close(spatial(seen("B 1 H W", map[:, :1]), "m"), map[:, 0])
    torch.testing.assert_close(spatial(seen("B H W C", map), "m"), map.mean(3))
    torch.testing.assert_close(spatial(seen("B C H 1", map[..., :1]), "m"), map[..., :1].mean(1))
    torch.testing.assert_close(spatial(seen("B C 1 W", map[:, :, :1]), "m"), map[:, :, :1].mean(1))
    torch.testing.assert_close(spatial(seen("B 1 H W", map[:, :1], map[:, 1:2]), "m"), map[:, :2].mean(1))


def test_spatial_of_queries_is_the_attention_received():
    attention = torch.rand(2, 3, 20, 6)  # two samples, three heads, 4x5 queries, 2x3 keys
    expected = attention.mean((1, 2)).reshape(2, 2, 3)
    torch.testing.assert_close(spatial(seen("B h Q K", attention, Q=(4, 5), K=(2, 3)), "m"), expected)
    torch.testing.assert_close(
        spatial(seen("B Q K", attention[:, 0], K=(2, 3)), "m"), attention[:, 0].mean(1).view(2, 2, 3)
    )
    square = torch.rand(2, 20, 20)
    torch.testing.assert_close(spatial(seen("B Q K", square, Q=(4, 5)), "m"), square.mean(1).view(2, 4, 5))
    words = torch.rand(2, 7, 20)
    torch.testing.assert_close(spatial(seen("B T Q", words, Q=(4, 5)), "m"), words.mean(1).view(2, 4, 5))
    clip = torch.rand(1, 24, 24)
    torch.testing.assert_close(spatial(seen("B Q K", clip, Q=(2, 3, 4)), "m"), clip.mean(1).view(1, 2, 3, 4).mean(1))
    line = torch.rand(1, 5, 5)
    torch.testing.assert_close(spatial(seen("B Q K", line, Q=(5,)), "m"), line.mean(1).view(1, 1, 5))


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("B C 1 1", (2, 3, 1, 1)),
        ("B C", (2, 3)),
        ("B T 2", (2, 4, 2)),
        ("B Q K", (2, 6, 5)),
        ("B C K", (2, 3, 3)),
        ("B H W 2", (1, 3, 4, 2)),
    ],
)
def test_spatial_is_none_without_a_place(axes, shape):
    assert spatial(seen(axes, torch.rand(shape)), "m") is None


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        ("B XY H W", (1, 2, 3, 4), r"m: axes 'B XY H W' cannot be drawn"),
        ("H W", (3, 4), r"m: axes 'H W' cannot be drawn; B first"),
        ("B H H W", (1, 3, 3, 4), r"m: axes 'B H H W' cannot be drawn"),
        ("B 1 H W", (1, 2, 3, 4), r"m: axes 'B 1 H W' do not fit a map of shape \(1, 2, 3, 4\)"),
        ("B 1 H W", (1, 3, 4), r"do not fit a map of shape \(1, 3, 4\)"),
        ("", (1, 3), r"m: its module declares no axes"),
    ],
)
def test_unknown_axes_are_named(axes, shape, message):
    for use in (lambda maps: draw(maps, photograph()), lambda maps: spatial(maps, "m")):
        with pytest.raises(ValueError, match=message):
            use(seen(axes, torch.rand(shape)))


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(LookupError, match="no map 'other'; seen: m"):
        spatial(seen("B C", torch.rand(1, 2)), "other")
    with pytest.raises(IndexError, match="sample=2: m has a batch of 2"):
        draw(seen("B C", torch.rand(2, 2)), photograph(), sample=2)
    with pytest.raises(ValueError, match=r"queries: pairs \(x, y\)"):
        draw(seen("B C", torch.rand(2, 2)), photograph(), queries=[(0.5, 7)])


@pytest.mark.parametrize(
    ("axes", "shape", "grids", "names"),
    [
        ("B 1 H W", (2, 1, 4, 5), {}, ["m"]),
        ("B S H W", (2, 3, 4, 5), {}, [f"m, scale {i} of 3" for i in (1, 2, 3)]),
        ("B h H W", (2, 2, 4, 5), {}, ["m, head 1 of 2", "m, head 2 of 2"]),
        ("B C 1 1", (2, 9, 1, 1), {}, ["m"]),
        ("B C", (2, 900), {}, ["m"]),
        ("B 1 1 1", (2, 1, 1, 1), {}, ["m"]),
        ("B T 2", (2, 4, 2), {}, ["m"]),
        ("B T 4", (2, 4, 4), {}, ["m"]),
        ("B T Q", (2, 7, 20), {"Q": (4, 5)}, ["m"]),
        ("B C K", (2, 8, 8), {}, ["m"]),
        ("B C C", (2, 8, 8), {}, ["m"]),
        ("B C M N", (2, 20, 3, 4), {}, ["m"]),
        ("B 2 3", (2, 2, 3), {}, ["m"]),
        ("B G H W", (2, 1, 3, 4), {}, ["m"]),
        ("B 1 H/2 2W", (2, 1, 2, 10), {}, ["m"]),
        ("B H W 2", (2, 4, 5, 2), {}, ["m"]),
        ("B S C 1 1", (2, 2, 8, 1, 1), {}, ["m"]),
        ("B Q K", (2, 20, 6), {"Q": (4, 5), "K": (2, 3)}, ["m, received", "m, from centre", "m, from strongest"]),
        ("B Q K", (2, 20, 8), {"Q": (4, 5)}, ["m"]),
        ("B Q K", (2, 20, 6), {"K": (2, 3)}, ["m"]),
    ],
)
def test_every_kind_of_map_is_drawn(axes, shape, grids, names):
    pictures = draw(seen(axes, torch.rand(shape), **grids), photograph(), sample=1)
    assert [picture.name for picture in pictures] == names
    for picture in pictures:
        assert picture.caption and max(picture.image.size) <= 400
        assert len(np.unique(pixels(picture.image).reshape(-1, 3), axis=0)) > 1
        assert Image.open(io.BytesIO(picture.png())).size == picture.image.size


def test_heads_of_queries_get_a_panel_each():
    maps = seen("B h Q K", torch.rand(1, 2, 20, 20), Q=(4, 5))
    names = [picture.name for picture in draw(maps, photograph())]
    assert names == [
        "m, received",
        "m, received, head 1 of 2",
        "m, received, head 2 of 2",
        "m, from centre",
        "m, from strongest",
    ]


def test_a_map_of_its_own_height_and_width_lies_over_the_photograph():
    """Small letters say that no input has these sizes; a place they are all the same."""
    map = torch.rand(1, 1, 3, 4)
    own, inputs = (draw(seen(axes, map), photograph())[0].image for axes in ("B 1 h w", "B 1 H W"))
    assert (pixels(own) == pixels(inputs)).all()
    assert torch.equal(spatial(seen("B 1 h w", map), "m"), map[:, 0])


def test_many_channels_show_their_mean_and_the_strongest():
    map = torch.rand(1, 50, 4, 5)
    map[:, 17] += 5
    pictures = draw(seen("B C H W", map), photograph())
    assert len(pictures) == 4 and pictures[0].name == "m, mean of 50" and pictures[1].name == "m, C 17"


def test_the_drawn_sample_is_the_one_asked_for_and_the_map_is_not_transposed():
    map = torch.zeros(2, 1, 3, 4)
    map[1, 0, 0, 3] = 1.0  # top right of the second sample
    grey = torch.full((3, 30, 40), 0.5)
    bright = pixels(draw(seen("B 1 H W", map), grey, sample=1)[0].image).sum(-1)
    assert bright[:80, 240:].mean() > bright[:80, :80].mean() + 100
    assert bright[:80, 240:].mean() > bright[160:, 240:].mean() + 100
    assert np.ptp(pixels(draw(seen("B 1 H W", map), grey, sample=0)[0].image).sum(-1)) == 0


def test_the_chosen_query_is_marked_and_its_own_attention_shown():
    attention = torch.eye(12)[None]  # every query sees itself
    maps = seen("B Q K", attention, Q=(3, 4))
    grey = torch.full((3, 30, 40), 0.5)
    picture = draw(maps, grey, queries=[(0.99, 0.0)])[1]
    assert "the ring is the query" in picture.caption and picture.name == "m, from (0.99, 0.00)"
    x, y = round(3.5 / 4 * 320), round(0.5 / 3 * 240)
    ring = pixels(picture.image)[y - 20 : y + 20, x - 20 : x + 20]
    assert (ring == 255).all(-1).any() and (ring == 0).all(-1).any(), "a white ring in a dark one"
    bright = pixels(picture.image).sum(-1)
    assert bright[:80, 240:].mean() > bright[160:, :80].mean() + 100


def test_the_strongest_query_is_the_one_with_the_largest_weight():
    attention = torch.full((1, 12, 12), 0.01)
    attention[0, 6, 0] = 0.9
    attention[0, 3] = 0.2  # more in all, but nowhere as much
    strongest = draw(seen("B Q K", attention, Q=(3, 4)), photograph())[2]
    assert strongest.caption.startswith("3 x 4; 0.01 to 0.9")


def test_a_path_goes_where_the_points_are():
    grey = torch.full((3, 40, 40), 0.5)
    drawn = pixels(draw(seen("B T 2", torch.tensor([[[-0.5, -0.5], [0.5, -0.5]]])), grey)[0].image)
    changed = (drawn != 128).any(-1)
    assert changed[80, 80:240].all(), "a line from (-0.5, -0.5) to (0.5, -0.5) crosses row 80 of 320"
    assert not changed[160:].any()
    box = pixels(draw(seen("B T 4", torch.tensor([[[-0.5, -0.5, 0.5, 0.5]]])), grey)[0].image)
    changed = (box != 128).any(-1)
    assert changed[80, 80:240].all() and changed[80:240, 240].all() and not changed[100:220, 100:220].any()


def test_repeated_looks_are_drawn_in_order():
    maps = seen("B 1 H W", torch.rand(1, 1, 3, 3), torch.rand(1, 1, 3, 3))
    assert [picture.name for picture in draw(maps, photograph())] == ["m, look 1 of 2", "m, look 2 of 2"]


def test_what_a_mechanism_shows_can_be_drawn():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), SqueezeExcite(8, reduction=2))
    with watch(model) as maps:
        model(photograph()[None])
    (picture,) = draw(maps, photograph())
    assert picture.name == "1/channel" and picture.caption.startswith("8 values")


@pytest.mark.slow
@pytest.mark.parametrize("entry", catalog.entries(), ids=lambda entry: entry.name)
def test_every_map_of_the_catalogue_can_be_drawn(entry):
    for subject in subjects(entry):
        module = subject.module()
        if not subject.maps:
            continue
        with watch(module, foreign=False) as maps, torch.no_grad():
            module(*subject.tensors())
        of_volume = any(len(axes.split()) == 5 for axes in subject.maps.values())
        pictures = draw(maps, torch.rand(3, 9, 30, 41) if of_volume else photograph())
        assert {picture.name.partition(",")[0].rpartition("/")[2] for picture in pictures} == set(subject.maps)
        for key in maps:
            heat_map = spatial(maps, key)
            assert heat_map is None or heat_map.isfinite().all()


def test_a_lattice_is_drawn_where_it_samples():
    black = Image.new("RGB", (40, 40))
    y, x = torch.meshgrid(torch.linspace(-1, 0, 5), torch.linspace(-1, 0, 5), indexing="ij")
    drawn = pixels(lattice(black, torch.stack([x, y], -1)))
    assert drawn[:21, :21].any() and not drawn[23:].any() and not drawn[:, 23:].any()


def test_a_sheet_holds_the_photograph_and_every_picture():
    pictures = draw(
        seen("B S H W", torch.rand(1, 5, 4, 4), key="layer4.1.a_rather_long_name.attention/map"), photograph()
    )
    whole = photographed(Image.new("RGB", (640, 480), (10, 200, 10)), "photo.png", "640 x 480 pixels")
    page = sheet([whole, *pictures], "a title " * 40)
    assert page.width > 4 * 320 and page.height > 2 * 240
    assert (pixels(page) == (10, 200, 10)).all(-1).sum() == 320 * 240, "the photograph, whole and unmarked"
    assert sheet(pictures[:1], "one").width < page.width
    assert sheet(pictures, "pairs", columns=2).width < page.width
    with pytest.raises(ValueError, match="at least one"):
        sheet([], "empty")


def test_a_warning_stands_above_everything_on_a_sheet():
    pictures = draw(seen("B 1 H W", torch.rand(1, 1, 3, 5)), photograph())
    page, warned = sheet(pictures, "title"), sheet(pictures, "title", warning="RANDOM WEIGHTS: " + "of no use " * 20)
    top = warned.height - page.height
    assert top > 40 and (pixels(warned)[top:] == pixels(page)).all()
    red = (pixels(warned)[:top] == (164, 30, 34)).all(-1)
    assert red.mean() > 0.5 and red[:, 0].all() and (pixels(warned)[:top] == 255).all(-1).any(), "white on red"


def test_the_key_of_the_colours_says_where_the_map_lies():
    """A gate from 0.25 to 0.5: the line above the strip goes from a quarter to a half of it."""
    gate = torch.linspace(0.25, 0.5, 35).reshape(1, 1, 5, 7)
    (picture,) = draw(seen("B 1 H W", gate), torch.zeros(3, 32, 40))
    page = pixels(sheet([picture], "gate"))
    top, left = 28 + 36 + picture.image.height + 7, 28
    line = np.flatnonzero((page[top + 1, left : left + 320] == (34, 34, 40)).all(-1))
    assert (line[0], line[-1]) == (pytest.approx(80, abs=2), pytest.approx(160, abs=2))
    strip = page[top + 8, left : left + 320]
    assert (strip[0] == scale()[0]).all() and (strip[-1] == scale()[255]).all()


# ---- localisation scores


def region(height=4, width=4, rows=slice(0, 2), columns=slice(0, 2)):
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    mask[:, rows, columns] = True
    return mask


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e-30, 7.0, -2.0])
@pytest.mark.parametrize("size", [(4, 4), (1, 1), (3, 2), (7, 9)])
def test_a_uniform_map_scores_exactly_the_share_of_the_area(value, size):
    masks = torch.cat(
        [region(6, 7, slice(1, 4), slice(2, 5)), region(6, 7, slice(0, 6), slice(0, 7)), region(6, 7, slice(0, 0))]
    )
    expected = torch.tensor([9 / 42, 1.0, 0.0], dtype=torch.float64)
    assert torch.equal(energy(torch.full((3, *size), value), masks), expected)
    assert torch.equal(pointing(torch.full((3, *size), value), masks), expected)


@pytest.mark.parametrize(("base", "dtype"), NOISE)
def test_a_map_that_is_uniform_but_for_rounding_scores_the_share_of_the_area(base, dtype):
    masks = region(6, 7, slice(1, 4), slice(2, 5))
    heat_map = rounded(base, (11, 13), dtype)[None]
    assert energy(heat_map, masks).item() == pointing(heat_map, masks).item() == 9 / 42


def test_energy_is_the_share_inside():
    heat_map = torch.tensor([[[4.0, 1.0, 0.0, 0.0], [1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]])
    assert energy(heat_map, region()).tolist() == [0.8]
    assert energy(1000 * heat_map, region()).tolist() == [pytest.approx(0.8, abs=1e-15)]
    negative = heat_map.clone()
    negative[0, 3, 0] = -50.0
    assert energy(negative, region()).tolist() == [0.8], "a negative weight is no attention"
    assert energy(heat_map.half(), region()).dtype == torch.float64


def test_energy_interpolates_between_pixel_centres():
    """[1, 0] at twice the width is [1, 3/4, 1/4, 0]: 7/8 of the energy in the left half."""
    heat_map = torch.tensor([[[1.0, 0.0]]])
    left = region(3, 4, slice(0, 3), slice(0, 2))
    assert energy(heat_map, left).item() == pytest.approx(7 / 8, abs=1e-15)
    assert energy(heat_map, ~left).item() == pytest.approx(1 / 8, abs=1e-15)


def test_a_map_finer_than_the_region_is_averaged_not_sampled():
    heat_map = torch.zeros(1, 64, 64)
    heat_map[:, 9, 9] = 1.0
    assert energy(heat_map, region()).item() == pytest.approx(1.0)


def test_each_sample_is_scored_alone():
    heat_map = torch.zeros(2, 4, 4)
    heat_map[0, 0, 0], heat_map[1, 3, 3] = 1.0, 5.0
    assert energy(heat_map, region().expand(2, -1, -1)).tolist() == [1.0, 0.0]
    assert pointing(heat_map, region().expand(2, -1, -1)).tolist() == [1.0, 0.0]


def test_pointing_counts_tied_maxima_in_parts():
    heat_map = torch.zeros(1, 4, 4)
    heat_map[0, 0, 0] = heat_map[0, 3, 3] = heat_map[0, 0, 3] = 2.0
    assert pointing(heat_map, region()).item() == pytest.approx(1 / 3)


def test_tolerance_is_a_euclidean_distance():
    heat_map = torch.zeros(1, 9, 9)
    mask = region(9, 9, slice(0, 1), slice(0, 1))
    heat_map[0, 3, 4] = 1.0  # 5 pixels away
    assert [pointing(heat_map, mask, tolerance).item() for tolerance in (0, 4, 5, 50)] == [0.0, 0.0, 1.0, 1.0]
    for row in range(9):
        for column in range(9):
            spot = torch.zeros(1, 9, 9)
            spot[0, row, column] = 1.0
            assert pointing(spot, mask, 6).item() == float(row * row + column * column <= 36), (row, column)


def test_bad_scores_arguments_are_named():
    with pytest.raises(ValueError, match=r"heat \(2, 2\), region \(1, 4, 4\): B h w and B H W are needed"):
        energy(torch.rand(2, 2), region())
    with pytest.raises(ValueError, match=r"torch\.float32"):
        energy(torch.rand(1, 2, 2), region().float())
    with pytest.raises(ValueError, match="not finite"):
        pointing(torch.full((1, 2, 2), float("nan")), region())
    with pytest.raises(ValueError, match="tolerance=-1"):
        pointing(torch.rand(1, 2, 2), region(), -1)


def test_the_frames_of_a_clip_lie_under_the_attention_that_they_receive() -> None:
    weights = torch.zeros(1, 24, 12)  # queries 2 × 3 × 4, keys 2 × 3 × 2
    weights[:, :, 0] = 0.25  # of the first frame, the upper left
    weights[:, :, 11] = 0.75  # of the second, the lower right
    maps = Maps()
    maps["affinity"] = [weights]
    maps.axes["affinity"], maps.grids["affinity"] = "B Q K", {"Q": (2, 3, 4), "K": (2, 3, 2)}
    clip = torch.zeros(3, 4, 30, 20)
    clip[:, 2:] = 1  # white at the end
    (picture,) = draw(maps, clip)
    assert "2 step maps" in picture.caption and picture.span == (0.0, 0.75)
    left, right = picture.image.crop((0, 0, picture.image.width // 2, picture.image.height)), picture.image
    assert np.asarray(left).mean() < np.asarray(right).mean()  # the second panel lies over the white frames
    with pytest.raises(IndexError, match="sample=1"):
        draw(maps, clip, 1)
