"""Patients' visits in whichever of the known layouts they are: MIMIC-III, MIMIC-IV, eICU, or one table of your own."""

from __future__ import annotations

from pathlib import Path

from regard.checks import choice
from regard.data import eicu, mimic, visit_files
from regard.data.categories import Categories
from regard.data.images import shown
from regard.data.visit_tables import ENDS, table
from regard.data.visits import Patients

WANTED = "ADMISSIONS and DIAGNOSES_ICD (MIMIC), patient and diagnosis (eICU) or visits, as .csv or .csv.gz"


def read(place: Path, *, categories: str | None = None, version: int = 9, least: int = 2) -> Patients:
    """The histories of all patients of a folder, or of a table of your own.

    Args:
        place: the folder, or the file.
        categories: "three digits" of ICD codes, "codes" for the codes themselves, or the path of AHRQ's `$dxref`; None
            for "codes" of a table of your own, and else for "three digits".
        version: of ICD, 9 or 10, whose codes are used of eICU, which has both.
        least: the visits that the longest history has to have.

    Raises: FileNotFoundError if there are no such tables, or no file of categories; ValueError, with the file and the
        line, as the readers.
    """
    place = Path(place)
    choice("version", version, (9, 10))
    own = place if place.is_file() else table(place, visit_files.NAME) if place.is_dir() else None
    if categories is None:
        categories = "three digits" if own is None else "codes"
    chosen = Categories(categories)
    if own is not None:
        return visit_files.read(own, chosen, least=least)
    inside = mimic.inside(place)
    if inside is not None:
        return mimic.read(inside, chosen, least=least)
    if eicu.found(place):
        return eicu.read(place, chosen, version=version, least=least)
    raise FileNotFoundError(f"{shown(place)}: {WANTED} are needed")


def is_visits(place: Path) -> bool:
    """Whether it is a table, or a folder with tables of visits."""
    if place.is_file():
        return place.name.lower().endswith(ENDS)
    return place.is_dir() and (
        table(place, visit_files.NAME) is not None or mimic.inside(place) is not None or eicu.found(place)
    )
