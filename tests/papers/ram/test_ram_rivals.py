"""The feed-forward networks that stand beside the glimpses, and the table of both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Generator

from regard.papers.dram.task import Read
from regard.papers.ram.network import RecurrentAttention
from regard.tasks.classify import Classify
from regard.training.plan import Plan


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))


@pytest.mark.parametrize("kind", ["fully-connected", "convolutional", "equal-multiplications"])
def test_a_rival_costs_nearly_as_much_and_never_more(kind: str) -> None:
    from benchmarks.fully_connected import multiplications, rival, size_of

    theirs = RecurrentAttention(glimpses=6)
    image = torch.zeros(1, 28, 28)
    model = rival(kind, theirs, image, Read(11, 2))
    assert model(torch.rand(3, 1, 28, 28)).shape == (3, 2, 11)
    if kind == "equal-multiplications":
        ours, most = multiplications(model, image), multiplications(theirs, image)
    else:
        ours, most = size_of(model), size_of(theirs)
    assert 0.95 * most < ours <= most
    if kind == "convolutional":
        with pytest.raises(ValueError, match="most=14685: at least 24"):
            rival(kind, RecurrentAttention(glimpse_hidden=32, location_hidden=16, hidden=64), image, Read(11, 2))


def test_digits_are_scattered_over_the_canvas_whole() -> None:
    from benchmarks.reading import scattered

    images = torch.rand(200, 1, 5, 7)
    placed = scattered(images, Generator().manual_seed(0), canvas=11)
    assert placed.shape == (200, 1, 11, 11)
    torch.testing.assert_close(placed.sum((1, 2, 3)), images.sum((1, 2, 3)))
    corners = set()
    for image, own in zip(placed[:, 0], images[:, 0], strict=True):
        top, left = (int(image.any(1 - axis).nonzero()[0]) for axis in (0, 1))
        assert torch.equal(image[top : top + 5, left : left + 7], own)
        corners.add((top, left))
    assert corners == {(top, left) for top in range(7) for left in range(5)}


def test_training_on_the_device_learns_and_repeats_itself() -> None:
    from benchmarks import resident

    images = torch.zeros(64, 1, 6, 6, dtype=torch.uint8)
    labels = torch.arange(64) % 2
    images[labels == 1, :, :3] = 200
    plan = Plan(epochs=20, batch_size=16, lr=0.05, seed=3)
    scores = []
    for _ in range(2):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 2))
        task = Classify(2, errors=True)
        losses: list[float] = []
        noisy = lambda x, g: x + 0.1 * torch.randn(x.shape, generator=g)  # noqa: E731
        resident.fit(model, task, images, labels, plan, noisy, on_epoch=lambda _, loss: losses.append(loss))  # noqa: B023
        assert len(losses) == 20 and losses[-1] < 0.2 * losses[0]
        scores.append((losses, resident.evaluate(model, task, images, labels, plan, noisy)))
    assert scores[0] == scores[1] and scores[0][1]["error"] == 0


def test_the_table_pairs_by_seed() -> None:
    from benchmarks.reading import table

    def one(network: str, seed: int, **scores: float) -> dict[str, object]:
        return {"network": network, "seed": seed, "parameters": 1234, "multiplications": 5_600_000, "scores": scores}

    results = [
        one("glimpses", 1, error=4.0, single_error=6.0, mean_error=5.0),
        one("glimpses", 2, error=5.0, single_error=7.0, mean_error=6.0),
        one("convolutional", 1, error=3.0),
        one("convolutional", 2, error=4.0),
    ]
    lines = table(results).splitlines()
    assert lines[2].startswith("| glimpses | 1,234 | 5.6 M | 2 | 4.50 [")
    assert lines[3].startswith("| glimpses, single_error | 1,234 | 5.6 M | 2 | 6.50 [")
    assert lines[5].endswith("| -1.00 [-1.00, -1.00] |")
    assert len(lines) == 6


@pytest.mark.parametrize(
    "name", ["CNN", "ST-CNN affine", "ST-CNN projective", "ST-CNN thin plate", "FCN", "ST-FCN affine"]
)
def test_networks_of_the_distorted_digits_have_as_many_parameters(name: str) -> None:
    from benchmarks.distorted import network
    from benchmarks.fully_connected import size_of

    model = network(name, 28, 100_000)
    assert 98_000 < size_of(model) <= 100_000
    assert model(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_the_control_is_warped_as_another_image_needs() -> None:
    from benchmarks.distorted import CONTROL, network

    torch.manual_seed(0)
    control = network(CONTROL, 28, 100_000)
    torch.manual_seed(0)
    own = network("ST-CNN affine", 28, 100_000)
    with torch.no_grad():
        for model in (control, own):
            torch.manual_seed(1)
            model.transform.regress.weight.normal_(std=0.01)
    images = torch.rand(3, 1, 28, 28)
    theta = own.transform.localised(images, None)
    torch.testing.assert_close(control.transform.localised(images, None), theta.roll(1, 0))
    assert not torch.allclose(theta[0], theta[1])
