"""Relevance through attention that is weighted with its gradients: which places speak for a class, in a transformer.

Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder Transformers. Chefer, Gur, Wolf.
ICCV 2021, arXiv:2103.15679; for self-attention, which is the form after Transformer Interpretability Beyond Attention
Visualization, the same authors, CVPR 2021, arXiv:2012.09838.

    Ā_l = mean_h relu(∂y_c / ∂A_l ⊙ A_l)     weights that raise the score of class c, Eq. 5                   (1)
    R_l = R_{l-1} + Ā_l R_{l-1},  R_0 = I     all layers up to l, Eq. 6                                        (2)
"""

from __future__ import annotations

import torch
from torch import Tensor

from regard.core import Maps
from regard.insight.affinities import grown, layers, recorded
from regard.insight.targets import Target, explained
from regard.ops.precision import widened

NAME = "relevance"


def relevance(maps: Maps, returned: object, target: Target = None, only: str = "*") -> Maps:
    """Weights the attention of all layers with the gradient of a class: the places that speak for it.

        with regard.watch(model, keep_graph=True) as maps:
            scores = model(images)
        found = regard.relevance(maps, scores)  # of the predicted classes
        found["relevance"][0][:, 0]  # for the class token, over all positions
        cat = regard.relevance(maps, scores, target=281)

    The pass has to run in evaluation mode and with gradients, with `keep_graph=True`; it can be explained again, for
    other classes. Of a network that reads its class token, the row of this token counts, and `draw` draws it; its own
    column says nothing about the image. Of one that averages all positions, the mean of the rows.

    Args:
        maps: of `regard.watch` with `keep_graph=True`, one pass.
        returned: what the model returned in this pass.
        target: what is explained, as for `regard.gradcam`: a class, or one for each image; None takes each image's
            predicted class; or a function of what the model returned.
        only: as for `regard.rollout`.

    Shapes: maps `B h N N` or `B N N` -> `B N N`, zero or more, float32 or wider.

    Returns: one map, `"relevance"`, with axes `B Q K`, grids and tokens.

    Raises:
        LookupError: no key fits `only`.
        ValueError: there is no such attention, or its layers cannot be chained; the maps are not in the graph of
            gradients, or the score depends on none of them; `target` does not fit what the model returned.
    """
    found = layers(maps, only)
    cut = next((layer.key for layer in found if not layer.weights.requires_grad), None)
    if cut is not None:
        raise ValueError(
            f"{cut}: the map is not in the graph of gradients; watch(model, keep_graph=True), gradients and parameters "
            "or images that need them are needed"
        )
    with torch.enable_grad():  # the pass is in the graph, wherever this is called
        score = explained(returned, target, len(found[0].weights)).sum()
    if not score.requires_grad:
        raise ValueError(f"target={target!r}: the score does not depend on the maps")
    slopes = torch.autograd.grad(
        score, [layer.weights for layer in found], retain_graph=True, allow_unused=True, materialize_grads=True
    )
    if not any(bool(slope.any()) for slope in slopes):
        raise ValueError(f"target={target!r}: the score does not depend on the maps")
    total: Tensor | None = None
    for layer, slope in zip(found, slopes, strict=True):
        weights = layer.weights.detach()
        raised = layer.spread((widened(slope) * widened(weights)).relu().mean(1), still=0.0)
        before = torch.eye(raised.shape[-1], dtype=raised.dtype, device=raised.device)
        before = before.expand_as(raised) if total is None else grown(total, layer)
        total = before + raised @ before
    assert total is not None
    return recorded(NAME, total, found[-1], sums="")
