"""Writes docs/clips.md: video networks with and without non-local blocks on drawn clips, where the answer is known.

    python docs/clips.py --out clips.json > docs/clips.md
    python docs/clips.py --out clips.json --device cuda --question match --seeds 5
    python docs/clips.py --out clips.json --table > docs/clips.md

Every seed is kept in the JSON file as soon as it is finished; the same command goes on there. `--table` only prints the
page of what the file holds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard.catalog import create
from regard.data.drawn_clips import CLASSES, DrawnClips
from regard.papers.non_local.mechanism import NonLocal
from regard.papers.resnet.network import PaperNetwork
from regard.saved.files import write_whole

BLOCKS = (1, 2, 1)  # of the three stages; the non-local block stands behind the second of the middle one
SIDE = 24  # of the images, in pixels
TRAIN, TEST = 8192, 1024
EPOCHS = {"match": 15, "order": 6}
BATCH, RATE, DECAY = 128, 5e-3, 0.02
FIRST = 11  # seeds below were used to choose the settings
DATA_SEED = 7  # settings were chosen on clips of other seeds


class PerFrame(nn.Module):
    """A non-local block for images, applied to every frame by itself: `B C T H W` -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inside = create("nonlocal", channels=channels)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.transpose(1, 2)
        y: Tensor = self.inside(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return y.transpose(1, 2)


def per_frame(network: nn.Module) -> nn.Module:
    """The network with blocks in space in place of those in space-time."""
    for name, module in list(network.named_modules()):
        if isinstance(module, NonLocal):
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, PerFrame(module.channels))
    return network


def plain(width: int, classes: int) -> nn.Module:
    """Four convolutions over 3 × 3 × 3 positions, the last three of stride 2 in space, each with a norm and a ReLU."""
    layers: list[nn.Module] = []
    before = 3
    for i, out in enumerate((width, 2 * width, 4 * width, 4 * width)):
        stride = (1, 2, 2) if i else (1, 1, 1)
        layers += [nn.Conv3d(before, out, 3, stride, 1, bias=False), nn.BatchNorm3d(out), nn.ReLU(inplace=True)]
        before = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(before, classes))


def residual(name: str, width: int) -> Callable[[int], nn.Module]:
    """A network by name, with three short stages, and without dropout, for which it is too small."""

    def build(classes: int) -> nn.Module:
        network = PaperNetwork(3, name=name, classes=classes, width=width, blocks=BLOCKS)
        network.dropout = nn.Identity()
        return network

    return build


@dataclass(frozen=True)
class Row:
    """A row of the table: how its network is built, and whether it sees the frames of each clip in random order."""

    build: Callable[[int], nn.Module]
    shuffled: bool = False


# Widths such that no network has fewer parameters than the one with non-local blocks in space-time.
ROWS = {
    "C2D + non-local, space-time": Row(residual("nonlocal5_c2d_resnet50_8f", 8)),
    "C2D + non-local, space only": Row(lambda k: per_frame(residual("nonlocal5_c2d_resnet50_8f", 8)(k))),
    "C2D": Row(residual("c2d_resnet50_8f", 9)),
    "I3D": Row(residual("i3d_resnet50_8f", 8)),
    "I3D + non-local, space-time": Row(residual("nonlocal5_i3d_resnet50_8f", 8)),
    "3 × 3 × 3 convolutions": Row(lambda k: plain(9, k)),
    "C2D + non-local, space-time, frames shuffled": Row(residual("nonlocal5_c2d_resnet50_8f", 8), shuffled=True),
    "I3D + non-local, space-time, frames shuffled": Row(residual("nonlocal5_i3d_resnet50_8f", 8), shuffled=True),
}
REFERENCE = "C2D + non-local, space-time"


def drawn(question: str, count: int, *, seed: int, part: int, device: str) -> tuple[Tensor, Tensor]:
    """All clips `N 3 T H W` as bytes, and their labels."""
    clips = DrawnClips(question, count=count, size=SIDE, seed=seed, part=part)
    images = torch.stack([(clips.clip(i) * 255).round().to(torch.uint8) for i in range(count)])
    return images.to(device), torch.tensor(clips.labels, device=device)


def seen(images: Tensor, shuffled: bool, generator: torch.Generator) -> Tensor:
    """Images as a network takes them; with the frames of each clip in an order of its own where they are shuffled."""
    if shuffled:
        order = torch.rand(len(images), images.shape[2], generator=generator).argsort(1).to(images.device)
        images = images.take_along_dim(order[:, None, :, None, None], 2)
    return images.float().div_(255).sub_(0.3).div_(0.25)


def trained(row: Row, classes: int, train: tuple[Tensor, Tensor], *, seed: int, epochs: int, device: str) -> nn.Module:
    """A network of the row, trained from the seed."""
    torch.manual_seed(seed)
    model = row.build(classes).to(device)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    steps = epochs * (len(train[0]) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(train[0]), generator=generator).to(device)
        for chosen in order[: len(order) // BATCH * BATCH].split(BATCH):
            logits = model(seen(train[0][chosen], row.shuffled, generator))
            loss = functional.cross_entropy(logits, train[1][chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, row: Row, test: tuple[Tensor, Tensor]) -> float:
    """The share of right answers, in percent."""
    generator = torch.Generator().manual_seed(0)
    right = [
        model(seen(images, row.shuffled, generator)).argmax(1) == labels
        for images, labels in zip(test[0].split(BATCH), test[1].split(BATCH), strict=True)
    ]
    return 100 * torch.cat(right).float().mean().item()


def run(args: argparse.Namespace) -> None:
    """Trains what the file does not hold yet, seed by seed."""
    kept = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else {}
    for question in args.question:
        train = drawn(question, args.train, seed=args.data_seed, part=0, device=args.device)
        test = drawn(question, args.test, seed=args.data_seed, part=1, device=args.device)
        for seed in range(args.first, args.first + args.seeds):
            for name in args.rows or ROWS:
                scores = kept.setdefault(question, {}).setdefault(name, {})
                if str(seed) in scores:
                    continue
                began = time.perf_counter()
                row = ROWS[name]
                epochs = args.epochs or EPOCHS[question]
                model = trained(row, len(CLASSES[question]), train, seed=seed, epochs=epochs, device=args.device)
                scores[str(seed)] = accuracy(model, row, test)
                took = time.perf_counter() - began
                print(f"{question} {seed} {name}: {scores[str(seed)]:.1f} ({took:.0f} s)", file=sys.stderr, flush=True)
                write_whole(args.out, json.dumps(kept, indent=1).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file with the figures of every seed")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--question", choices=tuple(CLASSES), action="append", help="one question; both by default")
    parser.add_argument("--rows", choices=tuple(ROWS), action="append", help="one row of the table; all by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=FIRST, help="the first seed")
    parser.add_argument("--data-seed", type=int, default=DATA_SEED)
    parser.add_argument("--epochs", type=int, help="in place of those of each question")
    parser.add_argument("--train", type=int, default=TRAIN, help="training clips")
    parser.add_argument("--test", type=int, default=TEST, help="test clips")
    parser.add_argument("--table", action="store_true", help="train nothing, print the page")
    args = parser.parse_args()
    args.question = args.question or list(CLASSES)
    if not args.table:
        run(args)


if __name__ == "__main__":
    main()
