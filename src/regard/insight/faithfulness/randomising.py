"""Cascading randomisation: whether a map depends on what the network has learned.

Sanity Checks for Saliency Maps. Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim. NeurIPS 2018, arXiv:1810.03292,
Section 4.

Weights are lost from the output towards the input, in stages. What is left of a map is the rank correlation (Spearman)
of its values with those that it had: near 0 where it depends on the weights lost, 1 where it does not. A map that the
network forms in its early layers stays as it is until these are reached, and should.

A parameter is lost by permuting its values, which any kind of layer allows and which leaves their distribution as it
is; the authors draw them anew, as at the start of a training. Parameters of one value and statistics of batch norms
stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from regard.insight.faithfulness.measured import Measured
from regard.ops.seeds import mixed

T = TypeVar("T")


def cascade(model: nn.Module, example: Tensor, stages: int, seed: int, look: Callable[[], T]) -> list[tuple[str, T]]:
    """What `look` returns after each stage, with the name of the module that lost its weights last.

    The network's weights are as before afterwards, also after an error.

    Args:
        model: the network.
        example: one image or more, for a pass that finds the order of the modules.
        stages: in how many stages all weights are lost; fewer where there are fewer modules with weights.
        seed: of the permutations.
        look: called after each stage.
    """
    modules = _order(model, example)
    parameters = {parameter for _, module in modules for parameter in module.parameters(recurse=False)}
    kept = {parameter: parameter.detach().clone() for parameter in parameters}
    stages = min(stages, len(modules))
    found, done, lost = [], 0, set()
    try:
        for stage in range(1, stages + 1):
            until = round(stage * len(modules) / stages)
            for name, module in modules[done:until]:
                for own, parameter in module.named_parameters(recurse=False):
                    if parameter not in lost:
                        _permute(parameter, mixed("cascade", seed, name, own))
                        lost.add(parameter)
            done = until
            found.append((modules[done - 1][0], look()))
    finally:
        with torch.no_grad():
            for parameter, values in kept.items():
                parameter.copy_(values)
    return found


def alike(ours: Tensor, theirs: Tensor) -> Measured:
    """Spearman's rank correlation of two maps of each image; NaN where one is even or not finite.

    Shapes: ours, theirs `N h w`.
    """
    found = []
    for pair in zip(ours.double().cpu().flatten(1).numpy(), theirs.double().cpu().flatten(1).numpy(), strict=True):
        ranks = np.stack([rankdata(values) for values in pair])
        ranks -= ranks.mean(1, keepdims=True)
        sizes = np.sqrt((ranks**2).sum(1))
        usable = np.isfinite(pair).all() and (sizes > 0).all()
        found.append(float(ranks[0] @ ranks[1] / sizes.prod()) if usable else float("nan"))
    return Measured.of(found)


def _order(model: nn.Module, example: Tensor) -> list[tuple[str, nn.Module]]:
    """The modules with parameters of their own, last run first; those that do not run come last."""
    owning = {
        module: name or type(module).__name__
        for name, module in model.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    }
    ran: dict[nn.Module, None] = {}

    def note(module: nn.Module, inputs: object) -> None:
        ran.pop(module, None)
        ran[module] = None

    handles = [module.register_forward_pre_hook(note) for module in owning]
    try:
        with torch.no_grad():
            model(example)
    finally:
        for handle in handles:
            handle.remove()
    rest = [module for module in owning if module not in ran]
    return [(owning[module], module) for module in (*reversed(ran), *rest)]


def _permute(parameter: Tensor, seed: int) -> None:
    order = torch.randperm(parameter.numel(), generator=torch.Generator().manual_seed(seed)).to(parameter.device)
    with torch.no_grad():
        parameter.copy_(parameter.detach().flatten()[order].view_as(parameter))
