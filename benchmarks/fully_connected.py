"""`python -m benchmarks.fully_connected MNIST`: what a feed-forward network of the same size makes of the same images.

A network of two hidden layers, as wide as the number of parameters of a recipe's network allows, trained on the same
images by the same plan for the same epochs; `--network convolutional` is one of four convolutions, the first with
stride 2, the others before maximum pooling over 2×2, and a hidden layer as wide as they allow. It has one head for each
thing to be read. Both errors are then of the same test images:

    regard train ram-translated --data MNIST --epochs 15 --out run
    python -m benchmarks.fully_connected MNIST --epochs 15

    regard train dram-strips --data MNIST --out run
    python -m benchmarks.fully_connected MNIST --recipe dram-strips
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from regard.data.batches import Batch, as_sample
from regard.metrics.metric import Measure
from regard.papers.dram import recipe as dram
from regard.papers.dram.task import Read, ReadingErrors
from regard.papers.ram import recipe as ram
from regard.training.evaluate import evaluate
from regard.training.loop import fit
from regard.training.recipe import Recipe

RECIPES: dict[str, Callable[..., Recipe]] = {
    "ram-translated": ram.translated,
    "ram-cluttered": ram.cluttered,
    "dram-strips": dram.strips,
}
WIDTHS = (8, 16, 32, 64)
KERNELS = (5, 3, 3, 3)


@dataclass(frozen=True)
class Heads:
    """`Read` for a network without glimpses, whose outputs are `B S K`; one label for each image is S = 1."""

    read: Read

    @property
    def measure(self) -> Measure:
        return self.read.measure

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        logits, labels = self.answers(model, batch)
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten()) * self.read.targets, {}

    def metric(self) -> ReadingErrors:
        return self.read.metric()

    def answers(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        return model(batch["image"]), batch["label"].view(batch.size, self.read.targets)


def size_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def multiplications(model: nn.Module, image: Tensor) -> int:
    """For one image, in evaluation."""
    training = model.training
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(image[None])
    model.train(training)
    return counter.get_total_flops() // 2


def fully_connected(side: int, read: Read, width: int) -> nn.Sequential:
    hidden = (nn.Linear(side**2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
    return nn.Sequential(nn.Flatten(), *hidden, *_heads(width, read))


def convolutional(side: int, read: Read, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after, kernel in zip((1, *WIDTHS), WIDTHS, KERNELS, strict=False):
        first = not layers
        layers += [nn.Conv2d(before, after, kernel, stride=2 if first else 1, padding=kernel // 2), nn.ReLU()]
        side = (side + 1) // 2 if first else side // 2
        if not first:
            layers.append(nn.MaxPool2d(2))
    left = WIDTHS[-1] * side**2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(left, width), nn.ReLU(), *_heads(width, read))


def _heads(width: int, read: Read) -> tuple[nn.Module, ...]:
    return nn.Linear(width, read.targets * read.classes), nn.Unflatten(1, (read.targets, read.classes))


def widest(network: Callable[[int], nn.Module], most: int) -> nn.Module:
    """The widest with at most `most` parameters."""
    width = 1
    with torch.device("meta"):
        while size_of(network(width + 1)) <= most:
            width += 1
    return network(width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="ram-translated")
    parser.add_argument("--network", choices=("fully-connected", "convolutional"), default="fully-connected")
    parser.add_argument("--epochs", type=int, help="as many as the recipe's phases together, where it is not said")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    recipe = RECIPES[chosen.recipe](chosen.data)
    convolving = chosen.network == "convolutional"
    epochs = chosen.epochs or sum(phase.plan.epochs for phase in recipe.phases)
    plan = replace(recipe.phases[-1].plan, seed=chosen.seed, epochs=epochs, channels_last=convolving)
    torch.manual_seed(chosen.seed)
    theirs: Any = recipe.build()
    task = Heads(Read(10, getattr(theirs, "targets", 1)))
    image = as_sample(recipe.test[0])["image"]
    make = convolutional if convolving else fully_connected
    model = widest(lambda width: make(image.shape[-1], task.read, width), size_of(theirs))
    sizes = f"{size_of(model)} parameters beside {size_of(theirs)}"
    products = f"{multiplications(model, image)} multiplications for an image beside {multiplications(theirs, image)}"
    print(f"{sizes}, {products}; {epochs} epochs", flush=True)
    fit(model, task, recipe.train, plan, on_epoch=lambda epoch, record: print(record, flush=True))
    scores = evaluate(model, task, recipe.test, batch_size=500, normalise=plan.normalise)
    print(", ".join(f"{name}: {value:.4g}" for name, value in scores.items()))


if __name__ == "__main__":
    main()
