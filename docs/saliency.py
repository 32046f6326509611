"""Trains saliency networks on half of some photographs, and scores them on the other half beside simpler predictors.

    python docs/saliency.py fixations --data osie/ --out fixations.json
    python docs/saliency.py objects --data coco/ --out objects.json

`fixations` reads images with human fixations, `objects` images with masks, in any layout of `docs/saliency.md`. Two
folds: each half is the test set once, and the networks have seen only the other half. The trunk has random weights
unless `--weights` gives a checkpoint of it. Prints tables, and writes every seed's figures; a fold takes a few minutes
on a GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from regard import create, published
from regard.comparing.statistics import Interval, gain, over_seeds
from regard.data import fixations, images, masks
from regard.data.augmenting import Mirror
from regard.looking import gaze
from regard.metrics.salient_objects import Measures, averaged, measures
from regard.saved.files import write_whole
from regard.saved.opening import Network, open_network
from regard.tasks.fixations import Fixations
from regard.tasks.salient_objects import SalientObjects
from regard.training.loop import fit
from regard.training.plan import Plan
from regard.viewing import spatial

SIZE = 224
WIDTHS = {True: 64, False: 69}  # of the decoder with gates and without: 11.978 and 11.985 million parameters
NAMES = {True: "network with attention gates", False: "network without gates"}
ELSEWHERE = "with gates, map of another image"
CENTRED = "with gates, times centre bias"
BLUR = 0.04  # of the longer side, for Itti's sparse maps, as in docs/saliency.md
EPOCHS = {"fixations": 30, "objects": 20}
BATCH = {"fixations": 5, "objects": 16}
LR = 1e-3
EYES = ("nss", "auc_judd", "auc_shuffled", "cc", "sim", "kl")
OBJECTS = ("mae", "max_f", "mean_f", "weighted_f", "s_measure", "max_e")
TITLES = gaze.MEASURES | {
    "mae": "MAE", "max_f": "max F", "mean_f": "mean F", "weighted_f": "weighted F", "s_measure": "S", "max_e": "max E",
}  # fmt: skip

Array = NDArray[np.float64]


def trained(
    samples: Sequence[Mapping[str, Tensor]], task: Fixations | SalientObjects, settings: argparse.Namespace, seed: int,
    *, gates: bool,
) -> torch.nn.Module:  # fmt: skip
    """A network that is trained on samples, in evaluation mode."""
    torch.manual_seed(seed)
    model = create("saliency_net", 3, width=WIDTHS[gates], density=isinstance(task, Fixations), gates=gates)
    if settings.weights is not None:
        model.start_from(published.load(settings.weights))
    plan = Plan(
        epochs=settings.epochs,
        lr=settings.lr,
        batch_size=BATCH[settings.task],
        weight_decay=1e-4,
        clip=5.0,
        augment=Mirror(),
        seed=seed,
    )
    fit(model, task, samples, plan, device=settings.device)
    return model.eval()


@torch.no_grad()
def seen(model: torch.nn.Module, samples: Sequence[Mapping[str, Tensor]], device: str) -> list[Tensor]:
    """The logits of every image, `S S`."""
    return [model(sample["image"][None].to(device))[0, 0].double().cpu() for sample in samples]


def itti(network: Network, path: Path) -> dict[str, Array]:
    """Itti's maps of an image of its own size, blurred."""
    with images.quiet():
        maps = network.look(images.whole(path).pixels)
    found = {}
    for name in ("intensity", "colour", "orientation", "saliency"):
        heat = spatial(maps, name)
        assert heat is not None
        values = heat[0].double().numpy()
        found[f"Itti, {name}"] = gaussian_filter(values, BLUR * max(values.shape), mode="constant")
    found["Itti, all maps, mean"] = np.mean([shares(values) for values in found.values()], 0)
    return found


def shares(values: Array) -> Array:
    total = values.sum()
    return values / total if total > 0 else np.full_like(values, 1 / values.size)


def resized(values: Array, height: int, width: int) -> Array:
    x = torch.from_numpy(values)[None, None]
    return functional.interpolate(x, (height, width), mode="bilinear", align_corners=False)[0, 0].numpy()


# Fixations ------------------------------------------------------------------------------------------------------------


def prior(viewed: Sequence[fixations.Viewed], size: int) -> Array:
    """The density of all fixations of a half, at the networks' size."""
    places = [one.points * (size / one.width, size / one.height) for one in viewed]
    return fixations.density(fixations.counted(np.concatenate(places), size, size), 2 * fixations.SIGMA * size)


def looked(settings: argparse.Namespace) -> dict[str, Any]:
    """The measures of every predictor on every image: name -> measure -> seeds × images."""
    viewed = fixations.read(settings.data)
    halves = viewed[0::2], viewed[1::2]
    both = [[part[i] for i in range(len(part))] for part in (fixations.Fixated(half, settings.size) for half in halves)]
    found: dict[str, dict[str, list[list[float]]]] = {}

    def add(name: str, rows: Sequence[gaze.Row], number: int) -> None:
        (row,) = [row for row in rows if row.name == name]
        for measure in EYES:
            seeds = found.setdefault(name, {}).setdefault(measure, [])
            seeds += [[] for _ in range(number + 1 - len(seeds))]
            seeds[number] += row.values[measure].tolist()

    for learn, test in (halves, halves[::-1]):
        rows = gaze.score(
            test, partial(untrained, open_network("itti"), prior(learn, settings.size)), True, side=settings.side
        ).rows
        for row in rows:
            if row.name != gaze.TOGETHER:
                add(row.name, rows, 0)
    for number, seed in enumerate(settings.seeds):
        for fold, (learn, test) in enumerate((halves, halves[::-1])):
            maps: dict[str, list[Array]] = {}
            for gates in (True, False):
                began = time.perf_counter()
                model = trained(both[fold], Fixations(), settings, seed, gates=gates)
                logits = seen(model, both[1 - fold], settings.device)
                maps[NAMES[gates]] = [x.flatten().softmax(0).view_as(x).numpy() for x in logits]
                told(fold, seed, NAMES[gates], began)
            own, centre = maps[NAMES[True]], prior(learn, settings.size)
            maps |= {ELSEWHERE: own[1:] + own[:1], CENTRED: [shares(x * centre) for x in own]}
            rows = gaze.score(test, partial(of_image, test, maps), True, references=False, side=settings.side).rows
            for name in maps:
                add(name, rows, number)
        saved(settings, found)
    return found


def of_image(viewed: Sequence[fixations.Viewed], maps: Mapping[str, list[Array]], path: Path) -> dict[str, Array]:
    place = [one.path for one in viewed].index(path)
    return {name: several[place] for name, several in maps.items()}


def untrained(network: Network, centre: Array, path: Path) -> dict[str, Array]:
    """The maps of an image that need no training of a network."""
    everything = {"uniform": np.ones((4, 4)), "centre bias of the training half": centre} | itti(network, path)
    saliency = everything["Itti, saliency"]
    return everything | {"Itti, saliency, times centre bias": saliency * resized(centre, *saliency.shape)}


# Masks ----------------------------------------------------------------------------------------------------------------


def marked(settings: argparse.Namespace) -> dict[str, Any]:
    """The scores of every predictor: name -> measure -> seeds."""
    halves = masks.read(settings.data)
    samples = [
        [part[i] for i in range(len(part))] for part in (masks.Masked(half, settings.size, own=True) for half in halves)
    ]
    truths = [[sample["truth"].numpy() for sample in half] for half in samples]
    learned = [[{"image": sample["image"], "mask": sample["mask"]} for sample in half] for half in samples]
    several: dict[str, list[list[Measures]]] = {}

    def rate(name: str, test: int, maps: Sequence[Array], number: int = 0) -> None:
        seeds = several.setdefault(name, [])
        seeds += [[] for _ in range(number + 1 - len(seeds))]
        for x, truth in zip(maps, truths[test], strict=True):
            seeds[number].append(measures(resized(x, *truth.shape).clip(0, 1), truth))

    network = open_network("itti")
    for learn, test in ((0, 1), (1, 0)):
        rate("one half everywhere", test, [np.full((4, 4), 0.5)] * len(truths[test]))
        mean = np.mean([sample["mask"][0].numpy() for sample in learned[learn]], 0)
        rate("mean mask of the training half", test, [mean] * len(truths[test]))
        by_name = [itti(network, path) for path, _ in halves[test]]
        for name in by_name[0]:
            rate(name, test, [maps[name] / max(float(maps[name].max()), 1e-12) for maps in by_name])
    for number, seed in enumerate(settings.seeds):
        for learn, test in ((0, 1), (1, 0)):
            for gates in (True, False):
                began = time.perf_counter()
                model = trained(learned[learn], SalientObjects(), settings, seed, gates=gates)
                own = [x.sigmoid().numpy() for x in seen(model, learned[test], settings.device)]
                rate(NAMES[gates], test, own, number)
                if gates:
                    rate(ELSEWHERE, test, own[1:] + own[:1], number)
                told(learn, seed, NAMES[gates], began)
        saved(settings, means(several))
    return means(several)


def means(several: Mapping[str, list[list[Measures]]]) -> dict[str, Any]:
    scores = {name: [averaged(rows).scores() for rows in seeds if rows] for name, seeds in several.items()}
    return {name: {measure: [one[measure] for one in found] for measure in OBJECTS} for name, found in scores.items()}


# Tables ---------------------------------------------------------------------------------------------------------------


def told(fold: int, seed: int, what: str, began: float) -> None:
    print(f"fold {fold}, seed {seed}, {what}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)


def saved(settings: argparse.Namespace, found: Mapping[str, Any]) -> None:
    facts = {name: str(value) for name, value in vars(settings).items() if name not in ("data", "out")}
    write_whole(settings.out, json.dumps({"settings": facts, "found": found}, indent=1).encode())


def cell(values: Any) -> str:
    """A mean with its interval: over the seeds of a network, and the images where they are known."""
    array = np.array(values)
    if array.ndim == 1:
        one = over_seeds(array.tolist())
        return f"{one.mean:.2f}" if len(array) == 1 else shown(one)
    if len(array) == 1:  # no seeds: over the images
        return shown(over_seeds(array[0][~np.isnan(array[0])].tolist()))
    return shown(over_seeds(array.mean(1).tolist()))


def shown(interval: Interval) -> str:
    return f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def tables(found: Mapping[str, Any], names: Sequence[str]) -> str:
    """The scores, and what the network with gates gains on every other row, paired by seed (and image)."""
    lines = [f"| | {' | '.join(TITLES[name] for name in names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {what} | {' | '.join(cell(values[name]) for name in names)} |" for what, values in found.items()]
    lines += ["", f"| network with gates minus … | {' | '.join(TITLES[name] for name in names)} |"]
    lines.append("|---" * (len(names) + 1) + "|")
    ours = found[NAMES[True]]
    for what, theirs in found.items():
        if what != NAMES[True]:
            lines.append(f"| {what} | {' | '.join(difference(ours[name], theirs[name]) for name in names)} |")
    return "\n".join(lines)


def difference(ours: Any, theirs: Any) -> str:
    a, b = np.broadcast_arrays(np.array(ours), np.array(theirs))
    if a.ndim == 1:
        return shown(over_seeds((a - b).tolist()))
    there = ~np.isnan(a + b).any(0)
    return shown(gain(a[:, there], b[:, there]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("task", choices=("fixations", "objects"))
    parser.add_argument("--data", type=Path, required=True, help="a folder of images with fixations, or with masks")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file with every seed's figures")
    parser.add_argument("--seeds", type=int, default=5, help="the number of seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed; settings were chosen on seed 100")
    parser.add_argument("--size", type=int, default=SIZE, help="the side of the images, in pixels")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--side", type=int, default=gaze.SIDE, help="the longer side at which fixations are scored")
    parser.add_argument("--weights", type=Path, help="a checkpoint of ResNet-18 to start from")
    parser.add_argument("--device", default="cpu")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    settings.seeds = list(range(settings.first, settings.first + settings.seeds))
    settings.epochs = settings.epochs or EPOCHS[settings.task]
    settings.lr = settings.lr or LR
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    eyes = settings.task == "fixations"
    print(tables(looked(settings) if eyes else marked(settings), EYES if eyes else OBJECTS))


if __name__ == "__main__":
    main()
