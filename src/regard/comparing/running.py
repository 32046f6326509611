"""A comparison from its settings to a full run folder: prepare, run what is missing, measure, collect."""

from __future__ import annotations

import hashlib
import platform
import shlex
import uuid
from collections.abc import Sequence
from dataclasses import asdict, fields
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch

from regard import backbones, catalog
from regard import data as images_of
from regard.comparing import ALL, NONE, PLAIN, Comparison, Progress, Trial, building, cluster, measuring, workers
from regard.comparing import trial as trials
from regard.comparing.building import Blueprint
from regard.comparing.folder import Folder
from regard.comparing.workers import Event, Failed, Finished, Started, Stepped, Work
from regard.data import ImageSet
from regard.data.batches import Batch, normalised
from regard.tasks.classify import Classify

LATENCY_BATCHES = (1, 32)


def run(
    settings: Comparison, *, out: Path, ray: str | None, lanes: int | None, patience: float, progress: Progress
) -> Path:
    """See `regard.comparing.compare`, whose `workers` are the lanes."""
    for name in settings.mechanisms:
        if name != ALL:
            catalog.get(name)
    _check_placement(settings, lanes)
    if ray is not None:
        cluster.check_installed()
    folder = Folder(out)
    with folder.claimed():
        progress.phase(f"loading {settings.source}")
        images = images_of.load(
            settings.source,
            image_size=settings.image_size,
            regions=settings.regions,
            train_size=settings.train_size,
            test_size=settings.test_size,
        )
        progress.phase(f"fitting {', '.join(settings.mechanisms)} to {settings.backbone}")
        settings, left_out = building.fitting(settings, images)
        for name, reason in left_out.items():
            progress.phase(f"left out: {name}, {reason}")
        lanes = _lanes(settings, lanes)
        blueprint = building.survey(settings, images)
        found = _facts(settings, images, blueprint, out, max(1, torch.get_num_threads() // lanes))
        facts = folder.begin(settings, {**found, "left_out": left_out})
        finished = {(line["mechanism"], line["seed"]) for line in folder.results()}
        missing = [trial for trial in settings.trials if (trial.mechanism, trial.seed) not in finished]
        folder.reserve(_bytes_needed(blueprint, lanes, len(missing)))
        progress.begin(missing, len(settings.trials) - len(missing))
        work = Work(settings, images, blueprint, facts["threads"], out.resolve(), facts["id"])
        _run_all(missing, work, folder, lanes, ray, progress)
        if folder.costs() is None:
            with trials.threads(facts["threads"]):
                folder.keep_costs(_costs(settings, images, blueprint, patience, progress))
        if not folder.gallery.exists():
            progress.phase("collecting the gallery")
            folder.keep_gallery({**trials.gallery_images(images.test), **folder.gallery_parts(settings.attention)})
    return out


def _run_all(
    missing: Sequence[Trial], work: Work, folder: Folder, lanes: int, ray: str | None, progress: Progress
) -> None:
    """Runs the trials, wherever that is, and keeps each result the moment it is there."""
    failures: list[Failed] = []

    def tell(event: Event) -> None:
        match event:
            case Started(trial):
                progress.trial_started(trial)
            case Stepped(trial, done, total):
                progress.step(trial, done, total)
            case Finished(trial, outcome):
                folder.finish(trial, outcome.line, outcome.arrays, outcome.weights)
                progress.trial_finished(trial, outcome.line)
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
        raise ValueError(f"workers={workers}: at least 1 is needed")
    if settings.device not in ("cpu", "cuda"):
        raise ValueError(f"device={settings.device!r}: cpu or cuda is needed")
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device='cuda': torch sees no CUDA device here; use cpu")


def _lanes(settings: Comparison, workers: int | None) -> int:
    """How many trials run at once; on CPU one for each core that torch may use here."""
    usual = torch.cuda.device_count() if settings.device == "cuda" else torch.get_num_threads()
    return min(workers or usual, len(settings.trials))


def _bytes_needed(blueprint: Blueprint, lanes: int, missing: int) -> int:
    """A running trial keeps weights and two moments, twice while it writes; a finished one keeps its weights."""
    model = 4 * (blueprint.parameters + max(blueprint.added.values()))
    return model * (6 * lanes + missing) + (16 << 20) if missing else 0


def _facts(settings: Comparison, images: ImageSet, blueprint: Blueprint, out: Path, threads: int) -> dict[str, Any]:
    """What run.json holds beside the settings."""
    commonest = max(images.test.labels.count(label) for label in set(images.test.labels))
    largest = max(settings.mechanisms, key=blueprint.added.__getitem__)
    return {
        "id": uuid.uuid4().hex,
        "data": images.name,
        "backbone": settings.backbone,
        "attention": list(settings.attention),
        "seeds": settings.seeds,
        "epochs": settings.epochs,
        "image_size": images.test[0][0].shape[-1],
        "classes": list(images.classes),
        "train_size": len(images.train),
        "test_size": len(images.test),
        "skipped": [asdict(skipped) for skipped in images.skipped],
        "regions": {"files": list(images.regions), "unmatched": list(images.unmatched)},
        "sites": list(blueprint.sites),
        "looked_at": {
            "grid": list(blueprint.grid),
            "spatial_maps": list(blueprint.looked),
            "gradcam": blueprint.explained,
        },
        "plain": {
            "parameters": blueprint.added[PLAIN],
            "largest": largest,
            "largest_parameters": blueprint.added[largest],
            "widths": list(blueprint.widths),
        },
        "pretrained": settings.pretrained,
        "chance": commonest / len(images.test),
        "command": _command(settings, out),
        "threads": threads,
        "versions": {name: version(name) for name in ("regard", "torch", "timm")}
        | {"python": platform.python_version()},
        "data_facts": {
            "train images": len(images.train),
            "test images": len(images.test),
            "image names and labels": _digest(images),
        },
    }


def _digest(images: ImageSet) -> str:
    content = hashlib.blake2b(digest_size=8)
    for split in (images.train, images.test):
        for i, label in enumerate(split.labels):
            content.update(f"{split.name(i)}\0{images.classes[label]}\0".encode())
    return content.hexdigest()


def _command(settings: Comparison, out: Path) -> str:
    """The command that goes on with this run, or repeats it elsewhere."""
    usual, words = Comparison(), ["regard", "compare", settings.source]
    for field in fields(settings):
        value = settings.mechanisms if field.name == "attention" else getattr(settings, field.name)
        option = f"--{field.name.replace('_', '-')}"
        if field.name == "source" or (field.name != "attention" and value == getattr(usual, field.name)):
            continue
        if value is True:
            words.append(option)
        elif field.name == "after":
            words += [word for pattern in value for word in (option, pattern)]
        else:
            words += [option, ",".join(value) if isinstance(value, tuple) else str(value)]
    return shlex.join([*words, "--out", str(out)])


def _costs(
    settings: Comparison, images: ImageSet, blueprint: Blueprint, patience: float, progress: Progress
) -> dict[str, Any]:
    """Parameters, operations, latency and memory of every row, on untrained models, which cost the same."""
    device, task = torch.device(settings.device), Classify(len(images.classes))
    bare = building.build(settings, NONE, 0, images, blueprint).to(device)
    shown = list(islice(cycle(range(len(images.test))), max(LATENCY_BATCHES)))
    batch = normalised(images.test.images(shown).to(device), backbones.normalisation(bare))
    samples = Batch(image=batch, label=torch.tensor([images.test.labels[i] for i in shown], device=device))
    costs = {}
    for name in settings.attention:
        progress.phase(f"measuring what {name} costs")
        model = building.build(settings, name, 0, images, blueprint).to(device)
        costs[name] = {
            "parameters": measuring.parameters(model),
            "flops": measuring.flops(model, batch[:1]),
            "latency": {
                str(size): measuring.latency(model, bare, batch[:size], seconds=patience)
                if name != NONE
                else measuring.SAME
                for size in LATENCY_BATCHES
            },
            "peak_memory": measuring.peak_memory(model, batch, lambda model: task.loss(model, samples)[0]),
        }
    return costs
