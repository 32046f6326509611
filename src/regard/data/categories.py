"""Categories of diagnoses: the first three digits of an ICD code, or AHRQ's Clinical Classifications Software.

A code is written with its system, `ICD-9 4280` or `ICD-10 I50.9`, with or without the point, so that ICD-9 and ICD-10
never mix. Of ICD-9's external causes, E and four more, the category has E and three digits.

`$dxref 2015.csv`, the single-level tool for ICD-9-CM: a title, then the header 'ICD-9-CM CODE','CCS CATEGORY',
'CCS CATEGORY DESCRIPTION', … Values stand in single quotes, with spaces behind codes, and names of codes in double
quotes. Or ICD-10's `ccs_dx_icd10cm_….csv`, whose header begins with 'ICD-10-CM CODE' and has the name of the code
before that of its category.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from regard.data.images import shown
from regard.data.texts import text

ICD = ("ICD-9", "ICD-10")
_COLUMNS = ("CCS CATEGORY", "CCS CATEGORY DESCRIPTION")
_VALUE = re.compile(r"""\s*(?:'(.*?)'|"(.*?)"|([^,]*?))\s*,""")  # the quote that ends a value has a comma behind it


def icd(version: int, code: str) -> str:
    """A diagnosis by its system, without the point."""
    return f"ICD-{version} {code.replace('.', '').strip().upper()}"


def three_digits(code: str) -> str:
    """The category of a diagnosis `ICD-9 …` or `ICD-10 …`."""
    system, _, rest = code.partition(" ")
    return f"{system} {rest[: 4 if system == 'ICD-9' and rest.startswith('E') else 3]}"


class Ccs:
    """The categories of a file of AHRQ's, for one version of ICD.

    Args:
        path: the file.

    Raises: ValueError, with the file and the line, if it is none of these, or a line lacks a column; OSError if it
        cannot be read.
    """

    def __init__(self, path: Path) -> None:
        lines = text(path).splitlines()
        begins = next((i for i, line in enumerate(lines[:5]) if _header(line) is not None), None)
        if begins is None:
            raise ValueError(f"{shown(path)}: no header with ICD-9-CM CODE and CCS CATEGORY: AHRQ's $dxref is needed")
        header = _header(lines[begins]) or []
        self.system = next(system for system in ICD if f"{system}-CM CODE" in header)
        places = [header.index(name) for name in (f"{self.system}-CM CODE", *_COLUMNS)]
        self.categories: dict[str, str] = {}
        titles: dict[str, str] = {}  # a category may stand under two names in one file: the first is its own
        for number, line in enumerate(lines[begins + 1 :], begins + 2):
            values = _values(line)
            if not values:
                continue
            if len(values) <= max(places):
                raise ValueError(f"{shown(path)} line {number}: {len(values)} columns; {len(header)} are needed")
            code, category, title = (values[place] for place in places)
            if code:
                name = f"CCS {category} {titles.setdefault(category, title)}".strip()
                self.categories[f"{self.system} {code.replace('.', '').upper()}"] = name
        if not self.categories:
            raise ValueError(f"{shown(path)}: no codes")

    def of(self, code: str) -> str | None:
        """The category of a diagnosis; None if the file lacks it."""
        return self.categories.get(code)


def _header(line: str) -> list[str] | None:
    values = [value.upper() for value in _values(line)]
    known = any(f"{system}-CM CODE" in values for system in ICD) and all(name in values for name in _COLUMNS)
    return values if known else None


def _values(line: str) -> list[str]:
    """The values of a line, without quotes and spaces around them."""
    return ["".join(found).strip() for found in _VALUE.findall(f"{line},")] if line.strip() else []


class Categories:
    """Sorts diagnoses into categories, and counts those that have none.

    Args:
        how: "three digits", "codes" for the codes themselves, or the path of a file of AHRQ's.

    Attributes:
        missing: diagnoses that the file lacks, and how often each occurred.
    """

    def __init__(self, how: str) -> None:
        self.how = how
        self.file = None if how in ("three digits", "codes") else Ccs(Path(how))
        self.missing: dict[str, int] = {}

    def of(self, codes: list[str]) -> tuple[str, ...]:
        """The categories of the diagnoses of a visit, sorted and each once."""
        found: set[str] = set()
        for code in codes:
            category = self._of(code)
            if category is None:
                self.missing[code] = self.missing.get(code, 0) + 1
            else:
                found.add(category)
        return tuple(sorted(found))

    def _of(self, code: str) -> str | None:
        if self.how == "codes":
            return code
        return three_digits(code) if self.file is None else self.file.of(code)

    def facts(self) -> Mapping[str, int]:
        """Counts of the codes that the file lacks."""
        if self.file is None:
            return {}
        return {
            "codes without a category": len(self.missing),
            "diagnoses without a category": sum(self.missing.values()),
        }
