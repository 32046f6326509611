"""One label per drop-in mechanism, oldest paper first; a file for every few years."""

from regard.catalog.mechanisms import in_2018, in_2019, since_2020, until_2017

MECHANISMS = tuple(
    sorted(
        (entry for years in (until_2017, in_2018, in_2019, since_2020) for entry in years.ENTRIES),
        key=lambda entry: entry.paper.year,  # stable: within a year as they stand
    )
)
