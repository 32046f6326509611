"""`python -m benchmarks.distorted MNIST`: distorted digits with and without spatial transformers, over several seeds.

The experiment of Jaderberg et al. (arXiv:1506.02025), Table 1, in small: each distortion of `regard.data.distorting`,
the paper's two kinds of networks without a transformer, and with one of each kind in front. All networks have as many
parameters: the second layer is as wide as `--parameters` allow. The control is the network with an affine transformer
whose localisation sees another image of the batch, in training and in the test: as many parameters and warps, but none
that fits the image. All see the same images in the same order. The results of a training are written as soon as it
ends; `--table` prints them.

    python -m benchmarks.distorted MNIST --device cuda --out results.json
    python -m benchmarks.distorted --table results.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import resident
from benchmarks.fully_connected import size_of, widest
from regard.comparing.statistics import over_seeds
from regard.data import mnist
from regard.data.distorting import NUMBERS, Distort
from regard.papers.stn.network import TransformerClassifier
from regard.papers.stn.recipe import CANVAS, CANVASES
from regard.tasks.classify import Classify
from regard.training.plan import Plan

PLAIN, CONTROL = "CNN", "ST-CNN affine, of another image"
TRANSFORMS: dict[str, str | None] = {
    PLAIN: None,
    "ST-CNN affine": "affine",
    "ST-CNN projective": "projective",
    "ST-CNN thin plate": "spline",
    CONTROL: "affine",
    "FCN": None,
    "ST-FCN affine": "affine",
}
FILTERS, KERNELS = 32, (9, 7)  # of the first convolution; the sides of both
SMALL = 28  # canvases below it are of embedded digits, and get the tutorial's 10 filters of 5 × 5
FIRST = 11  # settings were chosen with smaller seeds


def network(name: str, canvas: int, most: int) -> nn.Module:
    """The network of a name with at most `most` parameters."""

    def built(width: int) -> TransformerClassifier:
        first, kernels = (10, (5, 5)) if canvas < SMALL else (FILTERS, KERNELS)
        shape: dict[str, Any] = {"widths": (first, width), "kernels": kernels, "hidden": ()}
        if "FCN" in name:
            shape = {"widths": (), "hidden": (width, width)}
        return TransformerClassifier(grid=(canvas, canvas), transform=TRANSFORMS[name], dropout=0.0, **shape)

    model = built(widest(built, most))
    if name == CONTROL:
        assert model.transform is not None and model.transform.localise is not None
        model.transform.localise.register_forward_pre_hook(_other)
    return model


def _other(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The image before in the batch, in place of each."""
    return (inputs[0].roll(1, 0),)


def table(results: list[dict[str, Any]]) -> str:
    """For each network a row of mean errors with 95 % intervals, and the gain over the CNN or FCN, paired by seed."""
    kinds = [kind for kind in NUMBERS if any(one["distortion"] == kind for one in results)]
    found = {(one["network"], one["distortion"], one["seed"]): one["scores"]["error"] for one in results}
    lines = [f"| network | parameters | {' | '.join(kinds)} |", "|---|---|" + "---|" * len(kinds)]
    for name in TRANSFORMS:
        cells = []
        plain = "FCN" if "FCN" in name else PLAIN
        for kind in kinds:
            mine = {
                seed: error for (net, distortion, seed), error in found.items() if (net, distortion) == (name, kind)
            }
            if not mine:
                cells.append("")
                continue
            mean = over_seeds(list(mine.values()))
            cell = f"{mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}]"
            paired = [found[plain, kind, seed] - error for seed, error in mine.items() if (plain, kind, seed) in found]
            if name != plain and paired:
                gain = over_seeds(paired)
                cell += f"; gains {gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"
            cells.append(cell)
        sizes = [one["parameters"] for one in results if one["network"] == name]
        if sizes:
            size = f"{min(sizes):,} to {max(sizes):,}" if min(sizes) < max(sizes) else f"{sizes[0]:,}"
            lines.append(f"| {name} | {size} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="?", help="MNIST's files; without them, embedded digits")
    parser.add_argument("--distortions", nargs="+", choices=tuple(NUMBERS), default=tuple(NUMBERS))
    parser.add_argument("--networks", nargs="+", choices=tuple(TRANSFORMS), default=tuple(TRANSFORMS))
    parser.add_argument("--parameters", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=FIRST, help="the first seed")
    parser.add_argument("--seconds", type=float, default=1e9, help="no training begins that would end later")
    parser.add_argument("--limit", type=int, help="at most this many training images")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, nargs="+", help="print the table of these results, and train nothing")
    chosen = parser.parse_args()
    if chosen.table is not None:
        files = [json.loads(path.read_text(encoding="utf-8")) for path in chosen.table]
        print(table([one for file in files for one in file["results"]]))
        return
    began = time.perf_counter()
    found = mnist.embedded() if chosen.data is None else mnist.load(chosen.data)
    parts = [
        (split.greys[:limit, None].to(chosen.device), torch.tensor(split.labels[:limit], device=chosen.device))
        for split, limit in ((found.train, chosen.limit), (found.test, None))
    ]
    device = torch.cuda.get_device_name() if str(chosen.device).startswith("cuda") else "cpu"
    settings = {name: str(value) for name, value in vars(chosen).items()}
    results: list[dict[str, Any]] = []
    longest: dict[tuple[str, str], float] = {}
    work = [
        (seed, kind, name)
        for names in ([n for n in chosen.networks if "FCN" not in n], [n for n in chosen.networks if "FCN" in n])
        for seed in range(chosen.first, chosen.first + chosen.seeds)
        for kind in chosen.distortions
        for name in names
    ]
    for seed, kind, name in work:
        if time.perf_counter() - began + longest.get((kind, name), 0.0) > chosen.seconds:
            print(f"no time for {name}, {kind}, seed {seed}", flush=True)
            continue
        start = time.perf_counter()
        distort = Distort(kind, CANVAS if chosen.data is None else CANVASES[kind])
        plan = Plan(
            epochs=chosen.epochs,
            batch_size=chosen.batch_size,
            lr=chosen.lr,
            weight_decay=1e-4,
            clip=1.0,
            normalise=mnist.NORMALISE,
            seed=seed,
        )
        torch.manual_seed(seed)
        model = network(name, distort.canvas, chosen.parameters).to(chosen.device)
        task = Classify(len(found.classes), errors=True)
        resident.fit(model, task, *parts[0], plan, distort.batch)
        scores = resident.evaluate(model, task, *parts[1], plan, distort.batch)
        seconds = time.perf_counter() - start
        longest[kind, name] = max(longest.get((kind, name), 0.0), 1.1 * seconds)
        facts = {"parameters": size_of(model), "scores": scores, "seconds": seconds}
        results.append({"network": name, "distortion": kind, "seed": seed, **facts})
        resident.kept(chosen.out, settings, device, results)
    print(table(results))


if __name__ == "__main__":
    main()
