"""Trains the networks of docs/diagnosis.md on drawn histories in which the deciding visit is known; prints its tables.

    python docs/histories.py run --seed 1 --out found/        # four minutes on one core; five seeds without --seed
    python docs/histories.py table --out found/

All networks learn on the same 4,000 histories of a seed for 16 epochs, 1,008 steps, and are scored on 1,000 others. A
run writes one file for each network and seed, and does not train again what has its file. The settings were chosen
with seed 100.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import Generator, nn

from regard import watch
from regard.comparing.statistics import over_seeds
from regard.data.drawn_histories import CODES, SEVERITIES, VISITS, Drawn, as_patients, drawn_histories
from regard.data.visits import Codes, Visits
from regard.ops.seeds import mixed
from regard.papers.dipole.network import DipoleNetwork
from regard.saved.files import write_whole
from regard.tasks.diagnose import Diagnose
from regard.training.loop import fit
from regard.training.plan import Plan
from regard.training.schedules import Cosine

SEEDS = (1, 2, 3, 4, 5)
TRAIN, TEST = 4000, 1000
SIZES = {"codes": len(CODES), "categories": len(SEVERITIES), "embedding": 24, "dropout": 0.0}
ROWS: Mapping[str, Callable[[], nn.Module]] = {  # as many parameters each as the width r allows
    "general": partial(DipoleNetwork, **SIZES, hidden=12, width=24, score="general"),
    "concatenation": partial(DipoleNetwork, **SIZES, hidden=12, width=24, score="concatenation", attention=12),
    "location": partial(DipoleNetwork, **SIZES, hidden=12, width=34, score="location"),
    "uniform": partial(DipoleNetwork, **SIZES, hidden=12, width=34, score="uniform"),
    "none": partial(DipoleNetwork, **SIZES, hidden=12, width=62, score=None),
    "forward": partial(DipoleNetwork, **SIZES, hidden=24, width=34, score=None, bidirectional=False),
}
NAMES = {
    "general": "Dipole, general scores",
    "concatenation": "Dipole, concatenation",
    "location": "Dipole, location scores",
    "uniform": "uniform weights",
    "none": "without attention",
    "forward": "forward GRU, without attention",
    "forest": "random forest on the codes of all visits",
    "frequent": "most frequent severity",
}
PLAN = Plan(
    epochs=16, batch_size=64, lr=1e-2, weight_decay=0.0, optimizer="adam", schedule=Cosine(), warmup=0.0, clip=1.0
)
DISTANCES = ((1, 3), (4, 6), (7, 9))
ONSETS = (2, 4, 6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--row", action="append", choices=tuple(NAMES), help="may stand several times; all without it")
    parser.add_argument("--seed", type=int, action="append", help=f"may stand several times; {SEEDS} without it")
    parser.add_argument("--epochs", type=int, default=PLAN.epochs)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the results")
    args = parser.parse_args()
    if args.what == "table":
        print(table(args.out))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seed or SEEDS:
        train, test = drawn_histories(TRAIN, seed=2 * seed), drawn_histories(TEST, seed=2 * seed + 1)
        for row in args.row or NAMES:
            path = args.out / f"{row}-{seed}.json"
            if not path.exists():
                found = trained(row, seed, train, test, args.epochs) if row in ROWS else plain(row, seed, train, test)
                write_whole(path, json.dumps(found, indent=1).encode())
                print(row, seed, f"{found['accuracy']:.3f}", file=sys.stderr)


def trained(row: str, seed: int, train: Sequence[Drawn], test: Sequence[Drawn], epochs: int) -> dict[str, Any]:
    """Trains one network; its accuracy, its weights on the deciding visit, and both with the controls."""
    torch.manual_seed(mixed(row, seed))
    model = ROWS[row]()
    plan = Plan(**{**vars(PLAN), "epochs": epochs, "seed": seed})
    task = Diagnose(classes=len(SEVERITIES), shares=[1 / len(SEVERITIES)] * len(SEVERITIES), ks=(1,))
    began = time.process_time()
    history = fit(model, task, dataset(train), plan)
    found = {
        "seed": seed,
        "parameters": sum(one.numel() for one in model.parameters()),
        "seconds": time.process_time() - began,
        "loss": history[-1]["loss"],
        **scored(model, test),
    }
    if row in ("general", "concatenation", "location"):
        found["shuffled"] = scored(model, shuffled(test, seed))
        even = DipoleNetwork(**{**ROWS[row].keywords, "score": "uniform"})  # type: ignore[attr-defined]
        even.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("attend.")})
        found["even"] = scored(even, test)
    return found


def dataset(histories: Sequence[Drawn]) -> Visits:
    return Visits(as_patients(histories), Codes(CODES), Codes(SEVERITIES))


def scored(model: nn.Module, histories: Sequence[Drawn]) -> dict[str, Any]:
    """Accuracy, by distance of the deciding visit and by the number of onsets, and the weights on that visit."""
    data = dataset(histories)
    said, weight, highest = [], [], []
    for start in range(0, len(data), 250):
        some = range(start, min(start + 250, len(data)))
        batch = data.collate_fn([data[i] for i in some])
        with torch.no_grad(), watch(model.eval()) as maps:
            said.append(model(batch["visits"], batch["visits_mask"])[:, -1].argmax(1))
        if "temporal" in maps:
            last = maps["temporal"][0][:, -1, :-1]  # [B, 9]
            cause = torch.tensor([histories[i].cause for i in some])
            weight.append(last.gather(1, cause[:, None])[:, 0])
            highest.append((last.argmax(1) == cause).float())
    found = by_kind(torch.cat(said).tolist(), histories)
    if weight:
        found |= {"weight": float(torch.cat(weight).mean()), "highest": float(torch.cat(highest).mean())}
    return found


def by_kind(said: Sequence[int], histories: Sequence[Drawn]) -> dict[str, Any]:
    """The share of right answers, of all histories, by distance in visits, and by the number of onsets."""
    right = np.array([answer == one.severity for answer, one in zip(said, histories, strict=True)])
    distance = np.array([VISITS - 1 - one.cause for one in histories])
    onsets = np.array([one.onsets for one in histories])
    return {
        "accuracy": float(right.mean()),
        **{f"distance {low}-{high}": float(right[(distance >= low) & (distance <= high)].mean())
           for low, high in DISTANCES},
        **{f"onsets {number}": float(right[onsets == number].mean()) for number in ONSETS},
    }  # fmt: skip


def shuffled(histories: Sequence[Drawn], seed: int) -> list[Drawn]:
    """The same histories with the visits before the last one in a random order."""
    generator = Generator().manual_seed(mixed("shuffled", seed))
    found = []
    for one in histories:
        order = torch.randperm(VISITS - 1, generator=generator).tolist()
        visits = (*(one.visits[i] for i in order), one.visits[-1])
        found.append(one._replace(visits=visits, cause=order.index(one.cause)))
    return found


def plain(row: str, seed: int, train: Sequence[Drawn], test: Sequence[Drawn]) -> dict[str, Any]:
    """A predictor without a network: the most frequent severity, or trees on which codes there are anywhere."""
    severities = [one.severity for one in train]
    if row == "frequent":
        return {"seed": seed, **by_kind([max(set(severities), key=severities.count)] * len(test), test)}
    forest = RandomForestClassifier(500, random_state=seed).fit(_anywhere(train), severities)
    return {"seed": seed, **by_kind(forest.predict(_anywhere(test)).tolist(), test)}


def _anywhere(histories: Sequence[Drawn]) -> Any:
    """Of each history, which codes any of its visits has."""
    data = dataset(histories)
    return torch.stack([data[i]["visits"].amax(0) for i in range(len(data))]).numpy()


def table(folder: Path) -> str:
    """The tables of the page, of all seeds that have been run."""
    found: dict[str, list[dict[str, Any]]] = {row: [] for row in NAMES}
    for path in sorted(folder.glob("*-*.json")):
        row = path.stem.rpartition("-")[0]
        if row in found:
            found[row].append(json.loads(path.read_text()))
    names = [f"distance {low}-{high}" for low, high in DISTANCES] + [f"onsets {number}" for number in ONSETS]
    lines = [
        f"|  | seeds | parameters | accuracy, % | {' | '.join(names)} | weight on the deciding visit, % |",
        "| --- |" + " --- |" * (4 + len(names)),
    ]
    for row, seeds in found.items():
        if seeds:
            parameters = f"{seeds[0]['parameters']:,}" if "parameters" in seeds[0] else "none"
            cells = [_cell(seeds, "accuracy"), *(_mean(seeds, name) for name in names), _cell(seeds, "weight")]
            lines.append(f"| {NAMES[row]} | {len(seeds)} | {parameters} | {' | '.join(cells)} |")
    lines += ["", "| difference in accuracy, % points | seeds | mean and interval |", "| --- | --- | --- |"]
    for one, other in (("general", "none"), ("concatenation", "none"), ("location", "none"), ("general", "forest"),
                       ("general", "location"), ("location", "uniform")):  # fmt: skip
        pairs = _paired(found[one], found[other])
        if pairs:
            lines.append(f"| {NAMES[one]} less {NAMES[other]} | {len(pairs)} | {_interval(pairs)} |")
    lines += ["", "| control | accuracy, % | weight on the deciding visit, % |", "| --- | --- | --- |"]
    for row in ("general", "concatenation", "location"):
        for control, what in (
            ("shuffled", "visits before the last shuffled"),
            ("even", "weights replaced by even ones"),
        ):
            seeds = [one[control] for one in found[row] if control in one]
            if seeds:
                lines.append(f"| {NAMES[row]}: {what} | {_cell(seeds, 'accuracy')} | {_cell(seeds, 'weight')} |")
    return "\n".join(lines)


def _paired(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> list[float]:
    others = {one["seed"]: one["accuracy"] for one in theirs}
    return [one["accuracy"] - others[one["seed"]] for one in ours if one["seed"] in others]


def _interval(values: Sequence[float]) -> str:
    found = over_seeds(values)
    if len(values) == 1:
        return f"{100 * found.mean:.1f}"
    return f"{100 * found.mean:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _cell(seeds: Sequence[Mapping[str, Any]], name: str) -> str:
    values = [one[name] for one in seeds if name in one]
    return _interval(values) if values else "–"


def _mean(seeds: Sequence[Mapping[str, Any]], name: str) -> str:
    return f"{100 * float(np.mean([one[name] for one in seeds])):.1f}"


if __name__ == "__main__":
    main()
