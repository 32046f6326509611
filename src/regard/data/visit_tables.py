"""Tables of patients' visits as CSV files, plain or packed by gzip, read line by line.

No message quotes what a file says of a patient: it names the file, the line and the column.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TextIO

from regard.data.images import shown
from regard.data.visits import History, Patients, Visit

ENDS = (".csv", ".csv.gz")


class Row(NamedTuple):
    """A line of a table.

    Attributes:
        where: its file and number, for messages.
        values: the columns that were asked for, without spaces around them.
    """

    where: str
    values: tuple[str, ...]


class Step(NamedTuple):
    """Visits in their order that follow or precede other steps of a patient.

    Attributes:
        time: sorts the steps of a patient; the order of two steps of one time is not known.
        visits: in their order.
    """

    time: float
    visits: tuple[Visit, ...]


def table(folder: Path, name: str) -> Path | None:
    """The file of a table in a folder, `NAME.csv` or `NAME.csv.gz`, whatever its capitals; None if there is none."""
    wanted = {f"{name}{end}".lower() for end in ENDS}
    found = sorted(path for path in folder.iterdir() if path.name.lower() in wanted and path.is_file())
    return found[0] if found else None


def needed(folder: Path, name: str) -> Path:
    """As `table`. Raises: FileNotFoundError if there is none."""
    path = table(folder, name)
    if path is None:
        raise FileNotFoundError(f"{shown(folder)} has no {name}.csv or {name}.csv.gz: it is needed")
    return path


def rows(path: Path, columns: Sequence[str], *, optional: Sequence[str] = ()) -> Iterator[Row]:
    """The lines of a table, with the named columns in this order, those that are optional last; capitals do not count.

    Args:
        path: the file.
        columns: that it has to have.
        optional: that it may have; "" stands in place of one that it lacks.

    Raises: ValueError, with the file and the line, if a column is missing, a line is shorter than the header, or the
        file is not UTF-8 text or not a whole gzip file; OSError if it cannot be read.
    """
    lines = _lines(path)
    names = next((row.values for row in lines), ())
    places = [names.index(name) if name in names else None for name in (*columns, *optional)]
    for name, place in zip(columns, places, strict=False):
        if place is None:
            raise ValueError(f"{shown(path)} line 1: the column {name} is missing; needed are {', '.join(columns)}")
    least = 1 + max((place for place in places if place is not None), default=0)
    for row in lines:
        if len(row.values) < least:
            raise ValueError(f"{row.where}: {len(row.values)} columns; {len(names)} are needed")
        yield Row(row.where, tuple("" if place is None else row.values[place].strip() for place in places))


def _lines(path: Path) -> Iterator[Row]:
    """All columns of all lines that are not empty, the first one in small letters. Raises: as `rows`."""
    line = 0
    try:
        with _opened(path) as file:
            reader = csv.reader(file, strict=True)
            for values in reader:
                if values:
                    values = values if line else [name.strip().lower() for name in values]
                    line = reader.line_num
                    yield Row(f"{shown(path)} line {line}", tuple(values))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{shown(path)} is not a whole gzip file: {error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown(path)} is not UTF-8 text, after line {line}: {error.reason}") from None
    except csv.Error as error:
        raise ValueError(f"{shown(path)} after line {line}: not a CSV table: {error}") from None


def header(path: Path) -> tuple[str, ...]:
    """The names of a table's columns in small letters. Raises: as `rows`."""
    return next((row.values for row in _lines(path)), ())


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def filled(row: Row, column: str, value: str) -> str:
    """A value that is needed. Raises: ValueError, with the line, if it is empty."""
    if not value:
        raise ValueError(f"{row.where}: {column} is empty")
    return value


def moment(row: Row, column: str, value: str) -> float:
    """A time in days. Raises: ValueError, with the line, if it cannot be read."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            f"{row.where}: {column} is no time; one such as 2026-01-31 or 2026-01-31 14:05:00 is needed"
        ) from None
    return (found.replace(tzinfo=None) - datetime(1, 1, 1)).total_seconds() / 86400


def whole(row: Row, column: str, value: str) -> int:
    """A whole number. Raises: ValueError, with the line, if it is none."""
    if not value.lstrip("-").isdecimal() or len(value) > 18:
        raise ValueError(f"{row.where}: {column} is no whole number")
    return int(value)


def assembled(
    folder: Path,
    steps: Mapping[str, Sequence[Step]],
    facts: Mapping[str, int],
    names: Mapping[str, str],
    *,
    least: int = 2,
) -> Patients:
    """The histories of all patients; where the order of steps is not known, the history ends and others begin.

    A step follows the one before if both are alone at their times; otherwise the step from one to the next is left
    out. Visits without a code are left out. Patients are numbered in the order of their identifiers.

    Args:
        folder: where they are from, for the message.
        steps: of each patient, by identifier.
        facts, names: as for `data.visits.Patients`; what is left out here is added.
        least: the visits that the longest history has to have.

    Raises: ValueError if no patient has so many visits whose order is known.
    """
    counted = dict.fromkeys(
        ("patients", "visits", "visits without a code", "steps", "steps of unsure order", "steps left out"), 0
    )
    histories: list[History] = []
    for number, (_, several) in enumerate(sorted(steps.items())):
        counted["patients"] += 1
        runs: list[list[Visit]] = [[]]
        seen: int | None = None  # how many steps there were at the time before
        for group in _by_time(several):
            counted["steps of unsure order"] += len(group) - 1
            counted["steps"] += len(group) - (seen is None)
            if seen is not None and (len(group) > 1 or seen > 1):
                runs += [[]]
                counted["steps left out"] += 1
            counted["steps left out"] += len(group) - 1
            seen = len(group)
            for place, step in enumerate(group):
                runs += [[]] if place else []
                kept = [visit for visit in step.visits if visit.codes]
                counted["visits"] += len(kept)
                counted["visits without a code"] += len(step.visits) - len(kept)
                runs[-1] += kept
        histories += [History(number, _from_first(run)) for run in runs if run]
    if max((len(history.visits) for history in histories), default=0) < least:
        raise ValueError(
            f"{shown(folder)}: no patient has {least} visits with codes whose order is known: at least one is needed"
        )
    counted["patients with several visits"] = len({one.patient for one in histories if len(one.visits) > 1})
    return Patients(tuple(histories), {**counted, **facts}, dict(names))


def _by_time(steps: Sequence[Step]) -> list[list[Step]]:
    groups: dict[float, list[Step]] = {}
    for step in steps:
        groups.setdefault(step.time, []).append(step)
    return [groups[time] for time in sorted(groups)]


def _from_first(run: Sequence[Visit]) -> tuple[Visit, ...]:
    """The visits with their days since the first of them."""
    first = run[0].day
    return tuple(visit._replace(day=None if first is None or visit.day is None else visit.day - first) for visit in run)
