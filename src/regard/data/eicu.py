"""The eICU Collaborative Research Database: a visit is a stay in an intensive care unit.

    patient      uniquepid, patienthealthsystemstayid, patientunitstayid, unitvisitnumber, hospitaldischargeyear
    diagnosis    patientunitstayid, icd9code, diagnosisstring

There are no dates. Units of one hospital stay are ordered by `unitvisitnumber`; hospital stays of a patient only by the
year of discharge, so that the order of those in one year is not known. `icd9code` holds a diagnosis in ICD-9 and in
ICD-10, `253.2, E23.0`, or is empty. Codes of one version are used. They are told apart by their form: ICD-10 begins
with a letter and has two places before the point; so have codes with V, which here are ICD-9's, while E with three
digits before the point is ICD-9's external causes.

The eICU Collaborative Research Database. Pollard et al. Scientific Data 2018, doi:10.1038/sdata.2018.178.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from sys import intern

from regard.checks import choice
from regard.data.categories import Categories, icd
from regard.data.visit_tables import Step, assembled, filled, needed, rows, table, whole
from regard.data.visits import Patients, Visit

_STAY = ("uniquepid", "patienthealthsystemstayid", "patientunitstayid", "unitvisitnumber", "hospitaldischargeyear")
_NINE = re.compile(r"(\d{3}|V\d{2}|E\d{3})(\.\d{1,2})?")
_TEN = re.compile(r"[A-UW-Z]\d[\dA-Z](\.[\dA-Z]{1,4})?")


def found(folder: Path) -> bool:
    """True if the folder has the tables of eICU."""
    return folder.is_dir() and table(folder, "patient") is not None and table(folder, "diagnosis") is not None


def read(folder: Path, categories: Categories, *, version: int = 9, least: int = 2) -> Patients:
    """The histories of all patients; of a patient whose hospital stays are of unsure order, one for each sure run.

    Args:
        folder: with the tables.
        categories: of the diagnoses.
        version: of the codes, 9 or 10.
        least: the stays that the longest history has to have.

    Raises: FileNotFoundError if a table is missing; ValueError, with the file and the line, if a column is missing, a
        number cannot be read, or a stay stands twice; ValueError if no history is so long.
    """
    choice("version", version, (9, 10))
    stays: dict[str, tuple[str, str, int, int]] = {}
    for row in rows(needed(folder, "patient"), _STAY):
        patient, hospital, unit, order, year = row.values
        if filled(row, "patientunitstayid", unit) in stays:
            raise ValueError(f"{row.where}: patientunitstayid stands in the table before: each stay is needed once")
        stays[unit] = (
            filled(row, "uniquepid", patient),
            filled(row, "patienthealthsystemstayid", hospital),
            whole(row, "unitvisitnumber", order),
            whole(row, "hospitaldischargeyear", year),
        )
    codes, facts, names = _codes(needed(folder, "diagnosis"), set(stays), version)
    hospitals: dict[tuple[str, str], dict[int, list[tuple[int, Visit]]]] = defaultdict(lambda: defaultdict(list))
    for unit, (patient, hospital, number, discharged) in stays.items():
        own = tuple(sorted(codes[unit]))
        hospitals[patient, hospital][discharged].append((number, Visit(own, categories.of(list(own)))))
    steps: dict[str, list[Step]] = defaultdict(list)
    for (patient, _), years in hospitals.items():
        for discharged, several in years.items():
            if len({number for number, _ in several}) == len(several):
                several.sort(key=lambda one: one[0])
                steps[patient].append(Step(discharged, tuple(visit for _, visit in several)))
            else:  # two units of one number
                steps[patient] += [Step(discharged, (visit,)) for _, visit in several]
    return assembled(folder, steps, {**facts, **categories.facts()}, names, least=least)


def _codes(path: Path, stays: set[str], version: int) -> tuple[dict[str, set[str]], dict[str, int], dict[str, str]]:
    """The codes of each stay, what was counted, and for each code the last part of its most frequent name."""
    codes: dict[str, set[str]] = defaultdict(set)
    strings: dict[str, Counter[str]] = defaultdict(Counter)
    other = f"lines without an ICD-{version} code"
    facts = {"lines without a code": 0, other: 0, "codes of no known form": 0, "lines of no stay": 0}
    for row in rows(path, ("patientunitstayid", "icd9code"), optional=("diagnosisstring",)):
        unit, text, string = row.values
        if unit not in stays:
            facts["lines of no stay"] += 1
            continue
        parts = [part.strip().upper() for part in text.split(",") if part.strip()]
        versions = [9 if _NINE.fullmatch(part) else 10 if _TEN.fullmatch(part) else None for part in parts]
        facts["codes of no known form"] += versions.count(None)
        own = [intern(icd(version, part)) for part, one in zip(parts, versions, strict=True) if one == version]
        if not parts:
            facts["lines without a code"] += 1
        elif not own:
            facts[other] += 1
        codes[unit].update(own)
        for code in own:
            strings[code][string.rpartition("|")[2].strip()] += 1
    names = {code: min(counts, key=lambda name: (-counts[name], name)) for code, counts in strings.items()}
    return codes, facts, {code: name for code, name in names.items() if name}
