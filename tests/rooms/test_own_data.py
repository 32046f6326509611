"""Comparing on a user's own datasets, models and tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import Dataset

import regard
from regard.comparing import Comparison, Silent, Trial, building, running, statistics, workers
from regard.comparing import trial as trials
from regard.comparing.folder import Folder
from regard.comparing.images import Own, OwnImages
from regard.data.batches import Batch
from regard.metrics.metric import Measure
from regard.report import Result
from regard.tasks.classify import Classify

SIZE = (3, 24, 28)
FAST = {"attention": "se(reduction=2)", "seeds": 1, "epochs": 2, "batch_size": 7, "patience": 0.05}


class Spots(Dataset):
    """Dark images with a bright half, left (0) or right (1).

    Args:
        count: of the images.
        seed: of their noise.
        kind: how an item is given.
    """

    classes = ("left", "right")

    def __init__(self, count: int, seed: int, kind: str = "pair") -> None:
        noise = torch.rand((count, *SIZE), generator=torch.Generator().manual_seed(seed))
        self.images, self.labels = 0.3 * noise, [i % 2 for i in range(count)]
        for image, label in zip(self.images, self.labels, strict=True):
            image[..., 14 * label : 14 * label + 14] += 0.6
        self.kind = kind

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int):
        image, label = self.images[i], self.labels[i]
        if self.kind == "pil":
            pixels = (255 * image).round().to(torch.uint8).permute(1, 2, 0).numpy()
            return Image.fromarray(pixels), np.int64(label)
        if self.kind == "bytes":
            return (255 * image).round().to(torch.uint8), torch.tensor(label)
        if self.kind == "mapping":
            region = torch.zeros(SIZE[1:], dtype=torch.bool)
            region[:, 14 * label : 14 * label + 14] = True
            return {"image": image, "label": label, "region": region, "name": f"spot {i}"}
        return image, label


class Net(nn.Module):
    """A user's own network: two stages and a linear head."""

    def __init__(self, classes: int, width: int = 6) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.stage2 = nn.Sequential(nn.Conv2d(width, 2 * width, 3, 1, 1), nn.BatchNorm2d(2 * width), nn.ReLU())
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stage2(self.stage1(x)).mean((2, 3)))


def compared(out: Path, data=None, **changed) -> Result:
    pair = (Spots(22, 0), Spots(13, 1)) if data is None else data
    return regard.compare(pair, out=out, **{"backbone": Net, "after": ("stage2.2",), **FAST, **changed})


class Told(Silent):
    def __init__(self) -> None:
        self.phases: list[str] = []
        self.missing: list[str] = []

    def phase(self, text):
        self.phases.append(text)

    def begin(self, trials, finished):
        self.missing = [str(trial) for trial in trials]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("own") / "out"
    return out, compared(out)


# ---- a pair of datasets and a function


def test_own_datasets_and_an_own_network_are_compared(finished):
    out, found = finished
    assert isinstance(found, Result) and found.out == out
    assert [row.name for row in found.rows] == ["none", "plain", "se(reduction=2)"]
    assert [(record.row, record.seed) for record in found.records] == [(row.name, 0) for row in found.rows]
    assert found.run["backbone"] == "Net" and found.run["data"] == "own datasets" and found.run["command"] is None
    assert found.run["classes"] == ["left", "right"] and found.run["image_size"] == [24, 28]
    assert found.run["chance"] == pytest.approx(7 / 13)
    assert found.rows[0].parameters == sum(parameter.numel() for parameter in Net(2).parameters())
    assert found.rows[2].extra_parameters == 12 * 6 + 6 + 6 * 12 + 12
    assert all(record.score == record.history[-1]["score"] for record in found.records)
    assert found.rows[0].energy is None


def test_a_result_prints_itself_and_writes_its_page(finished, tmp_path):
    out, found = finished
    text = str(found)
    lines = text.splitlines()
    assert lines[0] == found.verdict and lines[4].startswith("none")
    assert "accuracy" in text and "• 3 rows × 1 seed" in text
    assert found.report() == out / "report.html"
    elsewhere = found.report(tmp_path / "page.html")
    assert elsewhere.read_text(encoding="utf-8") == (out / "report.html").read_text(encoding="utf-8")
    assert found.report(elsewhere) == elsewhere, "its own page is replaced"
    (tmp_path / "mine.html").write_text("mine")
    with pytest.raises(FileExistsError, match=r"mine\.html exists and is no report"):
        found.report(tmp_path / "mine.html")
    assert (tmp_path / "mine.html").read_text() == "mine"
    with pytest.raises(ValueError, match="no run folder"):
        replace(found, out=None).report()


def test_the_same_call_goes_on_and_other_data_are_refused(finished):
    out, found = finished
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != "report.html"}
    told = Told()
    again = compared(out, progress=told)
    assert told.missing == [] and again.rows == found.rows and again.records == found.records
    for changed, said in (
        ({"data": (Spots(22, 0), Spots(13, 2))}, "samples"),
        ({"data": (Spots(23, 0), Spots(13, 1))}, "train images = 22, now it is 23"),
        ({"backbone": partial(Net, width=5)}, r"backbone = .*Net', now it is .*Net with .*5"),
        ({"augment": "light"}, "augment = 'none', now it is 'light'"),
        ({"freeze": "backbone"}, "freeze = None, now it is 'backbone'"),
        ({"optimizer": "sgd"}, "optimizer = 'adamw', now it is 'sgd'"),
    ):
        with pytest.raises(ValueError, match=said):
            compared(out, **changed)
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != "report.html"}
    assert after == before


@pytest.mark.parametrize("kind", ["pil", "bytes", "mapping"])
def test_samples_may_come_in_any_form(kind):
    own = Own(Spots(6, 0, kind), "train", classify=True)
    plain = Own(Spots(6, 0), "train", classify=True)
    assert own.labels == plain.labels == [0, 1] * 3
    assert own.images([1, 4]).dtype == torch.float32 and own.images([1, 4]).shape == (2, *SIZE)
    torch.testing.assert_close(own.images([1, 4]), plain.images([1, 4]), rtol=0, atol=1 / 510 + 1e-6)
    assert type(own[0]["label"]) is int and "region" not in own[0]
    region = own.region(1)
    assert (region is None) == (kind != "mapping") and (region is None or region[:, 14:].all())


def test_regions_of_own_samples_are_scored(tmp_path):
    found = compared(tmp_path / "out", (Spots(22, 0, "mapping"), Spots(13, 1, "mapping")))
    assert found.rows[0].chance_energy == 0.5 and 0 <= found.rows[0].energy_gradcam.mean <= 1
    with np.load(tmp_path / "out" / "gallery.npz") as gallery:
        assert gallery["has_region"].all() and gallery["images"].shape[1:] == (24, 28, 3)


def test_images_beyond_0_and_1_are_taken_as_normalised(finished, tmp_path):
    class Normalised(Spots):
        def __getitem__(self, i):
            image, label = super().__getitem__(i)
            return (image - 0.5) / 0.25, label

    inside, beyond = (
        OwnImages(kind(4, 0), kind(4, 1), name="own datasets", classify=True) for kind in (Spots, Normalised)
    )
    assert inside.unit and not beyond.unit
    assert trials.normalisation(Net(2), inside) is not None and trials.normalisation(Net(2), beyond) is None
    shown = trials.gallery_images(beyond.test)["images"]
    assert shown.dtype == np.uint8 and shown.min() == 0 and shown.max() == 255
    grey = trials.gallery_images(SubsetOfChannels(inside.test))["images"]
    assert grey.shape[-1] == 3 and (grey[..., 0] == grey[..., 2]).all()


class SubsetOfChannels:
    """The images of a part with their first channel alone."""

    def __init__(self, part) -> None:
        self.part, self.labels = part, part.labels

    def __len__(self) -> int:
        return len(self.part)

    def images(self, indices):
        return self.part.images(indices)[:, :1]

    def name(self, i):
        return self.part.name(i)

    def region(self, i):
        return None


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda item, i: (item[0], -1), ValueError, r"train\[0\] has the label -1"),
        (lambda item, i: (item[0], 0.5), ValueError, r"train\[0\] has the label 0\.5"),
        (lambda item, i: (item[0], "cat"), ValueError, r"train\[0\] has the label 'cat'"),
        (lambda item, i: item[0], TypeError, r"train\[0\]: an item of the dataset is Tensor"),
        (lambda item, i: {"picture": item[0], "label": 0}, TypeError, r"train\[0\] has the fields label, picture"),
        (lambda item, i: (item[0].numpy(), 0), TypeError, r"train\[0\] has an image of ndarray"),
        (lambda item, i: (item[0].long(), 0), TypeError, r"torch\.int64"),
        (lambda item, i: (item[0][..., : 20 + i], 0), ValueError, r"train\[1\] has an image \(3, 24, 21\)"),
        (lambda item, i: (item[0] / 0, 0), ValueError, r"train\[0\] has an image with values that are not finite"),
        (lambda item, i: (torch.rand(SIZE), 0), ValueError, r"train\[0\] is another sample when it is read again"),
    ],
)
def test_an_item_that_is_no_sample_is_named(change, kind, said):
    class Wrong(Spots):
        def __getitem__(self, i):
            return change(super().__getitem__(i), i)

    with pytest.raises(kind, match=said):
        Own(Wrong(5, 0), "train", classify=True)


def test_pairs_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(ValueError, match="the dataset to train on has no samples"):
        OwnImages(Spots(0, 0), Spots(4, 0), name="own")
    small = Spots(4, 1)
    small.images = small.images[..., :20]
    with pytest.raises(ValueError, match=r"train on are \(3, 24, 28\), those to test on \(3, 24, 20\)"):
        OwnImages(Spots(4, 0), small, name="own")
    with pytest.raises(ValueError, match="classes: 1 names for labels up to 1: 2 are needed"):
        OwnImages(Spots(4, 0), Spots(4, 1), name="own", classes=["left"])
    for changed, said in (
        ({"image_size": 32}, "image_size=32: own datasets are taken as they are"),
        ({"train_size": 3}, "train_size=3: own datasets are taken as they are"),
    ):
        with pytest.raises(ValueError, match=said):
            compared(tmp_path / "out", **changed)
    with pytest.raises(ValueError, match=r"classes=.*accepted with a pair of datasets"):
        regard.compare("digits", classes=["a"], out=tmp_path / "out", **FAST)
    for source in (Spots(4, 0), (Spots(4, 0),), [Spots(4, 0)] * 3):
        with pytest.raises(ValueError, match=r"a pair of datasets \(train, test\) is accepted"):
            regard.compare(source, out=tmp_path / "out", **FAST)
    assert not (tmp_path / "out" / "run.json").exists()


def test_an_own_network_takes_embedded_data_and_a_list_is_a_pair(tmp_path):
    found = regard.compare(
        "digits", backbone=Net, train_size=20, test_size=20, out=tmp_path / "a", **{**FAST, "epochs": 1}
    )
    assert found.run["backbone"] == "Net" and found.run["command"] is None and len(found.run["classes"]) == 10
    assert found.run["sites"] == ["stage2.2"]
    assert len(compared(tmp_path / "b", [Spots(22, 0), Spots(13, 1)], epochs=1).rows) == 3


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda classes: "net", ValueError, "it made a str; a new nn.Module is accepted"),
        (
            lambda classes: regard.attach(Net(classes), "eca", after="stage2.2", example=torch.rand(1, *SIZE)),
            ValueError,
            "has attention already",
        ),
    ],
)
def test_a_function_that_makes_no_bare_model_is_named(tmp_path, make, kind, said):
    with pytest.raises(kind, match=said):
        compared(tmp_path / "out", backbone=make)


def test_one_module_for_all_rows_is_refused(tmp_path):
    """Training one row would train the next."""
    net = Net(2)
    with pytest.raises(ValueError, match="it made the same module twice"):
        compared(tmp_path / "out", backbone=lambda classes: net)
    assert not any("attention" in name for name, _ in net.named_modules()), "it is left as it was"


def test_published_weights_are_for_backbones_by_name(tmp_path):
    with pytest.raises(ValueError, match="your function decides on its weights"):
        compared(tmp_path / "out", pretrained=True)


@pytest.mark.slow
def test_a_backbone_by_name_takes_own_datasets_of_one_channel(tmp_path):
    class Grey(Spots):
        def __getitem__(self, i):
            image, label = super().__getitem__(i)
            return image[:1].repeat(1, 2, 1)[:, :28], label

    found = compared(tmp_path, (Grey(22, 0), Grey(13, 1)), backbone="test_resnet", after=("layer2.*.bn2",), epochs=1)
    assert found.run["image_size"] == 28
    from regard.saved.opening import open_network

    opened = open_network(weights=tmp_path / "trials" / Trial("se(reduction=2)", 0).folder)
    assert opened.channels == 1 and opened.size == (28, 28) and opened.trained


# ---- processes


@pytest.mark.slow
@pytest.mark.slow
def test_worker_processes_give_what_this_process_gives(finished, tmp_path):
    out = tmp_path / "out"
    compared(out, workers=2)
    ours, theirs = ({record.row: record for record in Folder(path).records()} for path in (out, finished[0]))
    for row, record in ours.items():
        assert (record.score, record.scores) == (theirs[row].score, theirs[row].scores)


def test_what_cannot_be_sent_stays_in_this_process(tmp_path):
    told = Told()
    found = compared(tmp_path / "one", backbone=lambda classes: Net(classes), workers=None, epochs=1, progress=told)
    assert any(phase.startswith("one process, because") and "cannot be pickled" in phase for phase in told.phases) or (
        torch.get_num_threads() == 1
    )
    assert len(found.records) == 3
    with pytest.raises(ValueError, match=r"workers=2: .*cannot be pickled.*workers=1 is accepted"):
        compared(tmp_path / "two", backbone=lambda classes: Net(classes), workers=2)


def test_a_session_without_a_file_has_no_workers(monkeypatch):
    class Interactive(Net):
        __module__ = "__main__"

    import sys

    monkeypatch.setattr(sys.modules["__main__"], "Interactive", Interactive, raising=False)
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    Interactive.__qualname__ = "Interactive"
    settings = Comparison(backbone=Interactive)
    images = OwnImages(Spots(4, 0), Spots(4, 1), name="own")
    assert running._unsendable(settings, images) == "the datasets or functions are defined in an interactive session"
    assert running._unsendable(Comparison(backbone=Net), images) is None
    assert running._unsendable(Comparison(), images) is None


# ---- another task


BRIGHTNESS = Measure("distance", "distance from the right brightness", higher_is_better=False, unit="levels")


class Distance:
    """Mean absolute difference."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.count = 0.0, 0

    def update(self, found: Tensor, wanted: Tensor) -> None:
        self.total, self.count = self.total + float((found - wanted).abs().mean(1).sum()), self.count + len(found)

    def compute(self) -> dict[str, float]:
        return {"distance": self.total / self.count}

    def merge_state(self, incoming_state: Distance) -> None:
        self.total, self.count = self.total + incoming_state.total, self.count + incoming_state.count


@dataclass(frozen=True)
class Brighten:
    """The mean of each of the image's channels, in levels of 0..255; a stand-in for any task that is no class."""

    classes: int = 3

    @property
    def measure(self) -> Measure:
        return BRIGHTNESS

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        found, wanted = self.answers(model, batch)
        return (found - wanted).abs().mean(), {}

    def metric(self) -> Distance:
        return Distance()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        return model(batch["image"]), batch["levels"]


@dataclass(frozen=True)
class BrightenEach(Brighten):
    """The same, which tells the measure of each image as well."""

    def each(self, found: Tensor, wanted: Tensor) -> Tensor:
        return (found - wanted).abs().mean(1)


class Levels(Spots):
    classes = None

    def __getitem__(self, i):
        image = self.images[i]
        return {"image": image, "levels": 255 * image.mean((1, 2))}


@pytest.fixture(scope="module")
def brightened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("task")
    data = Levels(22, 0), Levels(13, 1)
    return {
        each: compared(folder / str(each), data, task=BrightenEach() if each else Brighten(), seeds=2)
        for each in (True, False)
    }


def test_a_task_brings_its_own_measure(brightened):
    found = brightened[True]
    assert found.measure == BRIGHTNESS and found.run["classes"] == [] and found.run["chance"] is None
    for row in found.rows:
        own = [record for record in found.records if record.row == row.name]
        assert row.score.values == pytest.approx([record.scores["distance"] for record in own])
        assert row.score.mean > 1, "nothing is cut to a share"
        assert row.ece is None and row.score.low < row.score.mean < row.score.high
        assert [epoch["score"] for epoch in own[0].history][-1] == own[0].score
    text = str(found)
    assert "accuracy" not in text.lower() and "points" not in text and "levels" in text
    assert "commonest class" not in text and "no difference in distance from the right brightness remains" in text
    page = found.report().read_text(encoding="utf-8")
    assert "Distance from the right brightness against cost" in page and "Down is better" in page
    assert "accuracy" not in re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL).lower().replace(
        "accuracy without", ""
    )
    assert "✓ right" not in page and "Where they look" in page
    one, two = page.index("<section"), page.index('data-sort="score"')
    assert 'data-best="-1"' in page[one:two], "the table sorts the lowest first"


def test_without_a_measure_for_each_image_only_the_seeds_count(brightened):
    found = brightened[False]
    for row, other in zip(found.rows, brightened[True].rows, strict=True):
        assert row.score == statistics.over_seeds(row.score.values)
        assert row.score.values == pytest.approx(other.score.values, rel=1e-6)
    gains = [a - b for a, b in zip(found.rows[2].score.values, found.rows[0].score.values, strict=True)]
    assert found.rows[2].gain == statistics.over_seeds(gains)
    assert any("The luck of the test images is not in them" in sentence for sentence in found.sentences)


def test_a_measure_that_the_metric_does_not_have_is_named(tmp_path):
    class Misnamed(Brighten):
        measure = Measure("psnr", "PSNR")

    with pytest.raises(RuntimeError, match="the measure 'psnr' of the task is not in its metric: it has distance"):
        compared(tmp_path, (Levels(22, 0), Levels(13, 1)), task=Misnamed(), epochs=1)


def test_one_seed_without_scores_for_the_images_claims_nothing(tmp_path):
    data = Levels(22, 0), Levels(13, 1)
    found = compared(tmp_path, data, task=Brighten(), seeds=1)
    assert found.rows[2].gain.low == found.rows[2].gain.high != 0
    assert "no interval" in found.rows[2].verdict and "beyond noise" not in " ".join(found.sentences)


def test_a_classifier_by_its_errors_is_better_where_it_is_lower(tmp_path):
    found = compared(tmp_path, task=Classify(2, errors=True), epochs=1)
    wrong = np.load(tmp_path / "trials" / "none-0" / "images.npz")["score"]
    assert found.rows[0].score.mean == pytest.approx(found.records[0].scores["error"]) == pytest.approx(wrong.mean())
    assert not found.measure.higher_is_better and set(np.unique(wrong)) <= {0.0, 100.0}


def test_a_map_of_answers_is_explained_as_a_whole():
    from regard.comparing.looking import overall

    dense = nn.Conv2d(3, 4, 1)(torch.rand(2, *SIZE))
    torch.testing.assert_close(overall(dense), dense.mean((2, 3)).amax(1))
    single = torch.rand(2)
    assert torch.equal(overall(single), single)
    scores = torch.rand(2, 5)
    assert torch.equal(overall(scores), scores.amax(1))


# ---- what learns, and how


def test_a_frozen_backbone_stays_as_it_was(tmp_path):
    found = compared(tmp_path, freeze="backbone", identity=True, epochs=2)
    settings = Comparison(
        backbone=Net, attention=("se(reduction=2)",), after=("stage2.2",), identity=True, freeze="backbone"
    )
    images = OwnImages(Spots(22, 0), Spots(13, 1), name="own datasets")
    blueprint = building.survey(settings, images)
    for row in ("none", "plain", "se(reduction=2)"):
        before = building.build(settings, row, 0, images, blueprint).state_dict()
        after = load_file(tmp_path / "trials" / Trial(row, 0).folder / "model.safetensors")
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert {"head.weight", "head.bias"} <= changed
        assert all(name.startswith(("head.", "stage2.2.attention")) for name in changed), row
        assert (row == "none") == (not any("attention" in name for name in changed))
    assert "only the attention and the classifier learning" in found.sentences[0]
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["freeze"] == "backbone"


def test_freezing_needs_a_classifier_that_can_be_told(tmp_path):
    class Headless(Net):
        def forward(self, x):
            return self.stage2(self.stage1(x)).mean((2, 3))[:, :2]

        def __init__(self, classes):
            super().__init__(classes)
            del self.head

    with pytest.raises(ValueError, match="freeze='backbone': Headless has no layer of 2 outputs"):
        compared(tmp_path, backbone=Headless, freeze="backbone")
    assert not (tmp_path / "run.json").exists()


@pytest.mark.slow
def test_an_interrupted_trial_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "TELL_EVERY", 0)
    given = {"attention": "cbam(order=parallel, reduction=2)@stage1+stage2", "augment": "timm", "freeze": "backbone",
             "optimizer": "rmsprop", "epochs": 3, "after": None}  # fmt: skip

    class Impatient(Told):
        def step(self, trial, done, total):
            if trial.row not in ("none", "plain") and done == 6:  # in the second of three epochs of four steps
                raise KeyboardInterrupt

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    found = compared(whole, **given)
    with pytest.raises(KeyboardInterrupt):
        compared(parts, **given, progress=Impatient())
    row = found.rows[-1].name
    assert (parts / "trials" / Trial(row, 0).folder / "checkpoint.pt").exists()
    told = Told()
    again = compared(parts, **given, progress=told)
    assert told.missing == [f"{row}-0"]
    assert again.records[-1].scores == found.records[-1].scores
    one, two = (load_file(out / "trials" / Trial(row, 0).folder / "model.safetensors") for out in (whole, parts))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_every_row_sees_the_same_augmented_images(tmp_path):
    seen: dict[str, list[float]] = {}

    def augment(sample, generator):
        image = sample["image"] + 0.1 * torch.rand(1, generator=generator)
        seen.setdefault("all", []).append(float(image.sum()))
        return {**sample, "image": image}

    compared(tmp_path, augment=augment, epochs=2)
    rows = np.array(seen["all"]).reshape(3, 2, 22)
    assert (rows == rows[0]).all() and not np.array_equal(rows[0, 0], rows[0, 1])
    assert len(set(rows[0].ravel())) == 44
