"""The run folder: the files of a comparison, none of which a later comparison overwrites.

run.json              settings and facts, written once before the first trial
results.jsonl         one line per finished trial, appended and synced at once
trials/ROW-SEED/      checkpoint of a running trial; images.npz and model.safetensors of a finished one
costs.json            parameters, operations, latency and memory of each row
gallery.npz           the same few test images under every row

Each of them has a digest (`regard.saved.digests`), which is checked when it is read. What is damaged is named with what
to delete; the same command makes that part again.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regard.comparing import Comparison, Trial
from regard.metrics.metric import Measure
from regard.report import Record
from regard.report.exporting import finite
from regard.saved import digests
from regard.saved.arrays import read as read_arrays
from regard.saved.files import claimed, write_whole

_OURS = ("run.json", "results.jsonl", "costs.json", "gallery.npz", "trials")
_GALLERY = "gallery."
_FORMAT = 3
_LEFT_OVER = ("checkpoint.pt", "history.json", "checkpoint.pt.part", "history.json.part")  # of a finished trial

Arrays = Mapping[str, NDArray[Any]]


class Folder:
    """One run folder.

    Args:
        path: the folder; it need not exist before `claimed`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.gallery = path / "gallery.npz"
        self._run = path / "run.json"
        self._results = path / "results.jsonl"
        self._costs = path / "costs.json"

    def trial(self, trial: Trial) -> Path:
        """The folder of a trial, for its checkpoint and, once finished, its scores and weights."""
        return self.path / "trials" / trial.folder

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Creates the folder, checks that it can be written, and locks it against other commands while the block runs.

        Raises:
            OSError: it cannot be made or written, or another command is at work in it.
            ValueError: it holds files with our names that no comparison wrote.
        """
        with claimed(self.path, "regard compare"):
            if not self._run.exists() and (foreign := [name for name in _OURS if (self.path / name).exists()]):
                raise ValueError(
                    f"{self.path} holds {', '.join(foreign)} but no run.json of a comparison; choose another --out"
                )
            yield

    def reserve(self, needed: int) -> None:
        """Raises OSError if the disk has fewer than `needed` bytes free."""
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise OSError(
                f"{self.path}: about {needed / 2**20:.0f} MiB are needed for checkpoints and results, "
                f"{free / 2**20:.0f} MiB are free; free some space or choose another --out"
            )

    def begin(self, settings: Comparison, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Writes run.json, or checks that the one there belongs to the same comparison.

        More seeds than before extend the run; anything else has to be the same.

        Args:
            settings: what is asked for now.
            facts: what else run.json holds; those under "data_facts" and "data_digests" have to be the same too.

        Returns: run.json's content.
        Raises: ValueError naming the first thing that differs.
        """
        asked = json.loads(json.dumps(settings.facts()))
        run = {"format": _FORMAT, **facts, "settings": asked}
        if self._run.exists():
            before = self.run()
            # A setting that is younger than the run had its default.
            old, same = {**Comparison().facts(), **before["settings"]}, before["data_facts"]
            for name, value in [*asked.items(), *facts["data_facts"].items()]:
                was = old.get(name, same.get(name))
                if was != value and not (name == "seeds" and value > was):
                    raise ValueError(
                        f"{self.path} holds a comparison with {name} = {_shown(was)}, now it is {_shown(value)}; "
                        "repeat its settings to go on with it, or choose another --out"
                    )
            for name, value in facts.get("data_digests", {}).items():
                if before.get("data_digests", {}).get(name) != value:
                    raise ValueError(
                        f"{self.path} was begun with other images (the {name} differ): bring those back to go on with "
                        "it, or choose another --out"
                    )
            if old == asked:
                return before
            run = {**before, "seeds": settings.seeds, "command": facts["command"], "settings": asked}
        write_whole(self._run, _json(run))
        return run

    def run(self) -> dict[str, Any]:
        """The content of run.json. Raises: ValueError if there is none, or a comparison did not write it."""
        try:
            content = self._run.read_bytes()
        except OSError as error:
            raise ValueError(f"{self.path} holds no comparison: no readable run.json in it ({error})") from error
        foreign = f"{self._run} was not written by this version of regard compare; choose another --out"
        try:
            run = digests.opened_object(content)
        except digests.Damaged as error:
            if f'"{digests.KEY}"'.encode() not in content:
                raise ValueError(foreign) from error
            raise ValueError(f"{self._run} is damaged, {error}; take a copy, or choose another --out") from error
        if run.get("format") != _FORMAT:
            raise ValueError(foreign)
        return run

    def records(self) -> list[Record]:
        """The records of the finished trials, oldest first; an incomplete last line, left by a crash, is ignored.

        Of a trial that was repeated, because its files were missing, the last line counts.

        Raises: ValueError naming a line that is damaged.
        """
        if not self._results.exists():
            return []
        found = {}
        for number, line in enumerate(_whole_lines(self._results.read_bytes()), 1):
            try:
                content = digests.opened_object(line)
                facts = {"measure": Measure(**content["measure"]), "history": tuple(content["history"])}
                record = Record(**{**content, **facts})
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"{self._results}, line {number}, is no record of a trial, {error}; delete the line, and the same "
                    "command repeats its trial"
                ) from error
            found[record.row, record.seed] = record
        return list(found.values())

    def finished(self) -> set[tuple[str, int]]:
        """Row and seed of each finished trial whose scores are there; what it needed while it ran is removed."""
        done = {(record.row, record.seed) for record in self.records()}
        for row, seed in list(done):
            own = self.trial(Trial(row, seed))
            if (own / "images.npz").exists():
                _tidy(own)
            else:
                done.remove((row, seed))
        return done

    def finish(self, trial: Trial, record: Record, arrays: Arrays, weights: bytes | None = None) -> None:
        """Writes the result of a trial: first its arrays and weights, then its line, which marks it as finished.

        Args:
            record: for results.jsonl.
            arrays: scores per test image; what is only for the gallery is named `gallery.…`.
            weights: the content of model.safetensors.
        """
        own = self.trial(trial)
        write_whole(own / "images.npz", _npz(arrays))
        if weights is not None:
            write_whole(own / "model.safetensors", digests.sealed_weights(weights))
        try:
            with self._results.open("a+b") as file:
                file.seek(0)
                file.truncate(sum(len(whole) + 1 for whole in _whole_lines(file.read())))
                file.write(_json(asdict(record), indent=None))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OSError(f"cannot write {self._results}: {error.strerror or error}") from error
        _tidy(own)

    def scores(self, row: str, seeds: Iterable[int]) -> dict[str, NDArray[Any]]:
        """A row's scores per test image, each [S, N] over the seeds."""
        found = [self._arrays(Trial(row, seed)) for seed in seeds]
        names = [name for name in found[0] if not name.startswith(_GALLERY) and all(name in arrays for arrays in found)]
        return {name: np.stack([arrays[name] for arrays in found]) for name in names}

    def gallery_parts(self, rows: Iterable[str]) -> dict[str, NDArray[Any]]:
        """The outputs of the models of seed 0 for the gallery: `map.ROW`, `prediction.ROW`, `confidence.ROW`."""
        return {
            f"{name.removeprefix(_GALLERY)}.{row}": array
            for row in rows
            for name, array in self._arrays(Trial(row, 0)).items()
            if name.startswith(_GALLERY)
        }

    def _arrays(self, trial: Trial) -> dict[str, NDArray[Any]]:
        own = self.trial(trial)
        try:
            return _arrays(own / "images.npz")
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{own / 'images.npz'} is missing or damaged, {error}; delete the folder {own}, and the same command "
                "repeats its trial"
            ) from error

    def costs(self) -> dict[str, Any] | None:
        """The content of costs.json; None if there is no such file yet. Raises: ValueError if it is damaged."""
        if not self._costs.exists():
            return None
        try:
            return digests.opened_object(self._costs.read_bytes())
        except digests.Damaged as error:
            raise ValueError(
                f"{self._costs} is damaged, {error}; delete it, and the same command measures again"
            ) from error

    def keep_costs(self, costs: Mapping[str, Any]) -> None:
        write_whole(self._costs, _json(costs))

    def keep_gallery(self, arrays: Arrays) -> None:
        write_whole(self.gallery, _npz(arrays))

    def sound_gallery(self) -> Path:
        """The path of gallery.npz. Raises: ValueError if it is damaged."""
        if self.gallery.exists():
            try:
                _arrays(self.gallery)
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"{self.gallery} is damaged, {error}; delete it, and the same command makes it again"
                ) from error
        return self.gallery


def _tidy(own: Path) -> None:
    """Removes what a finished trial needed while it ran; what cannot be removed does no harm."""
    for name in _LEFT_OVER:
        with suppress(OSError):
            (own / name).unlink(missing_ok=True)


def _whole_lines(content: bytes) -> list[bytes]:
    return content.split(b"\n")[:-1]


def _json(content: Mapping[str, Any], indent: int | None = 2) -> bytes:
    whole = digests.sealed_object(finite(content))
    return (json.dumps(whole, indent=indent, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _npz(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return digests.sealed(buffer.getvalue())


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Reads the arrays that `_npz` wrote. Raises: ValueError if it is damaged; OSError if it cannot be read."""
    return read_arrays(digests.opened(path.read_bytes()))


def _shown(value: object) -> str:
    return ",".join(value) if isinstance(value, list) and all(isinstance(part, str) for part in value) else repr(value)
