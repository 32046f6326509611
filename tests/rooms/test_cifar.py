"""CIFAR's files: read as written, and without running what they ask for."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

from regard.data import cifar


def write(path, content) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


def ten(folder):
    folder.mkdir()
    random = np.random.default_rng(0)
    pixels = random.integers(256, size=(6, 7, 3072), dtype=np.uint8)
    labels = random.integers(10, size=(6, 7)).tolist()
    for i, name in enumerate((*cifar.TEN, "test_batch")):
        write(folder / name, {b"data": pixels[i], b"labels": labels[i]})
    write(folder / "batches.meta", {b"label_names": [f"class {i}".encode() for i in range(10)]})
    return pixels, labels


def test_ten_classes(tmp_path):
    pixels, labels = ten(tmp_path / "cifar-10-batches-py")
    found = cifar.load(tmp_path)
    assert (len(found.train), len(found.test)) == (35, 7)
    assert found.classes[3] == "class 3"
    image, label = found.train[7 + 2]  # the third of the second file
    assert label == labels[1][2]
    assert image[2, 5, 4] == pytest.approx(pixels[1, 2, 2 * 1024 + 5 * 32 + 4] / 255)
    assert torch.equal(found.test.images([6])[0], found.test[6][0])


def test_a_hundred_classes(tmp_path):
    pixels = np.zeros((3, 3072), np.uint8)
    for name in ("train", "test"):
        write(tmp_path / name, {"data": pixels, "fine_labels": [99, 0, 41], "coarse_labels": [1, 2, 3]})
    found = cifar.load(tmp_path)
    assert found.train.labels == [99, 0, 41]
    assert len(found.classes) == 100


class Runs:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_code_in_a_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "test_batch", {b"data": Runs()})
    with pytest.raises(ValueError, match="mkdir"):
        cifar.read(tmp_path / "test_batch")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({b"data": np.zeros((2, 9), np.uint8), b"labels": [0, 1]}, "3072"),
        ({b"data": np.zeros((2, 3072)), b"labels": [0, 1]}, "float64"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, "one label for each of 2"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10]}, "0 to 9"),
        ([1, 2], "dictionary"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, content, says):
    ten(tmp_path / "all")
    write(tmp_path / "all" / "data_batch_2", content)
    with pytest.raises(ValueError, match=says):
        cifar.load(tmp_path / "all")


def test_a_folder_without_it_says_what_it_should_hold(tmp_path):
    with pytest.raises(FileNotFoundError, match="data_batch_1"):
        cifar.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        cifar.load(tmp_path / "none")


def test_the_augmentation_moves_and_mirrors():
    image = torch.arange(3 * 32 * 32, dtype=torch.float32).view(3, 32, 32)
    seen = [cifar.shifted(image, torch.Generator().manual_seed(seed)) for seed in range(40)]
    assert all(other.shape == image.shape for other in seen)
    middles = {round(float(other[0, 16, 16])) for other in seen}
    allowed = {r * 32 + c for r in range(12, 21) for c in (*range(12, 21), *range(11, 20))}
    assert len(middles) > 20
    assert middles <= allowed
