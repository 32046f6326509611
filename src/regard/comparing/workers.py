"""Running trials on this machine: in this process, or in several worker processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch

from regard.comparing import Comparison, Trial
from regard.comparing import trial as trials
from regard.comparing.building import Blueprint
from regard.comparing.images import Images
from regard.comparing.trial import Outcome
from regard.training.memory import Advised, advised

TELL_EVERY = 0.2  # seconds between two reports of one trial's steps


@dataclass(frozen=True)
class Work:
    """The input of every worker.

    Args:
        settings, images, blueprint: of the comparison.
        threads: for one trial.
        out: the run folder.
        run: the id in its run.json, by which a worker knows that it sees this folder and not one of the same name.
    """

    settings: Comparison
    images: Images
    blueprint: Blueprint
    threads: int
    out: Path
    run: str


@dataclass(frozen=True)
class Started:
    trial: Trial


@dataclass(frozen=True)
class Stepped:
    trial: Trial
    done: int
    total: int


@dataclass(frozen=True)
class Finished:
    trial: Trial
    outcome: Outcome


@dataclass(frozen=True)
class Failed:
    """Args: error: one line; trace: where it came from; fatal: the next trial would meet it as well."""

    trial: Trial
    error: str
    trace: str
    fatal: bool


def less(settings: Comparison) -> str:
    """What needs less memory than these settings."""
    return f"fewer workers, a batch size below {settings.batch_size} or a smaller image size"


Event = Started | Stepped | Finished | Failed
Tell = Callable[[Event], None]


def perform(trial: Trial, work: Work, tell: Tell, lane: int = 0) -> None:
    """Runs one trial and reports its progress and its end; an error of the trial is reported, not raised."""
    tell(Started(trial))
    told = 0.0

    def on_step(done: int, total: int) -> None:
        nonlocal told
        if done == total or time.monotonic() - told >= TELL_EVERY:
            told = time.monotonic()
            tell(Stepped(trial, done, total))

    try:
        with trials.threads(work.threads), advised(less(work.settings)):
            outcome = trials.run(
                work.settings,
                trial,
                work.images,
                work.blueprint,
                folder=_checkpoints(trial, work),
                device=_device(work.settings.device, lane),
                on_step=on_step,
            )
    except Exception as error:
        kind = "" if isinstance(error, ValueError | OSError | Advised) else f"{type(error).__name__}: "
        tell(Failed(trial, f"{kind}{error}", traceback.format_exc(), isinstance(error, OSError)))
    else:
        tell(Finished(trial, outcome))


def in_this_process(missing: Sequence[Trial], work: Work, tell: Tell) -> None:
    """Runs the trials one after the other in this process."""
    for trial in missing:
        perform(trial, work, tell)


def in_processes(missing: Sequence[Trial], work: Work, lanes: int, tell: Tell) -> None:
    """Runs the trials in several worker processes, which end when this process ends.

    Raises: RuntimeError if a process dies.
    """
    context = multiprocessing.get_context("spawn")
    queue = list(reversed(missing))
    running: dict[Connection, tuple[SpawnProcess, Trial]] = {}
    processes: list[SpawnProcess] = []
    try:
        for lane in range(min(lanes, len(missing))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, work, lane), daemon=True)
            with _uninterrupted():
                process.start()
            theirs.close()  # so that the end of the process is the end of the pipe
            processes.append(process)
            running[ours] = process, queue.pop()
            ours.send(running[ours][1])
        while running:
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                process, trial = running[ready]
                try:
                    event: Event = ready.recv()
                except (EOFError, ConnectionResetError) as error:
                    process.join()
                    raise RuntimeError(
                        f"the process of trial {trial} died (exit code {process.exitcode}), perhaps for lack of "
                        "memory; the same command with fewer workers goes on"
                    ) from error
                if isinstance(event, Finished | Failed):
                    del running[ready]
                    if queue:
                        running[ready] = process, queue.pop()
                        ready.send(running[ready][1])
                    else:
                        ready.send(None)
                        ready.close()
                tell(event)
    finally:
        for process in processes:
            if running:
                process.terminate()
            process.join()
        for connection in running:
            connection.close()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Keeps Ctrl-C from the processes that start in the block, which would print a traceback; here it comes later."""
    if not hasattr(signal, "pthread_sigmask"):  # as on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, work: Work, lane: int) -> None:
    """The loop of a worker process: runs the trials that it receives, until it receives None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    threading.Thread(target=_die_with_parent, daemon=True).start()
    while (trial := connection.recv()) is not None:
        perform(trial, work, connection.send, lane)


def _die_with_parent() -> None:
    """Ends this worker when its parent ends, since it would otherwise write into the folder of the next run."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _checkpoints(trial: Trial, work: Work) -> Path | None:
    """The folder of the trial; None on a machine of a cluster that does not see the run folder."""
    try:
        seen = json.loads((work.out / "run.json").read_text(encoding="utf-8"))["id"]
    except (OSError, ValueError, KeyError):
        return None
    return work.out / "trials" / trial.folder if seen == work.run else None


def _device(kind: str, lane: int) -> torch.device:
    """The device of a lane; lanes take the CUDA devices in turn."""
    return torch.device(kind, lane % torch.cuda.device_count()) if kind == "cuda" else torch.device(kind)
