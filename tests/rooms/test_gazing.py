"""Maps against fixations: the references, the intervals, the command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import regard
from regard import backbones, cli
from regard.core import Maps
from regard.data import fixations
from regard.looking import gaze as gazing


def picture(path: Path, width: int, height: int, at: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[at[1] - 4 : at[1] + 5, at[0] - 4 : at[0] + 5] = (250, 20, 20)
    Image.fromarray(pixels).save(path)


PLACES = {"a": (20, 15), "b": (70, 40), "c": (60, 12), "d": (30, 44)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of 97×59 with a red spot, and four viewers who look at the spot of each."""
    place = tmp_path_factory.mktemp("gaze")
    draw = np.random.default_rng(0)
    content = {}
    for name, at in PLACES.items():
        picture(place / "images" / f"{name}.png", 97, 59, at)
        content[f"{name}.png"] = [(draw.normal(at, 2, (6, 2))).tolist() for _ in range(4)]
    (place / "fixations.json").write_text(json.dumps(content))
    return place


def run(*words: object) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    assert not end.value.code


def spots(path: Path) -> dict[str, np.ndarray]:
    """One map that knows, one that is blind, one without a place."""
    known = np.zeros((59, 97))
    x, y = PLACES[path.stem]
    rows, columns = np.mgrid[:59, :97]
    known = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 50)
    return {"known": known[::2, ::2], "blind": np.ones((7, 7)), "placeless": np.full((1, 1), np.nan)}


@pytest.mark.parametrize("convention", ["mit", "pysaliency"])
def test_a_map_that_knows_beats_the_centre_and_a_blind_one_does_not(folder: Path, convention: str) -> None:
    told: list[tuple[int, int]] = []
    found = gazing.score(fixations.read(folder), spots, True, convention=convention, on_image=lambda *x: told.append(x))
    rows = {row.name: row for row in found.rows}
    assert list(rows) == [gazing.CENTRE, gazing.CEILING, "known", "blind", gazing.TOGETHER]
    assert found.skipped == ("placeless",) and found.fixations == 96 and told[-1] == (4, 4)
    assert rows["known"].mean("nss") > 3 and rows["known"].mean("auc_judd") > 0.9 and rows["known"].mean("cc") > 0.8
    assert rows["known"].mean("ig") > 2 and rows[gazing.CENTRE].mean("ig") == pytest.approx(0)
    assert rows[gazing.CEILING].mean("nss") > 3 and rows[gazing.CEILING].mean("cc") > 0.7
    assert rows[gazing.CENTRE].mean("nss") < 0.5  # the spots are all elsewhere
    assert rows["blind"].mean("nss") == 0 and rows["blind"].mean("auc_shuffled") == 0.5
    low, high = rows["known"].interval("nss")
    values = rows["known"].values["nss"]
    half = 3.182446 * values.std(ddof=1) / 2  # Student's t with three degrees of freedom
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-5)


def test_an_even_map_stays_even_at_another_size(folder: Path) -> None:
    """Interpolation rounds, and a ranking of rounding errors is no prediction."""
    maps = {f"{h}×{w}": np.full((h, w), 0.1) for h, w in ((1, 2), (3, 5), (4, 4), (7, 11), (100, 200))}
    rows = gazing.score(fixations.read(folder), lambda path: maps, True, references=False, side=61).rows
    assert [row.name for row in rows] == [*maps, gazing.TOGETHER]
    for row in rows:
        assert (row.values["nss"] == 0).all() and (row.values["auc_judd"] == 0.5).all(), row.name


def test_a_single_viewer_has_no_ceiling(folder: Path) -> None:
    alone = [fixations.Viewed(one.path, one.width, one.height, one.viewers[:1]) for one in fixations.read(folder)]
    ceiling = gazing.score(alone, spots, True).rows[1]
    assert all(math.isnan(ceiling.mean(measure)) for measure in gazing.MEASURES)


def test_what_cannot_be_scored_is_named(folder: Path) -> None:
    viewed = fixations.read(folder)
    with pytest.raises(ValueError, match="at least 2"):
        gazing.score(viewed[:1], spots, True)
    with pytest.raises(ValueError, match="no map is spatial: only"):
        gazing.score(viewed, lambda path: {"only": np.full((1, 1), np.nan)}, True)
    with pytest.raises(ValueError, match="not finite"):
        gazing.score(viewed, lambda path: {"only": np.array([[1, np.inf]])}, True)
    outside = fixations.Viewed(viewed[0].path, 97, 59, (np.array([[200.0, 3.0]]),))
    with pytest.raises(ValueError, match=r"a\.png: at least one fixation inside the image"):
        gazing.score([outside, *viewed[1:]], spots, True)
    for wrong in ({"side": 3}, {"sigma": 0}, {"blur": -1}, {"limit": 1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            gazing.gaze(folder, "cbam", **wrong)
    with pytest.raises(LookupError, match="cbam"):
        gazing.gaze(folder, "cban")


def test_the_command_scores_attached_attention(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    model = backbones.build("resnet10t", classes=5)
    regard.attach(model, "cbam", example=torch.zeros(1, 3, 64, 64))
    draw = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=draw)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    words = ["gaze", folder, "--with", "cbam", "--on", "resnet10t", "--image-size", "64", "--limit", "3"]
    run(*words, "--weights", tmp_path / "weights.safetensors", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["trained"] and len(found["images"]) == 3 and found["skipped"]
    names = [row["name"] for row in found["rows"]]
    assert names[:2] == [gazing.CENTRE, gazing.CEILING] and any(name.endswith("/spatial") for name in names)
    assert all(len(row["measures"]["nss"]["values"]) == 3 for row in found["rows"])
    run(*words)
    shown = capsys.readouterr().out
    assert "centre bias" in shown and "because they have no place" in shown
    assert shown.startswith("The attention is untrained"), "before any score"


def test_rounding_errors_are_no_prediction(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map that is even but for its last bits scores as a uniform map: no ranking of them is scored."""

    def seen(network: object, pixels: torch.Tensor) -> Maps:
        maps = Maps()
        bands = (torch.arange(77) % 5 - 2).reshape(1, 1, 7, 11).double()
        maps["noise"], maps.axes["noise"] = [(1 / 77 * (1 + bands * 1e-7)).float()], "B 1 H W"
        assert maps["noise"][0].unique().numel() > 1
        return maps

    monkeypatch.setattr("regard.saved.opening.Network.look", seen)
    noise = gazing.gaze(folder, "itti").rows[2]
    assert noise.name == "noise" and noise.mean("nss") == 0 and noise.mean("auc_shuffled") == 0.5


@pytest.mark.slow
def test_a_system_is_scored_without_a_backbone(folder: Path) -> None:
    found = gazing.gaze(folder, "itti", limit=2)
    assert found.trained  # there is nothing to train
    saliency = next(row for row in found.rows if row.name == "saliency")
    assert np.isfinite(saliency.values["nss"]).all()
    options = {"backbone": "test_efficientnet", "width": 4}  # an argument of the system, not of the command
    learned = gazing.gaze(folder, "saliency_net", limit=2, kwargs=options)
    assert not learned.trained and "saliency" in {row.name for row in learned.rows}
    with pytest.raises(ValueError, match="needs no backbone: leave out backbone"):
        gazing.gaze(folder, "itti", backbone="resnet18")
    with pytest.raises(ValueError, match="itti cannot be built"):
        gazing.gaze(folder, "itti", kwargs={"nonsense": 3})
