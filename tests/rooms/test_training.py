"""Training: exact resume, one process against two, and what happens when things go wrong.

Run as a script, this file is the process that the tests kill, and the one that they start under torchrun.
"""

from __future__ import annotations

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

from regard.tasks.classify import Classify
from regard.training import checkpoints
from regard.training import loop as training
from regard.training.distributed import batch_norm, distributed
from regard.training.loop import Diverged, Plan, batch, fit, learning_rate, order, predict

TASK = Classify(classes=3, label_smoothing=0.1)
STEPS = 9  # 3 epochs of 22 images in batches of 8, 7, 7


class Stripes(Dataset):
    """Images whose class is the channel that has stripes; the noise is the image's own."""

    def __init__(self, size: int = 22, *, side: int = 12, dtype: torch.dtype = torch.float32) -> None:
        self.labels = [index % 3 for index in range(size)]
        noise = torch.rand(size, 3, side, side, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        for index, label in enumerate(self.labels):
            noise[index, label, :, ::2] = 1.0
        self.pixels = noise.to(dtype)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pixels[index], self.labels[index]


class QuickStripes(Stripes):
    def images(self, indices: list[int]) -> Tensor:
        return self.pixels[indices]


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


PLAN = Plan(epochs=3, batch_size=8, lr=0.01, clip=5.0, augment=shaken, normalise=((0.5, 0.4, 0.5), (0.3, 0.3, 0.2)))


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
    assert sorted(order(0, 0, 50).tolist()) == list(range(50))
    torch.manual_seed(1)
    first = order(4, 2, 50)
    torch.manual_seed(2)
    assert torch.equal(first, order(4, 2, 50))
    assert len({tuple(order(seed, epoch, 50).tolist()) for seed in range(3) for epoch in range(3)}) == 9


def test_every_epoch_shows_every_image_once_in_batches_that_differ_by_at_most_one():
    data, plan = QuickStripes(), replace(PLAN, augment=None)
    data.labels = list(range(22))  # so that a label says which image it is
    sizes = []
    for epoch in range(3):
        parts = [batch(data, plan, 3 * epoch + step) for step in range(3)]
        assert torch.cat([labels for _, labels, _ in parts]).tolist() == order(0, epoch, 22).tolist()
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
    one = replace(PLAN, batch_size=22, augment=lambda image, generator: torch.rand(3, 2, 2, generator=generator))
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


def test_models_with_one_plan_see_the_same_batches():
    class Spy(Classify):
        def loss(self, model, images, labels):
            seen.append((images.clone(), labels.clone()))
            return super().loss(model, images, labels)

    runs = []
    for model in (small(), nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(432, 3))):
        seen: list[tuple[Tensor, Tensor]] = []
        fit(model, Spy(3), Stripes(), PLAN)
        runs.append(seen)
    assert len(runs[0]) == len(runs[1]) == STEPS
    assert all(torch.equal(a, b) for one, other in zip(*runs, strict=True) for a, b in zip(one, other, strict=True))


# The loop


@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
def test_it_learns(optimizer):
    model, calls = small(), []
    plan = replace(PLAN, epochs=12, optimizer=optimizer, lr=0.03)
    history = trained(model, plan=plan, on_step=lambda *call: calls.append(call))
    assert history[0]["loss"] > history[-1]["loss"]
    assert history[-1]["accuracy"] == 1.0
    assert [record["epoch"] for record in history] == list(range(1, 13))
    assert set(history[0]) == {"epoch", "loss", "seconds", "accuracy", "test_loss", "ece"}
    assert [call[:2] for call in calls] == [(step, 36) for step in range(1, 37)]
    first = sum(loss * size for (_, _, loss), size in zip(calls[:3], (8, 7, 7), strict=True)) / 22
    assert history[0]["loss"] == pytest.approx(first)
    logits, labels = predict(model, Stripes(), batch_size=5, normalise=plan.normalise)
    assert TASK.score(logits, labels)["loss"] == pytest.approx(history[-1]["test_loss"], rel=1e-5)


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
        def loss(self, model, images, labels):
            return 0.0 * model(images).sum()

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


def test_predict_looks_at_all_images_in_order_and_in_evaluation_mode():
    model, data = small(), Stripes()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    logits, labels = predict(model, data, batch_size=7, normalise=PLAN.normalise)
    assert [module.training for module in model.modules()] == modes
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in PLAN.normalise)
    torch.testing.assert_close(logits, model.eval()((data.pixels - mean) / std).detach())
    assert labels.tolist() == data.labels and not logits.requires_grad
    half, _ = predict(model, data, normalise=PLAN.normalise, precision="bfloat16")
    assert half.dtype == torch.float32 and not torch.equal(half, logits)
    torch.testing.assert_close(half, logits, atol=0.05, rtol=0.05)
    with pytest.raises(ValueError, match="no images"):
        predict(model, Stripes(0))


# Resuming


@pytest.mark.parametrize(
    ("stop", "how"),
    [(1, {}), (2, {}), (4, {"optimizer": "sgd"}), (6, {"precision": "bfloat16"}), (7, {"precision": "float16"})],
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
    last = max(saved for saved in (0, 2, 3, 4, 6) if saved < stop)
    assert done == list(range(last + 1, STEPS + 1))
    assert same(whole, fresh)
    assert timeless(history) == timeless(expected)
    for part in ("optimizer", "scaler"):
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
    "augment was <function shaken>, is None": {"plan": replace(PLAN, augment=None)},
    "model was Sequential of": {"model": nn.Sequential(nn.Flatten(), nn.Linear(432, 3))},
    "data was 22 images": {"data": Stripes(21)},
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

    torch.save({"facts": Evil()}, tmp_path / "checkpoint.pt")
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
    checkpoints.write_whole(path, b"old")
    monkeypatch.setattr(failing, fail)
    with pytest.raises(OSError, match=r"^cannot write .*facts.json: No space left on device$"):
        checkpoints.write_whole(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_said_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("mine")
    steps = []
    with pytest.raises(OSError, match=r"^cannot write .*file/run/checkpoint.pt: "):
        trained(small(), tmp_path / "file" / "run", on_step=lambda *call: steps.append(call))
    assert steps == [] and (tmp_path / "file").read_text() == "mine"


def test_a_loss_that_is_no_number_stops_at_its_step_with_the_last_good_checkpoint(tmp_path):
    class Breaking(Classify):
        def loss(self, model, images, labels):
            calls.append(len(images))
            return super().loss(model, images, labels) * (math.nan if len(calls) == 6 else 1.0)

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
    "optimizer='adm': adamw or sgd": {"optimizer": "adm"},
    "warmup=1": {"warmup": 1},
    "clip=0": {"clip": 0},
    "precision='half': float32 or": {"precision": "half"},
    "normalise=": {"normalise": ((0.5,), (0.0,))},
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_plan_is_refused_by_name(message):
    with pytest.raises(ValueError, match=rf"^{message}.* is needed$"):
        replace(PLAN, **BAD[message])


def test_too_few_or_unequal_images_are_refused():
    with pytest.raises(ValueError, match="1 images in 1 batches are too few"):
        fit(small(), TASK, Stripes(1), PLAN)
    with pytest.raises(ValueError, match="0 images"):
        fit(small(), TASK, Stripes(0), PLAN)
    mixed = torch.utils.data.ConcatDataset([Stripes(3), Stripes(3, side=13)])
    with pytest.raises(ValueError, match=r"image \d has shape \(3, 1[23], 1[23]\), image \d has \(3, 1[23], 1[23]\)"):
        fit(small(), TASK, mixed, replace(PLAN, augment=None))
    with pytest.raises(ValueError, match="checkpoint_every=0"):
        fit(small(), TASK, Stripes(), PLAN, checkpoint_every=0)
    with pytest.raises(ValueError, match="precision='half'"):
        predict(small(), Stripes(), precision="half")


# Many processes

MODELS = {"small": partial(small, dropout=0.0), "backbone": backbone}


def exact_run(name: str, folder: Path | None = None, **how) -> tuple[nn.Module, list[dict]]:
    """In float64, so that rounding cannot hide a difference."""
    model = MODELS[name]().double()
    data = Stripes(dtype=torch.float64, side=12 if name == "small" else 40)
    return model, trained(model, folder, data=data, plan=replace(PLAN, epochs=2), **how)


def test_two_processes_train_the_network_that_one_does(tmp_path):
    ran = child("spread", tmp_path, processes=2)
    assert ran.returncode == 0, ran.stderr
    for name in MODELS:
        model, expected = exact_run(name)
        spread = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        histories = [json.loads((tmp_path / f"{name}.{rank}.json").read_text()) for rank in range(2)]
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
    for name in MODELS:
        model, history = exact_run(name)  # joins and leaves the group by itself, each time
        rank = os.environ["RANK"]
        Path(folder, f"{name}.{rank}.json").write_text(json.dumps(history))
        if rank == "0":
            torch.save(model.state_dict(), Path(folder, f"{name}.pt"))
    with distributed() as world:
        assert (world.rank, world.size) == (int(rank), 2)
        same_batch_norm(world.rank)
        few = Stripes(5)
        try:
            fit(small(), TASK, few, replace(PLAN, batch_size=1))
        except ValueError as error:
            assert "5 images in 5 batches are too few to train on with 2" in str(error)
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


def test_torchrun_restarts_a_killed_process_and_the_result_is_the_same(tmp_path):
    ran = child("restarted", tmp_path, processes=2, restarts=1)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "first step of attempt 1").read_text() == "5"
    model, expected = exact_run("small")
    assert_close_states(states(tmp_path)["model"], model.state_dict())
    history = json.loads((tmp_path / "history.json").read_text())["history"]
    assert [record["loss"] for record in history] == pytest.approx([record["loss"] for record in expected], rel=1e-6)


def restarted(folder: str) -> None:
    attempt = os.environ["TORCHELASTIC_RESTART_COUNT"]

    def stepping(done: int, steps: int, loss: float) -> None:
        note = Path(folder, f"first step of attempt {attempt}")
        if not note.exists():
            note.write_text(str(done))
        if attempt == "0" and done == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    exact_run("small", Path(folder), on_step=stepping)


if __name__ == "__main__":
    {"killed": killed, "spread": spread, "restarted": restarted}[sys.argv[1]](*sys.argv[2:])
