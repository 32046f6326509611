"""The vocabulary of a network that reads or writes sentences.

Rows 0 to 3 are `<pad>`, `<start>`, `<end>` and `<unk>`, which differ from each other and from every word; the words
follow by falling count, and words of one count by the alphabet. Published codes have other conventions, such as one
row for start, end and padding: `published` maps these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from regard.checks import positive
from regard.ops.seeds import mixed
from regard.ops.words import END, PAD, SPECIAL, START, UNKNOWN


@dataclass(frozen=True, repr=False)
class Words:
    """A vocabulary: the word of each row, and how often it occurred.

        words = Words.of([["a", "dog", "runs"], ["a", "cat"]], least=1)
        words.encode(["a", "dog"])  # [1, 4, 6, 2]: start, "a", "dog", end
        words.decode([1, 4, 6, 2, 0])  # ["a", "dog"]

    Args:
        tokens: the word of each row, the four special ones first.
        counts: how often each occurred; of `<unk>` the words that were left out, of `<start>` and `<end>` the
            sentences. Empty where it is not known, as of a vocabulary that was saved with weights.

    Raises: ValueError if the tokens do not begin with the special ones, or one stands twice, or there are not as many
        counts as tokens.
    """

    tokens: tuple[str, ...]
    counts: tuple[int, ...] = ()
    _numbers: Mapping[str, int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        tokens = tuple(self.tokens)
        if tokens[: len(SPECIAL)] != SPECIAL:
            raise ValueError(f"tokens={tokens[: len(SPECIAL)]!r}…: the first have to be {', '.join(SPECIAL)}")
        numbers = {token: number for number, token in enumerate(tokens)}
        if len(numbers) != len(tokens):
            twice = next(token for token, count in Counter(tokens).items() if count > 1)
            raise ValueError(f"tokens: {twice!r} stands there more than once; every word has one row")
        if self.counts and len(self.counts) != len(tokens):
            raise ValueError(f"counts: {len(self.counts)} are given; one for each of {len(tokens)} tokens is needed")
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "counts", tuple(self.counts))
        object.__setattr__(self, "_numbers", numbers)

    @classmethod
    def of(cls, sentences: Iterable[Sequence[str]], *, least: int = 5, most: int | None = None) -> Words:
        """The vocabulary of tokenised sentences.

        Args:
            sentences: the tokens of each sentence.
            least: how often a word has to occur.
            most: the number of words that are kept at most, the special ones not counted; None keeps all.

        Raises: ValueError if an argument is not positive, a sentence is a text rather than its tokens, or no word
            occurs often enough.
        """
        positive("least", least)
        if most is not None:
            positive("most", most)
        found: Counter[str] = Counter()
        number = 0
        for sentence in sentences:
            found.update(_listed(sentence))
            number += 1
        ranked = sorted((word for word in found if word not in SPECIAL), key=lambda word: (-found[word], word))
        kept = [word for word in ranked if found[word] >= least][:most]
        if not kept:
            common = f"{ranked[0]!r} with {found[ranked[0]]}" if ranked else "none, since there are no words"
            raise ValueError(f"least={least}: no word of {number} sentences occurs so often; the commonest is {common}")
        unknown = found.total() - sum(found[word] for word in kept)
        return cls((*SPECIAL, *kept), (0, number, number, unknown, *(found[word] for word in kept)))

    def __len__(self) -> int:
        """The number of rows, the four special ones included: the `vocabulary` of a network."""
        return len(self.tokens)

    def __contains__(self, word: object) -> bool:
        """Whether a word has a row of its own; the special ones are no words of a sentence."""
        return self._numbers.get(word, 0) >= len(SPECIAL) if isinstance(word, str) else False

    def __repr__(self) -> str:
        """Short, since it stands in the settings of a checkpoint: the number of rows and a digest of the words."""
        return f"Words({len(self.tokens)} tokens, {self.digest})"

    @property
    def digest(self) -> str:
        """A digest of the words in their order."""
        return f"{mixed(*self.tokens) % 16**8:08x}"

    def encode(self, tokens: Sequence[str], longest: int | None = None) -> list[int]:
        """The numbers of a sentence between start and end.

        Args:
            tokens: the words; one without a row becomes `<unk>`.
            longest: the number of words after which the sentence is cut; None does not cut.

        Raises: ValueError if `tokens` is a text, or `longest` is not positive.
        """
        kept = _listed(tokens) if longest is None else _listed(tokens)[: positive("longest", longest)]
        return [START, *(self._numbers[word] if word in self else UNKNOWN for word in kept), END]

    def decode(self, indices: Iterable[int]) -> list[str]:
        """The words of numbers up to the first end; start and padding are left out.

        Raises: ValueError for a number that is no row.
        """
        found = []
        for index in map(int, indices):
            if index == END:
                break
            if not 0 <= index < len(self.tokens):
                raise ValueError(f"indices: {index} is no row of a vocabulary of {len(self.tokens)}")
            if index not in (PAD, START):
                found.append(self.tokens[index])
        return found


def _listed(tokens: Sequence[str]) -> Sequence[str]:
    if isinstance(tokens, str):
        raise ValueError(f"tokens={tokens[:50]!r}: a list of words is needed, not a text")
    return tokens
