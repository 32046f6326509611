"""Pairs of sentences in two languages, as a dataset for translators, and the tokens of a sentence.

A token is a word with its inner apostrophes and hyphens, a number with its inner points, or one sign of punctuation.
`joined` writes tokens as a text again: that of 98 of 100 sentences of Multi30k, German and English, is the given one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

import torch

from regard.checks import flag, positive
from regard.data.batches import Batch, Sample, padded
from regard.data.words import Words
from regard.ops.seeds import mixed
from regard.ops.words import PAD

Pair = tuple[str, str]
LONGEST = 100  # words of a sentence that are read at most; longer ones are cut

_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*(?!\w)|\w+(?:['’\-]\w+)*|[^\w\s]")
_BEFORE = frozenset(".,;:!?)]}%…”’")  # follow what stands before them without a space
_AFTER = frozenset("([{$€£„“#")  # are followed without a space
_BETWEEN = frozenset("/-–—&")
_EITHER = frozenset("\"'")  # open and close in turn


def tokens(text: str) -> list[str]:
    """The tokens of a sentence."""
    return _TOKEN.findall(text)


def joined(words: Sequence[str]) -> str:
    """Writes tokens as a text, with spaces where they belong."""
    text, glue, opened = "", True, set[str]()
    for word in words:
        closes = word in opened or (word == "“" and "„" in opened)
        text += word if glue or word in _BEFORE or closes else f" {word}"
        glue = (word in _AFTER or word in _EITHER) and not closes
        if word in _EITHER or word in ("„", "“"):
            opened ^= {"„" if word == "“" and closes else word}
    return text


class SentencePairs:
    """Pairs of sentences as a map-style dataset.

    A sample has `source`, the numbers of the source words and the end, `words`, those of the target sentence between
    start and end, `references`, the target text in a list, and `name`, the place of the pair.

    Args:
        pairs: the source and the target text of each pair.
        source, target: the vocabularies.
        lower: reads all texts in lower case.
        longest: words after which a sentence is cut, the end not counted.

    Attributes:
        lengths: words of the longer side of each pair.
        digest: of the texts.

    Raises: ValueError if there is no pair, a sentence has no words, or an argument is out of range.
    """

    def __init__(
        self, pairs: Sequence[Pair], source: Words, target: Words, *, lower: bool = False, longest: int = LONGEST
    ) -> None:
        if not pairs:
            raise ValueError("pairs: there are none; at least one is needed")
        flag("lower", lower)
        positive("longest", longest)
        self.pairs = tuple((one.lower(), other.lower()) if lower else (one, other) for one, other in pairs)
        self.source, self.target, self.longest = source, target, longest
        split = [(tokens(one), tokens(other)) for one, other in self.pairs]
        for i, sides in enumerate(split):
            for side, words in zip(("source", "target"), sides, strict=True):
                if not words:
                    raise ValueError(f"pair {i}: the {side} sentence has no words")
        self._source = [source.encode(one, longest)[1:] for one, _ in split]
        self._target = [target.encode(other, longest) for _, other in split]
        self.lengths = [max(map(len, sides)) for sides in zip(self._source, self._target, strict=True)]

    @cached_property
    def digest(self) -> str:
        return f"{mixed(*(text for pair in self.pairs for text in pair)) % 16**8:08x}"

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        return {
            "source": torch.tensor(self._source[index]),
            "words": torch.tensor(self._target[index]),
            "references": [self.pairs[index][1]],
            "name": str(index),
        }

    def collate_fn(self, several: Sequence[Sample]) -> Batch:
        """A batch with `source_mask` and `words_mask`."""
        return padded(several, fields={"source": PAD, "words": PAD}, listed=("references",))


def vocabularies(
    pairs: Sequence[Pair], *, least: int = 2, most: int | None = None, lower: bool = False, shared: bool = False
) -> tuple[Words, Words]:
    """The vocabularies of both sides.

    Args:
        pairs: the training pairs.
        least, most: as for `Words.of`.
        lower: reads all texts in lower case.
        shared: one vocabulary of both languages.

    Raises: ValueError as `Words.of`.
    """
    sides = [[tokens(text.lower() if lower else text) for text in side] for side in zip(*pairs, strict=True)]
    if flag("shared", shared):
        both = Words.of([*sides[0], *sides[1]], least=least, most=most)
        return both, both
    source, target = (Words.of(side, least=least, most=most) for side in sides)
    return source, target
