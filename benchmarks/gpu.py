"""`python -m benchmarks.gpu`: everything that only a GPU can tell, in a time budget, the most important first.

    tests      every test marked `gpu`: see tests/gpu
    memory     what pairwise mechanisms hold at a large map
    peers      paired ratios against everybody else's code, in several shapes, types and layouts, compiled and not

What has been done is on the disk at every moment, in `<name of the GPU>.json` and `.md`; what the time did not reach is
listed. `--device cpu` runs the same code where there is no GPU, for trying it; its figures say nothing about one.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks import gate, memory, results
from benchmarks.__main__ import row_of, say, shape_of
from benchmarks.bench import LAYOUTS, Bench
from benchmarks.peers import NotFetched, Peer, Shape, code_of, peers
from regard import catalog

ROOT = Path(__file__).parents[1]
SHAPES = (Shape(8, 256, 56, 56), Shape(32, 256, 56, 56))
SIDE = 256
SMALL_SHAPES, SMALL_SIDE = (Shape(2, 32, 14, 14), Shape(3, 32, 14, 14)), 32  # of a rehearsal on the CPU
# Shares of the time: tests may take the first, memory the next; what they leave is the peers'.
TESTS, MEMORY = 0.5, 0.1
# Of what is then left, the first compiled pairs may take so much: compiling takes a hundred times as long as measuring.
COMPILING = 0.3
GRACE = 90.0  # seconds that a test which has begun may take longer than there is


class Setting(NamedTuple):
    """One pass over all peers."""

    shape: Shape
    dtype: str
    layout: str
    compiled: bool

    def __str__(self) -> str:
        way = "compiled" if self.compiled else "eager"
        return f"{'×'.join(map(str, self.shape))}, {self.dtype}, {self.layout}, {way}"


@dataclass
class Clock:
    """The time budget."""

    minutes: float

    def __post_init__(self) -> None:
        self.start = time.monotonic()
        self.end = self.start + 60 * self.minutes

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds."""
        return time.monotonic() - self.start


def settings(shapes: Sequence[Shape]) -> list[Setting]:
    """The passes, the most important first; compiled ones, but for the first, come last."""
    small = shapes[0]
    first = [Setting(small, "float32", "nchw", False), Setting(small, "bfloat16", "nchw", False)]
    first.append(Setting(small, "float32", "nchw", True))
    every = [
        Setting(shape, dtype, layout, compiled)
        for compiled in (False, True)
        for shape in shapes
        for layout in LAYOUTS
        for dtype in ("float32", "bfloat16")
    ]
    return [*first, *(setting for setting in every if setting not in first)]


def arguments(line: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20.0, help="the time budget (20)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, metavar="DIR", default=ROOT / "benchmarks" / "results")
    parser.add_argument("--authors", type=Path, metavar="DIR", help="fetched repositories; also $REGARD_AUTHORS")
    parser.add_argument("--only", type=lambda names: names.split(","), metavar="NAME,…", help="catalogue names")
    parser.add_argument("--parts", type=lambda names: names.split(","), default=["tests", "memory", "peers"],
                        metavar="PART,…", help="of tests, memory and peers (all)")  # fmt: skip
    parser.add_argument("--shape", type=shape_of, action="append", metavar="B,C,H,W", help="instead of "
                        "8,256,56,56 and 32,256,56,56 (on the CPU, small ones); may be given again")  # fmt: skip
    parser.add_argument("--side", type=int, help=f"height and width of the large map ({SIDE}; on the CPU {SMALL_SIDE})")
    parser.add_argument("--seconds", type=float, default=0.3, help="about how long each figure takes (0.3)")
    parser.add_argument("--note", default="", help="a sentence for the table, on what else ran for example")
    chosen = parser.parse_args(line)
    if not chosen.minutes > 0:
        parser.error(f"--minutes {chosen.minutes:g}: above 0 is accepted")
    if not chosen.seconds > 0:
        parser.error(f"--seconds {chosen.seconds:g}: above 0 is accepted")
    rehearsal = chosen.device == "cpu"
    if chosen.side is None:
        chosen.side = SMALL_SIDE if rehearsal else SIDE
    chosen.shape = chosen.shape or (SMALL_SHAPES if rehearsal else SHAPES)
    if chosen.side < 1:
        parser.error(f"--side {chosen.side}: at least 1 is accepted")
    if wrong := set(chosen.parts) - {"tests", "memory", "peers"}:
        parser.error(f"--parts {','.join(sorted(wrong))}: tests, memory and peers are accepted")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no GPU here; --device cpu tries the same code without one")
    if chosen.authors is None and os.environ.get("REGARD_AUTHORS"):
        chosen.authors = Path(os.environ["REGARD_AUTHORS"])
    if chosen.authors is not None and not chosen.authors.is_dir():
        parser.error(f"--authors {chosen.authors}: no such folder")
    try:
        chosen.only = [catalog.get(name).name for name in chosen.only or ()]
    except LookupError as error:
        parser.error(f"--only: {error}")
    return chosen


def named(device: str) -> str:
    """The name of the result's files: the GPU's, or that of a rehearsal."""
    if device == "cpu":
        return "gpu-rehearsal-on-cpu"
    return re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name(0).lower()).strip("-")


# Tests


def tested(device: str, seconds: float, only: Sequence[str]) -> dict[str, Any]:
    """Runs the tests marked `gpu` in processes of their own; none begins after `seconds`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(16, cores)
    environment = {
        **os.environ,
        **({"REGARD_TEST_ENTRIES": ",".join(only)} if only else {}),
        "REGARD_TEST_DEVICE": device,
        # Plugins of other projects come with a bare machine; what they warn of would be an error here.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "REGARD_TESTS_UNTIL": str(time.time() + seconds),
        "OMP_NUM_THREADS": str(max(1, cores // workers)),
        "TORCHINDUCTOR_COMPILE_THREADS": str(max(1, 2 * cores // workers)),
    }
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "tests.xml")
        command = [sys.executable, "-m", "pytest", "tests/gpu", "-m", "gpu", "-p", "no:cacheprovider", "--tb=short",
                   f"--junitxml={report}"]  # fmt: skip
        if importlib.util.find_spec("xdist") and workers > 1 and not only:
            # In small portions, so that the order of the tests, the most important first, is kept.
            command += ["-p", "xdist", "-n", str(workers), "--dist", "load", "--maxschedchunk", "2"]
        begun = time.monotonic()
        try:
            status: int | str = subprocess.run(command, cwd=ROOT, env=environment, timeout=seconds + GRACE).returncode
        except subprocess.TimeoutExpired:
            status = "ended after its time"
        return {"status": status, "seconds": round(time.monotonic() - begun, 1), **reported(report)}


def reported(report: Path) -> dict[str, Any]:
    """What pytest's report says, tests that failed alike together; without one, no test has been counted."""
    counts = {"passed": 0, "failed": 0, "skipped": 0, "not reached": 0}
    failures: dict[str, list[str]] = {}
    cases = ElementTree.parse(report).getroot().iter("testcase") if report.is_file() else ()
    for case in cases:
        broken = [*case.findall("failure"), *case.findall("error")]
        skipped = case.find("skipped")
        if broken:
            counts["failed"] += 1
            last = (broken[0].get("message") or "").strip().partition("\n")[0]
            failures.setdefault(last[:200], []).append(str(case.get("name")))
        elif skipped is None:
            counts["passed"] += 1
        elif "time budget" in (skipped.get("message") or ""):
            counts["not reached"] += 1
        else:
            counts["skipped"] += 1
    return {**counts, "failures": [_alike(names, message) for message, names in failures.items()]}


def _alike(names: Sequence[str], message: str) -> str:
    """One line for tests that failed with one message."""
    return f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {message}"


# Memory


def held(device: str, side: int, only: Sequence[str], until: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """For each pairwise mechanism, forward and with the backward pass, what the allocator gave at most."""
    for name, kwargs in memory.settings(only):
        for backward in (False, True):
            row: dict[str, Any] = {"entry": memory.told(name, kwargs), "backward": backward}
            if until():
                yield {**row, "bytes": None, "reason": "not reached"}
                continue
            try:
                found = memory.allocated(name, kwargs, channels=64, side=side, backward=backward, device=device)
                yield {**row, "bytes": found, "reason": ""}
            except torch.OutOfMemoryError:
                yield {**row, "bytes": None, "reason": "out of memory"}
            except Exception as error:  # one entry's error must not cost the rest of the run
                traceback.print_exc()
                yield {**row, "bytes": None, "reason": f"fails: {gate.first_line(error)}"}
            if device == "cuda":
                torch.cuda.empty_cache()


# Peers


def at_hand(authors: Path | None, only: Sequence[str]) -> tuple[list[Peer], list[str]]:
    """The peers whose code is here, libraries first, and the others by name and reason."""
    found, absent = [], []
    for peer in peers():
        if only and peer.entry not in only:
            continue
        try:
            code_of(peer, authors)
            found.append(peer)
        except NotFetched:
            absent.append(f"{peer.name}: not fetched")
        except ImportError as error:
            absent.append(f"{peer.name}: cannot be imported, {error}")
    kinds = ("library", "authors", "port")
    return sorted(found, key=lambda peer: kinds.index(peer.kind)), absent


# Writing


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "# On a GPU",
        "",
        f"{results.told(result)}; {result['seconds']:.0f} s of {result['minutes']:g} minutes.",
        "Printed by `python -m benchmarks.gpu`; how and why stands in `benchmarks/README.md`.",
    ]
    if result["note"]:
        lines += ["", result["note"]]
    if result["rehearsal"]:
        lines += ["", "**A rehearsal on the CPU: the figures say nothing about a GPU.**"]
    if tests := result.get("tests"):
        counts = ", ".join(f"{tests[key]} {key}" for key in ("passed", "failed", "skipped", "not reached"))
        lines += ["", "## Tests", "", f"{counts}; {tests['seconds']:.0f} s; pytest's exit status {tests['status']}."]
        lines += ["", *(f"- {failure}" for failure in tests["failures"])] if tests["failures"] else []
    if result["memory"]:
        lines += ["", f"## Memory at 1×64×{result['side']}×{result['side']}, float32", ""]
        lines += [
            "Peak over input and weights, as torch's allocator counts.",
            "",
            "| entry | pass | MiB |",
            "|---|---|---:|",
        ]
        for row in result["memory"]:
            way = "forward + backward" if row["backward"] else "forward"
            size = row["reason"] if row["bytes"] is None else f"{row['bytes'] / 2**20:.1f}"
            lines.append(f"| {row['entry']} | {way} | {size} |")
    if result["passes"]:
        lines += ["", "## Against the peers", "", f"{results.MEANING} two passes each: forward, forward + backward."]
    for done in result["passes"]:
        lines += ["", f"### {done['setting']}", ""]
        lines += [*results.comparison(done["rows"]), *results.summary(done["rows"], level=4)] if done["rows"] else []
        if done["left out"]:
            lines += ["", f"Not reached in time: {', '.join(done['left out']) if done['rows'] else 'all'}."]
    if result["absent"]:
        lines += ["", "## Not at hand", "", *(f"- {line}" for line in result["absent"])]
    return "\n".join(lines) + "\n"


class Writer:
    """Keeps the files up to date: at once where asked, and otherwise every few seconds."""

    EVERY = 5.0

    def __init__(self, result: dict[str, Any], folder: Path, name: str, clock: Clock) -> None:
        self.result, self.folder, self.name, self.clock = result, folder, name, clock
        self.last = float("-inf")

    def write(self, *, now: bool = False) -> None:
        """Raises: OSError if the folder cannot be written."""
        if now or self.clock.spent - self.last >= self.EVERY:
            self.result["seconds"] = round(self.clock.spent, 1)
            results.write(self.result, table(self.result), self.folder, self.name)
            self.last = self.clock.spent


def main(line: Sequence[str] | None = None) -> int:
    """Runs what there is time for; 1 if a test fails, a gate is red or a module of ours raises."""
    chosen = arguments(line)
    clock = Clock(chosen.minutes)
    result: dict[str, Any] = {
        "machine": results.machine(chosen.device, torch.get_num_threads()),
        "rehearsal": chosen.device == "cpu",
        "note": chosen.note,
        "settings": {
            "seconds": chosen.seconds,
            "tolerance of the gate": gate.TOLERANCE,
            "TensorFloat-32 in convolutions": torch.backends.cudnn.allow_tf32,
            "triton": version("triton") if importlib.util.find_spec("triton") else None,
        },
        "minutes": chosen.minutes,
        "seconds": 0.0,
        "side": chosen.side,
        "tests": None,
        "memory": [],
        "passes": [],
        "absent": [],
    }
    writer = Writer(result, chosen.out, named(chosen.device), clock)
    try:
        writer.write(now=True)  # a folder that cannot be written is told before the work
        _run(chosen, clock, result, writer)
    except OSError as error:
        print(f"error: --out {chosen.out}: {error.strerror or error}", file=sys.stderr)
        return 1
    finally:
        if chosen.out.is_dir():
            writer.write(now=True)
    print(table(result))
    return int(_failed(result))


def _run(chosen: argparse.Namespace, clock: Clock, result: dict[str, Any], writer: Writer) -> None:
    if "tests" in chosen.parts:
        share = TESTS if len(chosen.parts) > 1 else 1.0
        result["tests"] = tested(chosen.device, max(1.0, share * clock.left - GRACE), chosen.only)
        writer.write(now=True)
    if "memory" in chosen.parts:
        limit = clock.spent + (MEMORY * 60 * clock.minutes if "peers" in chosen.parts else clock.left)
        for row in held(chosen.device, chosen.side, chosen.only, lambda: clock.spent > limit):
            result["memory"].append(row)
            writer.write()
    if "peers" in chosen.parts:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the authors' code is of its time
            _against(chosen, clock, result, writer)


def _against(chosen: argparse.Namespace, clock: Clock, result: dict[str, Any], writer: Writer) -> None:
    """All passes over the peers at hand; each is listed, if only with what was left out."""
    found, result["absent"] = at_hand(chosen.authors, chosen.only)
    verdicts: dict[tuple[object, ...], gate.Verdict] = {}
    passes = settings(chosen.shape)
    compiled_until = clock.spent + COMPILING * clock.left
    for setting in passes:
        bench = Bench(
            setting.shape, (setting.layout,), chosen.seconds, chosen.device, setting.compiled, chosen.authors,
            setting.dtype, verdicts,
        )  # fmt: skip
        done: dict[str, Any] = {
            "setting": str(setting),
            "shape": setting.shape,
            "dtype": setting.dtype,
            "layout": setting.layout,
            "compiled": setting.compiled,
            "rows": [],
            "left out": [],
        }
        result["passes"].append(done)
        early = setting.compiled and any(not later.compiled for later in passes[passes.index(setting) :])
        for peer in found:
            if clock.left <= 0 or (early and clock.spent > compiled_until):
                done["left out"].append(peer.name)
                continue
            done["rows"].append(row_of(bench, peer, setting.layout))
            say(done["rows"][-1], str(setting))
            writer.write()


def _failed(result: dict[str, Any]) -> bool:
    tests = result["tests"]
    wrong = tests is not None and (tests["failed"] or tests["status"] != 0)
    broken = any(row["reason"].startswith("fails") for row in result["memory"])
    bad = any(row["status"] in ("red gate", "ours fails") for done in result["passes"] for row in done["rows"])
    return bool(wrong or broken or bad)


if __name__ == "__main__":
    sys.exit(main())
