"""What users do on a GPU: attach to a backbone, train and go on after a stop, compare."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import regard
from regard import catalog
from regard.catalog import recipes
from regard.ops.seeds import seeded
from regard.tasks.classify import Classify
from regard.training.loop import fit
from regard.training.plan import Plan
from regard.training.recipe import built
from regard.training.running import train

pytestmark = pytest.mark.gpu

# Arguments for sites that are as small as an image of 64 pixels leaves them.
FITTING = {"rga": {"gate_reduction": 1, "spatial_reduction": 1}}
ATTACHABLE = [entry.name for entry in catalog.entries() if entry.drop_in and not entry.system]
EXACT = 1e-8  # float64, over a whole backbone


def backbone(name: str = "resnet18") -> nn.Module:
    """Small and deterministic: one with random weights, in which no zero of an initialisation hides a branch."""
    with seeded(3):
        model: nn.Module = timm.create_model(name, pretrained=False, num_classes=7)
        for parameter in model.parameters():
            if parameter.ndim < 2:
                nn.init.uniform_(parameter, 0.5, 1.0)
    return model.eval()


def images(count: int = 3, side: int = 64) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("name", ATTACHABLE)
def test_attaching_on_the_gpu_starts_at_the_backbone_and_gives_the_numbers_of_the_cpu(
    name: str, device: torch.device
) -> None:
    there, x = backbone().to(device), images().to(device)
    with torch.no_grad():
        bare = there(x)
        assert torch.equal(regard.attach(there, name, identity=True, example=x, **FITTING.get(name, {}))(x), bare)
    odd = [key for key, value in there.state_dict().items() if value.device != device]
    assert not odd
    for key, parameter in there.named_parameters():
        if key.endswith("attention_alpha"):
            nn.init.constant_(parameter, 0.3)
    here = copy.deepcopy(there).cpu().double()
    with torch.no_grad():
        seen, wanted = there.double()(x.double()).cpu(), here(images().double())
    assert ((seen - wanted).abs().max() / wanted.abs().max()).item() <= EXACT


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convnext_atto"])
def test_tokens_and_channels_last_backbones(name: str, device: torch.device) -> None:
    model, x = backbone(name).to(device), images(2, 224).to(device)
    with torch.no_grad():
        bare = model(x)
        regard.attach(model, "cbam", identity=True, example=x)
        with regard.watch(model) as maps:
            seen = model(x)
    assert torch.equal(seen, bare)
    assert maps
    assert all(look.device == device for looks in maps.values() for look in looks)


class Stripes(Dataset[tuple[Tensor, int]]):
    """Images whose class is the channel that has stripes."""

    def __init__(self, size: int = 22, side: int = 32) -> None:
        self.labels = [index % 3 for index in range(size)]
        self.pixels = torch.rand(size, 3, side, side, generator=torch.Generator().manual_seed(5))
        for index, label in enumerate(self.labels):
            self.pixels[index, label, :, ::2] = 1.0

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.pixels[index], self.labels[index]


class Stopped(RuntimeError):
    """Stands for a machine that goes down."""


@pytest.fixture
def deterministic() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    yield
    torch.use_deterministic_algorithms(before[0])
    torch.backends.cudnn.benchmark = before[1]


def learner() -> nn.Module:
    """A small network with attention, and with dropout, which draws its numbers on the device.

    No layer of it lacks a deterministic gradient on a GPU, as those of some poolings and interpolations do.
    """
    with seeded(6):
        model = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Flatten(2), Mean(), nn.Dropout(0.2), nn.Linear(32, 3),
        )  # fmt: skip
        return regard.attach(model, "cbam", after=["1", "4"], example=images(2, 32))


class Mean(nn.Module):
    """Of all positions."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(2)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_stopped_training_goes_on_to_the_bit(
    precision: str, optimizer: str, device: torch.device, tmp_path: Path
) -> None:
    plan = Plan(
        epochs=3, batch_size=8, lr=0.01, optimizer=optimizer, precision=precision, clip=1.0, ema=0.9, channels_last=True
    )

    def run(model: nn.Module, folder: Path, last: int | None) -> list[Any]:
        def on_step(done: int, steps: int, loss: float) -> None:
            if done == last:
                raise Stopped

        return fit(
            model, Classify(classes=3), Stripes(), plan, folder=folder, device=device, checkpoint_every=2,
            evaluate=Stripes(9), on_step=on_step,
        )  # fmt: skip

    whole = learner()
    told = run(whole, tmp_path / "whole", None)
    with pytest.raises(Stopped):
        run(learner(), tmp_path / "stopped", 5)
    resumed = learner()
    again = run(resumed, tmp_path / "stopped", None)
    untouched = learner().to(device).state_dict()
    assert any(not torch.equal(value, untouched[key]) for key, value in whole.state_dict().items())
    for key, value in whole.state_dict().items():
        assert value.device == device
        assert torch.equal(resumed.state_dict()[key], value), key
    for one, other in zip(told, again, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_training_leaves_the_random_state_of_the_caller_alone(device: torch.device) -> None:
    torch.manual_seed(8)
    wanted = torch.rand(5, device=device)
    torch.manual_seed(8)
    plan = Plan(epochs=1, batch_size=11)
    fit(learner(), Classify(classes=3), Stripes(), plan, device=device, evaluate=Stripes(9))
    assert torch.equal(torch.rand(5, device=device), wanted)


def test_what_is_seeded_leaves_the_random_state_of_the_caller_alone(device: torch.device) -> None:
    torch.manual_seed(8)
    wanted = torch.rand(5, device=device)
    drawn = []
    for _ in range(2):
        torch.manual_seed(8)
        with seeded(9):
            drawn.append(torch.rand(5, device=device))
        assert torch.equal(torch.rand(5, device=device), wanted)
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], wanted)


@pytest.mark.parametrize("name", [listing.name for listing in recipes.listings()])
def test_an_epoch_of_every_recipe(name: str, device: torch.device, tmp_path: Path) -> None:
    """The tiny variants: every task, and whatever else of a paper takes part only in training."""
    listing = recipes.get(name)
    recipe = built(listing, tiny=True)
    result = train(listing, recipe, out=tmp_path, device=device.type, changes={"epochs": 1})
    assert all(math.isfinite(epoch["loss"]) for phase in result["history"].values() for epoch in phase)


def test_grad_cam_gives_the_map_of_the_cpu(device: torch.device) -> None:
    maps = []
    for place in (torch.device("cpu"), device):
        model = backbone().to(place).double()
        heat = regard.gradcam(model, images().to(place).double(), layer="layer4", upsample=False)
        assert heat.device == place
        maps.append(heat.cpu())
    assert ((maps[1] - maps[0]).abs().max() / maps[0].abs().max()).item() <= EXACT


def test_two_rows_are_compared(device: torch.device, tmp_path: Path) -> None:
    out = tmp_path / "run"
    regard.compare(
        "digits", backbone="test_resnet", attention=("se", "cbam"), seeds=2, epochs=2, image_size=48, train_size=40,
        test_size=20, batch_size=16, out=out, workers=1, patience=0.2, device=device.type,
    )  # fmt: skip
    told = [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    trials = [(one["row"], one["seed"]) for one in told]
    assert len(trials) == len(set(trials))
    assert {(row, seed) for row in ("none", "se", "cbam") for seed in (0, 1)} <= set(trials)
    assert all(math.isfinite(epoch["loss"]) for one in told for epoch in one["history"])
    assert all(0 <= one["score"] <= 1 for one in told)
