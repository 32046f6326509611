"""The report: what stands in it, and how it behaves in a real browser (Chromium)."""

import base64
import io
import json
import re
import shutil
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regard import comparing
from regard.metrics.metric import Measure
from regard.report import Interval, Result, Row, gallery, numbers, page, plots, strips, table
from regard.report.classes import classes
from regard.report.judging import Judge
from regard.report.labels import LETTER, LINE, place
from regard.report.looks import HUES, SHAPES, looks
from regard.viewing.colours import scale

NASTY = "<script>alert('x')</script>&\"cat\""
ACCURACY = Measure("accuracy", "accuracy", unit="%")
CLASSES = [NASTY, "dog", "coffee"]
PHOTO = '"><img src=x onerror=alert(1)>.jpg'


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
        "corrected": {},
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
        "answers": {(0, 0): 90, (0, 1): 10, (1, 1): 100, (2, 2): 20, (2, 0): 80} if accuracy < 0.87 else PERFECT,
        "look": "" if reference else f"regard look IMAGE --weights 'run/trials/{name}-0'",
    }
    made = Row(**{**values, **changes})
    widened = {"none": made.gain, "plain": made.gain_over_plain}
    strict = {
        other: replace(gain, low=gain.low - 0.005, high=gain.high + 0.005)
        for other, gain in widened.items()
        if gain is not None
    }
    return made if "corrected" in changes else replace(made, corrected=strict)


PERFECT = {(0, 0): 100, (1, 1): 100, (2, 2): 100}


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
        "names": np.array([PHOTO, *(f"dog/{number}.jpg" for number in range(1, shots))]),
    }
    for index, name in enumerate(names):
        answers = labels.copy()
        if index == 1:
            answers[0] = 1
        arrays |= {f"map.{name}": map, f"prediction.{name}": answers, f"confidence.{name}": np.full(shots, 0.876)}
        arrays[f"map_range.{name}"] = np.tile(np.float32([0, 2.5]), (shots, 1))
        if name == "cbam":
            arrays |= {f"gradcam.{name}": map[:, ::-1].copy(), f"gradcam_range.{name}": arrays[f"map_range.{name}"]}
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


def test_ticks_of_large_numbers_differ():
    counts = [11_180_000.0, 11_185_000.0, 11_190_000.0, 11_195_000.0]
    assert [numbers.short(count) for count in counts] == ["11.2 M"] * 4, "what the ticks once read"
    assert numbers.prefixed(counts) == ["11.180 M", "11.185 M", "11.190 M", "11.195 M"]
    assert numbers.prefixed([0, 20_000.0, 40_000.0]) == ["0", "20 k", "40 k"]
    assert numbers.prefixed([0, 5e5, 1e6]) == ["0", "0.5 M", "1.0 M"]
    assert numbers.prefixed([0, 5.0, 10.0]) == ["0", "5", "10"] and numbers.prefixed([7.0]) == ["7"]
    assert numbers.prefixed([-2e6, -1e6, 0]) == ["−2 M", "−1 M", "0"]


def test_a_row_looks_the_same_in_every_report():
    one = looks(["none", "plain", "se", "cbam"])
    other = looks(["eca", "cbam", "gc", "none", "bam", "se"])
    assert all(one[name] == other[name] for name in ("none", "se", "cbam"))
    assert (one["none"].hue, one["plain"].hue) == ("ref", "ref2") and one["none"].reference
    found = [other[name].hue for name in ("se", "cbam", "eca", "gc")]
    assert sorted(found) == ["hue0", "hue1", "hue2", "hue3"], "the best known are well apart"


def test_no_two_rows_look_alike():
    names = ["none", "plain", *(f"m{index}" for index in range(HUES * len(SHAPES)))]
    found = looks(names)
    assert list(found) == names and len({(look.hue, look.shape) for look in found.values()}) == len(names)
    assert len({(look.hue, look.dash) for look in found.values()}) == len(names), "lines too"
    few = looks(names[:12])
    assert all(few[name] == looks([name])[name] for name in names[2:12]) or len({look.hue for look in few.values()}) > 2
    assert looks([*names, "one more"])["one more"].shape in SHAPES, "more rows than looks"


SEEN = {  # Machado, Oliveira, Fernandes, IEEE TVCG 2009: linear RGB as protanopes, deuteranopes and tritanopes see it
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def oklab(linear):
    """Ottosson 2020: distances between colours as people see them."""
    lms = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.cbrt(linear @ np.array(lms).T) @ np.array(lab).T


@pytest.mark.parametrize("scheme", [0, 1])
def test_the_colours_stay_apart_for_all_kinds_of_colour_vision(scheme):
    style = (Path(page.__file__).parent / "style.css").read_text(encoding="utf-8")
    both = [
        re.search(rf"--{name}: light-dark\((#\w+), (#\w+)\)", style)
        for name in ("paper", *map("hue{}".format, range(HUES)))
    ]
    rgb = np.array([[int(found[scheme + 1][i : i + 2], 16) / 255 for i in (1, 3, 5)] for found in both])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722] + 0.05
    ratios = np.maximum(luminance[1:], luminance[0]) / np.minimum(luminance[1:], luminance[0])
    assert ratios.min() >= 3, "graphics on the page (WCAG 1.4.11)"
    for kind, matrix in SEEN.items():
        seen = oklab((linear[1:] @ np.array(matrix).T).clip(0, 1))
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[np.triu_indices(HUES, 1)]
        assert apart.min() > (0.04 if kind == "tritan" else 0.065), kind


def test_points_that_would_cover_each_other_stand_side_by_side():
    given = [(100.0, 50.0), (101.0, 51.0), (100.0, 50.0), (200.0, 50.0)]
    found = plots.beside(given, 40, 360)
    assert found[3] == (200.0, 50.0) and [y for _, y in found] == [50.0, 51.0, 50.0, 50.0]
    xs = sorted(x for x, _ in found[:3])
    assert np.diff(xs).tolist() == [plots.MARKER] * 2 and xs[1] == pytest.approx(100.33, abs=0.01)
    assert min(x for x, _ in plots.beside([(41.0, 9.0)] * 3, 40, 360)) == 40, "inside the plot"
    crowd = [(100.0 + i, 50.0) for i in range(30)]
    assert plots.beside(crowd, 40, 360) == crowd, "a crowd would end far from where it is"


def test_one_unsteady_time_does_not_crowd_the_others():
    look = looks(["none"])["none"]
    points = [plots.Point(look, (x, low, high), (5, 4, 6), "p") for x, low, high in ((1, 1, 1), (1.2, 0.1, 17))]
    drawing = plots.scatter(points, label="l", x_label="x", y_label="y")
    first, second = (float(x) for x in re.findall(r'class="dot"[^>]*translate\(([\d.]+),', drawing))
    assert second - first > 0.2 * plots.WIDTH
    ends = [float(x) for x in re.findall(r'class="bar" x1="([\d.]+)" x2="([\d.]+)"', drawing)[2]]
    assert ends == pytest.approx([plots.LEFT + 4, plots.WIDTH - plots.RIGHT - 4], abs=20), "to the edges"


def test_an_interval_beyond_the_scale_ends_in_an_arrow():
    gains = [Interval(0.01, -0.02, 0.04, (0.0, 0.02)), Interval(0.05, 0.03, 0.07, (0.05, 0.05))]
    ruler = strips.ruler(gains)
    assert (ruler.low, ruler.high) == (-0.02, 0.07)
    look = looks(["se"])["se"]
    drawn = strips.contrast(gains[0], Interval(0.01, -0.9, 0.05), ruler, look)
    assert drawn.count('class="beyond"') == 1 and drawn.count('class="seed"') == 2
    bar = [float(x) for x in re.search(r'class="bar" x1="([\d.]+)" x2="([\d.]+)"', drawn).groups()]
    assert bar == pytest.approx([ruler.at(-0.02), ruler.at(0.04)], abs=0.06) and bar[0] == pytest.approx(9)
    assert "beyond" not in strips.contrast(gains[0], gains[0], ruler, look)
    assert [value for value, _ in strips.axis(ruler, 100)] == [-2, 0, 2, 4, 6]


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
    assert "<img" not in text, "a file's name"
    shown = Page(text)
    assert sum(tag == "script" for tag, _ in shown.tags) == 1
    for told in (
        f"regard compare '{NASTY}' --seeds 2",
        f"train/{NASTY}.jpg",
        PHOTO,
        f"What was done with {NASTY}.",
        "2 modules",
    ):
        assert told in shown.text, told


def test_the_title_names_the_comparison(tmp_path):
    assert page_of(tmp_path, data="digits", backbone="test_resnet").text.startswith("test_resnet on digits · regard")


def test_the_verdict_comes_first(written, tmp_path):
    text = Page(written.read_text(encoding="utf-8")).text
    verdict = result(tmp_path).verdict
    assert verdict.startswith("cbam helps on these images beyond noise (corrected for 7 comparisons): +7.0 points over")
    order = [
        verdict,
        f"What was done with {NASTY}.",
        "What this run says",
        "cbam ▲ +7.0 points over none: better beyond noise ▲ +6.0 points over plain: better beyond noise",
        "These are 7 comparisons",
        "Results",
        "Quality",
    ]
    places = [text.index(words, 100) for words in order]
    assert places == sorted(places)
    assert "se ≈ +2.0 points over none: within noise" in text
    assert "eca ▼ −5.0 points over none: worse beyond noise" in text


def test_rows_stand_in_one_order(written, tmp_path):
    expected = ["none", "plain", "cbam", "se", "eca"]
    shown = Page(written.read_text(encoding="utf-8"))
    for tag in ("tr", "li", "button"):
        found = [given["data-m"] for name, given in shown.tags if name == tag and "data-m" in given]
        each = expected[1:] if tag == "li" else expected
        assert found and found == each * (len(found) // len(each)), tag
    made = result(tmp_path)
    tiles = gallery.shots(made.gallery, table.ordered(made.rows, ACCURACY), looks(expected), CLASSES)[0].tiles
    assert [tile.look.name for tile in tiles] == expected


def test_every_figure_has_its_interval_and_the_best_is_marked(written):
    shown = Page(written.read_text(encoding="utf-8"))
    cells = [" ".join(cell.split()) for cell in shown.cells]
    accuracies = [cell for cell in cells if re.search(r"\d\d\.\d \d\d\.\d–\d\d\.\d$", cell)]
    assert "★best: 87.0 85.0–89.0" in accuracies and "80.0 78.0–82.0" in accuracies
    assert "▲better beyond noise: +7.0 +4.0 to +10.0" in cells
    assert "≈within noise: +2.0 −1.0 to +5.0" in cells and "▼worse beyond noise: −5.0 −7.0 to −3.0" in cells
    assert "1.00" in cells and "1.04 M +43.0 k" in cells
    assert "★best: 1.02 1.02–1.02" in cells, "the cheapest mechanism, though none costs less"


def test_only_what_lies_apart_is_best(tmp_path):
    def starred(*given):
        made = replace(result(tmp_path), rows=given)
        drawn, shown = looks([each.name for each in given]), table.columns(given, ACCURACY)
        lines = table.lines(given, shown, drawn, Judge.of(made))
        return {(cell.column.key, line.look.name) for line in lines for cell in line.cells if cell.best}

    near = [row("none", 0.80), row("se", 0.82), row("eca", 0.83, extra=60_000)]
    assert {name for key, name in starred(*near) if key == "score"} == set(), "the intervals overlap"
    assert ("parameters", "se") in starred(*near), "what is counted is exact"
    apart = [row("none", 0.80), row("se", 0.82), row("eca", 0.89)]
    assert {name for key, name in starred(*apart) if key == "score"} == {"eca"}
    low = [replace(each, score=replace(each.score, low=each.score.low - 0.6)) for each in apart]
    far = [row("none", 0.20), row("se", 0.22), row("eca", 0.33, score=interval(0.33, 0.02))]
    assert {name for key, name in starred(*low) if key == "score"} == set()
    assert {name for key, name in starred(*far) if key == "score"} == set(), "at chance, which is 34 %"
    alike = [replace(each, ece=Interval(0.05 - i / 99, 0.05 - i / 99, 0.05 - i / 99)) for i, each in enumerate(apart)]
    assert {name for key, name in starred(*alike) if key == "ece"} == set(), "no interval, no claim"
    assert not any(key in ("gain", "over-plain") for key, _ in starred(*apart))


def test_the_own_map_is_scored_only_where_there_is_one(written):
    shown = Page(written.read_text(encoding="utf-8"))
    assert shown.columns.count("Energy %") == 2 and "Grad-CAM on the object" in shown.columns
    assert "an even map's energy: 20.0 %" in shown.text
    assert "Energy, Own map" in shown.text and "Energy, Grad-CAM" in shown.text, "both are explained"


def test_without_regions_nothing_is_said_of_objects(tmp_path):
    unknown = dict.fromkeys(("energy", "pointing", "energy_gradcam", "pointing_gradcam", "chance_energy"))
    made = result(tmp_path, [replace(each, **unknown) for each in rows()])
    with np.load(made.gallery) as arrays:
        np.savez(made.gallery, **{**arrays, "has_region": np.zeros(3, bool)})
    shown = Page(page.page(made))
    assert not any("Energy" in column for column in shown.columns)
    assert "object" not in shown.text.lower() and "even map" not in shown.text
    assert "object" in page_of(tmp_path).text


def test_one_seed_is_explained(tmp_path):
    single = [
        replace(each, score=replace(each.score, values=each.score.values[:1]), history=each.history[:1])
        for each in rows()
    ]
    text = page_of(tmp_path, single, seeds=1).text
    assert "One seed: the intervals hold the luck of the test images only" in text
    assert "△ +7.0 points over none: better on these test images, in one training" in text
    assert "beyond noise" not in text.partition("How to read the columns")[0]
    assert "Lines are means over the seeds" not in text and "a dot for each seed" not in text.partition("Results")[0]
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
    assert "Accuracy against added parameters" in shown.text and "against time" not in shown.text
    least = replace(made, run={}, sentences=[])
    assert "Results" in Page(page.page(least)).text


def test_nothing_skipped_is_said(tmp_path):
    assert "Left out nothing" in page_of(tmp_path, skipped=[]).text
    assert "1 file could not be used" in page_of(tmp_path).text


def test_plots_name_every_row_and_carry_its_numbers(written):
    shown = Page(written.read_text(encoding="utf-8"))
    labels = [attributes["aria-label"] for tag, attributes in shown.tags if attributes.get("class") == "plot"]
    assert len(labels) == 5 and sum("batch 32" in label for label in labels) == 1
    assert "cbam: accuracy 87.0 % (85.0 to 89.0), 1.30 × the time of none (1.30 to 1.30)" in labels[0]
    assert "cbam: accuracy 87.0 % (85.0 to 89.0), 43,000 parameters more than none" in labels[2]


def test_error_bars_and_curves_are_drawn_to_scale():
    look = looks(["none"])["none"]
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
    shots = gallery.shots(file, rows(), looks(names), CLASSES)
    assert [shot.name for shot in shots] == [PHOTO, "dog/1.jpg", "dog/2.jpg"]
    assert [shot.label for shot in shots] == CLASSES and [bool(shot.outline) for shot in shots] == [True, True, False]
    assert [shot.disputed for shot in shots] == [True, False, False]
    tile = shots[0].tiles[1]
    assert (tile.look.name, tile.answer, tile.right, tile.confidence) == ("plain", "dog", False, "88")
    with np.load(file) as arrays:
        kind, pixels = decoded(shots[1].photograph)
        assert kind == "data:image/png" and (pixels == arrays["images"][1]).all(), "small images stay exact"
    assert [each.look.name for each in shots[0].tiles if each.own] == ["cbam"]
    assert all(each.gradcam for each in shots[0].tiles), "every row can be seen through Grad-CAM"
    assert tile.gradcam.range == "0 to 2.5 × its mean"
    for heat, bright, dark in ((shots[0].tiles[3].own, 2, 20), (shots[0].tiles[3].gradcam, 20, 2)):
        _, map = decoded(heat.address)
        assert map.shape == (24, 30, 3)
        assert (map[bright, 2] == scale()[255]).all() and (map[dark, 20] == scale()[0]).all()


def test_an_even_map_is_called_so(tmp_path):
    file = make_gallery(tmp_path / "g.npz", ["none"])
    with np.load(file) as arrays:
        np.savez(file, **{**arrays, "map.none": np.zeros((3, 24, 30), np.float32)})
    shots = gallery.shots(file, rows()[:1], looks(["none"]), CLASSES)
    assert shots[0].tiles[0].gradcam.range == "even" and shots[0].tiles[0].gradcam.faint


def test_a_map_that_is_nearly_even_does_not_look_dramatic(browser, tmp_path):
    made = result(tmp_path)
    with np.load(made.gallery) as arrays:
        np.savez(made.gallery, **{**arrays, "map_range.none": np.tile(np.float32([0.999, 1.001]), (3, 1))})
    tiles = gallery.shots(made.gallery, rows(), looks([each.name for each in rows()]), CLASSES)[0].tiles
    assert [tile.gradcam.faint for tile in tiles] == [True, False, False, False, False]
    assert tiles[0].gradcam.range == "nearly even: 0.999 to 1 × its mean"
    browser.open(made.report())
    found = browser(
        "[...document.querySelectorAll('.shot:first-child .map.gradcam')].map(e => getComputedStyle(e).opacity)"
    )
    assert [round(float(each), 3) for each in found] == [0.195, 0.65, 0.65, 0.65, 0.65]


def test_large_images_are_kept_small(tmp_path):
    file = make_gallery(tmp_path / "g.npz", ["none"], shots=1, height=300, width=500)
    (shot,) = gallery.shots(file, rows()[:1], looks(["none"]), CLASSES)
    kind, pixels = decoded(shot.photograph)
    assert kind == "data:image/jpeg" and pixels.shape == (230, 384, 3) and (shot.height, shot.width) == (300, 500)
    assert max(decoded(shot.tiles[0].gradcam.address)[1].shape) == gallery.MAP_SIDE


@pytest.mark.slow
def test_a_page_of_many_rows_stays_small(tmp_path):
    """Thirty rows with two maps each, of noise, which nothing makes smaller."""
    names = ["none", "plain", *(f"m{index}" for index in range(28))]
    many = [row(name, 0.8 + 0.001 * i, extra=i, through="spatial map") for i, name in enumerate(names)]
    noise = np.random.default_rng(0).random((24, 224, 224)).astype(np.float32)
    made = result(tmp_path, many)
    with np.load(make_gallery(tmp_path / "g.npz", names, shots=24, height=224, width=224)) as arrays:
        kept = {name: arrays[name] for name in arrays.files}
    for name in names:
        kept |= {f"map.{name}": noise, f"gradcam.{name}": noise}
    np.savez(tmp_path / "gallery.npz", **kept)
    text = page.page(made)
    assert text.count('class="map ') == 24 * 30 * 2 and len(text) < 10 << 20


def test_the_classes_are_shown_with_what_differs(tmp_path):
    found = classes(rows(), looks([each.name for each in rows()]), CLASSES)
    assert [(column.name, column.images) for column in found.columns] == [(NASTY, 50), ("dog", 50), ("coffee", 50)]
    shares = {look.name: [share.text for share in own] for look, own in found.lines}
    assert shares["se"] == ["90", "100", "20"] and shares["cbam"] == ["100", "100", "100"]
    sides = {look.name: [share.side for share in own] for look, own in found.lines}
    assert sides["none"] == ["", "", ""] and sides["cbam"] == ["up", "", "up"], "none has 90, 100 and 20 %"
    few = {key: count // 25 for key, count in PERFECT.items()}
    near = [
        replace(each, answers=few if each.name == "cbam" else {(0, 0): 3, (0, 1): 1, (1, 1): 4, (2, 2): 4})
        for each in rows()
    ]
    assert not any(
        share.side for _, own in classes(near, looks([each.name for each in near]), CLASSES).lines for share in own
    )
    assert classes([replace(each, answers=None) for each in rows()], looks(["none"]), CLASSES) is None
    wide = [replace(each, answers={(label, label): 1 + (label == 7) for label in range(50)}) for each in rows()]
    wide[0] = replace(wide[0], answers={**wide[0].answers, (41, 0): 1})
    many = classes(wide, looks([each.name for each in wide]), [])
    assert len(many.columns) == 20 and many.left_out == 30 and "class 41" in [column.name for column in many.columns]


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
            corrected={} if each.name == "none" else {"none": interval(scores[each.name] - 12, 0.9, -99, 99)},
            ece=None,
        )
        for each in rows()
    ]


def test_a_measure_that_is_better_where_it_is_lower(tmp_path):
    made = replace(result(tmp_path, distances(), classes=[], chance=None), measure=LEVELS)
    shown = Page(page.page(made))
    assert "Mean distance px" in shown.columns and "Against none px" in shown.columns
    assert not any("Accuracy" in column or "Calibration" in column for column in shown.columns)
    assert "cbam ▲ −14.0 px over none: better beyond noise" in shown.text
    assert "eca ▼ +2.00 px over none: worse beyond noise" in shown.text
    cells = [" ".join(cell.split()) for cell in shown.cells]
    assert "★best: −2.00 −2.50 to −1.50" in cells and "▲better beyond noise: −14.0 −14.8 to −13.2" in cells
    assert "Down is better" in shown.text and "Test mean distance while training" in shown.text
    labels = [attributes["aria-label"] for tag, attributes in shown.tags if attributes.get("class") == "plot"]
    assert "cbam: mean distance −2.00 px (−2.50 to −1.50), 43,000 parameters more than none" in labels[2]
    assert [each.name for each in table.ordered(made.rows, LEVELS)] == ["none", "plain", "cbam", "se", "eca"]


def test_points_that_nothing_beats_have_labels_whichever_way_is_better():
    names = [f"m{index}" for index in range(plots.MOST_LABELLED + 1)]
    drawn = looks(names)
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
    assert shown.count('class="map ') == 18 and "✓" not in shown and "✗" not in shown
    assert not any(shot.disputed or shot.label for shot in gallery.shots(made.gallery, rows(), looks(names), []))


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
    verdict, empty, *lines = str(made).splitlines()
    assert verdict == made.verdict and not empty
    assert [line.split() for line in lines[:2]] == [["on", "on"], ["object,", "object,", "para-", "time,"]]
    assert lines[2].split()[:2] == ["accuracy,", "%"] and lines[2].endswith("× none")
    assert lines[3].split()[:3] == ["none", "80.0", "(78.0–82.0)"]
    assert [line.split()[0] for line in lines[3:8]] == ["none", "plain", "cbam", "se", "eca"]
    assert next(line for line in lines if line.startswith("cbam")).split()[1] == "*87.0"
    assert len({len(line.rstrip()) for line in lines[3:8]}) == 1, "the last column is to the right"
    assert lines[8:10] == ["", f"• What was done with {NASTY}."]


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


def test_a_missing_browser_fails_and_says_what_to_install(browser, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(pytest.fail.Exception, match="install the package `chromium`"):
        type(browser)(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 390])
def test_a_long_row_stays_inside(browser, tmp_path, width):
    given = [*rows()[:4], replace(rows()[4], name=LONG)]
    browser.open(result(tmp_path, given, places={LONG: ["layer3.0.bn3"]}).report(), width=width)
    assert browser("document.documentElement.scrollWidth") <= width, "nothing sticks out to the side"
    outside = browser("""
        [...document.querySelectorAll('.contrasts li:not(.axis) > span, .conclusion, .legend button')]
          .concat([...document.querySelectorAll('.who b, dt, .remarks li')])
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


def test_maps_fade_and_images_are_chosen(browser, written):
    browser.open(written)
    opacity = "Number(getComputedStyle(document.querySelector('.map')).opacity)"
    assert browser(opacity) == 0.65 and browser("document.querySelectorAll('.map').length") == 18
    browser("opacity.value = 30; opacity.dispatchEvent(new Event('input'))")
    assert browser(opacity) == 0.3
    assert "grayscale(1)" in browser("getComputedStyle(document.querySelector('.photo')).filter")
    browser("opacity.value = 0; opacity.dispatchEvent(new Event('input'))")
    assert browser(opacity) == 0
    assert "grayscale(0)" in browser("getComputedStyle(document.querySelector('.photo')).filter")
    shown = "[...document.querySelectorAll('{}')].filter(each => getComputedStyle(each).display !== 'none').length"
    assert browser(shown.format(".object")) == 10
    browser("outlines.click()")
    assert browser(shown.format(".object")) == 0
    assert browser(shown.format(".shot")) == 3
    browser("disputed.click()")
    assert browser(shown.format(".shot")) == 1
    browser("disputed.click(); document.getElementById('class').value = 'dog'")
    browser("document.getElementById('class').dispatchEvent(new Event('change'))")
    assert browser(shown.format(".shot")) == 1 and browser(shown.format(".empty")) == 0
    assert browser("document.querySelector('.shot:not([hidden]) h3').textContent").split() == ["dog", "dog/1.jpg"]
    browser("disputed.click()")
    assert browser(shown.format(".shot")) == 0 and browser(shown.format(".empty")) == 1, "no dog is disputed"


def test_every_row_shows_gradcam_or_its_own_map(browser, written):
    browser.open(written)
    shown = "[...document.querySelectorAll('.shot:first-child {}')].filter(each => each.checkVisibility()).length"
    pressed = "[...document.querySelectorAll('.switch [aria-pressed=true]')].map(each => each.textContent)"
    assert browser(pressed) == ["Grad-CAM"] and browser(shown.format(".map")) == 5
    assert browser(shown.format(".gradcam.map")) == 5 and browser(shown.format(".own.map")) == 0
    browser("document.querySelector('.switch [data-kind=own]').click()")
    assert browser(pressed) == ["Own maps"]
    assert browser(shown.format(".gradcam.map")) == 0 and browser(shown.format(".own.map")) == 1
    notes = "[...document.querySelectorAll('.shot:first-child .from')].filter(each => each.checkVisibility())"
    told = browser(f"{notes}.map(each => each.innerText)")
    assert told == ["no map of its own"] * 2 + ["0 to 2.5 × its mean"] + ["no map of its own"] * 2
    first = browser("document.querySelector('.shot li').querySelectorAll('.map, .object, .photo').length")
    assert first == 0, "the untouched image comes first"


def test_an_image_is_enlarged_and_turned_by_keys(browser, written):
    browser.open(written)
    caption = "document.querySelector('#close-up .caption').textContent"
    browser("document.querySelectorAll('.open')[1].focus(); document.activeElement.click()")
    assert browser("document.getElementById('close-up').open")
    assert (
        "none" in browser(caption) and NASTY in browser(caption) and "Grad-CAM, 0 to 2.5 × its mean" in browser(caption)
    )
    width = "document.querySelector('{} svg').getBoundingClientRect().width"
    assert browser(width.format("#close-up .stage")) > 2 * browser(width.format(".shot"))
    key = {"key": "ArrowRight", "code": "ArrowRight", "windowsVirtualKeyCode": 39}
    browser.send("Input.dispatchKeyEvent", type="keyDown", **key)
    assert "plain" in browser(caption) and "dog" in browser(caption) and PHOTO in browser(caption)
    assert browser("document.querySelector('#close-up .stage').className").split() == ["stage", "shots", "wrong"]
    browser(
        "document.querySelector('[data-turn=\"-1\"]').click(); document.querySelector('[data-turn=\"-1\"]').click()"
    )
    assert "image" in browser(caption) and "none" not in browser(caption), "back over the first row to the image"
    browser.send("Input.dispatchKeyEvent", type="keyDown", key="Escape", code="Escape", windowsVirtualKeyCode=27)
    browser("new Promise(done => setTimeout(done, 50))")
    assert not browser("document.getElementById('close-up').open")
    assert browser("document.activeElement === document.querySelectorAll('.open')[0]"), "the focus comes back"


def test_of_a_large_gallery_the_first_are_shown(browser, tmp_path):
    made = result(tmp_path)
    make_gallery(tmp_path / "gallery.npz", [each.name for each in made.rows], shots=11)
    browser.open(made.report())
    shown = "[...document.querySelectorAll('.shot')].filter(each => each.checkVisibility()).length"
    assert browser(shown) == 8 and browser("more.textContent") == "Show all 11 images"
    browser("document.getElementById('class').value = 'dog'")
    browser("document.getElementById('class').dispatchEvent(new Event('change'))")
    assert browser(shown) == 4 and not browser("more.checkVisibility()"), "a choice is among all images"
    browser("document.getElementById('class').value = ''")
    browser("document.getElementById('class').dispatchEvent(new Event('change')); more.click()")
    assert browser(shown) == 11 and not browser("more.checkVisibility()")


def test_commands_are_copied(browser, written):
    browser.open(written)
    browser.send("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    copy = "document.querySelector('{}').click(); new Promise(done => setTimeout(done, 100))"
    browser(copy.format(".files [data-copy=command]"))
    assert browser("document.querySelector('.files [data-copy]').textContent") == "Copied"
    assert browser("navigator.clipboard.readText()") == f"regard compare '{NASTY}' --seeds 2"
    browser(copy.format("[data-copy=look-1]"))
    assert browser("navigator.clipboard.readText()") == "regard look IMAGE --weights 'run/trials/cbam-0'"
    browser("navigator.clipboard.writeText = () => Promise.reject(new Error('refused'))")
    browser(copy.format("[data-copy=look-2]"))
    assert browser("getSelection().toString()") == "regard look IMAGE --weights 'run/trials/se-0'", "selected, at least"


def test_results_are_downloaded(browser, written, tmp_path):
    browser.open(written)
    browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    for kind in ("csv", "json"):
        browser(f"document.getElementById('{kind}').click()")
    until = time.monotonic() + 20
    while len(list(tmp_path.glob("regard-resnet18-on-*.*[nv]"))) < 2 and time.monotonic() < until:
        browser("new Promise(done => setTimeout(done, 50))")
    found = {path.suffix: path for path in tmp_path.iterdir()}
    assert sorted(found) == [".csv", ".json"], "one file each, and nothing was refused"
    assert found[".csv"].read_text(encoding="utf-8").splitlines()[1].startswith("none,True,0.8,0.78,")
    told = json.loads(found[".json"].read_text(encoding="utf-8"))
    assert told["run"]["classes"] == CLASSES and [each["name"] for each in told["rows"]][2] == "cbam"


def test_the_answers_of_a_row_are_shown_by_class(browser, written):
    browser.open(written)
    cells = (
        "[...document.querySelectorAll('#confusion tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert browser(cells) == [[NASTY, "90", "10", "·"], ["dog", "·", "100", "·"], ["coffee", "80", "·", "20"]]
    browser("confused.value = 'cbam'; confused.dispatchEvent(new Event('change'))")
    assert browser(cells) == [[NASTY, "100", "·", "·"], ["dog", "·", "100", "·"], ["coffee", "·", "·", "100"]]


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
          const tile = document.querySelector('.shot .map').closest('svg');
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
