"""Writes docs/far_cue.md: whole segmentation networks on scenes whose regions get their class from a distant marker.

    python docs/far_cue.py --out far_cue.json > docs/far_cue.md
    python docs/far_cue.py --out one.json --first 12 --seeds 1 --rows pam
    python docs/far_cue.py --table one.json two.json > docs/far_cue.md

Every seed is kept in the JSON file as soon as it is finished; the same command goes on there. `--table` only prints the
page of what the files hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import regard
from regard.backbones import build, feature_info
from regard.catalog import rows
from regard.comparing.statistics import over_seeds
from regard.data.batches import Batch
from regard.data.far_cue import CLASSES, FAR, FarCue
from regard.metrics.segmentation import Segmentation
from regard.networks.segmenter import HEADS, PLAIN, FCNHead, resized
from regard.saved.files import write_whole
from regard.tasks.segment import Segment

BACKBONE, STAGE = "test_resnet", 1  # the stem and the first stage of timm's smallest ResNet, at stride 4
PARAMETERS = 64_000  # of every network of this trunk, as near as the width of its head allows
SIZE = 32  # of the scenes, in pixels
TRAIN, TEST = 3000, 500
STEPS, BATCH, RATE, DECAY = 500, 32, 3e-3, 0.02
READING = """What pays is to join distant places: equal weights do it nearly as well as learned ones here, and so do
weights at random positions. The scenes do not show that it matters where position attention looks."""
FIRST = 11  # seeds below were used to choose the settings
DATA_SEED = 7  # settings were chosen on scenes of other seeds


class Network(nn.Module):
    """A whole network: a trunk that sees about 23 pixels to each side with the head's convolutions, and a head.

    Args:
        head: channels of the map -> the head, whose output or outputs are logits, the prediction first or by `order`.
        order: which of the outputs is the prediction, then the auxiliary ones.
    """

    def __init__(self, head: Callable[[int], nn.Module], order: Sequence[int] = (0,)) -> None:
        super().__init__()
        self.trunk = build(BACKBONE, classes=None, features_only=True, out_indices=(STAGE,))
        self.head = head(feature_info(self.trunk).channels()[-1])
        self.order = tuple(order)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = self.head(self.trunk(x)[-1])
        logits = (found,) if isinstance(found, Tensor) else tuple(found[i] for i in self.order)
        return tuple(resized(one, x, False) for one in logits)


def whole(head: str) -> nn.Module:
    """A network with a head of the catalogue, a mechanism between the convolutions of a plain head, or the plain head.

    The width of the head is the one with which the network has the number of parameters nearest to `PARAMETERS`.
    """
    K = len(CLASSES)
    if head in HEADS:
        form = HEADS[head]
        return fitted(lambda c, width: regard.create(head, c, classes=K, **{form.width: width}), form.order)
    row = None if head == PLAIN else rows.parse(head)
    mechanism = None if row is None else partial(regard.create, row.mechanism, **row.options)
    step = 8 if mechanism else 1  # hidden layers of mechanisms are an eighth of the width
    return fitted(lambda c, width: FCNHead(c, classes=K, width=width, convolutions=2, mechanism=mechanism), step=step)


def fitted(head: Callable[[int, int], nn.Module], order: Sequence[int] = (0,), step: int = 8) -> nn.Module:
    """The network whose head has the width, a multiple of `step`, that fits best."""

    def apart(width: int) -> int:
        with torch.device("meta"):
            return abs(size(Network(lambda c: head(c, width), order)) - PARAMETERS)

    width = min(range(16, 129, step), key=apart)
    return Network(lambda c: head(c, width), order)


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def dilated() -> nn.Module:
    """A plain network with five convolutions, of dilation 1, 2, 4, 8 and 1: every position sees the whole scene."""
    network = fitted(lambda c, width: FCNHead(c, classes=len(CLASSES), width=width, convolutions=5), step=1)
    for i, dilation in enumerate((1, 2, 4, 8, 1), 1):
        convolution = network.get_submodule(f"head.conv{i}")
        convolution.dilation = convolution.padding = (dilation, dilation)  # type: ignore[assignment]
    return network


def all_stages() -> nn.Module:
    """The plain network of all four stages, dilated from stride 4 on: every position sees the whole scene."""
    network: nn.Module = regard.create(
        "segmenter", classes=len(CLASSES), backbone=BACKBONE, output_stride=4, head=PLAIN, auxiliary=False
    )
    return network


class Misplaced(nn.Module):
    """The keys of position attention at positions drawn anew each time: weights fall on other positions than found."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def tokens(self, n: Tensor) -> Tensor:
        keys: Tensor = self.inside.tokens(n)  # type: ignore[operator]
        order = torch.rand(keys.shape[0], keys.shape[1], 1).argsort(1).expand_as(keys)
        return keys.gather(1, order)


def uniform() -> nn.Module:
    """The network with position attention whose queries are zero and stay so: all weights are equal."""
    network = whole("pam")
    for parameter in network.get_submodule("head.attention.query").parameters():
        nn.init.zeros_(parameter.requires_grad_(False))
    return network


def shuffled() -> nn.Module:
    """The network with position attention whose weights fall on positions drawn at random."""
    network = whole("pam")
    attention = network.get_submodule("head.attention")
    attention.register_module("key", Misplaced(attention.get_submodule("key")))
    return network


ROWS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "pam": ("position attention", lambda: whole("pam")),
    "danet": ("DANet's head: position and channel attention", lambda: whole("danet")),
    "cca2": ("criss-cross attention, two passes", lambda: whole("cca(recurrence=2)")),
    "cca1": ("criss-cross attention, one pass", lambda: whole("cca(recurrence=1)")),
    "apnb": ("asymmetric pyramid block", lambda: whole("apnb")),
    "gc": ("global context", lambda: whole("gc")),
    "ocr": ("object-contextual representations", lambda: whole("ocrnet")),
    "plain": ("plain", lambda: whole(PLAIN)),
    "dilated": ("plain, deeper and dilated", dilated),
    "stages": ("plain, four stages, dilated", all_stages),
    "uniform": ("position attention, uniform weights", uniform),
    "shuffled": ("position attention, weights at random positions", shuffled),
}


CONTRASTS = (("pam", "dilated"), ("pam", "uniform"), ("pam", "shuffled"), ("cca2", "cca1"), ("danet", "pam"))
Kept = dict[str, dict[str, dict[str, float]]]  # row -> seed -> measure -> percent
HEAD = """# A far cue

Generated by `{command}`; do not edit.

```
regard train danet --tiny                  # a whole network on these scenes, a minute
regard train danet --data cityscapes/      # the same on photographs
```

A drawn scene (`regard.data.far_cue`) has a grey region and a small marker, off its rows and columns and nearly half the
scene away; the marker's colour, one of three, is the class of the region. Everything else can be told from the pixels
themselves, so the mean IoU says little and the accuracy on the pixels of regions all: {chance:.1f} % is a guess.

All networks are whole: the stem and the first stage of timm's `{backbone}` (a map at stride 4), a head, and logits of
the scene's size. A mechanism stands between the two convolutions of a plain head, with which a network sees at most 27
pixels to one side and 19 to the other; the marker is at least {far} away, of {side}. Each has about {size:,}
parameters, by the width of its head. {train} training and {test} test scenes, {steps} steps of {batch} with AdamW, the
same for all. The settings were chosen on scenes and seeds that are not among these, with one exception: eight rows of
the first seed ran on 64 × 64 in batches of 8 at first, where two passes stayed at a guess, uniform weights reached 55
and GC 64. Size and batch were then changed, and these runs are not counted. Means over seeds with the 95 % interval of
Student's t.

- *Plain* has no mechanism; *plain, deeper and dilated* has a head of five convolutions with dilations of 1, 2, 4, 8 and
  1, which sees the whole scene; *plain, four stages, dilated* is timm's whole network at output stride 4, which sees it
  too and has six times as many parameters.
- *Uniform weights* is position attention with queries that are zero and stay so: every position receives the mean.
- *Weights at random positions* is position attention whose keys are moved to positions drawn anew each time, so that
  the weights fall elsewhere than they should.
"""


def drawn(count: int, *, size: int, seed: int, part: int) -> tuple[Tensor, Tensor]:
    """All scenes `N 3 S S` as bytes, and their label maps."""
    scenes = FarCue(count, size, seed=seed, part=part)
    samples = [scenes[i] for i in range(count)]
    images = torch.stack([(sample["image"] * 255).round().to(torch.uint8) for sample in samples])
    return images, torch.stack([sample["mask"] for sample in samples])


def seen(images: Tensor) -> Tensor:
    """Images as a network takes them."""
    return images.float().div_(255).sub_(0.3).div_(0.25)


def trained(
    build: Callable[[], nn.Module], train: tuple[Tensor, Tensor], *, seed: int, args: argparse.Namespace
) -> nn.Module:
    """A network trained from the seed."""
    torch.manual_seed(seed)
    model = build()
    generator = torch.Generator().manual_seed(seed)
    task = Segment(len(CLASSES), weights=(1.0, 0.4, 0.4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, total_steps=args.steps, pct_start=0.1)
    model.train()
    for step in range(args.steps):
        chosen = torch.randint(len(train[0]), (BATCH,), generator=generator)
        loss, _ = task.loss(model, Batch(image=seen(train[0][chosen]), mask=train[1][chosen]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if args.verbose and step % 50 == 49:
            print(f"  {step + 1}: {loss.item():.3f}", file=sys.stderr, flush=True)
    return model.eval()


@torch.no_grad()
def scored(model: nn.Module, test: tuple[Tensor, Tensor]) -> dict[str, float]:
    """The mean IoU, and the share of a region's pixels that get its class, both in percent."""
    metric = Segmentation(len(CLASSES), CLASSES)
    right = wrong = 0
    for images, masks in zip(test[0].split(64), test[1].split(64), strict=True):
        logits = model(seen(images))
        found = (logits[0] if isinstance(logits, tuple) else logits).argmax(1).to(torch.uint8)
        metric.update(found, masks)
        inside = masks > 0
        right += int((found == masks)[inside].sum())
        wrong += int((found != masks)[inside].sum())
    return {"miou": 100 * float(metric.compute()["miou"]), "region": 100 * right / (right + wrong)}


def run(args: argparse.Namespace) -> None:
    """Trains what the file does not hold yet, seed by seed."""
    kept = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else {}
    train = drawn(args.train, size=args.size, seed=args.data_seed, part=0)
    test = drawn(args.test, size=args.size, seed=args.data_seed, part=1)
    for seed in range(args.first, args.first + args.seeds):
        for name in args.rows or ROWS:
            scores = kept.setdefault(name, {})
            if str(seed) in scores:
                continue
            began = time.perf_counter()
            model = trained(ROWS[name][1], train, seed=seed, args=args)
            scores[str(seed)] = scored(model, test)
            took = time.perf_counter() - began
            print(f"{seed} {name}: {scores[str(seed)]} ({took:.0f} s)", file=sys.stderr, flush=True)
            write_whole(args.out, json.dumps(kept, indent=1).encode())


def cell(values: Sequence[float], signed: bool = False) -> str:
    """Mean and interval over seeds."""
    if not values:
        return ""
    found = over_seeds(values) if signed else over_seeds(values, floor=0, ceiling=100)
    sign = "+" if signed else ""
    if len(values) == 1:
        return f"{found.mean:{sign}.1f}"
    return f"{found.mean:{sign}.1f} ({found.low:{sign}.1f} … {found.high:{sign}.1f})"


def paired(kept: Kept, one: str, other: str, measure: str) -> str:
    """The difference of two rows over the seeds that both have."""
    first, second = kept.get(one, {}), kept.get(other, {})
    return cell([first[seed][measure] - second[seed][measure] for seed in first if seed in second], signed=True)


def page(kept: Kept, command: str) -> str:
    words = HEAD.format(
        far=round(FAR * SIZE),
        chance=100 / 3,
        backbone=BACKBONE,
        side=SIZE,
        train=TRAIN,
        test=TEST,
        steps=STEPS,
        batch=BATCH,
        size=PARAMETERS,
        command=command,
    )
    lines = [words.rstrip(), ""]
    lines += [
        "| | parameters | mean IoU, % | region, % | region, difference to plain | seeds |",
        "|---|---|---|---|---|---|",
    ]
    for name, (title, make) in ROWS.items():
        scores = kept.get(name, {}).values()
        if scores:
            values = [cell([score[measure] for score in scores]) for measure in ("miou", "region")]
            apart = "" if name == "plain" else paired(kept, name, "plain", "region")
            lines.append(f"| {title} | {size(make()):,} | {values[0]} | {values[1]} | {apart} | {len(scores)} |")
    lines += ["", READING] if {"uniform", "shuffled"} <= kept.keys() else []
    lines += ["", "Further differences of the region's accuracy, paired by seed:", "", "| | difference |", "|---|---|"]
    for one, other in CONTRASTS:
        if one in kept and other in kept:
            lines.append(f"| {ROWS[one][0]} − {ROWS[other][0]} | {paired(kept, one, other, 'region')} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help="JSON file with the figures of every seed")
    parser.add_argument("--rows", choices=tuple(ROWS), action="append", help="one row of the table; all by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=FIRST, help="the first seed")
    parser.add_argument("--data-seed", type=int, default=DATA_SEED)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--train", type=int, default=TRAIN, help="training scenes")
    parser.add_argument("--test", type=int, default=TEST, help="test scenes")
    parser.add_argument("--table", type=Path, nargs="+", help="train nothing, print the page of these JSON files")
    parser.add_argument("--verbose", action="store_true", help="the loss every fifty steps")
    args = parser.parse_args()
    if args.table is None and args.out is None:
        parser.error("--out or --table is needed")
    if args.table is None:
        run(args)
    kept: Kept = {}
    for file in args.table or [args.out]:
        for name, scores in json.loads(file.read_text(encoding="utf-8")).items():
            kept.setdefault(name, {}).update(scores)
    print(page(kept, "python docs/far_cue.py --out far_cue.json > docs/far_cue.md"))


if __name__ == "__main__":
    main()
