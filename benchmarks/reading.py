"""`python -m benchmarks.reading MNIST --recipe ram-translated`: glimpses beside convolutions, over several seeds.

Trains a recipe's network and its rivals of `benchmarks.fully_connected` on one device: a convolutional network of as
many parameters, and one of as many multiplications for an image, on the same images in the same order, by the same
plan for as many epochs. With `--taught 3 5 6`, networks for sums of two digits are first trained with the label of each
digit, three epochs wherever a glimpse falls and five of looking, and then with the sum, six epochs; all but the last
layer is kept. The results of a training are written as soon as it ends; `--table` prints them.

    python -m benchmarks.reading MNIST --recipe ram-translated --epochs 15 --device cuda --out results.json
    python -m benchmarks.reading --table results.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from benchmarks import resident
from benchmarks.fully_connected import RECIPES, Heads, compared, multiplications, rival, size_of
from regard.comparing.statistics import over_seeds
from regard.training import running
from regard.training.recipe import Phase, Recipe

OURS = "glimpses"
TAUGHT = ", taught to read"
NETWORKS = (OURS, "convolutional", "equal-multiplications", OURS + TAUGHT, "convolutional" + TAUGHT)
FIRST = 11  # settings were chosen with smaller seeds


def scattered(images: Tensor, generator: Generator, *, canvas: int) -> Tensor:
    """Puts each image at a random position on an empty canvas: `B C H W` -> `B C canvas canvas`."""
    count, channels, height, width = images.shape
    draws = torch.rand((2, count), generator=generator, device=images.device)
    rows, columns = (
        (draw * (canvas - length + 1)).long()[:, None] + torch.arange(length, device=images.device)
        for draw, length in zip(draws, (height, width), strict=True)
    )
    placed = images.new_zeros(count, channels, canvas, canvas)
    every = torch.arange(count, device=images.device)[:, None, None]
    placed[every, :, rows[:, :, None], columns[:, None]] = images.movedim(1, -1)
    return placed


def whole(data: Any, limit: int | None) -> tuple[Tensor, Tensor]:
    """All images of a dataset, uint8 `N C H W`, and their labels."""
    count = min(len(data), limit or len(data))
    return torch.stack([data.pixels(i) for i in range(count)]), torch.tensor(data.labels[:count])


def trained(kind: str, recipe: Recipe, seed: int, parts: dict[str, Any], chosen: argparse.Namespace) -> dict[str, Any]:
    """Trains and scores one network."""
    kind, taught = kind.removesuffix(TAUGHT), kind.endswith(TAUGHT)
    began = time.perf_counter()
    known: dict[str, Tensor] = {}
    epochs = chosen.epochs or [phase.plan.epochs for phase in recipe.phases]
    if taught:
        *first, last = chosen.taught
        images = parts["train"][0]
        reader, _ = _fitted(kind, parts["pairs"], seed, images, parts["digits"], first, parts, chosen, known)
        state = reader.state_dict()
        head = "classifier." if kind == OURS else f"{len(reader) - 2}."  # type: ignore[arg-type]
        known = {name: value for name, value in state.items() if not name.startswith(head)}
        epochs = [0] * (len(recipe.phases) - 1) + [last]
    model, phase = _fitted(kind, recipe, seed, *parts["train"], epochs, parts, chosen, known)
    scores = resident.evaluate(model, phase.task, *parts["test"], phase.plan)
    facts = {"parameters": size_of(model), "multiplications": parts["multiplications"][kind]}
    total = sum(chosen.taught) if taught else sum(epochs)
    seconds = time.perf_counter() - began
    name = kind + TAUGHT * taught
    return {"network": name, "seed": seed, **facts, "epochs": total, "scores": scores, "seconds": seconds}


def _fitted(
    kind: str,
    recipe: Recipe,
    seed: int,
    images: Tensor,
    labels: Tensor,
    epochs: Sequence[int],
    parts: dict[str, Any],
    chosen: argparse.Namespace,
    known: Mapping[str, Tensor],
) -> tuple[nn.Module, Phase]:
    """A network trained by the phases of a recipe, from `known` parameters where there are any, and its last phase."""
    torch.manual_seed(seed)
    model: nn.Module = recipe.build()
    phases = recipe.phases
    if kind != OURS:
        model = rival(kind, model, parts["image"], compared(recipe))
        phases = (replace(phases[-1], task=Heads(compared(recipe))),)
        epochs = [sum(epochs)]
    if kind not in parts["multiplications"]:
        parts["multiplications"][kind] = multiplications(model, parts["image"])
    model.load_state_dict(known, strict=False)
    model.to(chosen.device)
    for phase, count in zip(phases, epochs, strict=True):
        if count:
            plan = replace(phase.plan, epochs=count, seed=seed, batch_size=chosen.batch_size, lr=chosen.lr)
            trains = phase.trains if kind == OURS else ("*",)
            with running.only(model, replace(phase, trains=trains)):
                resident.fit(model, phase.task, images, labels, plan, parts["change"], on_epoch=told)
    return model, phases[-1]


def told(epoch: int, loss: float) -> None:
    print(f"epoch {epoch}: loss {loss:.4f}", file=sys.stderr, flush=True)


def table(results: list[dict[str, Any]]) -> str:
    """Rows of mean errors with 95 % intervals, and the differences from the glimpses, paired by seed."""
    lines = ["| network | parameters | multiplications | seeds | error, % | more than with glimpses, points |"]
    lines.append("|---|---|---|---|---|---|")
    ours = {one["seed"]: one["scores"] for one in results if one["network"] == OURS}
    for kind in NETWORKS:
        mine = [one for one in results if one["network"] == kind]
        three = any("mean_error" in one["scores"] for one in mine)
        for name in ("error", "single_error", "mean_error") if three else ("error",):
            found = [one["scores"][name] for one in mine if name in one["scores"]]
            if not found:
                continue
            mean = over_seeds(found)
            paired = [one["scores"]["error"] - ours[one["seed"]]["error"] for one in mine if one["seed"] in ours]
            gain = over_seeds(paired) if kind != OURS and paired else None
            more = "" if gain is None else f"{gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"
            label = kind if name == "error" else f"{kind}, {name}"
            size = f"{mine[0]['parameters']:,} | {mine[0]['multiplications'] / 1e6:.1f} M | {len(found)}"
            lines.append(f"| {label} | {size} | {mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}] | {more} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="?", help="MNIST's files; without them, the recipe's tiny variant")
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="ram-translated")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS[:3])
    parser.add_argument("--epochs", type=int, nargs="+", help="of each phase, where not those of the recipe")
    parser.add_argument("--taught", type=int, nargs=3, default=(3, 5, 6), help="epochs of the three parts of a lesson")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=FIRST, help="the first seed")
    parser.add_argument("--seconds", type=float, default=1e9, help="no training begins that would end later")
    parser.add_argument("--limit", type=int, help="at most this many training images")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, help="print the table of these results, and train nothing")
    chosen = parser.parse_args()
    if chosen.table is not None:
        print(table(json.loads(chosen.table.read_text(encoding="utf-8"))["results"]))
        return
    began = time.perf_counter()
    recipe = RECIPES[chosen.recipe](chosen.data, tiny=chosen.data is None)
    if chosen.recipe == "ram-cluttered":
        parser.error("ram-cluttered: its clutter is made sample by sample; use regard train")
    test = whole(recipe.test, None)
    canvas = test[0].shape[-1]
    train = whole(recipe.train, chosen.limit)
    parts = {
        "train": [one.to(chosen.device) for one in train],
        "test": [one.to(chosen.device) for one in test],
        "change": None if train[0].shape[-1] == canvas else lambda x, g: scattered(x, g, canvas=canvas),
        "image": torch.zeros(test[0].shape[1:]),
        "multiplications": {},
    }
    if any(kind.endswith(TAUGHT) for kind in chosen.networks):
        if chosen.recipe != "dram-addition":
            parser.error(f"--networks: those {TAUGHT[2:]} are for dram-addition")
        parts["pairs"] = RECIPES["dram-strips"](chosen.data)  # the same images, with the label of each digit
        parts["digits"] = torch.tensor(parts["pairs"].train.labels[: chosen.limit], device=chosen.device)
    settings = {name: str(value) for name, value in vars(chosen).items()}
    device = torch.cuda.get_device_name() if str(chosen.device).startswith("cuda") else "cpu"
    reading = time.perf_counter() - began
    print(f"{chosen.recipe} on {device}, {len(train[0])} images, {reading:.0f} s to read", flush=True)
    results: list[dict[str, Any]] = []
    longest = dict.fromkeys(NETWORKS, 0.0)
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        for kind in chosen.networks:
            if time.perf_counter() - began + longest[kind] > chosen.seconds:
                print(f"no time for {kind}, seed {seed}", flush=True)
                continue
            found = trained(kind, recipe, seed, parts, chosen)
            longest[kind] = max(longest[kind], 1.1 * found["seconds"])
            results.append(found)
            resident.kept(chosen.out, settings, device, results)
    print(table(results))


if __name__ == "__main__":
    main()
