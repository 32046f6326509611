"""Recipes for Show, Attend and Tell, and for att2in.

Show, Attend and Tell. Xu et al. ICML 2015, arXiv:1502.03044, Section 4.3 and 5.2: COCO with Adam, batches of 64, 10,000
words, features of VGG that are not trained; here of ResNet-101, as timm has no map of 14 × 14 of VGG. The rate, 0.0002,
is that of the released Adam, and 25 epochs are chosen here, since the release stops early. att2in: Self-critical
Sequence Training for Image Captioning. Rennie et al. CVPR 2017, arXiv:1612.00563, Section 5, before its reinforcement:
Adam at 0.0005, which falls by 0.8 every 3 epochs; clip and batch are those of ruotianluo/ImageCaptioning.pytorch.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from regard.catalog.recipes import Claim
from regard.papers.show_attend_tell.network import Att2in, ShowAttendTell
from regard.papers.show_attend_tell.task import HardCaption
from regard.tasks.caption import Caption
from regard.training.captioning import Training, recipe
from regard.training.recipe import Phase, Recipe

SOFT = Training(
    lr=2e-4,
    epochs=25,
    batch=64,
    clip=10.0,
    beam=5,
    claim=Claim(
        measure="bleu_4",
        value=0.243,
        data="COCO captions",
        where="Table 1, soft, from memory",
        unlike="features of VGG",
    ),
    where="Section 4.3 and kelvinxu/arctic-captions",
)
HARD = replace(
    SOFT,
    claim=Claim(
        measure="bleu_4", value=0.25, data="COCO captions", where="Table 1, hard, from memory", unlike="features of VGG"
    ),
)
ATT2IN = Training(
    lr=5e-4,
    epochs=30,
    batch=50,
    clip=0.1,
    falls=(3, 0.8),
    beam=2,
    claim=Claim(
        measure="cider",
        value=1.089,
        data="COCO captions",
        where="README of ruotianluo/ImageCaptioning.pytorch",
        unlike="bottom-up features",
    ),
    where="Section 5 and ruotianluo/ImageCaptioning.pytorch",
)
TINY: dict[str, Any] = {"backbone": "convolutions", "embed": 48, "hidden": 96, "attention": 48, "dropout": 0.0}


def show_attend_tell(
    data: Path | None = None,
    *,
    tiny: bool = False,
    backbone: str = "resnet101",
    hard: bool = False,
    beam: int | None = None,
    least: int | None = None,
) -> Recipe:
    """Show, Attend and Tell on COCO's captions, Karpathy's splits, Flickr8k or Flickr30k; tiny, on drawn scenes."""
    make = partial(ShowAttendTell, backbone=backbone, output_stride=16, hard=hard)
    small = partial(ShowAttendTell, **TINY, attention_layers=1, initial_layers=1, hard=hard)
    made = recipe(data, tiny=tiny, make=make, small=small, training=HARD if hard else SOFT, beam=beam, least=least)
    return replace(made, phases=tuple(map(_hardened, made.phases))) if hard else made


def att2in(
    data: Path | None = None,
    *,
    tiny: bool = False,
    backbone: str = "resnet101",
    beam: int | None = None,
    least: int | None = None,
) -> Recipe:
    """att2in on COCO's captions, Karpathy's splits, Flickr8k or Flickr30k; the tiny variant on drawn scenes."""
    make, small = partial(Att2in, backbone=backbone, output_stride=16), partial(Att2in, **TINY)
    return recipe(data, tiny=tiny, make=make, small=small, training=ATT2IN, beam=beam, least=least)


def _hardened(phase: Phase) -> Phase:
    task = phase.task
    assert isinstance(task, Caption)
    return replace(phase, task=HardCaption(task.words, beam=task.beam, longest=task.longest))
