"""`python -m benchmarks`: every mechanism of the catalogue against its peers; no figure behind a red gate."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import gate, results
from benchmarks.bench import LAYOUTS, Bench
from benchmarks.peers import Peer, Shape, floors, peers
from regard import catalog


def arguments(line: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--shape", type=shape_of, default=Shape(8, 256, 56, 56), metavar="B,C,H,W")
    parser.add_argument("--layout", choices=(*LAYOUTS, "both"), default="both")
    parser.add_argument("--only", type=lambda names: names.split(","), metavar="NAME,…", help="catalogue names")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seconds", type=float, default=10.0, help="about how long each figure takes")
    parser.add_argument("--quick", action="store_const", dest="seconds", const=1.0, help="--seconds 1")
    parser.add_argument("--compile", action="store_true", help="both sides through torch.compile")
    parser.add_argument("--authors", type=Path, metavar="DIR", help="fetched repositories; also $REGARD_AUTHORS")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write cpu.json and cpu.md there")
    chosen = parser.parse_args(line)
    if chosen.authors is None and os.environ.get("REGARD_AUTHORS"):
        chosen.authors = Path(os.environ["REGARD_AUTHORS"])
    if chosen.authors is not None and not chosen.authors.is_dir():
        parser.error(f"--authors {chosen.authors}: no such folder")
    if chosen.threads < 1:
        parser.error(f"--threads {chosen.threads}: at least 1 is needed")
    if not chosen.seconds > 0:
        parser.error(f"--seconds {chosen.seconds:g}: above 0 is needed")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no GPU here")
    try:
        chosen.only = [catalog.get(name).name for name in chosen.only or ()]
    except LookupError as error:
        parser.error(f"--only: {error}")
    return chosen


def shape_of(text: str) -> Shape:
    """`B,C,H,W` as an argument of the command line."""
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if len(shape) != 4 or min(shape) < 1 or shape[1] < 16:
        raise argparse.ArgumentTypeError(f"{text!r}: four positive sizes B,C,H,W with C of at least 16 are needed")
    return Shape(*shape)


def main(line: Sequence[str] | None = None) -> int:
    """Runs the benchmark; 1 if a gate is red."""
    chosen = arguments(line)
    torch.set_num_threads(chosen.threads)
    bench = Bench(
        chosen.shape,
        tuple(LAYOUTS) if chosen.layout == "both" else (chosen.layout,),
        chosen.seconds,
        chosen.device,
        chosen.compile,
        chosen.authors,
    )
    entries = [entry for entry in catalog.entries() if not chosen.only or entry.name in chosen.only]
    result: dict[str, Any] = {
        "machine": results.machine(chosen.device, chosen.threads),
        "settings": {"seconds": bench.seconds, "compiled": bench.compiled, "tolerance": gate.TOLERANCE},
        "rows": [],
        "floors": [],
        "alone": [entry.name for entry in entries if not peers(entry.name)],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the authors' code is of its time
        for entry in entries:
            for layout in bench.layouts:
                for peer in peers(entry.name):
                    result["rows"].append(row_of(bench, peer, layout))
                    say(result["rows"][-1])
                for floor in floors(entry.name):
                    result["floors"].append(bench.distance(floor, layout))
    text = results.table(result)
    print(text)
    if chosen.out is not None:
        try:
            results.write(result, text, chosen.out, f"{chosen.device}-compiled" if chosen.compile else chosen.device)
        except OSError as error:
            print(f"error: --out {chosen.out}: {error.strerror or error}", file=sys.stderr)
            return 1
    failed = False
    for status in ("red gate", "ours fails"):
        rows = [row for row in result["rows"] if row["status"] == status]
        if rows:
            print(f"{status}: {', '.join(row['peer'] for row in rows)}; no figure is shown for it", file=sys.stderr)
            failed = True
    return 1 if failed else 0


def row_of(bench: Bench, peer: Peer, layout: str) -> dict[str, Any]:
    """A row even where our own module raises, so that the rest of a long run is not lost."""
    try:
        return bench.compare(peer, layout)
    except Exception as error:
        traceback.print_exc()
        return bench.blank(peer, layout) | {"status": "ours fails", "reason": gate.first_line(error)}


def say(row: dict[str, Any], setting: str = "") -> None:
    """A line as soon as a row is done; the table comes at the end."""
    times = " ".join(f"{value['median']:.2f}" for value in row.get("time", {}).values())
    line = f"{row['entry']:9} {row['peer']:60} {setting or row['layout']:13} {row['status']} {times or row['reason']}"
    print(line.rstrip(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
