"""Attention to scale on drawn objects of three sizes: does the fine scale weigh less on larger objects?

    python docs/scales.py train --out scales/ --seeds 10
    python docs/scales.py table --out scales/

Every network is trained on 600 scenes of discs, squares and triangles and scored on 200 others. All see the scene
through a small trunk, whose field of view is 11 pixels, so that a pixel in the middle of a large object sees its edges
only where the image is seen small. `train` writes a file for each network and seed, and skips those that are there;
`table` shows the seeds of which every network is there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional

from regard import create, watch
from regard.comparing.statistics import Interval, over_seeds
from regard.data.sized_shapes import CLASSES, DIAMETERS, SizedShapes
from regard.metrics.segmentation import Segmentation
from regard.saved.files import write_whole
from regard.tasks.inference import label_map
from regard.tasks.segment import Segment
from regard.training.loop import fit
from regard.training.plan import Plan

TRAIN, TEST = 600, 200
SCALES = (1.0, 0.5, 0.25)
EPOCHS, LR, SLOWER = 20, 4e-3, 0.03
HIDDEN = 12
FEATURES = 24
# (channels, kernel, stride, dilation) of each convolution of a trunk; field of view: 11 pixels
TRUNK = ((16, 3, 2, 1), (24, 3, 1, 1), (24, 3, 1, 1), (FEATURES, 1, 1, 1))
# as many parameters as with attention; PLAIN also as many multiplications (97 %), WIDE more (113 %)
WIDE = ((24, 3, 2, 1), (28, 3, 1, 1), (36, 3, 1, 1), (44, 1, 1, 1))
PLAIN = ((38, 3, 1, 1), (18, 3, 2, 1), (26, 3, 1, 1), (26, 3, 1, 1))
DILATED = tuple((*layer[:3], dilation) for layer, dilation in zip(PLAIN, (1, 1, 2, 4), strict=True))
Layers = Sequence[tuple[int, int, int, int]]
NETWORKS: dict[str, dict[str, Any]] = {
    "attention, extra": {"merge": "attention", "extra": True},
    "attention": {"merge": "attention", "extra": False},
    "average, extra": {"merge": "average", "extra": True},
    "average": {"merge": "average", "extra": False},
    "average, extra, as large": {"merge": "average", "extra": True, "trunk": WIDE},
    "max, extra": {"merge": "max", "extra": True},
    "max": {"merge": "max", "extra": False},
    "one scale, as large": {"scales": (1.0,), "merge": "average", "extra": False, "trunk": PLAIN},
    "one scale, dilated": {"scales": (1.0,), "merge": "average", "extra": False, "trunk": DILATED},
}
ASKED = "attention, extra"  # the paper's network, whose weights are asked for
UNIFORM, SHUFFLED = "its weights made uniform", "its weights shuffled over positions and images"
SIZES = ("large", "medium", "small")


def trunk(layers: Layers) -> nn.Sequential:
    """Convolutions, each with a ReLU; without norms, whose statistics would differ between the scales."""
    made: list[nn.Module] = []
    before = 3
    for out, kernel, stride, dilation in layers:
        convolution = nn.Conv2d(before, out, kernel, stride, dilation * (kernel // 2), dilation)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        made += [convolution, nn.ReLU()]
        before = out
    return nn.Sequential(*made)


def network(*, trunk_of: Layers = TRUNK, **options: Any) -> nn.Module:
    """The library's network, with a small trunk in VGG-16's place."""
    built: nn.Module = create(
        "attention_to_scale",
        classes=len(CLASSES),
        **{"scales": SCALES, "hidden": HIDDEN, "width": 1, "features": trunk_of[-1][0], **options},
    )
    built.trunk = trunk(trunk_of)
    return built


def made(name: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    options = dict(NETWORKS[name])
    return network(trunk_of=options.pop("trunk", TRUNK), **options)


@torch.no_grad()
def scored(model: nn.Module, samples: Sequence[dict[str, Tensor]]) -> dict[str, float]:
    """mIoU over all pixels, and the share of right pixels of the objects of each size, in percent."""
    task = Segment(len(CLASSES))
    metric = Segmentation(len(CLASSES), CLASSES)
    right: dict[str, list[int]] = {size: [0, 0] for size in SIZES}
    for start in range(0, len(samples), 50):
        part = samples[start : start + 50]
        images = torch.stack([sample["image"] for sample in part])
        for sample, found in zip(part, task.inference(model, images), strict=True):
            said = label_map(found, *sample["mask"].shape)
            metric.update([said], [sample["mask"]])
            for size, (least, most) in zip(SIZES, DIAMETERS, strict=True):
                of = (sample["diameter"] >= least) & (sample["diameter"] <= most)
                right[size][0] += int((said == sample["mask"])[of].sum())
                right[size][1] += int(of.sum())
    shares = {size: 100 * hits / total for size, (hits, total) in right.items()}
    return {"mIoU": 100 * metric.compute()["miou"], **shares}


@torch.no_grad()
def weighed(model: nn.Module, samples: Sequence[dict[str, Tensor]]) -> dict[str, Any]:
    """The mean weight of each scale on every object: Spearman's ρ with the diameter, and means by size."""
    diameters: list[int] = []
    weights: list[list[float]] = []
    for sample in samples:
        with watch(model) as maps:
            model(sample["image"][None])
        (seen,) = maps["merge/scale"]
        large = functional.interpolate(seen, sample["mask"].shape, mode="bilinear", align_corners=True)[0]
        for number in range(1, int(sample["object"].max()) + 1):
            of = sample["object"] == number
            diameters.append(int(sample["diameter"][of][0]))
            weights.append(large[:, of].mean(1).tolist())
    table = torch.tensor(weights)
    by_size = {}
    for size, (least, most) in zip(SIZES, DIAMETERS, strict=True):
        of = torch.tensor([least <= one <= most for one in diameters])
        by_size[size] = table[of].mean(0).tolist()
    rho = [float(spearmanr(table[:, s], diameters).statistic) for s in range(table.shape[1])]
    return {"spearman": rho, "weights": by_size, "objects": len(diameters)}


def other_weights(own: Callable[..., Tensor], way: str, seed: int) -> Callable[..., Tensor]:
    """A function that gives other weights in place of those that the attention finds."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*features: Tensor) -> Tensor:
        weights = own(*features)
        return torch.full_like(weights, 1 / weights.shape[1])

    def shuffled(*features: Tensor) -> Tensor:
        weights = own(*features).transpose(0, 1)  # [S, B, H, W]
        flat = weights.flatten(1)
        return flat[:, torch.randperm(flat.shape[1], generator=generator)].view_as(weights).transpose(0, 1)

    return uniform if way == UNIFORM else shuffled


def operations(model: nn.Module) -> int:
    """Multiplications of the convolutions for one image."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d)
        total += layer.weight.numel() * output.shape[2] * output.shape[3]

    handles = [layer.register_forward_hook(count) for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    model.eval()(SizedShapes(1)[0]["image"][None])
    for handle in handles:
        handle.remove()
    return total


@cache
def scenes(count: int, seed: int) -> list[dict[str, Tensor]]:
    """Drawn scenes, with the images normalised."""
    drawn = SizedShapes(count, seed=seed)
    return [{**drawn[i], "image": (drawn[i]["image"] - 0.5) / 0.25} for i in range(count)]


def trained(name: str, seed: int, epochs: int, tested: int) -> dict[str, Any]:
    """The figures of a network for one seed, which also draws its training scenes; the test scenes are always the same.

    Of the paper's network there are also those with other weights in place of its own.
    """
    began = time.perf_counter()
    test = scenes(TEST, tested)
    model = made(name, seed)
    rates = {"merge.*": SLOWER} if name.startswith("attention") else {}  # so that no scale wins before all have learned
    plan = Plan(epochs=epochs, batch_size=20, lr=LR, weight_decay=1e-3, clip=1.0, rates=rates, seed=seed)
    fit(model, Segment(len(CLASSES), weights=(1.0,) * (1 + len(SCALES))), scenes(TRAIN, seed), plan)
    model.eval()
    found: dict[str, Any] = {name: scored(model, test)}
    found[name]["parameters"] = sum(one.numel() for one in model.parameters())
    if name.startswith("attention"):
        found[name]["looks"] = weighed(model, test)
    if name == ASKED:
        own = model.get_submodule("merge").weights  # type: ignore[union-attr]
        for way in (UNIFORM, SHUFFLED):
            model.get_submodule("merge").weights = other_weights(own, way, seed)  # type: ignore[assignment]
            found[way] = scored(model, test)
            if way == SHUFFLED:
                found[way]["looks"] = weighed(model, test)
    print(f"seed {seed}, {name}: {found[name]}, {time.perf_counter() - began:.0f} s", flush=True)
    return found


def table(folder: Path) -> str:
    """The Markdown tables of every seed of which all networks are there."""
    seeds: dict[int, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        seeds.setdefault(found["seed"], {}).update(found["networks"])
    whole = [one for _, one in sorted(seeds.items()) if all(name in one for name in NETWORKS)]
    if not whole:
        raise SystemExit(f"{folder} holds no seed with every network: run `train` first")
    lines = [
        f"Mean of {len(whole)} seeds, with the 95 % interval of Student's t; differences are paired by seed.",
        "",
        "| network | parameters | mIoU, % | against attention, extra | large | medium | small |",
        "|---|---|---|---|---|---|---|",
    ]
    own = [one[ASKED]["mIoU"] for one in whole]
    for name in (*NETWORKS, UNIFORM, SHUFFLED):
        rows = [one[name] for one in whole]
        cells = [_shown(over_seeds([row["mIoU"] for row in rows]))]
        against = over_seeds([row["mIoU"] - other for row, other in zip(rows, own, strict=True)])
        cells.append("" if name == ASKED else _shown(against, sign=True))
        cells += [f"{over_seeds([row[size] for row in rows]).mean:.1f}" for size in SIZES]
        count = f"{rows[0]['parameters']:,}" if "parameters" in rows[0] else ""
        lines.append(f"| {name} | {count} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| weights of | ρ of the fine scale with the diameter | fine scale on large | medium | small |",
        "|---|---|---|---|---|",
    ]
    for name in (ASKED, "attention", SHUFFLED):
        looks = [one[name]["looks"] for one in whole]
        rho = over_seeds([look["spearman"][0] for look in looks], floor=-1, ceiling=1)
        means = [f"{over_seeds([look['weights'][size][0] for look in looks]).mean:.2f}" for size in SIZES]
        lines.append(f"| {name} | {_shown(rho, sign=True, digits=2)} | " + " | ".join(means) + " |")
    return "\n".join(lines)


def _shown(one: Interval, *, sign: bool = False, digits: int = 1) -> str:
    form = f"{'+' if sign else ''}.{digits}f"
    return f"{one.mean:{form}} ({one.low:{form}} to {one.high:{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "table", "cost"))
    parser.add_argument("--out", type=Path, default=Path("scales"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12, 13, 14])
    parser.add_argument("--networks", nargs="+", choices=tuple(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--test", type=int, default=0, help="the seed of the test scenes")
    given = parser.parse_args()
    if given.what == "table":
        print(table(given.out))
    elif given.what == "cost":
        for name in NETWORKS:
            model = made(name, 0)
            parameters = sum(one.numel() for one in model.parameters())
            print(f"{name}: {parameters:,} parameters, {operations(model):,} multiplications")
    else:
        for seed in given.seeds:
            for name in given.networks:
                path = given.out / f"{seed}-{name.replace(', ', '-').replace(' ', '-')}.json"
                if not path.exists():  # what is finished stays, also if the run is stopped
                    found = trained(name, seed, given.epochs, given.test)
                    write_whole(path, json.dumps({"seed": seed, "networks": found}, indent=1).encode())


if __name__ == "__main__":
    main()
