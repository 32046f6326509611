"""Whether a score compares with the number that the paper reports: the same dataset, whole, and the same network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from regard.catalog.recipes import DATASETS, Claim, Listing
from regard.training.recipe import Recipe


def judged(listing: Listing, recipe: Recipe, changes: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """The claim of the paper as result.json holds it; None if the paper has none for the recipe.

    Args:
        listing, recipe: the recipe and its listing.
        changes: changed settings of the training, which compare "with changes".

    Returns: the fields of the claim, `comparable`, and a `reason`: why not, or with which changes.
    """
    claim = recipe.claim or listing.claim  # the recipe knows its options
    if claim and listing.claim and replace(claim, where=listing.claim.where) == listing.claim:
        claim = listing.claim  # the same number, and a better word of where it stands
    if claim is None:
        return None
    reason = _unlike(claim, recipe)
    changed = ", ".join(f"{name}={value}" for name, value in (changes or {}).items())
    return {
        **asdict(claim),
        "comparable": not reason,
        "reason": reason or (f"with changes: {changed}" if changed else ""),
    }


def _unlike(claim: Claim, recipe: Recipe) -> str:
    """Why a score of the recipe does not compare with the claim; empty if it does."""
    if recipe.tiny:
        return "the tiny variant, on embedded data"
    if claim.unlike:
        return f"the paper has {claim.unlike}"
    classes, train, test = DATASETS[claim.data]
    if (len(recipe.train), len(recipe.test)) != (train, test):
        own = f"{len(recipe.train):,} training and {len(recipe.test):,} test samples"
        return f"{own} are not {claim.data}, {train:,} and {test:,}"
    found = getattr(recipe.task or recipe.phases[-1].task, "classes", classes)
    return "" if found == classes else f"{found} classes are not {claim.data}, {classes}"
