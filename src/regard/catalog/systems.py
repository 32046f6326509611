"""One label per full system, oldest paper first."""

from regard.catalog import Entry

SYSTEMS: tuple[Entry, ...] = ()
