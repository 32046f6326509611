"""The report: what stands in it, and how it behaves in a real browser (Chromium)."""

import base64
import contextlib
import io
import itertools
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regard import comparing
from regard.metrics.metric import Measure
from regard.report import Interval, Result, Row, gallery, numbers, page, plots, table
from regard.report.labels import LETTER, LINE, place
from regard.viewing.colours import scale

NASTY = "<script>alert('x')</script>&\"cat\""
ACCURACY = Measure("accuracy", "accuracy", unit="%")
CLASSES = [NASTY, "dog", "coffee"]


def interval(mean, half, low=-9.0, high=9.0):
    return Interval(mean, max(low, mean - half), min(high, mean + half), (mean - half / 2, mean + half / 2))


def row(name, accuracy, *, through="Grad-CAM", domains=("channel",), gain=None, cost=1.0, extra=0, **changes):
    reference = name in ("none", "plain")
    history = [
        {"epoch": epoch, "loss": 2.0 / epoch, "score": accuracy * (1 - 0.5**epoch), "seconds": 1.0}
        for epoch in range(1, 6)
    ]
    values = {
        "name": name,
        "domains": () if reference else domains,
        "score": interval(accuracy, 0.02, 0, 1),
        "gain": None if name == "none" else gain or interval(accuracy - 0.8, 0.03),
        "gain_over_plain": None if reference else interval(accuracy - 0.81, 0.03),
        "ece": interval(0.05 - accuracy / 100, 0.01),
        "energy": interval(accuracy / 2, 0.02),
        "pointing": interval(accuracy / 1.5, 0.04),
        "through": through,
        "energy_gradcam": interval(accuracy / 3, 0.02),
        "pointing_gradcam": interval(accuracy / 1.6, 0.04),
        "chance_energy": 0.2,
        "parameters": 1_000_000 + extra,
        "extra_parameters": extra,
        "flops": 180_000_000 + extra,
        "latency": {"1": interval(cost, 0.01 * (cost - 1)), "32": interval(cost, 0.02 * (cost - 1))},
        "peak_memory": 200_000_000 + extra,
        "history": (tuple(history), tuple({**epoch, "loss": epoch["loss"] * 1.1} for epoch in history)),
        "verdict": f"{name} against none: told in words.",
    }
    return Row(**{**values, **changes})


def rows():
    return [
        row("none", 0.80),
        row("plain", 0.81, cost=1.2, extra=90_000),
        row("se", 0.82, cost=1.05, extra=40_000),
        row("cbam", 0.87, cost=1.3, extra=43_000, through="spatial map", domains=("channel", "spatial")),
        row("eca", 0.79, cost=1.02, extra=60, gain=interval(-0.05, 0.02)),
    ]


def run_facts(**changes):
    return {
        "data": f"/pictures/{NASTY}",
        "backbone": "resnet18",
        "attention": [each.name for each in rows()],
        "seeds": 2,
        "epochs": 5,
        "image_size": 24,
        "classes": CLASSES,
        "train_size": 1200,
        "test_size": 400,
        "skipped": [{"path": f"train/{NASTY}.jpg", "reason": f"cannot identify {NASTY}"}],
        "sites": ["layer1.0.bn2", "layer2.0.bn2"],
        "command": f"regard compare '{NASTY}' --seeds 2",
        "versions": {"regard": "0.1.0", "torch": "2.6.0"},
        "pretrained": False,
        "chance": 0.34,
        **changes,
    }


def make_gallery(path, names, shots=3, height=24, width=30):
    """Images whose maps peak at the top left; the second row of `names` is wrong about the first image."""
    generator = np.random.default_rng(0)
    regions = np.zeros((shots, height, width), bool)
    regions[:, 2:10, 3:12] = True
    map = np.zeros((shots, height, width), np.float32)
    map[:, :5, :5] = 1.0
    labels = np.arange(shots) % len(CLASSES)
    arrays = {
        "images": generator.integers(0, 255, (shots, height, width, 3), dtype=np.uint8),
        "regions": regions,
        "has_region": np.arange(shots) != shots - 1,
        "labels": labels,
    }
    for index, name in enumerate(names):
        answers = labels.copy()
        if index == 1:
            answers[0] = 1
        arrays |= {f"map.{name}": map, f"prediction.{name}": answers, f"confidence.{name}": np.full(shots, 0.876)}
    np.savez_compressed(path, **arrays)
    return path


def result(folder, given=None, **facts):
    given = rows() if given is None else given
    sentences = [
        f"What was done with {NASTY}.",
        *(each.verdict for each in given if each.gain is not None),
        "These are 7 comparisons at once.",
    ]
    file = make_gallery(folder / "gallery.npz", [each.name for each in given])
    return Result(
        rows=tuple(given),
        sentences=tuple(sentences),
        measure=ACCURACY,
        run=run_facts(**facts),
        out=folder,
        gallery=file,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return result(out).report()


class Page(HTMLParser):
    """Tags with their attributes, visible text, and whether every tag that opens closes."""

    VOID = frozenset(("meta", "link", "input", "br", "img"))

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.cells, self._open = [], [], [], []
        self.feed(text)
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self._open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open and self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("script", "style"):
            self.words.append(data)
            if "td" in self._open or "th" in self._open:
                self.cells[-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    @property
    def columns(self):
        return [" ".join(cell.split()) for cell in self.cells[: self.cells.index("none reference")]]


def page_of(folder, given=None, sentences=None, **facts):
    made = result(folder, given, **facts)
    return Page(page.page(made if sentences is None else replace(made, sentences=sentences)))


# ---- numbers, ticks, labels, outlines


def test_numbers_read_well():
    assert [numbers.fixed(-0.04), numbers.fixed(-1.25, 2), numbers.fixed(0.0, 1, signed=True)] == [
        "0.0",
        "−1.25",
        "0.0",
    ]
    assert [numbers.points(0.0123), numbers.points(-0.0123), numbers.points(-0.0001)] == ["+1.2", "−1.2", "0.0"]
    counts = (0, 60, 999, 999.6, 1234, 11_689_512, 182_400_000, 999_600_000, 4.1e12)
    assert [numbers.short(count) for count in counts] == [
        "0", "60", "999", "1.00 k", "1.23 k", "11.7 M", "182 M", "1.00 G", "4.10 T",
    ]  # fmt: skip


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.982, 1.243), (85.2, 93.1), (1.2e6, 1.4e6), (3e-5, 4e-5), (0, 7)])
def test_ticks_are_round_and_inside(low, high):
    marks = numbers.ticks(low, high)
    assert 3 <= len(marks) <= 9 and low <= marks[0] + 1e-9 and marks[-1] <= high + 1e-9
    step = marks[1] - marks[0]
    assert float(f"{step:.3g}") == pytest.approx(step) and f"{step:.0e}"[0] in "125"
    assert len({numbers.fixed(mark, numbers.decimals(marks)) for mark in marks}) == len(marks)


def overlapping(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("seed", range(12))
def test_labels_cover_neither_each_other_nor_a_point(seed):
    generator = np.random.default_rng(seed)
    count = 4 + seed
    spread = 120 if seed % 2 else 30  # every second case is a crowd
    centres = [(190 + x, 150 + y) for x, y in generator.uniform(-spread, spread, (count, 2)).tolist()]
    names = ["non_local" if index % 3 == 0 else "se" for index in range(count)]
    bars = [(x - 10, y - 25, x + 10, y + 25) for x, y in centres]
    spots = place(names, centres, bars, (40, 18, 378, 260))
    boxes = [(x, y, x + len(name) * LETTER, y + LINE) for (x, y), name in zip(spots, names, strict=True)]
    for index, box in enumerate(boxes):
        assert not any(overlapping(box, other) for other in boxes[:index])
        assert not any(overlapping(box, (x - 4, y - 4, x + 4, y + 4)) for x, y in centres)
        assert box[0] >= 40 and box[1] >= 18 and box[2] <= 378 and box[3] <= 260


def test_identical_points_get_separate_labels():
    spots = place(["se", "eca", "gc"], [(100, 100)] * 3, [(100, 100, 100, 100)] * 3, (40, 18, 378, 260))
    assert len(set(spots)) == 3


def test_an_outline_runs_along_the_edges():
    region = np.zeros((4, 5), bool)
    region[1:3, 2:5] = True
    assert set(re.findall("M[^M]+", gallery.outline(region))) == {"M2,1H5", "M2,3H5", "M2,1V3", "M5,1V3"}
    region[1, 3] = False
    assert set(re.findall("M[^M]+", gallery.outline(region))) == {
        "M2,1H3", "M4,1H5", "M3,2H4", "M2,3H5", "M2,1V3", "M3,1V2", "M4,1V2", "M5,1V3",
    }  # fmt: skip
    assert gallery.outline(np.zeros((3, 3), bool)) == ""


def test_rows_keep_one_look_and_no_two_look_alike():
    names = ["none", "plain", *(f"m{index}" for index in range(20))]
    looks = plots.looks(names, table.REFERENCES)
    assert looks["none"].hue != looks["plain"].hue and looks["none"].reference and not looks["m0"].reference
    assert len({(look.hue, look.shape) for look in looks.values()}) == len(names)


# ---- what stands in the page


def test_the_page_is_whole_and_loads_nothing(written):
    text = written.read_text(encoding="utf-8")
    shown = Page(text)
    identities = [attributes["id"] for _, attributes in shown.tags if "id" in attributes]
    assert len(identities) == len(set(identities))
    for tag, attributes in shown.tags:
        for name in ("src", "href", "srcset", "action", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    assert not re.search(r"@import|url\((?!data:)", text)
    local = {attributes["href"][1:] for _, attributes in shown.tags if attributes.get("href", "").startswith("#")}
    assert local <= set(identities)


def test_what_the_user_named_is_text(written):
    text = written.read_text(encoding="utf-8")
    assert "<script>alert" not in text and "alert('x')</script>" not in text
    shown = Page(text)
    assert sum(tag == "script" for tag, _ in shown.tags) == 1
    for told in (
        f"regard compare '{NASTY}' --seeds 2",
        f"train/{NASTY}.jpg",
        f"What was done with {NASTY}.",
        "2 modules",
    ):
        assert told in shown.text, told


def test_the_title_names_the_comparison(tmp_path):
    assert page_of(tmp_path, data="digits", backbone="test_resnet").text.startswith("test_resnet on digits · regard")


def test_the_summary_comes_before_the_table(written):
    text = Page(written.read_text(encoding="utf-8")).text
    order = [
        "What was done",
        "cbam ▲ +7.0 points, better beyond noise",
        "These are 7 comparisons",
        "Results",
        "Accuracy",
    ]
    places = [text.index(words, 100) for words in order]
    assert places == sorted(places)
    assert "se ≈ +2.0 points, within noise" in text and "eca ▼ −5.0 points, worse beyond noise" in text


def test_every_figure_has_its_interval_and_the_best_is_marked(written):
    shown = Page(written.read_text(encoding="utf-8"))
    cells = [" ".join(cell.split()) for cell in shown.cells]
    accuracies = [cell for cell in cells if re.search(r"\d\d\.\d \d\d\.\d–\d\d\.\d$", cell)]
    assert "★best: 87.0 85.0–89.0" in accuracies and "80.0 78.0–82.0" in accuracies
    assert "★best: ▲better beyond noise: +7.0 +4.0 to +10.0" in cells
    assert "≈within noise: +2.0 −1.0 to +5.0" in cells and "▼worse beyond noise: −5.0 −7.0 to −3.0" in cells
    assert "★best: 1.02 1.02–1.02" in cells, "the cheapest mechanism, though none costs less"
    assert "1.00" in cells
    assert sum("★" in cell for cell in cells) == sum(bool(cell.startswith("★")) for cell in cells) == 9


def test_the_own_map_is_scored_only_where_there_is_one(written):
    shown = Page(written.read_text(encoding="utf-8"))
    assert shown.columns.count("Energy %") == 2 and "Grad-CAM on the object" in shown.columns
    assert "an even map's energy: 20.0 %" in shown.text
    assert "Energy, Own map" in shown.text and "Energy, Grad-CAM" in shown.text, "both are explained"


def test_without_regions_the_columns_are_left_out_and_the_page_says_why(tmp_path):
    unknown = dict.fromkeys(("energy", "pointing", "energy_gradcam", "pointing_gradcam", "chance_energy"))
    shown = page_of(tmp_path, [replace(each, **unknown) for each in rows()])
    assert not any("Energy" in column or "object" in column for column in shown.columns)
    assert "the place of the object is not known" in shown.text and "even map" not in shown.text
    assert "the place of the object is not known" not in page_of(tmp_path).text


def test_one_seed_is_explained(tmp_path):
    single = [
        replace(each, score=replace(each.score, values=each.score.values[:1]), history=each.history[:1])
        for each in rows()
    ]
    text = page_of(tmp_path, single, seeds=1).text
    assert "One seed: the intervals hold the luck of the test images only" in text and "seed 1 " in text
    assert "Lines are means over the seeds" not in text
    assert "One seed" not in page_of(tmp_path).text


def test_a_figure_without_an_interval_shows_none(tmp_path):
    flat = [replace(each, ece=Interval(0.05, 0.05, 0.05, (0.05,))) for each in rows()]
    cells = [" ".join(cell.split()) for cell in page_of(tmp_path, flat).cells]
    assert cells.count("5.0") == len(flat), "equal everywhere: no interval and no best"


def test_missing_costs_history_and_gallery_are_left_out(tmp_path):
    bare = [replace(each, latency={}, peak_memory=None, history=()) for each in rows()]
    made = replace(result(tmp_path, bare), gallery=None)
    shown = Page(page.page(made))
    assert not any("Time" in column or "Memory" in column for column in shown.columns)
    assert "Test accuracy while training" not in shown.text and "Where they look" not in shown.text
    assert "Accuracy against parameters" in shown.text and "against time" not in shown.text
    least = replace(made, run={}, sentences=[])
    assert "Results" in Page(page.page(least)).text


def test_nothing_skipped_is_said(tmp_path):
    assert "Left out nothing" in page_of(tmp_path, skipped=[]).text
    assert "1 file could not be used" in page_of(tmp_path).text


def test_plots_name_every_row_and_carry_its_numbers(written):
    shown = Page(written.read_text(encoding="utf-8"))
    labels = [attributes["aria-label"] for tag, attributes in shown.tags if attributes.get("class") == "plot"]
    assert len(labels) == 5 and sum("batch 32" in label for label in labels) == 1
    assert "cbam: accuracy 87.0 % (85.0 to 89.0), 1.30 times the time of none (1.30 to 1.30)" in labels[0]
    assert "cbam: accuracy 87.0 % (85.0 to 89.0), 1,043,000 parameters" in labels[2]


def test_error_bars_and_curves_are_drawn_to_scale():
    look = plots.looks(["none"], ["none"])["none"]
    points = [plots.Point(look, (1, 1, 1), (50, 40, 70), "a"), plots.Point(look, (2, 2, 2), (60, 60, 60), "b")]
    drawing = plots.scatter(points, label="l", x_label="x", y_label="y")
    top, bottom = map(
        float,
        re.search(r'class="bar" x1="(?:[\d.]+)" x2="(?:[\d.]+)" y1="([\d.]+)" y2="([\d.]+)"/><path', drawing).groups(),
    )
    first, second = (float(y) for y in re.findall(r'class="dot"[^>]*translate\([\d.]+,([\d.]+)\)', drawing))
    assert (bottom - first) / (first - top) == pytest.approx(10 / 20, rel=0.02) and second < first
    history = [
        [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 3.0}],
        [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 3.0}],
    ]
    drawing = plots.curves([(look, history)], "loss", label="l", y_label="y", factor=1)
    assert "3.00 after epoch 2, mean of 2" in drawing
    (start, end) = re.search(r'class="curve" points="[\d.]+,([\d.]+) [\d.]+,([\d.]+)"', drawing).groups()
    band = [float(y) for y in re.findall(r",([\d.]+)", re.search(r'class="band" points="([^"]+)"', drawing)[1])]
    assert float(start) == pytest.approx((min(band) + max(band)) / 2, abs=0.11) and float(end) == min(band)
    assert plots.curves([(look, history)], "accuracy", label="l", y_label="y", factor=100) is None


def decoded(uri):
    head, _, content = uri.partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    return head, np.asarray(image.convert("RGB")).astype(int)


def test_the_gallery_shows_what_the_file_holds(tmp_path):
    names = [each.name for each in rows()]
    file = make_gallery(tmp_path / "g.npz", names)
    shots = gallery.shots(file, rows(), plots.looks(names, table.REFERENCES), CLASSES)
    assert [shot.label for shot in shots] == CLASSES and [bool(shot.outline) for shot in shots] == [True, True, False]
    assert [shot.disputed for shot in shots] == [True, False, False]
    tile = shots[0].tiles[1]
    assert (tile.look.name, tile.answer, tile.right, tile.confidence) == ("plain", "dog", False, "88")
    with np.load(file) as arrays:
        kind, pixels = decoded(shots[1].photograph)
        assert kind == "data:image/png" and (pixels == arrays["images"][1]).all(), "small images stay exact"
    assert [each.through for each in shots[0].tiles] == ["Grad-CAM", "Grad-CAM", "Grad-CAM", "spatial map", "Grad-CAM"]
    _, map = decoded(tile.map)
    assert map.shape == (24, 30, 3)
    assert (map[2, 2] == scale()[255]).all() and (map[20, 20] == scale()[0]).all()


def test_an_even_map_is_called_so(tmp_path):
    file = make_gallery(tmp_path / "g.npz", ["none"])
    with np.load(file) as arrays:
        np.savez(file, **{**arrays, "map.none": np.zeros((3, 24, 30), np.float32)})
    shots = gallery.shots(file, rows()[:1], plots.looks(["none"], table.REFERENCES), CLASSES)
    assert shots[0].tiles[0].through == "Grad-CAM, even"


def test_large_images_are_kept_small(tmp_path):
    file = make_gallery(tmp_path / "g.npz", ["none"], shots=1, height=300, width=400)
    (shot,) = gallery.shots(file, rows()[:1], plots.looks(["none"], table.REFERENCES), CLASSES)
    kind, pixels = decoded(shot.photograph)
    assert kind == "data:image/jpeg" and pixels.shape == (300, 400, 3)
    assert max(decoded(shot.tiles[0].map)[1].shape) <= gallery.MAP_SIDE


# ---- other measures, and rows that are long to write


LEVELS = Measure("distance", "mean distance", higher_is_better=False, unit="px")


def test_numbers_of_a_measure_are_written_in_its_unit():
    share, length = numbers.Scale(ACCURACY), numbers.Scale(LEVELS)
    assert (share.title, share.axis, share.difference_unit) == ("Accuracy", "accuracy, %", "points")
    assert (length.title, length.axis, length.difference_unit) == ("Mean distance", "mean distance, px", "px")
    assert (share.phrase(0.8712), share.difference(-0.0712)) == ("87.1 %", "−7.1")
    told = [length.phrase(value) for value in (0.0, 1234.5, 12.345, 0.012345, 1e-9)]
    assert told == ["0.0 px", "1234 px", "12.3 px", "0.0123 px", "0.000000 px"]
    assert length.difference(-0.25) == "−0.250" and length.difference(3.0) == "+3.00"
    ends = [(0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1), (0.3, 0.3), (0.0, 0.2)]
    assert [share.better(*each) for each in ends] == ["better", "worse", "noise", "noise", "noise"]
    assert [length.better(*each) for each in ends] == ["worse", "better", "noise", "noise", "noise"]
    assert numbers.Scale(Measure("psnr", "PSNR")).axis == "PSNR"


def distances():
    """Rows of a measure that is better where it is lower, beyond 1 and below 0."""
    scores = {"none": 12.0, "plain": 11.5, "se": 9.0, "cbam": -2.0, "eca": 14.0}
    return [
        replace(
            each,
            score=interval(scores[each.name], 0.5, -99, 99),
            gain=None if each.name == "none" else interval(scores[each.name] - 12, 0.75, -99, 99),
            ece=None,
        )
        for each in rows()
    ]


def test_a_measure_that_is_better_where_it_is_lower(tmp_path):
    made = replace(result(tmp_path, distances(), classes=[], chance=None), measure=LEVELS)
    shown = Page(page.page(made))
    assert "Mean distance px" in shown.columns and "Against none px" in shown.columns
    assert not any("Accuracy" in column or "Calibration" in column for column in shown.columns)
    assert "cbam ▲ −14.0 px, better beyond noise" in shown.text and "eca ▼ +2.00 px, worse beyond noise" in shown.text
    cells = [" ".join(cell.split()) for cell in shown.cells]
    assert "★best: −2.00 −2.50 to −1.50" in cells and "★best: ▲better beyond noise: −14.0 −14.8 to −13.2" in cells
    assert "Down is better" in shown.text and "Test mean distance while training" in shown.text
    labels = [attributes["aria-label"] for tag, attributes in shown.tags if attributes.get("class") == "plot"]
    assert "cbam: mean distance −2.00 px (−2.50 to −1.50), 1,043,000 parameters" in labels[2]
    order = [line.look.name for line in table.lines(made.rows, table.columns(made.rows, LEVELS), looks(made), LEVELS)]
    assert order == ["none", "plain", "cbam", "se", "eca"]


def looks(made):
    return plots.looks([each.name for each in made.rows], table.REFERENCES)


def test_points_that_nothing_beats_have_labels_whichever_way_is_better():
    names = [f"m{index}" for index in range(plots.MOST_LABELLED + 1)]
    drawn = plots.looks(names, [])
    points = [plots.Point(drawn[name], (i, i, i), (i, i, i), name) for i, name in enumerate(names)]
    up, down = (
        re.findall(
            r'class="label"[^>]*>(m\d+)<',
            plots.scatter(points, label="l", x_label="x", y_label="y", higher_is_better=better),
        )
        for better in (True, False)
    )
    assert up == names and down == ["m0"], "upwards each costs more and is better; downwards the first beats all"


def test_a_task_without_classes_has_images_and_maps_alone(tmp_path):
    names = [each.name for each in rows()]
    with np.load(make_gallery(tmp_path / "g.npz", names)) as arrays:
        kept = {name: arrays[name] for name in arrays.files if not name.startswith(("prediction", "confidence"))}
    np.savez(tmp_path / "gallery.npz", **{**kept, "labels": np.full(3, -1)})
    made = replace(result(tmp_path), measure=LEVELS)
    np.savez(tmp_path / "gallery.npz", **{**kept, "labels": np.full(3, -1)})
    shown = page.page(made)
    assert shown.count('class="map"') == 15 and "✓ right" not in shown and "<span>says</span>" not in shown
    assert not any(shot.disputed or shot.label for shot in gallery.shots(made.gallery, rows(), looks(made), []))


LONG = "residual_attention(mask=channel, pools=[avg, 'max'])@layer3+layer4.*.conv2"


def test_a_row_is_text_however_it_is_written(tmp_path):
    given = [*rows()[:4], replace(rows()[4], name=LONG)]
    text = page.page(result(tmp_path, given, places={LONG: ["layer3.0.bn3", "layer4.0.bn2"]}))
    shown = Page(text)
    rows_of = [attributes["data-m"] for tag, attributes in shown.tags if tag == "tr" and "data-m" in attributes]
    assert LONG in rows_of and f"{LONG} after layer3.0.bn3 , layer4.0.bn2" in shown.text
    assert shown.text.count("residual_attention(mask=c…") == 3, "a plot has room for the beginning"


def test_a_table_of_text_for_terminals(tmp_path):
    made = result(tmp_path)
    lines = str(made).splitlines()
    assert lines[0].split() == ["on", "object,", "on", "object,", "para-", "time,"]
    assert lines[1].split()[:2] == ["accuracy,", "%"] and lines[1].endswith("× none")
    assert lines[2].split()[:3] == ["none", "80.0", "(78.0–82.0)"]
    assert next(line for line in lines if line.startswith("cbam")).split()[1] == "*87.0"
    assert len({len(line.rstrip()) for line in lines[2:7]}) == 1, "the last column is to the right"
    assert lines[7:9] == ["", f"• What was done with {NASTY}."]


# ---- writing


def test_the_report_replaces_an_older_one_whole_or_not_at_all(tmp_path):
    made = result(tmp_path)
    path = made.report()
    assert path == tmp_path / "report.html"
    path.write_text("older")
    (tmp_path / "gallery.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"gallery\.npz is no gallery"):
        made.report()
    assert path.read_text() == "older"
    make_gallery(tmp_path / "gallery.npz", ["none"])
    assert len(made.report().read_text(encoding="utf-8")) > 10_000
    assert sorted(each.name for each in tmp_path.iterdir()) == ["gallery.npz", "report.html"]


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match=re.escape(str(tmp_path))):
        comparing.result(tmp_path)
    made = result(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        made.report(tmp_path / "file" / "page.html")
    with pytest.raises(ValueError, match="at least one row"):
        page.page(replace(made, rows=[]))


# ---- in the browser


class Browser:
    """Headless Chromium, spoken to in the DevTools protocol through two pipes."""

    FLAGS = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--remote-debugging-pipe",
    )
    # The protocol speaks on the descriptors 3 and 4; this puts the pipes there, whatever numbers they have.
    STARTER = (
        "import fcntl, os, sys\n"
        "ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]\n"
        "os.dup2(ends[0], 3), os.dup2(ends[1], 4)\n"
        "os.execv(sys.argv[3], sys.argv[3:])"
    )

    def __init__(self, profile):
        program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if program is None:
            pytest.fail("no Chromium found: the report is tested in a real browser; install the package `chromium`")
        to_read, self._commands = os.pipe()
        self._answers, to_write = os.pipe()
        starter = [sys.executable, "-c", self.STARTER, str(to_read), str(to_write), program]
        self._process = subprocess.Popen(
            [*starter, *self.FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._numbers, self._rest, self._session, self.events = itertools.count(1), b"", None, []
        try:
            target = self.send("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.send(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def send(self, method, **params):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _receive(self, seconds=60.0):
        until = time.monotonic() + seconds
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, until - time.monotonic()))
            part = os.read(self._answers, 1 << 16) if ready else b""
            assert part, f"Chromium {'has ended' if ready else f'gave no answer in {seconds:g} s'}"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def open(self, path, *, width=1440, scheme="light"):
        self.events.clear()
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.send("Page.navigate", url=Path(path).resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())
        self("localStorage.clear()")

    def __call__(self, expression):
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def told(self, *methods):
        return [event["params"] for event in self.events if event.get("method") in methods]

    def close(self):
        self._session = None
        with contextlib.suppress(OSError, AssertionError):
            self.send("Browser.close")
        os.close(self._commands)
        os.close(self._answers)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def test_a_missing_browser_fails_and_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(pytest.fail.Exception, match="install the package `chromium`"):
        Browser(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 390])
def test_a_long_row_stays_inside(browser, tmp_path, width):
    given = [*rows()[:4], replace(rows()[4], name=LONG)]
    browser.open(result(tmp_path, given, places={LONG: ["layer3.0.bn3"]}).report(), width=width)
    assert browser("document.documentElement.scrollWidth") <= width, "nothing sticks out to the side"
    outside = browser("""
        [...document.querySelectorAll('.verdicts h3, .verdicts p, .legend button, .who b, dt, .remarks li')]
          .filter(each => each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 0).map(each => each.textContent)
    """)
    assert outside == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 390])
def test_the_page_opens_without_errors_or_requests(browser, written, width):
    browser.open(written, width=width)
    browser("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    problems = browser.told(
        "Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled", "Network.loadingFailed"
    )
    assert not problems, problems
    requests = [each["request"]["url"] for each in browser.told("Network.requestWillBeSent")]
    assert [url for url in requests if not url.startswith("data:")] == [written.resolve().as_uri()]
    assert browser("document.documentElement.scrollWidth") <= width, "nothing sticks out to the side"
    assert browser("document.querySelectorAll('#table tbody tr').length") == 5
    assert browser("[...document.querySelectorAll('.plot')].every(plot => plot.getBoundingClientRect().width > 250)")


def test_a_script_in_the_page_would_not_run(browser, written, tmp_path):
    """The page's own policy allows its one script by its hash, and the network not at all."""
    breached = tmp_path / "breached.html"
    added = "<script>window.breached = 1</script><img src='http://127.0.0.1:9/x.png'></main>"
    breached.write_text(written.read_text(encoding="utf-8").replace("</main>", added), encoding="utf-8")
    browser.open(breached)
    assert browser("window.breached === undefined && theme.hidden === false")
    refused = [each.get("blockedReason") for each in browser.told("Network.loadingFailed")]
    assert refused == ["csp"], "the foreign image"


def order(browser):
    return browser("[...document.querySelectorAll('#table tbody tr')].map(row => row.dataset.m)")


def test_the_table_sorts_best_first_then_reversed(browser, written):
    browser.open(written)
    assert order(browser) == ["none", "plain", "cbam", "se", "eca"]
    click = "document.querySelector('[data-sort=\"{}\"]').click()"
    state = "document.querySelector('[data-sort=\"{}\"]').closest('th').getAttribute('aria-sort')"
    browser(click.format("score"))
    assert order(browser) == ["cbam", "se", "plain", "none", "eca"]
    assert browser(state.format("score")) == "descending"
    browser(click.format("score"))
    assert order(browser) == ["eca", "none", "plain", "se", "cbam"]
    browser(click.format("latency-1"))
    assert order(browser) == ["none", "eca", "se", "plain", "cbam"]
    assert browser(state.format("latency-1")) == "ascending" and browser(state.format("score")) is None
    browser(click.format("gain"))
    assert order(browser) == ["cbam", "se", "plain", "eca", "none"], "rows without the figure come last"
    browser(click.format("gain"))
    assert order(browser) == ["eca", "plain", "se", "cbam", "none"]
    browser(click.format("name"))
    assert order(browser) == ["cbam", "eca", "none", "plain", "se"]


LUMINANCE = """
(() => {
  const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number);
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
})()
"""


def test_light_and_dark_follow_the_system_and_the_button(browser, written):
    browser.open(written, scheme="dark")
    assert browser(LUMINANCE) < 0.2 and browser("theme.textContent") == "Light"
    browser("theme.click()")
    assert browser(LUMINANCE) > 0.8 and browser("theme.textContent") == "Dark"
    browser.send("Page.reload")
    browser("new Promise(done => setTimeout(done, 50))")
    browser.open(written, scheme="light")
    assert browser("document.documentElement.dataset.theme = ''; 1") and browser(LUMINANCE) > 0.8


CONTRAST = """
(() => {
  const channels = (colour) => {
    const parts = colour.match(/-?[0-9.e-]+/g).map(Number);
    const scale = colour.startsWith("color(") ? 1 : 255;
    return [...parts.slice(0, 3).map((part) => part / scale), parts.length > 3 ? parts[3] : 1];
  };
  const luminance = (rgb) => rgb.slice(0, 3)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = channels(getComputedStyle(each).backgroundColor);
      if (colour[3] > 0.5) return colour;
    }
  };
  const faint = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || ["SCRIPT", "STYLE", "title"].includes(element.tagName) || element.closest(".sign, .star")) continue;
    const style = getComputedStyle(element);
    const text = luminance(channels(element.closest("svg") ? style.fill : style.color));
    const back = luminance(behind(element));
    const ratio = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
    const needed = element.closest("svg.plot") ? 3 : 4.5;
    const name = `${element.tagName}.${element.className.baseVal ?? element.className}`;
    if (ratio < needed) faint.push(`${name}: ${ratio.toFixed(2)}`);
  }
  return faint;
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(browser, written, scheme):
    browser.open(written, scheme=scheme)
    assert browser(CONTRAST) == []


def test_maps_fade_and_the_image_stands_alone(browser, written):
    browser.open(written)
    opacity = "Number(getComputedStyle(document.querySelector('.map')).opacity)"
    assert browser(opacity) == 0.65 and browser("document.querySelectorAll('.map').length") == 15
    browser("opacity.value = 30; opacity.dispatchEvent(new Event('input'))")
    assert browser(opacity) == 0.3
    browser("alone.click()")
    assert browser(opacity) == 0 and browser("alone.getAttribute('aria-pressed')") == "true"
    assert "grayscale(0)" in browser("getComputedStyle(document.querySelector('.photo')).filter")
    browser("alone.click()")
    assert browser(opacity) == 0.3 and browser("alone.getAttribute('aria-pressed')") == "false"
    shown = "[...document.querySelectorAll('{}')].filter(each => getComputedStyle(each).display !== 'none').length"
    assert browser(shown.format(".object")) == 10
    browser("outlines.click()")
    assert browser(shown.format(".object")) == 0
    assert browser(shown.format(".shot")) == 3
    browser("disputed.click()")
    assert browser(shown.format(".shot")) == 1


def test_a_chosen_row_stands_out_in_the_plots(browser, written):
    browser.open(written)
    browser("document.querySelector('[data-light][data-m=cbam]').click()")
    lit = browser("[...document.querySelectorAll('.plot .on')].map(each => each.dataset.m)")
    assert lit == ["cbam"] * 5
    browser("document.querySelector('[data-light][data-m=cbam]').click()")
    assert browser("document.querySelectorAll('.plot .on').length") == 0


def test_the_labels_in_the_plots_do_not_overlap_as_drawn(browser, tmp_path):
    names = ("coordinate_attention", "non_local", "se", "eca", "criss_cross", "WWWWWW")
    crowd = [*rows()[:2], *(row(name, 0.82 + 0.004 * i, cost=1.05, extra=9000 * i) for i, name in enumerate(names))]
    browser.open(replace(result(tmp_path), rows=crowd).report())
    assert browser("document.querySelectorAll('.plot .label').length") == 3 * 8
    overlaps = browser("""
        [...document.querySelectorAll('.plot')].flatMap((plot) => {
          const labels = [...plot.querySelectorAll('.label')];
          const boxes = labels.map((label) => [label.textContent, label.getBoundingClientRect()]);
          const meet = (one, two) =>
            one.left < two.right && two.left < one.right && one.top + 2 < two.bottom && two.top + 2 < one.bottom;
          return boxes.flatMap(([name, one], i) =>
            boxes.slice(i + 1).filter(([, two]) => meet(one, two)).map(([other]) => `${name} over ${other}`));
        })
    """)
    assert overlaps == []


def test_a_map_lies_over_its_image(browser, written):
    """The drawn pixels: bright where the map is high, dark elsewhere, once the map hides the image."""
    browser.open(written)
    browser("opacity.value = 100; opacity.dispatchEvent(new Event('input')); outlines.click()")
    box = browser("""
        (() => {
          const tile = document.querySelector('.shot li svg');
          tile.scrollIntoView({block: 'center', behavior: 'instant'});
          const {left, top, width, height} = tile.getBoundingClientRect();
          return {x: left + scrollX, y: top + scrollY, width, height};
        })()
    """)
    answer = browser.send("Page.captureScreenshot", clip={**box, "scale": 1})
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["data"]))).convert("L")).astype(int)
    height, width = pixels.shape
    assert pixels[height // 20 : height // 8, width // 20 : width // 9].min() > 180
    assert pixels[height // 2 : -9, width // 2 : -9].max() < 60
