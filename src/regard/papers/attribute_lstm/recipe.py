"""Recipe for the captioner of attributes: the attributes are learned first, then the captions on top of them.

What Value Do Explicit High Level Concepts Have in Vision to Language Problems? Wu, Shen, Liu, Dick, van den Hengel.
CVPR 2016, arXiv:1506.01144, Section 4. The attributes are the 256 commonest words of the training captions; the VGG16
that finds them learns with momentum .9 from 1e-3. The captioner has widths of 256 and 512, and does not train the
attributes any more. The paper's rates of the captioner are not known to us: Adam at 4e-4 stands in. Whole images are
seen; boxes in the field `boxes` of a dataset are hypotheses of a network with `proposals`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

from regard.catalog.recipes import Claim
from regard.data.words import Words
from regard.papers.attribute_lstm.attributes import Attributes
from regard.papers.attribute_lstm.network import AttributeLSTM
from regard.papers.attribute_lstm.task import Name
from regard.training.captioning import QUICK, Training, recipe
from regard.training.recipe import Phase, Recipe

BACKBONE = "vgg16"
FINDS = "attributes.*"
TRAINING = Training(
    lr=4e-4,
    epochs=20,
    batch=100,
    clip=5.0,
    claim=Claim(
        measure="cider", value=0.94, data="COCO captions", where="Table 3, from memory", unlike="51 hypotheses an image"
    ),
    where="Section 4, from memory",
)


def att_lstm(
    data: Path | None = None,
    *,
    tiny: bool = False,
    backbone: str = BACKBONE,
    attributes: int = 256,
    beam: int | None = None,
    least: int | None = None,
) -> Recipe:
    """The captioner of attributes on COCO's captions, Karpathy's splits, Flickr8k or Flickr30k.

    Args:
        data: the folder of the captions and their images; the tiny variant has drawn scenes.
        tiny: make the tiny variant.
        backbone: the trunk of the attributes.
        attributes: their number at most; fewer where the captions have fewer words.
        beam: the number of hypotheses, in place of the authors'.
        least: how often a word has to occur, in place of the authors'.

    Raises: ValueError if `data` is None and `tiny` is false, or an option is out of range; the errors of reading.
    """
    small = partial(AttributeLSTM, backbone="convolutions", embed=48, hidden=96, dropout=0.0)
    make = partial(AttributeLSTM, backbone=backbone)
    base = recipe(data, tiny=tiny, make=make, small=small, training=TRAINING, quick=QUICK, beam=beam, least=least)
    words = base.vocabulary
    assert isinstance(words, Words)
    counts = dict(zip(words.tokens[4:], words.counts[4:], strict=True))
    named = Attributes.of(counts, most=attributes)
    made: Callable[..., nn.Module] = base.build
    plan = base.phases[-1].plan
    finds = replace(plan, optimizer="adam", epochs=6) if tiny else replace(
        plan, optimizer="sgd", options={"momentum": 0.9}, lr=1e-3, epochs=10, batch_size=50, weight_decay=5e-4
    )  # fmt: skip
    others = ("image.*", "words.*", "input.*", "state.*", "scores.*")
    return replace(
        base,
        build=partial(made, attributes=len(named)),
        phases=(
            Phase(name="attributes", task=Name(named), plan=finds, trains=(FINDS,)),
            Phase(name="caption", task=base.phases[-1].task, plan=replace(plan, rates={}), trains=others),
        ),
        class_names=named.names,
    )
