"""`regard compare` and the rows' own maps: scores with other maps in their place, and the curves of `faithful`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import regard
from regard.comparing import Comparison, attached, mattering, statistics
from regard.comparing.folder import Folder
from regard.comparing.images import OwnImages
from regard.comparing.summarising import summarise
from regard.core import Attention
from regard.report import RANDOM, exporting
from regard.saved import digests
from regard.tasks.classify import Classify


class Squares(Dataset[tuple[Tensor, int]]):
    """A bright square in the left or in the right half: the class is the half. `3 H W` in 0..1."""

    classes = ("left", "right")

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(0, 2, (count,), generator=generator).tolist()
        self.images = 0.2 * torch.rand(count, 3, 24, 24, generator=generator)
        for image, label in zip(self.images, self.labels, strict=True):
            image[:, 9:15, 3 + 12 * label : 9 + 12 * label] = 1

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], self.labels[index]


class Weighs(Attention):
    """Weights of places from brightness; the context is where they lie, left to right."""

    maps: ClassVar = {"weights": "B 1 H W"}
    sums: ClassVar = {"weights": "H W"}

    def forward(self, x: Tensor) -> Tensor:
        scores = 40 * x.mean(1, keepdim=True)
        weights = self.see("weights", scores.flatten(2).softmax(2).view_as(scores))
        across = torch.linspace(-1, 1, x.shape[3], device=x.device)
        return (weights * across).sum((1, 2, 3))[:, None]


class Halves(nn.Module):
    """Says the half in which the weights lie; left where they lie in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Weighs()

    def forward(self, x: Tensor) -> Tensor:
        where = self.attention(x)
        return torch.cat([-where + 0.001, where], 1)


def images(count: int) -> OwnImages:
    return OwnImages(Squares(4, 1), Squares(count, 2), name="squares", classes=None, classify=True)


def replaced(model: nn.Module, count: int) -> tuple[dict[str, float], dict[str, Any]]:
    settings = Comparison(attention=("se",))
    return mattering.replaced(model, Classify(2), images(count).test, settings, torch.device("cpu"), None)


def test_the_score_with_other_maps_is_that_of_a_network_that_sees_nothing() -> None:
    """An even map lies in the middle, so the answer is left; without queries the mean is the even map."""
    labels = np.array(Squares(29, 2).labels)
    scores, arrays = replaced(Halves(), 29)
    left = float((labels == 0).mean())
    assert scores["intact"] == 1 and scores["even"] == scores["mean"] == pytest.approx(left)
    assert 0.2 < left < 0.8
    assert arrays["even.score"].tolist() == (labels == 0).tolist() and arrays["intact.score"].all()
    mean = float(np.mean(np.where(labels == 0, -1, 1))) > 0.01  # where all squares together lie
    assert scores["images"] == pytest.approx(float((labels == mean).mean()))
    assert set(scores) == {"intact", "even", "mean", "images", "shuffled"}


def test_at_most_so_many_images_are_taken_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mattering, "REPLACED", 7)
    scores, arrays = replaced(Halves(), 29)
    chosen = np.linspace(0, 28, 7).round().astype(int)
    assert arrays["even.score"].tolist() == (np.array(Squares(29, 2).labels)[chosen] == 0).tolist()
    assert scores["intact"] == 1


def test_a_network_without_maps_of_its_own_is_left_alone() -> None:
    class Calls(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError("it need not run")

    assert replaced(Calls(), 5) == ({}, {})
    assert attached.Attached().each(Classify(2), (torch.eye(2), torch.tensor([0, 1])))["score"].all()


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compared") / "run"
    data = (Squares(32, 3), Squares(6, 4))
    regard.compare(data, attention="cbam", seeds=2, epochs=1, faithful=True, out=out, patience=0.01)
    return out


def cells(text: str, name: str) -> Sequence[str]:
    return next(line.split() for line in text.splitlines() if line.startswith(name))


@pytest.mark.slow
def test_a_comparison_tells_whether_maps_matter(compared: Path) -> None:
    result = summarise(compared)
    rows = {row.name: row for row in result.rows}
    assert not rows["none"].replaced and not rows["plain"].replaced
    scores = Folder(compared).scores("cbam", range(2))
    even, intact = scores["replaced.even.score"], scores["replaced.intact.score"]
    assert even.shape == (2, 6)
    assert rows["cbam"].replaced["even"] == statistics.gain(even, intact)
    assert set(rows["cbam"].replaced) == {"even", "mean", "images", "shuffled"}
    told = json.loads(exporting.everything(result))
    own = next(row for row in told["rows"] if row["name"] == "cbam")
    assert own["replaced"]["shuffled"] == {
        **asdict(rows["cbam"].replaced["shuffled"]),
        "values": own["replaced"]["shuffled"]["values"],
    }
    assert set(told["trials"][-1]["replaced"]) == {"intact", "even", "mean", "images", "shuffled"}
    sheet = {line["row"]: line for line in csv.DictReader(io.StringIO(exporting.spreadsheet(result)))}
    assert float(sheet["cbam"]["accuracy_gain_by_even_maps"]) == pytest.approx(rows["cbam"].replaced["even"].mean)
    assert sheet["none"]["accuracy_gain_by_even_maps"] == ""
    assert "even" in str(result) and any("even maps" in sentence for sentence in result.sentences)
    page = result.report().read_text(encoding="utf-8")
    assert "Other maps in place of its own" in page and "Mean over queries" in page


@pytest.mark.slow
def test_a_comparison_tests_its_maps_where_it_is_asked_to(compared: Path) -> None:
    result = summarise(compared)
    rows = {row.name: row for row in result.rows}
    scores = Folder(compared).scores("cbam", range(2))
    curves, random = scores["faithful.own map.deletion.road"], scores[f"faithful.{RANDOM}.deletion.road"]
    assert curves.shape == (2, 6, 11)
    found = rows["cbam"].faithful["own map, deletion, road"]
    areas = [(values[..., 1:] + values[..., :-1]).mean(-1) / 2 for values in (curves, random)]
    assert found.area.mean == pytest.approx(areas[0].mean())
    assert found.beyond is not None and found.beyond.mean == pytest.approx((areas[1] - areas[0]).mean())
    assert found.curve == pytest.approx(curves.mean((0, 1)))
    assert "own map, deletion, road" not in rows["none"].faithful
    assert rows["none"].faithful["Grad-CAM, insertion, blur"].beyond is not None
    page = result.report().read_text(encoding="utf-8")
    assert 'id="faithful"' in page and "Own map, deletion" in page and "% of the pixels taken away" in page


@pytest.mark.slow
def test_an_older_run_goes_on_and_has_no_such_column(compared: Path, tmp_path: Path) -> None:
    """Settings and records that lack what is new: the run is the same comparison with the defaults of today."""
    data = (Squares(32, 3), Squares(6, 4))
    settings = {"attention": "se", "seeds": 1, "epochs": 1, "out": tmp_path / "old", "patience": 0.01}
    first = regard.compare(data, **settings)
    assert next(row for row in first.rows if row.name == "se").replaced
    run = digests.opened_object((tmp_path / "old" / "run.json").read_bytes())
    del run["settings"]["faithful"]
    (tmp_path / "old" / "run.json").write_text(json.dumps(digests.sealed_object(run)))
    lines = []
    for line in (tmp_path / "old" / "results.jsonl").read_bytes().splitlines():
        record = digests.opened_object(line)
        del record["replaced"]
        lines.append(json.dumps(digests.sealed_object(record)))
    (tmp_path / "old" / "results.jsonl").write_text("".join(f"{line}\n" for line in lines))
    again = regard.compare(data, **settings)
    assert not any(row.replaced for row in again.rows)
    assert [row.score for row in again.rows] == [row.score for row in first.rows]
    with pytest.raises(ValueError, match="faithful = False, now it is True"):
        regard.compare(data, **settings, faithful=True)
