"""MIMIC-III and the hospital module of MIMIC-IV: a visit is an admission.

    ADMISSIONS        subject_id, hadm_id, admittime
    DIAGNOSES_ICD     hadm_id, icd9_code; in MIMIC-IV icd_code and icd_version, 9 or 10
    PROCEDURES_ICD    likewise; PRESCRIPTIONS: hadm_id, drug; both may be missing
    D_ICD_DIAGNOSES   names of the codes, and D_ICD_PROCEDURES; both may be missing

Each is `NAME.csv` or `NAME.csv.gz`, with the header in small or capital letters; MIMIC-IV's lie in `hosp/`.

MIMIC-III, a freely accessible critical care database. Johnson et al. Scientific Data 2016, doi:10.1038/sdata.2016.35.
MIMIC-IV, a freely accessible electronic health record dataset. Johnson et al. 2023, doi:10.1038/s41597-022-01899-x.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from sys import intern

from regard.data.categories import Categories, icd
from regard.data.visit_tables import Row, Step, assembled, filled, header, moment, needed, rows, table
from regard.data.visits import Patients, Visit

ADMISSIONS, DIAGNOSES = "ADMISSIONS", "DIAGNOSES_ICD"


def inside(folder: Path) -> Path | None:
    """The folder with the tables: the folder itself or `hosp/` in it; None if there is none."""
    for one in (folder, folder / "hosp"):
        if one.is_dir() and table(one, ADMISSIONS) is not None:
            return one
    return None


def read(folder: Path, categories: Categories, *, least: int = 2) -> Patients:
    """The histories of all patients, ordered by the time of admission; two at one time are of unsure order.

    Args:
        folder: with the tables.
        categories: of the diagnoses.
        least: the admissions that the longest history has to have.

    Raises: FileNotFoundError if ADMISSIONS or DIAGNOSES_ICD is missing; ValueError, with the file and the line, if a
        column is missing, a time cannot be read, a version of ICD is neither 9 nor 10, or an admission stands twice;
        ValueError if no history is so long.
    """
    times: dict[str, tuple[str, float]] = {}
    for row in rows(needed(folder, ADMISSIONS), ("subject_id", "hadm_id", "admittime")):
        patient, admission, time = row.values
        if filled(row, "hadm_id", admission) in times:
            raise ValueError(f"{row.where}: hadm_id stands in the table before: each admission is needed once")
        times[admission] = filled(row, "subject_id", patient), moment(row, "admittime", time)
    codes: dict[str, set[str]] = defaultdict(set)
    diagnoses: dict[str, set[str]] = defaultdict(set)
    facts = {"lines without a code": 0, "lines of no admission": 0}
    for kind, path in _tables(folder):
        for admission, code in _codes(path, kind):
            if not code:
                facts["lines without a code"] += 1
            elif admission not in times:
                facts["lines of no admission"] += 1
            else:
                codes[admission].add(intern(code))
                if kind == "diagnosis":
                    diagnoses[admission].add(intern(code))
    steps: dict[str, list[Step]] = defaultdict(list)
    for admission, (patient, day) in times.items():
        own = tuple(sorted(codes[admission]))
        steps[patient].append(Step(day, (Visit(own, categories.of(sorted(diagnoses[admission])), day),)))
    return assembled(folder, steps, {**facts, **categories.facts()}, _names(folder), least=least)


def _tables(folder: Path) -> Iterator[tuple[str, Path]]:
    yield "diagnosis", needed(folder, DIAGNOSES)
    for kind, name in (("procedure", "PROCEDURES_ICD"), ("drug", "PRESCRIPTIONS")):
        path = table(folder, name)
        if path is not None:
            yield kind, path


def _codes(path: Path, kind: str) -> Iterator[tuple[str, str]]:
    """Of each line the admission and the code, which is empty where there is none."""
    if kind == "drug":
        for row in rows(path, ("hadm_id", "drug")):
            drug = " ".join(row.values[1].lower().split())
            yield row.values[0], f"drug {drug}" if drug else ""
        return
    for row in rows(path, ("hadm_id", *_columns(path))):
        yield row.values[0], _code(row, kind, row.values[1:])


def _columns(path: Path) -> tuple[str, ...]:
    """The columns of a code: those of MIMIC-IV where one of them is there, else that of MIMIC-III."""
    return ("icd_code", "icd_version") if {"icd_code", "icd_version"} & {*header(path)} else ("icd9_code",)


def _code(row: Row, kind: str, values: tuple[str, ...]) -> str:
    """A code by its system; empty if there is none. Raises: ValueError for an unknown version."""
    version = values[1] if len(values) > 1 else "9"
    if version not in ("9", "10"):
        raise ValueError(f"{row.where}: icd_version is neither 9 nor 10")
    if not values[0]:
        return ""
    code = icd(int(version), values[0])
    return code if kind == "diagnosis" else code.replace(" ", " procedure ", 1)


def _names(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, name in (("diagnosis", "D_ICD_DIAGNOSES"), ("procedure", "D_ICD_PROCEDURES")):
        path = table(folder, name)
        if path is not None:
            columns = _columns(path)
            for row in rows(path, (*columns, "long_title")):
                code = _code(row, kind, row.values[:-1])
                if code and row.values[-1]:
                    found[code] = row.values[-1]
    return found
