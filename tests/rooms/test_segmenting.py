"""Comparing segmentation heads, and looking through segmentation networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

import regard
from regard.catalog.rows import NONE, PLAIN
from regard.cli import main
from regard.comparing import Comparison, compare, kinds, label_maps, statistics
from regard.comparing import trial as trials
from regard.comparing.label_maps import LabelledImages
from regard.data.far_cue import far_cue
from regard.data.label_names import PALETTE_CLASSES
from regard.looking.segmenting import colours_of, true_labels
from regard.metrics.segmentation import Segmentation
from regard.viewing.label_maps import WRONG, different, over, with_legend

SIDES = (16, 20)  # height and width


def command(words: list[str]) -> int:
    """The exit code of a command in this process."""
    try:
        main(words)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


class Halves(Dataset[Mapping[str, Tensor]]):
    """Images whose left or right part is bright, 1 in the label map; the last row is void."""

    classes = ("dark", "bright")

    def __init__(self, count: int, seed: int) -> None:
        self.random = np.random.default_rng(seed).integers(3, 17, size=count).tolist()

    def __len__(self) -> int:
        return len(self.random)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        mask = torch.zeros(SIDES, dtype=torch.uint8)
        mask[:, : self.random[i]] = 1
        image = 0.2 + 0.6 * mask.float().expand(3, -1, -1)
        mask[-1] = 255
        return {"image": image, "mask": mask}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with trials.threads(1):
        yield


@pytest.fixture
def images() -> LabelledImages:
    return LabelledImages(Halves(5, 0), Halves(3, 1), name="halves")


# ---- settings and data


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"task": "segmentation"}, "task='segmentation': segment"),
        ({"task": "segment", "backbone": lambda classes: None}, "backbone: the name of a network of timm's"),
        ({"task": "segment", "identity": True}, "identity=True"),
        ({"task": "segment", "augment": "timm"}, "augment='timm': none, light"),
        ({"task": "segment", "after": ("layer4",)}, "after="),
        ({"attention": ("ocr",)}, "what makes one map"),
    ],
)
def test_settings_that_do_not_go_together_are_named(wrong, said) -> None:
    with pytest.raises(ValueError, match=said):
        Comparison(**wrong)


def test_heads_are_rows_of_a_segmentation_alone() -> None:
    settings = Comparison(task="segment", attention=("ocr", "cca(recurrence=2)", "se@layer4"))
    assert settings.attention == (NONE, PLAIN, "ocr", "cca(recurrence=2)", "se@layer4")
    assert settings.facts()["task"] == "segment" and Comparison().facts()["task"] is None


def test_label_maps_are_counted_and_checked(images) -> None:
    assert images.classes == ("dark", "bright")
    parts = (images.train, images.test)
    masks = [torch.stack([part[i]["mask"] for i in range(len(part))]) for part in parts]
    there = [int((mask == label).sum()) for mask in masks for label in (0, 1)]
    assert images.train.pixels[:2].tolist() == there[:2]
    assert images.test.pixels[255] == 3 * SIDES[1]
    assert images.chance == max(there[2:]) / (3 * 15 * 20) / 2
    assert images.test.images_of(2) == [3, 3]


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (None, "has a mask of NoneType"),
        (torch.zeros(16, 20), r"has a mask of torch.float32 \(16, 20\)"),
        (torch.zeros(20, 16, dtype=torch.uint8), r"has a mask of torch.uint8 \(20, 16\): whole numbers \(16, 20\)"),
        (torch.full(SIDES, 256), "has the label 256: 0 to 255"),
        (torch.zeros(SIDES, dtype=torch.uint8), "at least two classes are needed"),
    ],
)
def test_samples_without_a_fitting_mask_are_named(mask, said) -> None:
    sample = {"image": torch.zeros(3, *SIDES), **({} if mask is None else {"mask": mask})}
    with pytest.raises(ValueError, match=said):
        LabelledImages([sample], [sample], name="wrong")


def test_fewer_names_than_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="classes: 1 names for labels up to 1: 2 are needed"):
        LabelledImages(Halves(2, 0), Halves(2, 1), name="halves", classes=("one",))


def test_arguments_that_label_maps_do_not_take_are_named() -> None:
    for given, classes, said in (
        ({"source": "digits"}, None, "source='digits': it has no label maps; far-cue"),
        ({"source": "far-cue", "regions": "boxes.csv"}, None, "regions='boxes.csv'"),
        ({"source": "far-cue"}, ("a", "b"), "classes="),
    ):
        settings = Comparison(task="segment", attention=("pam",), **given)
        with pytest.raises(ValueError, match=said):
            label_maps.load(settings, None, classes, lambda done, total: None)


def test_images_of_a_folder_keep_their_proportions() -> None:
    assert label_maps.shape((360, 480), 128) == (96, 128)
    assert label_maps.shape((1, 500), 100) == (1, 100)


# ---- statistics


def counted(seeds: int = 2, images: int = 7, classes: int = 3) -> np.ndarray:
    """Pixels that are right, true and predicted, of predictions that are right half of the time."""
    random = torch.Generator().manual_seed(0)
    found = []
    for _ in range(seeds):
        truths = torch.randint(classes, (images, 5, 5), generator=random)
        said = torch.where(torch.rand(truths.shape, generator=random) < 0.5, truths, (truths + 1) % classes)
        truths[:, 0] = 255
        found.append(label_maps.counts([*said], [*truths], classes).numpy())
    return np.stack(found)


def test_counts_are_those_of_the_metric() -> None:
    pixels = counted(seeds=1)
    random = torch.Generator().manual_seed(0)
    truths = torch.randint(3, (7, 5, 5), generator=random)
    said = torch.where(torch.rand(truths.shape, generator=random) < 0.5, truths, (truths + 1) % 3)
    truths[:, 0] = 255
    metric = Segmentation(3)
    metric.update([*said], [*truths])
    pooled = statistics.Pooled(pixels)
    assert pooled.mean().mean == pytest.approx(metric.compute()["miou"], abs=1e-12)
    for number, iou in enumerate(metric.iou):
        assert pooled.of_class(number).mean == pytest.approx(iou, abs=1e-12)


def test_the_interval_of_miou_is_the_wider_of_seeds_and_bootstrap() -> None:
    pixels = counted()
    one = statistics.Pooled(pixels[:1]).mean()
    assert one.low < one.mean < one.high, "one seed has the luck of the images"
    alike = statistics.Pooled(np.repeat(pixels[:, :1], 40, 1)).mean()
    shares = statistics.overlap(pixels[:, 0].astype(float)).mean(1)
    expected = statistics.over_seeds(shares.tolist(), floor=0, ceiling=1)
    assert (alike.low, alike.high) == pytest.approx((expected.low, expected.high)), "images that are alike have none"


def test_the_gain_in_miou_is_paired_by_seed_and_image() -> None:
    pixels = counted()
    ours, same = statistics.Pooled(pixels), statistics.Pooled(pixels)
    nothing = ours.gain(same)
    assert (nothing.mean, nothing.low, nothing.high) == (0, 0, 0)
    worse = pixels.copy()
    worse[..., 0] = worse[..., 0] // 2
    gain = ours.gain(statistics.Pooled(worse))
    assert gain.mean > 0 and gain.high - gain.low < 2 * (ours.mean().high - ours.mean().low)
    of_class = ours.of_class(1, statistics.Pooled(worse))
    assert of_class is not None and of_class.mean > 0


def test_a_class_that_never_occurs_has_no_score_and_lowers_no_mean() -> None:
    pixels = counted()
    more = np.concatenate([pixels, np.zeros_like(pixels[:, :, :1])], 2)
    assert statistics.Pooled(more).mean().mean == statistics.Pooled(pixels).mean().mean
    assert statistics.Pooled(more).of_class(3) is None


# ---- networks


@pytest.mark.slow
def test_every_row_starts_from_the_same_trunk_and_plain_is_as_large_as_the_largest(images) -> None:
    settings = Comparison(task="segment", attention=("pam", "ocr", "se@layer4"), seeds=2)
    kind = kinds.of(settings)
    blueprint = kind.survey(settings, images)
    assert blueprint.largest == "ocr"
    assert blueprint.added[PLAIN] == pytest.approx(blueprint.added["ocr"], rel=0.05)
    states = {row: kind.build(settings, row, 1, images, blueprint).state_dict() for row in settings.attention}
    trunk = [name for name in states[NONE] if name.startswith("trunk.")]
    assert trunk
    for state in states.values():
        assert all(torch.equal(state[name], states[NONE][name]) for name in trunk)
    other = kind.build(settings, NONE, 0, images, blueprint).state_dict()
    assert not all(torch.equal(other[name], states[NONE][name]) for name in trunk), "another seed is another start"
    learning = kind.learning("se@layer4", kind.build(settings, "se@layer4", 0, images, blueprint), blueprint, None)
    assert learning[0] == "head" and any(name.startswith("trunk.network.layer4") for name in learning[1:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("ocr@layer4", "attention='ocr@layer4': ocr is a head and takes no place"),
        ("ccnet(recurrence=1)", r"attention='ccnet\(recurrence=1\)'"),
        ("se@nowhere", "attention='se@nowhere'"),
    ],
)
def test_a_row_that_is_no_head_is_named(images, row, said) -> None:
    settings = Comparison(task="segment", attention=(row,))
    with pytest.raises((ValueError, LookupError), match=said):
        kinds.of(settings).survey(settings, images)


# ---- pictures of label maps


def test_a_label_map_over_a_photograph_leaves_void_and_shows_its_legend() -> None:
    grey = Image.new("RGB", (10, 6), (100, 100, 100))
    labels = torch.zeros(3, 5, dtype=torch.int64)
    labels[:, 2:] = 1
    labels[2] = 255
    drawn = np.asarray(over(grey, labels, [(0, 0, 0), (200, 0, 0)], opacity=0.5))
    assert drawn.shape == (6, 10, 3)
    assert (drawn[0, 0] == 50).all() and drawn[0, 9].tolist() == [150, 50, 50] and (drawn[5] == 100).all()
    whole = Image.new("RGB", (90, 7), (1, 2, 3))
    page = np.asarray(with_legend(whole, {"road": ((200, 0, 0), "60 %"), "a very long name": ((0, 0, 200), "")}))
    assert page.shape == (7 + 6 + 2 * 17, 90, 3) and (page[:7] == (1, 2, 3)).all()
    assert page[7 + 6 + 8, 8].tolist() == [200, 0, 0] and page[7 + 6 + 17 + 8, 8].tolist() == [0, 0, 200]


def test_the_difference_is_red_where_wrong_and_grey_where_void() -> None:
    grey = Image.new("RGB", (3, 1), (100, 100, 100))
    found = np.asarray(different(grey, torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 255]]))).astype(int)
    assert found[0, 0].tolist() == [100, 100, 100]
    assert abs(found[0, 1] - (0.25 * 100 + 0.75 * np.array(WRONG))).max() <= 1
    assert np.ptp(found[0, 2]) <= 6, "grey"


def test_true_labels_are_those_of_the_dataset_whose_classes_they_are(tmp_path: Path) -> None:
    photograph, labels = tmp_path / "photo.png", tmp_path / "photo_labelIds.png"
    Image.new("RGB", (3, 1)).save(photograph)
    for names, stored, expected in (
        (PALETTE_CLASSES["camvid"], [0, 10, 11], [0, 10, 255]),
        (PALETTE_CLASSES["cityscapes"], [7, 33, 0], [0, 18, 255]),
        (("one", "two"), [0, 1, 255], [0, 1, 255]),
    ):
        Image.fromarray(np.array([stored], dtype=np.uint8)).save(labels)
        assert true_labels(labels, photograph, names).tolist() == [expected]
    with pytest.raises(ValueError, match=r"photo_labelIds\.png: the label 2 "):
        Image.fromarray(np.array([[2, 0, 0]], dtype=np.uint8)).save(labels)
        true_labels(labels, photograph, ("one", "two"))
    Image.new("RGB", (4, 1)).save(photograph)
    Image.fromarray(np.array([[1, 0, 0]], dtype=np.uint8)).save(labels)
    with pytest.raises(ValueError, match=r"the labels have 3×1, and their image .* 4×1: one size is needed"):
        true_labels(labels, photograph, ("one", "two"))
    assert colours_of(PALETTE_CLASSES["camvid"])[0] == (128, 128, 128) and len(colours_of(("a", "b"))) == 2


# ---- the whole way


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    compare(
        far_cue(24, 10), task="segment", attention="pam, cca(recurrence=2), ocr", seeds=2, epochs=1, batch_size=8,
        out=out, patience=0.02,
    )  # fmt: skip
    return out


@pytest.mark.slow
def test_the_report_tells_of_miou_classes_and_label_maps(finished: Path) -> None:
    found = regard.comparing.result(finished)
    assert found.measure.name == "miou" and [row.name for row in found.rows][:2] == [NONE, PLAIN]
    for row in found.rows:
        scores = [record.score for record in found.records if record.row == row.name]
        assert row.score.values == pytest.approx(tuple(scores), abs=1e-9), "from all pixels, as the metric says"
        named = found.records[0].scores
        assert {f"iou/{found.run['classes'][i]}" for i in row.classes} >= {
            name for name in named if name == "iou/ground"
        }
    assert found.run["plain"]["largest"] == "ocr" and found.run["bare"] == "the plain head"
    page = found.report().read_text()
    assert "IoU of each class over the pixels of all test images" in page
    assert page.count('class="map labels"') == 10 * 5 and page.count('class="map truth"') == 10
    assert 'id="confusion"' not in page, "the script reads answers of classes from it"
    assert 'data-kind="labels"' in page and "rgb(" in page
    assert "in ordinary convolutions of a wider head" in str(found)


@pytest.mark.slow
def test_the_same_call_goes_on_and_other_label_maps_are_refused(finished: Path) -> None:
    again = {"task": "segment", "attention": "pam, cca(recurrence=2), ocr", "seeds": 2, "epochs": 1, "batch_size": 8}
    before = (finished / "results.jsonl").read_bytes()
    compare(far_cue(24, 10), out=finished, patience=0.02, **again)
    assert (finished / "results.jsonl").read_bytes() == before
    with pytest.raises(ValueError, match="was begun with other images"):
        compare(far_cue(24, 10, seed=1), out=finished, patience=0.02, **again)


@pytest.mark.slow
def test_every_trial_is_opened_and_drawn(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = far_cue(1, 1, 48)[1][0]
    pixels = (255 * sample["image"].permute(1, 2, 0).numpy()).round().astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "scene.png")
    Image.fromarray(sample["mask"].numpy()).save(tmp_path / "truth.png")
    folders = sorted((finished / "trials").iterdir())
    assert len(folders) == 5 * 2
    for folder in folders[::2]:
        looks = regard.look(
            tmp_path / "scene.png", weights=folder, at=(20, 30), truth=tmp_path / "truth.png", out=tmp_path / "looks"
        )
        assert looks.network == "segmenter" and not looks.untrained
        shares = dict(looks.predictions[0][1])
        assert set(shares) <= {"ground", "red", "green", "blue"} and 0.9 < sum(shares.values()) <= 1.0001
    place = str(tmp_path / "scene.png")
    words = ["look", place, "--weights", str(folders[0]), "--target", "red", "--out", str(tmp_path / "more")]
    assert command(words) == 0 and "scene-segmenter.png" in capsys.readouterr().out
    for wrong, said in (
        (["--at", "48,3"], "at=(48, 3): a pixel of"),
        (["--at", "a,b"], "--at='a,b': two whole numbers"),
        (["--truth", place], "scene.png"),
    ):
        assert command(["look", place, "--weights", str(folders[0]), *wrong]) != 0
        assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_the_command_compares_a_folder_of_label_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "street"
    for place in ("images", "labels"):
        (data / place).mkdir(parents=True)
    for i, sample in enumerate(Halves(15, 3)):
        pixels = (255 * sample["image"].permute(1, 2, 0).numpy()).round().astype(np.uint8)
        Image.fromarray(pixels).save(data / "images" / f"{i:02}.png")
        Image.fromarray(sample["mask"].numpy()).save(data / "labels" / f"{i:02}.png")
        if i == 14:
            break
    (data / "classes.txt").write_text("dark\nbright\n")
    words = ["compare", str(data), "--task", "segment", "--attention", "gc", "--seeds", "1", "--epochs", "1"]
    words += ["--image-size", "40", "--workers", "1", "--out", str(tmp_path / "run")]
    assert command(words) == 0
    found = regard.comparing.result(tmp_path / "run")
    assert found.run["image_size"] == [32, 40] and found.run["classes"] == ["dark", "bright"]
    assert "--task segment" in found.run["command"] and found.run["test_size"] == 3
    assert (tmp_path / "run" / "report.html").is_file()
    capsys.readouterr()
    assert command(["compare", str(data), "--task", "paint"]) != 0 and "--task" in capsys.readouterr().err
    assert command(["compare", "nowhere/", "--task", "segment"]) != 0
    assert "images/ and labels/" in " ".join(capsys.readouterr().err.split())
    assert command(["compare", "far-cue"]) != 0 and "--task segment" in " ".join(capsys.readouterr().err.split())
