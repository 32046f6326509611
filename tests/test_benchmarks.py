"""The benchmark's entry point, its gate and what it writes; never what a figure is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parents[1]
SMALL = ("--shape", "2,32,5,3", "--quick")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.delenv("REGARD_AUTHORS", raising=False)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_entry_point_measures_behind_a_green_gate_and_writes_both_files(tmp_path: Path) -> None:
    done = run(*SMALL, "--only", "cbam", "--layout", "nchw", "--out", str(tmp_path / "new"))
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "new" / "cpu.json").read_text())
    timm, authors = result["rows"]
    assert (timm["peer"], timm["status"]) == ("timm CbamModule", "measured")
    assert 0 <= timm["gate"]["output"] <= 1e-9
    assert 0 <= timm["gate"]["gradient"] <= 1e-9
    for mode in ("forward", "forward+backward"):
        time = timm["time"][mode]
        assert 0 < time["low"] <= time["median"] <= time["high"]
        assert time["rounds"] >= 5
        # What every call must hold is its output; a backward pass also holds the input's gradient.
        least = 2 * 32 * 5 * 3 * 4 * (1 if mode == "forward" else 2)
        assert all(least <= held < 100 * least for held in timm["memory"][mode].values())
    assert (authors["peer"], authors["status"]) == ("Jongchan/attention-module CBAM", "not fetched")
    assert "time" not in authors
    (floor,) = result["floors"]
    assert (floor["entry"], floor["reads"]) == ("cbam", 3)
    assert {"processor", "threads", "torch"} <= result["machine"].keys()

    table = (tmp_path / "new" / "cpu.md").read_text()
    assert table in done.stdout
    assert f"| {timm['time']['forward']['median']:.2f} (" in table
    assert "not fetched" in table


def test_every_peer_at_hand_passes_the_gate_in_every_layout() -> None:
    from benchmarks import gate
    from benchmarks.bench import LAYOUTS
    from benchmarks.peers import PEERS, code_of

    judged = set()
    for peer in PEERS:
        if ":" in peer.place:
            continue
        for layout in LAYOUTS.values():
            with code_of(peer, None) as (code, _):
                theirs = peer.build(code, 32)
            x = torch.randn(2, 32, 6, 5).contiguous(memory_format=layout)
            verdict = gate.check(peer.ours(theirs, 32), theirs, x)
            assert verdict.green, f"{peer.name}: {verdict}"
            judged.add(peer.entry)
    assert {"se", "eca", "cbam", "gc", "nonlocal"} <= judged


class Faulty(nn.Module):
    def __init__(self, module: nn.Module, fault: str) -> None:
        super().__init__()
        self.module = module
        self.fault = fault

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.fault == "gradient":
            return self.module(x) + 1e-6 * (x - x.detach())
        if self.fault == "without gradients" and not torch.is_grad_enabled():
            return self.module(x) * (1 + 1e-6)
        if self.fault == "nan":
            return self.module(x) * torch.nan
        if self.fault == "batch":
            return self.module(x).flip(0)
        return self.module(x)


@pytest.mark.parametrize("fault", ["gradient", "without gradients", "nan", "batch"])
def test_the_gate_is_red_on_a_fault(fault: str) -> None:
    from benchmarks import gate

    module = nn.Conv2d(4, 4, 1).double()
    x = torch.randn(3, 4, 5, 5)
    assert gate.check(Faulty(module, "none"), module, x).green
    assert not gate.check(Faulty(module, fault), module, x).green


def test_a_peer_that_raises_is_refused_but_our_own_error_is_not_hidden() -> None:
    from benchmarks import gate

    fits, fails, x = nn.Conv2d(4, 4, 1).double(), nn.Conv2d(5, 4, 1).double(), torch.randn(1, 4, 5, 5)
    with pytest.raises(gate.Refused, match="channels"):
        gate.check(fits, fails, x)
    with pytest.raises(RuntimeError, match="channels"):
        gate.check(fails, fits, x)


def test_a_red_gate_shows_no_figure_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.__main__ import main
    from benchmarks.peers import Peer

    honest = Peer.ours
    monkeypatch.setattr(Peer, "ours", lambda peer, *given: Faulty(honest(peer, *given), "gradient"))
    assert main([*SMALL, "--only", "eca", "--layout", "nchw"]) == 1
    shown = capsys.readouterr()
    (row,) = [line for line in shown.out.splitlines() if "timm EcaModule" in line]
    assert "red gate: outputs differ by" in row
    assert row.endswith("| | |")
    assert "red gate: timm EcaModule" in shown.err


def test_fetched_code_is_read_from_a_copy_a_clone_and_a_bare_clone(tmp_path: Path) -> None:
    from benchmarks import gate
    from benchmarks.peers import NotFetched, Peer, code_of

    text = "from torch import nn\n\nclass SELayer(nn.Module):\n"
    text += "    def __init__(self, channel):\n        super().__init__()\n"
    text += "        self.fc = nn.Sequential(nn.Linear(channel, channel // 16, bias=False), nn.ReLU(),\n"
    text += "            nn.Linear(channel // 16, channel, bias=False), nn.Sigmoid())\n"
    text += "    def forward(self, x):\n        return x * self.fc(x.mean((2, 3)))[:, :, None, None]\n"
    clone = tmp_path / "clones" / "someone" / "code"
    (clone / "lib").mkdir(parents=True)
    (clone / "lib" / "se.py").write_text(text)
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "code"]):
        subprocess.run([*git, *command], cwd=clone, check=True)
    bare = tmp_path / "bare" / "someone+code"
    subprocess.run([*git, "clone", "-q", "--bare", str(clone), str(bare)], check=True)
    copy = tmp_path / "copies" / "someone" / "code" / "lib"
    copy.mkdir(parents=True)
    (copy / "se.py").write_text(text)

    peer = Peer(
        entry="se",
        place="someone/code:lib/se.py",
        attribute="SELayer",
        arguments=lambda channels: {"channel": channels},
        reference="se/moskomule.senet.pytorch/SELayer",
    )
    versions = []
    for folder in ("clones", "bare", "copies"):
        with code_of(peer, tmp_path / folder) as (code, version):
            theirs = peer.build(code, 32)
        versions.append(version)
        assert gate.check(peer.ours(theirs, 32), theirs, torch.randn(1, 32, 4, 4)).green
    assert versions[0] == versions[1]
    assert versions[2] == "unversioned copy"
    with pytest.raises(NotFetched, match="someone/code"), code_of(peer, tmp_path):
        pass


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "cbma"), "did you mean cbam"),
        (("--shape", "8,256"), "B,C,H,W"),
        (("--threads", "0"), "at least 1"),
        (("--authors", "/nowhere"), "no such folder"),
    ],
)
def test_a_wrong_option_is_one_clear_line(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
