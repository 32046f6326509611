"""Running a comparison: prepares the data and the models, runs the missing trials, measures costs, collects maps."""

from __future__ import annotations

import hashlib
import pickle
import platform
import shlex
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch

from regard import data as images_of
from regard.catalog import rows
from regard.catalog.rows import NONE, PLAIN
from regard.comparing import SCENES, Comparison, Progress, Trial, cluster, kinds, measuring, workers
from regard.comparing import trial as trials
from regard.comparing.building import Blueprint
from regard.comparing.folder import Folder
from regard.comparing.images import Images, OwnImages
from regard.comparing.workers import Event, Failed, Finished, Started, Stepped, Work
from regard.data.batches import Data
from regard.ops.seeds import mixed
from regard.saved.files import apart
from regard.training.evaluate import batches
from regard.training.memory import advised

LATENCY_BATCHES = (1, 32)
TELL_EVERY = 20.0  # seconds between two reports while the images of a folder are read


def run(
    settings: Comparison,
    *,
    datasets: tuple[Data, Data] | None,
    classes: Sequence[str] | None,
    out: Path,
    ray: str | None,
    lanes: int | None,
    patience: float,
    progress: Progress,
) -> None:
    """See `regard.comparing.compare`, whose `workers` are the lanes and whose `source` may be a pair of datasets."""
    _check_placement(settings, lanes)
    if ray is not None:
        cluster.check_installed()
    trials.plan_of(settings, 0, None)  # what it refuses is refused before anything is read or written
    if datasets is None and settings.source not in (*images_of.EMBEDDED, SCENES):
        apart(out, Path(settings.source).expanduser())
    if settings.regions is not None:
        apart(out, Path(settings.regions), "regions")
    folder = Folder(out)
    with folder.claimed(), advised(workers.less(settings)):
        progress.phase(f"loading {settings.source}")
        kind = kinds.of(settings)
        images = kind.load(settings, datasets, classes, _reading(progress))
        progress.phase(f"fitting {', '.join(settings.rows)} to {settings.backbone_name}")
        settings, left_out = kind.fitting(settings, images)
        for row, reason in left_out.items():
            progress.phase(f"left out: {row}, {reason}")
        lanes = _lanes(settings, images, lanes, progress)
        blueprint = kind.survey(settings, images)
        for note in blueprint.notes.values():
            progress.phase(note)
        _check_freezing(settings, images, blueprint)
        threads = max(1, torch.get_num_threads() // lanes)
        found = _facts(settings, images, blueprint, out if datasets is None else None, threads)
        facts = folder.begin(settings, {**found, "left_out": left_out})
        finished = folder.finished()
        missing = [trial for trial in settings.trials if (trial.row, trial.seed) not in finished]
        folder.reserve(_bytes_needed(blueprint, lanes, len(missing)))
        progress.begin(missing, len(settings.trials) - len(missing))
        work = Work(settings, images, blueprint, facts["threads"], out.resolve(), facts["id"])
        _run_all(missing, work, folder, lanes, ray, progress)
        if folder.costs() is None:
            with trials.threads(facts["threads"]):
                folder.keep_costs(_costs(settings, images, blueprint, patience, progress))
        if not folder.gallery.exists():
            progress.phase("collecting the gallery")
            truths = kind.truths(images, trials.gallery_choice(images.test))
            parts = folder.gallery_parts(settings.attention)
            folder.keep_gallery({**trials.gallery_images(images.test), **truths, **parts})


def _reading(progress: Progress) -> Callable[[int, int], None]:
    """Tells at times how many images of a folder are read."""
    told = time.monotonic()

    def on_image(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_EVERY:
            told = time.monotonic()
            progress.phase(f"read {done:,} of {total:,} images")

    return on_image


def _run_all(
    missing: Sequence[Trial], work: Work, folder: Folder, lanes: int, ray: str | None, progress: Progress
) -> None:
    """Runs the trials, locally or on a cluster, and writes each result as soon as it is finished."""
    failures: list[Failed] = []

    def tell(event: Event) -> None:
        match event:
            case Started(trial):
                progress.trial_started(trial)
            case Stepped(trial, done, total):
                progress.step(trial, done, total)
            case Finished(trial, outcome):
                folder.finish(trial, outcome.record, outcome.arrays, outcome.weights)
                progress.trial_finished(trial, outcome.record)
            case Failed(trial, error, _, fatal):
                progress.failed(trial, error)
                if fatal:
                    raise OSError(error)
                failures.append(event)

    if ray is not None:
        cluster.on_ray(missing, work, ray, tell)
    elif min(lanes, len(missing)) == 1:
        workers.in_this_process(missing, work, tell)
    else:
        workers.in_processes(missing, work, lanes, tell)
    if failures:
        first = failures[0]
        error = RuntimeError(
            f"{len(failures)} of {len(missing)} trials failed, the first of them {first.trial}: {first.error} "
            "(what finished is kept; the same command tries the rest again)"
        )
        error.add_note(first.trace)
        raise error


def _check_placement(settings: Comparison, workers: int | None) -> None:
    """Raises: ValueError if there is no worker, or the device is not there."""
    if workers is not None and workers < 1:
        raise ValueError(f"workers={workers}: at least 1 is accepted")
    if settings.device not in ("cpu", "cuda"):
        raise ValueError(f"device={settings.device!r}: cpu and cuda are accepted")
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device='cuda': torch sees no CUDA device here; use cpu")


def _check_freezing(settings: Comparison, images: Images, blueprint: Blueprint) -> None:
    """Raises: ValueError if the backbone is to be frozen and its classifier cannot be told."""
    if settings.freeze is not None:
        kind = kinds.of(settings)
        try:
            bare = kind.build(settings, NONE, 0, images, blueprint)
            kind.learning(NONE, bare, blueprint, kind.task(settings, images))
        except ValueError as error:
            raise ValueError(f"freeze={settings.freeze!r}: {error}") from error


def _lanes(settings: Comparison, images: Images, workers: int | None, progress: Progress) -> int:
    """The number of trials that run at once; on the CPU by default one for each core that torch uses.

    Raises: ValueError if several are asked for and something of the user's cannot be sent to another process.
    """
    usual = torch.cuda.device_count() if settings.device == "cuda" else torch.get_num_threads()
    lanes = min(workers or usual, len(settings.trials))
    if lanes == 1 or (problem := _unsendable(settings, images)) is None:
        return lanes
    if workers is not None:
        raise ValueError(f"workers={workers}: {problem}; workers=1 is accepted")
    progress.phase(f"one process, because {problem}")
    return 1


def _unsendable(settings: Comparison, images: Images) -> str | None:
    """The reason why these settings and images cannot be sent to a worker process; None if they can."""
    theirs = [settings.backbone, settings.augment, settings.task or "", images if isinstance(images, OwnImages) else ""]
    if all(isinstance(one, str) for one in theirs):
        return None
    try:
        content = pickle.dumps(theirs)
    except Exception as error:  # pickle raises several types, and an object's own methods any
        return f"the datasets or functions cannot be pickled ({' '.join(str(error).split())})"
    if b"__main__" in content and not hasattr(sys.modules.get("__main__"), "__file__"):
        return "the datasets or functions are defined in an interactive session"
    return None


def _bytes_needed(blueprint: Blueprint, lanes: int, missing: int) -> int:
    """The disk space that the missing trials need: checkpoints of running ones and weights of finished ones."""
    model = 4 * (blueprint.parameters + max(blueprint.added.values()))
    return model * (6 * lanes + missing) + (16 << 20) if missing else 0


def _facts(
    settings: Comparison, images: Images, blueprint: Blueprint, out: Path | None, threads: int
) -> dict[str, Any]:
    """The content of run.json, without the settings; `out` is the run folder of a run that a command repeats."""
    kind, size = kinds.of(settings), images.test.images([0]).shape[-2:]
    common, largest = blueprint.places[NONE], blueprint.largest
    elsewhere = [row for row in settings.rows if rows.parse(row, heads=settings.segments).places]
    return {
        "id": uuid.uuid4().hex,
        "data": images.name,
        "backbone": settings.backbone_name,
        "attention": list(settings.attention),
        "measure": asdict(kind.task(settings, images).measure),
        "seeds": settings.seeds,
        "epochs": settings.epochs,
        "image_size": size[1] if size[0] == size[1] else list(size),
        "classes": list(images.classes),
        "train_size": len(images.train),
        "test_size": len(images.test),
        "skipped": [asdict(skipped) for skipped in images.skipped],
        "regions": {"files": list(images.regions), "unmatched": list(images.unmatched)},
        "sites": list(next((blueprint.places[row].sites for row in settings.rows if row not in elsewhere), ())),
        "places": {row: list(blueprint.places[row].sites) for row in elsewhere},
        "looked_at": {"grid": list(common.grid), "spatial_maps": list(common.looked), "gradcam": common.explained},
        "plain": {
            "parameters": blueprint.added[PLAIN],
            "largest": largest,
            "largest_parameters": blueprint.added[largest],
            "widths": list(blueprint.widths),
        },
        "pretrained": settings.pretrained,
        "chance": kind.chance(images),
        "command": None if out is None else _command(settings, out),
        "threads": threads,
        "versions": {name: version(name) for name in ("regard", "torch", "timm")}
        | {"python": platform.python_version()},
        "data_facts": {
            "train images": len(images.train),
            "test images": len(images.test),
            "parameters of the backbone": blueprint.parameters,
        },
        "data_digests": _digests(images),
        **kind.facts(settings, images, blueprint),
    }


def _digests(images: Images) -> dict[str, str]:
    """Digests of the images: of the names, labels and pixels of files, of the samples of own datasets."""
    parts = (images.train, images.test)
    content = [getattr(part, "digest", None) for part in parts]
    whole = f"{mixed(*content):016x}"
    if isinstance(images, OwnImages):
        return {"samples": whole}
    names = hashlib.blake2b(digest_size=8)
    for part in parts:
        for i, label in enumerate(part.labels):
            names.update(f"{part.name(i)}\0{images.classes[label]}\0".encode())
    found = {"image names and labels": names.hexdigest()}
    return found if None in content else {**found, "image pixels or regions": whole}


def _command(settings: Comparison, out: Path) -> str | None:
    """The command that resumes or repeats this run; None if an argument has no form on the command line."""
    # The rates that these settings would have by themselves need no option.
    usual = replace(settings, lr=None, weight_decay=None)
    standard = {**Comparison().facts(), "lr": usual.lr, "weight_decay": usual.weight_decay}
    words = ["regard", "compare", settings.source, "--attention", ", ".join(settings.rows)]
    for field in fields(settings):
        value, option = getattr(settings, field.name), f"--{field.name.replace('_', '-')}"
        if field.name in ("source", "attention") or value == standard[field.name]:
            continue
        if value is True:
            words.append(option)
        elif field.name == "after":
            words += [word for pattern in value for word in (option, pattern)]
        elif isinstance(value, str | int | float):
            words += [option, str(value)]
        else:
            return None
    return shlex.join([*words, "--out", str(out)])


def _costs(
    settings: Comparison, images: Images, blueprint: Blueprint, patience: float, progress: Progress
) -> dict[str, Any]:
    """Parameters, operations, latency and memory of every row, on untrained models, which cost the same."""
    device, kind = torch.device(settings.device), kinds.of(settings)
    task = kind.task(settings, images)
    bare = kind.build(settings, NONE, 0, images, blueprint).to(device)
    shown = list(islice(cycle(range(len(images.test))), max(LATENCY_BATCHES)))
    normalise = trials.normalisation(bare, images)
    (batch,) = batches(images.test, shown, batch_size=len(shown), device=device, normalise=normalise)
    pictures = batch["image"]
    costs = {}
    for row in settings.attention:
        progress.phase(f"measuring what {row} costs")
        model = kind.build(settings, row, 0, images, blueprint).to(device)
        costs[row] = {
            "parameters": measuring.parameters(model),
            "flops": measuring.flops(model, pictures[:1]),
            "latency": {
                str(size): measuring.latency(model, bare, pictures[:size], seconds=patience)
                if row != NONE
                else measuring.SAME
                for size in LATENCY_BATCHES
            },
            "peak_memory": measuring.peak_memory(model, pictures, lambda model: task.loss(model, batch)[0]),
        }
    return costs
