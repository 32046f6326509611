"""Search fixations of COCO-Search18 in their published layout, and class-conditional maps against them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import ImageNetInfo
from torch import Tensor, nn

from regard import backbones, cli
from regard.data import searches
from regard.looking import gaze, searching
from regard.saved.opening import Network

DISPLAY = (168, 105)  # a tenth of the published images
KINDS = ("microwave", "stop sign")
COLOURS = {"microwave": (230, 20, 20), "stop sign": (20, 20, 230)}
PLACES = {"microwave": ((30, 25), (140, 80), (36, 84)), "stop sign": ((132, 22), (28, 80), (84, 30))}


def trial(name: str, task: str, subject: int, points: list[tuple[float, float]], **changed: object) -> dict:
    x, y = zip(*points, strict=True)
    return {
        "name": name, "subject": subject, "task": task, "condition": "present", "bbox": [1, 2, 3, 4], "X": list(x),
        "Y": list(y), "T": [200] * len(x), "length": len(x), "correct": 1, "RT": 900, "split": "train",
    } | changed  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photographs of each of two kinds, with spots of both colours; three searchers look at its own."""
    draw = np.random.default_rng(0)
    trials = []
    for kind, other in (KINDS, KINDS[::-1]):
        place = tmp_path / "coco_search18_images_TP" / kind
        place.mkdir(parents=True)
        for i, at in enumerate(PLACES[kind]):
            pixels = np.full((DISPLAY[1], DISPLAY[0], 3), 128, np.uint8)
            for colour, (x, y) in ((COLOURS[kind], at), (COLOURS[other], PLACES[other][i])):
                pixels[y - 9 : y + 10, x - 9 : x + 10] = colour
            name = f"{i:012}.jpg"  # the same names for both kinds
            Image.fromarray(pixels).save(place / name, quality=95)
            for subject in (1, 2, 3):
                points = [(840.0, 525.0), *(10 * draw.normal(at, 2, (4, 2))).tolist()]
                trials.append(trial(name, kind, subject, points))
    trials[1] |= {"correct": 0}
    trials[2] |= {"split": "valid"}
    (tmp_path / "fixations").mkdir()
    (tmp_path / "fixations" / "coco_search18_fixations_TP_train_split1.json").write_text(json.dumps(trials))
    (tmp_path / "fixations" / "coco_search18_fixations_TP_train_split2.json").write_text(json.dumps(trials))
    return tmp_path


def test_coco_search18_as_it_is_published(folder: Path) -> None:
    found = searches.read(folder)
    assert [(one.task, one.viewed.path.name, one.present) for one in found] == [
        (kind, f"{i:012}.jpg", True) for kind in KINDS for i in range(3)
    ]
    assert [len(one.viewed.viewers) for one in found] == [2, 3, 3, 3, 3, 3], "one answer was wrong"
    assert found[0].viewed.path.parent.name == "microwave"
    for one in found:
        at = PLACES[one.task][int(one.viewed.path.stem)]
        assert len(one.viewed.points) == 4 * len(one.viewed.viewers), "the first fixation is the cross"
        assert np.abs(one.viewed.points.mean(0) - at).max() < 2 and (one.viewed.width, one.viewed.height) == DISPLAY
    assert len(searches.read(folder, task="stop sign")) == 3
    (first, *_) = searches.read(folder, part="val")
    assert first.task == "microwave" and len(first.viewed.viewers) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": [1.0]}, r"split1\.json\[0\]: lists X and Y of finite numbers, of one length"),
        ({"Y": "nothing"}, "numbers X and Y are needed"),
        ({"name": "other.jpg"}, "no image 'other.jpg' of the task 'microwave'"),
        ({"task": 3}, "name and task need texts"),
    ],
)
def test_damaged_trials_are_named(folder: Path, change: dict, message: str) -> None:
    file = folder / "fixations" / "coco_search18_fixations_TP_train_split1.json"
    content = json.loads(file.read_text())
    content[0] |= change
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        searches.read(folder)


def test_folders_without_searches_say_what_is_missing(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(LookupError, match="task='fork': microwave, stop sign are there"):
        searches.read(folder, task="fork")
    with pytest.raises(ValueError, match="no correct trial"):
        searches.read(folder, condition="absent")
    with pytest.raises(ValueError, match="condition='both'"):
        searches.read(folder, condition="both")
    with pytest.raises(ValueError, match="trials of COCO-Search18"):
        searches.read(tmp_path_factory.mktemp("empty"))
    Image.new("RGB", (50, 50)).save(folder / "coco_search18_images_TP" / "microwave" / f"{0:012}.jpg")
    with pytest.raises(ValueError, match="has 50×50: the published images, which fill 1680×1050"):
        searches.read(folder)
    file = folder / "fixations" / "coco_search18_fixations_TP_train_split1.json"
    file.write_text('[{"name": "a.jpg"}]')
    with pytest.raises(ValueError, match=r"\[0\]: a trial needs subject, task, condition, X, Y, correct, split"):
        searches.read(folder)


class Explained(nn.Module):
    """A classifier of red and of blue, each by its mean over the image."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = Split()

    def forward(self, x: Tensor) -> Tensor:
        return self.colours(x).mean((2, 3))


class Split(nn.Module):
    """The strength of red and of blue at each place."""

    def forward(self, x: Tensor) -> Tensor:
        red, green, blue = nn.functional.avg_pool2d(x, 7).unbind(1)
        return torch.stack(((red - torch.maximum(green, blue)).relu(), (blue - torch.maximum(red, green)).relu()), 1)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def use(names: tuple[str, ...]) -> None:
        network = Network(
            entry=None, model=Explained().eval(), trained=True, name="colours", size=(63, 98), class_names=names
        )
        monkeypatch.setattr(searching, "open_network", lambda *args, **kwargs: network)

    return use


def test_the_map_of_the_target_beats_its_controls(folder: Path, opened: Callable[..., None]) -> None:
    opened(("microwave", "stop_sign"))
    told: list[tuple[int, int]] = []
    found = searching.search(folder, backbone="any", layer="colours", side=80, on_image=lambda *x: told.append(x))
    rows = {row.name: row for row in found.rows}
    assert list(rows) == [
        gaze.CENTRE, gaze.CEILING, searching.TARGET, searching.ELSEWHERE, searching.OF_TASK, searching.ANOTHER,
        searching.PREDICTED,
    ]  # fmt: skip
    assert told[-1] == (6, 6) and found.without == ()
    assert rows[searching.TARGET].mean("nss") > 3
    assert rows[gaze.CEILING].mean("nss") > 3
    for control in (gaze.CENTRE, searching.ELSEWHERE, searching.OF_TASK, searching.ANOTHER):
        assert rows[control].mean("nss") < 0.5, control
    alone = searching.search(folder, task="microwave", backbone="any", layer="colours", side=80)
    assert len(alone.images) == 3
    assert alone.rows[2].values["nss"].tolist() == pytest.approx(rows[searching.TARGET].values["nss"][:3].tolist())


def test_a_class_of_another_name_is_given(folder: Path, opened: Callable[..., None]) -> None:
    opened(("red", "blue"))
    with pytest.raises(LookupError, match="task='microwave': colours has no such class; name one by classes="):
        searching.search(folder, task="microwave", backbone="any", layer="colours", side=80)
    with pytest.raises(LookupError, match="colours has no class for microwave, stop sign"):
        searching.search(folder, backbone="any", layer="colours", side=80)
    found = searching.search(folder, backbone="any", layer="colours", side=80, classes={"microwave": "red"})
    assert found.without == ("stop sign",) and len(found.images) == 3
    assert searching.ANOTHER not in {row.name for row in found.rows}, "there is no other target"
    both = searching.search(
        folder, backbone="any", layer="colours", side=80, classes={"microwave": 0, "stop sign": ["blue"]}
    )
    assert both.without == () and {row.name: row for row in both.rows}[searching.TARGET].mean("nss") > 3
    with pytest.raises(LookupError, match="no such class"):
        searching.search(
            folder, backbone="any", layer="colours", side=80, classes={"microwave": "reed", "stop sign": 1}
        )


def test_every_kind_but_the_fork_has_a_class_of_imagenet() -> None:
    info = ImageNetInfo("imagenet-1k")
    names = tuple(info.index_to_description(number).partition(",")[0] for number in range(1000))
    for kind, listed in searching.IMAGENET.items():
        assert all(names.count(name) == 1 for name in listed), kind
        assert searching.given_classes(kind, names, {}) == tuple(names.index(name) for name in listed)
    assert searching.given_classes("microwave", names, {}) == (651,) and searching.given_classes(
        "mouse", names, {}
    ) == (673,)
    assert searching.given_classes("fork", names, {}) == ()
    assert searching.given_classes("fork", names, {"fork": ["spatula", 3]}) == (names.index("spatula"), 3)
    assert searching.given_classes("cup", ("dog", "cup"), {}) == (1,)


@pytest.mark.slow
def test_the_command_scores_a_network_without_attention(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    torch.manual_seed(0)
    save_file(backbones.build("test_resnet", classes=1000).state_dict(), tmp_path / "trunk.safetensors")
    words = ["gaze", folder, "--task", "all", "--on", "test_resnet", "--weights", tmp_path / "trunk.safetensors"]
    words += ["--image-size", "64"]
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in (*words, "--json")])
    assert not end.value.code
    found = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in found["rows"]][2:] == [
        searching.TARGET, searching.ELSEWHERE, searching.OF_TASK, searching.ANOTHER, searching.PREDICTED
    ]  # fmt: skip
    assert found["trained"] and found["without"] == [] and len(found["images"]) == 6
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in (*words[:2], *words[4:], "--layer", "layer1")])
    assert end.value.code and "accepted with --task" in capsys.readouterr().err
