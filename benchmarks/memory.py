"""`python -m benchmarks.memory`: how much memory pairwise mechanisms hold at a large map, beyond input and weights.

Every mechanism of the catalogue whose map relates positions to positions (axes Q and K), on one map of 64 channels and
256 × 256 positions, batch 1, float32, on the CPU: the peak of the process's resident memory over what it held before
the call, everything included, as the operating system sees it. An affinity matrix there takes 16 GiB. Each figure
comes from a process of its own, which may take up to --limit.
"""

from __future__ import annotations

import argparse
import inspect
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import peak_memory
from regard import catalog
from regard.ops.seeds import seeded


def settings(only: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is measured: each entry with its own defaults, and non-local blocks that pool no keys."""
    for entry in catalog.entries():
        setting = entry.settings[0]
        pairwise = any({"Q", "K"} <= set(axes.split()) for axes in (setting.maps or {}).values())
        if not pairwise or setting.inputs != ("B C H W",) or (only and entry.name not in only):
            continue
        if entry.name == "nonlocal":
            for affinity in ("embedded_gaussian", "gaussian", "dot_product", "concatenation"):
                yield entry.name, {"affinity": affinity, "pool": 1}
        yield entry.name, {}


def build(name: str, kwargs: dict[str, Any], channels: int, side: int) -> torch.nn.Module:
    """The entry for that many channels; what has no default comes from its label."""
    entry = catalog.get(name)
    parameters = inspect.signature(entry.load()).parameters
    needed = {key: entry.kwargs[key] for key, p in parameters.items() if p.default is p.empty}
    needed |= {"channels": channels} | ({"grid": (side, side)} if "grid" in parameters else {}) | kwargs
    with seeded(0):
        module: torch.nn.Module = catalog.create(name, **needed)
        for parameter in module.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, 0, 0.1)  # a branch that starts at zero would have no gradient
    return module.eval()


def image(channels: int, side: int) -> torch.Tensor:
    """The input `1 C H W`, halved: the weights of the unscaled logits x·x otherwise leave the normal numbers."""
    with seeded(1):
        return torch.randn(1, channels, side, side) / 2


def allocated(name: str, kwargs: dict[str, Any], *, channels: int, side: int, backward: bool, device: str) -> int:
    """Peak bytes that torch's allocator gave beyond input and weights: what can be told of a GPU."""
    module, x = build(name, kwargs, channels, side).to(device), image(channels, side).to(device)
    return peak_memory(lambda: run(module, x, backward), device)


def told(name: str, kwargs: dict[str, Any]) -> str:
    """The entry and its settings, as the tables show them."""
    return ", ".join([f"`{name}`", *(f"{key}={value}" for key, value in kwargs.items())])


def measure(job: dict[str, Any]) -> dict[str, float]:
    """Peak MiB over what was held before, and seconds; of the forward pass, or of it and the backward pass."""
    resource.setrlimit(resource.RLIMIT_AS, (job["limit"] * 2**30,) * 2)
    torch.set_num_threads(job["threads"])
    module = build(job["name"], job["kwargs"], job["channels"], job["side"])
    x = image(job["channels"], job["side"])
    before, start = _resident("VmRSS"), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    run(module, x, job["backward"])
    return {"peak": _resident("VmHWM") - before, "seconds": time.perf_counter() - start}


def run(module: torch.nn.Module, x: torch.Tensor, backward: bool) -> None:
    with torch.set_grad_enabled(backward):
        result = module(x.requires_grad_(backward))
        if backward:
            outputs = result if isinstance(result, (tuple, list)) else (result,)
            torch.autograd.backward(outputs, [torch.ones_like(y) for y in outputs])
            for leaf in (x, *module.parameters()):
                leaf.grad = None


def _resident(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def main(line: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--side", type=int, default=256, help="height and width of the map")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int, default=8, metavar="GIB", help="what a process may take")
    parser.add_argument("--only", type=lambda names: names.split(","), default=[], metavar="NAME,…")
    parser.add_argument("--no-backward", dest="backward", action="store_false")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    chosen = parser.parse_args(line)
    if chosen.job:
        print(json.dumps(measure(json.loads(chosen.job))))
        return 0
    common = {key: getattr(chosen, key) for key in ("channels", "side", "threads", "limit")}
    print("# Memory of pairwise mechanisms at a large map\n")
    print("Printed by `python -m benchmarks.memory`; what it measures stands in `benchmarks/README.md`.\n")
    print(f"B = 1, C = {chosen.channels}, {chosen.side} × {chosen.side}, float32, torch {torch.__version__}\n")
    print("| entry | pass | peak over input, MiB | seconds |\n|---|---|---:|---:|")
    for name, kwargs in settings(chosen.only):
        for backward in (False, True) if chosen.backward else (False,):
            job = json.dumps({"name": name, "kwargs": kwargs, "backward": backward, **common})
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.memory", "--job", job], capture_output=True, text=True
            )
            way = "forward + backward" if backward else "forward"
            if done.returncode:
                reason = done.stderr.strip().rpartition("\n")[2] or f"ended by signal {-done.returncode}"
                reason = f"over {1024 * chosen.limit}" if "allocate memory" in reason else reason[:100]
                print(f"| {told(name, kwargs)} | {way} | {reason} | |", flush=True)
                continue
            figures = json.loads(done.stdout)
            print(f"| {told(name, kwargs)} | {way} | {figures['peak']:.0f} | {figures['seconds']:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
