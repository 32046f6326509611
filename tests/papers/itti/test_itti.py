"""Saliency of photographs and known pictures, the network that chooses between places, and bad pictures."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from skimage import data
from torch import Tensor

from regard import published, watch
from regard.cli import main
from regard.looking.gaze import CEILING, CENTRE, TOGETHER
from regard.looking.photographs import look
from regard.ops import saliency_pyramid as steps
from regard.ops.winner_take_all import compete, repeated_maxima
from regard.papers.itti.network import FEATURES, Itti
from regard.viewing import draw

GOLDEN = Path(__file__).parent / "golden"


def photograph(image: np.ndarray, *, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].to(dtype) / 255


def odd_one_out(
    height: int = 192,
    width: int = 256,
    *,
    at: tuple[int, int] = (2, 5),
    others: tuple[float, float, float] = (0.2, 0.6, 0.2),
) -> Tensor:
    """Rows of equal dots, green if nothing else is said, one of them red."""
    picture = torch.full((1, 3, height, width), 0.5)
    for row in range(6):
        for column in range(8):
            y, x = 16 + 32 * row, 16 + 32 * column
            colour = (0.9, 0.2, 0.2) if (row, column) == at else others
            picture[0, :, y - 5 : y + 5, x - 5 : x + 5] = torch.tensor(colour)[:, None, None]
    return picture


# ---- the toolbox


@pytest.mark.parametrize("name", ["a_astronaut_iter", "a_astronaut_localmax"])
def test_the_winners_and_their_times_are_the_toolbox(name: str) -> None:
    with safe_open(GOLDEN / f"saliency_toolbox-{name}.safetensors", "pt") as file:
        args = json.loads(file.metadata()["args"])
        recorded = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    model = published.rebuild("itti_saliency_toolbox/DirkBWalther.SaliencyToolbox/makeSaliencyMap", args, {})
    saliency = model(recorded["input.0"])[None, None]
    found = model.module.scanpath(saliency, tuple(recorded["input.0"].shape[:2]))
    torch.testing.assert_close(found.cells[0] + 1, recorded["map.winners"].long())
    torch.testing.assert_close(found.times, recorded["map.win_time"], rtol=0, atol=1e-12)


def test_what_the_toolbox_has_and_this_lacks_is_refused() -> None:
    reference = "itti_saliency_toolbox/DirkBWalther.SaliencyToolbox/makeSaliencyMap"
    for args, word in (
        ({"pyramid": "sqrt2"}, "dyadic"), ({"IORtype": "shape"}, "disk"), ({"normtype": "Other"}, "LocalMax"),
        ({"noiseAmpl": 1e-17}, "drawn"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=word):
            published.rebuild(reference, args, {})
    built = published.rebuild(reference, {"weights": (3, 2, 1), "mapLevel": 4, "foaSize": 20}, {}).module
    assert built.weights == {"colour": 3, "intensity": 2, "orientation": 1}
    assert built.map_scale == 3 and built.focus == 20


def test_a_grey_picture_of_the_toolbox() -> None:
    model = published.rebuild("itti_saliency_toolbox/DirkBWalther.SaliencyToolbox/makeSaliencyMap", {}, {})
    grey = torch.from_numpy(data.camera())
    assert model(grey).shape == (32, 32)
    torch.testing.assert_close(model(grey), Itti(exact=True)(grey.double()[None, None] / 255)[0, 0])


# ---- what it finds


@pytest.mark.slow
def test_exact_and_plain_differ_only_where_filters_reach_over_the_border() -> None:
    x = photograph(data.chelsea(), dtype=torch.float64)
    plain, exact = (Itti(exact=exact).contrasts(x) for exact in (False, True))
    for name in ("intensity", "colour"):
        torch.testing.assert_close(plain[name], exact[name])
    intensity = x.mean(1, keepdim=True)
    size = (intensity.shape[2], intensity.shape[3])
    filters = steps.gabors((0.0, 90.0))
    inner, framed = (steps.oriented(intensity, filters, size, exact=exact) for exact in (False, True))
    torch.testing.assert_close(inner[..., 4:-4, 4:-4], framed[..., 4:-4, 4:-4])
    for side in (inner - framed)[..., :4, 4:-4], (inner - framed)[..., :4]:
        assert side.abs().mean() > 0.1


def test_the_border_of_a_picture_is_no_edge_in_it() -> None:
    x = torch.full((1, 1, 256, 320), 0.6)
    x[..., 120:136, 120:200] = 0.1
    around = torch.ones(16, 20, dtype=torch.bool)
    around[2:-2, 2:-2] = False
    at_the_border = {}
    for exact in (False, True):
        turned = Itti(exact=exact).contrasts(x)["orientation"]
        at_the_border[exact] = turned[..., around].amax() / turned.amax()
    assert at_the_border[False] < 0.2 < at_the_border[True], "the toolbox sees the edges of a black frame"


@pytest.mark.parametrize("value", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_flat_picture_has_no_contrast(value: float, dtype: torch.dtype) -> None:
    model = Itti()
    with watch(model) as maps:
        saliency = model(torch.full((2, 3, 192, 256), value, dtype=dtype))
    assert {name: looks[0].abs().max().item() for name, looks in maps.items() if name != "scanpath"} == {
        "intensity": 0, "colour": 0, "orientation": 0, "saliency": 0,
    }  # fmt: skip
    assert saliency.abs().max() == 0


@pytest.mark.slow
def test_what_differs_in_colour_alone_does_not_stand_out_by_brightness() -> None:
    luma = torch.tensor([0.298936021293775, 0.587043074451121, 0.114020904255103])
    x = odd_one_out(others=(0.5, 0.5, 0.5))
    dots = (x != 0.5).any(1, keepdim=True)
    red = 0.5 + torch.tensor([0.3, -0.3 * luma[0] / luma[1], 0.0])  # as bright as the grey around it
    x = torch.where(dots, red[:, None, None], 0.5)
    model = Itti()
    with watch(model) as maps:
        model(x)
    assert maps["colour"][0].max() > 1
    assert maps["intensity"][0].max() == maps["orientation"][0].max() == 0


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["iterative", "local_max", "other_max"])
def test_the_red_dot_among_green_ones_is_looked_at_first(normalisation: str) -> None:
    model = Itti(normalisation=normalisation)
    with watch(model) as maps:
        model(odd_one_out())
    x, y = maps["scanpath"][0][0, 0].tolist()
    assert abs((x + 1) * 128 - (16 + 32 * 5)) < 20 and abs((y + 1) * 96 - (16 + 32 * 2)) < 20
    assert maps["colour"][0].max() > maps["orientation"][0].max()  # the red is less bright, too


def test_the_printed_double_opponency_finds_red_among_grey_but_sums_what_it_should_compare() -> None:
    model = Itti(opponency="double", weights=(0, 1, 0))
    for others, found in (((0.3, 0.3, 0.3), True), ((0.2, 0.6, 0.2), False)):
        saliency = model(odd_one_out(others=others))[0, 0]
        row, column = divmod(int(saliency.argmax()), saliency.shape[1])
        assert (abs(row * 16 + 8 - 80) <= 16 and abs(column * 16 + 8 - 176) <= 16) is found


def test_a_turned_bar_stands_out_by_orientation() -> None:
    picture = torch.zeros(1, 1, 512, 512)
    for row in range(8):
        for column in range(8):
            y, x = 32 + 64 * row, 32 + 64 * column
            tall, wide = (4, 20) if (row, column) == (3, 4) else (20, 4)
            picture[0, 0, y - tall : y + tall, x - wide : x + wide] = 1
    saliency = Itti(weights=(0, 0, 1))(picture)[0, 0]
    row, column = divmod(int(saliency.argmax()), saliency.shape[1])
    assert abs(row * 16 + 8 - (32 + 64 * 3)) <= 16 and abs(column * 16 + 8 - (32 + 64 * 4)) <= 16


@pytest.mark.slow
def test_weights_choose_features() -> None:
    x = odd_one_out()
    only_colour = Itti(weights=(0, 1, 0))
    with watch(only_colour) as maps:
        only_colour(x)
    assert maps["intensity"][0].abs().max() == 0 and maps["colour"][0].max() > 0


def test_brightness_in_bytes_or_from_0_to_1_is_the_same() -> None:
    image = torch.from_numpy(data.astronaut()[::4, ::4].copy()).permute(2, 0, 1)[None]
    torch.testing.assert_close(Itti()(image), Itti()(image.float() / 255))


@pytest.mark.slow
def test_a_batch_of_paths_is_the_paths_one_by_one() -> None:
    pictures = torch.cat([odd_one_out(at=at) for at in ((1, 1), (4, 6))] + [torch.full((1, 3, 192, 256), 0.3)])
    model = Itti(fixations=4)
    saliency = model(pictures)
    together = model.scanpath(saliency, (192, 256))
    for i in range(3):
        alone = model.scanpath(saliency[i : i + 1], (192, 256))
        assert torch.equal(together.cells[i], alone.cells[0])
        torch.testing.assert_close(together.times[i], alone.times[0], rtol=0, atol=1e-9)
    assert together.times[:2].isfinite().all()


def test_gradients_reach_the_picture() -> None:
    x = photograph(data.coffee()[::4, ::4].copy()).requires_grad_()
    Itti()(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all() and (x.grad != 0).float().mean() > 0.5


def test_every_map_is_drawn() -> None:
    x = photograph(data.coffee()[::2, ::2].copy())
    model = Itti(fixations=3)
    with watch(model) as maps:
        model(x)
    assert [picture.name for picture in draw(maps, x[0])] == [
        "intensity", "colour", "orientation", "saliency", "scanpath",
    ]  # fmt: skip
    assert maps.grids["saliency"] == {"Q": (12, 18)}


# ---- who wins


def test_a_flat_or_dark_map_has_no_winner_and_ends() -> None:
    found = compete(torch.zeros(1, 5, 7), fixations=3, deviation=1.0)
    assert found.times.isinf().all() and found.cells.tolist() == [[[2, 3]] * 3]
    model = Itti()
    with watch(model) as maps:
        model(torch.zeros(1, 3, 64, 64))
    assert maps["scanpath"][0].isfinite().all()


def test_no_picture_has_no_path() -> None:
    model = Itti(fixations=4)
    with watch(model) as maps:
        model(torch.zeros(0, 3, 64, 64))
    assert maps["scanpath"][0].shape == (0, 4, 2)
    assert model.scanpath(torch.zeros(0, 1, 4, 4), (64, 64)).times.shape == (0, 4)


def test_one_peak_is_left_and_nothing_else_is_found() -> None:
    saliency = torch.zeros(1, 9, 11)
    saliency[0, 4, 6] = 2.0
    found = compete(saliency, fixations=2, deviation=3.0, patience=0.5)
    assert found.cells[0].tolist() == [[4, 6], [4, 6]]
    assert found.times[0, 0] < 0.2 and math.isinf(found.times[0, 1])
    x, y = found.points((9, 11))[0, 0].tolist()
    assert (x, y) == pytest.approx((2 * 6.5 / 11 - 1, 0.0))


def test_two_equal_peaks_are_taken_down_the_columns() -> None:
    saliency = torch.zeros(1, 20, 20)
    saliency[0, 15, 3] = saliency[0, 2, 16] = 1.5
    found = compete(saliency, fixations=2, deviation=1.0)
    assert found.cells[0].tolist() == [[15, 3], [2, 16]]


def test_repeated_maxima_by_hand() -> None:
    saliency = torch.tensor([[[1.0, 5.0, 4.0, 0.0, 3.0]]])
    assert repeated_maxima(saliency, fixations=3, radius=1)[0, :, 1].tolist() == [1, 4, 4]
    assert repeated_maxima(saliency, fixations=3, radius=0.5)[0, :, 1].tolist() == [1, 2, 4]


# ---- the steps


def test_the_operator_by_hand() -> None:
    lone, several = torch.zeros(2, 1, 1, 7, 9)
    lone[0, 0, 3, 4] = 1.0
    several[0, 0, 1, 1] = several[0, 0, 3, 5] = several[0, 0, 5, 3] = 1.0
    promoted = [steps.promoted_by_maxima(steps.spread(x, 0, 10), 10.0) for x in (lone, several)]
    assert promoted[0].max() == 1000 and promoted[1].max() == 0  # (10 - 0)² and (10 - 10)²
    one_stronger = several.clone()
    one_stronger[0, 0, 3, 5] = 2.0
    spread = steps.spread(one_stronger, 0, 10)
    assert steps.promoted_by_maxima(spread, 10.0).max().item() == pytest.approx(10 * (10 - 20 / 3) ** 2)
    assert steps.promoted_by_maxima(spread, 10.0, others=True).max() == 250  # (10 - 5)²
    assert steps.promoted_by_maxima(steps.spread(several, 0, 10), None, others=True).max() == 0
    competed = [steps.promoted_by_competition(steps.spread(x, 0, 10), 3).max() for x in (lone, several)]
    assert competed[0] > competed[1]
    assert steps.spread(torch.full((1, 1, 2, 2), 3.0), 0, 10).unique().tolist() == [5.0]


def test_halving_keeps_a_constant_and_the_sizes() -> None:
    for height, width in ((1, 1), (2, 3), (3, 9), (4, 4), (5, 2), (7, 1), (8, 13)):
        for exact in (False, True):
            half = steps.halved(torch.full((1, 1, height, width), 0.7, dtype=torch.float64), exact=exact)
            assert half.shape[2:] == (max(1, height // 2), max(1, width // 2))
            torch.testing.assert_close(half, torch.full_like(half, 0.7))


# ---- bad pictures


def test_bad_pictures_are_refused_by_name() -> None:
    model = Itti()
    for shape in ((3, 64, 64), (1, 2, 64, 64), (1, 4, 64, 64)):
        with pytest.raises(ValueError, match="B 3 H W"):
            model(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"\(1, 3, 0, 64\).*no side empty"):
        model(torch.zeros(1, 3, 0, 64))
    for height, width in ((1, 1), (31, 400)):
        with pytest.raises(ValueError, match="at least 32 × 32"):
            model(torch.zeros(1, 3, height, width))
    broken = torch.rand(1, 3, 64, 64)
    broken[0, 1, 5, 7] = math.nan
    broken[0, 2, 5, 7] = math.inf
    with pytest.raises(ValueError, match="2 of 12288 are not"):
        model(broken)
    with pytest.raises(ValueError, match="int64"):
        model(torch.zeros(1, 3, 64, 64, dtype=torch.int64))
    assert model(torch.rand(1, 1, 32, 33)).shape == (1, 1, 2, 2)
    assert model(torch.rand(0, 3, 64, 64)).shape == (0, 1, 4, 4)


def test_a_path_over_what_is_no_map_is_refused() -> None:
    broken = torch.ones(1, 1, 4, 4)
    broken[..., 1] = math.nan
    for wrong in (torch.ones(1, 4, 4), torch.ones(1, 2, 4, 4), torch.ones(1, 1, 0, 4), broken):
        for how in ("network", "maxima"):
            with pytest.raises(ValueError, match="B 1 h w of finite numbers"):
                Itti(scanpath=how).scanpath(wrong, (64, 64))


def test_bad_arguments_are_refused_by_name() -> None:
    for kwargs, word in (
        ({"normalisation": "max"}, "local_max"), ({"opponency": "x"}, "double"), ({"scanpath": "x"}, "maxima"),
        ({"centres": ()}, "centres"), ({"deltas": (0,)}, "deltas"), ({"map_scale": -1}, "map_scale"),
        ({"weights": (1, 1)}, "weights"), ({"weights": (0, 0, 0)}, "weights"), ({"angles": ()}, "angles"),
        ({"focus": 0}, "focus"), ({"iterations": 0}, "iterations"), ({"fixations": 0}, "fixations"),
        ({"angles": (0.0, math.nan)}, "angles=.*nan"), ({"weights": (1, math.inf, 1)}, "weights=.*inf"),
        ({"focus": math.inf}, "focus=inf"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=word):
            Itti(**kwargs)


@pytest.mark.slow
def test_a_large_picture_works() -> None:
    assert Itti()(torch.rand(1, 3, 1500, 2100)).shape == (1, 1, 93, 131)


# ---- regard look


def test_look_draws_a_system_without_a_backbone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(data.coffee()).save(tmp_path / "coffee.png")
    Image.fromarray(data.camera()).save(tmp_path / "grey.png")
    words = ["look", tmp_path / "coffee.png", tmp_path / "grey.png", "--with", "itti", "--out", tmp_path / "o"]
    with pytest.raises(SystemExit, match="0"):
        main([*map(str, words), "--kwargs", '{"fixations": 2}'])
    assert "untrained" not in capsys.readouterr().out
    for name in ("coffee-itti.png", "grey-itti.png"):
        with Image.open(tmp_path / "o" / name) as sheet:
            assert sheet.width > 1300


def test_look_refuses_what_a_system_has_no_use_for(tmp_path: Path) -> None:
    Image.fromarray(data.coffee()).save(tmp_path / "coffee.png")
    Image.fromarray(data.coffee()[:20, :20]).save(tmp_path / "tiny.png")
    for given, word in (
        ({"backbone": "resnet18"}, "leave out backbone \\(--on\\)"), ({"pretrained": True}, "leave out pretrained"),
        ({"after": ["*"]}, "leave out after"), ({"nonsense": 1}, "nonsense"),
        ({"weights": tmp_path / "none.safetensors"}, "none.safetensors"),
    ):  # fmt: skip
        with pytest.raises((ValueError, FileNotFoundError), match=word):
            look([tmp_path / "coffee.png"], "itti", out=tmp_path / "o", **given)
    with pytest.raises(ValueError, match="at least 32 × 32"):
        look([tmp_path / "tiny.png"], "itti", out=tmp_path / "o")
    assert not (tmp_path / "o").exists()
    looks = look([tmp_path / "tiny.png"], "itti", image_size=64, out=tmp_path / "o")
    assert looks.trained and looks.pictures[0].is_file()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grey", "palette", "alpha", "grey and alpha", "16 bits"])
def test_look_takes_every_kind_of_picture(tmp_path: Path, kind: str) -> None:
    grey, colour = Image.fromarray(data.camera()[::4, ::4]), Image.fromarray(data.coffee()[::4, ::4])
    glass = Image.new("L", colour.size, 200)
    picture = {
        "grey": grey,
        "palette": colour.convert("P"),
        "alpha": Image.merge("RGBA", [*colour.split(), glass]),
        "grey and alpha": Image.merge("LA", [grey, glass.resize(grey.size)]),
        "16 bits": Image.fromarray(data.camera()[::4, ::4].astype(np.uint16) * 257),
    }[kind]
    picture.save(tmp_path / "picture.png")
    looks = look([tmp_path / "picture.png"], "itti", out=tmp_path / "o", fixations=1)
    with Image.open(looks.pictures[0]) as sheet:
        assert sheet.width > 900


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        (None, "photo.png: the file is empty"),
        (Image.new("RGB", (1, 1)), "(1, 3, 1, 1): at least 32 × 32 pixels"),
        (Image.new("L", (3000, 40)), "(1, 3, 11, 800): at least 32 × 32 pixels"),
        (Image.new("1", (12_000, 9_000)), "photo.png: 12000×9000 is 108 megapixels; up to 64 are read"),
    ],
    ids=["empty", "a pixel", "a strip", "huge"],
)
def test_look_says_in_a_line_what_is_wrong_with_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], picture: Image.Image | None, says: str
) -> None:
    path = tmp_path / "photo.png"
    path.touch() if picture is None else picture.save(path)
    with pytest.raises(SystemExit) as stopped:
        main(["look", str(path), "--with", "itti", "--out", str(tmp_path / "o")])
    said = capsys.readouterr()
    assert stopped.value.code and says in " ".join((said.out + said.err).split())
    assert len((said.out + said.err).strip().splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_the_page_shows_every_row_of_regard_gaze_and_says_where_the_centre_of_the_image_is_better():
    page = (Path(__file__).parents[3] / "docs" / "itti.md").read_text(encoding="utf-8")
    assert "the centre bias is better" in " ".join(page.split("\n\n")[1].split())
    for row in (CENTRE, *FEATURES, "saliency", TOGETHER, CEILING):
        assert re.search(rf"^\| {row}[^|]*\|( [0-9.]+ \([0-9.]+ to [0-9.]+\) \|){{2}}", page, re.MULTILINE), row
