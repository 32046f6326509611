"""Digests: other images are refused, a flipped bit or a lost end is named with its cure, and the cure works."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

import regard
from regard.comparing import Trial, result
from regard.comparing.folder import Folder
from regard.data.contents import digest
from regard.saved import description, digests
from regard.saved.opening import open_network

FLIPS = 23  # of each file, at even distances


def stop(done: int, *_: object) -> None:
    """Interrupts a training after its first epoch."""
    if done == 4:
        raise KeyboardInterrupt


@pytest.fixture
def copied(finished, tmp_path) -> tuple[Path, Path]:
    out, source = finished
    shutil.copytree(out, tmp_path / "out")
    return tmp_path / "out", source


def flipped(content: bytes) -> list[bytes]:
    """The content with one bit changed, at even distances from the first byte to the last."""
    found = []
    for place in np.linspace(0, len(content) - 1, FLIPS).round().astype(int).tolist():
        found.append(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
    return found


def damaged(content: bytes) -> list[bytes]:
    """What is left of a file after a bit flipped, or its end was lost."""
    return [*flipped(content), b"", content[: len(content) // 2], content[:-2], content + b"\n" + content]


# ---- other images


def test_a_comparison_does_not_go_on_with_other_images_of_the_same_names(tmp_path, tiny):
    source, out = tiny.paint(tmp_path / "images", 0), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        tiny.compared(out, source, tiny.Stopping("plain"))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    tiny.paint(source, 1)
    with pytest.raises(
        ValueError, match=r"begun with other images \(the image pixels or regions differ\).*another --out"
    ):
        tiny.compared(out, source)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    tiny.paint(source, 0)
    told = tiny.Stopping()
    tiny.compared(out, source, told)
    assert told.missing == ["plain", "se(reduction=2)"]


def test_an_image_that_changes_during_a_comparison_is_noticed(tmp_path, monkeypatch, tiny):
    monkeypatch.setattr("regard.data.folder.KEEP_BYTES", 0)
    monkeypatch.setattr("regard.data.Split.keep", lambda *_: None)
    source = tiny.paint(tmp_path / "images", 0)

    class Changing(tiny.Stopping):
        def trial_started(self, trial):
            if trial.row == "plain":
                tiny.paint(source, 1)

    with pytest.raises(RuntimeError, match=r"plain-0: .*png: it has other pixels than when the folder was loaded"):
        tiny.compared(tmp_path / "out", source, Changing())


def test_a_training_does_not_go_on_with_other_images_of_the_same_names(tmp_path, tiny):
    source, out = tiny.paint(tmp_path / "images", 0), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        tiny.trained(out, tiny.recipe(source), on_step=stop)
    tiny.paint(source, 1)
    with pytest.raises(ValueError, match=r"checkpoint.pt has other settings \(content of the data was \w+, is \w+\)"):
        tiny.trained(out, tiny.recipe(source))
    tiny.paint(source, 0)
    steps: list[int] = []
    tiny.trained(out, tiny.recipe(source), on_step=lambda done, *_: steps.append(done))
    assert steps == [4, 5, 6]  # two epochs of 14 images in batches of 5, 5, 4


def test_a_dataset_without_a_digest_is_told_by_samples_over_all_of_it():
    one = [(torch.full((1, 2, 3), i / 1000), i) for i in range(1000)]
    assert digest(one) == digest(list(one))
    assert digest([*one[:-4], *one[-3:], one[0]]) != digest(one)
    assert digest(one[1:]) != digest(one)
    assert digest([{"image": image, "label": label, "mask": image} for image, label in one]) != digest(one)


# ---- damaged files


def test_a_damaged_file_of_a_comparison_is_named_with_its_cure(copied):
    out, _ = copied
    cures = {
        "run.json": "run.json (is damaged.*take a copy|was not written by this version).*another --out",
        "costs.json": "costs.json is damaged.*delete it, and the same command measures again",
        "gallery.npz": "gallery.npz is damaged.*delete it, and the same command makes it again",
        "trials/plain-0/images.npz": "images.npz is missing or damaged.*delete the folder .*plain-0, and the same",
    }
    for name, cure in cures.items():
        content = (out / name).read_bytes()
        for wrong in damaged(content):
            (out / name).write_bytes(wrong)
            with pytest.raises(ValueError, match=cure):
                result(out)
        (out / name).write_bytes(content)
    assert len(result(out).rows) == 3


def test_a_damaged_line_of_a_comparison_is_named_with_its_cure(copied, tiny):
    out, source = copied
    path = out / "results.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for wrong in flipped(lines[1][:-1])[::3]:
        path.write_bytes(lines[0] + wrong + b"\n" + lines[2])
        with pytest.raises(
            ValueError, match=r"results.jsonl, line [23], is no record of a trial.*delete the line, and the"
        ):
            tiny.compared(out, source)
    path.write_bytes(lines[0] + lines[2])  # the cure
    told = tiny.Stopping()
    tiny.compared(out, source, told)
    assert told.missing == ["plain"]


def test_what_is_deleted_is_made_again(copied, finished, tiny):
    out, source = copied
    for name in ("costs.json", "gallery.npz"):
        (out / name).unlink()
    shutil.rmtree(out / "trials" / "none-0")
    told = tiny.Stopping()
    found = tiny.compared(out, source, told)
    assert told.missing == ["none"] and [record.row for record in found.records] == list(tiny.ROWS)
    tiny.assert_same_run(out, finished[0])


def test_a_run_of_an_earlier_version_says_so(copied, tiny):
    out, source = copied
    run = json.loads((out / "run.json").read_bytes())
    del run["digest"]
    (out / "run.json").write_text(json.dumps({**run, "format": 2}))
    with pytest.raises(ValueError, match=r"run.json was not written by this version of regard compare; choose another"):
        tiny.compared(out, source)
    (out / "run.json").write_text(json.dumps(digests.sealed_object({**run, "format": 4})))
    with pytest.raises(ValueError, match=r"run.json was not written by this version of regard compare; choose another"):
        tiny.compared(out, source)


def test_a_flipped_bit_of_a_checkpoint_is_not_trained_on(tmp_path, tiny):
    source, out = tiny.paint(tmp_path / "images", 0), tmp_path / "out"
    given = tiny.recipe(source)
    with pytest.raises(KeyboardInterrupt):
        tiny.trained(out, given, on_step=stop)
    path = out / "phase-1-classify" / "checkpoint.pt"
    content, state = path.read_bytes(), torch.load(path, weights_only=True)["model"]
    place = content.index(state["stage.0.weight"].numpy().tobytes()) + 7  # of a weight: a sign or an exponent
    for wrong in [*damaged(content), content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :]]:
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"checkpoint.pt is damaged, .*; delete it to start again"):
            tiny.trained(out, given)
        assert path.read_bytes() == wrong
    path.unlink()  # the cure
    assert tiny.trained(out, given)["scores"]


@pytest.mark.parametrize("described", [True, False])
def test_a_flipped_bit_of_weights_is_not_looked_through(described, tmp_path):
    path = tmp_path / "model.safetensors"
    arguments = {"channels": 6, "reduction": 2}
    model = regard.create("se", **arguments)
    metadata = {"regard": '{"entry": "se"}', "format": "pt"} if described else None
    content = digests.sealed_weights(save(model.state_dict(), metadata))
    assert content == digests.sealed_weights(save(model.state_dict(), metadata)), "the same bytes each time"
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in load(content).items())
    path.write_bytes(content)
    digests.check_weights(path)
    noticed = 0
    for wrong in damaged(content):
        path.write_bytes(wrong)
        try:
            description.read(path)
        except ValueError as error:
            assert str(path) in str(error)
            noticed += "its digest is of another content" in str(error)
        else:  # of what the file says of itself, only the name of the digest is not covered
            assert len(wrong) == len(content) and load(wrong).keys() == model.state_dict().keys()
            assert all(torch.equal(value, model.state_dict()[name]) for name, value in load(wrong).items())
            assert b'"digest"' not in wrong
    assert noticed > FLIPS // 3


def test_weights_of_a_comparison_and_of_a_training_have_a_digest(finished, tmp_path, tiny):
    out, source = finished
    tiny.trained(tmp_path / "run", tiny.recipe(source))
    for folder in (Folder(out).trial(Trial(tiny.ROWS[2], 0)), tmp_path / "run"):
        content = (folder / "model.safetensors").read_bytes()
        assert b'"digest"' in content[:4000]
        spoiled = tmp_path / "model.safetensors"
        spoiled.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
        with pytest.raises(ValueError, match=r"model.safetensors is damaged: its digest is of another content"):
            open_network(weights=spoiled)
