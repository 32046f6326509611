"""Writes docs/events.md: recurrent attention to places and to frames on drawn clips, where the answer is known.

    python docs/events.py --out events.json
    python docs/events.py --out more.json --seeds 12 13 --part sentences
    python docs/events.py --table events.json more.json > docs/events.md

Every row of a seed is kept in the JSON file as soon as it is finished; the same command goes on there. `--table` only
prints the page of what the files hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard.comparing.statistics import over_seeds
from regard.data.drawn_events import CLASSES, KINDS, WORDS, DrawnEvents
from regard.networks.captioner import Encoder, decode, teacher_forced
from regard.papers.action_attention.network import ActionAttention
from regard.papers.video_description.network import VideoDescription, Watching
from regard.saved.files import write_whole

TRAIN, TEST = 900, 300  # clips
SINGLES = 250  # clips of single digits on which the encoder is trained, 8 frames each
SIDE = 30  # of a frame, in pixels
BATCH = {"encoder": 50, "places": 50, "sentences": 25}
EPOCHS = {"encoder": 8, "places": 20, "sentences": 14}
RATE = {"encoder": 5e-3, "places": 2e-3, "sentences": 1e-2}
SEEDS = (11, 12, 13, 14, 15)  # seeds below were used to choose the settings
GRID = 4  # places on a side of a frame's map
D = 64  # its channels


class Frozen(NamedTuple):
    """The maps of the frames of many clips, by an encoder that is not trained on clips.

    Attributes:
        maps: `N D T H W`.
        labels: `N`.
        events: the digit that is the event of each frame, `N T`; 0 without one.
        inside: the places of the maps that lie in the box of the event, `bool N T H W`.
        data: the clips.
    """

    maps: Tensor
    labels: Tensor
    events: Tensor
    inside: Tensor
    data: DrawnEvents


def fitted(model: nn.Module, loss: Callable[[Tensor], Tensor], count: int, *, what: str, seed: int) -> nn.Module:
    """Trains a model; `loss` is called with the numbers of the samples of a batch."""
    generator = torch.Generator().manual_seed(seed)
    batch, rate = BATCH[what], RATE[what]
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    steps = EPOCHS[what] * (count // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    model.train()
    for _ in range(EPOCHS[what]):
        for chosen in torch.randperm(count, generator=generator)[: count // batch * batch].split(batch):
            optimizer.zero_grad(set_to_none=True)
            loss(chosen).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model.eval()


def normalised(images: Tensor) -> Tensor:
    return (images - 0.2) / 0.25


def encoder_of(seed: int) -> Encoder:
    """An encoder that was trained to name single digits."""
    data = DrawnEvents(count=SINGLES, size=SIDE, clutter=0, seed=seed)
    images = torch.cat([data.clip(i).transpose(0, 1) for i in range(SINGLES)])
    digits = torch.tensor([frame[0].digit for i in range(SINGLES) for frame in data.shown(i)])
    torch.manual_seed(seed)
    model = nn.Sequential(Encoder("convolutions", 3), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(D, 10))

    def loss(chosen: Tensor) -> Tensor:
        return functional.cross_entropy(model(normalised(images[chosen])), digits[chosen])

    fitted(model, loss, len(images), what="encoder", seed=seed)
    encoder = model[0]
    assert isinstance(encoder, Encoder)
    return encoder


@torch.no_grad()
def frozen(encoder: Encoder, count: int, *, seed: int, part: str) -> Frozen:
    """Clips as an encoder sees them."""
    data = DrawnEvents(count=count, size=SIDE, seed=seed, part=part)
    maps, events, inside = [], [], torch.zeros(count, data.frames, GRID, GRID, dtype=torch.bool)
    at = (torch.arange(GRID) + 0.5) * SIDE / GRID  # the middle of each place, in pixels
    for i in range(count):
        found = data.events(i)
        maps.append(encoder(normalised(data.clip(i)).transpose(0, 1)).transpose(0, 1))
        events.append([0 if event is None else event.digit for event in found])
        for t, event in enumerate(found):
            if event is not None:
                left, top, right, bottom = event.box
                inside[i, t] = ((at >= top) & (at < bottom))[:, None] & ((at >= left) & (at < right))
    return Frozen(torch.stack(maps), torch.tensor(data.labels), torch.tensor(events), inside, data)


def shuffled(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Maps with the frames of each clip in an order of its own."""
    order = torch.rand(len(maps), maps.shape[2], generator=generator).argsort(1)
    return maps.take_along_dim(order[:, None, :, None, None], 2)


# Places


class Convolutions(nn.Module):
    """Three convolutions of 3 × 3 × 3 over the maps of the frames, a mean and a layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before in (D, width, width):
            layers += [nn.Conv3d(before, width, 3, padding=1, bias=False), nn.BatchNorm3d(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(width, len(CLASSES)))

    def forward(self, maps: Tensor) -> Tensor:
        found: Tensor = self.layers(maps)
        return found


def recurrent(score: str = "content") -> ActionAttention:
    return ActionAttention(
        D, classes=len(CLASSES), score=score, places=GRID, attention=D, hidden=64, layers=1, output=64, dropout=0.2
    )


def mean(maps: Tensor) -> Tensor:
    return maps.mean((3, 4), keepdim=True)


def largest(maps: Tensor) -> Tensor:
    return maps.amax((3, 4), keepdim=True)


def whole(maps: Tensor) -> Tensor:
    return maps


class Place(NamedTuple):
    """A row of the table of places: its network, and what it sees of the maps of the frames."""

    build: Callable[[], nn.Module]
    seen: Callable[[Tensor], Tensor] = whole
    shuffled: bool = False


PLACES = {
    "content: the score sees the frame (released)": Place(recurrent),
    "location: the score sees the past alone (the paper's)": Place(lambda: recurrent("location")),
    "mean over places (no attention)": Place(recurrent, mean),
    "maximum over places": Place(recurrent, largest),
    "3 × 3 × 3 convolutions": Place(lambda: Convolutions(16)),
    "content, frames shuffled": Place(recurrent, shuffled=True),
}


def place(row: Place, train: Frozen, test: Frozen, seed: int) -> dict[str, float]:
    """The scores of a row: accuracy in percent, and for attention the weight on the event, and with uniform weights."""
    torch.manual_seed(seed)
    model = row.build()
    generator = torch.Generator().manual_seed(seed)

    def seen(maps: Tensor) -> Tensor:
        return row.seen(shuffled(maps, generator) if row.shuffled else maps)

    def loss(chosen: Tensor) -> Tensor:
        maps, labels = seen(train.maps[chosen]), train.labels[chosen]
        if not isinstance(model, ActionAttention):
            return functional.cross_entropy(model(maps), labels)
        said = model(maps, steps=True).log_probabilities
        return functional.nll_loss(said.flatten(0, 1), labels.repeat_interleave(said.shape[1]))

    fitted(model, loss, len(train.labels), what="places", seed=seed)
    with torch.no_grad():
        scores = {"accuracy": accuracy(model(seen(test.maps)), test.labels)}
        if isinstance(model, ActionAttention) and row.seen is whole and not row.shuffled:
            weights, event = model(test.maps, steps=True).weights, test.events > 0
            scores["on event"] = 100 * float((weights * test.inside).sum((2, 3))[event].mean())
            scores["area"] = 100 * float(test.inside.float().mean((2, 3))[event].mean())
            if model.score == "content":
                scores["uniform"] = accuracy(model(mean(test.maps)), test.labels)
    return scores


def accuracy(logits: Tensor, labels: Tensor) -> float:
    return 100 * float((logits.argmax(1) == labels).float().mean())


# Sentences


class Averaged(VideoDescription):
    """The captioner that sees the mean of all frames at every word."""

    def start(self, clip: Tensor) -> Watching:
        state = super().start(clip)
        frames = state.frames.mean(1, keepdim=True)
        return state._replace(frames=frames, projected=state.projected[:, :1])


class Encoded(VideoDescription):
    """The captioner that sees the last output of a long short-term memory over the frames, at every word."""

    def __init__(self, channels: int, **sizes: Any) -> None:
        super().__init__(channels, **sizes)
        self.reader = nn.LSTM(channels, channels, batch_first=True)

    def start(self, clip: Tensor) -> Watching:
        last = self.reader(clip.mean((3, 4)).mT)[0][:, -1]
        return super().start(last[:, :, None, None, None])


def captioner(kind: type[VideoDescription] = VideoDescription, local: int = 16) -> VideoDescription:
    return kind(D, vocabulary=len(WORDS), local=local, embed=32, hidden=64, attention=32, dropout=0.1)


class Sentence(NamedTuple):
    """A row of the table of sentences."""

    build: Callable[[], VideoDescription]
    shuffled: bool = False


SENTENCES = {
    "attention to frames, local features": Sentence(captioner),
    "mean over frames, local features (no attention)": Sentence(lambda: captioner(Averaged)),
    "attention to frames, no local features": Sentence(lambda: captioner(local=0)),
    "long short-term memory over the frames": Sentence(lambda: captioner(Encoded, local=0)),
    "attention, local features, frames shuffled": Sentence(captioner, shuffled=True),
}


def sentence(row: Sentence, train: Frozen, test: Frozen, seed: int) -> dict[str, float]:
    """The scores of a row: the share of sentences with the true order, the weight on the event's frames."""
    torch.manual_seed(seed)
    model = row.build()
    generator = torch.Generator().manual_seed(seed)
    data = train.data  # the first of the sentences of each clip: "a one then a four then a seven"
    words = torch.tensor([WORDS.encode(data.sentences(i)[0]) for i in range(data.count)])

    def seen(maps: Tensor) -> Tensor:
        return shuffled(maps, generator) if row.shuffled else maps

    def loss(chosen: Tensor) -> Tensor:
        truth = words[chosen]
        said = model(seen(train.maps[chosen]), truth[:, :-1])
        return functional.nll_loss(said.flatten(0, 1), truth[:, 1:].flatten())

    fitted(model, loss, len(train.labels), what="sentences", seed=seed)
    scores = {"order": told_by(model, seen(test.maps), test)}
    if type(model) is VideoDescription and model.local is not None and not row.shuffled:
        scores["on event"], scores["frames"] = pointed(model, test)
        averaged = captioner(Averaged)
        averaged.load_state_dict(model.state_dict())
        scores["uniform"] = told_by(averaged.eval(), test.maps, test)
    return scores


def told_by(model: VideoDescription, maps: Tensor, test: Frozen) -> float:
    """The share of sentences that name the three events in their order, in percent."""
    found = [WORDS.decode(best[0].words) for best in decode(model, (maps,), beam=1, longest=12)]
    right = [
        [word for word in said if word in KINDS.values()] == [KINDS[digit] for digit in test.data.order(i)]
        for i, said in enumerate(found)
    ]
    return 100 * sum(right) / len(right)


@torch.no_grad()
def pointed(model: VideoDescription, test: Frozen) -> tuple[float, float]:
    """The weight of an event's frames when its word is said in the first true sentence, and their share, in percent."""
    shares, sizes = [], []
    for digit, name in KINDS.items():
        words = torch.tensor([WORDS.encode(test.data.sentences(i)[0]) for i in range(len(test.labels))])
        alphas = teacher_forced(model, (test.maps,), words[:, :-1]).maps["temporal"]  # [N, L, T]
        there = words[:, 1:] == WORDS.encode([name])[1]
        frames = (test.events == digit).float()
        shares.append((alphas * frames[:, None]).sum(2)[there].mean())
        sizes.append(frames.mean())
    return 100 * float(torch.stack(shares).mean()), 100 * float(torch.stack(sizes).mean())


PARTS: dict[str, tuple[dict[str, Any], Callable[..., dict[str, float]]]] = {
    "places": (PLACES, place),
    "sentences": (SENTENCES, sentence),
}


def run(args: argparse.Namespace) -> None:
    """Trains what the file does not hold yet, seed by seed."""
    kept = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else {}
    for seed in args.seeds:
        clips: tuple[Frozen, Frozen] | None = None
        for part in args.part or PARTS:
            rows, score = PARTS[part]
            for name, row in rows.items():
                scores = kept.setdefault(part, {}).setdefault(name, {})
                if str(seed) in scores or (args.row and not any(one in name for one in args.row)):
                    continue
                began = time.perf_counter()
                if clips is None:
                    encoder = encoder_of(seed)
                    clips = (
                        frozen(encoder, TRAIN, seed=seed, part="train"),
                        frozen(encoder, TEST, seed=seed, part="test"),
                    )
                    say(f"{seed}: the encoder and its maps ({time.perf_counter() - began:.0f} s)")
                    began = time.perf_counter()
                scores[str(seed)] = score(row, *clips, seed)
                say(f"{seed} {part}, {name}: {scores[str(seed)]} ({time.perf_counter() - began:.0f} s)")
                write_whole(args.out, json.dumps(kept, indent=1).encode())


HEAD = """# Events of a clip

Generated by `python docs/events.py --table … > docs/events.md`; do not edit.{note}

```
python docs/events.py --out events.json                                # every row of both tables, five seeds
regard train action-attention --data UCF-101/ --device cuda            # also HMDB-51, Kinetics' tables, own folders
regard train video-description --data MSR-VTT/ --device cuda           # also MSVD, or captions.csv
regard train action-attention --tiny --out run                         # drawn events, under a minute
regard look folder-of-frames/ --weights run                            # where it looks in each frame
```

A video is a folder of frames or, where PyAV or OpenCV is installed, a file. UCF-101 and HMDB-51 are read by the files
of their published splits (`--options '{{"split": 2}}'`, `regard.data.clip_layouts`), sentences by MSR-VTT's and MSVD's,
or by a table of one's own (`regard.data.captioned_clips`).

*Action Recognition using Visual Attention* (Sharma, Kiros, Salakhutdinov, 2015) look at one place after another of the
frames of a clip; *Describing Videos by Exploiting Temporal Structure* (Yao et al., 2015) at its frames, anew for every
word. On drawn events (`regard.data.drawn_events`: 8 frames of {side} × {side} pixels) the answer is known: three of the
four moments of a clip have an event, a handwritten 1, 4 or 7 among two other digits, at another place in every frame.
What happened in which order is the class, one of six; every class has the same frames, so that without the order a
sixth is right.

As in both papers the network of the images is not trained on clips: three convolutions, trained to name single digits,
give {grid} × {grid} places of {width} channels for each frame, the same for all rows of a seed. {train} clips for
training, {test} for the test, no handwritten digit in both; AdamW, the same number of steps for all. Settings were
chosen on seed 1, which is not among these. In percent, the mean over the seeds in the last column with the 95 %
interval of Student's t, and the difference to the first row, paired by seed.
"""
PLACES_TEXT = """
## Places

The score of the released code compares every place of a frame with what was seen before. That of the paper's equation
knows what was seen before, and not the frame that it looks at: where an event is at another place each time, it cannot
find it. *Mean over places* is the network of the first row on the mean of each map, so with the same parameters, and
without a place to attend to. *Uniform weights in the test* is the trained first row, whose weights are then made equal.
The 3 × 3 × 3 convolutions see neighbouring frames together, and need neither attention nor memory for this question.
"""
ON_EVENT = """
The weight that lies on the event, in the frames that have one (equal weights: {area}): {rows}.
"""
SENTENCES_TEXT = """
## Sentences

Right is a sentence that names the three events in their order. The weights of frames, and what they add up, do not
depend on the order of the frames: without local features, which see neighbouring frames together, the sentence of a
clip is that of its reverse. *Mean over frames* has the parameters of the first row and sees the same for every word.
*Uniform weights in the test* is the trained first row that sees the mean. Over the seeds of the record, 11 to 15,
attention to frames is not shown to be better than their mean, and a recurrent network over the frames beats both: it
keeps the order, and attention adds frames up without one.
"""
ON_FRAMES = """
When the word of an event is said, {weight} of the weight lies on its frames, which are {share} of all.
"""


def cell(values: list[float], *, signed: bool = False) -> str:
    found = over_seeds(values) if signed else over_seeds(values, floor=0, ceiling=100)
    sign = "+" if signed else ""
    if len(values) == 1:
        return f"{found.mean:{sign}.1f}"
    return f"{found.mean:{sign}.1f} ({found.low:{sign}.1f} … {found.high:{sign}.1f})"


def table(
    rows: dict[str, dict[str, dict[str, float]]], measure: str, sizes: dict[str, int], more: str = ""
) -> list[str]:
    """The lines of a table; the first row is the one that all are compared with, and has the row of uniform weights."""
    head = f"| | parameters | {'accuracy' if measure == 'accuracy' else 'right order'}, % | difference |"
    lines = [f"{head} seeds |", "|---|---|---|---|---|"]
    first = next(iter(rows.values()))
    scores = {name: {seed: one[measure] for seed, one in row.items()} for name, row in rows.items()}
    reference = next(iter(scores.values()))
    name = f"{next(iter(rows))}; uniform weights in the test"
    scores[name] = {seed: one["uniform"] for seed, one in first.items()}
    for name, row in scores.items():
        both = [seed for seed in row if seed in reference]
        apart = "" if row is reference else cell([row[seed] - reference[seed] for seed in both], signed=True)
        size = f"{sizes[name]:,}" if name in sizes else ""
        lines.append(f"| {name} | {size} | {cell([*row.values()])} | {apart} | {len(row)} |")
    return lines


def page(kept: dict[str, dict[str, dict[str, dict[str, float]]]], note: str = "") -> str:
    said = f"\n\n{note}" if note else ""
    lines = [HEAD.format(side=SIDE, grid=GRID, width=D, train=TRAIN, test=TEST, note=said).rstrip()]

    def ordered(part: str, names: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
        return {name: kept[part][name] for name in names if kept[part].get(name)}

    def mean_of(row: dict[str, dict[str, float]], measure: str) -> str:
        return f"{sum(one[measure] for one in row.values()) / len(row):.0f} %"

    if kept.get("places"):
        rows = ordered("places", PLACES)
        sizes = {name: sum(p.numel() for p in PLACES[name].build().parameters()) for name in rows}
        told = {name.partition(":")[0]: row for name, row in rows.items() if "on event" in next(iter(row.values()))}
        weights = ", ".join(f"{name} {mean_of(row, 'on event')}" for name, row in told.items())
        area = mean_of(next(iter(told.values())), "area")
        lines += [PLACES_TEXT.rstrip(), "", *table(rows, "accuracy", sizes)]
        lines += [ON_EVENT.format(area=area, rows=weights).rstrip()]
    if kept.get("sentences"):
        rows = ordered("sentences", SENTENCES)
        sizes = {name: sum(p.numel() for p in SENTENCES[name].build().parameters()) for name in rows}
        first = next(iter(rows.values()))
        lines += [SENTENCES_TEXT.rstrip(), "", *table(rows, "order", sizes)]
        lines += [ON_FRAMES.format(weight=mean_of(first, "on event"), share=mean_of(first, "frames")).rstrip()]
    return "\n".join(lines)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help="JSON file with the figures of every seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--part", choices=tuple(PARTS), action="append", help="one table; both by default")
    parser.add_argument("--row", action="append", help="rows whose names have this in them; all by default")
    parser.add_argument("--table", type=Path, nargs="+", help="train nothing, print the page of these JSON files")
    parser.add_argument("--note", default="", help="a sentence for the page, such as which seeds are missing")
    args = parser.parse_args()
    if args.table is None and args.out is None:
        parser.error("--out or --table is needed")
    if args.table is None:
        run(args)
        return
    kept: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for file in args.table:
        for part, rows in json.loads(file.read_text(encoding="utf-8")).items():
            for name, scores in rows.items():
                kept.setdefault(part, {}).setdefault(name, {}).update(scores)
    print(page(kept, args.note))


if __name__ == "__main__":
    main()
