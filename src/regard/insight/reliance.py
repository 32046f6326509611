"""How much a captioner's words rely on the image: their log-probabilities with it, with none, and with another one.

    r_l = log p(y_l | y_<l, image) − log p(y_l | y_<l, other)                                                     (1)

    other: a blank image, of zeros after normalisation, or the image of another sample

A sentence can be fluent and beside the picture. For a word that the language alone gives away, such as the second of
"on top of", r is near 0; for one that has to be seen it is large, if the network has learned to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Reliance(NamedTuple):
    """What the words rely on, in nats.

    Attributes:
        own: log-probability of each word with its own image, `B L`.
        blank: how much it falls without an image, `B L`.
        other: how much it falls with the image of the next sample of the batch, `B L`.
    """

    own: Tensor
    blank: Tensor
    other: Tensor


def reliance(model: Any, seen: Sequence[Tensor | None], words: Tensor) -> Reliance:
    """Equation (1) for each word after the first, which is the start.

    Args:
        model: a captioner, called as `model(*seen, words)`; it is used in its own mode, so call `eval` first.
        seen: what it sees, with the batch first: images, features, masks.
        words: whole sentences, from the start; what is padding has numbers without a meaning.

    Shapes: words `B L+1` -> `B L` each.
    Raises: ValueError for fewer than two samples, since another image is needed.
    """
    if len(words) < 2 or words.dim() != 2:
        raise ValueError(f"words of shape {tuple(words.shape)}: at least two sentences, B L, are needed")

    def of(inputs: Sequence[Tensor | None]) -> Tensor:
        log_probabilities = model(*inputs, words[:, :-1])
        found: Tensor = log_probabilities.gather(2, words[:, 1:, None]).squeeze(2)
        return found

    with torch.no_grad():
        own = of(seen)
        blank = of([torch.zeros_like(x) if x is not None and x.is_floating_point() else x for x in seen])
        other = of([None if x is None else x.roll(1, 0) for x in seen])
    return Reliance(own, own - blank, own - other)
