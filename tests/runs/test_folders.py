"""Run folders, apart from the data and for one command at a time; and what is said on the way and when a run stops."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch
from rich.console import Console
from torch import nn

from regard import cli, comparing
from regard.catalog import recipes
from regard.cli import progress
from regard.comparing import Trial
from regard.metrics.metric import Measure
from regard.report import Record
from regard.saved.files import claimed
from regard.training.memory import advised
from regard.training.recipe import built


def told(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """The exit code of a command, and its last line on standard error."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    return int(end.value.code or 0), capsys.readouterr().err.strip().splitlines()[-1]


# ---- apart from the data


@pytest.mark.parametrize("inside", [".", "runs/first", "train/cold", "../images/train"])
def test_a_comparison_is_not_written_into_its_data(inside, tmp_path, tiny, capsys):
    source = tiny.paint(tmp_path / "images")
    before = sorted(source.rglob("*"))
    with pytest.raises(ValueError, match=r"out='.*': a folder outside the dataset '.*images' is needed"):
        tiny.compared(source / inside, source)
    code, line = told(capsys, "compare", source, "--out", source / inside)
    assert code == 1 and "a folder outside the dataset" in line
    assert sorted(source.rglob("*")) == before
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(ValueError, match="a folder outside the dataset"):
        tiny.compared(tmp_path / "link" / "out", source)


def test_a_comparison_is_not_written_into_its_masks(tmp_path, tiny):
    source = tiny.paint(tmp_path / "images")
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match=r"a folder outside the regions '.*masks' is needed"):
        tiny.compared(tmp_path / "masks" / "out", source, regions=tmp_path / "masks")
    assert list((tmp_path / "masks").iterdir()) == []


def test_a_training_is_not_written_into_its_data(tmp_path, tiny, capsys):
    source = tiny.paint(tmp_path / "images")
    with pytest.raises(ValueError, match=r"out='.*run': a folder outside the dataset '.*images' is needed"):
        tiny.trained(source / "run", tiny.recipe(source))
    code, line = told(capsys, "train", "ram-mnist", "--data", source, "--out", source / "run")
    assert code == 1 and "a folder outside the dataset" in line
    assert not (source / "run").exists()
    assert built(recipes.get("ram-translated"), tiny=True).source is None


def test_data_beside_the_run_folder_or_below_its_parent_are_fine(tmp_path, tiny):
    source = tiny.paint(tmp_path / "images")
    tiny.trained(tmp_path, tiny.recipe(source))
    tiny.trained(tmp_path / "images of before", tiny.recipe(source))
    assert (tmp_path / "images of before" / "result.json").exists()


# ---- one command at a time, and nobody else's files


def test_two_trainings_do_not_share_a_folder(tmp_path, tiny):
    source = tiny.paint(tmp_path / "images")
    out, given = tmp_path / "run", tiny.recipe(source)
    with claimed(out, "regard train"), pytest.raises(OSError, match=r"another regard train is at work in .*run; wait"):
        tiny.trained(out, given)
    assert [path.name for path in out.iterdir()] == [".lock"]
    tiny.trained(out, given)


def test_the_lock_holds_for_other_processes_and_ends_with_its_own(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from regard.saved.files import claimed\n"
        "with claimed(Path(sys.argv[1]), 'it'):\n    print('in', flush=True); sys.stdin.read(); os._exit(9)"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "in\n"
        with pytest.raises(OSError, match="another it is at work"), claimed(tmp_path, "it"):
            pass
        other.communicate()
    assert other.returncode == 9  # it ended without unlocking
    with claimed(tmp_path, "it"):
        pass


def test_weights_of_something_else_are_not_replaced(tmp_path, tiny):
    source = tiny.paint(tmp_path / "images")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"run holds model.safetensors of something else; choose another --out"):
        tiny.trained(tmp_path / "run", tiny.recipe(source))
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == b"mine"


# ---- out of memory


class Hungry(nn.Module):
    """Asks for more than there is as soon as it is trained."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stage = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Linear(6, classes)

    def forward(self, x):
        if self.training and len(x) > 2:
            torch.empty(2**58)
        return self.head(self.stage(x).mean((2, 3)))


def test_out_of_memory_says_what_needs_less(tmp_path, tiny):
    source = tiny.paint(tmp_path / "images")
    with pytest.raises(MemoryError, match=r"^out of memory: a smaller batch size, .* needs less \(.*allocate"):
        tiny.trained(tmp_path / "run", tiny.recipe(source, Hungry))
    less = "out of memory: fewer workers, a batch size below 5 or a smaller image size needs less"
    with pytest.raises(RuntimeError, match=rf"^3 of 3 trials failed.* none-0: {less} \(.*allocate"):
        tiny.compared(tmp_path / "out", source, backbone=Hungry)


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried"), RuntimeError("not enough memory: y")]
)
def test_every_kind_of_it_is_told_once(error):
    kinds = r"\((MemoryError|CUDA|not enough)"
    with (
        pytest.raises(MemoryError, match=rf"^out of memory: this needs less {kinds}"),
        advised("that"),
        advised("this"),
    ):
        raise error
    for other in (RuntimeError("shapes"), ValueError("out of memory")):
        with pytest.raises(type(other), match=f"^{other}$"), advised("less"):
            raise other


def test_any_command_says_so(monkeypatch, capsys, tmp_path):
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("regard.looking.photographs.look", full)
    (tmp_path / "a.png").write_bytes(b"")
    assert told(capsys, "look", tmp_path / "a.png", "--with", "itti") == (
        1, "regard: out of memory: a smaller --image-size needs less (MemoryError)",
    )  # fmt: skip


# ---- what is told on the way

RECORD = Record(
    row="se", seed=1, measure=Measure("accuracy", "accuracy", higher_is_better=True, unit="%"), score=0.75, scores={},
    through="", history=(), parameters=3, seconds=7.4,
)  # fmt: skip


def shown(terminal: bool, every: float, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of a comparison and a training."""
    monkeypatch.setattr(progress, "EVERY", every)
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100)
    trial = Trial("se", 1)
    with progress.Bars(console) as bars:
        bars.phase("loading digits")
        bars.begin([trial, Trial("eca", 1)], 0)
        bars.trial_started(trial)
        bars.step(trial, 3, 11)
        bars.step(trial, 11, 11)
        bars.trial_finished(trial, RECORD)
        bars.trial_started(Trial("eca", 1))
    with progress.Steps(console) as steps:
        steps.phase("classify")
        steps.step(5, 13, 0.25)
        steps.epoch(1, {"loss": 0.125, "seconds": 3.0})
    return stream.getvalue().splitlines()


def test_without_a_terminal_there_are_lines(monkeypatch):
    assert shown(False, 0, monkeypatch) == [
        "loading digits",
        "se, seed 1: started, trial 1 of 2",
        "se, seed 1: step 3 of 11",
        "se, seed 1: step 11 of 11",
        "se, seed 1: accuracy 75.0 %, 7 s",
        "eca, seed 1: started, trial 2 of 2",
        "classify: started",
        "classify: step 5 of 13, loss 0.2500",
        "epoch 1: loss 0.1250, 3 s",
    ]
    assert not [line for line in shown(False, 1e9, monkeypatch) if "step" in line]


def test_reading_many_images_is_told(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr("regard.comparing.running.TELL_EVERY", 0.0)
    told: list[str] = []

    class Reading(tiny.Stopping):
        def phase(self, text: str) -> None:
            told.append(text)

    with pytest.raises(KeyboardInterrupt):
        tiny.compared(tmp_path / "out", tiny.paint(tmp_path / "images"), Reading("none"))
    assert told[1:25] == [f"read {done} of 24 images" for done in range(1, 25)]


def test_on_a_terminal_there_are_bars(monkeypatch):
    lines = shown(True, 0, monkeypatch)
    assert not [line for line in lines if "started" in line or ": step" in line]
    assert any("━" in line for line in lines)


# ---- Ctrl-C


@pytest.mark.parametrize("words", [("compare", "digits"), ("--debug", "compare", "digits"), ("list",)])
def test_ctrl_c_says_how_to_go_on(words, monkeypatch, capsys):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(comparing, "compare", interrupted)
    monkeypatch.setattr("regard.catalog.entries", interrupted)
    message = "regard: stopped; the same command goes on where it stopped" if "compare" in words else "regard: stopped"
    assert told(capsys, *words) == (130, message)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals to a group of processes")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_every_process(workers, tmp_path):
    out = tmp_path / "out"
    words = [sys.executable, "-m", "regard", "compare", "digits", "--attention", "se", "--seeds", "1", "--epochs", "1",
             "--train-size", "60", "--test-size", "30", "--workers", str(workers), "--out", str(out)]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # which a shell's job in the background would ignore
    alone = {"start_new_session": True, "preexec_fn": heard, "env": environment}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, **alone) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "started" in line:
                break
        os.killpg(run.pid, signal.SIGINT)
        left = run.communicate(timeout=120)[1].strip().splitlines()
    assert not any("Traceback" in line for line in left)
    assert (run.returncode, left[-1]) == (130, "regard: stopped; the same command goes on where it stopped")
    with pytest.raises(ProcessLookupError):
        for _ in range(300):  # a process that has ended may take a moment to go
            os.killpg(run.pid, 0)
            time.sleep(0.1)
    with pytest.raises(ValueError, match="has not finished"):
        comparing.result(out)
