"""The command line: what it prints, and how it fails."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer
from PIL import Image
from safetensors.torch import save_file

from regard import catalog, cli

OWN = """
import torch
from regard.core import Attention

class Sound(Attention):
    maps = {"gate": "B C 1 1"}

    def __init__(self, width=6):
        super().__init__()
        self.mix = torch.nn.Linear(width, width)

    def forward(self, x):
        return x * self.see("gate", self.mix(x.mean((2, 3))).sigmoid()[:, :, None, None])

class Leaky(Sound):
    def forward(self, x):
        return x * self.see("gate", self.mix(x.mean((2, 3))).softmax(0)[:, :, None, None])
"""


def run(*words: object) -> int:
    """The exit code of one command in this process."""
    try:
        cli.main([str(word) for word in words])
    except SystemExit as end:
        return end.code or 0
    return 0


def fails(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line with which a command fails; before it there may be what the command was doing."""
    assert run(*words) != 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.startswith("regard: ") for line in lines] == [False] * (len(lines) - 1) + [True], lines
    return lines[-1]


def commands() -> list[tuple[str, ...]]:
    group = typer.main.get_command(cli.app)
    found = []
    for name, command in group.commands.items():
        found += [(name, below) for below in getattr(command, "commands", ())] or [(name,)]
    return found


def test_the_commands() -> None:
    """The surface is pinned: a new command or a lost one is seen here."""
    assert set(commands()) == {
        ("list",), ("show",), ("look",), ("check",), ("compare",), ("published", "list"), ("published", "convert"),
        ("recipes",), ("train",), ("eval",), ("gaze",),
    }  # fmt: skip


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_help_has_an_example(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"Example: regard {' '.join(words)}" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == "regard 0.1.0\n"


def test_list_as_json_has_every_entry_and_fact(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [entry.name for entry in catalog.entries()]
    se = next(row for row in rows if row["name"] == "se")
    assert se["url"] == "https://arxiv.org/abs/1709.01507"
    assert se["maps"] == {"channel": "B C 1 1"} and se["inputs"] == ["B C H W"] and se["drop_in"] is True


def test_list_narrows(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--domain", "self", "--soft", "--since", "2018", "--json") == 0
    assert "nonlocal" in {row["name"] for row in json.loads(capsys.readouterr().out)}
    assert run("list", "--domain", "channel") == 0
    text = capsys.readouterr().out
    assert "cbam" in text
    assert "nonlocal" not in text
    assert run("list", "--since", "2999") == 0
    assert "Nothing" in capsys.readouterr().out


def test_list_with_a_wrong_domain(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "list", "--domain", "chanel") == "regard: no domain 'chanel'; did you mean channel or scale?"


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "cbam") == 0
    text = capsys.readouterr().out
    for part in ("arXiv:1807.06521", "M_c = σ(", "Deviations:", "B 1 H W", "parameters"):
        assert part in text
    assert run("show", "se", "--json") == 0
    # two 1x1 convolutions with biases and the default reduction of 16
    assert json.loads(capsys.readouterr().out)["cost"]["parameters"] == 256 * 16 + 16 + 16 * 256 + 256


@pytest.mark.parametrize("entry", [entry.name for entry in catalog.entries()])
def test_show_knows_every_entry(entry: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", entry) == 0
    assert entry in capsys.readouterr().out


def test_show_with_a_wrong_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "show", "cbamm").startswith("regard: no entry 'cbamm'; did you mean cbam")


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "a photo.png"
    Image.effect_noise((90, 70), 60).convert("RGB").save(path)
    return path


def test_look_says_that_the_attention_is_untrained(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["look", photograph, "--with", "cbam", "--on", "test_resnet", "--image-size", 64, "--out", tmp_path / "o"]
    assert run(*words) == 0
    text = capsys.readouterr().out
    assert "untrained" in text
    with Image.open(tmp_path / "o" / "a photo-cbam.png") as sheet:
        assert sheet.width > 600
    assert run(*words) == 0  # nothing is overwritten
    assert (tmp_path / "o" / "a photo-cbam-2.png").is_file()


def test_look_with_trained_weights(photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import timm

    from regard import attach

    model = attach(timm.create_model("test_resnet", num_classes=7), "se", example=torch.zeros(1, 3, 64, 64))
    save_file(model.state_dict(), tmp_path / "trained.safetensors")
    words = ["look", photograph, "--with", "se", "--on", "test_resnet", "--image-size", 64, "--out", tmp_path / "o"]
    assert run(*words, "--weights", tmp_path / "trained.safetensors") == 0
    assert "untrained" not in capsys.readouterr().out
    backbone_only = {key: value for key, value in model.state_dict().items() if ".attention" not in key}
    save_file(backbone_only, tmp_path / "backbone.safetensors")
    assert run(*words, "--weights", tmp_path / "backbone.safetensors") == 0
    assert "untrained" in capsys.readouterr().out
    save_file({"other.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    assert "the model has no other.weight" in fails(capsys, *words, "--weights", tmp_path / "other.safetensors")


def test_an_argument_of_a_system_may_have_the_name_of_an_option(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["look", photograph, "--with", "saliency_net", "--image-size", 48, "--out", tmp_path / "o"]
    assert run(*words, "--kwargs", '{"backbone": "test_efficientnet", "width": 4}') == 0
    assert "untrained" in capsys.readouterr().out and (tmp_path / "o" / "a photo-saliency_net.png").is_file()


def test_look_with_wrong_input(photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["look", photograph, "--with", "se", "--out", tmp_path / "o"]
    assert "did you mean" in fails(capsys, *words, "--on", "resnet1888")
    assert "no entry 'see'" in fails(capsys, "look", photograph, "--with", "see", "--on", "test_resnet")
    (tmp_path / "text.png").write_text("not an image")
    assert "text.png" in fails(capsys, "look", tmp_path / "text.png", "--with", "se", "--on", "test_resnet")
    assert "absent.png" in fails(capsys, "look", tmp_path / "absent.png", "--with", "se", "--on", "test_resnet")
    wrong = fails(capsys, *words, "--on", "test_resnet", "--image-size", 64, "--after", "no.such.module")
    assert "no.such.module" in wrong
    assert not (tmp_path / "o").exists()


def test_check_on_a_users_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own_attention.py").write_text(OWN)
    target = f"{tmp_path / 'own_attention.py'}:Sound"
    laws = ["--law", "shapes", "--law", "batch_independent", "--law", "keeps_state", "--law", "shows_declared_maps"]
    assert run("check", target, "--kwargs", '{"width": 8}', *laws) == 0
    assert capsys.readouterr().out.strip() == "4 of 4 laws kept, 0 broken"
    assert run("check", f"{tmp_path / 'own_attention.py'}:Leaky", *laws) == 1
    text = capsys.readouterr().out
    assert "Leaky breaks batch_independent" in text
    assert "3 of 4 laws kept, 1 broken" in text


def test_check_with_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own_module.py").write_text(OWN)
    assert "no class 'Sonud'; did you mean Sound" in fails(capsys, "check", f"{tmp_path / 'own_module.py'}:Sonud")
    assert "no file" in fails(capsys, "check", f"{tmp_path / 'absent.py'}:Sound")
    assert "is not JSON" in fails(capsys, "check", "se", "--kwargs", "{channels: 3}")
    assert "has to be a JSON object" in fails(capsys, "check", "se", "--kwargs", "[3]")
    assert "no law 'shape'; did you mean shapes" in fails(capsys, "check", "se", "--law", "shape")
    (tmp_path / "broken_module.py").write_text("import no_such_package")
    assert "cannot be imported: ModuleNotFoundError" in fails(capsys, "check", f"{tmp_path / 'broken_module.py'}:X")


def test_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("published", "list") == 0
    everything = capsys.readouterr().out
    assert "se/moskomule.senet.pytorch/SELayer (channel, reduction=16) -> se" in everything
    assert run("published", "list", "cbam") == 0
    assert set(re.findall(r"-> (\w+)", capsys.readouterr().out)) == {"cbam"}
    torch.save({"se.fc.0.weight": torch.zeros(2, 8), "se.fc.2.weight": torch.zeros(8, 2)}, tmp_path / "a.pth")
    words = ["published", "convert", tmp_path / "a.pth", tmp_path / "b.safetensors", "--prefix", "se.",
             "--args", '{"channel": 8, "reduction": 4}']  # fmt: skip
    assert run(*words, "--reference", "se/moskomule.senet.pytorch/SELayer") == 0
    assert "SqueezeExcite, 2 tensors" in capsys.readouterr().out
    assert "exists; choose another name" in fails(capsys, *words, "--reference", "se/moskomule.senet.pytorch/SELayer")
    words[3] = tmp_path / "c.safetensors"
    assert "nearest:" in fails(capsys, *words, "--reference", "se/moskomule/SELayer")
    assert not words[3].exists()


def test_compare_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from skimage import data

    for split, count in (("train", 6), ("val", 4)):
        for name, picture in (("cat", data.chelsea()), ("astronaut", data.astronaut()), ("coffee", data.coffee())):
            place = tmp_path / "photos" / split / name
            place.mkdir(parents=True)
            for i in range(count):
                start = 20 * i
                Image.fromarray(picture[start : start + 150, start : start + 150]).save(place / f"{i}.png")
    (tmp_path / "photos" / "train" / "cat" / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    words = ["compare", tmp_path / "photos", "--attention", "none,se,cbam", "--backbone", "test_resnet",
             "--image-size", 48, "--epochs", 1, "--seeds", 1, "--workers", 1, "--out", tmp_path / "out"]  # fmt: skip
    assert run(*words) == 0
    said = capsys.readouterr()
    assert all(name in said.out for name in ("none", "plain", "se", "cbam"))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "broken.jpg" in page
    before = (tmp_path / "out" / "results.jsonl").read_text()
    assert len(before.splitlines()) == 4
    assert run(*words) == 0  # the same command goes on, and here has nothing left to do
    assert (tmp_path / "out" / "results.jsonl").read_text() == before
    capsys.readouterr()
    assert "epochs" in fails(
        capsys, *[2 if word == 1 and words[i - 1] == "--epochs" else word for i, word in enumerate(words)]
    )


def test_compare_with_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ways = {
        ("--attention", "se,ecaa"): "no entry 'ecaa'; did you mean eca",
        ("--backbone", "test_resnett"): "did you mean",
        ("--after", "no.such.*"): "no.such.*",
        ("--epochs", "0"): "epochs=0",
    }
    for words, message in ways.items():
        given = {"--attention": "se", "--backbone": "test_resnet", "--out": tmp_path / "o", "--image-size": 48}
        given[words[0]] = words[1]
        line = fails(capsys, "compare", "digits", *[word for pair in given.items() for word in pair])
        assert message in line, line
    assert "did you mean 'digits'" in fails(capsys, "compare", "digts", "--out", tmp_path / "o")


def test_an_error_is_one_line_and_debug_shows_the_traceback() -> None:
    words = [sys.executable, "-m", "regard", "show", "cbamm"]
    short = subprocess.run(words, capture_output=True, text=True, check=False)
    assert short.returncode == 1
    assert "Traceback" not in short.stderr
    assert len(short.stderr.strip().splitlines()) == 1
    long = subprocess.run([*words, "--debug"], capture_output=True, text=True, check=False)
    assert long.returncode == 1
    assert "Traceback" in long.stderr
    assert "LookupError" in long.stderr


def test_a_wrong_option_is_told_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--domian", "channel") == 2
    assert "--domian" in capsys.readouterr().err
