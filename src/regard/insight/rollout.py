"""Attention rollout: how much of each position of the image reaches each position of the last layer.

Quantifying Attention Flow in Transformers. Abnar, Zuidema. ACL 2020, arXiv:2005.00928.

    Ã_l = norm(½ mean_h A_l + ½ I)           a layer with its residual connection, rows of sum 1             (1)
    R_l = Ã_l R_{l-1},  R_0 = I              all layers up to l                                             (2)

It takes the residual connection and the heads for equal parts, and leaves out values, projections and MLPs: a bound on
where information can have come from, which is the same for all classes.
"""

from __future__ import annotations

from regard.checks import number
from regard.core import Maps
from regard.insight.affinities import grown, itself, layers, recorded
from regard.ops.precision import widened

NAME = "rollout"


def rollout(maps: Maps, only: str = "*", *, residual: float = 0.5) -> Maps:
    """Multiplies the attention of all layers of a transformer: which places each position has drawn from.

        with regard.watch(model) as maps:
            model(images)
        flow = regard.rollout(maps)
        flow["rollout"][0][:, 0]  # of the class token, over all positions
        pictures = regard.draw(flow, images[0])

    Works on attention from all positions to all positions, with class and register tokens in front of the grid, and on
    class attention after it. Windows and pooled keys have no weights for all pairs and cannot be chained.

    Args:
        maps: of `regard.watch`, one pass.
        only: pattern over the keys of `maps`; of those that fit, all with axes `B h Q K` or `B Q K` are layers, in the
            order in which they ran.
        residual: the share of the residual connection in each layer, from 0 to below 1.

    Shapes: maps `B h N N` or `B N N` -> `B N N`, float32 or wider; row q holds what position q has drawn from each.

    Returns: one map, `"rollout"`, with axes `B Q K`, grids and tokens; its rows sum to 1.

    Raises:
        LookupError: no key fits `only`.
        ValueError: there is no such attention, or its layers cannot be chained; a weight is negative.
    """
    number("residual", residual, least=0)
    if not residual < 1:
        raise ValueError(f"residual={residual!r}: a number from 0 to below 1 is needed")
    found = layers(maps, only)
    flow = None
    for layer in found:
        weights = widened(layer.weights.detach()).mean(1)
        if bool((weights < 0).any()):
            raise ValueError(f"{layer.key}: it has negative weights, which are no shares; rollout needs zero or more")
        mixed = (1 - residual) * weights + residual * itself(layer, weights)
        step = layer.spread(mixed / mixed.sum(-1, keepdim=True), still=1.0)
        flow = step if flow is None else step @ grown(flow, layer)
    assert flow is not None
    return recorded(NAME, flow, found[-1], sums="K")
