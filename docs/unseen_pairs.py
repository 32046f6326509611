"""Writes docs/unseen_pairs.md: objects that were never together in a training scene, described by slots and by words.

    python docs/unseen_pairs.py --out unseen_pairs.json
    python docs/unseen_pairs.py --out one.json --first 12 --seeds 1 --rows slots words
    python docs/unseen_pairs.py --table one.json two.json > docs/unseen_pairs.md

Every seed is kept in the JSON file as soon as it is finished; the same command goes on there. `--table` only prints the
page of what the files hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import regard
from regard.comparing.statistics import over_seeds
from regard.data.batches import Batch
from regard.data.scene_sentences import KINDS, SYNONYMS
from regard.data.scenes import Scenes, scenes
from regard.metrics.words.captions import Captions
from regard.papers.neural_baby_talk.slots.drawings import drawn, drawn_names
from regard.papers.neural_baby_talk.slots.slots import Described, Slotted
from regard.papers.neural_baby_talk.task import BabyTalk
from regard.saved.files import write_whole
from regard.tasks.caption import Caption

HELD_OUT = (
    ("zero", "one"), ("two", "three"), ("four", "five"), ("six", "seven"), ("eight", "nine"), ("square", "disc"),
)  # fmt: skip
SIZE = 32  # of the scenes, in pixels
TRAIN, TEST = 600, 150
STEPS, BATCH, RATE = 400, 32, 4e-3
BEAM, LONGEST = 3, 16
FIRST = 11  # seeds below were used to choose the settings
DATA_SEED = 5
SIZES = {"width": 80, "embedding": 48, "hidden": 48, "word_vector": 16, "dropout": 0.1}
ROWS = {
    "slots": "Neural Baby Talk: slots for regions",
    "words": "the same network and regions, every word textual",
    "grid": "the same network without regions",
    "nic": "NIC: the image once, no attention",
    "names": "slots, with the classes of the regions drawn at random in testing",
    "places": "slots, with the boxes of the regions drawn at random in testing",
}
TRAINED = ("slots", "words", "grid", "nic")
MEASURES = {
    "exact": "true sentences, %",
    "both": "both objects named, %",
    "false": "named objects that are not there, %",
    "cider": "CIDEr-D",
}
SETS = {"seen": "pairs seen in training", "unseen": "pairs never seen together"}
CONTRASTS = (("slots", "words"), ("words", "grid"), ("grid", "nic"), ("slots", "names"), ("slots", "places"))
COMMAND = "python docs/unseen_pairs.py --out unseen_pairs.json"
Kept = dict[str, dict[str, dict[str, Any]]]  # row -> seed -> measure -> figure
NAMES = {**{kind: kind for kind in KINDS}, **{other: kind for kind, other in SYNONYMS.items()}}


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def network(row: str, names: Any) -> nn.Module:
    """The network of a row; NIC has the width that comes nearest in parameters."""
    given = {"vocabulary": len(Scenes.words), "backbone": "convolutions"}

    def talker() -> nn.Module:
        sizes = {"classes": len(names.classes) + 1, "names": names.owners, **SIZES}
        model: nn.Module = regard.create("neural_baby_talk", 3, **given, **sizes)
        return model

    def nic(hidden: int) -> nn.Module:
        model: nn.Module = regard.create("show_and_tell", 3, embed=48, hidden=hidden, dropout=0.1, **given)
        return model

    if row != "nic":
        return talker()
    with torch.device("meta"):
        wanted = size(talker())
        best = min(range(32, 401, 4), key=lambda hidden: abs(size(nic(hidden)) - wanted))
    return nic(best)


def prepared(batch: Batch, row: str, generator: torch.Generator) -> Batch:
    """A batch as the network of a row sees it."""
    batch["image"] = (batch["image"] - 0.3) / 0.3
    shape = batch["classes"].shape
    if row == "grid":  # one region that is the same everywhere
        for name in ("boxes", "classes", "scores"):
            batch[name] = torch.zeros_like(batch[name][:, :1])
        batch["boxes_mask"] = torch.ones_like(batch["boxes_mask"][:, :1])
    elif row == "names":
        batch["classes"] = torch.randint(1, len(KINDS) + 1, shape, generator=generator)
    elif row == "places":
        batch["boxes"] = torch.rand(*shape, 2, 2, generator=generator).sort(2).values.flatten(2)
    return batch


def trained(row: str, data: Slotted, task: Any, *, seed: int, args: argparse.Namespace) -> nn.Module:
    """A network trained from the seed."""
    torch.manual_seed(seed)
    model = network(row, data.names)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, total_steps=args.steps, pct_start=0.1)
    model.train()
    for step in range(args.steps):
        chosen = torch.randint(len(data), (BATCH,), generator=generator).tolist()
        batch = prepared(data.collate_fn([data[i] for i in chosen]), row, generator)
        loss, _ = task.loss(model, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if args.verbose and step % 50 == 49:
            print(f"  {step + 1}: {loss.item():.3f}", file=sys.stderr, flush=True)
    return model.eval()


@torch.no_grad()
def scored(
    model: nn.Module, row: str, task: Any, data: Slotted, which: Sequence[int], test: Scenes
) -> dict[str, float]:
    """What is written about scenes: true sentences, objects named, and CIDEr-D."""
    metric, generator = Captions(), torch.Generator().manual_seed(0)
    true = both = named = absent = 0
    for first in range(0, len(data), 50):
        rows = list(range(first, min(first + 50, len(data))))
        batch = prepared(data.collate_fn([data[i] for i in rows]), row, generator)
        tokens, references = task.answers(model, batch)
        metric.update(tokens, references)
        for i, sentence in zip(rows, tokens, strict=True):
            scene = which[i]
            objects = test.objects(scene)
            there = {one.kind for one in objects}
            wanted = {one.kind for one in sorted(objects, key=lambda one: -one.area)[:2]}
            said = [NAMES[word] for word in sentence if word in NAMES]
            true += test.holds(scene, sentence)
            both += wanted <= set(said)
            named += len(said)
            absent += sum(kind not in there for kind in said)
    count = len(data)
    return {
        "exact": 100 * true / count,
        "both": 100 * both / count,
        "false": 100 * absent / max(named, 1),
        "cider": float(metric.compute()["cider"]),
    }


def described(data: Scenes, which: Sequence[int]) -> list[Described]:
    every = drawn(data)
    return [every[i] for i in which]


def run(args: argparse.Namespace) -> Kept:
    """Trains and scores every row and seed that is not in the file."""
    kept: Kept = json.loads(args.out.read_text(encoding="utf-8"))["rows"] if args.out.is_file() else {}
    for seed in range(args.first, args.first + args.seeds):
        train, unseen = scenes(args.train, args.test, SIZE, DATA_SEED + seed, HELD_OUT)
        _, plain = scenes(args.train, 2 * args.test, SIZE, DATA_SEED + seed)
        kinds = [{one.kind for one in plain.objects(i)} for i in range(plain.count)]
        free = [i for i, found in enumerate(kinds) if not any(set(pair) <= found for pair in HELD_OUT)][: args.test]
        tests = {"seen": (plain, free), "unseen": (unseen, list(range(unseen.count)))}
        names = drawn_names(train)
        images = drawn(train)
        for row in args.rows:
            if str(seed) in kept.get(row, {}):
                continue
            visual = row == "slots"
            told = Slotted(images, train.words, names, visual=visual)
            plainly = Caption(train.words, beam=BEAM, longest=LONGEST)
            task: Any = plainly if row == "nic" else BabyTalk(train.words, names, beam=BEAM, longest=LONGEST)
            began = time.perf_counter()
            model = trained(row, told, task, seed=seed, args=args)
            shown = [row, "names", "places"] if row == "slots" else [row]
            for one in shown:
                figures: dict[str, Any] = {"parameters": size(model), "seconds": time.perf_counter() - began}
                for kind, (data, which) in tests.items():
                    found = Slotted(described(data, which), train.words, names, each=False, visual=visual)
                    for measure, value in scored(model, one, task, found, which, data).items():
                        figures[f"{kind} {measure}"] = value
                kept.setdefault(one, {})[str(seed)] = figures
                print(f"seed {seed}, {one}: {figures}", file=sys.stderr, flush=True)
            write_whole(args.out, json.dumps({"settings": settings(args), "rows": kept}, indent=1).encode())
    return kept


def settings(args: argparse.Namespace) -> dict[str, Any]:
    return {"train": args.train, "test": args.test, "steps": args.steps, "batch": BATCH, "rate": args.rate, **SIZES}


HEADER = """# Pairs of objects never seen together

Drawn scenes of {size} × {size} pixels with three to five objects, of which captions name the two largest
(`data.scenes`). The pairs {pairs} are together in no training scene. Test scenes
have either such a pair as their two largest objects, or none of them. All handwritten digits in testing are new.
{train} scenes with five captions each, {steps} steps of {batch} captions; settings were chosen on another seed.
Sentences are written with a beam of {beam}.

Regions are the true boxes and classes of all objects, so that this is the oracle of the paper: a detector would add its
own mistakes. The rows with the same network see the same regions and have the same parameters; NIC has as many. Slots
name what the detector found: that their names are right with true classes, and wrong with random ones, is the claim.

    {command}
"""


def interval(values: Sequence[float]) -> str:
    found = over_seeds(values)
    return f"{found.mean:+.1f} ({found.low:+.1f} … {found.high:+.1f})"


READ = """
Three seeds. **A slot names what the detector found, whether or not it ever stood beside the other object**: both
objects are named in 54 % of the sentences about pairs never seen together, in 59 % about pairs that were seen, and no
object is named that is not there. In so short a training the same network with textual words names 66 % and 80 % of
objects that are not there. With random classes the slots are wrong in the same way, and with random boxes they name the
right objects less often. Where the objects lie towards each other is learned by no row: 2 to 4 % of the sentences are
true.
"""


def table(paths: Sequence[Path]) -> str:
    """The page of what the files hold."""
    kept: Kept = {}
    for path in paths:
        for row, seeds in json.loads(path.read_text(encoding="utf-8"))["rows"].items():
            kept.setdefault(row, {}).update(seeds)
    pairs = ", ".join(f"{one} and {other}" for one, other in HELD_OUT)
    facts = {"size": SIZE, "train": TRAIN, "steps": STEPS, "batch": BATCH, "beam": BEAM, "command": COMMAND}
    lines = [HEADER.format(pairs=pairs, **facts)]
    for kind, title in SETS.items():
        lines += [f"\n## {title[0].upper()}{title[1:]}\n", f"| row | {' | '.join(MEASURES.values())} | seeds |"]
        lines.append(f"|---|{'---|' * (len(MEASURES) + 1)}")
        for row, name in ROWS.items():
            seeds = kept.get(row, {})
            if not seeds:
                lines.append(f"| {name} |{' – |' * len(MEASURES)} 0 |")
                continue
            cells = []
            for measure in MEASURES:
                values = [one[f"{kind} {measure}"] for one in seeds.values()]
                digits = 2 if measure == "cider" else 1
                cells.append(f"{sum(values) / len(values):.{digits}f}")
            lines.append(f"| {name} | {' | '.join(cells)} | {len(seeds)} |")
    lines += [
        "\n## Differences, with 95 % intervals over seeds\n",
        "| rows | pairs | measure | difference |",
        "|---|---|---|---|",
    ]
    for first, second in CONTRASTS:
        common = sorted(set(kept.get(first, {})) & set(kept.get(second, {})))
        if len(common) < 2:
            continue
        for kind in SETS:
            for measure in ("exact", "both"):
                key = f"{kind} {measure}"
                gaps = [kept[first][seed][key] - kept[second][seed][key] for seed in common]
                lines.append(f"| {first} − {second} | {kind} | {MEASURES[measure]} | {interval(gaps)} |")
    seconds = [one["seconds"] for row in TRAINED for one in kept.get(row, {}).values()]
    lines.append(f"\nThe trainings took {sum(seconds) / 60:.0f} minutes on one core together.")
    lines.append(READ.rstrip())
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the JSON file of the figures")
    parser.add_argument("--first", type=int, default=FIRST)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", nargs="+", choices=TRAINED, default=list(TRAINED))
    parser.add_argument("--train", type=int, default=TRAIN)
    parser.add_argument("--test", type=int, default=TEST)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--table", nargs="+", type=Path, help="print the page of these files")
    args = parser.parse_args()
    if args.table:
        print(table(args.table), end="")
    elif args.out is None:
        parser.error("--out or --table is needed")
    else:
        run(args)


if __name__ == "__main__":
    main()
