"""Translating a sentence with trained weights, and drawing what was read for every word that was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from regard.checks import positive
from regard.data.sentence_pairs import LONGEST, joined, tokens
from regard.data.words import Words
from regard.networks.captioner import Captioner, decode
from regard.ops.beam_search import Penalty
from regard.saved import description
from regard.saved.models import load
from regard.viewing.alignment import alignment
from regard.viewing.pictures import Picture
from regard.viewing.scaling import Colouring


@dataclass(frozen=True)
class Translator:
    """A trained translator with its vocabularies.

    Args:
        model: the network, in evaluation mode.
        source, target: its vocabularies.
        lower: whether it reads lower case.
    """

    model: nn.Module
    source: Words
    target: Words
    lower: bool = False


@dataclass(frozen=True)
class Translation:
    """A translated sentence.

    Args:
        text: the translation.
        read: the words of the source, the end last.
        written: the words of the translation; the end last, if it came.
        score: the sum of the log-probabilities of its words, after the penalty.
        maps: name -> what was read for each word: `L T`, or `L N h T` of N layers with h heads.
        unknown: words of the source that the vocabulary lacks.
    """

    text: str
    read: tuple[str, ...]
    written: tuple[str, ...]
    score: float
    maps: Mapping[str, Tensor]
    unknown: tuple[str, ...] = ()


def open_translator(weights: Path) -> Translator:
    """Opens the weights of a translator, a file or the folder of a run of `regard train`.

    Raises: FileNotFoundError if there is no such file; ValueError if it has no description, or is of a network that
        does not translate; the errors of `regard.load`.
    """
    path = description.located(Path(weights))
    found = description.read(path)
    words = None if found is None else found.vocabulary
    if found is None or not isinstance(words, Mapping) or words.keys() != {"source", "target"}:
        kind = "weights without a description" if found is None else found.name
        raise ValueError(f"{path} has {kind}: weights of a translator are needed, as `regard train rnn-search` writes")
    source, target = (Words(tuple(words[side])) for side in ("source", "target"))
    return Translator(load(path), source, target, bool(found.options.get("lower", False)))


def translate(
    translator: Translator, text: str, *, beam: int = 5, longest: int = LONGEST, penalty: Penalty = "average"
) -> list[Translation]:
    """Translates a sentence: the hypotheses of a beam search, best first.

    Args:
        translator: from `open_translator`.
        text: the sentence.
        beam: the number of hypotheses; 1 is greedy.
        longest: the most words of a translation, the end counted.
        penalty: as for `ops.beam_search.beam_search`.

    Raises: ValueError if the text has no words, or more than 100, or an argument is out of range.
    """
    positive("beam", beam)
    words = tokens(text.lower() if translator.lower else text)
    if not 0 < len(words) <= LONGEST:
        raise ValueError(f"text has {len(words)} words: 1 to {LONGEST} are needed")
    model = translator.model
    assert isinstance(model, Captioner)
    source = torch.tensor([translator.source.encode(words)[1:]])
    mask = torch.ones_like(source, dtype=torch.bool)
    end = translator.target.tokens[2]
    found = decode(model, (source, mask), beam=beam, longest=longest, penalty=penalty)[0]
    translations = []
    for one in found:
        written = tuple(translator.target.decode(one.words))
        translations.append(
            Translation(
                text=joined(written),
                read=(*words, end),
                written=(*written, end) if one.finished else written,
                score=one.score,
                maps=one.maps,
                unknown=tuple(word for word in words if word not in translator.source),
            )
        )
    return translations


def drawn(found: Translation, *, layer: int | None = None, head: int | None = None) -> list[Picture]:
    """Draws the alignment of a translation, one picture for each layer that looks at the source.

    Args:
        found: a translation.
        layer: the layer that is drawn, from 0, of a network with several; None for all.
        head: the head that is drawn, from 0; None for the mean of all.

    Raises: ValueError if there is nothing to draw, no such layer or no such head.
    """
    pictures = []
    for name, map in found.maps.items():
        several = [map[None]] if map.ndim == 2 else [one[None] for one in map.permute(1, 2, 0, 3)]
        if layer is not None and not 0 <= layer < len(several):
            raise ValueError(f"layer={layer!r}: a number from 0 to {len(several) - 1} is needed")
        for number, look in enumerate(several):
            if layer is not None and number != layer:
                continue
            axes = ("B", "L", "T") if look.ndim == 3 else ("B", "h", "L", "T")
            title = name if len(several) == 1 else f"{name}, layer {number}"
            picture = alignment(title, look, axes, found.written, found.read, Colouring("common", map.dtype), head=head)
            pictures += [] if picture is None else [picture]
    if not pictures:
        raise ValueError("nothing to draw: the network does not attend to the source")
    return pictures
