"""Prints the tables of docs/gradcam.md and draws its picture.

    python docs/gradcam.py digits --device cuda --out build/gradcam   trains five networks and scores their maps
    python docs/gradcam.py picture docs/images/gradcam.jpg            maps of the network that comes with the library
    python docs/gradcam.py layers                                     the layer that is found in every family of timm's

`digits` goes on with the seeds that are not finished, of which each takes two minutes on one core beside a GPU; its
settings were fixed before the first run. `layers` builds the models of docs/families.md, the smallest of every family,
with random weights, and takes some minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

import regard
from regard.attaching import siting
from regard.comparing.statistics import over_seeds
from regard.core import Maps
from regard.data.digits import SIZE, TEST_SHARE, Digits, handwritten
from regard.data.dividing import divide
from regard.looking import examples
from regard.metrics.localisation import energy, pointing
from regard.saved.opening import open_network
from regard.viewing.painting import picture_of
from regard.viewing.sheet import photograph, sheet

EPOCHS, BATCH, RATE = 20, 256, 4e-3
TRAINING, NEW = 16000, 1000  # images
WIDEST = 512  # pixels of its images
LARGEST = 100  # million parameters of a network whose layer is looked for
WIDTHS = (24, 48, 96, 96, 96)

Explain = Callable[[nn.Sequential, Tensor, Tensor], Tensor]


def network() -> nn.Sequential:
    """Five convolutions with batch norm and ReLU, two poolings, a global mean and a linear classifier."""
    layers: list[nn.Module] = []
    before = 3
    for number, width in enumerate(WIDTHS):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if number < 2 else []
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


def pixels(images: Digits, device: torch.device) -> tuple[Tensor, Tensor]:
    """All images, normalised, and their labels."""
    return (images.images(range(len(images))).to(device) - 0.5) / 0.25, torch.tensor(images.labels, device=device)


def trained(seed: int, device: torch.device, epochs: int, count: int) -> nn.Sequential:
    """A network trained on cluttered digits of the handwritten digits that `examples.images` never shows."""
    greys, labels = handwritten()
    train, _ = divide(labels.tolist(), TEST_SHARE, 0)
    x, y = pixels(Digits(greys[train], labels[train], count=count, size=SIZE, key=(seed, 0)), device)
    torch.manual_seed(seed)
    model = network().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    steps = epochs * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(x), device=device)
        for part in order.split(BATCH)[: len(x) // BATCH]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[part]), y[part]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


# ---- ways to explain: network, images, classes -> B H W


def by_gradcam(model: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    return regard.gradcam(model, x, y, layer=model[-4])


def by_guided(model: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    return regard.guided_backpropagation(model, x, y).abs().sum(1)


def by_both(model: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    return regard.guided_gradcam(model, x, y, model[-4]).abs().sum(1)


def by_gradient(model: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(model(x).gather(1, y[:, None]).sum(), x)
    return slopes.abs().sum(1)


WAYS: dict[str, Explain] = {
    "Grad-CAM": by_gradcam,
    "guided Grad-CAM": by_both,
    "guided backpropagation": by_guided,
    "gradient of the pixels": by_gradient,
}


def found_on(model: nn.Sequential, seed: int, device: torch.device, count: int) -> dict[str, dict[str, float]]:
    """The figures of one network, in percent but for the correlations."""
    images = examples.images(count, seed=seed)
    x, y = pixels(images, device)
    regions = torch.stack([images.region(i) for i in range(len(images))])
    predicted = model(x).argmax(1).detach()
    torch.manual_seed(seed + 1000)
    fresh = network().to(device).eval()
    headless = network().to(device).eval()
    headless.load_state_dict(model.state_dict())
    headless[-1].load_state_dict(fresh[-1].state_dict())
    along = torch.linspace(-1, 1, SIZE)
    centre = torch.exp(-2 * (along[:, None] ** 2 + along**2)).expand(len(x), -1, -1)
    alone = {name: way(model, x, predicted) for name, way in WAYS.items()}
    alone["Grad-CAM, all weights random"] = by_gradcam(fresh, x, predicted)
    alone["Grad-CAM of another image of the digit"] = alone["Grad-CAM"].roll(10, 0)
    alone["a spot in the centre"] = centre
    found = {
        name: {
            "energy": 100 * energy(heat.cpu(), regions).mean().item(),
            "pointing": 100 * pointing(heat.cpu(), regions).mean().item(),
        }
        for name, heat in alone.items()
    }
    pair, other = torch.cat((x, x.roll(-5, 0)), 3), y.roll(-5)  # digits that differ by five, side by side
    for name, way in {**WAYS, "Grad-CAM, all weights random": by_gradcam}.items():
        of = fresh if "random" in name else model
        halves = [(way(of, pair, classes), side) for classes, side in ((y, 0), (other, 1))]
        found[name]["own half"] = 50 * sum(_half(heat, side) for heat, side in halves)
    for name, way in WAYS.items():
        found[name]["classifier random"] = _correlation(alone[name], way(headless, x, predicted))
        found[name]["all random"] = _correlation(alone[name], way(fresh, x, predicted))
    found["network"] = {"accuracy": 100 * (predicted == y).double().mean().item()}
    return found


def _half(heat: Tensor, side: int) -> float:
    """The mean share of a map in the left (0) or right (1) half; one half where a map is empty."""
    halves = torch.stack([half.double().sum((1, 2)) for half in heat.split(SIZE, 2)], 1)
    whole = halves.sum(1)
    return torch.where(whole > 0, halves[:, side] / whole.clamp_min(1e-300), 0.5).mean().item()


def _correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's correlation of the values of two maps, the mean over the images; 0 where a map is empty."""
    a, b = (map.flatten(1).double() for map in (one, other))
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-300)).mean().item()


MEASURES = {"energy": "energy on the digit, %", "pointing": "maximum on it, %", "own half": "in its own half, %"}
CORRELATIONS = {"classifier random": "classifier random", "all random": "all weights random"}


def digits(seeds: int, device: torch.device, out: Path, epochs: int, training: int, new: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for seed in range(seeds):
        file = out / f"{seed}.json"
        if file.is_file():
            continue
        start = time.monotonic()
        found = found_on(trained(seed, device, epochs, training), seed, device, new)
        file.write_text(json.dumps(found, indent=1), encoding="utf-8")
        print(f"seed {seed}: {found['network']} in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*.json"))]
    print(f"{len(runs)} networks, accuracy {_cell([run['network']['accuracy'] for run in runs], 1)} %\n")
    for measures, digits_of in ((MEASURES, 1), (CORRELATIONS, 2)):
        print(f"| | {' | '.join(measures.values())} |\n|---|{'---|' * len(measures)}")
        for name in runs[0]:
            if any(measure in runs[0][name] for measure in measures):
                cells = [_cell([run[name][m] for run in runs if m in run[name]], digits_of) for m in measures]
                print(f"| {name} | {' | '.join(cells)} |")
        print()


def _cell(values: list[float], places: int) -> str:
    if len(values) < 3:  # an interval of two would say little
        return " / ".join(f"{value:.{places}f}" for value in values)
    least, most = (0, 100) if places == 1 else (-1, 1)
    interval = over_seeds(values, floor=least, ceiling=most)
    return f"{interval.mean:.{places}f} ({interval.low:.{places}f} to {interval.high:.{places}f})"


# ---- the picture and the layers


def picture(file: Path) -> None:
    """Four new digits, each with the coarse gate of the network, Grad-CAM and guided Grad-CAM of what it predicts."""
    model = open_network(weights=examples.weights())
    images = examples.images(4)
    panels = []
    for i in range(len(images)):
        shown = images.pixels(i)
        maps, returned = model.answer(shown)
        assert isinstance(returned, Tensor)
        number = int(returned.argmax(1))
        x = model.prepared(shown)
        panels.append(photograph(picture_of(shown.float() / 255), images.name(i), f"predicted: {number}"))
        gate = list(maps.values())[-1][0]
        heat = regard.gradcam(model.model, x, number, "stages.3", upsample=False)
        edges = regard.guided_gradcam(model.model, x, number, "stages.3").abs().sum(1)
        for title, map in (("its 6 x 6 gate", gate[:, 0]), ("Grad-CAM there", heat), ("guided Grad-CAM", edges)):
            one = Maps()
            one[title], one.axes[title] = [map], "B H W"
            panels += regard.draw(one, shown.float() / 255, scale="own")
    sheet(panels, "Where the network that comes with regard looks, and what speaks for its answer").convert("RGB").save(
        file, quality=85, optimize=True
    )


def layers(device: torch.device) -> None:
    """The table of layers, one line for each family, as they are found."""
    print("| family | model | layer | layout | map C H W | image |\n|---|---|---|---|---|---|", flush=True)
    page = (Path(__file__).parent / "families.md").read_text(encoding="utf-8")
    for family, name in re.findall(r"^\| (\w+) \| `(\w+)` \|", page, flags=re.MULTILINE):
        start = time.monotonic()
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            columns = found(name, device)
        print(f"| {family} | `{name}` | {' | '.join(columns)} |", flush=True)
        print(f"{time.monotonic() - start:6.1f} s", file=sys.stderr, flush=True)


def found(name: str, device: torch.device) -> list[str]:
    """Layer, layout, map and image of one model."""
    with torch.device("meta"):
        millions = sum(parameter.numel() for parameter in timm.create_model(name).parameters()) / 1e6
    if millions > LARGEST:
        return [f"not run: {millions:.0f} million parameters", "", "", ""]
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=10).eval()
    for parameter_name, parameter in model.named_parameters():
        if not parameter_name.endswith("bias") and not parameter.any():
            torch.nn.init.constant_(parameter, 0.5)  # a head of zeros, which no training leaves, explains nothing
    model.to(device)
    channels, *size = model.pretrained_cfg["input_size"]
    if max(size) > WIDEST:
        return [f"not run: {size[0]} pixels", "", "", ""]
    image = torch.randn(1, channels, *size, device=device)
    try:
        site = siting.last(model, image[[0, 0]])
        heat = regard.gradcam(model, image, layer=site)
    except (ValueError, LookupError) as error:
        return ["none", "", "", str(error).partition("\n")[0].replace("|", "/")]
    empty = "" if bool(heat.any()) else ", an empty map"
    return [
        f"`{site.name}`",
        site.layout.axes,
        " x ".join(map(str, site.shape[1:])) + empty,
        " x ".join(map(str, size)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("picture").add_argument("file", type=Path)
    commands.add_parser("layers").add_argument("--device", default="cpu")
    command = commands.add_parser("digits")
    command.add_argument("--seeds", type=int, default=5)
    command.add_argument("--device", default="cpu")
    command.add_argument("--out", type=Path, default=Path("build/gradcam"))
    command.add_argument("--epochs", type=int, default=EPOCHS)
    command.add_argument("--training", type=int, default=TRAINING)
    command.add_argument("--new", type=int, default=NEW)
    given = parser.parse_args()
    if given.command == "digits":
        settings = given.epochs, given.training, given.new
        digits(given.seeds, torch.device(given.device), given.out, *settings)
    elif given.command == "picture":
        picture(given.file)
    else:
        layers(torch.device(given.device))


if __name__ == "__main__":
    main()
