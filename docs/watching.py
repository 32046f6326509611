"""Prints the table of docs/watching.md and draws its picture: the network that comes with the library, and opponents.

    python docs/watching.py 1 docs/images/look.jpg build/watching

The arguments are the number of trainings with other seeds, the file of the picture and a folder, in which the trainings
go on where they stopped. Seed 0 with attention is the file that comes with the library; every other training takes
three minutes on one core. Every network is scored on three sets of new images.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

import regard
from regard import watch
from regard.catalog import recipes
from regard.comparing.statistics import over_seeds
from regard.data.batches import normalised
from regard.data.digits import Digits
from regard.looking import examples
from regard.metrics.localisation import energy, pointing
from regard.ops.seeds import mixed, seeded
from regard.papers.sononet.mechanism import SononetGate
from regard.papers.sononet.network import GatedSononet
from regard.saved.opening import open_network
from regard.tasks.classify import Classify
from regard.training.evaluate import evaluate
from regard.training.loop import fit
from regard.training.plan import Plan
from regard.training.recipe import Recipe, built

NAME = "gated-sononet-digits"
SETS, COUNT = 3, 1000  # sets of new images, and how many in each


class Averaged(nn.Module):
    """The stages of a gated network under global averages of the same three maps, without attention.

    Args:
        network: gives the stages, and the number of parameters, which a hidden layer of the classifier makes up for.
        classes: number of classes.
    """

    def __init__(self, network: GatedSononet, classes: int) -> None:
        super().__init__()
        self.stages = network.stages
        wanted = sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in self.stages.parameters())
        widths = sum(stage.convolutions[-1].out_channels for stage in network.stages[2:])
        hidden = round((wanted - classes) / (widths + 1 + classes))
        self.last = network.stages[4]
        self.classify = nn.Sequential(nn.Linear(widths, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for i, stage in enumerate(self.stages):
            x = stage(x if i == 0 else functional.max_pool2d(x, 2))
            maps.append(x)
        scores: Tensor = self.classify(torch.cat([map.mean((2, 3)) for map in maps[2:]], 1))
        return scores


def main(seeds: int, picture: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    recipe = built(recipes.get(NAME))
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(seeds):
        gated = (
            trained(recipe, seed, folder / f"gated-{seed}") if seed else open_network(weights=examples.weights()).model
        )
        plain = trained(recipe, seed, folder / f"plain-{seed}", lambda network: Averaged(network, 10))
        print(f"seed {seed}: {parameters(gated)} and {parameters(plain)} parameters", file=sys.stderr, flush=True)
        scored = [
            compared(gated, plain, examples.images(COUNT, seed=one), recipe.phases[0].plan) for one in range(SETS)
        ]
        for name, measures in scored[0].items():
            row = found.setdefault(name, {measure: [] for measure in measures})
            for measure, values in row.items():
                values.append(fmean(one[name][measure] for one in scored))
    print("| | accuracy, % | energy on the digit, % | maximum on the digit, % |")
    print("|---|---|---|---|")
    for name, row in found.items():
        print(f"| {name} | {' | '.join(written(values) for values in row.values())} |")
    with tempfile.TemporaryDirectory() as place, Image.open(regard.look(out=place).pictures[0]) as page:
        page.convert("RGB").save(picture, quality=85, optimize=True)


def compared(gated: nn.Module, plain: Averaged, new: Digits, plan: Plan) -> dict[str, dict[str, float]]:
    """The scores of both networks, of other gates in the first, and of maps that know nothing, on one set of images."""
    score = partial(accuracy, new, plan)
    regions = torch.stack([new.region(i) for i in range(len(new))])
    x = normalised(new.images(range(len(new))), plan.normalise)
    fine, coarse = maps_of(gated, x)
    order = torch.randperm(len(new), generator=torch.Generator().manual_seed(0))
    rows = {
        "with its gates; the 6 × 6 one": (score(gated), coarse),
        "the 12 × 12 one": (math.nan, fine),
        "places of both gates shuffled": (replaced(gated, shuffled, score), shuffled(coarse[:, None])[:, 0]),
        "both gates even": (replaced(gated, even, score), even(coarse[:, None])[:, 0]),
        "the 6 × 6 gate of another image": (math.nan, coarse[order]),
        "trained without attention, as many parameters; Grad-CAM": (score(plain), explained(plain, x)),
        "a spot in the centre": (math.nan, centred(len(new))),
    }
    return {
        name: {
            "accuracy": share,
            "energy": 100 * energy(heat, regions).mean().item(),
            "pointing": 100 * pointing(heat, regions).mean().item(),
        }
        for name, (share, heat) in rows.items()
    }


def trained(
    recipe: Recipe, seed: int, folder: Path, change: Callable[[GatedSononet], nn.Module] | None = None
) -> nn.Module:
    """The network of the recipe, or what `change` makes of it, trained as `regard train` does."""
    with seeded(mixed("recipe", NAME, seed)):
        model = recipe.build()
        model = model if change is None else change(model)
    (phase,) = recipe.phases
    fit(model, phase.task, recipe.train, replace(phase.plan, seed=seed), folder=folder)
    return model.eval()


def accuracy(images: Digits, plan: Plan, model: nn.Module) -> float:
    """The share of the images that the network classifies correctly, in percent."""
    return 100 * evaluate(model.eval(), Classify(10), images, normalise=plan.normalise)["accuracy"]


def maps_of(model: nn.Module, x: Tensor) -> list[Tensor]:
    """Both gates, the finer first. `B h w` each."""
    with torch.no_grad(), watch(model) as maps:
        model(x)
    return [look[0][:, 0] for look in maps.values()]


def explained(model: Averaged, x: Tensor) -> Tensor:
    """Grad-CAM at the last stage. `B h w`."""
    return torch.cat([regard.gradcam(model, part, layer=model.last, upsample=False) for part in x.split(100)])


def centred(count: int) -> Tensor:
    """A Gaussian in the middle, with a quarter of the side as its standard deviation. `B h w`."""
    along = torch.linspace(-1, 1, 48)
    return torch.exp(-2 * (along[:, None] ** 2 + along**2)).expand(count, -1, -1)


def shuffled(gate: Tensor) -> Tensor:
    order = torch.randperm(gate[0, 0].numel(), generator=torch.Generator().manual_seed(0))
    return gate.flatten(2)[..., order].view_as(gate)


def even(gate: Tensor) -> Tensor:
    return gate.mean((2, 3), keepdim=True).expand_as(gate)


def replaced(model: nn.Module, change: Callable[[Tensor], Tensor], score: Callable[[nn.Module], float]) -> float:
    """The score of the network with other gates than its own."""
    gates = [module for module in model.modules() if isinstance(module, SononetGate)]
    for gate in gates:
        gate.mask = lambda x, g, own=gate.mask: change(own(x, g))  # type: ignore[method-assign]
    try:
        return score(model)
    finally:
        for gate in gates:
            del gate.mask


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def written(values: list[float]) -> str:
    """The mean, with the 95 % interval over the seeds where there are several."""
    if any(math.isnan(value) for value in values):
        return ""
    interval = over_seeds(values, floor=0, ceiling=100)
    spread = f" ({interval.low:.1f}–{interval.high:.1f})" if len(values) > 1 else ""
    return f"{interval.mean:.1f}{spread}"


if __name__ == "__main__":
    if len(sys.argv) != 4 or not sys.argv[1].isdigit() or int(sys.argv[1]) < 1:
        sys.exit(__doc__)
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
