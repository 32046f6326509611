"""What a map explains: one number for each sample, from whatever a model returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Target = int | Sequence[int] | Tensor | Callable[[Any], Tensor] | None


def explained(returned: object, target: Target, batch: int) -> Tensor:
    """The number that is explained of each sample: `B`, or one for all.

    Args:
        returned: what the model returned.
        target: as for `regard.gradcam`.
        batch: the number of samples, B.

    Raises: ValueError if the model returns no class scores `B K` and there is no function that takes what it returns,
        or the target does not fit them.
    """
    if callable(target):
        chosen = target(returned)
        if not isinstance(chosen, Tensor) or chosen.shape not in ((), (batch,)) or not chosen.is_floating_point():
            what = str(tuple(chosen.shape)) if isinstance(chosen, Tensor) else type(chosen).__name__
            raise ValueError(
                f"target={target!r}: it returns {what}; one number, or {batch}, one for each sample, is needed"
            )
        return chosen
    if not isinstance(returned, Tensor) or returned.dim() != 2:
        what = str(tuple(returned.shape)) if isinstance(returned, Tensor) else type(returned).__name__
        raise ValueError(
            f"target={target!r}: class scores B K are needed, and the model returns {what}; give a function of what it "
            "returns as target"
        )
    classes = returned.shape[1]
    if target is None:
        return returned.gather(1, returned.detach().argmax(1, keepdim=True))[:, 0]
    asked = torch.as_tensor(target, device=returned.device)
    if asked.shape not in ((), (1,), (batch,)) or asked.is_floating_point() or asked.dtype == torch.bool:
        raise ValueError(f"target={target!r}: one class, or {batch}, one for each sample, is needed")
    if int(asked.min()) < 0 or int(asked.max()) >= classes:
        raise ValueError(f"target={asked.tolist()}: classes from 0 to {classes - 1} are needed")
    return returned.gather(1, asked.long().expand(batch)[:, None])[:, 0]
