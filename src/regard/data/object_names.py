"""Words for the classes of objects: which words of a sentence name an object, and their plurals.

    names = ObjectNames.of({"person": ("person", "man", "woman"), "teddy bear": ("teddy bear", "teddy")})
    names.mentions(["two", "men", "with", "a", "teddy", "bear"])
    # [Mention(first=1, length=1, of_class=1, name=2, plural=True), Mention(4, 2, 2, 4, False)]

Classes and names are numbered from 1; 0 is none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from regard.metrics.words.object_words import plural


class Mention(NamedTuple):
    """Words of a sentence that name an object.

    Attributes:
        first, length: where they begin, and how many they are.
        of_class, name: numbers of the class and of the name, from 1.
        plural: whether they are in plural.
    """

    first: int
    length: int
    of_class: int
    name: int
    plural: bool


@dataclass(frozen=True, repr=False)
class ObjectNames:
    """The classes of objects, and the names by which objects of a class are called.

    Args:
        classes: the name of each class.
        names: each name in singular, in lower case, its words divided by one space.
        owners: the number of each name's class, from 1.

    Raises: ValueError if there is no name, a name stands twice or has no class.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    owners: tuple[int, ...]
    _forms: Mapping[tuple[str, ...], tuple[int, bool]] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if not self.names or len(self.names) != len(self.owners):
            raise ValueError(f"names: {len(self.names)} with {len(self.owners)} classes; one class for each is needed")
        for name, owner in zip(self.names, self.owners, strict=True):
            if not 1 <= owner <= len(self.classes):
                raise ValueError(f"owners={owner} of {name!r}: a class from 1 to {len(self.classes)} is needed")
            if self.names.count(name) > 1:
                raise ValueError(f"names: {name!r} stands there twice; a name belongs to one class")
        forms: dict[tuple[str, ...], tuple[int, bool]] = {}
        for number, name in enumerate(self.names, 1):
            forms[tuple(name.split())] = number, False
        for number, name in enumerate(self.names, 1):
            forms.setdefault(tuple(plural(name).split()), (number, True))
        object.__setattr__(self, "_forms", forms)

    @classmethod
    def of(cls, classes: Mapping[str, Sequence[str]]) -> ObjectNames:
        """The names of each class: class -> names. A name that several classes have belongs to the first.

        Raises: ValueError if a class has no name of its own.
        """
        names: dict[str, int] = {}
        for number, (owner, listed) in enumerate(classes.items(), 1):
            for name in listed:
                names.setdefault(" ".join(name.lower().split()), number)
            if number not in names.values():
                raise ValueError(f"classes: {owner!r} has no name of its own among {', '.join(listed) or 'none'}")
        return cls(tuple(classes), tuple(names), tuple(names.values()))

    def __repr__(self) -> str:
        """Short, since it stands in the settings of a checkpoint."""
        return f"ObjectNames({len(self.classes)} classes, {len(self.names)} names)"

    @cached_property
    def longest(self) -> int:
        """The number of words in the longest name."""
        return max(map(len, self._forms))

    def mentions(self, tokens: Sequence[str], present: Collection[int] | None = None) -> list[Mention]:
        """The names in a sentence, longer ones first taken, in the order of the sentence.

        Args:
            tokens: the words in lower case.
            present: the classes of the objects that are there; names of others are no mentions. None: all are there.
        """
        taken = [False] * len(tokens)
        found = []
        for count in range(self.longest, 0, -1):
            for first in range(len(tokens) - count + 1):
                known = self._forms.get(tuple(tokens[first : first + count]))
                if known is None or any(taken[first : first + count]):
                    continue
                owner = self.owners[known[0] - 1]
                if present is None or owner in present:
                    taken[first : first + count] = [True] * count
                    found.append(Mention(first, count, owner, known[0], known[1]))
        return sorted(found)

    def said(self, name: int, many: bool) -> list[str]:
        """The words of a name, in singular or plural; of 0 none."""
        if not name:
            return []
        singular = self.names[name - 1]
        return (plural(singular) if many else singular).split()
