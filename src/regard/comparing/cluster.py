"""Running trials as tasks of an existing Ray cluster; this process collects and writes the results."""

from __future__ import annotations

import importlib.util
import logging
import socket
import warnings
from collections.abc import Sequence
from typing import Any

from regard.comparing import Trial
from regard.comparing.workers import Event, Failed, Started, Stepped, Tell, Work, perform

POLL = 0.2  # seconds


def check_installed() -> None:
    """Raises ImportError if Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise ImportError("trials on a Ray cluster need the extra regard[ray]: pip install 'regard[ray]'")


def on_ray(missing: Sequence[Trial], work: Work, address: str, tell: Tell) -> None:
    """Runs the trials on the cluster at `address`; its machines need this package and see the same images.

    Raises: ConnectionError if no cluster answers there.
    """
    _check_answers(address)
    import ray
    from ray.util.queue import Queue

    ours = not ray.is_initialized()
    if ours:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Ray about its own future
            try:
                ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise ConnectionError(f"no Ray cluster at {address!r}: {error}") from error
    gpus = 1 if work.settings.device == "cuda" else 0
    task = ray.remote(num_cpus=work.threads, num_gpus=gpus)(_on_node)
    queue = Queue(actor_options={"num_cpus": 0})
    shared = ray.put(work)
    running: dict[Any, Trial] = {task.remote(trial, shared, queue): trial for trial in missing}
    try:
        while running:
            ended, _ = ray.wait(list(running), timeout=POLL)
            while not queue.empty():
                row, seed, *steps = queue.get()
                tell(Stepped(Trial(row, seed), *steps) if steps else Started(Trial(row, seed)))
            for reference in ended:
                trial = running.pop(reference)
                try:
                    event: Event = ray.get(reference)
                except ray.exceptions.RayError as error:
                    event = Failed(trial, f"Ray lost it: {error}", str(error), False)
                tell(event)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        queue.shutdown(force=True)
        if ours:
            ray.shutdown()


def _check_answers(address: str) -> None:
    """Raises ConnectionError at once if nothing listens at the address; Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdigit()):
        return  # "auto" and the like: Ray knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(f"no Ray cluster at {address!r}: {error}") from error


def _on_node(trial: Trial, work: Work, queue: Any) -> Event:
    """Runs one trial on the cluster: sends progress through the queue and returns the final event."""
    ends: list[Event] = []

    def tell(event: Event) -> None:
        match event:
            case Started():
                queue.put((trial.row, trial.seed))
            case Stepped(_, done, total):
                queue.put((trial.row, trial.seed, done, total))
            case _:
                ends.append(event)

    perform(trial, work, tell)
    return ends[0]
