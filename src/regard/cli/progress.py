"""Progress bars with the time left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from regard.comparing import Trial
from regard.report import Record


class Bars:
    """One bar for the whole comparison, one for each running trial, and one line for each finished trial."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._running: dict[Trial, TaskID] = {}
        self._whole: TaskID | None = None
        self._steps = 0  # of one trial

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def phase(self, text: str) -> None:
        self._console.print(text, style="dim", highlight=False, markup=False)

    def begin(self, trials: Sequence[Trial], finished: int) -> None:
        if finished:
            self._console.print(f"{finished} trials were finished before; {len(trials)} to go", highlight=False)
        if trials:
            self._whole = self._progress.add_task("all trials", total=len(trials))

    def trial_started(self, trial: Trial) -> None:
        self._running[trial] = self._progress.add_task(escape(str(trial)), total=None)

    def step(self, trial: Trial, done: int, total: int) -> None:
        if trial in self._running:
            self._progress.update(self._running[trial], completed=done, total=total)
        if self._whole is not None and total:
            # The whole is counted in trials, but moves with every step, so that the time left means something early.
            tasks = {task.id: task for task in self._progress.tasks}
            part = sum(tasks[number].completed / (tasks[number].total or total) for number in self._running.values())
            self._progress.update(self._whole, completed=self._steps + part)

    def trial_finished(self, trial: Trial, record: Record) -> None:
        self._close(trial)
        score = f"{record.score:.1%}" if record.measure.unit == "%" else f"{record.score:.4g} {record.measure.unit}"
        looks = "" if record.energy is None else f", {record.energy:.0%} of its attention on the object"
        text = f"{trial.row}, seed {trial.seed}: {record.measure.title} {score.strip()}{looks}, {record.seconds:.0f} s"
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


class Steps:
    """One bar for a phase of a recipe, and one line for each epoch."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Steps:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def phase(self, name: str) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=None)

    def step(self, done: int, total: int, loss: float) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def image(self, done: int, total: int) -> None:
        if self._task is None:
            self.phase("images")
        self.step(done, total, 0.0)

    def epoch(self, done: int, record: Mapping[str, Any]) -> None:
        text = f"epoch {done}: loss {record['loss']:.4f}, {record['seconds']:.0f} s"
        self._console.print(text, highlight=False)
