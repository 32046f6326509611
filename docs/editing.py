"""Prints the table of docs/editing.md and draws its picture: a trained network with other attention maps than its own.

python docs/editing.py table                          the share of right answers under each edit, on 1,000 new images
python docs/editing.py picture docs/images/editing.png

The network is the one that comes with the library. It takes ten seconds, and trains nothing.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import regard
from regard import edits
from regard.data.batches import normalised
from regard.looking import examples
from regard.saved.opening import Network, open_network
from regard.viewing.painting import overlay

IMAGES, OTHERS = 1000, 200  # images that are counted, and images from which maps are taken
SIDE, GAP, LEFT, TOP, BELOW = 144, 10, 20, 40, 24
INK, FAINT, PAPER, RIGHT, WRONG = (28, 28, 30), (120, 120, 124), (255, 255, 255), (0, 110, 80), (180, 40, 30)
GATES = "*/spatial"

Maps = dict[str, Tensor]


def pictures(count: int, *, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """New images `N 3 H W` in 0..1, their digits, and the boxes around them `N 4` from 0 to 1."""
    digits = examples.images(count, seed=seed)
    boxes = torch.tensor([digits.box(i) for i in range(count)]) / digits.size
    images = torch.stack([digits.pixels(i) for i in range(count)]) / 255
    return images, torch.tensor(digits.labels[:count]), boxes


def formed(network: Network, images: Tensor) -> Maps:
    """The maps of the network for some images."""
    with torch.no_grad(), regard.watch(network.model) as maps:
        network.model(normalised(images, network.normalise))
    return {key: looks[0] for key, looks in maps.items()}


def cut(boxes: Tensor, inside: bool) -> Callable[..., Tensor]:
    """An edit of a mechanism's own kind: the weight inside each image's box is taken away, or all that is outside."""

    def edit(map: Tensor, **_: object) -> Tensor:
        rows, columns = (torch.arange(size) / size for size in map.shape[2:])
        left, top, right, bottom = (boxes[: len(map), i, None] for i in range(4))
        within = ((rows >= top) & (rows < bottom))[:, :, None] & ((columns >= left) & (columns < right))[:, None]
        kept = map * (~within if inside else within)[:, None]
        return kept / kept.sum((2, 3), keepdim=True).clamp_min(1e-9)

    return edit


def changes(own: Maps, others: Maps, boxes: Tensor) -> dict[str, dict[str, edits.Edit | Callable[..., Tensor]]]:
    """Name of each row -> the edits of both gates."""
    turned = {key: map.roll(1, 0) for key, map in own.items()}  # image i shows digit i mod 10: another digit
    return {
        "its own": {},
        "even": {GATES: edits.uniform()},
        "the mean over other images": {key: edits.mean(map) for key, map in others.items()},
        "its own, shuffled": {GATES: edits.shuffle(0)},
        "that of another digit": {key: edits.swap(map) for key, map in turned.items()},
        "its own without the digit": {GATES: cut(boxes, True)},
        "its own on the digit alone": {GATES: cut(boxes, False)},
        "twice as sharp": {GATES: edits.temperature(0.5)},
    }


def answered(network: Network, images: Tensor, change: dict[str, edits.Edit | Callable[..., Tensor]]) -> Tensor:
    """Log-probabilities of the digits under an edit."""
    x = normalised(images, network.normalise)
    with torch.no_grad():
        if not change:
            return network.model(x).log_softmax(1)
        with regard.edit(network.model, change):
            scores: Tensor = network.model(x).log_softmax(1)
            return scores


def table() -> str:
    """The Markdown of the table, with 95 % intervals over images; the last column counts against the network's own."""
    network = open_network(weights=examples.weights())
    images, labels, boxes = pictures(IMAGES, seed=1)
    own, others = formed(network, images), formed(network, pictures(OTHERS, seed=2)[0])
    lines = ["| maps | right answers, % | points lost against its own maps |", "|---|---|---|"]
    first = None
    for name, change in changes(own, others, boxes).items():
        right = (answered(network, images, change).argmax(1) == labels).double()
        first = right if first is None else first
        lost = first - right
        error = 1.96 * right.std() / math.sqrt(IMAGES)
        paired = 1.96 * lost.std() / math.sqrt(IMAGES)
        against = "" if lost.std() == 0 else f"{100 * lost.mean():.1f} ± {100 * paired:.1f}"
        lines.append(f"| {name} | {100 * right.mean():.1f} ± {100 * error:.1f} | {against} |")
    return "\n".join(lines)


def picture(path: Path, rows: int = 3) -> None:
    """A row for each image: its own map, and others, with what the network answers then."""
    network = open_network(weights=examples.weights())
    images, labels, boxes = pictures(IMAGES, seed=1)
    own, others = formed(network, images), formed(network, pictures(OTHERS, seed=2)[0])
    chosen = {
        name: change
        for name, change in changes(own, others, boxes).items()
        if name in ("its own", "even", "that of another digit", "its own without the digit")
    }
    width = 2 * LEFT + (len(chosen) + 1) * (SIDE + GAP) - GAP
    page = Image.new("RGB", (width, TOP + rows * (SIDE + BELOW + GAP)), PAPER)
    pen, large, small = ImageDraw.Draw(page), ImageFont.load_default(12), ImageFont.load_default(13)
    for column, name in enumerate(["image", *chosen]):
        pen.text((LEFT + column * (SIDE + GAP), 14), name, INK, large)
    for column, change in enumerate(({}, *chosen.values())):
        shown = answered(network, images, change).exp()
        x = normalised(images, network.normalise)
        with torch.no_grad(), regard.watch(network.model) as seen:
            if change:
                with regard.edit(network.model, change):
                    network.model(x)
            else:
                network.model(x)
        key = max(key for key in seen if key.endswith("/spatial"))
        for row in range(rows):
            at, y = LEFT + column * (SIDE + GAP), TOP + row * (SIDE + BELOW + GAP)
            stage = Image.fromarray((images[row] * 255).byte().permute(1, 2, 0).numpy())
            stage = stage.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            if not column:
                page.paste(stage, (at, y))
                pen.text((at, y + SIDE + 4), f"this is a {labels[row]}", FAINT, small)
                continue
            page.paste(overlay(stage, seen[key][0][row, 0]), (at, y))
            answer = int(shown[row].argmax())
            verdict, colour = ("right", RIGHT) if answer == labels[row] else ("wrong", WRONG)
            pen.text((at, y + SIDE + 4), f"{verdict}: {answer}, {100 * shown[row, answer]:.0f} %", colour, small)
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("table")
    commands.add_parser("picture").add_argument("path", type=Path)
    given = parser.parse_args()
    if given.command == "table":
        print(table())
    else:
        picture(given.path)


if __name__ == "__main__":
    main()
