"""Measures hard attention: the gradients of its estimators, and what each scores for how many multiplications.

    python docs/hard.py gradients                                                # a few seconds on one core
    python docs/hard.py accuracy --data mnist/ --device cuda --out 1.json --part 1 3    # the first of three processes
    python docs/hard.py accuracy --out small.json                                # five seeds in a quarter of an hour
    python docs/hard.py table 1.json 2.json 3.json                               # what all of them have found
    python docs/hard.py speed                                                    # of single mechanisms, on one core

`accuracy` trains every network of `rows` once for each seed on cluttered digits, MNIST's on 104×104 or, without --data,
the embedded ones on 48×48, and writes the file after each training; a run that was stopped goes on where it was.
docs/hard.md has the results.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from regard import create
from regard.comparing.statistics import over_seeds
from regard.data import mnist
from regard.data.batches import Batch
from regard.layers import HardSoftmax, drawing, hard_softmax
from regard.ops.reinforce import reinforce
from regard.papers.attention_sampling.recipe import CANVAS, LARGE, PIECES, SMALL
from regard.tasks.classify import Classify
from regard.tasks.reinforced import Reinforced

SEEDS = (1, 2, 3, 4, 5)
ENTROPY = 0.01


class Setting(NamedTuple):
    """Canvas and sizes; the settings of training were chosen with seeds from 100 on, before those of the record.

    Args:
        canvas, pieces, piece: side of the canvas, number and side of the pieces of clutter.
        sizes: of the network of patches.
        plain: the stride of the first convolution and the widths of each network on the whole canvas.
        images: test images.
        steps, batch, rate: of the training.
    """

    canvas: int
    pieces: int
    piece: int
    sizes: Mapping[str, Any]
    plain: Mapping[str, tuple[int, ...]]
    images: int
    steps: int
    batch: int
    rate: float


SETTINGS = {
    "mnist": Setting(
        canvas=CANVAS,
        pieces=PIECES,
        piece=mnist.PIECE,
        sizes=LARGE,
        plain={
            "plain, small": (4, 12, 24, 32, 64),
            "plain, large": (2, 32, 64, 128, 128),
            "plain": (2, 16, 32, 64, 64),
        },
        images=10_000,
        steps=800,
        batch=256,
        rate=3e-3,
    ),
    "embedded": Setting(
        canvas=48,
        pieces=3,
        piece=5,
        sizes=SMALL,
        plain={"plain, small": (2, 10, 18, 32, 48), "plain, large": (2, 32, 64, 80, 80), "plain": (2, 16, 32, 48, 48)},
        images=2156,
        steps=480,
        batch=32,
        rate=6e-3,
    ),
}


class Drawn:
    """Cluttered digits made on the device: a digit and pieces of others, each at a random position.

    Args:
        digits: where the digits and the pieces are taken from.
        setting: the canvas.
        device: where the images are made.
    """

    def __init__(self, digits: mnist.Greys, setting: Setting, device: str) -> None:
        self.setting = setting
        self.device = torch.device(device)
        self.greys = digits.greys.to(self.device)
        self.labels = torch.tensor(digits.labels, device=self.device)

    def batch(self, which: Tensor, generator: Generator) -> Batch:
        """The digits of the given numbers on new canvases."""
        count, side, piece = len(which), self.greys.shape[1], self.setting.piece
        canvas, pieces = self.setting.canvas, self.setting.pieces
        flat = self.greys.flatten(1)

        def squares(many: int, size: int, width: int) -> Tensor:
            """Places of random squares in a flattened image of that width: `B T size²`."""
            shape = (2, count, many)
            top, left = torch.randint(width - size + 1, shape, generator=generator, device=self.device)[..., None, None]
            along = torch.arange(size, device=self.device)
            return ((top + along[:, None]) * width + left + along).flatten(2)

        sources = torch.randint(len(flat), (count, pieces), generator=generator, device=self.device)
        cut = flat[sources].gather(2, squares(pieces, piece, side)).flatten(1)
        ink = torch.cat([flat[which], cut], 1).float() / 255
        at = torch.cat([squares(1, side, canvas).flatten(1), squares(pieces, piece, canvas).flatten(1)], 1)
        painted = torch.zeros(count, canvas**2, device=self.device).scatter_reduce(1, at, ink, "amax")
        mean, deviation = (value[0] for value in mnist.NORMALISE)
        image = (painted.view(count, 1, canvas, canvas) - mean) / deviation
        return Batch({"image": image, "label": self.labels[which]})


class Same(nn.Module):
    """A logit of zero for every patch: each gets the same weight."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.side = (setting.canvas - setting.sizes["patch"]) // setting.sizes["stride"] + 1

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[0], 1, self.side, self.side)


class Anywhere(Same):
    """A random logit for every patch: any of them is the largest."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.rand_like(super().forward(x))


def patches(
    setting: Setting, hard: str | None, *, top_k: int = 1, attention: type[nn.Module] | None = None
) -> nn.Module:
    """The network of `hard-digits` with a mode of attention, or with logits from elsewhere."""
    model: nn.Module = create("attention_sampling", hard=hard, top_k=top_k, **setting.sizes)
    if attention is not None:
        model.attention = attention(setting)
    return model


def plain(stride: int, *widths: int) -> nn.Module:
    """A convolutional network on the whole canvas: the first convolution has this stride, the others 2."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(zip((1, *widths), widths, strict=False)):
        conv = nn.Conv2d(a, b, 3, 2, 1) if i else nn.Conv2d(a, b, 5, stride, 2)
        layers += [conv, nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))


def rows(setting: Setting) -> dict[str, Callable[[], nn.Module]]:
    """What is trained; the most important first."""
    network = partial(patches, setting)
    return {
        "soft": partial(network, None),
        "sample": partial(network, "sample"),
        "straight-through": partial(network, "straight-through"),
        "gumbel": partial(network, "gumbel"),
        "uniform": partial(network, None, attention=Same),
        "random patch": partial(network, "argmax", attention=Anywhere),
        **{name: partial(plain, *sizes) for name, sizes in setting.plain.items()},
        "argmax": partial(network, "argmax"),
        "top-k, k = 4": partial(network, "top-k", top_k=4),
        "expectation, k = 4": partial(network, "expectation", top_k=4),
    }


AFTER = "soft, then argmax"  # the trained soft network, by its likeliest patch alone


def training(name: str, data: Drawn, seed: int, steps: int) -> nn.Module:
    """Trains a network of `rows`."""
    setting = data.setting
    torch.manual_seed(seed)
    model = rows(setting)[name]().to(data.device)
    task = Reinforced(10, entropy=ENTROPY) if name == "sample" else Classify(10)
    generator = Generator(data.device).manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=setting.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, setting.rate, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        which = torch.randint(len(data.labels), (setting.batch,), generator=generator, device=data.device)
        optimizer.zero_grad()
        task.loss(model, data.batch(which, generator))[0].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model


@torch.no_grad()
def error(model: nn.Module, test: Drawn, count: int) -> float:
    """Wrong predictions in percent, on canvases that are the same for all networks."""
    model.eval()
    torch.manual_seed(0)  # of `Anywhere`
    generator = Generator(test.device).manual_seed(0)
    wrong = 0
    for which in torch.arange(count, device=test.device).split(250):
        batch = test.batch(which % len(test.labels), generator)
        wrong += int((model(batch["image"]).argmax(1) != batch["label"]).sum())
    return 100 * wrong / count


def multiplications(model: nn.Module, canvas: int, *, train: bool) -> float:
    """Millions of multiplications for an image, forward only."""
    images = torch.zeros(2, 1, canvas, canvas)  # two, which batch norm needs in training
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.train(train)(images)
    return counter.get_total_flops() / 2 / len(images) / 1e6


def accuracy(given: argparse.Namespace) -> None:
    name_of_setting = "embedded" if given.data is None else "mnist"
    setting = SETTINGS[name_of_setting]
    digits = mnist.embedded() if given.data is None else mnist.load(given.data)
    train, test = (Drawn(part, setting, given.device) for part in (digits.train, digits.test))
    steps, images = given.steps or setting.steps, given.images or setting.images
    found: dict[str, dict[str, float]] = {}
    if given.out.exists():
        found = json.loads(given.out.read_text(encoding="utf-8"))["errors"]
    names = given.only or list(rows(setting))
    part, parts = given.part
    began, longest = time.perf_counter(), 0.0
    halves = names[:8], names[8:]  # all seeds of the first half come first
    runs = [(name, seed) for half in halves for seed in given.seeds for name in half]
    for name, seed in runs[part - 1 :: parts]:
        if str(seed) in found.get(name, {}):
            continue
        if time.perf_counter() - began + longest > given.limit:
            print(f"stopped before {name}, seed {seed}: --limit {given.limit}", file=sys.stderr)
            break
        start = time.perf_counter()
        model = training(name, train, seed, steps)
        found.setdefault(name, {})[str(seed)] = error(model, test, images)
        if name == "soft":
            hard = patches(setting, "argmax").to(given.device)
            hard.load_state_dict(model.state_dict())
            found.setdefault(AFTER, {})[str(seed)] = error(hard, test, images)
        seconds = time.perf_counter() - start
        longest = max(longest, seconds)
        facts = {"setting": name_of_setting, "steps": steps, "images": images, "errors": found}
        given.out.write_text(json.dumps(facts, indent=1), encoding="utf-8")
        print(f"{name}, seed {seed}: {found[name][str(seed)]:.2f} %, {seconds:.1f} s", flush=True)


def table(given: argparse.Namespace) -> None:
    errors: dict[str, dict[int, float]] = {}
    for path in given.files:
        content = json.loads(path.read_text(encoding="utf-8"))
        setting = SETTINGS[content.get("setting", "mnist")]
        for name, each in content["errors"].items():
            errors.setdefault(name, {}).update({int(seed): value for seed, value in each.items()})
    print("| | multiplications, M | in training, M | parameters | seeds | error, % | against soft, points |")
    print("|---|---|---|---|---|---|---|")
    soft = errors.get("soft", {})
    made = rows(setting)
    for name in ("soft", AFTER, *list(made)[1:]):
        each = errors.get(name, {})
        if not each:
            continue
        model = patches(setting, "argmax") if name == AFTER else made[name]()
        parameters = sum(parameter.numel() for parameter in model.parameters())
        cost = multiplications(model, setting.canvas, train=False)
        learning = multiplications(made["soft" if name == AFTER else name](), setting.canvas, train=True)
        figure = _figure([each[seed] for seed in sorted(each)], "", 0, 100)
        shared = [each[seed] - soft[seed] for seed in sorted(each) if seed in soft]
        against = "" if name == "soft" else _figure(shared, "+", -100, 100)
        print(f"| {name} | {cost:.2f} | {learning:.2f} | {parameters:,} | {len(each)} | {figure} | {against} |")


def _figure(values: Sequence[float], sign: str, floor: float, ceiling: float) -> str:
    """The mean and its interval of five seeds or more; all values of fewer."""
    if len(values) < 5:
        return ", ".join(f"{value:{sign}.1f}" for value in values)
    mean = over_seeds(values, floor=floor, ceiling=ceiling)
    return f"{mean.mean:{sign}.1f} [{mean.low:{sign}.1f}, {mean.high:{sign}.1f}]"


PLACES, WIDTH, DRAWS, PROBLEMS = 7, 5, 20_000, 20
ESTIMATORS = (
    ("sample", "no baseline", 1.0),
    ("sample", "moving average", 1.0),
    ("straight-through", "", 1.0),
    *(("gumbel", f"τ = {temperature:g}", temperature) for temperature in (0.1, 0.5, 1.0, 2.0)),
    ("soft", "", 1.0),
    ("top-k", "k = 3", 1.0),
)


def gradients(given: argparse.Namespace) -> None:
    """Bias and standard deviation of one draw's gradient of the logits, as shares of the exact gradient's length.

    The problem: the expected loss E[L(v_j)], j ~ softmax(z), of `PLACES` values v of width `WIDTH`, where L is the
    cross entropy of a linear layer. Enumerating the places gives the exact gradient.
    """
    print("| estimator | | bias | standard deviation | cosine with the exact gradient | draws along it, % |")
    print("|---|---|---|---|---|---|")
    for mode, detail, temperature in ESTIMATORS:
        rows = [_gradient(mode, detail, temperature, seed) for seed in range(1, PROBLEMS + 1)]
        bounds = ((0, math.inf), (0, math.inf), (-1, 1), (0, 100))
        columns = zip(zip(*rows, strict=True), bounds, strict=True)
        cells = (over_seeds(column, floor=floor, ceiling=ceiling) for column, (floor, ceiling) in columns)
        texts = (f"{cell.mean:.2f} [{cell.low:.2f}, {cell.high:.2f}]" for cell in cells)
        print(f"| {mode} | {detail} | " + " | ".join(texts) + " |")


def _gradient(mode: str, detail: str, temperature: float, seed: int) -> tuple[float, float, float, float]:
    generator = Generator().manual_seed(seed)
    logits, values, layer = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((PLACES,), (PLACES, WIDTH), (WIDTH, 4))
    )

    def loss(attended: Tensor) -> Tensor:
        return -(attended @ layer).log_softmax(-1)[..., 0]

    exact_logits = logits.clone().requires_grad_()
    expected = (exact_logits.softmax(0) * loss(values)).sum()
    (exact,) = torch.autograd.grad(expected, exact_logits)
    torch.manual_seed(seed)
    copies = logits.expand(DRAWS, -1).clone().requires_grad_()
    if mode == "soft":
        weights, told = copies.softmax(1), None
    else:
        attention = hard_softmax(mode, 3, temperature)
        assert attention is not None
        told = None
        if mode == "sample":
            with drawing(attention) as draws:
                weights = attention(copies)
            reward = -loss(weights @ values).detach()[:, None]
            baseline = torch.zeros_like(reward)
            if detail == "moving average":  # of one draw at a time, as long after its start
                before = reward[:, 0].roll(1)
                kernel = 0.1 * 0.9 ** torch.arange(99, -1, -1, dtype=torch.float64)
                baseline = torch.cat([before[-99:], before]).unfold(0, 100, 1).matmul(kernel)[:, None]
            told = reinforce(draws[0].log_probability[:, None], reward, baseline) * DRAWS
        else:
            weights = attention(copies)
    (each,) = torch.autograd.grad(loss(weights @ values).sum() if told is None else told, copies)  # [DRAWS, PLACES]
    mean, length = each.mean(0), exact.norm()
    cosines = nn.functional.cosine_similarity(each, exact[None].expand_as(each), dim=1)
    spread = each.var(0).sum().sqrt() / length
    along = nn.functional.cosine_similarity(mean, exact, dim=0)
    return (
        float((mean - exact).norm() / length),
        float(spread),
        float(along),
        float(100 * (cosines > 0).double().mean()),
    )


class Product(HardSoftmax):
    """The same choice by a product of all weights with all values, to compare with."""

    def attend(self, logits: Tensor, values: Tensor, see: Callable[[Tensor], object] | None = None) -> Tensor:
        weights: Tensor = self(logits)
        return weights.to(values.dtype) @ values


def speed(given: argparse.Namespace) -> None:
    """Multiplications and processor time of mechanisms in evaluation: soft, and with the likeliest place alone."""
    inputs: tuple[tuple[str, Mapping[str, int], tuple[tuple[int, ...], ...]], ...] = (
        ("pam", {"channels": 256}, ((1, 256, 56, 56),)),
        ("nonlocal", {"channels": 256}, ((1, 256, 56, 56),)),
        ("bahdanau", {"channels": 1024}, ((16, 512), (16, 196, 1024))),
        ("gc", {"channels": 256}, ((1, 256, 56, 56),)),
    )
    print("| | input | soft: multiplications, M | ms | argmax: multiplications, M | ms | argmax by a product, ms |")
    print("|---|---|---|---|---|---|---|")
    for name, arguments, shapes in inputs:
        tensors = [torch.randn(shape) for shape in shapes]
        cells = []
        for hard in (None, "argmax"):
            module = create(name, hard=hard, **arguments).eval()
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                module(*tensors)
            cells += [f"{counter.get_total_flops() / 2e6:,.1f}", f"{_milliseconds(module, tensors):.1f}"]
        module.choice = Product("argmax", 1, 1.0)
        cells.append(f"{_milliseconds(module, tensors):.1f}")
        print(f"| `{name}` | {', '.join(' × '.join(map(str, shape)) for shape in shapes)} | {' | '.join(cells)} |")


@torch.no_grad()
def _milliseconds(module: nn.Module, tensors: Sequence[Tensor]) -> float:
    """The median of nine passes, of processor time, which other processes do not lengthen much."""
    times = []
    for _ in range(10):
        start = time.process_time()
        module(*tensors)
        times.append(1000 * (time.process_time() - start))
    return sorted(times[1:])[4]


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(required=True)
    what.add_parser("gradients").set_defaults(run=gradients)
    what.add_parser("speed").set_defaults(run=speed)
    shown = what.add_parser("table")
    shown.set_defaults(run=table)
    shown.add_argument("files", nargs="+", type=Path)
    scored = what.add_parser("accuracy")
    scored.set_defaults(run=accuracy)
    scored.add_argument("--data", type=Path, help="the folder of MNIST's idx files; the embedded digits without")
    scored.add_argument("--device", default="cpu")
    scored.add_argument("--out", type=Path, required=True, help="the JSON file of the errors")
    scored.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    scored.add_argument("--only", nargs="+", choices=list(rows(SETTINGS["mnist"])))
    scored.add_argument(
        "--part", type=int, nargs=2, default=(1, 1), metavar=("I", "N"), help="every N-th training from I"
    )
    scored.add_argument("--steps", type=int, help="in place of the setting's")
    scored.add_argument("--images", type=int, help="test images, in place of the setting's")
    scored.add_argument("--limit", type=float, default=float("inf"), help="seconds after which no training begins")
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
