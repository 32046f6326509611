"""Sentences with slots: which words of a caption name an object that is there, as samples for training.

A word that names an object of the image is visual: its class is read as the word before the next, and a region of the
class is its target. Every other word, and every word with `visual=False`, is textual.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from regard.data.batches import Batch, padded
from regard.data.object_names import ObjectNames
from regard.data.words import Words
from regard.ops.seeds import mixed

FIELDS = ("boxes", "classes", "scores", "objects", "object_classes", "words", "own", "of_class", "plural", "names")


@dataclass(frozen=True)
class Described:
    """An image with its objects, its regions and its captions.

    Args:
        name: the name of the image.
        image: reads the image, `C H W`.
        objects: boxes of the true objects, from 0 to 1, `M 4`.
        object_classes: their classes, from 1, `M`.
        boxes, classes, scores: of the regions that a detector found; the objects themselves where there is none.
        captions: the tokens of each.
    """

    name: str
    image: Callable[[], Tensor]
    objects: Tensor
    object_classes: Tensor
    boxes: Tensor
    classes: Tensor
    scores: Tensor
    captions: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Sentence:
    """The numbers of a caption, each with the start and the end.

    Attributes:
        words: as they are read: V + k - 1 for an object of class k.
        own: each as a textual word; of a name of several words the first.
        of_class, plural, names: of visual words; 0 for textual ones. Singular is 1, plural 2.
    """

    words: tuple[int, ...]
    own: tuple[int, ...]
    of_class: tuple[int, ...]
    plural: tuple[int, ...]
    names: tuple[int, ...]


def sentence(
    tokens: Sequence[str],
    words: Words,
    names: ObjectNames,
    present: Sequence[int],
    *,
    longest: int | None = None,
    visual: bool = True,
) -> Sentence:
    """A caption as numbers.

    Args:
        tokens: its words.
        words, names: the vocabularies.
        present: the classes of the objects in the image.
        longest: the number of words after which it is cut.
        visual: False makes every word textual.
    """
    mentions = {one.first: one for one in names.mentions(tokens, set(present))} if visual else {}
    start, *numbers, end = words.encode(tokens)
    rows = [(start, start, 0, 0, 0)]
    at = 0
    while at < len(tokens) and (longest is None or len(rows) <= longest):
        mention = mentions.get(at)
        if mention is None:
            rows.append((numbers[at], numbers[at], 0, 0, 0))
            at += 1
        else:
            read = len(words) + mention.of_class - 1
            rows.append((read, numbers[at], mention.of_class, 1 + mention.plural, mention.name))
            at += mention.length
    rows.append((end, end, 0, 0, 0))
    return Sentence(*(tuple(column) for column in zip(*rows, strict=True)))


class Slotted(Dataset[Mapping[str, Any]]):
    """The captions of images with slots: a sample for each caption, or for each image.

    Args:
        images: the images.
        words, names: the vocabularies.
        each: a sample for each caption, as for training; False: for each image, with its first caption.
        visual: False makes every word textual.
        longest: the number of words after which captions are cut.

    Attributes:
        lengths: the number of words of each sample.

    Raises: ValueError if an image has no caption or no region.
    """

    def __init__(
        self,
        images: Sequence[Described],
        words: Words,
        names: ObjectNames,
        *,
        each: bool = True,
        visual: bool = True,
        longest: int | None = None,
    ) -> None:
        self.images, self.words, self.names = list(images), words, names
        for one in self.images:
            if not one.captions:
                raise ValueError(f"captions: the image {one.name!r} has none")
            if not len(one.boxes):
                raise ValueError(f"boxes: the image {one.name!r} has no region")
        self.rows = [(i, k) for i, one in enumerate(self.images) for k in range(len(one.captions) if each else 1)]
        self.sentences = [
            sentence(
                self.images[i].captions[k],
                words,
                names,
                self.images[i].object_classes.tolist(),
                longest=longest,
                visual=visual,
            )
            for i, k in self.rows
        ]
        self.lengths = [len(one.words) for one in self.sentences]

    @property
    def digest(self) -> str:
        """A digest of names, captions and regions."""
        facts: list[str] = [repr(self.words), repr(self.names)]
        for one in self.images:
            facts += [one.name, repr(one.boxes.tolist()), repr(one.classes.tolist()), repr(one.scores.tolist())]
        return f"{mixed(*facts, *map(repr, self.sentences)) % 16**8:08x}"

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = self.images[self.rows[index][0]]
        found = self.sentences[index]
        return {
            "image": image.image(),
            "boxes": image.boxes,
            "classes": image.classes,
            "scores": image.scores,
            "objects": image.objects,
            "object_classes": image.object_classes,
            **{field: torch.tensor(getattr(found, field)) for field in ("words", "own", "of_class", "plural", "names")},
            "references": [list(caption) for caption in image.captions],
            "name": image.name,
        }

    def collate_fn(self, several: Sequence[Mapping[str, Any]]) -> Batch:
        """Pads every field of regions, objects and words; `boxes_mask` and `words_mask` say what is padding."""
        return padded(several, fields=dict.fromkeys(FIELDS, 0))
