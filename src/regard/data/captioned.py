"""Photographs with captions: what the readers of COCO's, Karpathy's and Flickr's files share.

A training dataset has one sample for each caption, a test dataset one for each image. A sample has

    image        float `3 S S`: the middle square of the photograph, 0..1
    words        int64 `L`: one caption between start and end
    references   all captions of the image, as tokens; stays a list in a batch
    name         of the file
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from regard.checks import positive
from regard.data import KEEP_BYTES
from regard.data.batches import Batch, Sample, padded
from regard.data.images import quiet, read, shown
from regard.data.texts import quoted
from regard.data.words import Words
from regard.metrics.words.tokens import tokenise
from regard.ops.words import PAD


@dataclass(frozen=True)
class Described:
    """A photograph and its captions, as tokens.

    Args:
        path: the file.
        name: how it is called in the dataset.
        captions: one or more.
    """

    path: Path
    name: str
    captions: tuple[tuple[str, ...], ...]


class Captioned(Dataset[Sample]):
    """A dataset of photographs with captions.

    Args:
        photos: the photographs.
        words: the vocabulary.
        size: height and width of the images, in pixels.
        longest: the number of words after which a caption is cut.
        each: one sample for each caption; otherwise one for each photograph, with its first caption as `words`.

    Attributes:
        lengths: the number of words of each sample, start and end counted.
    """

    def __init__(self, photos: Sequence[Described], words: Words, *, size: int, longest: int, each: bool) -> None:
        self.photos, self.words = list(photos), words
        self.size, self.longest = positive("size", size), positive("longest", longest)
        self.each = each
        self.places = [
            (number, caption)
            for number, photo in enumerate(self.photos)
            for caption in range(len(photo.captions) if each else 1)
        ]
        self.lengths = [2 + min(len(self.photos[number].captions[caption]), longest) for number, caption in self.places]
        self._kept: dict[int, Tensor] | None = {} if len(self.photos) * 3 * size**2 <= KEEP_BYTES else None

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> Sample:
        number, caption = self.places[i]
        photo = self.photos[number]
        return {
            "image": self.pixels(number).float() / 255,
            "words": torch.tensor(self.words.encode(photo.captions[caption], self.longest)),
            "references": [list(one) for one in photo.captions],
            "name": photo.name,
        }

    def images(self) -> Captioned:
        """One sample a photograph, in place of one a caption."""
        return Captioned(self.photos, self.words, size=self.size, longest=self.longest, each=False)

    def pixels(self, number: int) -> Tensor:
        """The image of a photograph, uint8 `3 S S`. Raises: UnreadableImage if its file cannot be read."""
        if self._kept is not None and number in self._kept:
            return self._kept[number]
        with quiet():
            found = read(self.photos[number].path, self.size).pixels
        if self._kept is not None:
            self._kept[number] = found
        return found

    @staticmethod
    def collate_fn(several: Sequence[Sample]) -> Batch:
        """A batch whose captions are padded, with `words_mask`."""
        return padded(several, fields={"words": PAD})

    @cached_property
    def digest(self) -> str:
        """A digest of names, sizes of files, captions and words."""
        content = hashlib.blake2b(digest_size=16)
        for photo in self.photos:
            content.update(repr((photo.name, photo.path.stat().st_size, photo.captions)).encode())
        content.update(repr((self.words.tokens, self.size, self.longest, self.each)).encode())
        return content.hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        """The state for worker processes, which keep images of their own."""
        return {**self.__dict__, "_kept": None if self._kept is None else {}}


def assembled(
    train: Sequence[Described], test: Sequence[Described], *, image_size: int, least: int, longest: int
) -> tuple[Captioned, Captioned]:
    """The training dataset, a sample for each caption, and the test dataset, a sample for each image.

    The vocabulary is that of the training captions.

    Args:
        train, test: the photographs.
        image_size: height and width of the images, in pixels.
        least: how often a word has to occur.
        longest: the number of words after which a caption is cut.

    Raises: ValueError if no word occurs often enough, or an argument is not positive.
    """
    words = Words.of((caption for photo in train for caption in photo.captions), least=least)
    return (
        Captioned(train, words, size=image_size, longest=longest, each=True),
        Captioned(test, words, size=image_size, longest=longest, each=False),
    )


def tokens_of(caption: object, where: str) -> tuple[str, ...]:
    """The tokens of a caption; none where it holds punctuation alone.

    Raises: ValueError if it is no text, or empty.
    """
    if not isinstance(caption, str) or not caption.strip():
        raise ValueError(f"{where}: a caption is needed, not {quoted(caption)}")
    return tuple(tokenise(caption))


def described(path: Path, name: str, captions: Sequence[tuple[str, ...]], where: str) -> Described:
    """A photograph with the captions that have words.

    Raises: ValueError if there is none; FileNotFoundError if there is no such image.
    """
    kept = tuple(caption for caption in captions if caption)
    if not kept:
        raise ValueError(f"{where}: image {quoted(name)} has no caption")
    if not path.is_file():
        raise FileNotFoundError(f"{where} names the image {quoted(name)}, and there is no file {shown(path)}")
    return Described(path, name, kept)
