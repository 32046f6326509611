"""CHAIR: objects that a caption names and that are not in the image.

Object Hallucination in Image Captioning. Rohrbach, Hendricks, Burns, Darrell, Saenko. EMNLP 2018, arXiv:1809.02156.

    CHAIR_i = named objects that are not there / named objects                                                   (1)
    CHAIR_s = sentences that name an object that is not there / sentences                                        (2)

    An object is there if it is annotated, or if a reference names it.

The words for objects are not the authors' list, but those of `object_words` or the user's own: numbers are comparable
between captioners scored here, and not with those of papers. Each mention counts, a repeated one again.
"""

from __future__ import annotations

from collections.abc import Iterable

from regard.metrics.words.grams import Sentence, paired
from regard.metrics.words.object_words import ObjectWords


class Chair:
    """Objects that sentences name although they are not in the image.

    `compute` gives `chair_i` and `chair_s`, from 0 to 1 and better if lower; `chair_i` is 0 if no object was named.
    Also `named`, the number of objects that a sentence names on average, since a captioner that names none makes no
    such mistake, and `recall`, the share of the categories that are there which the sentence of the image names.

    Args:
        words: the words of the objects.

    Raises: ValueError, in `update`, if there are not as many references or sets of objects as sentences, or an object
        is no category; in `compute`, if there was no update.
    """

    def __init__(self, words: ObjectWords) -> None:
        self.words = words
        self.reset()

    def reset(self) -> None:
        """Removes all sentences."""
        self.sentences = self.wrong_sentences = self.mentions = self.wrong_mentions = self.there = self.told = 0

    def update(
        self,
        sentences: Iterable[Sentence],
        references: Iterable[Iterable[Sentence]],
        objects: Iterable[Iterable[str]] | None = None,
    ) -> None:
        """Adds sentences.

        Args:
            sentences: as words.
            references: for each sentence, those of its image, as words.
            objects: for each sentence, the categories annotated in its image; None if there are no annotations.
        """
        pairs = paired(sentences, references)
        annotated = [frozenset(several) for several in objects] if objects is not None else [frozenset()] * len(pairs)
        if len(annotated) != len(pairs):
            raise ValueError(f"the objects of {len(annotated)} images and {len(pairs)} sentences: as many are needed")
        unknown = frozenset().union(*annotated) - frozenset(self.words.categories)
        if unknown:
            raise ValueError(f"objects: {sorted(unknown)[0]!r} is no category of the object words")
        for (sentence, known), there in zip(pairs, annotated, strict=True):
            named = self.words.named(sentence)
            there = there.union(*map(self.words.named, known))
            wrong = sum(category not in there for category in named)
            self.sentences += 1
            self.wrong_sentences += wrong > 0
            self.mentions += len(named)
            self.wrong_mentions += wrong
            self.there += len(there)
            self.told += len(there.intersection(named))

    def merge_state(self, incoming_state: Chair) -> None:
        """Adds the sentences of another metric."""
        for name in ("sentences", "wrong_sentences", "mentions", "wrong_mentions", "there", "told"):
            setattr(self, name, getattr(self, name) + getattr(incoming_state, name))

    def compute(self) -> dict[str, float]:
        if not self.sentences:
            raise ValueError("no sentences: at least one is needed to compute scores")
        return {
            "chair_i": self.wrong_mentions / max(self.mentions, 1),
            "chair_s": self.wrong_sentences / self.sentences,
            "named": self.mentions / self.sentences,
            "recall": self.told / max(self.there, 1),
        }
