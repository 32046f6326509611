"""Trains the ablations of docs/ablations.md: one table of Markdown, and a JSON file with the figures of every seed.

    python docs/ablations.py ran --out ran.json
    python docs/ablations.py ltpa --out ltpa.json
    python docs/ablations.py fca --out fca.json
    python docs/ablations.py ltpa --large --data cifar10/ --device cuda --out large.json
    python docs/ablations.py table ran.json other-seeds.json

`ran` compares the masks of Residual Attention Network, `ltpa` the scores and the classifiers of Learn To Pay Attention,
and `fca` runs the two-step search of FcaNet's frequencies and compares what it finds. `table` prints one table of
several files with different seeds. DATA is a folder of images, `train/` and `test/` with a subfolder for each class;
without it the embedded digits are used. The same command goes on where an interrupted one stopped: what the file has is
not trained again.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from regard import attach, create
from regard import data as datasets
from regard.comparing.statistics import over_seeds
from regard.data import mnist
from regard.papers.fcanet.frequencies import FREQUENCIES, Ranking, rank_frequencies
from regard.papers.ltpa.network import WIDTHS, AttentionVGG
from regard.papers.residual_attention.mechanism import ResidualAttention
from regard.papers.residual_attention.network import ResidualAttentionNetwork

MOMENTUM, DECAY, CLIP = 0.9, 5e-4, 5.0
SEARCH_SEED = 1000  # of the frequencies; the compared seeds start at 0


class Size(NamedTuple):
    """How large images, batches and networks are."""

    side: dict[str, int]  # of the images, by what is compared; the attention VGG takes no less than 32
    batch: int
    shift: int  # the most that an image is moved, in pixels
    ran: int  # width of the residual attention network
    vgg: int  # how many times narrower than the paper's the attention VGG is
    blocks: int  # in each stage of the network for FcaNet's gate


SMALL = Size({"ran": 16, "ltpa": 32, "fca": 16}, batch=25, shift=2, ran=4, vgg=16, blocks=1)
LARGE = Size({"ran": 32, "ltpa": 32, "fca": 32}, batch=125, shift=4, ran=8, vgg=4, blocks=2)


class Images:
    """Images and labels on a device: normalised, the test images in a random order."""

    def __init__(self, source: str, what: str, size: Size, device: torch.device, most: int) -> None:
        self.size, side = size, size.side[what]
        found = mnist.embedded() if source == "digits" else datasets.load(source, image_size=side)
        self.classes = len(found.classes)
        self.flips = source != "digits"
        order = torch.randperm(len(found.test), generator=Generator().manual_seed(0)).tolist()
        chosen = torch.randperm(len(found.train), generator=Generator().manual_seed(0))[:most].tolist()
        parts = (found.train, chosen), (found.test, order)
        (x, self.labels), (test, self.test_labels) = (
            (
                framed(split.images(list(rows)), side).to(device),
                torch.tensor([split.labels[i] for i in rows], device=device),
            )
            for split, rows in parts
        )
        mean, std = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
        self.images, self.test_images = (x - mean) / std, (test - mean) / std

    def held_out(self, share: int = 5) -> Images:
        """The training images alone: four fifths of them to train on, the rest to choose by."""
        own = copy.copy(self)
        order = torch.randperm(len(self.images), generator=Generator().manual_seed(1)).to(self.images.device)
        last, first = order[: len(order) // share], order[len(order) // share :]
        own.images, own.labels = self.images[first], self.labels[first]
        own.test_images, own.test_labels = self.images[last], self.labels[last]
        return own


def framed(images: Tensor, side: int) -> Tensor:
    """Images in three channels, in the middle of `side` × `side` where they are smaller."""
    edge = (side - images.shape[-1]) // 2
    return functional.pad(images, (edge,) * 4).expand(-1, 3, -1, -1)


def augmented(images: Tensor, shift: int, flips: bool, generator: Generator) -> Tensor:
    """Shifts each image by up to `shift` pixels and, with `flips`, mirrors every other one: `B C H W`."""
    count, _, height, width = images.shape
    down, right, mirror = torch.randint(0, 2 * shift + 1, (3, count), generator=generator).to(images.device)
    padded = functional.pad(images, (shift,) * 4, mode="reflect")
    rows = torch.arange(height, device=images.device) + down[:, None]
    columns = torch.arange(width, device=images.device) + right[:, None]
    if flips:
        columns = torch.where((mirror % 2 == 1)[:, None], columns.flip(1), columns)
    each = torch.arange(count, device=images.device)[:, None, None]
    return padded[each, :, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2).contiguous()


class Descent:
    """Stochastic gradient descent with Nesterov's momentum, weight decay and clipped gradients, batch after batch.

    The batch and the rate stand at fixed places, so that on a GPU one step can be recorded and played again: networks
    of many small layers otherwise wait for the processor.
    """

    def __init__(self, model: nn.Module, batch: Tensor, labels: Tensor, *, recorded: bool) -> None:
        self.model, self.batch, self.labels = model, batch, labels
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.momenta = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.rate = torch.zeros((), device=batch.device)
        self.play = self.record() if recorded else self.descend

    def step(self, batch: Tensor, labels: Tensor, rate: float) -> None:
        self.batch.copy_(batch)
        self.labels.copy_(labels)
        self.rate.fill_(rate)
        self.play()

    def descend(self) -> None:
        loss = functional.cross_entropy(self.model(self.batch), self.labels)
        gradients = list(torch.autograd.grad(loss, self.parameters))
        with torch.no_grad():
            length = torch.stack(torch._foreach_norm(gradients)).norm()
            torch._foreach_mul_(gradients, (CLIP / (length + 1e-6)).clamp(max=1))
            torch._foreach_add_(gradients, self.parameters, alpha=DECAY)
            torch._foreach_mul_(self.momenta, MOMENTUM)
            torch._foreach_add_(self.momenta, gradients)
            torch._foreach_add_(gradients, self.momenta, alpha=MOMENTUM)
            torch._foreach_mul_(gradients, self.rate)
            torch._foreach_sub_(self.parameters, gradients)

    def record(self) -> Callable[[], None]:
        """A step as a CUDA graph; what the steps before the recording changed is put back."""
        before = {name: value.clone() for name, value in self.model.state_dict().items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.descend()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.descend()
        self.model.load_state_dict(before)
        torch._foreach_zero_(self.momenta)
        return graph.replay


def fit(model: nn.Module, data: Images, *, epochs: int, rate: float, seed: int) -> nn.Module:
    """Trains in place; the rate falls along half a cosine after one epoch of warm-up.

    The batches and their augmentation are those of the seed, the same for every model.
    """
    drawn = Generator().manual_seed(seed)
    batch = data.size.batch
    steps = len(data.images) // batch
    model.train()
    first = data.images[:batch].clone(), data.labels[:batch].clone()
    descent = Descent(model, *first, recorded=data.images.is_cuda)
    for epoch in range(epochs):
        order = torch.randperm(len(data.images), generator=drawn).to(data.images.device)[: steps * batch]
        images, labels = augmented(data.images[order], data.size.shift, data.flips, drawn), data.labels[order]
        for step, (x, y) in enumerate(zip(images.split(batch), labels.split(batch), strict=True)):
            done = epoch * steps + step
            warm = min(1.0, (done + 1) / steps)
            descent.step(x, y, rate * warm * (1 + math.cos(math.pi * done / (epochs * steps))) / 2)
    return model


@torch.no_grad()
def error(model: nn.Module, data: Images) -> float:
    """The test error in percent."""
    model.eval()
    wrong = torch.zeros((), device=data.images.device)
    for x, labels in zip(data.test_images.split(500), data.test_labels.split(500), strict=True):
        wrong += (model(x).argmax(1) != labels).sum()
    return 100 * float(wrong) / len(data.test_labels)


# ---- Residual Attention Network: masks


class Added(nn.Module):
    """A module whose mask branch is added to the trunk: the same layers and parameters, and nothing is weighed."""

    def __init__(self, module: ResidualAttention) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        x = self.module.pre(x)
        return self.joined(self.module.trunk(x), self.module.logits(x))

    def joined(self, trunk: Tensor, logits: Tensor) -> Tensor:
        y: Tensor = self.module.post(trunk + logits)
        return y


class Another(Added):
    """A module whose mixed mask is that of another image of the batch, in training as in the test."""

    def joined(self, trunk: Tensor, logits: Tensor) -> Tensor:
        mask = logits.sigmoid().roll(max(1, len(logits) // 2), 0)
        y: Tensor = self.module.post((1 + mask) * trunk)
        return y


MODULES = (0, 1, 1)


def masked(data: Images, **options: str) -> nn.Module:
    modules, width = MODULES, data.size.ran
    return ResidualAttentionNetwork(3, classes=data.classes, stem="cifar", width=width, modules=modules, **options)


def changed(data: Images, change: type[Added]) -> nn.Module:
    network = masked(data)
    for stage in network.stages:
        for i, module in enumerate(stage):
            stage[i] = change(module)
    return network


def unmasked(data: Images) -> nn.Module:
    """Residual units in place of the mask branches: as many as come nearest to their parameters."""
    network = masked(data)
    for stage in network.stages:
        for i, module in enumerate(stage):
            trunk = [module.pre, module.trunk, module.post]
            mask = counted(module) - sum(counted(part) for part in trunk)
            more = ResidualAttention(module.channels, t=round(mask / counted(module.post))).trunk
            stage[i] = nn.Sequential(*trunk, more)
    return network


def counted(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


RAN: dict[str, Callable[[Images], nn.Module]] = {
    "no mask, more residual units": unmasked,
    "mask branch added, nothing weighed": lambda data: changed(data, Added),
    "f1, mixed": masked,
    "f2, channel": lambda data: masked(data, mask="channel"),
    "f3, spatial": lambda data: masked(data, mask="spatial"),
    "f1, naive learning": lambda data: masked(data, learning="naive"),
    "f1, mask of another image": lambda data: changed(data, Another),
}


# ---- Learn To Pay Attention: compatibility and classifiers


def vgg(data: Images, **options: str | None) -> AttentionVGG:
    widths = tuple(width // data.size.vgg for width in WIDTHS)
    return AttentionVGG(3, classes=data.classes, widths=widths, **options)


def uniform(data: Images) -> nn.Module:
    """Every position has the same weight: the score is zero and stays so."""
    network = vgg(data)
    for attention in network.attentions:
        nn.init.zeros_(attention.score.weight)
        attention.score.requires_grad_(False)
    return network


LTPA: dict[str, Callable[[Images], nn.Module]] = {
    "VGG, no attention": lambda data: vgg(data, attend=None),
    "uniform weights, concat": uniform,
    "concat, parametrised": vgg,
    "concat, dot product": lambda data: vgg(data, compatibility="dot"),
    "independent, parametrised": lambda data: vgg(data, combine="independent"),
    "independent, dot product": lambda data: vgg(data, compatibility="dot", combine="independent"),
}


# ---- FcaNet: frequencies


def residual(data: Images) -> nn.Module:
    """A CIFAR ResNet of 8 layers, or of 14."""
    blocks = (data.size.blocks,) * 3
    network: nn.Module = create("paper_network", name="resnet20_cifar", classes=data.classes, blocks=blocks)
    return network


def frequent(data: Images, frequencies: str | tuple[tuple[int, int], ...]) -> nn.Module:
    """The same with frequency channel attention in every block, of these frequencies."""
    return attach(residual(data), "fca", frequencies=frequencies, reduction=4)


def searched(data: Images, done: Results, how: dict[str, float]) -> Ranking:
    """The paper's two steps, on training images alone: each frequency by itself, then the best ones together."""
    part = data.held_out()
    known = {pair: 1 - done.figures[name] / 100 for pair in FREQUENCIES if (name := str(pair)) in done.figures}
    batches = list(zip(part.test_images.split(500), part.test_labels.split(500), strict=True))
    return rank_frequencies(
        lambda frequencies: frequent(data, frequencies),
        batches,
        fit=lambda model: fit(model, part, seed=SEARCH_SEED, **how),
        counts=(1, 2, 4, 8, 16),
        known=known,
        seed=SEARCH_SEED,
        device=data.images.device,
        progress=lambda pairs, score, *_: done.search(pairs, score),
    )


# ---- What is trained, and what it gave


class Results:
    """Test errors by row and seed, in a JSON file that is written after every training."""

    def __init__(self, path: Path, settings: dict[str, object] | None = None) -> None:
        self.path = path
        kept = json.loads(path.read_text()) if path.is_file() else {}
        self.settings = settings or kept["settings"]
        if kept and kept["settings"] != self.settings:
            raise SystemExit(f"{path} has figures of other settings: {kept['settings']}")
        self.errors: dict[str, dict[str, float]] = kept.get("errors", {})
        self.parameters: dict[str, int] = kept.get("parameters", {})
        self.figures: dict[str, float] = kept.get("search", {})

    def search(self, pairs: tuple[tuple[int, int], ...], score: float) -> None:
        name = str(pairs[0]) if len(pairs) == 1 else f"best {len(pairs)}"
        self.figures.setdefault(name, 100 * (1 - score))
        self.write()

    def write(self) -> None:
        content = {
            "settings": self.settings, "parameters": self.parameters, "errors": self.errors, "search": self.figures,
        }  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(content, indent=1))
        part.replace(self.path)

    def add(self, other: Results) -> None:
        """Takes over the seeds of another file. Raises: SystemExit if its settings are others."""
        if other.settings != self.settings:
            raise SystemExit(f"{other.path} has other settings than {self.path}: {other.settings}")
        for name, own in other.errors.items():
            self.errors.setdefault(name, {}).update(own)
        self.parameters.update(other.parameters)

    def table(self, base: str) -> str:
        """Mean and interval of the rows over the seeds that all of them have, and the gains paired by seed."""
        seeds = sorted(set.intersection(*(set(own) for own in self.errors.values())), key=int)
        if not seeds:
            return "No seed has all rows yet."
        lines = [
            f"| {len(seeds)} seeds | parameters | test error, % | gain over the first row, points |",
            "|---|---|---|---|",
        ]
        for name, own in self.errors.items():
            mean = over_seeds([own[seed] for seed in seeds], floor=0, ceiling=100)
            gain = over_seeds([self.errors[base][seed] - own[seed] for seed in seeds], floor=-100, ceiling=100)
            gained = "" if name == base else f"{gain.mean:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}]"
            error_shown = f"{mean.mean:.1f} [{mean.low:.1f}, {mean.high:.1f}]"
            lines.append(f"| {name} | {self.parameters[name]:,} | {error_shown} | {gained} |")
        return "\n".join(lines)


def trained(
    rows: dict[str, Callable[[Images], nn.Module]],
    data: Images,
    results: Results,
    *,
    seeds: range,
    how: dict[str, float],
) -> None:
    """Trains every row with every seed that the results lack; all rows of a seed, then the next seed."""
    device = data.images.device
    for seed in seeds:
        for name, build in rows.items():
            own = results.errors.setdefault(name, {})
            if str(seed) in own:
                continue
            began = time.perf_counter()
            torch.manual_seed(seed)
            model = build(data).to(device)
            results.parameters[name] = counted(model)
            own[str(seed)] = error(fit(model, data, seed=seed, **how), data)
            results.write()
            print(seed, name, own[str(seed)], f"{time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ran", "ltpa", "fca", "table"))
    parser.add_argument("files", nargs="*", type=Path, help="of table")
    parser.add_argument("--data", default="digits", help="folder of images; by default the embedded digits")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--train", type=int, default=10**6, help="at most that many images to train on")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--rate", type=float, default=0.1, help="peak learning rate")
    parser.add_argument("--out", type=Path, default=None, help="JSON file of the results; by default WHAT.json")
    parser.add_argument("--large", action="store_true", help="32 × 32 and wider networks, for a GPU")
    given = parser.parse_args()
    if given.what == "table":
        results, *others = (Results(file) for file in given.files)
        for other in others:
            results.add(other)
        print(results.table(next(iter(results.errors))))
        return
    torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = True
    data = Images(given.data, given.what, LARGE if given.large else SMALL, torch.device(given.device), given.train)
    how = {"epochs": given.epochs, "rate": given.rate}
    settings = {"what": given.what, "data": [len(data.images), len(data.test_images)], "large": given.large, **how}
    results = Results(given.out or Path(f"{given.what}.json"), settings)
    rows = {"ran": RAN, "ltpa": LTPA}.get(given.what, {})
    if given.what == "fca":
        ranking = searched(data, results, how)
        print(ranking)
        print("\nbest:", " ".join(f"{u}{v}" for u, v in ranking.top(16)), "\n", flush=True)
        best, worst = ranking.top(16), tuple(ranking.scores)[-16:]
        rows = {"no attention": residual, "se": lambda data: attach(residual(data), "se", reduction=4)}
        for name, frequencies in (
            ("fca, the average alone", ((0, 0),)),
            (f"fca, found: the best {len(ranking.best)}", ranking.best),
            ("fca, found: the best 16", best),
            ("fca, found: the worst 16", worst),
            ("fca, published top16", "top16"),
            ("fca, published bot16", "bot16"),
        ):
            rows[name] = lambda data, frequencies=frequencies: frequent(data, frequencies)
    trained(rows, data, results, seeds=range(given.first, given.first + given.seeds), how=how)
    print(results.table(next(iter(rows))))


if __name__ == "__main__":
    main()
