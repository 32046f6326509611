"""Attached attention in an optimizer that was made before it."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer

from regard.attaching import ALPHA, CHILD, attached


def add_attention_parameters(optimizer: Optimizer, model: nn.Module, **group: Any) -> int:
    """Adds the parameters of attached attention that an optimizer lacks to it, as one group, and returns their number.

        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        regard.attach(model, "cbam", identity=True)
        regard.add_attention_parameters(optimizer, model, lr=1e-2)  # 0 if the optimizer was made after attach

    Args:
        optimizer: any optimizer of torch.
        model: the model with attached attention, also compiled or wrapped.
        group: settings of the group that differ from the optimizer's own, such as `lr` and `weight_decay`.

    Returns:
        The number of values in the added parameters; frozen ones are not added.

    Raises:
        TypeError: `optimizer` is no optimizer of torch.
        ValueError: `model` has no attached attention; or the optimizer has a schedule already, which would never reach
            the new group: add the group first.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer={type(optimizer).__name__}: an optimizer of torch is needed")
    sites = [site for _, site, _ in attached(model)]
    if not sites:
        raise ValueError(f"{type(model).__name__} has no attached attention; regard.attach(model, name) adds it")
    known = {id(parameter) for each in optimizer.param_groups for parameter in each["params"]}
    own = [parameter for site in sites for parameter in site.get_submodule(CHILD).parameters()]
    own += [getattr(site, ALPHA) for site in sites if ALPHA in site._parameters]
    new = [parameter for parameter in dict.fromkeys(own) if parameter.requires_grad and id(parameter) not in known]
    if not new:
        return 0
    if any("initial_lr" in each for each in optimizer.param_groups):
        raise ValueError(
            f"optimizer={type(optimizer).__name__}: a learning-rate schedule was made for it, which would not reach "
            f"the {sum(parameter.numel() for parameter in new):,} new parameters; add them before making the schedule"
        )
    optimizer.add_param_group({"params": new, **group})
    return sum(parameter.numel() for parameter in new)
