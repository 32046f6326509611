"""Patients' visits of your own: one table `visits.csv`, or .gz, with a line for each code of a visit.

patient    any text, the same for all lines of a patient; it is not kept
time       2026-01-31 or 2026-01-31 14:05:00; lines of one patient and time are one visit
code       any text; `ICD-9 428.0` and `ICD-10 I50.9` are put into categories
kind       may be missing; a code of another kind than `diagnosis` or nothing is seen, but not predicted
name       may be missing; the name of the code, for pictures
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from sys import intern

from regard.data.categories import Categories, icd
from regard.data.visit_tables import Row, Step, assembled, filled, moment, rows
from regard.data.visits import Patients, Visit

NAME = "visits"
_ICD = re.compile(r"ICD-(9|10) +(\S+)", re.IGNORECASE)


def read(path: Path, categories: Categories, *, least: int = 2) -> Patients:
    """The histories of all patients of a table.

    Args:
        path: the file.
        categories: of the diagnoses.
        least: the visits that the longest history has to have.

    Raises: ValueError, with the file and the line, if a column is missing, a value is empty, a time cannot be read, or
        a diagnosis that is to get a category is of no ICD; ValueError if no history is so long; OSError if the file
        cannot be read.
    """
    visits: dict[str, dict[float, tuple[set[str], set[str]]]] = defaultdict(lambda: defaultdict(lambda: (set(), set())))
    names: dict[str, str] = {}
    for row in rows(path, ("patient", "time", "code"), optional=("kind", "name")):
        patient, time, code, kind, name = row.values
        token = intern(_token(row, filled(row, "code", code)))
        codes, diagnoses = visits[filled(row, "patient", patient)][moment(row, "time", time)]
        codes.add(token)
        if kind.lower() in ("", "diagnosis"):
            if categories.how != "codes" and not _ICD.fullmatch(token):
                raise ValueError(f"{row.where}: code is of no ICD; ICD-9 or ICD-10 before it is needed for a category")
            diagnoses.add(token)
        if name:
            names.setdefault(token, name)
    steps = {
        patient: [
            Step(day, (Visit(tuple(sorted(codes)), categories.of(sorted(diagnoses)), day),))
            for day, (codes, diagnoses) in own.items()
        ]
        for patient, own in visits.items()
    }
    return assembled(path, steps, categories.facts(), names, least=least)


def _token(row: Row, code: str) -> str:
    found = _ICD.fullmatch(code)
    return code if found is None else icd(int(found[1]), found[2])
