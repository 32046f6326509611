"""Writes docs/regions.md: captions and answers by attention to regions, to a grid, and to what is no object.

    python docs/regions.py --out regions.json
    python docs/regions.py --out regions-12.json --first 12 --seeds 1 --task captions
    python docs/regions.py --table regions-11.json regions-12.json > docs/regions.md

Every row of a seed is kept in the JSON file as soon as it is finished; the same command goes on there. `--table` only
prints the page of what the files hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captions import BATCH, BEAM, CELLS, DATA_SEED, FIRST, LONGEST, SIZE, TEST, TRAIN, WIDTHS, Told, trunk_of
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from regard.comparing.statistics import over_seeds
from regard.data.batches import Batch
from regard.data.scenes import QUESTIONS, Scenes, scenes
from regard.metrics.words.captions import Captions
from regard.networks.captioner import decode
from regard.papers.objectness import proposing
from regard.papers.top_down.network import TopDownAnswerer, TopDownCaptioner, within
from regard.saved.files import write_whole
from regard.tasks.answer import Answer
from regard.tasks.caption import Caption

STEPS = {"captions": 800, "answers": 2000}
RATE = {"captions": 4e-3, "answers": 2e-3}
PROPOSALS = 10
JITTER = 0.5
CHANNELS = WIDTHS[-1] + 4  # of the trunk's map, and where the region lies
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "captions": {"embedding": 48, "hidden": 64, "scores": 48},
    "answers": {"embedding": 32, "hidden": 96},
}
GRID = "grid of positions"
ROWS: Mapping[str, str] = {  # row -> where its boxes come from
    GRID: "grid",
    "true boxes": "true",
    "true boxes, jittered": "jittered",
    "proposed boxes": "proposed",
    "true boxes, equal weights": "true",
    "boxes of another scene": "other",
}
BLIND = "question alone"
KINDS = ("yes_no", "number", "other")
Kept = dict[str, dict[str, dict[str, dict[str, float]]]]  # task -> row -> seed -> measure -> figure


class Seen:
    """The regions of all scenes: the trunk's map at positions or within boxes, and where each region lies.

    Args:
        told: scenes with the maps of a trunk.
        kind: "grid", "true", "jittered", "proposed", "other" (the boxes of the next scene) or "blind" (zeros).

    Attributes:
        boxes: `N R 4` in 0..1, padded with zeros.
        visible: `bool N R`.
        features: `N R C`.
    """

    def __init__(self, told: Told, kind: str) -> None:
        self.told, self.kind = told, kind
        boxes = [self._boxes(i) for i in range(told.data.count)]
        self.boxes = pad_sequence(boxes, batch_first=True)
        self.visible = torch.arange(self.boxes.shape[1]) < torch.tensor([[len(one)] for one in boxes])
        maps = told.maps
        values = maps.flatten(2).transpose(1, 2) if kind in ("grid", "blind") else within(maps, self.boxes)
        features = torch.cat([values, self.boxes], 2).masked_fill(~self.visible[..., None], 0)
        self.features = torch.zeros_like(features) if kind == "blind" else features

    def _boxes(self, scene: int) -> Tensor:
        data = self.told.data
        if self.kind in ("grid", "blind"):
            y, x = torch.meshgrid(torch.arange(CELLS), torch.arange(CELLS), indexing="ij")
            return torch.stack([x, y, x + 1, y + 1], 2).flatten(0, 1) / CELLS
        if self.kind == "proposed":
            return proposed(data, scene)
        scene = (scene + 1) % data.count if self.kind == "other" else scene
        return data.regions(JITTER if self.kind == "jittered" else 0.0).boxes(scene)

    def fields(self, scenes: Tensor) -> dict[str, Tensor]:
        """What a network sees of some scenes."""
        return {"features": self.features[scenes], "features_mask": self.visible[scenes]}


@cache
def proposed(data: Scenes, scene: int) -> Tensor:
    """Windows of a scene, ranked by contrast to the image's mean: `R 4` in 0..1."""
    image = data.image(scene).permute(1, 2, 0).numpy()
    found = proposing.by_saliency(np.linalg.norm(image - image.mean((0, 1)), axis=2), first=PROPOSALS)[0]
    return torch.from_numpy(found).float() / SIZE


class Asked:
    """The questions of all scenes as tensors: words `N 6 T`, soft scores of the answers `N 6 A`, and types."""

    def __init__(self, data: Scenes) -> None:
        questions = data.questions()
        asked = [questions.asked(i) for i in range(len(questions))]
        words = pad_sequence([one["question"] for one in asked], batch_first=True)
        self.words = words.unflatten(0, (data.count, QUESTIONS))
        self.answers = torch.stack([one["answers"] for one in asked]).unflatten(0, (data.count, QUESTIONS))
        self.types = [one["answer_type"] for one in asked]

    def batch(self, scenes: Tensor, which: Tensor) -> dict[str, Any]:
        words = self.words[scenes, which]
        numbers = (scenes * QUESTIONS + which).tolist()
        return {
            "question": words,
            "question_mask": words > 0,
            "answers": self.answers[scenes, which],
            "answer_type": [self.types[i] for i in numbers],
        }


def built(task: str, row: str) -> nn.Module:
    """An untrained network; all of a task have the same parameters."""
    model: nn.Module
    if task == "captions":
        model = TopDownCaptioner(CHANNELS, vocabulary=len(Scenes.words), **NETWORKS[task])
        scores = model.core.attention.score  # type: ignore[union-attr]
    else:
        sizes = {"vocabulary": len(Scenes.question_words), "answers": len(Scenes.answers)}
        model = TopDownAnswerer(CHANNELS, **sizes, **NETWORKS[task])
        scores = model.attention.score  # type: ignore[union-attr]
    if row == "true boxes, equal weights":  # scores of zero, which stay so
        for parameter in scores.parameters():  # type: ignore[union-attr]
            nn.init.zeros_(parameter.requires_grad_(False))
    return model


def trained(task: str, row: str, sight: Seen, asked: Asked, *, seed: int, args: argparse.Namespace) -> nn.Module:
    """A network trained from the seed."""
    torch.manual_seed(seed)
    model, generator = built(task, row), torch.Generator().manual_seed(seed)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    steps, rate = args.steps or STEPS[task], args.rate or RATE[task]
    optimizer = torch.optim.Adam(learned, lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    learning: Caption | Answer = Caption(Scenes.words) if task == "captions" else Answer(len(Scenes.answers))
    told = sight.told
    for _ in range(steps):
        chosen = torch.randint(told.data.count, (BATCH,), generator=generator)
        which = torch.randint(5 if task == "captions" else QUESTIONS, (BATCH,), generator=generator)
        fields = told.batch(chosen, which) if task == "captions" else asked.batch(chosen, which)
        loss, _ = learning.loss(model, Batch({**fields, **sight.fields(chosen)}))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def written(model: nn.Module, sight: Seen) -> dict[str, float]:
    """CIDEr-D, sentences that are true of their scene, and words whose strongest place is their object, in percent."""
    data, metric, true, inside = sight.told.data, Captions(), [], []
    for chosen in torch.arange(data.count).split(50):
        found = decode(model, list(sight.fields(chosen).values()), beam=BEAM, longest=LONGEST)
        for scene, best in zip(chosen.tolist(), found, strict=True):
            tokens = data.words.decode(best[0].words)
            metric.update([tokens], [data.captions(scene)])
            true.append(data.holds(scene, tokens))
            for about, weights in zip(data.grounded(scene, tokens), best[0].maps["attention"], strict=False):
                if about is not None:
                    box = sight.boxes[scene, int(weights.argmax())].tolist()
                    inside.append(_inside(box, data.objects(scene)[about].box))
    scores = metric.compute()
    return {"cider": scores["cider"], "true": percent(true), "pointing": percent(inside)}


def percent(values: Sequence[float]) -> float:
    return 100 * sum(values) / max(len(values), 1)


def _inside(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the centre of a box lies in another."""
    x, y = (one[0] + one[2]) / 2, (one[1] + one[3]) / 2
    return other[0] <= x <= other[2] and other[1] <= y <= other[3]


@torch.no_grad()
def answered(model: nn.Module, sight: Seen, asked: Asked) -> dict[str, float]:
    """VQA accuracy in percent, of all questions and of each type."""
    task = Answer(len(Scenes.answers))
    metric = task.metric()
    for chosen in torch.arange(sight.told.data.count).split(50):
        for which in range(QUESTIONS):
            fields = asked.batch(chosen, torch.full_like(chosen, which))
            metric.update(*task.answers(model, Batch({**fields, **sight.fields(chosen)})))
    return {name.removeprefix("accuracy_"): 100 * value for name, value in metric.compute().items()}


def run(args: argparse.Namespace) -> None:
    """Trains what the file does not hold yet, seed by seed."""
    kept: Kept = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else {}
    train, test = (Told(one) for one in scenes(args.train, args.test, SIZE, seed=args.data_seed))
    asked, asked_test = Asked(train.data), Asked(test.data)
    for seed in range(args.first, args.first + args.seeds):
        trunk = trunk_of(train, seed)
        train.see(trunk), test.see(trunk)
        for task in ("captions", "answers") if args.task is None else (args.task,):
            rows = {**ROWS, **({BLIND: "blind"} if task == "answers" else {})}
            for row, boxes in rows.items():
                if (args.rows and row not in args.rows) or str(seed) in kept.get(task, {}).get(row, {}):
                    continue
                began = time.perf_counter()
                model = trained(task, row, Seen(train, boxes), asked, seed=seed, args=args)
                sight = Seen(test, boxes)
                figures = written(model, sight) if task == "captions" else answered(model, sight, asked_test)
                kept.setdefault(task, {}).setdefault(row, {})[str(seed)] = figures
                write_whole(args.out, json.dumps(kept, indent=1).encode())
                took = time.perf_counter() - began
                line = ", ".join(f"{key} {value:.2f}" for key, value in figures.items())
                print(f"{seed} {task}, {row}: {line} ({took:.0f} s)", file=sys.stderr, flush=True)


HEAD = """# Regions or a grid

Generated by `python docs/regions.py --table regions.json > docs/regions.md` from what
`python docs/regions.py --out regions.json` trained; do not edit.

```
regard train top-down --data coco/ --options '{{"features": "regions.tsv"}}' --out run     # captions
regard train top-down-vqa --data vqa/ --options '{{"features": "regions.tsv"}}' --out run  # answers
regard train top-down --tiny --out run                                                   # drawn scenes
```

*Bottom-Up and Top-Down Attention* (Anderson et al., 2018) attends to regions rather than to the positions of a grid.
Here both see the same map of the same trunk, that of [captions.md](captions.md), which has learned what is where and is
not trained further, with the same number of parameters: at its 36 positions, or averaged within boxes of drawn scenes
(`regard.data.scenes`, {size} × {size} pixels). A region's feature is that and its box. The boxes are those of the
objects; the same, moved and resized by up to {jitter:.0%} of their sides; {proposals} windows ranked by
contrast to the image's mean; and, as controls, true boxes whose weights are all equal, and the boxes of another scene.
{train} training scenes with five captions and six questions each, {test} test scenes, {captions} steps for captions and
{answers} for answers; settings were chosen on seeds and scenes that are not among these.

Means over seeds {seeds}, with the 95 % interval of Student's t where there are several; differences are to the grid,
paired by seed.
"""
TOLD = """
## Captions

`true` are sentences that hold of their scene, and `pointing` words for an object at which the strongest place or region
has its centre in the object's box, both in percent of the sentences that a beam writes.
"""
ASKED = """
## Answers

VQA accuracy in percent. *{blind}* sees zeros in place of the map.
"""


READ = """
Three seeds. Regions write no better sentences than a grid of the same map, and answer 5.5 points more questions, an
interval that holds zero; nearly all of it are questions of the kind "what color is …", for which a position holds parts
of several objects. Moved and resized boxes have lost that. **The boxes are what counts**: windows ranked by contrast,
ten of which cover the scene badly, are a point of CIDEr-D and 11 points of accuracy behind the grid, and so are the
boxes of another scene. **And the weights count more than the boxes**: equal weights over true boxes lose two points of
CIDEr-D, and for "other" questions come to half of the attended ones. What language alone gives away is 40 %.
"""


def cell(values: Sequence[float], digits: int, *, signed: bool = False) -> str:
    found = over_seeds(values)
    sign = "+" if signed else ""
    if len(values) == 1:
        return f"{found.mean:{sign}.{digits}f}"
    return f"{found.mean:{sign}.{digits}f} ({found.low:{sign}.{digits}f} … {found.high:{sign}.{digits}f})"


def lines(rows: Mapping[str, Mapping[str, Mapping[str, float]]], measures: Mapping[str, int], main: str) -> list[str]:
    """A table: a row for each network, the figures, and the difference of the main one to the grid."""
    found = [f"| | {' | '.join(measures)} | {main}, to the grid |", "|---|" + "---|" * (len(measures) + 1)]
    for row in (*ROWS, BLIND):
        seeds = rows.get(row)
        if not seeds:
            continue
        cells = [cell([one[name] for one in seeds.values()], digits) for name, digits in measures.items()]
        both = [seed for seed in seeds if seed in rows.get(GRID, {}) and row != GRID]
        gains = [seeds[seed][main] - rows[GRID][seed][main] for seed in both]
        cells.append(cell(gains, measures[main], signed=True) if gains else "")
        found.append(f"| {row} | {' | '.join(cells)} |")
    return found


def table(paths: Sequence[Path]) -> str:
    kept: Kept = {}
    for path in paths:
        for task, rows in json.loads(path.read_text(encoding="utf-8")).items():
            for row, seeds in rows.items():
                kept.setdefault(task, {}).setdefault(row, {}).update(seeds)
    seeds = sorted({seed for rows in kept.values() for own in rows.values() for seed in own}, key=int)
    head = HEAD.format(
        size=SIZE, jitter=JITTER / 2, proposals=PROPOSALS, train=TRAIN,
        test=TEST, **STEPS, seeds=", ".join(seeds),
    )  # fmt: skip
    page = [head]
    if "captions" in kept:
        page += [TOLD, *lines(kept["captions"], {"cider": 2, "pointing": 1, "true": 1}, "cider")]
    if "answers" in kept:
        measures = {"accuracy": 1, **dict.fromkeys(KINDS, 1)}
        page += [ASKED.format(blind=BLIND), *lines(kept["answers"], measures, "accuracy")]
    page.append(READ.rstrip())
    return "\n".join(page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("regions.json"), help="the JSON file of all seeds")
    parser.add_argument("--table", type=Path, nargs="+", help="print the page of these files, and train nothing")
    parser.add_argument("--task", choices=("captions", "answers"), help="one of the two tasks")
    parser.add_argument("--rows", nargs="+", help="only these rows")
    parser.add_argument("--first", type=int, default=FIRST, help="the first seed")
    parser.add_argument("--seeds", type=int, default=3, help="the number of seeds")
    parser.add_argument("--train", type=int, default=TRAIN, help="training scenes")
    parser.add_argument("--test", type=int, default=TEST, help="test scenes")
    parser.add_argument("--steps", type=int, help="steps of the training")
    parser.add_argument("--rate", type=float, help="the highest learning rate")
    parser.add_argument("--data-seed", type=int, default=DATA_SEED, help="the seed of the scenes")
    args = parser.parse_args()
    if args.table:
        print(table(args.table))
    else:
        run(args)


if __name__ == "__main__":
    main()
