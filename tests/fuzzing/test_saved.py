"""Mutated files of weights, checkpoints and run folders: where they have a digest, an error or what was written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

from regard import attach, catalog, published
from regard.backbones import build
from regard.catalog.rows import NONE, PLAIN
from regard.comparing import Comparison, result
from regard.comparing.folder import Folder
from regard.report import Record
from regard.saved import description, digests, opening
from regard.saved.description import Attached, Trained
from regard.tasks.classify import ACCURACY
from regard.training import checkpoints

STATE = {"weight": torch.arange(6.0).view(2, 3), "steps": torch.tensor(7), "half": torch.ones(5).bfloat16()}


def torch_file(name: str, zipped: bool) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        torch.save({"state_dict": STATE, "epoch": 3}, root / name, _use_new_zipfile_serialization=zipped)
        return root / name

    return make


def safetensors_file(root: Path) -> Path:
    (root / "file.safetensors").write_bytes(save(STATE, {"format": "pt"}))
    return root / "file.safetensors"


def checkpoint(root: Path) -> Path:
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(5, 3)).sum().backward()
    optimizer.step()
    states = {"model": layer.state_dict(), "optimizer": optimizer.state_dict(), "random": torch.get_rng_state()}
    checkpoints.save(root / "checkpoint.pt", states, {"settings": {"epochs": "5"}, "epoch": 2, "history": [0.5]})
    return root / "checkpoint.pt"


def read_checkpoint(root: Path) -> str:
    return repr(checkpoints.read(root / "checkpoint.pt", {"epochs": "5"}))


def system(root: Path) -> Path:
    """A trained system as `regard train` writes it."""
    entry = catalog.get("attention_vgg")
    arguments = dict(entry.kwargs)
    model = entry.load()(**arguments)
    named = description.arguments(partial(entry.load(), **arguments))
    assert named is not None
    about = Trained(
        entry=entry.name, arguments=named[1], normalise=((0.5,), (0.25,)), image=(3, 32, 32), recipe="x", tiny=True
    )
    path = root / "model.safetensors"
    path.write_bytes(digests.sealed_weights(save(model.state_dict(), about.metadata())))
    return path


def attached(root: Path) -> Path:
    """A trained backbone with attention as `regard compare` writes it."""
    model = build("test_resnet", classes=7, image_size=32)
    attach(model, "se", after=["layer2*"], example=torch.zeros(1, 3, 32, 32), reduction=4)
    host = Attached(backbone="test_resnet", classes=7, after=["layer2*"], arguments={"reduction": 4})
    about = Trained(entry="se", normalise=((0.5,), (0.25,)), image=(3, 32, 32), attached=host)
    path = root / "model.safetensors"
    path.write_bytes(digests.sealed_weights(save(model.state_dict(), about.metadata())))
    return path


def unsealed(content: bytes) -> bytes:
    """A file of weights without its digest, as a writer from elsewhere leaves it."""
    size = int.from_bytes(content[:8], "little")
    tree = json.loads(content[8 : 8 + size])
    del tree["__metadata__"][digests.KEY]
    written = json.dumps(tree).encode()
    return len(written).to_bytes(8, "little") + written + content[8 + size :]


def opened(root: Path) -> str:
    network = opening.open_network(weights=root / "model.safetensors")
    return digests.of(value.numpy().tobytes() for value in network.model.state_dict().values())


def compared(file: str) -> Callable[[Path], Path]:
    """A finished comparison of two rows, two seeds and five images."""

    def make(root: Path) -> Path:
        draw = np.random.default_rng(0)
        names, folder = (NONE, PLAIN, "se"), Folder(root)
        facts = {
            "data": "digits", "backbone": "b", "attention": list(names), "seeds": 2, "epochs": 1, "train_size": 10,
            "test_size": 5, "classes": ["a", "b"], "skipped": [], "pretrained": False, "chance": 0.5,
            "plain": {"parameters": 90, "largest": "se", "largest_parameters": 100}, "measure": asdict(ACCURACY),
            "data_facts": {}, "command": "regard compare",
        }  # fmt: skip
        settings = Comparison(attention=("se",), seeds=2)
        with folder.claimed():
            folder.begin(settings, facts)
        for trial in settings.trials:
            arrays = {"score": draw.random(5) < 0.5, "energy": draw.random(5), "pointing": draw.random(5) < 0.5}
            record = Record(
                row=trial.row, seed=trial.seed, measure=ACCURACY, score=float(arrays["score"].mean()),
                scores={"ece": 0.1}, through="Grad-CAM", history=({"epoch": 1, "loss": 0.5},), parameters=5,
                seconds=1.0, chance_energy=0.3,
            )  # fmt: skip
            folder.finish(trial, record, arrays)
        same = {"ratio": 1.0, "low": 1.0, "high": 1.0}
        folder.keep_costs(
            {name: {"parameters": 5, "flops": 7, "latency": {"1": same}, "peak_memory": 9} for name in names}
        )
        pictures = {
            "images": draw.integers(256, size=(2, 7, 5, 3), dtype=np.uint8), "regions": np.ones((2, 7, 5), bool),
            "has_region": np.array([True, False]), "labels": np.array([1, 0]),
        }  # fmt: skip
        for name in names:
            pictures |= {
                f"map.{name}": draw.random((2, 7, 5)).astype(np.float32), f"prediction.{name}": np.array([0, 1]),
                f"confidence.{name}": np.array([0.5, 0.75]),
            }  # fmt: skip
        folder.keep_gallery(pictures)
        return root / file

    return make


def read_result(root: Path) -> str:
    found = result(root)
    return repr((found.rows, found.sentences, found.records, found.measure))


@dataclass(frozen=True)
class Reader:
    """A reader: what writes a valid file and returns it, what reads it, and whether a digest has to hold."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    kind: str
    digest: bool = False
    share: float = 1.0  # of the mutations, for slow readers
    before: Callable[[bytes], bytes] = bytes  # what is done with the file before it is mutated
    after: Callable[[bytes], bytes] = (
        bytes  # what is done with a mutation: a new digest, as one who means harm gives it
    )


FOLDER = "a run folder"  # what an error may name in place of the file
READERS = {
    "published .pth": Reader(
        torch_file("file.pth", True), lambda root: repr(published.load(root / "file.pth")), "zip"
    ),
    "published .pt of old": Reader(
        torch_file("file.pt", False), lambda root: repr(published.load(root / "file.pt")), "bytes"
    ),
    "published .safetensors": Reader(
        safetensors_file, lambda root: repr(published.load(root / "file.safetensors")), "safetensors"
    ),
    "checkpoint": Reader(checkpoint, read_checkpoint, "zip", digest=True),
    "a system": Reader(system, opened, "safetensors", digest=True, share=0.1),
    "a system without digest": Reader(system, opened, "safetensors", share=0.2, before=unsealed),
    "attention in a backbone": Reader(attached, opened, "safetensors", digest=True, share=0.02),
    "attention without digest": Reader(attached, opened, "safetensors", share=0.1, before=unsealed),
    "run.json": Reader(compared("run.json"), read_result, "json", digest=True, share=0.5),
    "results.jsonl": Reader(compared("results.jsonl"), read_result, "json", digest=True, share=0.5),
    "costs.json": Reader(compared("costs.json"), read_result, "json", digest=True, share=0.5),
    "images.npz": Reader(compared("trials/se-1/images.npz"), read_result, "zip", digest=True, share=0.5),
    "checkpoint, sealed anew": Reader(
        checkpoint, read_checkpoint, "zip", share=0.5, before=digests.opened, after=digests.sealed
    ),
    "images.npz, sealed anew": Reader(
        compared("trials/se-1/images.npz"),
        lambda root: Folder(root).scores("se", [1]),
        "zip",
        before=digests.opened,
        after=digests.sealed,
    ),
    "gallery.npz, sealed anew": Reader(
        compared("gallery.npz"),
        lambda root: Folder(root).sound_gallery(),
        "zip",
        before=digests.opened,
        after=digests.sealed,
    ),
    "gallery.npz": Reader(compared("gallery.npz"), read_result, "zip", digest=True, share=0.5),
}  # fmt: skip


@pytest.mark.parametrize("count", [20, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", READERS)
def test_a_mutated_file_is_refused_by_name_or_read_as_it_was_written(tmp_path, fuzzing, mutated, name, count):
    reader, root = READERS[name], tmp_path / FOLDER
    root.mkdir()
    path = reader.make(root)
    content = reader.before(path.read_bytes())
    path.write_bytes(reader.after(content))
    wanted = reader.read(root)
    changes = mutated(content, 2, reader.kind)

    def cases() -> Iterator[tuple[object, str]]:
        for number in range(max(2, round(count * reader.share))):
            path.write_bytes(reader.after(next(changes)))
            yield f"mutation {number} of {path.name}", FOLDER

    fuzzing(lambda: reader.read(root), cases(), same=wanted if reader.digest else None)
