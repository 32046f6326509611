"""What the server keeps in memory, within limits: what was used longest ago leaves first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

IMAGES = 32
PASSES = 32
BYTES = 512 * 2**20


class Full(ValueError):
    """A single item is larger than everything that may be kept."""


class Store:
    """Values by kind and name, the one used longest ago leaving first.

        store = Store({"image": 32}, 512 * 2**20)
        store.put("image", "a1", picture, size=picture.nbytes)
        store.get("image", "a1")

    Args:
        counts: the largest number of items of a kind; a kind that is not named is bounded by the bytes alone.
        total: the largest number of bytes of all kinds together.
    """

    def __init__(self, counts: Mapping[str, int], total: int) -> None:
        self.counts = dict(counts)
        self.total = total
        self._items: OrderedDict[tuple[str, str], tuple[Any, int]] = OrderedDict()

    @property
    def used(self) -> int:
        """The number of bytes that are kept."""
        return sum(size for _, size in self._items.values())

    def names(self, kind: str) -> list[str]:
        """The names of a kind, the one used longest ago first."""
        return [name for own, name in self._items if own == kind]

    def values(self, kind: str) -> list[Any]:
        """The values of a kind, which count no more as used for it."""
        return [value for (own, _), (value, _) in self._items.items() if own == kind]

    def put(self, kind: str, name: str, value: object, *, size: int) -> None:
        """Keeps a value, in place of an earlier one of this name.

        Args:
            kind, name: under which it is found.
            value: anything.
            size: its bytes.

        Raises: Full if it alone is larger than the limit.
        """
        if size > self.total:
            raise Full(f"{size / 2**20:.0f} MB: at most {self.total / 2**20:.0f} MB are kept")
        self._items.pop((kind, name), None)
        self._items[kind, name] = value, size
        most = self.counts.get(kind)
        while most is not None and len(self.names(kind)) > most:
            del self._items[kind, self.names(kind)[0]]
        while self.used > self.total:
            self._items.popitem(last=False)

    def get(self, kind: str, name: str) -> Any:
        """The value of this name, which is now the last used. Raises: KeyError if it is not, or no longer, there."""
        self._items.move_to_end((kind, name))
        return self._items[kind, name][0]

    def clear(self) -> None:
        """Forgets everything."""
        self._items.clear()
