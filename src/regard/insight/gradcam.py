"""Grad-CAM: where a model looks if its attention has no place, or if it has none.

Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization. Selvaraju, Cogswell, Das, Vedantam,
Parikh, Batra. ICCV 2017, arXiv:1610.02391.

    α_k = 1/(HW) Σ_hw ∂y_c / ∂A_khw          weight of channel k for class c, Eq. 1          (1)
    L   = relu(Σ_k α_k A_k)                  the map, Eq. 2                                  (2)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def gradcam(
    model: nn.Module,
    x: Tensor,
    site_module: nn.Module,
    target: int | Tensor | None = None,
    *,
    to_grid: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Returns the Grad-CAM map of `model` at `site_module`.

    Runs in evaluation mode and leaves the model as it was: training flags, hooks, and the parameters' `grad`. Works
    inside `torch.no_grad()` and with frozen parameters.

    Args:
        model: gives class scores `B K` before any softmax.
        x: the input.
        site_module: the module of `model` whose output is explained; with attention attached to it, the attended
            output.
        target: class c, one for all samples or one each; by default each sample's predicted class.
        to_grid: brings the site's output to `B C H W` where it is not (tokens, channels last).

    Shapes: x `B ...`; target `B` -> `B H W`, zero or more, not normalised.
    Raises: ValueError if the site does not run exactly once or its output is not a map, the scores are not `B K`, or
        `target` does not fit them.
    """
    leaves: list[Tensor] = []

    def catch(module: nn.Module, inputs: object, output: object) -> Tensor:
        if not isinstance(output, Tensor):
            raise ValueError(f"{type(module).__name__} returns {type(output).__name__}; Grad-CAM needs one tensor")
        leaves.append(output.detach().requires_grad_())
        return leaves[-1].clone()  # what follows may work in place, which a leaf forbids

    flags = [(module, module.training) for module in model.modules()]
    handle = site_module.register_forward_hook(catch)
    try:
        model.eval()
        with torch.inference_mode(False), torch.enable_grad():
            scores = model(x.clone() if x.is_inference() else x)
            if len(leaves) != 1:
                raise ValueError(
                    f"{type(site_module).__name__} was called {len(leaves)} times; Grad-CAM needs one call"
                )
            score = _score(scores, target)
            (slopes,) = torch.autograd.grad(score.sum(), leaves)
    finally:
        handle.remove()
        for module, training in flags:
            module.training = training
    activation = leaves[0].detach()
    if to_grid is not None:
        activation, slopes = to_grid(activation), to_grid(slopes)
    if activation.dim() != 4:
        raise ValueError(
            f"{type(site_module).__name__} returns shape {tuple(activation.shape)}; Grad-CAM needs B C H W: choose "
            "another site or pass to_grid"
        )
    weights = slopes.mean((2, 3), keepdim=True)  # [B, C, 1, 1]
    return (weights * activation).sum(1).relu()  # [B, H, W]


def _score(scores: object, target: int | Tensor | None) -> Tensor:
    """The score of each sample's class, [B]."""
    if not isinstance(scores, Tensor) or scores.dim() != 2:
        seen = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"Grad-CAM needs class scores B K; the model returns {seen}")
    batch, classes = scores.shape
    if target is None:
        chosen = scores.detach().argmax(1)
    else:
        chosen = torch.as_tensor(target, device=scores.device, dtype=torch.long)
        if chosen.shape not in ((), (1,), (batch,)):
            raise ValueError(
                f"target of shape {tuple(chosen.shape)}: one class, or {batch}, one for each sample, is needed"
            )
        chosen = chosen.expand(batch)
        if int(chosen.min()) < 0 or int(chosen.max()) >= classes:
            raise ValueError(f"target={chosen.tolist()}: classes from 0 to {classes - 1} are needed")
    return scores.gather(1, chosen[:, None])[:, 0]
