"""Comparing: equal starts, exact resume after a kill, honest statistics, and a run folder that loses nothing.

Run as a script, this file is the process that a test kills.
"""

from __future__ import annotations

import errno
import json
import math
import multiprocessing
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from regard import catalog
from regard.catalog.rows import NONE, PLAIN
from regard.comparing import (
    Comparison,
    Silent,
    Trial,
    attached,
    building,
    compare,
    looking,
    measuring,
    plain,
    result,
    running,
    statistics,
    workers,
)
from regard.comparing import trial as trials
from regard.comparing.folder import Folder
from regard.core import Attention
from regard.data import Split, load
from regard.data.batches import permutation
from regard.report import Record
from regard.tasks.classify import Classify

TINY = {
    "backbone": "test_resnet",
    "attention": ("se",),
    "seeds": 2,
    "epochs": 4,
    "image_size": 48,
    "train_size": 32,
    "test_size": 20,
    "batch_size": 16,
    "augment": "light",
}
STEPS_PER_EPOCH = 2


class Recorder(Silent):
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple] = []
        self.steps: dict[Trial, list[int]] = {}

    def begin(self, trials, finished):
        self.events.append(("begin", tuple(map(str, trials)), finished))

    def trial_started(self, trial):
        self.events.append(("started", str(trial)))

    def step(self, trial, done, total):
        self.steps.setdefault(trial, []).append(done)

    def trial_finished(self, trial, record):
        self.events.append(("finished", str(trial)))

    def failed(self, trial, error):
        self.events.append(("failed", str(trial), error))


class Victim(Recorder):
    """Kills this process, and with it the whole comparison, once a trial is past its first epoch."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        self.out = out

    def trial_started(self, trial):
        print(*(process.pid for process in multiprocessing.active_children()), flush=True)

    def step(self, trial, done, total):
        if done > STEPS_PER_EPOCH and (self.out / "trials" / trial.folder / "history.json").exists():
            os.kill(os.getpid(), signal.SIGKILL)


def run(out: Path, source="digits", **changed) -> Recorder:
    recorder = changed.pop("progress", None) or Recorder()
    compare(source, out=out, progress=recorder, **{"workers": 1, "patience": 0.05, **TINY, **changed})
    return recorder


def comparable(out: Path) -> list[Record]:
    """The records without what the clock says, sorted, for runs whose trials end in another order."""
    still = [
        replace(record, seconds=0, history=tuple({**epoch, "seconds": 0} for epoch in record.history))
        for record in Folder(out).records()
    ]
    return sorted(still, key=lambda record: (record.row, record.seed))


def assert_same_run(left: Path, right: Path) -> None:
    """Bit by bit: figures, scores per image, weights."""
    assert comparable(left) == comparable(right)
    names = sorted(path.name for path in (left / "trials").iterdir())
    assert names == sorted(path.name for path in (right / "trials").iterdir())
    for name in names:
        ours, theirs = (load_file(out / "trials" / name / "model.safetensors") for out in (left, right))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
        with (
            np.load(left / "trials" / name / "images.npz") as ours,
            np.load(right / "trials" / name / "images.npz") as b,
        ):
            assert ours.files == b.files
            assert all(np.array_equal(ours[key], b[key]) for key in b.files)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with trials.threads(1):
        yield


@pytest.fixture(scope="module")
def images():
    return load("digits", image_size=48, train_size=32, test_size=20)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An uninterrupted run in this process; nobody writes into it."""
    out = tmp_path_factory.mktemp("finished") / "out"
    run(out)
    return out


@pytest.fixture
def copied(finished, tmp_path):
    """A finished run that a test may spoil."""
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


# ------------------------------------------------------------------------------------------------------------ settings


def test_reference_rows_come_by_themselves_and_once():
    assert Comparison(attention=("se",)).attention == (NONE, PLAIN, "se")
    assert Comparison(attention=("se", "plain", "none", "se", "eca")).attention == (NONE, PLAIN, "se", "eca")
    assert [str(trial) for trial in Comparison(attention=("se",), seeds=2).trials] == [
        *("none-0", "plain-0", "se-0"),
        *("none-1", "plain-1", "se-1"),
    ]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"seeds": 0}, "seeds=0"),
        ({"epochs": -1}, "epochs=-1"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1"),
        ({"optimizer": "sdg"}, "optimizer='sdg': adamw, sgd"),
        ({"freeze": "head"}, "freeze='head': backbone"),
        ({"image_size": 0}, "image_size=0"),
        ({"attention": ()}, "attention"),
        ({"attention": ("none",)}, "attention"),
    ],
)
def test_a_wrong_setting_is_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        Comparison(**wrong)


def test_the_vocabulary_loads_without_torch():
    code = "import sys, regard.comparing; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------------------------------------------------- statistics


def test_interval_over_seeds_is_students():
    found = statistics.over_seeds([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert 2 - found.low == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert found.values == (1.0, 2.0, 3.0)


def test_accuracy_of_one_seed_has_wilsons_interval():
    found = statistics.accuracy(np.array([[True] * 8 + [False] * 2]))
    assert (found.mean, found.low, found.high) == pytest.approx((0.8, 0.490162, 0.943318), abs=1e-6)
    perfect = statistics.accuracy(np.ones((1, 10), bool))
    assert perfect.high == 1 and perfect.low == pytest.approx(0.722467, abs=1e-6)


def test_accuracy_of_several_seeds_holds_both_kinds_of_luck():
    rng = np.random.default_rng(0)
    agreeing = rng.random((1, 50)).repeat(3, 0) < 0.7  # seeds that agree: only the images are luck
    assert statistics.accuracy(agreeing).low == pytest.approx(statistics.accuracy(agreeing[:1]).low)
    differing = np.stack([np.arange(2000) < share * 2000 for share in (0.4, 0.6, 0.8)])
    t = statistics.over_seeds([0.4, 0.6, 0.8])
    assert statistics.accuracy(differing).low == pytest.approx(t.low)


def test_gain_is_paired():
    easy = np.arange(100) < 60
    ours = np.stack([easy | (np.arange(100) < 75)] * 2)
    theirs = np.stack([easy] * 2)
    found = statistics.gain(ours, theirs)
    assert found.mean == pytest.approx(0.15)
    assert found.low > 0.05
    # The same two accuracies on unrelated images are far less certain.
    shuffled = np.random.default_rng(1).permutation(100)
    assert statistics.gain(ours[:, shuffled], theirs).low < found.low
    swapped = statistics.gain(theirs, ours)
    assert (swapped.mean, swapped.low, swapped.high) == pytest.approx((-found.mean, -found.high, -found.low))


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_two_equal_mechanisms_rarely_look_different(seeds):
    rng = np.random.default_rng(seeds)
    clear = 0
    for _ in range(300):
        difficulty = rng.random(200)
        ours, theirs = (rng.random((seeds, 200)) < difficulty for _ in range(2))
        found = statistics.gain(ours, theirs)
        assert found.low <= found.mean <= found.high
        clear += found.low > 0 or found.high < 0
    assert clear <= 25  # 15 are expected at 95 %


def test_two_rows_that_never_disagree_are_not_told_apart():
    same = np.ones((3, 40), bool)
    found = statistics.gain(same, same)
    assert found.mean == 0 and found.low < 0 < found.high


def test_repeated_measurements_are_summed_up_by_their_median():
    found = statistics.repeated([1.0, 100.0, 2.0, 3.0, 4.0] * 6)
    assert found.mean == 3
    assert 1 < found.low <= 3 <= found.high < 100


# --------------------------------------------------------------------------------------------------------- plain row


@pytest.mark.parametrize("wanted", [[580, 580, 2176, 8448, 33280], [3, 3, 5, 5, 5], [130_000] * 5, [0] * 5])
def test_plain_spends_what_is_wanted(wanted):
    channels = [64, 64, 128, 256, 512]
    widths = plain.widths(channels, wanted)
    spent = sum(plain.bottleneck_parameters(*each) for each in zip(channels, widths, strict=True))
    step = max(
        plain.bottleneck_parameters(c, w + 1) - plain.bottleneck_parameters(c, w)
        for c, w in zip(channels, widths, strict=True)
        if c == 64
    )
    assert abs(spent - sum(wanted)) <= step / 2 + 1


def test_plain_bottleneck_has_the_parameters_it_says_and_may_be_nothing():
    built = plain.PlainBottleneck(24, width=5)
    assert sum(parameter.numel() for parameter in built.parameters()) == plain.bottleneck_parameters(24, 5)
    x = torch.randn(2, 24, 6, 5)
    assert built(x).shape == x.shape and not torch.equal(built(x), x)
    assert torch.equal(plain.PlainBottleneck(24, width=0)(x), x)


def test_plain_row_is_as_large_as_the_largest_mechanism(images):
    settings = Comparison(**{**TINY, "attention": ("eca", "se", "cbam")})
    blueprint = building.survey(settings, images)
    largest = max(blueprint.added[name] for name in settings.rows)
    assert min(blueprint.added[name] for name in settings.rows) < largest / 10
    assert blueprint.added[PLAIN] == pytest.approx(largest, rel=0.02)
    assert not any(isinstance(m, Attention) for m in building.build(settings, PLAIN, 0, images, blueprint).modules())


# ------------------------------------------------------------------------------------------------------- equal starts


def test_all_rows_of_a_seed_start_from_the_same_backbone(images):
    settings = Comparison(**{**TINY, "attention": ("se", "cbam")})
    blueprint = building.survey(settings, images)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    bare = building.build(settings, NONE, 0, images, blueprint).state_dict()
    for row in settings.attention[1:]:
        state = building.build(settings, row, 0, images, blueprint).state_dict()
        assert set(bare) < set(state)
        assert all(torch.equal(state[name], bare[name]) for name in bare)
        again = building.build(settings, row, 0, images, blueprint).state_dict()
        assert all(torch.equal(state[name], again[name]) for name in state)
        other = building.build(settings, row, 1, images, blueprint).state_dict()
        learned = [name for name in state if state[name].dim() > 1]
        assert not any(torch.equal(state[name], other[name]) for name in learned)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_all_rows_of_a_seed_see_the_same_batches_in_the_same_order(images, monkeypatch):
    seen: list[tuple] = []

    class Recording(Classify):
        def loss(self, model, batch):
            seen.append((batch["image"].sum().item(), tuple(batch["label"].tolist())))
            return super().loss(model, batch)

    monkeypatch.setattr(attached, "Classify", Recording)
    settings = Comparison(**{**TINY, "epochs": 2})
    blueprint = building.survey(settings, images)
    batches = {}
    for trial in settings.trials:
        seen.clear()
        trials.run(settings, trial, images, blueprint, folder=None, device=torch.device("cpu"), on_step=lambda *_: None)
        batches[trial] = list(seen)
    for seed in range(2):
        first = batches[Trial(NONE, seed)]
        assert len(first) == 2 * STEPS_PER_EPOCH and len(set(first)) == len(first)
        assert all(batches[Trial(row, seed)] == first for row in settings.attention)
    assert batches[Trial(NONE, 0)] != batches[Trial(NONE, 1)]
    by_hand = [images.train.labels[i] for i in permutation(0, 0, 32)[:16]]
    assert batches[Trial(NONE, 0)][0][1] == tuple(by_hand)


# ----------------------------------------------------------------------------------------------------------- measuring


def test_flops_are_those_of_a_hand_count():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 5, 4))
    x = torch.randn(1, 3, 6, 5)
    assert measuring.flops(model, x) == 2 * (8 * 3 * 9 * 6 * 5 + 8 * 6 * 5 * 4)
    assert measuring.parameters(model) == sum(p.numel() for p in model.parameters())
    assert model.training


class Slow(nn.Module):
    """Takes so many ticks of a clock that only it moves."""

    def __init__(self, clock: list[float], ticks: float) -> None:
        super().__init__()
        self.clock, self.ticks, self.calls = clock, ticks, 0

    def forward(self, x):
        assert not self.training and not torch.is_grad_enabled()
        self.calls += 1
        self.clock[0] += self.ticks * (1 + 0.5 * (self.clock[0] > 50))  # the machine slows down under way
        return x


def test_latency_is_the_median_of_paired_ratios(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(measuring, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    model, reference = Slow(clock, 3), Slow(clock, 1)
    found = measuring.latency(model, reference, torch.zeros(1), seconds=200)
    assert found["ratio"] == 3 and found["low"] <= 3 <= found["high"]
    assert model.calls == reference.calls > 20
    assert model.training and reference.training


def test_peak_memory_counts_what_is_alive():
    width, batch = 64, 128
    layers = nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in range(4)))
    x = torch.randn(batch, width)
    weights, activation = 4 * width * width * 4, batch * width * 4
    peak = measuring.peak_memory(layers, x, lambda model: model(x).sum())
    # Weights, input and the four outputs that the backward pass may need; then gradients while outputs are freed.
    assert weights + 4 * activation <= peak <= 2 * weights + 8 * activation
    twice = measuring.peak_memory(layers, torch.cat([x, x]), lambda model: model(torch.cat([x, x])).sum())
    assert twice - peak >= 3 * activation
    assert all(parameter.grad is None for parameter in layers.parameters())


# ------------------------------------------------------------------------------------------------------------- looking


class Spot(Attention):
    """Looks at one half of the map, whatever is in it."""

    maps: ClassVar = {"where": "B 1 H W", "gate": "B C 1 1"}

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        where = torch.zeros_like(x[:, :1])
        where[..., : x.shape[-1] // 2] = 1
        self.see("gate", torch.ones_like(x[:, :, :1, :1]))
        return x * self.scale * (1 + self.see("where", where))


class Half(Split):
    """Grey images whose object is the left half; that of the last one is unknown."""

    def __init__(self, size: int = 6) -> None:
        super().__init__([i % 2 for i in range(size)])

    def pixels(self, i):
        return torch.full((3, 48, 48), 40 * i % 255, dtype=torch.uint8)

    def name(self, i):
        return str(i)

    def region(self, i):
        if i == len(self) - 1:
            return None
        region = torch.zeros(48, 48, dtype=torch.bool)
        region[:, :24] = True
        return region


@pytest.fixture(scope="module")
def halves():
    data = SimpleNamespace(train=Half(), test=Half(), classes=("a", "b"))
    settings = Comparison(**TINY)
    blueprint = building.survey(settings, data)
    return settings, data, blueprint


def looked_at(halves, mechanism):
    from regard.attaching import attach

    settings, data, blueprint = halves
    model = building.build(settings, NONE, 0, data, blueprint)
    if mechanism is not None:
        attach(model, mechanism, after=list(blueprint.places["se"].sites), example=data.test[0][0][None])
    view = looking.View(blueprint.places["se"], ((0.5,) * 3, (0.25,) * 3), torch.device("cpu"))
    model.eval()
    scores, chance = looking.locate(model, data.test, view)
    shown = data.test.images([0, 1])
    return scores, chance, looking.through(model, shown, view), looking.heat_maps(model, shown, view)


def test_a_spatial_map_is_scored_directly_and_through_gradcam_as_well(halves):
    scores, chance, through, heat = looked_at(halves, Spot)
    assert through == "spatial map"
    assert chance == 0.5
    assert scores["energy"].shape == (5,)  # the sixth object is unknown
    assert (scores["energy"] > 0.9).all() and (scores["pointing"] > 0.9).all()
    assert not np.allclose(scores["energy"], scores["energy_gradcam"])
    assert set(heat) == {"map", "map_range", "gradcam", "gradcam_range"} and heat["gradcam"].shape == (2, 48, 48)
    assert heat["map"].shape == (2, 48, 48) and heat["map"].min() == 0 and heat["map"].max() == 1
    assert heat["map"][:, :, :16].mean() > 0.9 and heat["map"][:, :, -16:].mean() < 0.1
    assert not np.allclose(heat["map"], heat["gradcam"], atol=0.1), "both kinds are kept"


@pytest.mark.parametrize("mechanism", [None, "se"])
def test_without_a_spatial_map_it_goes_through_gradcam(halves, mechanism):
    scores, _, through, heat = looked_at(halves, mechanism)
    assert through == "Grad-CAM"
    assert np.array_equal(scores["energy"], scores["energy_gradcam"])
    assert np.array_equal(scores["pointing"], scores["pointing_gradcam"])
    assert set(heat) == {"map", "map_range"} and heat["map"].shape == (2, 48, 48)


def test_maps_of_large_images_are_kept_small():
    heat = torch.linspace(0, 1, 6 * 8).reshape(1, 6, 8)
    model, place = nn.Identity(), SimpleNamespace(explained="", layout=None, grid=(6, 8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looking, "_both", lambda *_: (heat, heat))
        found = looking.heat_maps(model, torch.zeros(1, 3, 300, 400), looking.View(place, None, torch.device("cpu")))
    assert found["map"].shape == (1, 84, looking.LONGEST) and (found["map"].min(), found["map"].max()) == (0, 1)


def test_all_rows_are_looked_at_where_the_map_still_has_positions(halves):
    blueprint = halves[2]
    place = blueprint.places["se"]
    assert blueprint.places == dict.fromkeys((NONE, PLAIN, "se"), place)
    assert min(place.grid) >= building.LEAST_GRID
    assert set(place.looked) <= set(place.sites)
    assert place.explained == "layer2.0"  # of 48 pixels: 12, 6, 3 and 2 positions


def test_tokens_are_explained_where_the_map_still_decides():
    data = SimpleNamespace(train=Half(), test=Half(), classes=("a", "b"))
    settings = Comparison(**{**TINY, "backbone": "test_vit", "image_size": 48})
    blueprint = building.survey(settings, data)
    assert blueprint.places["se"].explained == blueprint.places["se"].looked[-1]
    scores, *_ = looked_at((settings, data, blueprint), "cbam")
    assert np.ptp(scores["energy_gradcam"]) > 0  # a map without gradients would give every image the same share


def test_gallery_takes_the_classes_in_turn_and_known_objects_first():
    data = Half(30)
    data.labels = [0] * 5 + [1] * 24 + [0]
    chosen = trials.gallery_choice(data)
    assert len(chosen) == trials.SHOWN == len(set(chosen))
    assert [data.labels[i] for i in chosen] == [0, 1] * 6 + [1] * 12
    data.region = lambda i: None if i in (0, 5) else torch.ones(48, 48, dtype=torch.bool)
    assert trials.gallery_choice(data)[:2] == [1, 6]


# ---------------------------------------------------------------------------------------------------- the whole thing


def test_a_run_leaves_what_the_report_reads(finished):
    facts = json.loads((finished / "run.json").read_text())
    expected = {"data": "digits", "backbone": "test_resnet", "attention": [NONE, PLAIN, "se"], "seeds": 2, "epochs": 4}
    assert expected.items() <= facts.items()
    assert (facts["image_size"], facts["train_size"], facts["test_size"]) == (48, 32, 20)
    assert len(facts["classes"]) == 10 and facts["skipped"] == [] and facts["pretrained"] is False
    assert facts["chance"] == pytest.approx(2 / 20)
    assert "torch" in facts["versions"] and len(facts["sites"]) == 4
    assert facts["command"].startswith("regard compare digits") and "--attention se" in facts["command"]
    assert facts["plain"]["largest"] == "se"

    lines = [json.loads(line) for line in (finished / "results.jsonl").read_text().splitlines()]
    assert [(line["row"], line["seed"]) for line in lines] == [
        (name, seed) for seed in range(2) for name in (NONE, PLAIN, "se")
    ]
    for line in lines:
        assert line["measure"]["name"] == "accuracy" and line["scores"]["accuracy"] == line["score"]
        assert 0 <= line["score"] <= 1 and 0 <= line["scores"]["ece"] <= 1 and 0 <= line["energy"] <= 1
        assert line["through"] == "Grad-CAM" and 0 < line["chance_energy"] < 0.5
        assert [epoch["epoch"] for epoch in line["history"]] == [1, 2, 3, 4]
        assert line["history"][-1]["score"] == line["score"]

    costs = json.loads((finished / "costs.json").read_text())
    assert list(costs) == [NONE, PLAIN, "se", "digest"]
    assert costs["se"]["parameters"] == lines[2]["parameters"] > costs[NONE]["parameters"]
    assert costs["se"]["flops"] > costs[NONE]["flops"] > 1e6
    assert costs[NONE]["latency"]["1"] == {"ratio": 1, "low": 1, "high": 1}
    assert set(costs["se"]["latency"]) == {"1", "32"} and costs["se"]["peak_memory"] > 1e6

    with np.load(finished / "gallery.npz", allow_pickle=False) as gallery:
        assert gallery["images"].shape == (20, 48, 48, 3) and gallery["images"].dtype == np.uint8
        assert gallery["regions"].dtype == bool and gallery["has_region"].all()
        assert gallery["labels"].tolist() == list(range(10)) * 2
        assert gallery["names"].tolist()[:2] == ["digit 0, image 0", "digit 1, image 1"]
        for name in (NONE, PLAIN, "se"):
            assert gallery[f"map.{name}"].shape == (20, 48, 48) and gallery[f"map.{name}"].dtype == np.float32
            assert gallery[f"map.{name}"].min() >= 0 and gallery[f"map.{name}"].max() <= 1
            assert gallery[f"prediction.{name}"].shape == gallery[f"confidence.{name}"].shape == (20,)
    with np.load(finished / "trials" / "se-1" / "images.npz", allow_pickle=False) as images:
        assert images["label"].tolist() == list(range(10)) * 2
        assert ((images["prediction"] == images["label"]) == images["score"]).all()

    left = {path.name for path in (finished / "trials" / "se-1").iterdir()}
    assert left == {"images.npz", "model.safetensors"}


def test_the_summary_of_a_run(finished):
    found = result(finished)
    assert [row.name for row in found.rows] == [NONE, PLAIN, "se"]
    bare, plain_row, se = found.rows
    lines = comparable(finished)
    assert se.score.values == pytest.approx([record.score for record in lines if record.row == "se"])
    assert se.gain.mean == pytest.approx(se.score.mean - bare.score.mean)
    assert bare.gain is None and plain_row.gain is not None and plain_row.gain_over_plain is None
    assert se.domains == catalog.get("se").domains and bare.domains == ()
    assert se.energy == se.energy_gradcam and se.through == "Grad-CAM"
    assert len(se.history) == 2 and len(se.history[0]) == 4
    assert se.extra_parameters == se.parameters - bare.parameters > 0
    assert se.latency["32"].low <= se.latency["32"].mean <= se.latency["32"].high
    assert found.gallery == finished / "gallery.npz"
    assert found.run["backbone"] == "test_resnet"
    assert found.verdict.startswith("No row is above chance (10.0 %") and "3 rows × 2 seeds" in found.sentences[0]
    assert sum(se.answers.values()) == 2 * 20


def test_the_command_that_looks_with_trained_weights_works(finished, tmp_path, capsys):
    from regard import cli

    found = result(finished)
    assert [bool(row.look) for row in found.rows] == [True, False, True], "none is shown through Grad-CAM"
    command = shlex.split(found.rows[2].look)
    assert command[:2] == ["regard", "look"] and command[3:] == ["--weights", str(finished / "trials" / "se-0")]
    Image.new("RGB", (60, 50), (200, 90, 10)).save(tmp_path / "photo.png")
    command[command.index("IMAGE")] = str(tmp_path / "photo.png")
    with pytest.raises(SystemExit) as end:
        cli.main([*command[1:], "--out", str(tmp_path / "out")])
    assert not end.value.code and capsys.readouterr().out
    assert [path.suffix for path in (tmp_path / "out").iterdir()] == [".png"]


def test_the_same_command_again_changes_nothing(copied, finished):
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    recorder = run(copied)
    assert recorder.events == [("begin", (), 6)]
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(finished, tmp_path):
    out = tmp_path / "out"
    victim = subprocess.run(
        [sys.executable, __file__, str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert victim.returncode == -signal.SIGKILL
    gone_by = time.monotonic() + 30
    children = {int(pid) for pid in victim.stdout.split()}
    assert len(children) == 2
    while any(Path(f"/proc/{pid}/cmdline").exists() for pid in children) and time.monotonic() < gone_by:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}/cmdline").exists() for pid in children), "a worker outlived its parent"

    before = {(record.row, record.seed) for record in Folder(out).records()}
    cut_off = [
        path.name
        for path in (out / "trials").iterdir()
        if (path / "checkpoint.pt").exists() and (path / "history.json").exists()
    ]
    assert len(before) < 6 and cut_off
    with pytest.raises(ValueError, match="has not finished"):
        result(out)

    recorder = run(out)
    assert recorder.events[0] == (
        "begin",
        tuple(str(t) for t in Comparison(**TINY).trials if (t.row, t.seed) not in before),
        len(before),
    )
    steps = {str(trial): done for trial, done in recorder.steps.items()}
    assert all(steps[name][0] > STEPS_PER_EPOCH for name in cut_off if name in steps)
    assert_same_run(out, finished)


@pytest.mark.slow
def test_two_processes_give_what_one_gives_and_a_dead_one_is_noticed(finished, tmp_path):
    class Murderer(Recorder):
        def trial_started(self, trial):
            super().trial_started(trial)
            if str(trial) == "se-0":
                os.kill(max(child.pid for child in multiprocessing.active_children()), signal.SIGKILL)

    out = tmp_path / "out"
    with pytest.raises(RuntimeError, match=r"the process of trial \S+ died .*goes on"):
        run(out, workers=2, progress=Murderer())
    assert not multiprocessing.active_children()
    assert {record.row for record in Folder(out).records()} >= {NONE}  # made by another process
    run(out)
    assert_same_run(out, finished)


@pytest.mark.slow
def test_ctrl_c_leaves_a_folder_to_go_on_with(finished, tmp_path):
    class Impatient(Recorder):
        def trial_started(self, trial):
            if str(trial) == "se-0":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, seeds=1, progress=Impatient())
    assert [record.row for record in Folder(tmp_path).records()] == [NONE, PLAIN]
    assert run(tmp_path, seeds=1).events[0] == ("begin", ("se-0",), 2)


@pytest.mark.slow
def test_a_failing_trial_is_named_and_the_others_are_kept(tmp_path, monkeypatch):
    sound = trials.run

    def failing(settings, trial, *args, **kwargs):
        if trial.row == PLAIN:
            raise ZeroDivisionError("no way")
        return sound(settings, trial, *args, **kwargs)

    monkeypatch.setattr(trials, "run", failing)
    recorder = Recorder()
    with pytest.raises(RuntimeError, match=r"1 of 3 trials failed.*plain-0: ZeroDivisionError: no way.*tries the rest"):
        run(tmp_path, seeds=1, epochs=1, progress=recorder)
    assert ("failed", "plain-0", "ZeroDivisionError: no way") in recorder.events
    monkeypatch.undo()
    assert run(tmp_path, seeds=1, epochs=1).events[0] == ("begin", ("plain-0",), 2)


# ----------------------------------------------------------------------------------------------------------- the folder


def test_a_torn_last_line_is_repaired(copied, finished):
    results = copied / "results.jsonl"
    whole = results.read_bytes()
    results.write_bytes(whole[:-40])
    assert len(Folder(copied).records()) == 5
    assert run(copied).events[0] == ("begin", ("se-1",), 5)
    assert results.read_bytes().startswith(whole[: whole.rindex(b"\n", 0, -1) + 1])
    assert_same_run(copied, finished)


def test_a_damaged_line_is_named(copied):
    results = copied / "results.jsonl"
    results.write_bytes(b"{oops\n" + results.read_bytes())
    with pytest.raises(ValueError, match="line 1"):
        result(copied)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epochs": 7}, "epochs = 4, now it is 7"),
        ({"attention": ("se", "eca")}, "attention = none,plain,se, now it is none,plain,se,eca"),
        ({"seeds": 1}, "seeds = 2, now it is 1"),
        ({"train_size": 40}, "train_size = 32, now it is 40"),
        ({"identity": True}, "identity = False, now it is True"),
    ],
)
def test_other_settings_are_refused_by_name(copied, changed, said):
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=f"{said}.*choose another --out"):
        run(copied, **changed)
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


def test_other_images_are_refused(copied, monkeypatch):
    monkeypatch.setattr(running, "_digests", lambda images: {"image names and labels": "other"})
    with pytest.raises(ValueError, match=r"begun with other images \(the image names and labels differ\)"):
        run(copied)


@pytest.mark.slow
def test_more_seeds_extend_a_run(copied):
    before = (copied / "results.jsonl").read_bytes()
    recorder = run(copied, seeds=3)
    assert recorder.events[0] == ("begin", ("none-2", "plain-2", "se-2"), 6)
    assert (copied / "results.jsonl").read_bytes().startswith(before)
    assert len(result(copied).rows[2].score.values) == 3


def test_foreign_files_are_left_alone(tmp_path):
    foreign = tmp_path / "results.jsonl"
    foreign.write_text("mine\n")
    with pytest.raises(ValueError, match=r"results\.jsonl.*choose another --out"):
        run(tmp_path)
    assert foreign.read_text() == "mine\n"
    foreign.rename(tmp_path / "notes.txt")
    (tmp_path / "run.json").write_text('{"speed": 3}')
    with pytest.raises(ValueError, match=r"run\.json was not written"):
        run(tmp_path)
    assert (tmp_path / "run.json").read_text() == '{"speed": 3}'
    assert (tmp_path / "notes.txt").read_text() == "mine\n"


def test_two_commands_in_one_folder(tmp_path):
    with Folder(tmp_path).claimed(), pytest.raises(OSError, match="another regard compare"):
        run(tmp_path)


def test_an_unwritable_folder_is_noticed_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    recorder = Recorder()
    with pytest.raises(OSError, match=r"cannot write to .*file/out"):
        run(tmp_path / "file" / "out", progress=recorder)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device"):
            run(tmp_path / "full", progress=recorder)
    assert not (tmp_path / "full" / "run.json").exists()

    usage = SimpleNamespace(total=10**9, used=10**9 - 10**6, free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match=r"MiB are needed.*1 MiB are free.*--out"):
        run(tmp_path / "small", progress=recorder)
    assert recorder.events == []


def test_a_disk_that_fills_up_under_way_stops_the_run(tmp_path, monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(trials, "run", lambda *_, **__: (_ for _ in ()).throw(OSError("cannot write: No space left")))
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path, progress=recorder)
    assert [event[0] for event in recorder.events] == ["begin", "started", "failed"]


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        ({"attention": ("se", "cbm")}, LookupError, "did you mean cbam"),
        ({"backbone": "test_resnett"}, LookupError, "test_resnet"),
        ({"after": ("layer9.*",)}, LookupError, "layer9"),
        ({"workers": 0}, ValueError, "workers=0"),
        ({"device": "tpu"}, ValueError, "device='tpu'"),
        ({"train_size": 5}, ValueError, "at least 10"),
    ],
)
def test_what_cannot_work_fails_before_any_training(tmp_path, changed, kind, said):
    recorder = Recorder()
    with pytest.raises(kind, match=said):
        run(tmp_path, progress=recorder, **changed)
    assert recorder.events == []


NARROW = {"backbone": "test_nfnet", "after": ("stages.0.0.conv2b",)}  # 8 channels, which 16 groups do not divide


@pytest.mark.slow
def test_all_takes_what_fits_and_says_why_the_rest_does_not(images):
    settings, left_out = building.fitting(Comparison(attention=("eca", "all"), backbone="test_resnet"), images)
    drop_ins = [entry.name for entry in catalog.entries() if entry.drop_in]
    assert settings.rows[0] == "eca", "what is named comes where it is named"
    assert sorted([*settings.rows, *left_out]) == sorted(drop_ins)
    assert len(settings.rows) >= 9
    narrow = Comparison(attention=("all",), **NARROW)
    settings, left_out = building.fitting(narrow, images)
    assert "se" in settings.rows and "fca" not in settings.rows and "16" in left_out["fca"]
    assert "reduction=8 after 'stages.0.0.conv2b' (8 channels)" in building.survey(settings, images).notes["se"]
    same = Comparison(attention=("se",), backbone="test_resnet")
    assert building.fitting(same, images) == (same, {})
    with pytest.raises(ValueError, match=r"attention='fca'.*16"):
        building.survey(building.fitting(Comparison(attention=("all", "fca"), **NARROW), images)[0], images)


@pytest.mark.slow
def test_a_run_of_all_names_what_it_left_out(tmp_path, monkeypatch):
    few = catalog.get("fca"), catalog.get("eca")
    monkeypatch.setattr(catalog, "entries", lambda: few)
    run(tmp_path, attention=("all",), seeds=1, epochs=1, **NARROW)
    found = result(tmp_path)
    assert [row.name for row in found.rows] == [NONE, PLAIN, "eca"]
    assert any(sentence.startswith("Left out, fca: ") and "16" in sentence for sentence in found.sentences)
    assert "--attention eca" in found.run["command"]


# -------------------------------------------------------------------------------------------------------------- cluster


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    from regard.comparing import cluster

    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"regard\[ray\]"):
        run(tmp_path, ray="auto")


@pytest.fixture
def ray_address(monkeypatch):
    """A Ray cluster of one processor on this machine, for this test alone."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster.address
    cluster.shutdown()


@pytest.mark.slow
def test_a_ray_cluster_gives_what_this_process_gives(finished, tmp_path, ray_address):
    out = tmp_path / "out"
    recorder = run(out, seeds=1, ray=ray_address)
    assert {event[0] for event in recorder.events} == {"begin", "started", "finished"}
    assert comparable(out) == [record for record in comparable(finished) if record.seed == 0]
    assert recorder.steps[Trial("se", 0)][-1] == STEPS_PER_EPOCH * TINY["epochs"]
    for name in (NONE, PLAIN, "se"):
        ours, theirs = (load_file(path / "trials" / f"{name}-0" / "model.safetensors") for path in (out, finished))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_cluster_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConnectionError, match=r"no Ray cluster at '127\.0\.0\.1:1'"):
        run(tmp_path, ray="127.0.0.1:1")


def test_an_empty_folder_holds_no_comparison(tmp_path):
    with pytest.raises(ValueError, match="holds no comparison"):
        result(tmp_path)


if __name__ in ("__main__", "__mp_main__"):  # here and in the worker processes of the one that is killed
    workers.TELL_EVERY = 0

if __name__ == "__main__":
    target = Path(sys.argv[1])
    compare("digits", out=target, workers=2, patience=0.05, progress=Victim(target), **TINY)
