"""Every access to the run folder fails once, as a disk fails or a process dies; afterwards the run goes on to the bit.

As SQLite's own tests do it: an undisturbed run counts the accesses, then one run for each of them fails there, with an
error of the disk, or as if the process ended, so that nothing after it happens either. What is written halfway stays.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regard.comparing import result

KINDS = ("error", "death")


class Death(BaseException):
    """The end of the process."""


class Disk:
    """Counts the accesses to a folder, and fails at one of them.

    Args:
        folder: the run folder.
        fails: the number of the access that fails, from 0; None fails never.
        kind: `error`: that access alone raises an OSError; `death`: that and all later ones do not happen.
    """

    def __init__(self, folder: Path, fails: int | None, kind: str = "error") -> None:
        self.folder = str(folder)
        self.fails, self.kind = fails, kind
        self.told: list[str] = []

    def counted(self, what: str) -> bool:
        """Counts an access. Returns: whether it is the one that fails; raises Death if it does not happen any more."""
        number = len(self.told)
        self.told.append(what)
        if self.fails is not None and self.kind == "death" and number > self.fails:
            raise Death(what)
        return number == self.fails

    def fail(self, path: object) -> None:
        if self.kind == "death":
            raise Death(path)
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    def inside(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self.folder)

    def of_path(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, which fails in its turn if its first argument is in the folder."""

        def wrapped(path: Any, *args: Any, **how: Any) -> Any:
            if self.inside(path) and self.counted(f"{call.__name__} {path}"):
                self.fail(path)
            return call(path, *args, **how)

        return wrapped

    def opened(self, path: Any, mode: str = "r", *args: Any, **how: Any) -> Any:
        found = OPEN(path, mode, *args, **how) if not self.inside(path) else None
        if found is not None:
            return found
        if self.counted(f"open {path} {mode}"):
            self.fail(path)
        return (
            Written(OPEN(path, mode, *args, **how), self) if mode not in ("r", "rb") else OPEN(path, mode, *args, **how)
        )

    def synced(self, number: int) -> None:
        if self.counted("fsync"):
            self.fail("fsync")
        FSYNC(number)


class Written:
    """A file that is written halfway in its turn."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self.file, self.disk = file, disk

    def __enter__(self) -> Written:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, content: bytes) -> int:
        if self.disk.counted(f"write {self.file.name}"):
            self.file.write(content[: len(content) // 2])
            self.disk.fail(self.file.name)
        return int(self.file.write(content))

    def truncate(self, size: int) -> int:
        if self.disk.counted(f"truncate {self.file.name}"):
            self.disk.fail(self.file.name)
        return int(self.file.truncate(size))


OPEN, FSYNC = io.open, os.fsync


@contextmanager
def disk(folder: Path, fails: int | None = None, kind: str = "error") -> Iterator[Disk]:
    """The disk of `folder` in the block, for this process alone."""
    found = Disk(folder, fails, kind)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("mkdir", "replace", "unlink", "rmdir", "open"):
            patch.setattr(os, name, found.of_path(getattr(os, name)))
        patch.setattr(os, "fsync", found.synced)
        patch.setattr(io, "open", found.opened)
        yield found


def disturbed(run: Callable[[Path], object], out: Path, fails: int, kind: str) -> None:
    """A run that fails at one access and is started again.

    The first one ends with an error that names the folder, or does without that access; the second one ends well.
    """
    with disk(out, fails, kind) as failing:
        try:
            run(out)
        except Death:
            assert kind == "death"
        except (OSError, ValueError) as error:
            assert kind == "error" and out.name in str(error), f"{failing.told[fails]}: {error!r}"
    assert len(failing.told) > fails
    run(out)


def places(count: int, stride: int) -> range:
    """Some of the accesses, so that the last one is among them."""
    return range((count - 1) % stride, count, stride)


def distinct(told: list[str]) -> list[int]:
    """The accesses without those that every trial repeats: of each kind and predecessor, the first and the last."""
    kinds = [re.sub(r"(?<=trials/)[^/ ]+|[0-9a-f]{32}|[0-9]+", "*", what) for what in told]
    first: dict[tuple[str, str], int] = {}
    last: dict[tuple[str, str], int] = {}
    for number, pair in enumerate(zip(["", *kinds], kinds, strict=False)):
        first.setdefault(pair, number)
        last[pair] = number
    return sorted({*first.values(), *last.values()})


def test_accesses_that_every_trial_repeats_are_told_apart_from_the_rest():
    trial = ["open /out/trials/{} w", "write /out/trials/{}", "fsync"]
    told = ["mkdir /out", *(what.format(name) for name in ("se-1", "none-1", "plain-1") for what in trial), "fsync"]
    assert distinct(told) == [0, 1, 2, 3, 4, 7, 8, 9, 10]


def names(folder: Path) -> set[str]:
    """Everything in a folder and below."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


# ---- comparing


@pytest.fixture(scope="module")
def comparison(tiny: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Runs a comparison into a folder; the folder of one that nothing disturbed, and how often it used the disk."""
    place = tmp_path_factory.mktemp("comparison")
    source = tiny.paint(place / "images")

    def run(out: Path) -> None:
        tiny.compared(out, source, epochs=1)

    with disk(place / "out") as counting:
        run(place / "out")
    return SimpleNamespace(run=run, out=place / "out", told=counting.told)


def test_a_comparison_uses_the_disk_as_it_is_thought(comparison):
    kinds = {word.split()[0] for word in comparison.told}
    assert kinds == {"mkdir", "open", "write", "fsync", "replace", "unlink", "truncate"}
    assert 100 < len(comparison.told) < 300
    assert not any(path.name.endswith((".part", ".pt")) for path in comparison.out.rglob("*"))


def held(comparison: SimpleNamespace, tiny: SimpleNamespace, tmp_path: Path, fails: int, kind: str) -> None:
    out = tmp_path / f"out{fails}"
    disturbed(comparison.run, out, fails, kind)
    tiny.assert_same_run(out, comparison.out)
    assert len(result(out).rows) == 3
    assert names(out) == names(comparison.out), comparison.told[fails]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_a_comparison_outlives_every_failure_of_the_disk(kind, part, comparison, tiny, tmp_path):
    chosen = distinct(comparison.told)
    assert len(comparison.told) / 5 < len(chosen)
    for fails in chosen[part::4]:
        held(comparison, tiny, tmp_path, fails, kind)


# ---- training


@pytest.fixture(scope="module")
def training(tiny: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The same of a training of two epochs."""
    place = tmp_path_factory.mktemp("training")
    recipe = tiny.recipe(tiny.paint(place / "images"))

    def run(out: Path) -> None:
        tiny.trained(out, recipe)

    with disk(place / "out") as counting:
        run(place / "out")
    return SimpleNamespace(run=run, out=place / "out", told=counting.told)


@pytest.mark.parametrize(("kind", "part"), [
    *((kind, None) for kind in KINDS), *(pytest.param(kind, 0, marks=pytest.mark.slow) for kind in KINDS),
])  # fmt: skip
def test_a_training_outlives_failures_of_the_disk(kind, part, training, tiny, tmp_path):
    assert 50 < len(training.told) < 150
    for fails in places(len(training.told), 7 if part is None else 1):
        out = tmp_path / f"out{fails}"
        disturbed(training.run, out, fails, kind)
        tiny.assert_same_weights(out, training.out)
        ours, theirs = (json.loads((folder / "result.json").read_text()) for folder in (out, training.out))
        assert ours["scores"] == theirs["scores"] and ours["network"] == theirs["network"]
        assert [epoch["loss"] for epoch in ours["history"]["classify"]] == [
            epoch["loss"] for epoch in theirs["history"]["classify"]
        ]
        assert names(out) == names(training.out), training.told[fails]
