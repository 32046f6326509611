"""Writes docs/overfit.md: captioners learn the captions of 80 photographs by heart, and nothing of other photographs.

    python docs/overfit.py coco_mini/ --out overfit.json
    python docs/overfit.py coco_mini/ --out overfit-12.json --first 12 --seeds 1
    python docs/overfit.py --table overfit.json overfit-12.json > docs/overfit.md

The folder is in COCO's layout: here 80 training and 40 validation images of COCO 2017 with five captions each. Every
seed is kept in the JSON file as soon as it is finished; the same command goes on there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regard import catalog
from regard.comparing.statistics import over_seeds
from regard.data import coco_captions
from regard.data.captioned import Captioned
from regard.data.words import Words
from regard.metrics.words.captions import Captions
from regard.metrics.words.cider import cider_d_each
from regard.saved.files import write_whole
from regard.tasks.caption import Caption
from regard.training.evaluate import batches, evaluating
from regard.training.loop import fit
from regard.training.plan import Plan
from regard.training.schedules import Cosine

SIZE = 32  # pixels on a side
FIRST = 11  # the settings were chosen with seed 0
NORMALISE = ((0.45,) * 3, (0.25,) * 3)
WIDTHS: Mapping[str, Any] = {"backbone": "convolutions", "embed": 64, "hidden": 256, "dropout": 0.0}
ROWS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "NIC": ("show_and_tell", {"cell": "tanh"}),
    "soft attention": ("show_attend_tell", {"attention": 64}),
}
CONSTANT = "one caption for all"
SENTENCES = ("of its own image", "of another image")


def built(name: str, words: Words) -> nn.Module:
    """An untrained captioner."""
    entry, options = ROWS[name]
    return catalog.create(entry, channels=3, vocabulary=len(words), **WIDTHS, **options)


def written(model: nn.Module, task: Caption, data: Captioned) -> tuple[list[list[str]], list[list[list[str]]]]:
    """The sentence for each image, and its references."""
    sentences: list[list[str]] = []
    references: list[list[list[str]]] = []
    with evaluating(model, torch.device("cpu")):
        for batch in batches(data, range(len(data)), batch_size=20, normalise=NORMALISE):
            own, known = task.answers(model, batch)
            sentences, references = sentences + own, references + known
    return sentences, references


def scored(sentences: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> dict[str, float]:
    """CIDEr-D in percent and the share of exact captions, of each image's own sentence and of the next image's."""
    found = {}
    for which, moved in zip(SENTENCES, (sentences, [*sentences[1:], sentences[0]]), strict=True):
        metric = Captions()
        metric.update(moved, references)
        exact = [
            list(one) in [list(known) for known in several] for one, several in zip(moved, references, strict=True)
        ]
        found[f"CIDEr-D {which}"] = 100 * metric.compute()["cider"]
        found[f"exact {which}"] = 100 * sum(exact) / len(exact)
    return found


def constant(train: Captioned) -> list[str]:
    """The training caption that is most like those of all training images."""
    references = [list(photo.captions) for photo in train.photos]
    candidates = [caption for photo in train.photos for caption in photo.captions[:1]]
    return list(
        max(candidates, key=lambda one: sum(cider_d_each([one] * len(references), references)))  # type: ignore[arg-type]
    )


def run(args: argparse.Namespace) -> None:
    """Trains what the file does not hold yet, seed by seed."""
    kept: dict[str, Any] = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else {}
    train, val = coco_captions.load(args.data, image_size=SIZE, least=1, longest=20)
    once = Captioned(train.photos, train.words, size=SIZE, longest=20, each=False)
    task = Caption(train.words, beam=3, longest=22)

    def keep(name: str, seed: str, values: Mapping[str, float]) -> None:
        kept.setdefault(name, {})[seed] = values
        write_whole(args.out, json.dumps(kept, indent=1).encode())

    if CONSTANT not in kept:
        said = constant(train)
        parts = {"training": once, "validation": val}
        found = {
            f"{part}: {name}": value
            for part, data in parts.items()
            for name, value in scored(
                [said] * len(data), [[list(one) for one in photo.captions] for photo in data.photos]
            ).items()
        }
        keep(CONSTANT, "all", found)
    for seed in range(args.first, args.first + args.seeds):
        for name in args.rows or ROWS:
            if str(seed) in kept.get(name, {}):
                continue
            torch.manual_seed(seed)
            model = built(name, train.words)
            plan = Plan(
                epochs=args.epochs, batch_size=50, lr=args.lr, weight_decay=0.0, optimizer="adam", clip=5.0, seed=seed,
                schedule=Cosine(), normalise=NORMALISE,
            )  # fmt: skip
            history = fit(model, task, train, plan)
            found = {"loss": history[-1]["loss"]}
            for part, data in (("training", once), ("validation", val)):
                sentences, references = written(model, task, data)
                found |= {f"{part}: {what}": value for what, value in scored(sentences, references).items()}
                print(seed, name, part, " | ".join(" ".join(one) for one in sentences[:4]), file=sys.stderr, flush=True)
            keep(name, str(seed), found)
            print(seed, name, json.dumps(found), file=sys.stderr, flush=True)


def page(files: Sequence[Path]) -> str:
    """The page of what the files hold."""
    kept: dict[str, dict[str, dict[str, float]]] = {}
    for file in files:
        for name, seeds in json.loads(file.read_text(encoding="utf-8")).items():
            kept.setdefault(name, {}).update(seeds)
    columns = [f"{part}: {what} {which}" for part in ("training", "validation") for what in ("CIDEr-D", "exact")
               for which in SENTENCES if what == "CIDEr-D" or which == SENTENCES[0]]  # fmt: skip
    lines = [HEAD, f"| captioner | seeds | {' | '.join(columns)} |", f"|---|---|{'---:|' * len(columns)}"]
    for name in (CONSTANT, *ROWS):
        if name not in kept:
            continue
        seeds = list(kept[name].values())
        cells = [_cell([one[column] for one in seeds]) for column in columns]
        count = "–" if name == CONSTANT else str(len(seeds))
        lines.append(f"| {name} | {count} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", TAIL])


def _cell(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.1f}"
    found = over_seeds(values)
    return f"{found.mean:.1f} ± {(found.high - found.low) / 2:.1f}"


HEAD = """# Eighty photographs by heart

`python docs/overfit.py coco_mini/ --out overfit.json` reads 80 training and 40 validation images of COCO 2017, five
captions each, in COCO's own layout, trains captioners of one size from random weights (three convolutions, images of
32 × 32 pixels), writes sentences with a beam of 3, and scores them with CIDEr-D (in percent; document frequencies of
the images that are scored). It shows that reading, training, writing and scoring fit together, and says nothing of any
method: a captioner that has seen 80 photographs knows nothing of others. The first column of a pair scores the sentence
of an image against the captions of the image, the second against those of another image, which is chance. "Exact" is
the share of images whose sentence is one of its captions, word by word. Intervals are 95 percent, by t over seeds.
"""
TAIL = """The settings were chosen with seed 0; the seeds of the table begin with 11."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="the folder, in COCO's layout")
    parser.add_argument("--out", type=Path, help="the JSON file of the figures")
    parser.add_argument("--table", type=Path, nargs="+", help="only print the page of these files")
    parser.add_argument("--first", type=int, default=FIRST, help="the first seed")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds")
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), help="only these captioners")
    args = parser.parse_args()
    if args.table:
        print(page(args.table))
        return
    if args.data is None or args.out is None:
        parser.error("the folder and --out are needed")
    run(args)
    print(page([args.out]))


if __name__ == "__main__":
    main()
