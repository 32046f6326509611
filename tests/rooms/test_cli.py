"""The command line: what it prints, and how it fails."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import typer
from PIL import Image
from rich.console import Console
from safetensors.torch import save_file

from regard import catalog, cli, published
from regard.catalog import costs, recipes
from regard.cli import browsing, holding

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
        ("recipes",), ("train",), ("eval",), ("gaze",), ("translate",), ("regions",), ("doctor",), ("faithful",),
        ("serve",),
    }  # fmt: skip


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_help_has_an_example(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words, "--help") == 0
    text = capsys.readouterr().out
    assert f"Example: regard {' '.join(words)}" in " ".join(text.split())
    assert run(*words, "-h") == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("words", [(), ("published",)], ids=" ".join)
def test_groups_have_help_in_both_spellings(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("-h", "--help"):
        assert run(*words, option) == 0
        assert "Usage: regard" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == "regard 0.1.0\n"


def terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> io.StringIO:
    """What `regard list` and its like print on a terminal of that width."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(browsing, "out", console)
    return text


def names_of(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()]


def test_warnings_of_the_library_are_a_line_without_a_place(capsys: pytest.CaptureFixture[str]) -> None:
    others: list[str] = []
    show = cli._warned(lambda message, *_: others.append(str(message)))
    show(UserWarning("the folder is short"), UserWarning, str(Path(cli.__file__).parents[1] / "data" / "persons.py"), 3)
    show(UserWarning("theirs"), UserWarning, "elsewhere.py", 3)
    assert capsys.readouterr().err == "regard: the folder is short\n" and others == ["theirs"]


def test_list_as_json_has_every_entry_and_fact(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [entry.name for entry in catalog.entries()]
    se = next(row for row in rows if row["name"] == "se")
    assert se["url"] == "https://arxiv.org/abs/1709.01507"
    assert se["maps"] == {"channel": "B C 1 1"} and se["inputs"] == ["B C H W"] and se["attachable"] is True
    assert se["import"] == "regard.papers.senet.mechanism.SqueezeExcite"
    assert se["arguments"] == ["channels", "reduction", "hidden", "bias"]
    told = {field.name for field in fields(catalog.Entry)} - {"paper", "target", "kwargs", "sizes", "exported"}
    assert told <= se.keys()
    assert {field.name for field in fields(catalog.Paper)} - {"arxiv", "doi"} <= se.keys()


def test_list_is_one_line_an_entry_and_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    text = capsys.readouterr().out
    assert names_of(text) == [entry.name for entry in catalog.entries()]
    for line, entry in zip(text.splitlines(), catalog.entries(), strict=True):
        assert line.endswith(entry.summary)
        assert f" {entry.paper.year} {'•' if entry.drop_in else ' '} {'+'.join(entry.domains)} " in line
    assert "\x1b" not in text and "[" not in text.replace("[max", "")


def test_list_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = terminal(monkeypatch, 80)
    assert run("list") == 0
    *lines, empty, remark = text.getvalue().splitlines()
    assert names_of("\n".join(lines)) == [entry.name for entry in catalog.entries()]
    assert max(map(len, lines)) <= 80 and sum(line.endswith("…") for line in lines) > 20
    assert "se                   2018 • channel" in "\n".join(lines)
    assert not empty and remark.startswith("• can be attached")


def test_list_narrows(capsys: pytest.CaptureFixture[str]) -> None:
    ways: dict[tuple[str, ...], dict[str, object]] = {
        ("*eca*",): {"pattern": "*eca*"},
        ("--domain", "self", "--soft", "--since", "2018"): {"domain": "self", "soft": True, "since": 2018},
        ("--hard", "--until", "2016"): {"soft": False, "until": 2016},
        ("--domain", "channel+spatial"): {"domain": ("channel", "spatial")},
        ("--domain", "channel", "--domain", "spatial"): {"domain": "mixed"},
        ("--domain", "mixed", "--attachable"): {"mixed": True, "attachable": True},
        ("--not-attachable", "--task", "segmentation"): {"attachable": False, "task": "segmentation"},
        ("--acts-on", "image", "--kind", "focus"): {"acts_on": "image", "kind": "focus"},
        ("--grain", "value"): {"grain": "value"},
        ("--driven-by", "bottom-up"): {"driven_by": "bottom-up"},
        ("--reach", "point to region"): {"reach": "point to region"},
    }
    for words, conditions in ways.items():
        assert run("list", *words) == 0
        found = [entry.name for entry in catalog.find(**conditions)]  # type: ignore[arg-type]
        assert found
        assert names_of(capsys.readouterr().out) == found, words
    assert run("list", "--since", "2999") == 0
    assert "Nothing" in capsys.readouterr().out


def test_list_of_networks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("list", "--networks") == 0
    text = capsys.readouterr().out
    assert names_of(text) == list(catalog.named()) and "danet_resnet101" in text
    assert [line.split()[1] for line in text.splitlines()] == list(catalog.named().values())
    assert "se_resnet50" in text and "senet" in text and "Squeeze-and-Excitation Networks" in text
    assert run("list", "--networks", "fcanet*") == 0
    assert names_of(capsys.readouterr().out) == ["fcanet34", "fcanet50", "fcanet101", "fcanet152"]
    assert run("list", "--networks", "--domain", "branch", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"name": name, "folder": "sknet", "title": "Selective Kernel Networks"} for name in ("sknet50", "sknet101")
    ]
    assert run("list", "--networks", "nothing*") == 0
    assert "No network" in capsys.readouterr().out
    narrow = terminal(monkeypatch, 50)
    assert run("list", "--networks") == 0
    assert max(map(len, narrow.getvalue().splitlines())) == 50


def test_list_with_a_wrong_domain(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "list", "--domain", "chanel") == (
        "regard: no domain 'chanel'; did you mean channel, scale or category?"
    )


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "cbam") == 0
    text = capsys.readouterr().out
    for part in ("arXiv:1807.06521", "M_c = σ(", "Deviations:", "B 1 H W", "8,564 parameters; 647 kFLOP", "Place:"):
        assert part in text
    assert "cbam_resnet50_cifar" in text
    assert run("show", "se", "--json") == 0
    # two 1x1 convolutions with biases and the default reduction of 16
    facts = json.loads(capsys.readouterr().out)
    assert facts["cost"]["parameters"] == 256 * 16 + 16 + 16 * 256 + 256
    assert facts["cost"]["flops"] == 2 * (256 * 16 + 16 * 256)
    assert facts["header"] == catalog.get("se").header and facts["tasks"] == ["classification", "detection"]
    assert run("show", "SE-Net") == 0
    assert capsys.readouterr().out.startswith(f"se  {catalog.get('se').summary}\n")


@pytest.mark.slow
def test_show_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = terminal(monkeypatch, 80)
    for entry in catalog.entries():
        text.seek(0)
        text.truncate()
        assert run("show", entry.name) == 0
        told = text.getvalue()
        assert max(map(len, told.splitlines())) <= 80, entry.name
        assert "\n\n\n" not in told, entry.name
        for word in entry.header.partition("\n\n")[2].split():
            assert word in told, f"{word} of {entry.name} is lost"


def test_show_keeps_the_columns_of_equations_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    text = terminal(monkeypatch, 120)
    assert run("show", "se") == 0
    equations = [line for line in catalog.get("se").header.splitlines() if line.startswith("    ") and "   (" in line]
    assert len(equations) == 3
    assert all(f"\n{line}\n" in text.getvalue() for line in equations)


@pytest.mark.parametrize(
    ("flops", "text"),
    [
        (0, "0 FLOP"), (7, "7 FLOP"), (999, "999 FLOP"), (1000, "1 kFLOP"), (45_416, "45.4 kFLOP"),
        (999_499, "999 kFLOP"), (999_500, "1 MFLOP"), (6_178_471_936, "6.18 GFLOP"), (5 * 10**15, "5 PFLOP"),
    ],
)  # fmt: skip
def test_operations_have_a_unit_by_their_size(flops: int, text: str) -> None:
    assert costs.in_units(flops) == text


def test_a_cost_without_operations_says_so() -> None:
    cost = costs.Cost(input="1 × 3", parameters=0, flops=0)
    assert str(cost) == "no parameters; no convolutions and matrix products, for 1 × 3"


@pytest.mark.parametrize("entry", [entry.name for entry in catalog.entries()])
def test_show_knows_every_entry(entry: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", entry) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{entry}  ")
    assert re.search(r"^cost +(no|[\d,]+) parameters; .* for [\d, ×]+$", text, flags=re.MULTILINE)
    assert not re.search(r"\b0\.?0* .?FLOP", text)


def test_show_with_a_wrong_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "show", "cbamm").startswith("regard: no entry 'cbamm'; did you mean cbam")


def test_recipes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    listings = recipes.listings()
    assert run("recipes") == 0
    text = capsys.readouterr().out
    assert names_of(text) == [listing.name for listing in listings]
    for line, listing in zip(text.splitlines(), listings, strict=True):
        assert listing.summary in line and f" {listing.system} " in line and listing.data in line
        assert listing.claim is None or listing.claim.where in line
    assert run("recipes", "ram-*", "--json") == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == [
        "ram-mnist", "ram-translated", "ram-cluttered",
    ]  # fmt: skip
    assert run("recipes", "ram-mnist") == 0
    assert "paper   error 1.12 on MNIST (Table 1a" in capsys.readouterr().out
    assert fails(capsys, "recipes", "ram-mnits").startswith("regard: no recipe 'ram-mnits'; did you mean ram-mnist")
    assert run("recipes", "nothing*") == 0
    assert "No recipe" in capsys.readouterr().out
    narrow = terminal(monkeypatch, 80)
    assert run("recipes") == 0
    assert max(map(len, narrow.getvalue().splitlines())) <= 80


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
    assert "--with se: no argument 'redution'; did you mean reduction" in fails(
        capsys, *words, "--kwargs", '{"redution": 4}'
    )
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
    assert "a JSON object is accepted" in fails(capsys, "check", "se", "--kwargs", "[3]")
    assert "no law 'shape'; did you mean shapes" in fails(capsys, "check", "se", "--law", "shape")
    (tmp_path / "broken_module.py").write_text("import no_such_package\nclass X: pass")
    assert "cannot be imported: ModuleNotFoundError" in fails(capsys, "check", f"{tmp_path / 'broken_module.py'}:X")


def test_published(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("published", "list") == 0
    everything = capsys.readouterr().out
    assert "se/moskomule.senet.pytorch/SELayer (channel, reduction=16) -> se" in everything
    assert run("published", "list", "cbam") == 0
    assert set(re.findall(r"-> (\w+)", capsys.readouterr().out)) == {"cbam"}
    assert len(everything.splitlines()) == len(published.references())
    text = io.StringIO()
    monkeypatch.setattr(holding, "out", Console(file=text, force_terminal=True, width=80, color_system=None))
    assert run("published", "list") == 0
    lines = text.getvalue().splitlines()
    assert len(lines) == len(published.references()) and max(map(len, lines)) <= 80
    monkeypatch.undo()
    torch.save({"se.fc.0.weight": torch.zeros(2, 8), "se.fc.2.weight": torch.zeros(8, 2)}, tmp_path / "a.pth")
    words = ["published", "convert", tmp_path / "a.pth", tmp_path / "b.safetensors", "--prefix", "se.",
             "--args", '{"channel": 8, "reduction": 4}']  # fmt: skip
    assert run(*words, "--reference", "se/moskomule.senet.pytorch/SELayer") == 0
    assert "SqueezeExcite, 2 tensors" in capsys.readouterr().out
    assert "exists; choose another name" in fails(capsys, *words, "--reference", "se/moskomule.senet.pytorch/SELayer")
    words[3] = tmp_path / "c.safetensors"
    assert "nearest:" in fails(capsys, *words, "--reference", "se/moskomule/SELayer")
    assert not words[3].exists()


@pytest.mark.slow
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
    assert "did you mean digits" in fails(capsys, "compare", "digts", "--out", tmp_path / "o")


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


MISTAKES = {
    "list --domain chanel": "did you mean channel",
    "list --grain pixel": "no grain 'pixel'; did you mean item, channel or position?",
    "list --networks --task segment": "did you mean segmentation",
    "show cbamm": "did you mean cbam",
    "recipes ram-mnits": "did you mean ram-mnist",
    "look absent.png --with se": "no file or folder 'absent.png'",
    "look photo.png --pretrained": "no network is named",
    "look photo.png --with see": "no entry 'see'",
    "look photo.png --with cbam --kwargs {channels:3}": "is not JSON",
    'look photo.png --with cbam --kwargs {"kernel":3}': "did you mean kernel_size",
    "look photo.png --with cbam --weights absent": "no file or folder 'absent'",
    "look photo.png --with cbam --image-size 0": "--image-size=0: a whole number of at least 1 is accepted",
    "gaze absent --with cbam": "no file or folder 'absent'",
    "gaze . --with cbam --limit 1": "--limit=1: a whole number of at least 2",
    "gaze . --with cbam --blur 1": "--blur=1: a share",
    "gaze . --with cbam --part test": "--part='test': train or val is accepted",
    "gaze . --with cbam --convention mine": "--convention='mine': mit or pysaliency",
    "check sse2": "no entry 'sse2'; did you mean sse",
    "check absent.py:Own": "no file 'absent.py'",
    "check own.py:Sonud": "no class 'Sonud'; did you mean Sound",
    "check se --law shape": "no law 'shape'; did you mean shapes",
    "check se --channels 0": "--channels=0",
    "check se --inputs B,C": "--inputs='B,C': axes",
    "check se --kwargs [3]": "a JSON object is accepted",
    "doctor own.py:build --images absent": "no file or folder 'absent'",
    "doctor --images photo.png": "no network is named",
    "doctor --on resnet18 own.py:Own --images photo.png": "--on: leave it out, or own.py:Own",
    "doctor --with see --images photo.png": "no entry 'see'",
    "doctor --on resnet18 --images photo.png --limit 0": "--limit=0: a whole number of at least 1 is accepted",
    "doctor --on resnet18 --images photo.png --check rows": "no check 'rows'; did you mean rows alike",
    "published list sse2": "no entry 'sse2'",
    "published convert absent.pth new.safetensors --reference se/a/B": "no file or folder 'absent.pth'",
    "published convert photo.png own.py --reference se/a/B": "own.py exists",
    "published convert photo.png new.safetensors --reference se": "no published module 'se'",
    "published convert photo.png new.safetensors --reference se/a/B --args {": "is not JSON",
    "compare digts": "no images named 'digts' and no such folder; did you mean digits",
    "compare absent/": "no images named 'absent/' and no such folder; give a folder",
    "compare digits --attention ecaa": "no entry 'ecaa'; did you mean eca",
    "compare digits --attention se(redution=3)": "no argument 'redution'; did you mean reduction",
    "compare digits --epochs 0": "epochs=0: a whole number of at least 1 is accepted",
    "compare digits --lr -1": "lr=-1.0: a number above 0 is accepted",
    "compare digits --optimizer adm": "optimizer='adm'",
    "compare digits --augment much": "--augment='much': none or light or timm is accepted",
    "compare digits --freeze all": "freeze='all'",
    "compare digits --device gpu": "--device='gpu'",
    "compare digits --workers 0": "--workers=0",
    "compare digits --regions absent.csv": "no file or folder 'absent.csv'",
    "train ram-mnits": "no recipe 'ram-mnits'; did you mean ram-mnist",
    "train ram-mnist --data absent": "no file or folder 'absent'",
    "train ram-mnist --epochs 0": "--epochs=0",
    "train ram-mnist --batch-size 0": "--batch-size=0",
    "train ram-mnist --workers -1": "--workers=-1",
    "train ram-mnist --optimizer adm": "--optimizer='adm'",
    "train ram-mnist --augment much": "--augment='much'",
    "train ram-mnist --precision float8": "--precision='float8': float32 or bfloat16 or float16 is accepted",
    "train ram-mnist --freeze all": "--freeze='all': backbone is accepted",
    "eval --weights absent": "no file or folder 'absent'",
    "eval --weights . --data absent": "no file or folder 'absent'",
    "eval --weights . --device gpu": "--device='gpu'",
    "eval --weights . ram-mnits": "did you mean ram-mnist",
}

PROBE = """
import json, sys
from regard import cli
from regard.cli import browsing, holding, looking
for words in json.loads(sys.stdin.read()):
    try:
        cli.main(words)
    except SystemExit as end:
        assert end.code not in (0, None), words
    heavy = [name for name in ("torch", "timm", "numpy", "scipy", "sklearn") if name in sys.modules]
    assert not heavy, f"{words} loads {heavy}"
    print("done", file=sys.stderr)
"""


@pytest.mark.slow
def test_mistakes_are_answered_before_torch_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    Image.new("RGB", (3, 2)).save(tmp_path / "photo.png")
    result = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=json.dumps([line.split(" ") for line in MISTAKES]),
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    answers = result.stderr.strip().removesuffix("done").split("done\n")
    for (words, message), answer in zip(MISTAKES.items(), answers, strict=True):
        assert answer.strip().startswith("regard: ") and message in answer, (words, answer)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.py", "photo.png"]


@pytest.mark.parametrize(
    "words", ["list", "list --json", "list --networks", "show se", "recipes", "--version", "train -h"]
)
def test_what_needs_no_torch_loads_none(words: str) -> None:
    probe = f"import sys; from regard import cli\ntry: cli.main({words.split()})\nexcept SystemExit as end:\n"
    probe += "    assert not end.code\nassert not {'torch', 'timm', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and result.stdout, result.stderr


def test_words_that_the_command_line_knows_are_those_of_the_rooms() -> None:
    from regard import data
    from regard.cli import arguments

    assert data.EMBEDDED == arguments.EMBEDDED


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("regard sh", {"show"}),
        ("regard show cb", {"cbam"}),
        ("regard list --domain channel+sp", {"channel+spatial"}),
        ("regard list --grain v", {"value"}),
        ("regard list --task medical", {"medical imaging"}),
        ("regard look x.png --with ec", {"eca", "eca_ns"}),
        ("regard check se --law exp", {"exports", "exports_to_onnx"}),
        ("regard doctor --images x --check heads", {"heads alike"}),
        ("regard recipes ram-m", {"ram-mnist"}),
        ("regard eval ltpa-n", {"ltpa-none"}),
        ("regard published list gau", {"gau"}),
    ],
)
def test_the_shell_completes(line: str, offered: set[str]) -> None:
    words = line.split(" ")
    environment = {
        **os.environ, "_REGARD_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1),
    }  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-m", "regard"], env=environment, capture_output=True, text=True, check=False
    )
    assert set(result.stdout.splitlines()) == offered, result.stderr


def test_completion_can_be_shown() -> None:
    environment = {**os.environ, "_REGARD_COMPLETE": "source_bash"}
    result = subprocess.run(
        [sys.executable, "-m", "regard"], env=environment, capture_output=True, text=True, check=False
    )
    assert "complete -o default -F _regard_completion regard" in result.stdout
