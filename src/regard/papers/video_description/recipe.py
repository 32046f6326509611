"""Recipe for sentences about clips by attention to their frames: MSR-VTT, MSVD, or a folder of one's own.

Describing Videos by Exploiting Temporal Structure. Yao et al. ICCV 2015, arXiv:1502.08029, Section 4: 26 frames of a
clip, Adadelta and a beam of 5, from memory; batches of 64 and the clip at 10 as released. The backbone is not trained,
GoogLeNet there and a network of timm's here; the paper's local features come from a network that was trained for action
recognition, and are trained along here.

The tiny variant trains the backbone along, on drawn clips (`data.drawn_events`) with sentences, whose frames show one
digit each: with others beside it, the order is not learned in so few steps.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from regard.backbones import IMAGENET
from regard.catalog.recipes import Claim
from regard.checks import positive
from regard.data import captioned_clips
from regard.data.drawn_events import DrawnEvents
from regard.papers.video_description.network import VideoDescription
from regard.training.captioning import Training, phases, start
from regard.training.recipe import Recipe

FRAMES, SIDE, LOCAL = 26, 224, 256
SMALL: dict[str, Any] = {
    "backbone": "convolutions",
    "local": 16,
    "embed": 32,
    "hidden": 64,
    "attention": 32,
    "dropout": 0.0,
}
CLAIM = Claim(
    measure="bleu_4",
    value=0.4192,
    data="MSVD",
    where="Table 1, local and global, from memory",
    unlike="features of GoogLeNet and of a network for actions",
)
TRAINING = Training(
    lr=1.0,
    epochs=20,
    batch=64,
    optimizer="adadelta",
    weight_decay=1e-4,
    clip=10.0,
    beam=5,
    longest=30,
    cut=30,
    claim=CLAIM,
    where="Section 4 from memory, and yaoli/arctic-capgen-vid",
)
QUICK = Training(lr=5e-3, epochs=18, batch=16, clip=1.0, trunk_lr=2.5e-3, beam=1, longest=16, least=1, where="tiny")
DRAWN: dict[str, Any] = {"frames": 4, "size": 24, "clutter": 0, "coloured": True}


def sentences(
    data: Path | None = None,
    *,
    tiny: bool = False,
    backbone: str = "resnet50",
    local: int = LOCAL,
    beam: int | None = None,
    least: int | None = None,
) -> Recipe:
    """Sentences about clips of MSR-VTT, of MSVD, or of another folder that `data.captioned_clips` reads.

    Args:
        data: the folder of the dataset.
        tiny: make the tiny variant.
        backbone: a network of timm's.
        local: channels of the local features; 0 has none.
        beam: the number of hypotheses, in place of the paper's.
        least: how often a word has to occur.

    Raises: ValueError for an option out of range, or without `data`; LookupError for an unknown backbone; the errors of
        reading the folder, which name the file.
    """
    chosen = QUICK if tiny else TRAINING
    chosen = replace(
        chosen,
        beam=chosen.beam if beam is None else positive("beam", beam),
        least=chosen.least if least is None else positive("least", least),
    )
    train: Any
    test: Any
    if tiny:
        train, test = DrawnEvents(480, **DRAWN).asked(), DrawnEvents(120, **DRAWN, part="test").asked()
        build, name, normalise = partial(VideoDescription, 3, **SMALL), "drawn events", ((0.2,) * 3, (0.25,) * 3)
    elif data is None:
        raise ValueError(
            f"data=None: a folder with {captioned_clips.WANTED} is needed (--data); --tiny trains on drawn clips"
        )
    else:
        found = captioned_clips.load(data, frames=FRAMES, size=SIDE, least=chosen.least, longest=chosen.cut)
        train, test = found.train, found.test
        build, name, normalise = partial(VideoDescription, 3, backbone=backbone, local=local), str(data), IMAGENET
    words = train.words
    build = partial(build, vocabulary=len(words))
    same = (beam, least, local) == (None, None, LOCAL)
    return Recipe(
        build=build,
        train=train,
        test=test,
        phases=phases(chosen, words, build, normalise=normalise),
        start=None if tiny else start,
        facts={"data": name, "words": len(words), "training": chosen.where},
        vocabulary=words,
        claim=CLAIM if same else None,
    )
