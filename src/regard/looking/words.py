"""What a network says of a photograph: a sentence with what is looked at for each word, or the answer to a question."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regard.core import Attention, Maps, axes_of, watch
from regard.data.bottom_up import regions_of
from regard.data.words import Words
from regard.metrics.words.tokens import tokenise
from regard.networks.captioner import decode
from regard.saved.opening import Network
from regard.viewing import draw
from regard.viewing.painting import bars
from regard.viewing.pictures import Picture
from regard.viewing.scaling import Scale
from regard.viewing.words import strip

CAPTIONING, ANSWERING = "captioning", "visual question answering"  # tasks of a label
BEAM, LONGEST = 3, 20
BEST = 5  # answers drawn


@dataclass(frozen=True)
class Said:
    """What a network says of one photograph.

    Args:
        text: the sentence, or the most likely answers with their probabilities.
        pictures: what was looked at.
    """

    text: str
    pictures: list[Picture]


def speaks(network: Network) -> bool:
    """Whether it writes sentences about what it sees, or answers questions about it."""
    return network.system and bool({CAPTIONING, ANSWERING} & set(_tasks(network))) and hasattr(network.model, "seen")


def check_question(network: Network, question: str | None) -> None:
    """Checks that a question is given to a network that answers it, and to no other. Raises: ValueError otherwise."""
    asked = speaks(network) and CAPTIONING not in _tasks(network)
    if asked and not question:
        raise ValueError(f"{network.name} answers questions: give one, --ask 'how many dogs are there?'")
    if question is not None and not asked:
        raise ValueError(f"question={question!r}: {network.name} answers no questions")


def of_photograph(
    network: Network,
    path: Path,
    image: Tensor,
    pixels: Tensor,
    question: str | None,
    regions: str | Path | None,
    scale: Scale,
) -> Said:
    """What the network says of a photograph: `answer` where there is a question, else `caption`."""
    file = None if regions is None else Path(regions)
    if question is None:
        return caption(network, path, image, pixels, regions=file, scale=scale)
    return answer(network, path, image, pixels, question, regions=file, scale=scale)


def caption(network: Network, path: Path, image: Tensor, pixels: Tensor, *, regions: Path | None, scale: Scale) -> Said:
    """The best sentence of a beam search, with a picture of each map over its words.

    Args:
        network: a captioner with its words.
        path: the photograph's file.
        image: it, to draw on, `3 H W` in 0..1.
        pixels: it, as the network sees it, uint8 `3 H W`.
        regions: a file of regions, for a network that sees these; see `data.bottom_up`.
        scale: as for `regard.draw`.

    Raises: ValueError if the words of the network are not known, or it sees what is not given.
    """
    seen, boxes = _seen(network, path, pixels, regions)
    words = _words(network)
    best = decode(network.model, seen, beam=BEAM, longest=LONGEST)[0][0]
    said = [words.tokens[number] for number in best.words]
    maps = Maps()
    for name, map in best.maps.items():
        axes = axes_of(network.model, name, map[None]) if isinstance(network.model, Attention) else ""
        if axes:
            maps[name], maps.axes[name] = [map[None].cpu()], axes
    maps.words["L"] = [said]
    sure = torch.tensor(best.log_probabilities).exp()
    facts = f"{len(said)} words; the probability of each after those before it"
    drawn = draw(maps, image, boxes=boxes, scale=scale)
    return Said(" ".join(words.decode(best.words)), [*drawn, Picture("words", strip(sure, said, longest=1.0), facts)])


def answer(
    network: Network,
    path: Path,
    image: Tensor,
    pixels: Tensor,
    question: str,
    *,
    regions: Path | None,
    scale: Scale,
) -> Said:
    """The most likely answers to a question, and where the network looks for them; the arguments as for `caption`.

    Raises: ValueError as `caption`, and if the question has no words.
    """
    words = _words(network)
    tokens = tokenise(question)
    if not tokens:
        raise ValueError(f"question={question!r}: a question with words is needed")
    unknown = [token for token in tokens if token not in words]
    asked = torch.tensor([words.encode(tokens)[1:-1]])
    seen, boxes = _seen(network, path, pixels, regions)
    with torch.no_grad(), watch(network.model) as maps:
        scores = network.model(*seen, asked, torch.ones_like(asked, dtype=torch.bool))[0].float().sigmoid()
    names = network.class_names or tuple(f"answer {i}" for i in range(len(scores)))
    best = scores.topk(min(BEST, len(scores)))
    listed = ", ".join(f"{names[i]} ({100 * float(p):.0f} %)" for i, p in zip(best.indices, best.values, strict=True))
    drawn = bars(best.values, longest=1.0, names=[names[i] for i in best.indices])
    facts = f"{len(best.values)} of {len(scores)} answers; the probability that each is right"
    if unknown:
        facts += f"; the network does not know the word {', '.join(unknown)}"
    return Said(listed, [Picture("answers", drawn, facts), *draw(maps, image, boxes=boxes, scale=scale)])


def _tasks(network: Network) -> tuple[str, ...]:
    return () if network.entry is None else network.entry.tasks


def _words(network: Network) -> Words:
    """The vocabulary. Raises: ValueError if it is not known, as of a network that was not opened from its run."""
    if not network.vocabulary or not isinstance(network.vocabulary, tuple):
        raise ValueError(f"{network.name}: its words are not known: give --weights with the run of `regard train`")
    return Words(network.vocabulary)


def _seen(
    network: Network, path: Path, pixels: Tensor, regions: Path | None
) -> tuple[list[Tensor | None], Tensor | None]:
    """What the network sees of a photograph, and the boxes of its regions, if it sees these.

    Raises: ValueError if it sees regions and no file is given, the file has other features, or it sees something else.
    """
    model: Any = network.model
    fields: dict[str, Tensor | None] = {"image": network.prepared(pixels), "features_mask": None, "boxes_mask": None}
    boxes = None
    if {"features", "boxes"} & set(model.seen):
        if regions is None:
            raise ValueError(
                f"{network.name} sees regions: give --regions, a file that `regard regions` writes for {path.name}"
            )
        features, boxes = regions_of(regions, path.name)
        there = torch.ones(1, len(boxes), dtype=torch.bool)
        fields |= {"features": features[None], "boxes": boxes[None], "features_mask": there, "boxes_mask": there}
        width = getattr(model, "channels", features.shape[1])
        if "features" in model.seen and width != features.shape[1]:
            raise ValueError(f"{regions} has {features.shape[1]} features a region: {network.name} needs {width}")
    missing = [name for name in model.seen if name not in fields]
    if missing:
        raise ValueError(f"{network.name} sees {missing[0]}, which a photograph alone does not give")
    return [fields[name] for name in model.seen], boxes
