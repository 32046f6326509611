"""`python -m benchmarks.fully_connected MNIST`: what a feed-forward network of the same size makes of the same images.

A network of two hidden layers, as wide as the number of parameters of a recipe's network allows, trained on the same
images by the same plan for the same epochs; `--network convolutional` is one of four convolutions, the first with
stride 2, the others before maximum pooling over 2×2, and a hidden layer as wide as they allow; `--network
equal-multiplications` is the same one with as many filters, and then as wide a hidden layer, as the multiplications of
the recipe's network for an image allow. Each has one head for each thing to be read. All errors are then of the same
test images:

    regard train ram-translated --data MNIST --epochs 15 --out run
    python -m benchmarks.fully_connected MNIST --epochs 15

    regard train dram-strips --data MNIST --out run
    python -m benchmarks.fully_connected MNIST --recipe dram-strips

`python -m benchmarks.reading` trains all of them over several seeds on one device.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
    "ram-mnist": ram.mnist,
    "ram-translated": ram.translated,
    "ram-cluttered": ram.cluttered,
    "dram-strips": dram.strips,
    "dram-addition": dram.addition,
}
NETWORKS = ("fully-connected", "convolutional", "equal-multiplications")
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


def convolutional(side: int, read: Read, width: int, widths: Sequence[int] = WIDTHS) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after, kernel in zip((1, *widths), widths, KERNELS, strict=False):
        first = not layers
        layers += [nn.Conv2d(before, after, kernel, stride=2 if first else 1, padding=kernel // 2), nn.ReLU()]
        side = (side + 1) // 2 if first else side // 2
        if not first:
            layers.append(nn.MaxPool2d(2))
    left = widths[-1] * side**2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(left, width), nn.ReLU(), *_heads(width, read))


def _heads(width: int, read: Read) -> tuple[nn.Module, ...]:
    return nn.Linear(width, read.targets * read.classes), nn.Unflatten(1, (read.targets, read.classes))


def widest(network: Callable[[int], nn.Module], most: int, costs: Callable[[nn.Module], int] = size_of) -> int:
    """The largest width with which a network costs at most `most`.

    Raises: ValueError if a width of 1 costs more.
    """
    with torch.device("meta"):
        if costs(network(1)) > most:
            raise ValueError(f"most={most}: at least {costs(network(1))} is needed")
        fits, above = 1, 2
        while costs(network(above)) <= most:
            fits, above = above, 2 * above
        while above - fits > 1:
            middle = (fits + above) // 2
            fits, above = (middle, above) if costs(network(middle)) <= most else (fits, middle)
    return fits


def rival(kind: str, theirs: nn.Module, image: Tensor, read: Read) -> nn.Sequential:
    """A feed-forward network of one of `NETWORKS`, as large as `theirs` allows, for square images like `image`."""
    side = image.shape[-1]
    if kind != "equal-multiplications":
        make = partial(convolutional if kind == "convolutional" else fully_connected, side, read)
        return make(widest(make, size_of(theirs)))
    blank = torch.empty(image.shape, device="meta")
    most = multiplications(theirs, image)
    costs = partial(multiplications, image=blank)
    filters = widest(lambda first: convolutional(side, read, 8 * first, _doubled(first)), most, costs)
    make = partial(convolutional, side, read, widths=_doubled(filters))
    return make(widest(make, most, costs))


def _doubled(first: int) -> tuple[int, ...]:
    return tuple(first * 2**i for i in range(len(KERNELS)))


def compared(recipe: Recipe) -> Read:
    """The task of a rival of the recipe's network: as many answers, among as many classes."""
    task: Any = recipe.phases[-1].task
    return Read(task.classes, getattr(task, "targets", 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="ram-translated")
    parser.add_argument("--network", choices=NETWORKS, default=NETWORKS[0])
    parser.add_argument("--epochs", type=int, help="as many as the recipe's phases together, where it is not said")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    recipe = RECIPES[chosen.recipe](chosen.data)
    convolving = chosen.network != "fully-connected"
    epochs = chosen.epochs or sum(phase.plan.epochs for phase in recipe.phases)
    plan = replace(recipe.phases[-1].plan, seed=chosen.seed, epochs=epochs, channels_last=convolving)
    torch.manual_seed(chosen.seed)
    theirs = recipe.build()
    task = Heads(compared(recipe))
    image = as_sample(recipe.test[0])["image"]
    model = rival(chosen.network, theirs, image, task.read)
    sizes = f"{size_of(model)} parameters beside {size_of(theirs)}"
    products = f"{multiplications(model, image)} multiplications for an image beside {multiplications(theirs, image)}"
    print(f"{sizes}, {products}; {epochs} epochs", flush=True)
    fit(model, task, recipe.train, plan, on_epoch=lambda epoch, record: print(record, flush=True))
    scores = evaluate(model, task, recipe.test, batch_size=500, normalise=plan.normalise)
    print(", ".join(f"{name}: {value:.4g}" for name, value in scores.items()))


if __name__ == "__main__":
    main()
