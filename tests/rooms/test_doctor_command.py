"""`regard doctor`: a user's file, trained weights, photographs with and without classes, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import regard
from regard import cli
from regard.examining import photographs
from regard.examining.photographs import Preparation

OWN = """
import torch
from torch import nn
import regard

class Gate(regard.Attention):
    maps = {"gate": "B C 1 1"}

    def __init__(self, channels, leaky):
        super().__init__()
        self.score, self.leaky = nn.Linear(channels, channels), leaky

    def forward(self, x):
        squeezed = x.mean((2, 3))
        squeezed = squeezed - squeezed.mean(0) if self.leaky else squeezed
        return x * self.see("gate", self.score(squeezed).sigmoid()[:, :, None, None])

def build(leaky=False, classes=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 11, 5, stride=4), nn.ReLU(), Gate(11, leaky), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(11, classes),
    )

number = 5
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a user's file and seven photographs in three class folders."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_network.py").write_text(OWN)
    noise = np.random.default_rng(0)
    for i in range(7):
        file = tmp_path / "photos" / "abc"[i % 3] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (31, 37, 3), dtype=np.uint8)).save(file)
    return tmp_path


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    assert isinstance(end.value.code, int)
    return end.value.code


def fails(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert run(*words) != 0
    return " ".join(capsys.readouterr().err.split())


FEW = ["--image-size", 29, "--check", "batch leakage", "--check", "saturated*", "--check", "no worse*"]


def test_a_users_network_is_examined(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "own_network.py:build", "--images", "photos", *FEW) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "build: 0 errors, 0 warnings" in text
    assert text.endswith("3 checks on 1 map and 7 images; loss: cross-entropy with the 3 class folders")
    leaky = ["--kwargs", '{"leaky": true}', "--out", "page.html"]
    assert run("doctor", "own_network.py:build", "--images", "photos", *FEW, *leaky) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "error batch leakage 2/gate" in text
    assert "A softmax, a norm or a mean runs over the batch axis" in text
    assert "written: page.html" in text
    assert "batch leakage" in (place / "page.html").read_text(encoding="utf-8")


def test_json_and_fewer_photographs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--kwargs", '{"leaky": true, "classes": 2}', "--json", "--limit", 4]
    assert run("doctor", "own_network.py:build", "--images", "photos", *FEW, *words) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == 4
    assert told["unasked"] == {"no worse with an even map": "no loss is given"}  # two scores, three classes
    assert [(one["severity"], one["place"]) for one in told["findings"]] == [("error", "2/gate")]


def test_wrong_words_are_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["doctor", "own_network.py:build", "--images", "photos"]
    assert "no file or folder 'absent'" in fails(capsys, "doctor", "own_network.py:build", "--images", "absent")
    assert "no function or class 'biuld'; did you mean build" in fails(
        capsys, "doctor", "own_network.py:biuld", "--images", "photos"
    )
    assert "own_network.py:number gives int: a torch.nn.Module is needed" in fails(
        capsys, "doctor", "own_network.py:number", "--images", "photos"
    )
    assert "own_network.py:build cannot be built: build() got an unexpected keyword" in fails(
        capsys, *own, "--kwargs", '{"leeky": true}'
    )
    assert "--on: leave it out, or own_network.py:build: both name a network" in fails(capsys, *own, "--on", "resnet18")
    assert "no network is named" in fails(capsys, "doctor", "--images", "photos")
    assert "no check 'batch'; did you mean" in fails(capsys, *own, "--check", "batch")
    (place / "empty").mkdir()
    assert "empty holds no images" in fails(capsys, "doctor", "own_network.py:build", "--images", "empty")


@pytest.mark.slow
def test_trained_weights_and_a_mechanism_on_a_backbone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model = regard.create_model("test_resnet", attention="se", num_classes=3, image_size=64)
    regard.save(model, place / "model.safetensors")
    few = ["--check", "batch leakage", "--check", "not finite", "--image-size", 64]
    assert run("doctor", "--weights", "model.safetensors", "--images", "photos", *few) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "loss: cross-entropy with the 3 class folders" in text
    assert "Random weights" not in text
    assert run("doctor", "--with", "eca", "--on", "test_resnet", "--images", "photos/a/0.png", *few) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Random weights: the whole network is untrained." in text
    assert "not asked: batch leakage: the batch has one image; two or more are needed" in text
    assert text.endswith("and 1 image; no loss: one image has no class folder")


def test_files_are_evenly_spaced(place: Path) -> None:
    found = photographs.files(place / "photos", 3)
    assert [path.relative_to(place).as_posix() for path in found] == [
        "photos/a/0.png",
        "photos/b/1.png",
        "photos/c/5.png",
    ]
    assert photographs.files(place / "photos" / "a" / "0.png", 3) == [place / "photos" / "a" / "0.png"]


def test_grey_networks_get_grey_images(place: Path) -> None:
    preparation = Preparation.of(torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3)), 17)
    assert preparation.batch(photographs.files(place / "photos", 2)).shape == (2, 1, 17, 17)
    with pytest.raises(ValueError, match=r"the network takes 5 channels: 3, or 1 for grey, are needed"):
        Preparation.of(torch.nn.Conv2d(5, 3, 3), None)
