"""What a network says of a photograph: a sentence with what is looked at for each word, or the answer to a question.

A network writes its sentence word by word (`start` and `step`, see `networks.captioner`), or says it at once:

    told(*seen, words: Words) -> list[str]           what it says, one text for each row of the axis L of its maps
    spelled(seen, sentences, vocabulary)             the texts of the words that it wrote, where they are not all in one
                                                     vocabulary: a list of texts for each sentence
    recognised(*seen) -> B A                         probabilities of the classes that it sees on the way, whose names
                                                     are `class_names`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regard.core import Attention, Maps, axes_of
from regard.data.bottom_up import Seen
from regard.data.words import Words
from regard.looking.regions import of_photograph as regions_of
from regard.metrics.words.tokens import tokenise
from regard.networks.captioner import decode
from regard.ops.words import END, SPECIAL
from regard.saved.opening import Network
from regard.viewing import draw
from regard.viewing.painting import bars
from regard.viewing.pictures import Picture
from regard.viewing.scaling import Scale
from regard.viewing.words import strip
from regard.watching import watch

CAPTIONING, ANSWERING = "captioning", "visual question answering"  # tasks of a label
BEAM, LONGEST = 3, 20
BEST = 5  # answers drawn
LISTED = 10  # classes drawn that a captioner recognises


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
    """Checks that a question is given to a network that answers it, and to no other.

    Raises: ValueError otherwise, and if the network reads sentences and no photographs.
    """
    if isinstance(network.vocabulary, Mapping) and "source" in network.vocabulary:
        raise ValueError(f"{network.name} reads sentences, not photographs: `regard translate` shows what it reads")
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
    """What the network says, the best sentence of a beam search, with a picture of each map over its words.

    Args:
        network: a captioner with its words.
        path: the photograph's file.
        image: it, to draw on, `3 H W` in 0..1.
        pixels: it, as the network sees it, uint8 `3 H W`.
        regions: a file of regions, for a network that sees these; None as for `looking.regions.of_photograph`.
        scale: as for `regard.draw`.

    Raises: ValueError if the words of the network are not known, or it sees what is not given.
    """
    seen, boxes = _seen(network, path, pixels, regions)
    named = network.vocabulary
    if isinstance(named, Mapping) and "words" not in named:
        return _labelled(network, seen, boxes, image, named, scale)
    words, model = _words(network), network.model
    drawn: list[Picture] = []
    if not hasattr(model, "step"):
        with torch.no_grad(), watch(model, foreign=False) as maps:
            said = model.told(*seen, words=words)  # type: ignore[operator]
        maps.words["L"] = [said]
        return Said(" ".join(said), draw(maps, image, boxes=boxes, scale=scale))
    if hasattr(model, "recognised"):
        drawn.append(_recognised(network, seen))
    best = decode(model, seen, beam=BEAM, longest=LONGEST)[0][0]
    if hasattr(model, "spelled"):
        said = model.spelled(seen, [best.words], network.vocabulary)[0]  # type: ignore[operator]
    else:
        said = [words.tokens[number] for number in best.words]
    maps = Maps()
    for name, map in best.maps.items():
        axes = axes_of(model, name, map[None]) if isinstance(model, Attention) else ""
        if axes:
            maps[name], maps.axes[name] = [map[None].cpu()], axes
    maps.words["L"] = [said]
    sure = torch.tensor(best.log_probabilities).exp()
    facts = f"{len(said)} words; the probability of each after those before it"
    drawn += draw(maps, image, boxes=boxes, scale=scale)
    written = [one for one, number in zip(said, best.words, strict=True) if number != END]
    return Said(" ".join(written), [*drawn, Picture("words", strip(sure, said, longest=1.0), facts)])


def _labelled(
    network: Network,
    seen: list[Tensor | None],
    boxes: Tensor | None,
    image: Tensor,
    named: Mapping[str, Sequence[str]],
    scale: Scale,
) -> Said:
    """What a network says that chooses among labels; a map that has the name of their vocabulary scores them."""
    with torch.no_grad(), watch(network.model, foreign=False) as maps:
        said = network.model.told(*seen, words=named)  # type: ignore[operator]
    drawn: list[Picture] = []
    classes: dict[int, str] = {}
    for name in [name for name in maps if name in named]:
        (values,) = maps.pop(name)[-1].float()
        best = values.topk(min(LISTED, len(values)))
        names = [named[name][i] for i in best.indices]
        drawn.append(
            Picture(name, strip(best.values, names), f"{len(names)} of {len(values)} labels; the score of each")
        )
        # The first labels name the parts of maps of as many.
        classes = classes or {int(i): named[name][i] for i in values.argsort(descending=True)}
    return Said(" ".join(said), [*drawn, *draw(maps, image, boxes=boxes, classes=classes, scale=scale)])


def _recognised(network: Network, seen: list[Tensor | None]) -> Picture:
    """The classes that the network sees on the way to its sentence, the most likely first."""
    with torch.no_grad():
        shares = network.model.recognised(*seen)[0].float()  # type: ignore[operator]
    names = network.class_names or tuple(f"class {i}" for i in range(len(shares)))
    best = shares.topk(min(LISTED, len(shares)))
    drawn = bars(best.values, longest=1.0, names=[names[i] for i in best.indices])
    return Picture("recognised", drawn, f"{len(best.values)} of {len(shares)} classes; the probability of each")


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
    with torch.no_grad(), watch(network.model, foreign=False) as maps:
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
    """The vocabulary of its sentences. Raises: ValueError if it is not known, as without the run's description."""
    known = network.vocabulary
    tokens = known.get("words", ()) if isinstance(known, Mapping) else known
    if not tokens:
        raise ValueError(f"{network.name}: its words are not known: give --weights with the run of `regard train`")
    return Words(tokens)


def _seen(
    network: Network, path: Path, pixels: Tensor, regions: Path | None
) -> tuple[list[Tensor | None], Tensor | None]:
    """What the network sees of a photograph, and the boxes of its regions, if it sees these.

    Raises: ValueError if the regions have other features than it needs, or no classes that it knows, or it sees
        something else; the errors of `looking.regions.of_photograph`.
    """
    model: Any = network.model
    fields: dict[str, Tensor | None] = {"image": network.prepared(pixels), "features_mask": None, "boxes_mask": None}
    boxes = None
    if {"features", "boxes"} & set(model.seen):
        found, source = regions_of(path, regions)
        kept = torch.arange(len(found.boxes))
        if "classes" in model.seen:
            classes = _classes(network, found, source)
            kept = torch.tensor([region for region, number in enumerate(classes) if number])
            if not len(kept):
                raise ValueError(
                    f"{source} has {', '.join(dict.fromkeys(found.classes))} in {path.name}: regions of a class that "
                    f"{network.name} knows are needed"
                )
            assert found.scores is not None
            fields |= {
                "classes": torch.tensor(classes)[kept][None],
                "scores": torch.from_numpy(found.scores.copy())[kept][None],
            }
        boxes, features = found.relative[kept], torch.from_numpy(found.features.copy())[kept]
        there = torch.ones(1, len(boxes), dtype=torch.bool)
        fields |= {"features": features[None], "boxes": boxes[None], "features_mask": there, "boxes_mask": there}
        width = getattr(model, "channels", features.shape[1])
        if "features" in model.seen and width != features.shape[1]:
            raise ValueError(f"{source} has {features.shape[1]} features a region: {network.name} needs {width}")
    missing = [name for name in model.seen if name not in fields]
    if missing:
        raise ValueError(f"{network.name} sees {missing[0]}, which a photograph alone does not give")
    return [fields[name] for name in model.seen], boxes


def _classes(network: Network, found: Seen, source: str) -> list[int]:
    """The number of the class of each region, from 1; 0 for a class that the network does not know.

    Raises: ValueError if the regions have no classes, or those of the network are not known.
    """
    if not found.classes:
        raise ValueError(f"{source} has no classes of its regions: the columns classes and scores are needed too")
    known = network.vocabulary
    if not isinstance(known, Mapping) or "classes" not in known:
        raise ValueError(f"{network.name}: its classes are not known: give --weights with the run of `regard train`")
    numbers = {name: number for number, name in enumerate(known["classes"][len(SPECIAL) :], 1)}
    return [numbers.get(name, 0) for name in found.classes]
