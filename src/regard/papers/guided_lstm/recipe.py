"""Recipe for gLSTM guided by the image itself, with sentences ranked by a Gaussian of their length.

Guiding the Long-Short Term Memory Model for Image Caption Generation. Jia, Gavves, Fernando, Tuytelaars. ICCV 2015,
arXiv:1509.04942. The guide of this recipe is the image's feature (img-gLSTM), so that a run captions any photograph by
itself; the guides of `guides` need the training captions beside it. Mean and deviation of the lengths of the training
captions are those of the Gaussian. The paper trains with RMSprop; its rate is not known to us, 4e-4 stands in.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from regard.catalog.recipes import Claim
from regard.checks import choice
from regard.ops.beam_search import PENALTIES, Penalty
from regard.papers.guided_lstm.network import GuidedLSTM
from regard.training.captioning import Training, recipe
from regard.training.recipe import Recipe

BACKBONE = "vgg16"
LENGTHS = ("none", "average", "min", "max", "gaussian")
TRAINING = Training(
    lr=4e-4,
    epochs=30,
    batch=100,
    optimizer="rmsprop",
    options={"alpha": 0.99},
    clip=5.0,
    beam=20,
    claim=Claim(
        measure="cider", value=0.8125, data="COCO captions", where="Table 3, from memory", unlike="another guide (emb)"
    ),
    where="Section 4, from memory",
)


def glstm(
    data: Path | None = None,
    *,
    tiny: bool = False,
    backbone: str = BACKBONE,
    lengths: str = "gaussian",
    beam: int | None = None,
    least: int | None = None,
) -> Recipe:
    """gLSTM on COCO's captions, Karpathy's splits, Flickr8k or Flickr30k; the tiny variant on drawn scenes.

    Args:
        data: the folder of the captions and their images.
        tiny: make the tiny variant.
        backbone: the trunk.
        lengths: how sentences of different lengths are ranked: "none", "average", "min", "max" or "gaussian".
        beam: the number of hypotheses, in place of the authors'.
        least: how often a word has to occur, in place of the authors'.

    Raises: ValueError if `data` is None and `tiny` is false, or an option is out of range; the errors of reading.
    """
    choice("lengths", lengths, LENGTHS)
    small = partial(GuidedLSTM, backbone="convolutions", embed=48, hidden=96, dropout=0.0)
    make = partial(GuidedLSTM, backbone=backbone)
    base = recipe(data, tiny=tiny, make=make, small=small, training=TRAINING, beam=beam, least=least)
    counts = torch.as_tensor(base.train.lengths, dtype=torch.float64) - 1  # type: ignore[attr-defined]
    fitted = (counts.mean().item(), counts.std().item())  # the end is counted, the start is not
    penalty: Penalty = (lengths, *fitted[: PENALTIES[lengths]]) if PENALTIES[lengths] else lengths  # type: ignore[assignment]
    phases = tuple(replace(phase, task=_ranked(phase.task, penalty)) for phase in base.phases)
    return replace(base, phases=phases, facts={**base.facts, "lengths": [lengths, *fitted]})


def _ranked(task: Any, penalty: Penalty) -> Any:
    return replace(task, penalty=penalty)
