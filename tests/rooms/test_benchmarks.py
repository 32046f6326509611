"""The benchmark's entry point, its gate and what it writes; never what a figure is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from regard import catalog, published

if TYPE_CHECKING:
    from benchmarks.peers import Peer

ROOT = Path(__file__).parents[2]
SMALL = ("--shape", "2,32,5,3", "--quick")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.delenv("REGARD_AUTHORS", raising=False)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
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
    from benchmarks.bench import LAYOUTS, Bench
    from benchmarks.peers import Shape, code_of, peers

    bench = Bench(Shape(2, 32, 6, 5), tuple(LAYOUTS), 1.0, "cpu", False, None)
    judged = set()
    for peer in peers():
        if peer.repository:
            continue
        shape = peer.fit(bench.shape)
        for layout in LAYOUTS:
            try:
                code, _ = code_of(peer, None)
            except ImportError:
                continue
            theirs = peer.build(code, shape)
            inputs = bench.inputs(peer.inputs, shape, layout)
            verdict = gate.check(peer.ours(theirs, shape), peer.called(theirs), *inputs)
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
    from benchmarks.peers import NotFetched, Peer, Shape, code_of

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
        arguments=lambda shape: {"channel": shape.channels},
        reference="se/moskomule.senet.pytorch/SELayer",
    )
    shape = Shape(1, 32, 4, 4)
    versions = []
    for folder in ("clones", "bare", "copies"):
        code, version = code_of(peer, tmp_path / folder)
        theirs = peer.build(code, shape)
        versions.append(version)
        assert gate.check(peer.ours(theirs, shape), theirs, torch.randn(shape)).green
    assert versions[0] == versions[1]
    assert versions[2] == "unversioned copy"
    with pytest.raises(NotFetched, match="someone/code"):
        code_of(peer, tmp_path)


SEVERAL = """
import absent_package
from absent_package import Norm, Unused
import torch
from torch import nn

raise SystemExit("the whole file does more than define")

class Pair(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width, device="cuda"))
        self.norm = Norm(width)

    def forward(self, x, y, mask):
        return Norm.of(self.norm(x) * self.scale[:, None, None]), (y * mask).sum()
"""


class Norm(nn.BatchNorm2d):
    @staticmethod
    def of(x: torch.Tensor) -> torch.Tensor:
        return x


class OurPair(nn.Module):
    def __init__(self, theirs: nn.Module) -> None:
        super().__init__()
        self.norm, self.scale = theirs.norm, theirs.scale

    def forward(self, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.norm(x) * self.scale[:, None, None], y[mask].sum()


def several(tmp_path: Path, **changed: Any) -> Peer:
    from benchmarks.peers import Peer

    copy = tmp_path / "someone" / "code"
    copy.mkdir(parents=True)
    (copy / "pair.py").write_text(SEVERAL)
    given: dict[str, Any] = {
        "entry": "se",
        "place": "someone/code:pair.py",
        "attribute": "Pair",
        "arguments": lambda shape: {"width": shape.channels},
        "twin": lambda theirs, shape: OurPair(theirs),
        "inputs": lambda shape: [torch.randn(shape), torch.randn(shape.batch, 7), torch.rand(shape.batch, 7) > 0.5],
        "pick": ("Pair",),
        "names": {"Norm": Norm},
        "edits": {', device="cuda"': ""},
    }
    return Peer(**given | changed)


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True])
def test_a_peer_with_several_inputs_and_outputs_out_of_a_file_that_cannot_run_whole(
    tmp_path: Path, train: bool
) -> None:
    from benchmarks.bench import Bench
    from benchmarks.peers import Shape

    peer = several(tmp_path, train=train, largest=(3, 4, 2))
    row = Bench(Shape(5, 16, 6, 2), ("nchw",), 0.01, "cpu", False, tmp_path).compare(peer, "nchw")
    assert row["status"] == "measured", row["reason"]
    assert row["inputs"] == [(3, 16, 4, 2), (3, 7), (3, 7)]
    assert row["kind"] == "port"
    assert row["time"].keys() == row["memory"].keys() == {"forward", "forward+backward"}


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"twin": lambda theirs, shape: OurPair(theirs), "call": lambda m, x, y, mask: m(x, y, mask)[0]}, "red", "inf"),
        ({"names": {}}, "cannot be imported", "absent_package"),
        ({"attribute": "Pear", "pick": ("Pear",)}, "cannot be imported", "no Pear"),
        ({"arguments": lambda shape: {"height": 1}}, "refuses", "height"),
    ],
)
def test_what_cannot_be_compared_is_said(tmp_path: Path, changed: dict[str, Any], status: str, said: str) -> None:
    from benchmarks.bench import Bench
    from benchmarks.peers import Shape

    peer = several(tmp_path, **changed)
    row = Bench(Shape(2, 16, 4, 3), ("nchw",), 0.01, "cpu", False, tmp_path).compare(peer, "nchw")
    assert status in row["status"]
    assert said in row["reason"]
    assert "time" not in row


@pytest.mark.slow
def test_our_own_error_costs_one_row_and_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.__main__ import main
    from benchmarks.peers import Peer

    def broken(*given: object) -> nn.Module:
        raise RuntimeError("ours is broken")

    monkeypatch.setattr(Peer, "ours", broken)
    assert main([*SMALL, "--only", "eca_ns,eca", "--layout", "nchw"]) == 1
    shown = capsys.readouterr()
    assert "| ours fails: ours is broken |" in shown.out
    assert "ours fails: timm EcaModule" in shown.err


def test_the_summary_is_a_geometric_mean_and_names_what_is_slower() -> None:
    from benchmarks import results

    def row(kind: str, forward: float, ours: int) -> dict[str, Any]:
        ratio = {"low": forward * 0.9, "median": forward, "high": forward * 1.1}
        return {
            "entry": "se",
            "peer": f"the {kind}",
            "kind": kind,
            "version": "1",
            "inputs": [(2, 3)],
            "layout": "nchw",
            "status": "measured",
            "time": {"forward": ratio, "forward+backward": {"low": 0.4, "median": 0.5, "high": 0.6}},
            "memory": {mode: {"ours": ours, "peer": 4} for mode in ("forward", "forward+backward")},
        }

    absent = {**row("authors", 9.0, 9), "status": "not fetched", "reason": ""}
    rows = [row("authors", 0.2, 4), row("authors", 0.8, 1), row("port", 1.6, 1), absent]
    table = results.table({"machine": {}, "rows": rows, "floors": [], "alone": ["sca", "mha_2d"]})
    assert "Without a peer: sca, mha_2d." in table
    assert "| the authors' own code | 2 | 0.40 | 0.50 | 0.50, 0.50 |" in table
    assert "| research code, both | 3 | 0.63 | 0.50 | 0.40, 0.40 |" in table
    assert "libraries" not in table
    slower = [line for line in table.splitlines() if line.startswith("- ")]
    assert slower == ["- se against the port, nchw, forward: 1.60 (1.44–1.76)"]


def test_every_peer_belongs_to_an_entry_and_is_one_row() -> None:
    from benchmarks.peers import floors, peers

    known = {entry.name for entry in catalog.entries()}
    rows = [(peer.entry, peer.name) for peer in peers()]
    assert len(rows) == len(set(rows))
    assert {peer.entry for peer in peers()} | {floor.entry for floor in floors()} <= known
    for peer in peers():
        assert (peer.reference is None) != (peer.twin is None), peer.name
        assert peer.reference is None or published.get(peer.reference).entry == peer.entry, peer.name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "cbma"), "did you mean cbam"),
        (("--shape", "8,256"), "B,C,H,W"),
        (("--threads", "0"), "at least 1"),
        (("--seconds", "0"), "above 0"),
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


TWO = ("--device", "cpu", "--only", "se,eca", "--shape", "2,32,5,3", "--side", "6", "--seconds", "0.01")


@pytest.mark.slow
def test_the_run_for_a_gpu_tests_an_entry_on_the_cpu(tmp_path: Path) -> None:
    from benchmarks import gpu

    assert gpu.main([*TWO, "--only", "se", "--parts", "tests", "--minutes", "9", "--out", str(tmp_path)]) == 0
    tests = json.loads((tmp_path / "gpu-rehearsal-on-cpu.json").read_text())["tests"]
    assert (tests["status"], tests["failed"], tests["not reached"]) == (0, 0, 0)
    # Of each setting: numbers in two precisions, two of half precision, waiting, compiling; of the default: its maps,
    # and attaching.
    assert tests["passed"] == 6 * len(catalog.get("se").settings) + 2


@pytest.mark.slow
def test_the_run_for_a_gpu_measures_two_entries_on_the_cpu(tmp_path: Path) -> None:
    from benchmarks import gpu

    assert gpu.main([*TWO, "--parts", "memory,peers", "--minutes", "0.3", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "gpu-rehearsal-on-cpu.json").read_text())
    assert result["rehearsal"] is True
    first, second, third, *rest = result["passes"]
    assert (first["dtype"], second["dtype"], third["compiled"], len(rest)) == ("float32", "bfloat16", True, 1 + 4)
    rows = [row for done in result["passes"] for row in done["rows"]]
    assert rows
    assert {row["status"] for row in rows} == {"measured"}
    # Whatever the time did not reach is listed, so that every pass speaks of every peer.
    spoken = [sorted([row["peer"] for row in done["rows"]] + done["left out"]) for done in result["passes"]]
    assert {"timm SEModule", "timm EcaModule"} <= set(spoken[0])
    assert all(names == spoken[0] for names in spoken)
    page = (tmp_path / "gpu-rehearsal-on-cpu.md").read_text()
    assert "A rehearsal on the CPU" in page
    assert f"### {first['setting']}" in page
    assert any("not fetched" in line for line in result["absent"])


@pytest.mark.slow
def test_bfloat16_is_measured_behind_the_verdict_of_float64() -> None:
    from benchmarks.bench import Bench
    from benchmarks.peers import Shape, peers

    (peer,) = [peer for peer in peers("eca") if peer.name == "timm EcaModule"]
    verdicts: dict[Any, Any] = {}
    shape = Shape(3, 32, 5, 7)
    rows = [
        Bench(shape, ("nchw",), 0.01, "cpu", False, None, dtype, verdicts).compare(peer, "nchw")
        for dtype in ("float32", "bfloat16")
    ]
    assert [row["status"] for row in rows] == ["measured"] * 2
    assert len(verdicts) == 1
    assert rows[0]["gate"] == rows[1]["gate"]
    # The output alone takes four and two bytes a value.
    held = [row["memory"]["forward"]["ours"] for row in rows]
    assert held[0] >= 3 * 32 * 5 * 7 * 4 > held[1] >= 3 * 32 * 5 * 7 * 2


def test_what_the_time_does_not_reach_is_listed(tmp_path: Path) -> None:
    from benchmarks import gpu

    line = [*TWO, "--only", "pam", "--parts", "memory,peers", "--minutes", "1e-9", "--out", str(tmp_path)]
    assert gpu.main(line) == 0
    result = json.loads((tmp_path / "gpu-rehearsal-on-cpu.json").read_text())
    assert [(row["entry"], row["backward"], row["reason"]) for row in result["memory"]] == [
        ("`pam`", False, "not reached"),
        ("`pam`", True, "not reached"),
    ]


@pytest.mark.slow
def test_memory_of_a_pairwise_mechanism_is_what_the_allocator_gives() -> None:
    from benchmarks import memory

    channels, side, wide = 64, 6, 4
    peaks = [
        memory.allocated("pam", {}, channels=channels, side=side, backward=backward, device="cpu")
        for backward in (False, True)
    ]
    assert peaks[0] >= channels * side**2 * wide  # at least the output
    assert peaks[1] > peaks[0]


def test_a_failing_entry_and_a_failing_test_fail_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import gpu, memory

    def broken(*given: object, **named: object) -> int:
        raise RuntimeError("ours is broken")

    monkeypatch.setattr(memory, "allocated", broken)
    line = [*TWO, "--only", "pam", "--parts", "memory", "--minutes", "1", "--out", str(tmp_path)]
    assert gpu.main(line) == 1
    assert "fails: ours is broken" in capsys.readouterr().out
    report = tmp_path / "tests.xml"
    report.write_text(
        '<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure message="1 is not 2&#10;more"/>'
        '</testcase><testcase name="c"><skipped message="the time budget is spent"/></testcase>'
        "</testsuite></testsuites>"
    )
    assert gpu.reported(report) == {
        "passed": 1,
        "failed": 1,
        "skipped": 0,
        "not reached": 1,
        "failures": ["b: 1 is not 2"],
    }
    assert gpu.reported(tmp_path / "none.xml")["passed"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--minutes", "0"), "--minutes 0: above 0 is accepted"),
        (("--parts", "tests,peer"), "--parts peer: tests, memory and peers are accepted"),
        (("--only", "cbma"), "did you mean cbam"),
        (("--side", "0"), "--side 0: at least 1 is accepted"),
        (("--authors", "/nowhere"), "no such folder"),
    ],
)
def test_a_wrong_option_of_the_run_for_a_gpu_is_one_clear_line(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import gpu

    with pytest.raises(SystemExit) as stop:
        gpu.main(["--device", "cpu", *arguments])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
