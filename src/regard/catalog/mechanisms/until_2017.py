"""Labels of the drop-in mechanisms published until 2017, oldest first."""

from regard.catalog import Entry

ENTRIES: tuple[Entry, ...] = ()
