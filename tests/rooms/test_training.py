"""Training: exact resume, one process against two, and what happens when things go wrong.

Run as a script, this file is the process that the tests kill, and the one that they start under torchrun.
"""

from __future__ import annotations

import io
import json
import math
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from regard.data.augmenting import OfImage
from regard.data.batches import Batch, Buckets, Identities, Shuffled, loader, permutation
from regard.saved.digests import sealed
from regard.saved.files import write_whole
from regard.tasks.classify import Classify
from regard.training.distributed import World, batch_norm, distributed
from regard.training.evaluate import evaluate
from regard.training.loop import Diverged, _keys, fit
from regard.training.plan import OPTIMIZERS, Plan, learning_rate, optimizer
from regard.training.schedules import Constant, Cosine, Noam, Poly, Steps

TASK = Classify(classes=3, label_smoothing=0.1)
STEPS = 9  # 3 epochs of 22 images in batches of 8, 7, 7


class Stripes(Dataset):
    """Images whose class is the channel that has stripes; the noise is the image's own."""

    def __init__(self, size: int = 22, *, side: int = 12, dtype: torch.dtype = torch.float32) -> None:
        self.labels = [index % 3 for index in range(size)]
        self.lengths = [7 * index % 11 for index in range(size)]
        noise = torch.rand(size, 3, side, side, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        for index, label in enumerate(self.labels):
            noise[index, label, :, ::2] = 1.0
        self.pixels = noise.to(dtype)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pixels[index], self.labels[index]


class QuickStripes(Stripes):
    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, int]]:
        return [(self.pixels[index], self.labels[index]) for index in indices]


def small(*, dropout: float = 0.2) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Conv2d(6, 6, 3, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.BatchNorm1d(6),
        nn.Linear(6, 3),
    )


def backbone() -> nn.Module:
    """A real backbone, whose batch norms are a subclass with the activation inside."""
    import timm  # slow, and most of the processes started here do without

    torch.manual_seed(3)
    return timm.create_model("test_efficientnet", num_classes=3)


def shaken(image: Tensor, generator: torch.Generator) -> Tensor:
    flipped = image.flip(-1) if torch.rand((), generator=generator) < 0.5 else image
    return flipped + 0.1 * torch.rand(image.shape, generator=generator, dtype=torch.float64).to(image.dtype)


PLAN = Plan(
    epochs=3,
    batch_size=8,
    lr=0.01,
    clip=5.0,
    augment=OfImage(shaken),
    normalise=((0.5, 0.4, 0.5), (0.3, 0.3, 0.2)),
)


def batch(data: Dataset, plan: Plan, step: int, rank: int = 0, ranks: int = 1) -> tuple[Tensor, Tensor, int]:
    """This rank's images and labels of a step, and how many samples the whole batch has."""
    per_epoch = len(plan.order.batches(data, plan.batch_size, plan.seed, 0))
    world = World(torch.device("cpu"), rank, ranks)
    keys, wholes = _keys(data, plan, range(step, step + 1), per_epoch, world)
    (found,) = loader(data, keys, augment=plan.augment, seed=plan.seed)
    return found["image"], found["label"], next(wholes)


def trained(model: nn.Module, folder: Path | None = None, *, plan: Plan = PLAN, data=None, **how) -> list[dict]:
    data = Stripes() if data is None else data
    return fit(model, TASK, data, plan, folder=folder, evaluate=data, checkpoint_every=2, **how)


def same(first: nn.Module, second: nn.Module) -> bool:
    theirs = second.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in first.state_dict().items())


def timeless(history: list[dict]) -> list[dict]:
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


def states(folder: Path) -> dict:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def child(*arguments: object, processes: int = 0, restarts: int = 0) -> subprocess.CompletedProcess[str]:
    """This file as a script in another process, or in several under torchrun."""
    start = [sys.executable]
    if processes:
        start += ["-m", "torch.distributed.run", "--nnodes=1", f"--nproc-per-node={processes}"]
        start += [f"--max-restarts={restarts}", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0"]
        start += ["--local-addr=127.0.0.1", "--monitor-interval=0.1"]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    command = [*start, __file__, *map(str, arguments)]
    return subprocess.run(command, env=os.environ | threads | loopback, capture_output=True, text=True, timeout=120)


# What a step is a function of


def test_order_is_a_permutation_that_seed_and_epoch_alone_decide():
    assert sorted(permutation(0, 0, 50).tolist()) == list(range(50))
    torch.manual_seed(1)
    first = permutation(4, 2, 50)
    torch.manual_seed(2)
    assert torch.equal(first, permutation(4, 2, 50))
    assert len({tuple(permutation(seed, epoch, 50).tolist()) for seed in range(3) for epoch in range(3)}) == 9


def test_every_epoch_shows_every_image_once_in_batches_that_differ_by_at_most_one():
    data, plan = QuickStripes(), replace(PLAN, augment=None)
    data.labels = list(range(22))  # so that a label says which image it is
    sizes = []
    for epoch in range(3):
        parts = [batch(data, plan, 3 * epoch + step) for step in range(3)]
        assert torch.cat([labels for _, labels, _ in parts]).tolist() == permutation(0, epoch, 22).tolist()
        assert all(torch.equal(images, data.pixels[labels]) for images, labels, _ in parts)
        sizes += [[len(images), whole] for images, _, whole in parts]
    assert sizes == [[8, 8], [7, 7], [7, 7]] * 3


@pytest.mark.parametrize("data", [Stripes(), QuickStripes()], ids=["one by one", "quick"])
def test_an_image_is_augmented_the_same_way_wherever_its_batch_is_split(data):
    for step in (0, 1, 4):
        images, labels, whole = batch(data, PLAN, step)
        parts = [batch(data, PLAN, step, rank, 3) for rank in range(3)]
        assert torch.equal(torch.cat([part[0] for part in parts]), images)
        assert torch.equal(torch.cat([part[1] for part in parts]), labels)
        assert {part[2] for part in parts} == {whole}
    wide = replace(PLAN, batch_size=22)
    whole_epoch = torch.cat([batch(data, PLAN, step)[0] for step in range(3)])
    assert torch.equal(batch(data, wide, 0)[0], whole_epoch)


def test_augmentation_differs_between_images_epochs_and_seeds():
    data = Stripes()
    data.pixels.zero_()
    one = replace(
        PLAN, batch_size=22, augment=OfImage(lambda image, generator: torch.rand(3, 2, 2, generator=generator))
    )
    draws = [batch(data, plan, epoch)[0] for plan in (one, replace(one, seed=1)) for epoch in (0, 1)]
    assert len({tuple(image.flatten().tolist()) for draw in draws for image in draw}) == 4 * 22


def test_learning_rate_rises_linearly_and_falls_along_a_cosine():
    plan = Plan(epochs=1, lr=2.0, warmup=0.1)
    rates = [learning_rate(plan, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([2.0 * (step + 1) / 11 for step in range(10)])
    assert rates[10] == 2.0 == max(rates)
    assert rates[55] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True) and 0 < rates[-1] < 0.001
    assert learning_rate(replace(plan, warmup=0), 0, 1) == 2.0


SCHEDULES = {
    "constant": (Constant(), [2.0] * 10),
    "cosine": (Cosine(), [1 + math.cos(math.pi * step / 10) for step in range(10)]),
    "cosine by epoch": (Cosine(every="epoch"), [1 + math.cos(math.pi * (step // 5 * 5) / 10) for step in range(10)]),
    "poly": (Poly(0.9), [2 * (1 - step / 10) ** 0.9 for step in range(10)]),
    "steps": (Steps((0.4, 1.0), by=0.1), [2.0] * 2 + [0.2] * 3 + [0.02] * 5),
    "noam": (Noam(16, 4), [min((step + 1) ** -0.5, (step + 1) / 8) / 2 for step in range(10)]),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_follow_their_equations(name):
    schedule, expected = SCHEDULES[name]
    plan = Plan(epochs=2, lr=2.0 if name != "noam" else 1.0, warmup=0.0, schedule=schedule)
    expected = [value / 2 for value in expected] if name == "noam" else expected
    assert [learning_rate(plan, step, 10, 5) for step in range(10)] == pytest.approx(expected)


def test_a_warm_up_comes_before_every_schedule_but_noams():
    for schedule in (Constant(), Cosine(), Poly(), Steps((1.5,))):
        plan = Plan(epochs=2, lr=3.0, warmup=0.2, schedule=schedule)
        assert [learning_rate(plan, step, 10, 5) for step in range(3)] == pytest.approx([1.0, 2.0, 3.0])
    assert learning_rate(Plan(epochs=2, lr=1.0, warmup=0.2, schedule=Noam(16, 4)), 0, 10, 5) == pytest.approx(1 / 32)


def test_bad_schedules_are_refused_by_name():
    for make, message in (
        (lambda: Poly(0.0), r"power=0\.0"),
        (lambda: Steps((2.0, 1.0)), r"at=\(2\.0, 1\.0\)"),
        (lambda: Steps((1.0,), by=0.0), r"by=0\.0"),
        (lambda: Noam(width=0), "width=0"),
        (lambda: Cosine(every="day"), "every='day': 'step' or 'epoch'"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_buckets_hold_like_lengths_and_every_sample_once():
    data = Stripes(59)
    epochs = [Buckets(width=20).batches(data, 8, 3, epoch) for epoch in (0, 1)]
    for batches in epochs:
        assert sorted(index for found in batches for index in found) == list(range(59))
        assert sorted(map(len, batches)) == [7] * 5 + [8] * 3
        spreads = [max(lengths) - min(lengths) for lengths in ([data.lengths[i] for i in b] for b in batches)]
        assert max(spreads) <= 2  # of 0 to 10; in shuffled batches they reach 8 and more
        assert [data.lengths[found[0]] for found in batches] != sorted(data.lengths[found[0]] for found in batches)
    assert epochs[0] != epochs[1]
    assert epochs[0] == Buckets(width=20).batches(data, 8, 3, 0)
    del data.lengths
    with pytest.raises(TypeError, match="Stripes has no `lengths`"):
        Buckets().batches(data, 8, 0, 0)


def test_identities_give_p_times_k_and_each_its_turn():
    data = Stripes(35)
    data.labels = [index % 7 for index in range(35)]
    batches = Identities(samples=2).batches(data, 6, 5, 0)
    assert len(batches) == math.ceil(35 / 6)
    for found in batches:
        labels = [data.labels[i] for i in found]
        assert len(found) == 6 and len(set(found)) == 6
        assert [labels.count(label) for label in set(labels)] == [2, 2, 2]
    shown = [data.labels[i] for found in batches for i in found]
    assert {shown.count(label) for label in range(7)} <= {4, 6}  # 18 places for 7 identities, in turn
    assert batches != Identities(samples=2).batches(data, 6, 5, 1)
    for wrong, message in (
        (5, "batch_size=5: a multiple of samples=2"),
        (16, "8 identities are needed, and the dataset has 7"),
    ):
        with pytest.raises(ValueError, match=message):
            Identities(samples=2).batches(data, wrong, 0, 0)
    with pytest.raises(ValueError, match="samples=1"):
        Identities(1)


def test_rates_and_decays_follow_the_first_pattern_that_fits():
    plan = Plan(epochs=1, weight_decay=0.5, rates={"8.*": 10.0, "*": 0.1}, decays={"0.bias": 3.0, "0.*": 2.0})
    model = small()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = optimizer(model, plan).param_groups
    found = {names[id(p)]: (group["rate"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert found == {
        "0.weight": (0.1, 1.0), "0.bias": (0.1, 1.5), "1.weight": (0.1, 0.0), "1.bias": (0.1, 0.0),
        "4.weight": (0.1, 0.5), "4.bias": (0.1, 0.0), "7.weight": (0.1, 0.0), "7.bias": (0.1, 0.0),
        "8.weight": (10.0, 0.5), "8.bias": (10.0, 0.0),
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"rates: 'head\.\*' matches no parameter of Sequential"):
        optimizer(model, Plan(epochs=1, rates={"head.*": 2.0}))


def test_a_rate_of_zero_leaves_parameters_as_they_are():
    model, before = small(), small()
    fit(model, TASK, Stripes(), replace(PLAN, rates={"0.*": 0.0}, weight_decay=0.3))
    assert torch.equal(model[0].weight, before[0].weight) and not torch.equal(model[4].weight, before[4].weight)


def test_optimizers_take_their_own_options():
    own = optimizer(small(), Plan(epochs=1, optimizer="sgd", options={"momentum": 0.5, "nesterov": False}))
    assert (own.defaults["momentum"], own.defaults["nesterov"]) == (0.5, False)
    assert optimizer(small(), Plan(epochs=1, optimizer="sgd")).defaults["momentum"] == 0.9
    with pytest.raises(ValueError, match=r"options={'betas': 1}: rmsprop accepts alpha, "):
        Plan(epochs=1, optimizer="rmsprop", options={"betas": 1})


def test_the_average_of_the_weights_is_what_is_evaluated_and_returned():
    weights, evaluated = [], []
    model = small(dropout=0.0)

    def keep(step, steps, loss):
        weights.append(model[8].weight.detach().clone())

    def look(model):
        evaluated.append(model[8].weight.detach().clone())
        return {}

    average, by_epoch = model[8].weight.detach().clone(), []
    fit(model, TASK, Stripes(), replace(PLAN, ema=0.75), evaluate=look, on_step=keep)
    for step, weight in enumerate(weights, 1):
        average = 0.75 * average + 0.25 * weight
        if step % 3 == 0:
            by_epoch.append(average)
    torch.testing.assert_close(evaluated, by_epoch)
    torch.testing.assert_close(model[8].weight.detach(), average)
    assert not torch.allclose(average, weights[-1])


def test_figures_of_a_task_are_told_beside_the_loss():
    class Told(Classify):
        def loss(self, model, batch):
            loss, _ = super().loss(model, batch)
            return loss, {"mean_index": batch["index"].double().mean()}

    history = fit(small(), Told(3), Stripes(), PLAN)
    assert [record["mean_index"] for record in history] == pytest.approx([10.5] * 3)  # of all 22, whatever their batch


def test_samples_may_be_mappings_with_anything_in_them():
    class Named(Stripes):
        def __getitem__(self, index):
            return {"image": self.pixels[index], "label": self.labels[index], "name": f"stripe {index}", "share": 0.5}

    class Spy(Classify):
        def loss(self, model, batch):
            seen.append(batch)
            return super().loss(model, batch)

    seen: list[Batch] = []
    fit(small(), Spy(3), Named(), replace(PLAN, epochs=1))
    assert isinstance(seen[0], Batch) and seen[0].size == 8
    assert seen[0]["name"] == [f"stripe {index}" for index in seen[0]["index"]]
    assert seen[0]["share"].dtype == torch.float32 and seen[0]["label"].dtype == torch.int64


def test_models_with_one_plan_see_the_same_batches():
    class Spy(Classify):
        def loss(self, model, batch):
            seen.append((batch["image"].clone(), batch["label"].clone()))
            return super().loss(model, batch)

    runs = []
    for model in (small(), nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(432, 3))):
        seen: list[tuple[Tensor, Tensor]] = []
        fit(model, Spy(3), Stripes(), PLAN)
        runs.append(seen)
    assert len(runs[0]) == len(runs[1]) == STEPS
    assert all(torch.equal(a, b) for one, other in zip(*runs, strict=True) for a, b in zip(one, other, strict=True))


# The loop


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_learns(name):
    model, calls = small(), []
    plan = replace(PLAN, epochs=12, optimizer=name, lr=1.0 if name == "adadelta" else 0.03)
    history = trained(model, plan=plan, on_step=lambda *call: calls.append(call))
    assert history[0]["loss"] > history[-1]["loss"]
    assert history[-1]["accuracy"] == 1.0
    assert [record["epoch"] for record in history] == list(range(1, 13))
    assert set(history[0]) == {"epoch", "loss", "seconds", "accuracy", "test_loss", "ece"}
    assert [call[:2] for call in calls] == [(step, 36) for step in range(1, 37)]
    first = sum(loss * size for (_, _, loss), size in zip(calls[:3], (8, 7, 7), strict=True)) / 22
    assert history[0]["loss"] == pytest.approx(first)
    found = evaluate(model, TASK, Stripes(), batch_size=5, normalise=plan.normalise)
    assert found["loss"] == pytest.approx(history[-1]["test_loss"], rel=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_reduced_precision_computes_in_it_and_stays_finite(precision):
    model, seen = small(dropout=0), []
    hook = model[0].register_forward_hook(lambda module, inputs, y: seen.append(y.dtype))
    history = trained(model, plan=replace(PLAN, epochs=12, lr=0.03, precision=precision))
    hook.remove()
    assert set(seen) == {getattr(torch, precision)}
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert all(value.dtype == torch.float32 for value in model.parameters())
    assert history[-1]["accuracy"] == 1.0


def test_channels_last_reaches_the_model_and_changes_rounding_only():
    plain, striped, seen = small(dropout=0), small(dropout=0), []
    striped[0].register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    losses: list[list[float]] = [[], []]
    fit(plain, TASK, Stripes(), PLAN, on_step=lambda step, steps, loss: losses[0].append(loss))
    last = replace(PLAN, channels_last=True)
    fit(striped, TASK, Stripes(), last, on_step=lambda step, steps, loss: losses[1].append(loss))
    assert seen == [True] * STEPS
    assert losses[1][:2] == pytest.approx(losses[0][:2], abs=1e-4)


def test_workers_change_nothing():
    alone, helped = small(), small()
    assert timeless(trained(alone)) == timeless(trained(helped, workers=1))
    assert same(alone, helped)


def test_callers_random_state_and_modes_are_left_alone():
    model = small()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    trained(model)
    assert torch.equal(torch.rand(3), expected)
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())


def test_frozen_parameters_stay_and_only_matrices_decay():
    class Nothing:
        def loss(self, model, batch):
            return 0.0 * model(batch["image"]).sum(), {}

    model = small()
    model[8].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.named_parameters()}
    fit(model, Nothing(), Stripes(), replace(PLAN, weight_decay=0.5))
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"0.weight", "4.weight"}


def test_clip_bounds_the_step():
    steps = []
    for clip in (None, 1e-3):
        model = small()
        before = nn.utils.parameters_to_vector(model.parameters()).clone()
        plan = replace(PLAN, epochs=1, batch_size=22, optimizer="sgd", weight_decay=0.0, warmup=0.0, lr=1.0, clip=clip)
        fit(model, TASK, Stripes(), plan)
        steps.append((nn.utils.parameters_to_vector(model.parameters()) - before).norm().item())
    assert steps[0] > 0.01
    assert steps[1] == pytest.approx(1.9e-3, rel=1e-3)  # Nesterov's first step is 1 + momentum times the gradient


def test_evaluate_may_be_a_function_of_the_model():
    def measured(model):
        assert not model.training and not torch.is_grad_enabled()
        return {"weight": model[8].weight.abs().max()}

    model = small()
    history = fit(model, TASK, Stripes(), PLAN, evaluate=measured)
    assert history[-1]["weight"] == model[8].weight.abs().max().item()
    assert set(history[0]) == {"epoch", "loss", "seconds", "weight"}


def test_evaluation_sees_every_sample_once_and_leaves_modes_and_random_state_alone():
    class Spy(Classify):
        def answers(self, model, batch):
            assert not model.training and not torch.is_grad_enabled()
            seen.extend(batch["index"].tolist())
            return super().answers(model, batch)

    model, data, seen = small(), Stripes(), []
    model[1].eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    found = evaluate(model, Spy(3), data, batch_size=7, normalise=PLAN.normalise)
    assert torch.equal(torch.rand(3), expected)
    assert seen == list(range(22))
    assert [module.training for module in model.modules()] == modes
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in PLAN.normalise)
    logits, labels = model.eval()((data.pixels - mean) / std).detach(), torch.tensor(data.labels)
    assert found["loss"] == pytest.approx(functional.cross_entropy(logits, labels).item(), rel=1e-6)
    assert found["accuracy"] == (logits.argmax(1) == labels).double().mean().item()
    half = evaluate(model, TASK, data, normalise=PLAN.normalise, precision="bfloat16")
    assert half["loss"] != found["loss"] and half["loss"] == pytest.approx(found["loss"], abs=0.05)
    with pytest.raises(ValueError, match="no samples"):
        evaluate(model, TASK, Stripes(0))


# Resuming


@pytest.mark.parametrize(
    ("stop", "how"),
    [
        (1, {}),
        (2, {}),
        (4, {"optimizer": "sgd"}),
        (6, {"precision": "bfloat16"}),
        (7, {"precision": "float16"}),
        (5, {"order": Buckets(2), "schedule": Poly(), "optimizer": "adam", "rates": {"0.*": 0.5}}),
        (7, {"order": Identities(4), "schedule": Steps((0.5, 2.0)), "optimizer": "rmsprop", "ema": 0.8}),
        (5, {"schedule": Noam(16, 4), "lr": 1.0, "optimizer": "adadelta", "ema": 0.9, "decays": {"*": 0.1}}),
        (8, {"schedule": Cosine(every="epoch"), "optimizer": "adamax", "order": Shuffled()}),
    ],
    ids=str,
)
def test_a_run_that_stops_anywhere_ends_as_if_it_had_not(stop, how, tmp_path):
    def stopping(done, steps, loss):
        if done == stop:
            raise InterruptedError

    whole, broken, plan = small(), small(), replace(PLAN, **how)
    expected = trained(whole, tmp_path / "whole", plan=plan)
    with pytest.raises(InterruptedError):
        trained(broken, tmp_path / "broken", plan=plan, on_step=stopping)
    fresh, done = small(), []
    torch.nn.init.zeros_(fresh[0].weight)  # whatever it starts from
    history = trained(fresh, tmp_path / "broken", plan=plan, on_step=lambda step, *_: done.append(step))
    last = max(saved for saved in (0, 2, 3, 4, 6) if saved < stop)  # every second step, and the ends of epochs
    assert done == list(range(last + 1, STEPS + 1))
    assert same(whole, fresh)
    assert timeless(history) == timeless(expected)
    for part in ("model", "optimizer", "scaler", *(["average"] if plan.ema else [])):
        assert_equal(states(tmp_path / "whole")[part], states(tmp_path / "broken")[part])


def assert_equal(first, second):
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_a_finished_run_gives_its_result_again_without_training(tmp_path):
    model, again, steps = small(), small(), []
    history = trained(model, tmp_path)
    assert trained(again, tmp_path, on_step=lambda *call: steps.append(call)) == history
    assert same(model, again) and steps == []
    assert json.loads((tmp_path / "history.json").read_text())["history"] == history
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "history.json"]


@pytest.mark.slow
@pytest.mark.parametrize("when", ["in a step", "in a write"])
def test_a_killed_process_is_continued_bit_by_bit(when, tmp_path):
    dead = child("killed", when, tmp_path / "killed")
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    assert not (tmp_path / "killed" / "history.json").exists()  # it was in its first epoch
    whole, resumed, done = small(), small(), []
    expected = trained(whole, tmp_path / "whole")
    history = trained(resumed, tmp_path / "killed", on_step=lambda step, *_: done.append(step))
    assert done[0] == 3
    assert same(whole, resumed)
    assert timeless(history) == timeless(expected)
    assert_equal(states(tmp_path / "whole")["optimizer"], states(tmp_path / "killed")["optimizer"])
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["checkpoint.pt", "history.json"]


def killed(when: str, folder: str) -> None:
    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if when == "in a write":  # the second checkpoint is good, the third is on the disk but not yet in its place
        moves, move = [], Path.replace
        Path.replace = lambda path, target: die() if len(moves) == 2 else (moves.append(target), move(path, target))
        trained(small(), Path(folder))
    trained(small(), Path(folder), on_step=lambda step, *_: die() if step == 3 else None)


OTHERS = {
    "lr was 0.01, is 0.02": {"plan": replace(PLAN, lr=0.02)},
    "augment was OfImage.function=<function shaken>., is None": {"plan": replace(PLAN, augment=None)},
    "learning was 10 parameters, is 2 parameters; model was Sequential of": {
        "model": nn.Sequential(nn.Flatten(), nn.Linear(432, 3))
    },
    "data was 22 samples": {"data": Stripes(21)},
    "task was Classify": {"task": Classify(3)},
}


@pytest.mark.parametrize("difference", OTHERS)
def test_a_checkpoint_with_other_settings_is_refused_and_kept(difference, tmp_path):
    trained(small(), tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    run = {"model": small(), "task": TASK, "data": Stripes(), "plan": PLAN} | OTHERS[difference]
    with pytest.raises(ValueError, match=rf"other settings \({difference}[^;]*\)"):
        fit(**run, folder=tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_damaged_checkpoint_is_named_and_kept(tmp_path):
    path = tmp_path / "checkpoint.pt"
    trained(small(), tmp_path)
    for content in (path.read_bytes()[:500], b"", b"no checkpoint"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"checkpoint.pt is damaged.*delete it"):
            trained(small(), tmp_path)
        assert path.read_bytes() == content


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    content = io.BytesIO()
    torch.save({"facts": Evil()}, content)
    for evil in (content.getvalue(), sealed(content.getvalue())):
        (tmp_path / "checkpoint.pt").write_bytes(evil)
        with pytest.raises(ValueError, match="damaged"):
            trained(small(), tmp_path)
    assert not (tmp_path / "ran").exists()


# When things go wrong


def test_a_full_disk_leaves_the_old_checkpoint_and_says_so(tmp_path):
    def stopping(done, steps, loss):
        if done == 4:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        trained(small(), tmp_path, on_step=stopping)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))  # no file may grow past 2 KB
    try:
        with pytest.raises(OSError, match=r"^cannot write .*checkpoint.pt: File too large$"):
            trained(small(), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "history.json"]
    whole, resumed = small(), small()
    trained(whole)
    trained(resumed, tmp_path)
    assert same(whole, resumed)


@pytest.mark.parametrize("failing", ["os.fsync", "pathlib.Path.replace"])
def test_a_write_that_fails_late_leaves_the_old_file(failing, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "facts.json"
    write_whole(path, b"old")
    monkeypatch.setattr(failing, fail)
    with pytest.raises(OSError, match=r"^cannot write .*facts.json: No space left on device$"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_said_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("mine")
    steps = []
    with pytest.raises(OSError, match=r"^cannot write .*file/run/checkpoint.pt: "):
        trained(small(), tmp_path / "file" / "run", on_step=lambda *call: steps.append(call))
    assert steps == [] and (tmp_path / "file").read_text() == "mine"


def test_a_loss_that_is_no_number_stops_at_its_step_with_the_last_good_checkpoint(tmp_path):
    class Breaking(Classify):
        def loss(self, model, batch):
            calls.append(batch.size)
            loss, figures = super().loss(model, batch)
            return loss * (math.nan if len(calls) == 6 else 1.0), figures

    calls: list[int] = []
    with pytest.raises(Diverged, match=r"the loss is nan at step 6 of 9 \(epoch 2\)"):
        fit(small(), Breaking(3), Stripes(), PLAN, folder=tmp_path, checkpoint_every=1)
    saved = states(tmp_path)
    assert json.loads(saved["facts"])["step"] == 5
    assert all(torch.isfinite(value).all() for value in saved["model"].values())


BAD = {
    "epochs=0": {"epochs": 0},
    "batch_size=-1": {"batch_size": -1},
    "lr=0": {"lr": 0},
    "lr=nan": {"lr": math.nan},
    "weight_decay=-1": {"weight_decay": -1},
    "optimizer='adm': adamw or sgd or": {"optimizer": "adm"},
    "warmup=1": {"warmup": 1},
    "clip=0": {"clip": 0},
    "precision='half': float32 or": {"precision": "half"},
    "normalise=": {"normalise": ((0.5,), (0.0,))},
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_plan_is_refused_by_name(message):
    with pytest.raises(ValueError, match=rf"^{message}.* (is|are) (needed|accepted)$"):
        replace(PLAN, **BAD[message])


def test_too_few_or_unequal_images_are_refused():
    with pytest.raises(ValueError, match="data has 1 samples: at least 2"):
        fit(small(), TASK, Stripes(1), PLAN)
    with pytest.raises(ValueError, match="0 samples"):
        fit(small(), TASK, Stripes(0), PLAN)
    mixed = torch.utils.data.ConcatDataset([Stripes(3), Stripes(3, side=13)])
    with pytest.raises(ValueError, match=r"image of sample \d has shape \(3, 1[23], 1[23]\), and of sample \d \("):
        fit(small(), TASK, mixed, replace(PLAN, augment=None))
    with pytest.raises(ValueError, match="checkpoint_every=0"):
        fit(small(), TASK, Stripes(), PLAN, checkpoint_every=0)
    with pytest.raises(ValueError, match="precision='half'"):
        evaluate(small(), TASK, Stripes(), precision="half")


# Many processes

MODELS = {"small": partial(small, dropout=0.0), "backbone": backbone}
ORDERED = {
    "plain": {},
    "buckets": {"order": Buckets(2), "schedule": Poly(), "optimizer": "adam", "ema": 0.8},
    "identities": {"order": Identities(4), "schedule": Noam(16, 4), "lr": 1.0, "optimizer": "rmsprop"},
}


def exact_run(name: str, folder: Path | None = None, ordered: str = "plain", **how) -> tuple[nn.Module, list[dict]]:
    """In float64, so that rounding cannot hide a difference."""
    model = MODELS[name]().double()
    data = Stripes(dtype=torch.float64, side=12 if name == "small" else 40)
    return model, trained(model, folder, data=data, plan=replace(PLAN, epochs=2, **ORDERED[ordered]), **how)


RUNS = [(name, "plain") for name in MODELS] + [("small", ordered) for ordered in ORDERED if ordered != "plain"]


@pytest.mark.slow
def test_two_processes_train_the_network_that_one_does(tmp_path):
    ran = child("spread", tmp_path, processes=2)
    assert ran.returncode == 0, ran.stderr
    for name, ordered in RUNS:
        model, expected = exact_run(name, ordered=ordered)
        spread = torch.load(tmp_path / f"{name}.{ordered}.pt", weights_only=True)
        histories = [json.loads((tmp_path / f"{name}.{ordered}.{rank}.json").read_text()) for rank in range(2)]
        assert timeless(histories[0]) == timeless(histories[1])
        for record, wanted in zip(timeless(histories[0]), timeless(expected), strict=True):
            assert record == pytest.approx(wanted, rel=1e-6)
        assert_close_states(spread, model.state_dict())
        start, end = next(MODELS[name]().double().parameters()), next(model.parameters())
        assert not torch.allclose(start, end, rtol=1e-2)  # it did go somewhere


def assert_close_states(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=1e-6, atol=1e-9, msg=lambda text, n=name: f"{n}: {text}")


def spread(folder: str) -> None:
    for name, ordered in RUNS:
        model, history = exact_run(name, ordered=ordered)  # joins and leaves the group by itself, each time
        rank = os.environ["RANK"]
        Path(folder, f"{name}.{ordered}.{rank}.json").write_text(json.dumps(history))
        if rank == "0":
            torch.save(model.state_dict(), Path(folder, f"{name}.{ordered}.pt"))
    with distributed() as world:
        assert (world.rank, world.size) == (int(rank), 2)
        same_batch_norm(world.rank)
        few = Stripes(5)
        try:
            fit(small(), TASK, few, replace(PLAN, batch_size=1))
        except ValueError as error:
            assert "5 samples in 5 batches: at least one sample per batch for each of 2" in str(error)
        else:
            raise AssertionError("a batch of one image for two processes was accepted")


def same_batch_norm(rank: int) -> None:
    """One rank with 1 image and the other with 4, against torch on all 5, at a mean that is far from zero."""
    for shape, dtype, tolerance in (
        ((5, 3, 4, 2), torch.float32, 1e-5),
        ((5, 3), torch.float64, 1e-12),
        ((5, 3, 7), torch.bfloat16, 2e-2),
    ):
        torch.manual_seed(0)
        x, dy = (torch.randn(shape) + 30).to(dtype), torch.randn(shape).to(dtype)
        wide = torch.promote_types(dtype, torch.float32)
        part = slice(0, 1) if rank == 0 else slice(1, 5)
        results = []
        for norm, rows in ((functional.batch_norm, slice(0, 5)), (batch_norm, part)):
            weight, bias = (torch.arange(1.0, 4.0, dtype=wide).requires_grad_() for _ in range(2))
            mean, var = torch.zeros(3, dtype=wide), torch.ones(3, dtype=wide)
            mine = x[rows].clone().requires_grad_()
            y = norm(mine, mean, var, weight, bias, True, 0.3, 1e-5)
            y.backward(dy[rows])
            results.append([y, mine.grad, mean, var, weight.grad, bias.grad])
        whole, ours = results
        close = partial(torch.testing.assert_close, rtol=tolerance, atol=tolerance)
        close(ours[0], whole[0][part])
        close(ours[1], whole[1][part])
        close(ours[2], whole[2])
        close(ours[3], whole[3])
        for gradient, wanted in zip(ours[4:], whole[4:], strict=True):
            torch.distributed.all_reduce(gradient)
            close(gradient, wanted)
        frozen = norm(x[part], mean, var, training=False)
        close(frozen, functional.batch_norm(x[part], mean, var, training=False))


@pytest.mark.slow
@pytest.mark.parametrize("ordered", ORDERED)
def test_torchrun_restarts_a_killed_process_and_the_result_is_the_same(ordered, tmp_path):
    # One restart is needed; gloo's threads sometimes abort a process that has finished, which costs another.
    ran = child("restarted", tmp_path, ordered, processes=2, restarts=3)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "first step of attempt 1").read_text() == "5"
    model, expected = exact_run("small", ordered=ordered)
    final = states(tmp_path)
    assert_close_states(final.get("average", final["model"]), model.state_dict())
    history = json.loads((tmp_path / "history.json").read_text())["history"]
    assert [record["loss"] for record in history] == pytest.approx([record["loss"] for record in expected], rel=1e-6)


def restarted(folder: str, ordered: str) -> None:
    attempt = os.environ["TORCHELASTIC_RESTART_COUNT"]

    def stepping(done: int, steps: int, loss: float) -> None:
        note = Path(folder, f"first step of attempt {attempt}")
        if not note.exists():
            note.write_text(str(done))
        if attempt == "0" and done == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    exact_run("small", Path(folder), ordered, on_step=stepping)


if __name__ == "__main__":
    {"killed": killed, "spread": spread, "restarted": restarted}[sys.argv[1]](*sys.argv[2:])
