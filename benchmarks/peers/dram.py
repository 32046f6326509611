"""The deep recurrent attention model: its retina and its recurrent layers; and, for no gate to pass, a training step.

The published model as a whole is another function. It has no relu behind its convolutions, takes the context from
54×54 pixels through maximum pooling, starts the upper layer with the context itself, has RAM's location network with a
hidden layer and tanh, and classifies without a hidden layer. So the table has the parts that are the same, and

    python -m benchmarks.peers.dram --authors DIR

times one training step of both at the same sizes, without a gate.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measuring import paired
from benchmarks.peers.peer import Peer, code_of
from regard.papers.dram.network import DeepRecurrentAttention, Recurrent
from regard.papers.dram.task import Read

_BATCH = 128
_SIDE = 100
_HIDDEN = 512
_CLASSES = 10
_TARGETS = 2
_GLIMPSES = 4
_MODULES = "JordiMoralesCasas/transformer_dram_ram:modelling/modules.py"


class _Retina(nn.Module):
    def __init__(self, retina: Any) -> None:
        super().__init__()
        self.retina = retina

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        found: Tensor = self.retina.foveate(x, at.detach().clamp(-1, 1), flatten=False)
        return found


class _OurRetina(nn.Module):
    """Places take no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.retina = _small().retina

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        return self.retina(x, at.detach().clamp(-1, 1))


class _Both(nn.Module):
    """Both recurrent layers, their outputs and cells stacked."""

    def __init__(self, theirs: nn.Module) -> None:
        super().__init__()
        lstm = theirs.get_submodule("lstm")
        for at, name in enumerate(("lower", "upper")):
            layer = Recurrent(_HIDDEN, _HIDDEN).double()
            parts = {"input.weight": "weight_ih", "input.bias": "bias_ih"}
            parts |= {"state.weight": "weight_hh", "state.bias": "bias_hh"}
            layer.load_state_dict({ours: lstm.state_dict()[f"{name}_l{at}"] for ours, name in parts.items()})
            self.add_module(name, layer)

    def forward(self, g: Tensor, outputs: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        lower = self.get_submodule("lower")(g, (outputs[0], cells[0]))
        upper = self.get_submodule("upper")(lower[0], (outputs[1], cells[1]))
        return torch.stack((lower[0], upper[0])), torch.stack((lower[1], upper[1]))


def _small(**sizes: Any) -> DeepRecurrentAttention:
    return DeepRecurrentAttention(1, classes=_CLASSES, targets=_TARGETS, glimpses=_GLIMPSES, **sizes)


PEERS = (
    Peer(
        entry="dram",
        place=_MODULES,
        attribute="Retina",
        arguments=lambda shape: {"g": 12, "k": 2, "s": 2},
        make=lambda code, arguments: _Retina(code.Retina(**arguments)),
        twin=lambda theirs, shape: _OurRetina(),
        inputs=lambda shape: [torch.randn(_BATCH, 1, _SIDE, _SIDE), torch.rand(_BATCH, 2) * 2 - 1],
        setting=f"{_SIDE}×{_SIDE}, 2 of 12×12",
        pick=("Retina",),
    ),
    Peer(
        entry="dram",
        place=_MODULES,
        attribute="CoreNetworkLSTM",
        arguments=lambda shape: {"input_size": _HIDDEN, "hidden_size": _HIDDEN},
        twin=lambda theirs, shape: _Both(theirs),
        inputs=lambda shape: [torch.randn(_BATCH, _HIDDEN), *torch.randn(2, 2, _BATCH, _HIDDEN)],
        call=lambda module, g, outputs, cells: module(g, (outputs, cells)),
        setting=f"one glimpse, twice {_HIDDEN}",
        pick=("CoreNetworkLSTM",),
    ),
)

_STEP = Peer(
    entry="dram",
    place=f"{_MODULES}+modelling/model.py",
    attribute="DeepRecurrentAttention",
    pick=(
        "Retina", "GlimpseNetworkDRAM", "CoreNetworkLSTM", "ActionNetwork", "LocationNetwork", "BaselineNetwork",
        "ContextNetwork", "DeepRecurrentAttention",
    ),
    # of its transformers, which a step with LSTM layers has none of
    names=dict.fromkeys(("PositionalEncoding2D", "CoreNetworkDoubleTransformer", "resnet18", "resnet50")),
    edits={"import modelling.modules as modules\n": "", "modules.": ""},
)  # fmt: skip


class _Step(nn.Module):
    """The loss of the published training loop for images in which every digit is read to the end.

    What it does for those that were wrong already, to count no further digit, is left out.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        state, at, baseline, log_policy = self.model(x, None, None, first=True)
        baselines, log_policies, read = [baseline], [log_policy], []
        for _ in range(_TARGETS):
            for _ in range(_GLIMPSES - 1):
                state, at, baseline, log_policy = self.model(x, at, state)
                baselines.append(baseline)
                log_policies.append(log_policy)
            state, at, baseline, log_probs, log_policy = self.model(x, at, state, last=True)
            baselines.append(baseline)
            log_policies.append(log_policy)
            read.append(log_probs)
        found = torch.stack(read, 1)
        wanted = torch.stack((labels // _CLASSES, labels % _CLASSES), 1)
        b = torch.stack(baselines, 1)
        reward = (found.argmax(-1) == wanted).to(b.dtype).sum(1, keepdim=True).expand_as(b)
        chosen = -(torch.stack(log_policies, 1) * (reward - b.detach())).sum(1).mean()
        return F.nll_loss(found.flatten(0, 1), wanted.flatten()) + F.mse_loss(b, reward) + 0.01 * chosen


class _OurStep(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.task = model, Read(_CLASSES, _TARGETS, weight=0.01)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return self.task.loss(self.model, x, labels)


def _theirs(code: ModuleType) -> nn.Module:
    sizes = {"g": 12, "k": 2, "s": 2, "c": 1, "hidden_size": _HIDDEN, "cell_size": _HIDDEN, "num_classes": _CLASSES}
    unused = {"inner_size": 1, "n_heads": 1, "transformer_model": "", "use_encoder": False, "image_size": 54}
    found: nn.Module = code.DeepRecurrentAttention(
        **sizes, **unused, std=0.03, core_type="rnn", device="cpu", snapshot=True
    )
    return found


def _timed(step: nn.Module, x: Tensor, labels: Tensor) -> Callable[[], None]:
    def once() -> None:
        step(x, labels).backward()
        for parameter in step.parameters():
            parameter.grad = None

    return once


def main() -> None:
    parser = argparse.ArgumentParser(description="times a training step of both")
    parser.add_argument("--authors", type=Path, required=True, metavar="DIR", help="fetched repositories")
    parser.add_argument("--seconds", type=float, default=30.0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    code, version = code_of(_STEP, chosen.authors)
    theirs = _theirs(code)
    ours = _small(features=_HIDDEN, context_widths=(64, 64, 128), hidden=(_HIDDEN, _HIDDEN), class_hidden=_HIDDEN)
    print(f"{_STEP.repository} at {version}, batches of {_BATCH}, {_SIDE}×{_SIDE}, {_TARGETS} × {_GLIMPSES} glimpses")
    for name, module in (("ours", ours), ("theirs", theirs)):
        print(f"  {name}: {sum(parameter.numel() for parameter in module.parameters()):,} parameters")
    x, labels = torch.randn(_BATCH, 1, _SIDE, _SIDE), torch.randint(_CLASSES**_TARGETS, (_BATCH,))
    steps = [_timed(step, x, labels) for step in (_OurStep(ours), _Step(theirs))]
    ratio = paired(*steps, seconds=chosen.seconds, device="cpu")
    print(f"ours / theirs: {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f}), {ratio.rounds} rounds")


if __name__ == "__main__":
    main()
