"""The verdict of `regard.check` on modules from elsewhere: what only the library's own entries promise is advice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from timm.layers import SqueezeExcite
from torch import Tensor, nn

import regard
from regard.laws import ADVICE, LAWS

COSTLY = ("compiles", "exports", "exports_to_onnx")


class PlainSE(nn.Module):
    """A squeeze-and-excitation block as many write it: it accepts channels=0, and names no wrong argument."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x):
        b, c, _, _ = x.size()
        return x * self.fc(x.mean((2, 3))).view(b, c, 1, 1).expand_as(x)


class PlainCBAM(nn.Module):
    """Channel attention and spatial attention as common ports write them."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1), nn.ReLU(), nn.Conv2d(channels // reduction, channels, 1)
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x):
        pooled = (nn.functional.adaptive_avg_pool2d(x, 1), nn.functional.adaptive_max_pool2d(x, 1))
        x = x * torch.sigmoid(sum(self.mlp(one) for one in pooled))
        both = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)
        return x * torch.sigmoid(self.spatial(both))


class SelfAttention(nn.Module):
    """Torch's own attention over the positions of a map."""

    def __init__(self, channels, heads=2):
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)

    def forward(self, x):
        y = x.flatten(2).transpose(1, 2)
        y, _ = self.attention(y, y, y, need_weights=False)
        return x + y.transpose(1, 2).reshape(x.shape)


class Dropped(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gate = nn.Conv2d(channels, 1, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return x * torch.sigmoid(self.gate(self.dropout(x)))


class Normed(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gate = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x):
        return x * torch.sigmoid(self.gate(x))


class OwnAttention(regard.Attention):
    """On the library's base class, without a label."""

    maps: ClassVar = {"gate": "B 1 H W"}

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.see("gate", torch.sigmoid(self.gate(x)))


class Leaks(PlainSE):
    """Pools over the batch too."""

    def forward(self, x):
        return x * self.fc(x.mean((0, 2, 3)))[:, None, None]


FOREIGN: dict[str, Callable[..., nn.Module]] = {
    "a user's SE": PlainSE,
    "a user's CBAM": PlainCBAM,
    "torch's MultiheadAttention": SelfAttention,
    "dropout": Dropped,
    "batch norm": Normed,
    "a subclass of Attention": OwnAttention,
    "timm's SqueezeExcite": SqueezeExcite,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_correct_module_from_elsewhere_breaks_nothing(name):
    cheap = [law for law in LAWS if law not in COSTLY]
    report = regard.check(partial(FOREIGN[name], 12), channels=12, laws=cheap)
    assert report.ok, str(report)
    assert {outcome.law for outcome in report.outcomes if outcome.status == "advice"} <= ADVICE


def test_what_only_own_entries_promise_is_advice():
    report = regard.check(PlainSE, kwargs={"channels": 12}, laws=["shapes", "rejects", "names_wrong_inputs"])
    assert [outcome.status for outcome in report.outcomes] == ["kept", "advice", "advice"]
    assert report.ok
    report.raise_if_broken()
    assert str(report).splitlines()[-1] == "1 of 3 laws kept, 0 broken, 2 advised"
    assert str(report).startswith("advice: PlainSE: rejects: PlainSE does not keep rejects. Input: channels=0.")


def test_a_defect_of_a_module_from_elsewhere_is_no_advice():
    report = regard.check(Leaks, kwargs={"channels": 12}, laws=["shapes", "batch_independent", "rejects"])
    assert [outcome.status for outcome in report.outcomes] == ["kept", "broken", "advice"]
    with pytest.raises(AssertionError, match="Leaks breaks batch_independent"):
        report.raise_if_broken()


def test_a_class_of_a_function_cannot_be_pickled_and_that_is_advice():
    class Local(PlainSE):
        pass

    (outcome,) = regard.check(Local, kwargs={"channels": 12}, laws=["keeps_state"]).outcomes
    assert outcome.status == "advice" and "pickle" in outcome.message


def test_progress_is_told_law_by_law():
    told = []
    regard.check("se", laws=["shapes", "finite"], on_law=lambda *given: told.append(given))
    settings = {name for name, _, _, _ in told}
    assert {law for _, law, _, _ in told} == {"shapes", "finite"} and len(told) == 2 * len(settings)
    assert [done for _, _, done, _ in told] == list(range(len(told)))
    assert {total for _, _, _, total in told} == {len(told)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PlainSE", "SelfAttention", "OwnAttention"])
def test_the_command_gives_a_verdict_and_nothing_else(name):
    """All laws, in a process of its own as a user starts it: the exit code, the count, and no stray line."""
    command = [sys.executable, "-m", "regard", "check", f"{Path(__file__)}:{name}", "--kwargs", '{"channels": 12}']
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=600
    )
    lines = done.stdout.strip().splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(rf"\d+ of {len(LAWS)} laws kept, 0 broken(, \d+ advised)?", lines[-1])
    assert all(line.startswith(("advice: ", "not asked: ")) for line in lines[:-1]), done.stdout
    assert done.stderr == ""
