"""Recipe for gLSTM guided by the image or by captions of images like it, with sentences ranked by their length.

Guiding the Long-Short Term Memory Model for Image Caption Generation. Jia, Gavves, Fernando, Tuytelaars. ICCV 2015,
arXiv:1509.04942. Guides are the image's feature (img-gLSTM), the captions of training images like it (ret-gLSTM) or the
image's place in a space of images and captions (emb-gLSTM). The latter two are made from the features of the frozen
trunk before the captioner learns, and are kept with its weights, so that a run captions any photograph by itself; the
trunk of the tiny variant is not trained beforehand, and learns in a phase without a guide first. Mean and deviation of
the lengths of the training captions are those of the Gaussian. The paper trains with RMSprop; its rate is not known to
us, 4e-4 stands in.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regard.catalog.recipes import Claim
from regard.checks import choice, positive
from regard.data.augmenting import Centre
from regard.data.batches import Normalisation
from regard.ops.beam_search import PENALTIES, Penalty
from regard.papers.guided_lstm.guides import texts
from regard.papers.guided_lstm.network import GuidedLSTM
from regard.training.captioning import SEEN, Seen, Training, behind_trunk, recipe
from regard.training.evaluate import batches, evaluating
from regard.training.recipe import Phase, Recipe

BACKBONE = "vgg16"
GUIDES = ("image", "retrieval", "cca")
SPACE, NEAREST = 200, 15  # dimensions of the common space, and images whose captions are averaged
TINY_SPACE, TINY_EPOCHS = 24, 4  # epochs of each phase, where there are two
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
    guide: str = "image",
    space: int | None = None,
    nearest: int = NEAREST,
    lengths: str = "gaussian",
    beam: int | None = None,
    least: int | None = None,
) -> Recipe:
    """gLSTM on COCO's captions, Karpathy's splits, Flickr8k or Flickr30k; the tiny variant on drawn scenes.

    Args:
        data: the folder of the captions and their images.
        tiny: make the tiny variant.
        backbone: the trunk.
        guide: "image", "retrieval" or "cca".
        space: dimensions of the common space of "cca"; None for 200, or 24 of the tiny variant.
        nearest: images whose captions are averaged by "retrieval".
        lengths: how sentences of different lengths are ranked: "none", "average", "min", "max" or "gaussian".
        beam: the number of hypotheses, in place of the authors'.
        least: how often a word has to occur, in place of the authors'.

    Raises: ValueError if `data` is None and `tiny` is false, or an option is out of range; the errors of reading.
    """
    choice("lengths", lengths, LENGTHS), choice("guide", guide, GUIDES), positive("nearest", nearest)
    space = (TINY_SPACE if tiny else SPACE) if space is None else positive("space", space)
    small = partial(GuidedLSTM, backbone="convolutions", embed=48, hidden=96, dropout=0.0)
    make = partial(GuidedLSTM, backbone=backbone)
    base = recipe(data, tiny=tiny, make=make, small=small, training=TRAINING, beam=beam, least=least)
    counts = torch.as_tensor(base.train.lengths, dtype=torch.float64) - 1  # type: ignore[attr-defined]
    fitted = (counts.mean().item(), counts.std().item())  # the end is counted, the start is not
    penalty: Penalty = (lengths, *fitted[: PENALTIES[lengths]]) if PENALTIES[lengths] else lengths  # type: ignore[assignment]
    phases = tuple(replace(phase, task=_ranked(phase.task, penalty)) for phase in base.phases)
    base = replace(base, phases=phases, facts={**base.facts, "lengths": [lengths, *fitted], "guide": guide})
    return base if guide == "image" else _guided(base, guide, space, nearest, tiny=tiny)


def _guided(base: Recipe, guide: str, space: int, nearest: int, *, tiny: bool) -> Recipe:
    """The recipe with guides that are made from the training images and their captions."""
    images = base.train.images()  # type: ignore[attr-defined]
    captions = (
        [images[i]["references"] for i in range(len(images))] if tiny else [one.captions for one in images.photos]
    )
    made: Any = base.build
    if guide == "retrieval":
        width = texts(captions).shape[1]
        build = partial(made, guide=width, source=guide, known=len(captions), count=nearest)
    else:
        build = partial(made, guide=space, source=guide)
    first, *others = base.phases
    fit = partial(
        fit_guides,
        images=images if tiny else Seen(images, Centre(SEEN)),
        captions=captions,
        normalise=first.plan.normalise,
    )
    if tiny:
        plan = replace(first.plan, epochs=TINY_EPOCHS)
        phases: list[Phase] = [
            replace(first, plan=plan, before=silence),
            Phase(
                name="guided", task=first.task, plan=replace(plan, rates={}), trains=behind_trunk(build)[0], before=fit
            ),
        ]
    else:
        phases = [replace(first, before=fit), *others]
    return replace(base, build=build, phases=tuple(phases))


def silence(model: nn.Module) -> None:
    """Makes the guides zero, so that the trunk learns without them."""
    assert isinstance(model, GuidedLSTM) and model.guiding is not None
    for buffer in model.guiding.buffers():
        buffer.zero_()


def fit_guides(model: nn.Module, *, images: Any, captions: Any, normalise: Normalisation | None) -> None:
    """Makes the guides from the features of the training images and their captions."""
    assert isinstance(model, GuidedLSTM) and model.guiding is not None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with evaluating(model, device):
        several = batches(images, range(len(images)), device=device, normalise=normalise)
        features = torch.cat([model.feature(batch["image"]) for batch in several])
        model.guiding.fit(features, captions)


def _ranked(task: Any, penalty: Penalty) -> Any:
    return replace(task, penalty=penalty)
