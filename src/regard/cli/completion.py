"""The words that the shell offers: names of the catalogue, found without torch."""

from __future__ import annotations

from collections.abc import Iterable

from regard import catalog
from regard.catalog import recipes, vocabulary


def entries(incomplete: str) -> list[str]:
    """Names of entries."""
    return _starting(incomplete, (entry.name for entry in catalog.entries()))


def named_recipes(incomplete: str) -> list[str]:
    """Names of recipes."""
    return _starting(incomplete, (listing.name for listing in recipes.listings()))


def networks(incomplete: str) -> list[str]:
    """Names of networks."""
    return _starting(incomplete, (*catalog.networks(), *catalog.segmenters()))


def domains(incomplete: str) -> list[str]:
    """Domains; behind a `+`, another one."""
    before, plus, last = incomplete.rpartition("+")
    return [before + plus + word for word in _starting(last, (*vocabulary.DOMAINS, vocabulary.MIXED))]


def acts_on(incomplete: str) -> list[str]:
    """Values of `--acts-on`: the object of the attention, image or features."""
    return _starting(incomplete, vocabulary.ACTS_ON)


def grains(incomplete: str) -> list[str]:
    """Values of `--grain`: the unit that gets a weight of its own."""
    return _starting(incomplete, vocabulary.GRAINS)


def kinds(incomplete: str) -> list[str]:
    """Weights or a focus."""
    return _starting(incomplete, vocabulary.KINDS)


def drivers(incomplete: str) -> list[str]:
    """Values of `--driven-by`: the image alone, or the task."""
    return _starting(incomplete, vocabulary.DRIVEN_BY)


def reaches(incomplete: str) -> list[str]:
    """Values of `--reach`: the partners to which each point is related."""
    return _starting(incomplete, vocabulary.REACHES)


def tasks(incomplete: str) -> list[str]:
    """The tasks of the papers."""
    return _starting(incomplete, vocabulary.TASKS)


def laws(incomplete: str) -> list[str]:
    """Names of laws."""
    return _starting(incomplete, vocabulary.LAWS)


def checks(incomplete: str) -> list[str]:
    """Names of the checks of `regard doctor`."""
    return _starting(incomplete, vocabulary.CHECKS)


def baselines(incomplete: str) -> list[str]:
    """Completes the names of the baselines of `regard faithful`, which stand in place of missing pixels."""
    return _starting(incomplete, vocabulary.BASELINES)


def _starting(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
