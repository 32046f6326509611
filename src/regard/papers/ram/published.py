"""Checkpoint mappings for RAM, from the common PyTorch code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from regard.ops.reinforce import reinforce
from regard.published.reference import Reference

_SENSOR = {"see_what": "fc1", "see_where": "fc2", "join_what": "fc3", "join_where": "fc4"}


def _model(g, k, s, c, h_g, h_l, std, hidden_size, num_classes, num_glimpses=6):
    arguments, _ = _sensor(h_g, h_l, g, k, s, c)
    names = {f"sensor.{ours}": f"sensor.{theirs}" for ours, theirs in _SENSOR.items()}
    names |= {"update": "rnn.i2h", "keep": "rnn.h2h", "locator.reduce": "locator.fc", "locator.mean": "locator.fc_lt"}
    names |= {"classifier": "classifier.fc", "baseline": "baseliner.fc"}
    return {
        **arguments,
        "hidden": hidden_size,
        "std": std,
        "classes": num_classes,
        "glimpses": num_glimpses,
    }, names


def _checkpoint(g=8, k=1, s=1, c=1, h_g=128, h_l=128, std=0.17, hidden=256, num_classes=10, T=6):
    """The build for checkpoints that come with the code, which an older location network trained."""
    arguments, names = _model(g, k, s, c, h_g, h_l, std, hidden, num_classes, T)
    del names["locator.reduce"]
    return {**arguments, "policy": "squashed"}, {**names, "locator.mean": "locator.fc"}


def _sensor(h_g, h_l, g, k, s, c):
    arguments, _ = _retina(g, k, s)
    return {**arguments, "channels": c, "glimpse_hidden": h_g, "location_hidden": h_l}, dict(_SENSOR)


def _retina(g, k, s):
    return {"glimpse_size": g, "patches": k, "scale": s, "by_height": True}, {}


def _per_axis(g, k, s):
    return {**_retina(g, k, s)[0], "by_height": False}, {}


def _locator(input_size, output_size=2, std=0.05):
    if output_size != 2:
        raise ValueError(f"output_size={output_size!r}: 2 is accepted, for the location (x, y)")
    return {"hidden": input_size, "std": std}, {"reduce": "fc", "mean": "fc_lt"}


def _only_sensor(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    return module.get_submodule("sensor")


def _only_locator(module: nn.Module, args: Mapping[str, Any]) -> nn.Module:
    return module.get_submodule("locator")


class _Retina(nn.Module):
    """The patches alone, of images with any number of channels."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.retina = module.sensor.retina

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        found: Tensor = self.retina(x, at)
        return found


class _Around(nn.Module):
    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module


class _Trainer(_Around):
    """An episode and its hybrid loss, with the noise as an input."""

    def forward(self, x: Tensor, start: Tensor, noise: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        log_probs, locations, log_policy, baseline = self.module(x, start=start, noise=noise, episode=True)
        reward = (log_probs.argmax(1) == labels).to(baseline.dtype)[:, None].expand_as(baseline)
        loss = F.nll_loss(log_probs, labels) + F.mse_loss(baseline, reward)
        loss = loss + 0.01 * reinforce(log_policy, reward, baseline)
        return loss, log_probs, locations[:, 1:].transpose(0, 1), log_policy, baseline


class _Tested(_Around):
    """An episode over grey images from 0 to 255, divided in float64."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__(module.double(), args)

    def forward(self, x: Tensor, start: Tensor, noise: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        seen = ((x / 255).double() - 0.1307) / 0.3081
        log_probs, locations, _, _ = self.module(seen, start=start, noise=noise, episode=True)
        return log_probs, locations[:, 1:].transpose(0, 1)


_COMMON = "kevinzakka.recurrent-visual-attention"

REFERENCES = (
    Reference(
        f"ram/{_COMMON}/RecurrentAttention-Trainer.train_one_epoch-loss",
        "ram",
        _model,
        adapt=_Trainer,
        recording="the network with its trainer's loss",
    ),
    Reference(f"ram_pretrained/{_COMMON}/checkpoint-epoch-25-best-valid-acc-98.38", "ram", _checkpoint, adapt=_Tested),
    Reference(f"ram_glimpse/{_COMMON}/GlimpseNetwork", "ram", _sensor, host=_only_sensor),
    Reference(f"ram_location/{_COMMON}/LocationNetwork", "ram", _locator, host=_only_locator),
    Reference(f"ram_retina/{_COMMON}/Retina.foveate", "ram", _retina, host=_Retina),
    Reference(f"ram_retina/{_COMMON}/Retina.foveate.per_axis", "ram", _per_axis, host=_Retina),
)
