"""What a run leaves: JSON for programs, a table for people."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import MODES

MEANING = "Ours / peer: below 1 ours is faster or smaller. Median (quartiles) of paired ratios,"
KINDS = {
    "the authors' own code": ("authors",),
    "other research code": ("port",),
    "research code, both": ("authors", "port"),
    "libraries": ("library",),
}


def machine(device: str, threads: int) -> dict[str, Any]:
    """What the figures depend on; nothing that names the machine."""
    facts: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if hasattr(os, "getloadavg"):
        facts["load before"] = round(os.getloadavg()[0], 1)
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts["accelerator"] = f"{properties.name} {properties.total_memory / 2**30:.0f} GiB"
        facts["CUDA"] = torch.version.cuda
    return facts


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "# Speed and memory against the peers",
        "",
        f"{MEANING} float32. {told(result)}.",
        "Printed by `python -m benchmarks`; how and why stands in `benchmarks/README.md`.",
        "",
        *comparison(result["rows"]),
    ]
    if result["alone"]:
        lines += ["", f"Without a peer: {', '.join(result['alone'])}."]
    lines += summary(result["rows"])
    if result["floors"]:
        lines += [
            "",
            "## Distance to the memory floor",
            "",
            "Ours / floor, forward: the floor is a plain sum for each time the algebra has to read the whole map, and a"
            " copy for the last read and the write.",
            "",
            "| mechanism | shape | layout | reads | ours / floor | ours, ms |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['entry']} | {_shapes(row)} | {row['layout']} | {row['reads']} | {_ratio(row['forward'])} "
            f"| {row['forward']['first_ms']:.2f} |"
            for row in result["floors"]
        ]
    return "\n".join(lines) + "\n"


def told(result: dict[str, Any]) -> str:
    """What the figures depend on, in a line."""
    return ", ".join(f"{key} {value}" for key, value in result["machine"].items())


def comparison(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The rows as a table."""
    return [
        "| mechanism | peer | version | shape | layout | forward | forward + backward | peak memory, same two |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(row) for row in rows),
    ]


def _row(row: dict[str, Any]) -> str:
    head = f"| {row['entry']} | {row['peer']} | {row['version'] or ''} | {_shapes(row)} | {row['layout']} "
    if row["status"] != "measured":
        reason = f"{row['status']}: {row['reason']}" if row["reason"] else row["status"]
        return head + f"| {reason.replace('|', '/')} | | |"
    times = " | ".join(_ratio(row["time"][mode]) for mode in MODES)
    memory = ", ".join(_memory(row["memory"][mode]) for mode in MODES)
    return head + f"| {times} | {memory} |"


def _shapes(row: dict[str, Any]) -> str:
    return ", ".join("×".join(str(n) for n in shape) for shape in row["inputs"])


def summary(rows: Sequence[dict[str, Any]], level: int = 2) -> list[str]:
    """Geometric means, and every row in which ours is the slower one."""
    measured = [row for row in rows if row["status"] == "measured"]
    if not measured:
        return []
    lines = ["", f"{'#' * level} Summary", "", "Geometric means of ours / peer.", ""]
    lines += ["| peers | rows | forward | forward + backward | peak memory, same two |", "|---|---|---|---|---|"]
    for title, kinds in KINDS.items():
        chosen = [row for row in measured if row["kind"] in kinds]
        if chosen:
            times = " | ".join(_mean(row["time"][mode]["median"] for row in chosen) for mode in MODES)
            memory = ", ".join(
                _mean(_share(row["memory"][mode]) for row in chosen if _share(row["memory"][mode])) for mode in MODES
            )
            lines.append(f"| {title} | {len(chosen)} | {times} | {memory} |")
    slower = [
        f"- {row['entry']} against {row['peer']}, {row['layout']}, {mode}: {_ratio(row['time'][mode])}"
        for row in measured
        for mode in MODES
        if row["time"][mode]["median"] > 1
    ]
    lines += ["", "Ours is slower (median above 1; where the quartiles enclose 1 no difference was found) in:", ""]
    return lines + (slower or ["- none of the rows"])


def _share(value: dict[str, int]) -> float:
    return value["ours"] / value["peer"] if value["peer"] else 0.0


def _mean(values: Iterable[float]) -> str:
    values = list(values)
    return f"{statistics.geometric_mean(values):.2f}" if values else "–"


def _ratio(value: dict[str, float]) -> str:
    return f"{value['median']:.2f} ({value['low']:.2f}–{value['high']:.2f})"


def _memory(value: dict[str, int]) -> str:
    return f"{_share(value):.2f}" if value["peer"] else "–"


def write(result: dict[str, Any], text: str, folder: Path, name: str) -> None:
    """`name.json` with the result and `name.md` with the text, each complete or untouched.

    Raises: OSError if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, content in ((".json", json.dumps(result, indent=1) + "\n"), (".md", text)):
        target = folder / f"{name}{suffix}"
        part = target.with_suffix(f"{suffix}.part")
        part.write_text(content, encoding="utf-8")
        part.replace(target)
