"""`regard faithful`: its arguments, its tables and its picture."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from regard.cli import completion, faithful, main
from regard.looking import examples
from regard.viewing.curves import LINES, curves


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, shown = tmp_path_factory.mktemp("digits"), examples.images(3)
    paths = [folder / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        Image.fromarray(shown.pixels(i).permute(1, 2, 0).numpy()).save(path)
    return paths


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    text = io.StringIO()
    monkeypatch.setattr(faithful, "out", Console(file=text, width=100))
    with pytest.raises(SystemExit) as ended:
        main(["faithful", *words])
    assert ended.value.code == 0
    return text.getvalue()


@pytest.mark.slow
def test_the_command_tells_and_draws(
    digits: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*map(str, digits), "--weights", str(examples.weights()), "--baseline", "mean", "--steps", "2"]
    words += ["--squares", "3", "--stages", "1", "--out", str(tmp_path)]
    told = run(words, monkeypatch)
    for part in (
        "area under deletion (low is good)",
        "infidelity (low is good)",
        "aggregate.gates.1/spatial",
        "centre",
    ):
        assert part in told
    assert "0.png: followed is " in told and "when swapped" in told and "rank correlation" in told
    picture = tmp_path / "0-gated_sononet-faithful.png"
    with Image.open(picture) as drawn:
        assert drawn.size[0] > 1000
    assert str(picture) in told.replace("\n", "")
    run([*words, "--json", "--target", "7"], monkeypatch)
    found = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in found["rows"]][-3:] == ["random", "centre", "Grad-CAM"]
    assert len(found["rows"][0]["deletion"]["mean"]["area"]["values"]) == 3


@pytest.mark.slow
def test_a_network_without_attention_has_the_references_alone(
    digits: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [str(digits[0]), "--on", "test_resnet", "--image-size", "48", "--baseline", "blur", "--steps", "2"]
    told = run([*words, "--squares", "0", "--stages", "0", "--out", str(tmp_path)], monkeypatch)
    assert "Random weights" in told and "Grad-CAM" in told and "/" not in told.partition("infidelity")[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--baseline", "grey"], "--baseline='grey': blur or mean or road is accepted"),
        (["--steps", "1"], "--steps=1: a whole number of at least 2 is accepted"),
        (["--squares", "-1"], "--squares=-1: a whole number of at least 0 is accepted"),
        ([], "no network is named"),
    ],
)
def test_wrong_words(words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "photo.png")
    with pytest.raises(SystemExit) as ended:
        main(["faithful", str(tmp_path / "photo.png"), *words])
    assert ended.value.code == 1 and message in " ".join(capsys.readouterr().err.split())


def test_baselines_are_completed() -> None:
    assert completion.baselines("m") == ["mean"]


def test_a_drawn_curve_goes_through_its_points() -> None:
    drawn = curves({"falls": [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)], "even": [(0.0, 0.5), (1.0, 0.5)]}, "title", 320)
    assert drawn.size == (320, 320)
    left, right, top, bottom = 34, 310, 22, 320 - 20 - 2 * 15
    pixels = {(x, y) for x in range(320) for y in range(320) if drawn.getpixel((x, y)) == LINES[0]}
    quarter = (round(left + (right - left) / 4), round(top + (bottom - top) / 4))
    assert any(abs(x - quarter[0]) <= 2 and abs(y - quarter[1]) <= 2 for x, y in pixels)
    with pytest.raises(ValueError, match="lines: at least one, and in each at least one point, is needed"):
        curves({}, "title")
