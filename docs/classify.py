"""Trains networks known by name on one dataset, seed by seed, and prints their errors beside the first one's.

    python docs/classify.py --data cifar10/ --networks resnet20_cifar se_resnet20 --limit 1000 --epochs 8 --out a.json
    python docs/classify.py table a.json

All networks are trained by the plan of the first one, and the rows of a seed see the same augmented images in the same
order. The file of results is written after every row, so that a training that is stopped keeps what it has.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch.utils.data import Subset

from regard.catalog import recipes
from regard.comparing.statistics import over_seeds
from regard.data.dividing import limit
from regard.saved.files import write_whole
from regard.training import running
from regard.training.recipe import Recipe, built


def trained(network: str, recipe: Recipe, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One training of a network: its error in percent, parameters and seconds."""
    listing = recipes.get("classify")
    changes = {"epochs": args.epochs, "batch_size": args.batch_size, "lr": args.lr}
    with tempfile.TemporaryDirectory() as folder:
        given = {name: value for name, value in changes.items() if value is not None}
        result = running.train(listing, recipe, out=Path(folder) / "run", device=args.device, seed=seed, changes=given)
    return {
        "network": network, "seed": seed, "error": result["scores"]["error"], "parameters": result["parameters"],
        "seconds": result["seconds"], "changes": given, "train": len(recipe.train), "test": len(recipe.test),
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """The errors as a Markdown table, with the paired difference of each network to the first."""
    names = list(dict.fromkeys(row["network"] for row in rows))
    errors = {name: {row["seed"]: row["error"] for row in rows if row["network"] == name} for name in names}
    sizes = {row["network"]: row["parameters"] for row in rows}
    lines = ["| network | parameters | seeds | error, % | less than the first, points |", "|---|---|---|---|---|"]
    for name in names:
        own = over_seeds(list(errors[name].values()), floor=0)
        shared = [seed for seed in errors[names[0]] if seed in errors[name]]
        line = (
            f"| `{name}` | {sizes[name]:,} | {len(errors[name])} | {own.mean:.2f} ({own.low:.2f} to {own.high:.2f}) |"
        )
        if name == names[0] or len(shared) < 2:
            lines.append(f"{line} |")
            continue
        less = over_seeds([errors[names[0]][seed] - errors[name][seed] for seed in shared])
        lines.append(f"{line} {less.mean:+.2f} ({less.low:+.2f} to {less.high:+.2f}) |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1, help="the first seed; settings were chosen on seed 0")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--limit", type=int, help="images to train on, the same share of each class")
    parser.add_argument("--lr", type=float)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    began = time.perf_counter()
    listing = recipes.get("classify")
    made = {network: built(listing, args.data, options={"network": network}) for network in args.networks}
    phases = made[args.networks[0]].phases  # the same plan for all
    made = {network: replace(recipe, phases=phases) for network, recipe in made.items()}
    if args.limit is not None:
        for network, recipe in made.items():
            kept = limit(recipe.train.labels, args.limit, 0)  # type: ignore[attr-defined]
            made[network] = replace(recipe, train=Subset(recipe.train, kept))  # type: ignore[arg-type]
    for seed in range(args.first, args.first + args.seeds):
        for network, recipe in made.items():
            rows.append(trained(network, recipe, args, seed))
            write_whole(args.out, json.dumps(rows, indent=1).encode())
            print(f"{time.perf_counter() - began:.0f} s {network}, seed {seed}: {rows[-1]['error']:.2f} %", flush=True)
    print(table(rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["table"]:
        print(table([row for path in sys.argv[2:] for row in json.loads(Path(path).read_text(encoding="utf-8"))]))
    else:
        main()
