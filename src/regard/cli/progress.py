"""Progress on standard error: bars with the time left on a terminal, lines elsewhere, as in a log."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from regard.comparing import Trial
from regard.report import Record
from regard.report.numbers import Scale, percent

EVERY = 20.0  # seconds between two lines about steps, where there are no bars


class _Shown:
    """The bars of a terminal, or lines in their place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines = not console.is_terminal
        self._told = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=self._lines,
        )

    def _start(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _line(self, text: str) -> None:
        """Prints a line if there are no bars."""
        if self._lines:
            self._told = time.monotonic()
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _line_at_times(self, text: str) -> None:
        """Prints a line if there are no bars, and no line was printed for a while."""
        if time.monotonic() - self._told >= EVERY:
            self._line(text)


class Bars(_Shown):
    """One bar for the whole comparison, one for each running trial, and one line for each finished trial."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._running: dict[Trial, TaskID] = {}
        self._whole: TaskID | None = None
        self._trials = 0  # to run
        self._started = 0
        self._steps = 0  # of one trial

    def __enter__(self) -> Bars:
        self._start()
        return self

    def phase(self, text: str) -> None:
        self._console.print(text, style="dim", highlight=False, markup=False)

    def begin(self, trials: Sequence[Trial], finished: int) -> None:
        self._trials = len(trials)
        if finished:
            self._console.print(f"{finished} trials were finished before; {len(trials)} to go", highlight=False)
        if trials:
            self._whole = self._progress.add_task("all trials", total=len(trials))

    def trial_started(self, trial: Trial) -> None:
        self._started += 1
        self._line(f"{trial.row}, seed {trial.seed}: started, trial {self._started} of {self._trials}")
        self._running[trial] = self._progress.add_task(escape(str(trial)), total=None)

    def step(self, trial: Trial, done: int, total: int) -> None:
        self._line_at_times(f"{trial.row}, seed {trial.seed}: step {done} of {total}")
        if trial in self._running:
            self._progress.update(self._running[trial], completed=done, total=total)
        if self._whole is not None and total:
            # The whole is counted in trials, but moves with every step, so that the time left means something early.
            tasks = {task.id: task for task in self._progress.tasks}
            part = sum(tasks[number].completed / (tasks[number].total or total) for number in self._running.values())
            self._progress.update(self._whole, completed=self._steps + part)

    def trial_finished(self, trial: Trial, record: Record) -> None:
        self._close(trial)
        score = Scale(record.measure).phrase(record.score)
        looks = (
            "" if record.energy is None else f", {percent(record.energy, 0)} % of its {record.through} on the object"
        )
        text = f"{trial.row}, seed {trial.seed}: {record.measure.title} {score}{looks}, {record.seconds:.0f} s"
        self._console.print(text, highlight=False, markup=False)

    def failed(self, trial: Trial, error: str) -> None:
        self._close(trial)
        self._console.print(f"{trial.row}, seed {trial.seed} failed: ", end="", style="red", markup=False)
        self._console.print(error, highlight=False, markup=False)

    def _close(self, trial: Trial) -> None:
        if trial in self._running:
            self._progress.remove_task(self._running.pop(trial))
        self._steps += 1
        if self._whole is not None:
            self._progress.update(self._whole, completed=self._steps)


class Steps(_Shown):
    """One bar for a phase of a recipe, and one line for each epoch."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._name = ""
        self._task: TaskID | None = None

    def __enter__(self) -> Steps:
        self._start()
        return self

    def phase(self, name: str) -> None:
        self._line(f"{name}: started")
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._name, self._task = name, self._progress.add_task(name, total=None)

    def step(self, done: int, total: int, loss: float) -> None:
        self._line_at_times(f"{self._name}: step {done} of {total}, loss {loss:.4f}")
        self._move(done, total)

    def image(self, done: int, total: int) -> None:
        if self._task is None:
            self.phase("images")
        self._line_at_times(f"{self._name}: {done} of {total}")
        self._move(done, total)

    def epoch(self, done: int, record: Mapping[str, Any]) -> None:
        self._told = time.monotonic()
        text = f"epoch {done}: loss {record['loss']:.4f}, {record['seconds']:.0f} s"
        self._console.print(text, highlight=False)

    def _move(self, done: int, total: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total)
