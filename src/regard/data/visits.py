"""Patients' visits as a dataset: what is known after each visit, and the diagnoses of the next one.

    found = mimic.read(folder)                                    or `eicu.read`, `visit_files.read`
    train, test = divided(found.histories, share=0.2, seed=0)     by patient
    codes, categories = vocabularies(train)                       of the patients of the training alone
    Visits(train, codes, categories)

A history is a run of visits whose order is known. Patients are numbered; their identifiers are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from regard.checks import number, positive
from regard.data.batches import Batch, Sample, padded
from regard.ops.seeds import mixed


class Visit(NamedTuple):
    """A visit.

    Attributes:
        codes: all its codes, sorted: diagnoses, procedures and drugs.
        categories: of its diagnoses, sorted; these are predicted.
        day: days since the first visit of the patient; None where it is not known.
    """

    codes: tuple[str, ...]
    categories: tuple[str, ...]
    day: float | None = None


class History(NamedTuple):
    """Visits of one patient in their order.

    Attributes:
        patient: the number of the patient, which several histories can share.
        visits: at least one.
    """

    patient: int
    visits: tuple[Visit, ...]


@dataclass(frozen=True)
class Patients:
    """What was read from the files of a dataset.

    Args:
        histories: the histories of all patients, those with one visit included.
        facts: what was counted, by name: patients, visits, and everything that was left out.
        names: the name of a code or a category, where the files have one.
    """

    histories: tuple[History, ...]
    facts: Mapping[str, int]
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Codes:
    """A vocabulary of codes or categories: the code of each row.

    Args:
        tokens: each once.

    Raises: ValueError if there are none, or one stands there twice.
    """

    tokens: tuple[str, ...]
    _rows: Mapping[str, int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))
        object.__setattr__(self, "_rows", {token: row for row, token in enumerate(self.tokens)})
        if len(self._rows) != len(self.tokens) or not self.tokens:
            raise ValueError(f"tokens: {len(self.tokens)} are given; at least one, and each once, is needed")

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        """Short, since it stands in the settings of a checkpoint."""
        return f"Codes({len(self.tokens)} tokens, {mixed(*self.tokens) % 16**8:08x})"

    def rows(self, tokens: Sequence[str]) -> list[int]:
        """The rows of those tokens that have one."""
        return [self._rows[token] for token in tokens if token in self._rows]


def followed(histories: Sequence[History]) -> list[History]:
    """The histories in which a visit follows another."""
    return [history for history in histories if len(history.visits) > 1]


def divided(histories: Sequence[History], *, share: float, seed: int) -> tuple[list[History], list[History]]:
    """The histories of the patients for training, and of those for testing.

    Args:
        histories: all histories.
        share: of the patients, for testing; at least one patient is in each part.
        seed: of the draw.

    Raises: ValueError if the share is not between 0 and 1, or there are fewer than two patients.
    """
    number("share", share, above=0)
    if not share < 1:
        raise ValueError(f"share={share!r}: a number below 1 is needed")
    patients = sorted({history.patient for history in histories})
    if len(patients) < 2:
        raise ValueError(f"{len(patients)} patient with several visits: at least 2 are needed, to train and to test")
    order = torch.randperm(len(patients), generator=torch.Generator().manual_seed(mixed("patients", seed))).tolist()
    count = min(max(1, round(share * len(patients))), len(patients) - 1)
    testing = {patients[i] for i in order[:count]}
    parts: tuple[list[History], list[History]] = ([], [])
    for history in histories:
        parts[history.patient in testing].append(history)
    return parts


def vocabularies(histories: Sequence[History], *, least: int = 1) -> tuple[Codes, Codes]:
    """The codes and the categories in the histories of the training, sorted.

    Args:
        histories: of the training.
        least: how many patients have to have a code or a category.

    Raises: ValueError if `least` is not positive, or there are none that occur so often.
    """
    positive("least", least)
    found = []
    for kind in ("codes", "categories"):
        patients: dict[str, set[int]] = {}
        for history in histories:
            for visit in history.visits:
                for token in visit.codes if kind == "codes" else visit.categories:
                    patients.setdefault(token, set()).add(history.patient)
        kept = sorted(token for token, several in patients.items() if len(several) >= least)
        if not kept:
            raise ValueError(f"least={least}: {kind} that occur with so many patients of the training are needed")
        found.append(Codes(tuple(kept)))
    return found[0], found[1]


class Visits:
    """A dataset of histories: after each visit but the last one, the categories of the next are to be predicted.

    A sample has the fields `visits`, which codes each visit has; `targets`, which categories the visit after it has;
    `last`, which it has itself; `counts`, how many the visit after it has, those that the vocabulary lacks included;
    and `patient`.

    Args:
        histories: with at least two visits each.
        codes, categories: the vocabularies.

    Shapes: visits `T F`, targets and last `T K`, counts `T`, of a history with T + 1 visits.
    Raises: ValueError if a history has fewer than two visits, or there is none.
    """

    def __init__(self, histories: Sequence[History], codes: Codes, categories: Codes) -> None:
        if not histories or min(len(history.visits) for history in histories) < 2:
            raise ValueError("histories: at least one, and two visits in each, are needed")
        self.histories, self.codes, self.categories = tuple(histories), codes, categories

    @property
    def lengths(self) -> list[int]:
        """The visits of each history that something follows."""
        return [len(history.visits) - 1 for history in self.histories]

    @property
    def digest(self) -> str:
        """A digest of all that is in it, of which the checkpoint of a training keeps a copy."""
        return f"{mixed(self.histories, self.codes.tokens, self.categories.tokens) % 16**12:012x}"

    def __len__(self) -> int:
        return len(self.histories)

    def __getitem__(self, index: int) -> Sample:
        patient, visits = self.histories[index]
        categories = several_hot([self.categories.rows(visit.categories) for visit in visits], len(self.categories))
        return {
            "visits": several_hot([self.codes.rows(visit.codes) for visit in visits[:-1]], len(self.codes)),
            "targets": categories[1:],
            "last": categories[:-1],
            "counts": torch.tensor([len(visit.categories) for visit in visits[1:]]),
            "patient": patient,
        }

    @staticmethod
    def collate_fn(several: Sequence[Sample]) -> Batch:
        return collated(several)

    def shares(self) -> list[float]:
        """Of each category, the share of the visits that are to be predicted that have it."""
        total, visits = torch.zeros(len(self.categories), dtype=torch.float64), 0
        for history in self.histories:
            for visit in history.visits[1:]:
                total[self.categories.rows(visit.categories)] += 1
                visits += 1
        shares: list[float] = (total / visits).tolist()
        return shares


def several_hot(rows: Sequence[Sequence[int]], count: int) -> Tensor:
    """1 at the given rows of each visit and 0 elsewhere, `T count`."""
    hot = torch.zeros(len(rows), count)
    for visit, own in zip(hot, rows, strict=True):
        visit[list(own)] = 1
    return hot


def collated(several: Sequence[Sample]) -> Batch:
    """A batch of histories, padded to the longest, with the mask `visits_mask`."""
    batch = padded(several, fields={"visits": 0, "targets": 0, "last": 0, "counts": 0})
    for name in ("targets", "last", "counts"):
        del batch[f"{name}_mask"]
    return batch
