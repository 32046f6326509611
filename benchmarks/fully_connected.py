"""`python -m benchmarks.fully_connected MNIST`: the recurrent attention model's rival on digits moved about.

A network of two hidden layers, as wide as the number of parameters of `ram-translated`'s network allows, trained on the
same images by the same plan for the same epochs. Both errors are then of the same test images:

    regard train ram-translated --data MNIST --epochs 15 --out run
    python -m benchmarks.fully_connected MNIST --epochs 15
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from regard.recipes import ram
from regard.tasks.classify import Classify
from regard.training import fit, predict


def size_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def network(pixels: int, classes: int, most: int) -> nn.Sequential:
    """The widest with at most `most` parameters."""

    def of(width: int) -> nn.Sequential:
        hidden = (nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, classes))

    with torch.device("meta"):
        width = max(width for width in range(1, most // pixels + 2) if size_of(of(width)) <= most)
    return of(width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    recipe = ram.translated(chosen.data)
    plan = replace(recipe.phases[0].plan, seed=chosen.seed)
    if chosen.epochs:
        plan = replace(plan, epochs=chosen.epochs)
    torch.manual_seed(chosen.seed)
    theirs = recipe.build()
    model = network(60 * 60, 10, size_of(theirs))
    print(f"{size_of(model)} parameters beside {size_of(theirs)}", flush=True)
    task = Classify(10)
    fit(model, task, recipe.train, plan, on_epoch=lambda epoch, record: print(record, flush=True))
    logits, labels = predict(model, recipe.test, batch_size=500, normalise=plan.normalise)
    print(f"error: {100 * (1 - task.score(logits, labels)['accuracy']):.2f}")


if __name__ == "__main__":
    main()
