"""Trains classifiers on digits whose background agrees with their class, and asks where they look.

    python docs/guided.py run --out guided.json --seeds 1 2              # two of the five seeds, five minutes on a core
    python docs/guided.py table guided-1.json guided-2.json guided-3.json  # what all of them have found
    python docs/guided.py picture --out guided.png                        # maps before and after, a minute

`run` trains every row of `ROWS` once for each seed, all from the same initial weights of a seed and on the same images,
and writes the file after each training; a run that was stopped goes on where it was. docs/guided.md has the results.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from regard import create
from regard.comparing.statistics import over_seeds
from regard.data import Split, biased_digits
from regard.data.batches import Batch
from regard.data.few_masks import VOID, FewMasks
from regard.metrics.seeds import SeedCurve
from regard.saved.files import write_whole
from regard.tasks.classify import Classify

SEEDS = (1, 2, 3, 4, 5)  # of the record; settings were chosen with 101 to 103
CLASSES = len(biased_digits.CLASSES)
NORMALISE = ((0.4,) * 3, (0.25,) * 3)
NETWORK: Mapping[str, Any] = {
    "classes": CLASSES, "backbone": None, "widths": (12, 24, 24),
    "normalise": "sample", "sigma": 0.5, "omega": 10.0,
}  # fmt: skip
EPOCHS, BATCH, RATE = 20, 48, 1e-2
ALPHA, OMEGA, SCORE = 0.1, 100.0, "sigmoid"  # of GAIN's losses
MASKED = 3.0  # of the plain mask loss


class Row(NamedTuple):
    """What one row trains.

    Args:
        kind: plain, gain, masked (an auxiliary segmentation head) or pasted (digits cut out by their masks).
        masks: how many training images have a mask.
        shuffled: these have the masks of each other.
        grey: the images have no colour, for which one has to know what the bias is.
        epochs: of the training.
    """

    kind: str
    masks: int = 0
    shuffled: bool = False
    grey: bool = False
    epochs: int = EPOCHS


ROWS: Mapping[str, Row] = {
    "plain classifier": Row("plain"),
    "plain classifier, twice the steps": Row("plain", epochs=2 * EPOCHS),
    "plain classifier, images without colour": Row("plain", grey=True),
    "GAIN": Row("gain"),
    **{f"GAIN_ext, {n} masks": Row("gain", n) for n in (10, 50, 200)},
    **{f"GAIN_ext, {n} shuffled masks": Row("gain", n, shuffled=True) for n in (200,)},
    **{f"mask loss, {n} masks": Row("masked", n) for n in (10, 50, 200)},
    "mask loss, 200 shuffled masks": Row("masked", 200, shuffled=True),
    **{f"cut out and pasted, {n} masks": Row("pasted", n) for n in (10, 50, 200)},
}


class Headed(nn.Module):
    """The same classifier with a head on its last map that says the class of each pixel, for the plain mask loss."""

    def __init__(self, gain: nn.Module) -> None:
        super().__init__()
        self.gain = gain
        self.head = nn.Conv2d(NETWORK["widths"][-1], CLASSES + 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores `B K`, and scores of every pixel `B K+1 H W`."""
        found: list[Tensor] = []
        features = self.gain.get_submodule("classifier.features")
        handle = features.register_forward_hook(lambda module, inputs, output: found.append(output))
        try:
            scores = self.gain(x)
        finally:
            handle.remove()
        return scores, F.interpolate(self.head(found[0]), x.shape[2:], mode="bilinear", align_corners=False)


class MaskLoss(NamedTuple):
    """Cross-entropy of the class, and of the pixels of images with a mask."""

    weight: float = MASKED

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        scores, pixels = model(batch["image"])
        labels = batch["mask"].long()
        known = (labels != VOID).sum()
        summed = F.cross_entropy(pixels, labels, ignore_index=VOID, reduction="sum")
        return F.cross_entropy(scores, batch["label"]) + self.weight * summed / known.clamp_min(1), {}


def pasted(fields: Mapping[str, Tensor], chosen: Tensor, generator: Generator) -> dict[str, Tensor]:
    """A batch whose every second image is a digit cut out by its mask, on the mean colour of any training image."""
    batch = {name: values[chosen] for name, values in fields.items()}
    masked = (fields["mask"] != VOID).flatten(1).all(1).nonzero()[:, 0]
    half = len(chosen) // 2
    cut = masked[torch.randint(len(masked), (half,), generator=generator)]
    canvas = fields["image"][torch.randint(len(fields["image"]), (half,), generator=generator)].mean(
        (2, 3), keepdim=True
    )
    noise = biased_digits.NOISE * torch.randn(half, *fields["image"].shape[1:], generator=generator)
    there = (fields["mask"][cut] > 0)[:, None]
    batch["image"][:half] = torch.where(there, fields["image"][cut], canvas + noise)
    batch["label"][:half] = fields["label"][cut]
    return batch


def fields_of(row: Row, seed: int, train: Split) -> dict[str, Tensor]:
    """What a row is given of the training images: images, labels, and label maps, 255 without a mask."""
    few = FewMasks(train, row.masks, seed=seed, shuffled=row.shuffled)
    images = train.images(range(len(train)))
    return {
        "image": grey(images) if row.grey else images,
        "label": torch.tensor(train.labels),
        "mask": torch.stack([few.mask(i) for i in range(len(few))]),
    }


def grey(image: Tensor) -> Tensor:
    """An image without colour: `... 3 H W`, the mean of its channels in each."""
    return image.mean(-3, keepdim=True).expand_as(image)


def normalised(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in NORMALISE)
    return (images - mean) / std


def trained(row: Row, seed: int, train: Split) -> nn.Module:
    """The network of a row after its training, without the head of a mask loss."""
    fields, generator = fields_of(row, seed, train), Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = create("gain", **NETWORK)
    task = {"gain": guide(), "masked": MaskLoss(MASKED)}.get(row.kind, Classify(CLASSES))
    learner = Headed(model) if row.kind == "masked" else model
    optimizer = torch.optim.AdamW(learner.parameters(), lr=RATE, weight_decay=0.05)
    steps = row.epochs * (len(train) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    learner.train()
    for _ in range(row.epochs):
        for chosen in torch.randperm(len(train), generator=generator).split(BATCH)[: len(train) // BATCH]:
            if row.kind == "pasted":
                batch = pasted(fields, chosen, generator)
            else:
                batch = {name: values[chosen] for name, values in fields.items()}
            batch["image"] = normalised(batch["image"])
            loss, _ = task.loss(learner, Batch(batch))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model.eval()


def guide() -> Any:
    from regard.papers.gain.task import Guide

    return Guide(CLASSES, alpha=ALPHA, omega=OMEGA, score=SCORE)


def seen(model: nn.Module, split: Split, *, without_colour: bool = False) -> tuple[Tensor, Tensor]:
    """Scores `N K` of a split, and the maps `N H W` of its true classes."""
    images, labels = split.images(range(len(split))), torch.tensor(split.labels)
    images = grey(images) if without_colour else images
    scores, cams = [], []
    with torch.no_grad():
        for part, own in zip(normalised(images).split(100), labels.split(100), strict=True):
            streams = model(part, own)
            scores.append(streams.scores)
            cams.append(streams.cams[:, 0])
    return torch.cat(scores), torch.cat(cams)


def curve(cams: Tensor, split: Split, count: int) -> SeedCurve:
    """The seeds of the first images of a split."""
    found = SeedCurve(CLASSES)
    for i in range(min(count, len(split))):
        label = split.labels[i]
        found.update(cams[i : i + 1], torch.tensor([label]), split.region(i).long() * (label + 1))
    return found


def measured(row: Row, seed: int) -> dict[str, Any]:
    """Trains a row and measures it: accuracy and energy on the test images, seeds on the training images."""
    data = biased_digits.load(seed=seed)
    began = time.process_time()
    model = trained(row, seed, data.train)
    seconds = time.process_time() - began
    scores, cams = seen(model, data.test, without_colour=row.grey)
    right = scores.argmax(1) == torch.tensor(data.test.labels)
    regions = torch.stack([data.test.region(i) for i in range(len(data.test))])
    inside, total = (cams * regions).sum((1, 2)), cams.sum((1, 2))
    area = regions.float().mean((1, 2))
    energy = torch.where(total > 0, inside / total.clamp_min(1e-12), area)  # a map of zeros counts as an even one
    hues = [data.test.hue(i) for i in range(len(data.test))]
    held = curve(seen(model, data.held, without_colour=row.grey)[1], data.held, 100)
    trains = curve(seen(model, data.train, without_colour=row.grey)[1], data.train, 300)
    return {
        "accuracy": float(right.float().mean()),
        "says_hue": float((scores.argmax(1) == torch.tensor(hues)).float().mean()),
        "energy": float(energy.mean()),
        "area": float(area.mean()),
        "empty": float((total <= 0).float().mean()),
        "seeds": trains.curve[held.best],
        "threshold": held.best,
        "curve": {f"{t:.2f}": miou for t, miou in trains.curve.items()},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds": seconds,
    }


def run(out: Path, seeds: list[int], rows: list[str]) -> None:
    found: dict[str, dict[str, Any]] = json.loads(out.read_text()) if out.exists() else {}
    for seed in seeds:
        for name in rows:
            if str(seed) in found.get(name, {}):
                continue
            figures = measured(ROWS[name], seed)
            found.setdefault(name, {})[str(seed)] = figures
            write_whole(out, json.dumps(found, indent=1).encode())
            shown = {key: round(value, 3) for key, value in figures.items() if isinstance(value, float)}
            print(seed, name, shown, flush=True)


def table(paths: list[Path]) -> str:
    """Markdown: figures of every row over the seeds, and the differences from the plain classifier, seed by seed."""
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        for name, seeds in json.loads(path.read_text()).items():
            found.setdefault(name, {}).update(seeds)
    plain = next(iter(ROWS))
    lines = [
        "| row | accuracy, % | against plain | says the hue, % | energy on the digit, % | seeds' mIoU, % | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in (name for name in ROWS if name in found):
        each = found[name]
        both = sorted(each.keys() & found.get(plain, {}).keys())
        pairs = [100 * (each[seed]["accuracy"] - found[plain][seed]["accuracy"]) for seed in both]
        against = "" if name == plain or not pairs else _shown(pairs, signed=True)
        columns = [_shown([100 * one[key] for one in each.values()]) for key in ("says_hue", "energy", "seeds")]
        accuracy = _shown([100 * one["accuracy"] for one in each.values()])
        lines.append(f"| {name} | {accuracy} | {against} | {' | '.join(columns)} | {len(each)} |")
    every = [one for seeds in found.values() for one in seeds.values()]
    if every:
        lines += ["", f"The digit covers {100 * sum(one['area'] for one in every) / len(every):.1f} % of an image."]
    return "\n".join(lines)


def curves(paths: list[Path], names: list[str]) -> str:
    """Markdown: seeds' mIoU on the training images at every threshold, the mean over the seeds."""
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        for name, seeds in json.loads(path.read_text()).items():
            found.setdefault(name, {}).update(seeds)
    rows = [name for name in names if name in found]
    thresholds = list(next(iter(found[rows[0]].values()))["curve"])[1::2]
    lines = [f"| threshold | {' | '.join(thresholds)} | chosen |", "|---" * (len(thresholds) + 2) + "|"]
    for name in rows:
        each = list(found[name].values())
        means = [100 * sum(one["curve"][t] for one in each) / len(each) for t in thresholds]
        chosen = ", ".join(f"{one['threshold']:.2f}" for one in each)
        lines.append(f"| {name} | {' | '.join(f'{mean:.1f}' for mean in means)} | {chosen} |")
    return "\n".join(lines)


def _shown(values: list[float], *, signed: bool = False) -> str:
    interval = over_seeds(values)
    sign = "+" if signed else ""
    spread = "" if len(values) < 2 else f" ± {(interval.high - interval.low) / 2:.1f}"
    return f"{interval.mean:{sign}.1f}{spread}"


def picture(out: Path, seed: int) -> None:
    """Test images, and the maps of their classes from the plain classifier, GAIN and GAIN_ext with 200 masks."""
    data = biased_digits.load(seed=seed)
    strips = [data.test.images(range(10))]
    for name in (next(iter(ROWS)), "GAIN", "GAIN_ext, 200 masks"):
        cams = seen(trained(ROWS[name], seed, data.train), data.test)[1][:10, None]
        strips.append((cams / cams.amax((1, 2, 3), keepdim=True).clamp_min(1e-12)).expand(-1, 3, -1, -1))
    sheet = torch.cat([strip.permute(1, 2, 0, 3).flatten(2) for strip in strips], 1)
    pixels = (sheet.permute(1, 2, 0) * 255).round().byte().numpy()
    drawn = Image.fromarray(pixels)
    drawn.resize((3 * drawn.width, 3 * drawn.height), Image.Resampling.NEAREST).save(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    runs = parts.add_parser("run")
    runs.add_argument("--out", type=Path, required=True)
    runs.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    runs.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    tables = parts.add_parser("table")
    tables.add_argument("files", type=Path, nargs="+")
    tables.add_argument("--curves", nargs="+", choices=list(ROWS))
    pictures = parts.add_parser("picture")
    pictures.add_argument("--out", type=Path, required=True)
    pictures.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.part == "run":
        run(given.out, given.seeds, given.rows)
    elif given.part == "table":
        print(curves(given.files, given.curves) if given.curves else table(given.files))
    else:
        picture(given.out, given.seed)


if __name__ == "__main__":
    main()
