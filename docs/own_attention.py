"""Prints the table of docs/own_attention.md and draws its picture: the attention of small vision transformers.

    python docs/own_attention.py train --seeds 0 --out build/own_attention   trains one, and scores its maps
    python docs/own_attention.py table build/own_attention                   the table over all seeds that are finished
    python docs/own_attention.py picture build/own_attention docs/images/own_attention.jpg

A seed takes one to two minutes on one core. The settings were chosen with seed 100, and fixed before seed 0.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

import regard
from regard.comparing.statistics import over_seeds
from regard.data.batches import normalised
from regard.data.digits import CLASSES, TEST_SHARE, handwritten
from regard.data.dividing import divide
from regard.looking import own
from regard.looking.results import predicted, said
from regard.metrics.localisation import energy, pointing
from regard.ops.seeds import mixed, seeded
from regard.saved.opening import Network
from regard.viewing import spatial
from regard.viewing.painting import picture_of
from regard.viewing.sheet import photograph, sheet

EPOCHS, BATCH, RATE = 12, 50, 2e-3
TRAINING, NEW = 4000, 500  # images
SHOWN = 0  # the new image of the picture
SIZE, LARGE = 48, 16  # pixels of an image and of a digit
NORMALISE = ((0.5,) * 3, (0.25,) * 3)
WIDTH, DEPTH, HEADS = 48, 3, 3


class Stem(nn.Module):
    """Patches of 8 x 8 pixels as three convolutions of stride 2 see them; a linear one needs far more images.

    Args:
        img_size, patch_size, in_chans, embed_dim, more: as timm's transformer gives them.
    """

    def __init__(self, img_size: int, patch_size: int, in_chans: int, embed_dim: int, **more: object) -> None:
        super().__init__()
        self.grid_size = (img_size // patch_size, img_size // patch_size)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        widths = (in_chans, embed_dim // 3, 2 * embed_dim // 3, embed_dim)
        layers: list[nn.Module] = []
        for before, width in pairwise(widths):
            layers += [nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        patches: Tensor = self.layers(x).flatten(2).transpose(1, 2)
        return patches


def network(seed: int) -> nn.Module:
    """A vision transformer of timm's with a class token and 6 x 6 patches."""
    with seeded(mixed("own attention", seed)):
        return VisionTransformer(
            img_size=SIZE, patch_size=8, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, num_classes=len(CLASSES),
            embed_layer=Stem,
        )  # fmt: skip


def scenes(count: int, seed: int, *, new: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images with a handwritten digit, and beside it another one whose pixels are in disorder.

    Args:
        count: the number of images.
        seed: of the images.
        new: of digits that no training image shows.

    Returns: the images in 0..1, `N 3 H W`; the digits; the places of the digits and of the disorder, bool `N H W`.
    """
    greys, labels = handwritten()
    of = divide(labels.tolist(), TEST_SHARE, 0)[new]
    random = np.random.default_rng((seed, new))
    images = random.uniform(0, 0.3, (count, SIZE, SIZE))
    digits, places = np.zeros(count, int), np.zeros((2, count, SIZE, SIZE), bool)
    for i in range(count):
        chosen = random.choice(of, 2)
        digits[i] = labels[chosen[0]]
        shapes = [greys[chosen[0]] / 255, random.permutation(greys[chosen[1]].ravel()).reshape(8, 8) / 255]
        corners = random.integers(SIZE - LARGE + 1, size=(2, 2))
        while abs(corners[0] - corners[1]).max() < LARGE:  # until they do not touch
            corners = random.integers(SIZE - LARGE + 1, size=(2, 2))
        for kind, (top, left) in enumerate(corners):
            where = (i, slice(top, top + LARGE), slice(left, left + LARGE))
            images[where] = np.maximum(images[where], np.kron(shapes[kind], np.ones((2, 2))))
            places[(kind, *where)] = True
    x = torch.from_numpy(images).float()[:, None].expand(-1, 3, -1, -1)
    return x, torch.from_numpy(digits), torch.from_numpy(places[0]), torch.from_numpy(places[1])


def trained(seed: int) -> nn.Module:
    """The network of a seed, trained on scenes of its own."""
    x, y, _, _ = scenes(TRAINING, seed, new=False)
    x = normalised(x, NORMALISE)
    model = network(seed).train()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * (TRAINING // BATCH))
    draws = torch.Generator().manual_seed(seed)
    for epoch in range(EPOCHS):
        for part in torch.randperm(TRAINING, generator=draws).split(BATCH):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[part]), y[part])
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}", file=sys.stderr, flush=True)
    return model.eval()


def heats(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What the network's attention says of images, `B h w` each, by the rows of the table."""
    with regard.watch(model, keep_graph=True) as maps:
        scores = model(x)
    with torch.no_grad():
        flow, found = regard.rollout(maps), regard.relevance(maps, scores)
        last = list(maps)[-1]
        rows = {
            "last layer, from the class token": spatial(maps, last),
            "rollout": spatial(flow, "rollout"),
            "relevance of the predicted class": spatial(found, "relevance"),
        }
    rows["relevance, that of another image"] = rows["relevance of the predicted class"].roll(1, 0)
    rows["Grad-CAM of the predicted class"] = regard.gradcam(model, x, upsample=False)
    return {name: heat.detach() for name, heat in rows.items()}


def scored(seed: int) -> tuple[nn.Module, dict[str, dict[str, float]]]:
    """The network, its accuracy, and how much of each map lies on the digit and on the disorder, for new images."""
    x, y, digit, disorder = scenes(NEW, seed, new=True)
    x = normalised(x, NORMALISE)
    model = trained(seed)
    with torch.no_grad():
        right = (model(x).argmax(1) == y).double().mean().item()
    found: dict[str, dict[str, float]] = {"": {"accuracy": 100 * right}}
    along = torch.linspace(-1, 1, SIZE)
    random = network(seed).eval()
    with torch.no_grad(), regard.watch(random) as untrained:
        random(x)
    for name, heat in {
        **heats(model, x),
        "rollout, weights at random": spatial(regard.rollout(untrained), "rollout"),
        "a spot in the centre": torch.exp(-2 * (along[:, None] ** 2 + along**2)).expand(NEW, -1, -1),
        "everywhere the same": torch.ones(NEW, 6, 6),
    }.items():
        found[name] = {
            "digit": 100 * energy(heat, digit).mean().item(),
            "disorder": 100 * energy(heat, disorder).mean().item(),
            "pointing": 100 * pointing(heat, digit).mean().item(),
        }
    return model, found


def train(seeds: list[int], out: Path) -> None:
    torch.set_num_threads(1)
    for seed in seeds:
        file = out / f"seed-{seed}.json"
        if not file.exists():
            out.mkdir(parents=True, exist_ok=True)
            model, found = scored(seed)
            save_file(model.state_dict(), out / f"seed-{seed}.safetensors")
            file.write_text(json.dumps(found, indent=1))
        print(seed, file.read_text(), flush=True)


def table(out: Path) -> None:
    runs = [json.loads(file.read_text()) for file in sorted(out.glob("seed-?.json"))]
    print(f"Accuracy {written([run['']['accuracy'] for run in runs])} %, {len(runs)} seeds.\n")
    print("| map | on the digit, % | on the disorder, % | maximum on the digit, % |\n|---|---|---|---|")
    for name in [name for name in runs[0] if name]:
        cells = [written([run[name][measure] for run in runs]) for measure in ("digit", "disorder", "pointing")]
        print(f"| {name} | {' | '.join(cells)} |")


def written(values: list[float]) -> str:
    """The mean with its 95 % interval over the seeds."""
    interval = over_seeds(values, floor=0, ceiling=100)
    return f"{interval.mean:.1f} ({interval.low:.1f}–{interval.high:.1f})"


def picture(out: Path, target: Path) -> None:
    """The sheet that `regard look` draws, of seed 0 on a new image, with the relevance of its answer."""
    model = network(0)
    model.load_state_dict(load_file(out / "seed-0.safetensors"))
    names = tuple(CLASSES)
    small = Network(
        entry=None, model=model.eval(), trained=True, name="vision transformer", size=(SIZE, SIZE),
        normalise=NORMALISE, class_names=names,
    )  # fmt: skip
    x, y, _, _ = scenes(SHOWN + 1, 0, new=True)
    pixels = (255 * x[SHOWN]).round().byte()
    maps, returned = small.answer(pixels)
    image, answer = pixels.float() / 255, predicted(small, returned)
    number = names.index(answer[0][0])
    drawn = [photograph(picture_of(image), f"a new image of a {int(y[SHOWN])}", said(small, answer))]
    drawn += own.pictures(maps, image, layer=None, queries=None, scale="common")
    drawn += own.relevant(small, pixels, number, f"Grad-CAM of {names[number]}", image, "common")
    sheet(drawn, "vision transformer, trained on digits").save(target, quality=85, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("train")
    one.add_argument("--seeds", type=int, nargs="+", default=[0])
    one.add_argument("--out", type=Path, required=True)
    for name in ("table", "picture"):
        one = kinds.add_parser(name)
        one.add_argument("out", type=Path)
        if name == "picture":
            one.add_argument("target", type=Path)
    given = vars(parser.parse_args())
    {"train": train, "table": table, "picture": picture}[given.pop("kind")](**given)


if __name__ == "__main__":
    main()
