"""The recurrent attention model: its retina alone, and a step of training without the optimiser."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers.peer import Peer, Shape
from regard import published

_BATCH = 128
_REPOSITORY = "kevinzakka/recurrent-visual-attention"
_NAME = "kevinzakka.recurrent-visual-attention"
_GLIMPSES = 6


class _Retina(nn.Module):
    def __init__(self, retina: Any) -> None:
        super().__init__()
        self.retina = retina

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        found: Tensor = self.retina.foveate(x, at.detach().clamp(-1, 1))
        return found


class _Still(nn.Module):
    """Places as inputs that take no gradient, and images that take none."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        found: Tensor = self.module(x, at.detach().clamp(-1, 1))
        return found


def _foveate(code: ModuleType, arguments: dict[str, Any]) -> nn.Module:
    return _Retina(code.Retina(**arguments))


def _our_retina(reference_arguments: dict[str, Any]) -> Any:
    def twin(theirs: nn.Module, shape: Shape) -> nn.Module:
        return _Still(published.rebuild(f"ram_retina/{_NAME}/Retina.foveate", reference_arguments, {}))

    return twin


def _retina(side: int, **arguments: int) -> Peer:
    return Peer(
        entry="ram",
        place=f"{_REPOSITORY}:modules.py",
        attribute="Retina",
        arguments=lambda shape: arguments,
        make=_foveate,
        twin=_our_retina(arguments),
        inputs=lambda shape: [torch.randn(_BATCH, 1, side, side), torch.rand(_BATCH, 2) * 2 - 1],
        setting=f"{side}×{side}, {arguments['k']} of {arguments['g']}×{arguments['g']}",
    )


class _Step(nn.Module):
    """The loss of the published training loop, whose noise is drawn step by step."""

    def __init__(self, model: nn.Module, hidden: int) -> None:
        super().__init__()
        self.model, self.hidden = model, hidden

    def forward(self, x: Tensor, at: Tensor, labels: Tensor) -> Tensor:
        x = x.to(at.dtype) / 255
        h = torch.zeros(len(x), self.hidden, dtype=at.dtype, requires_grad=True)
        log_policies, baselines = [], []
        for _ in range(_GLIMPSES - 1):
            h, at, baseline, log_policy = self.model(x, at, h)
            baselines.append(baseline)
            log_policies.append(log_policy)
        h, at, baseline, log_probs, log_policy = self.model(x, at, h, last=True)
        baseline = torch.stack([*baselines, baseline]).transpose(1, 0)
        log_policy = torch.stack([*log_policies, log_policy]).transpose(1, 0)
        right = (log_probs.max(1)[1] == labels).to(at.dtype)[:, None].repeat(1, _GLIMPSES)
        chosen = torch.sum(-log_policy * (right - baseline.detach()), dim=1).mean()
        return F.nll_loss(log_probs, labels) + F.mse_loss(baseline, right) + chosen * 0.01


class _OurStep(nn.Module):
    """Ours, with the noise drawn as theirs is."""

    def __init__(self, trainer: nn.Module) -> None:
        super().__init__()
        self.trainer = trainer

    def forward(self, x: Tensor, at: Tensor, labels: Tensor) -> Tensor:
        ones = torch.ones_like(at)
        noise = torch.stack([torch.normal(0 * ones, ones) for _ in range(_GLIMPSES)])
        loss: Tensor = self.trainer(x.to(at.dtype) / 255, at, noise, labels)[0]
        return loss


def _sizes(side: int, g: int, k: int) -> dict[str, Any]:
    sizes = {"h_g": 128, "h_l": 128, "std": 0.17, "hidden_size": 256, "num_classes": 10}
    return {"g": g, "k": k, "s": 2, "c": 1, **sizes}


def _our_step(theirs: nn.Module, shape: Shape) -> nn.Module:
    model = theirs.get_submodule("model")
    retina: Any = model.get_submodule("sensor").retina
    name = f"ram/{_NAME}/RecurrentAttention-Trainer.train_one_epoch-loss"
    arguments = {**_sizes(0, retina.g, retina.k), "num_glimpses": _GLIMPSES}
    return _OurStep(published.rebuild(name, arguments, model.state_dict()))


def _training(side: int, g: int, k: int) -> Peer:
    return Peer(
        entry="ram",
        place=f"{_REPOSITORY}:modules.py+model.py",
        attribute="RecurrentAttention",
        arguments=lambda shape: _sizes(side, g, k),
        make=lambda code, arguments: _Step(code.RecurrentAttention(**arguments), arguments["hidden_size"]),
        twin=_our_step,
        inputs=lambda shape: [
            torch.randint(256, (_BATCH, 1, side, side), dtype=torch.uint8),
            torch.rand(_BATCH, 2) * 2 - 1,
            torch.randint(10, (_BATCH,)),
        ],
        train=True,
        setting=f"loss of a training step, {side}×{side}, {k} of {g}×{g}",
        edits={"import modules\n": "", "modules.": ""},
    )


PEERS = (
    _retina(28, g=8, k=1, s=1),
    _retina(60, g=12, k=3, s=2),
    _training(28, 8, 1),
    _training(60, 12, 3),
)
