"""The coloured frames: what an image is, that its answer can be read from it, and which networks find it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from regard.comparing import Comparison, building, statistics, trial
from regard.data import ImageSet, frames, load
from regard.tasks.classify import Classify
from regard.training.evaluate import evaluate
from regard.training.loop import fit


def near(pixel: torch.Tensor, colours: tuple[tuple[float, float, float], ...]) -> tuple[float, int]:
    """How far the nearest of some colours is from a pixel, and which it is."""
    distances = (torch.tensor(colours) - pixel).abs().amax(1)
    return float(distances.min()), int(distances.argmin())


def read(image: torch.Tensor) -> tuple[int, list[tuple[int, int]]]:
    """Reads an image as a person does: the colour of the block, and (colour, fill) of the three frames.

    In each quarter, what is brighter than the canvas is looked at: at its corner and in its middle.
    """
    size = image.shape[1]
    half = size // 2
    blocks, framed = [], []
    for rows in (slice(0, half), slice(size - half, size)):
        for columns in (slice(0, half), slice(size - half, size)):
            quarter = image[:, rows, columns]
            bright = quarter.amax(0) > 0.5
            ys, xs = bright.any(1).nonzero()[:, 0], bright.any(0).nonzero()[:, 0]
            far, colour = near(quarter[:, ys[0], xs[0]], frames.COLOURS)
            assert far < 0.2
            middle = quarter[:, (ys[0] + ys[-1] + 1) // 2, (xs[0] + xs[-1] + 1) // 2]
            if near(middle, frames.COLOURS) < near(middle, frames.FILLS):
                blocks.append(colour)
            else:
                framed.append((colour, near(middle, frames.FILLS)[1]))
    (asked,) = blocks
    return asked, framed


@pytest.mark.parametrize("size", [24, 37, 48, 96])
def test_the_answer_can_be_read_from_the_pixels(size: int) -> None:
    found = load("frames", image_size=size, seed=5, train_size=97, test_size=53)
    for split in (found.train, found.test):
        for image, label in split:
            asked, framed = read(image)
            assert sorted(colour for colour, _ in framed) == [0, 1, 2]
            assert len({fill for _, fill in framed}) == 3
            assert dict(framed)[asked] == label


def test_an_image_depends_on_seed_part_and_index_only() -> None:
    long = load("frames", train_size=11, test_size=11)
    short = load("frames", train_size=7, test_size=5)
    assert torch.equal(long.train.images(range(7)), short.train.images(range(7)))
    assert torch.equal(long.test.images([4]), short.test.images([4]))
    assert torch.equal(load("frames", train_size=11).train.images([10, 3]), long.train.images([10, 3]))
    for other in (long.test, load("frames", seed=1, train_size=11).train):
        assert not (long.train.images(range(11)) == other.images(range(11))).flatten(1).all(1).any()
    assert long.train[-1][1] == long.train.labels[10] and long.train.squares(-1) == long.train.squares(10)
    with pytest.raises(IndexError, match="index 11 is out of range"):
        long.train.squares(11)


def test_no_test_image_is_a_training_image() -> None:
    found = load("frames", train_size=400, test_size=400)
    seen = {image.numpy().tobytes() for image in found.train.images(range(400))}
    assert len(seen) == 400
    assert not seen & {image.numpy().tobytes() for image in found.test.images(range(400))}


def test_neither_the_fills_nor_the_places_tell_the_class() -> None:
    count = 2400
    split = load("frames", train_size=count).train
    assert np.bincount(split.labels).tolist() == [count // 4] * 4
    drawn = [split.squares(i) for i in range(count)]
    assert [squares[0].fill for squares in drawn] == split.labels
    assert all(squares[3].fill is None and squares[3].colour == squares[0].colour for squares in drawn)
    fills = np.array([[square.fill for square in squares[:3]] for squares in drawn])
    for absent in range(4):  # among images with the same three fills each is the answer once in three times
        answers = fills[(fills != absent).all(1), 0]
        shares = np.bincount(answers, minlength=4) / len(answers)
        assert np.abs(shares - (np.arange(4) != absent) / 3).max() < 0.06
    quarters = np.array(
        [[(square.box[0] >= 24) + 2 * (square.box[1] >= 24) for square in squares] for squares in drawn]
    )
    assert (np.sort(quarters, 1) == np.arange(4)).all()
    for values in (*quarters.T, [squares[0].colour for squares in drawn]):  # no place and no colour is preferred
        shares = np.bincount(values) / count
        assert np.abs(shares - 1 / len(shares)).max() < 0.03
    same = [np.bincount(quarters[fills[:, 0] == fill, 0], minlength=4) / (count // 4) for fill in range(4)]
    assert np.abs(np.array(same) - 0.25).max() < 0.06


@pytest.mark.parametrize("size", [24, 37, 48])
def test_squares_stay_apart_and_the_region_is_the_one_that_is_asked_for(size: int) -> None:
    split = load("frames", image_size=size, train_size=53).train
    for i in range(53):
        covered = torch.zeros(size, size, dtype=torch.int)
        for square in split.squares(i):
            left, top, right, bottom = square.box
            assert 0 <= left < right <= size and 0 <= top < bottom <= size and right - left == bottom - top
            covered[top:bottom, left:right] += 1
        assert covered.max() == 1
        left, top, right, bottom = split.squares(i)[0].box
        region = split.region(i)
        assert region.sum() == (right - left) * (bottom - top) and region[top:bottom, left:right].all()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"image_size": 23}, "image_size=23: at least 24 pixels"),
        ({"train_size": 3}, "train_size=3: at least 4 images"),
        ({"test_size": 2}, "test_size=2: at least 4 images"),
    ],
)
def test_what_cannot_be_drawn_is_refused(wrong: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load("frames", **wrong)


@cache
def drawn(size: int) -> tuple[ImageSet, list[tuple[torch.Tensor, int]]]:
    """The dataset, and its training images drawn once for all."""
    found = load("frames", image_size=size)
    return found, [found.train[i] for i in range(len(found.train))]


def accuracy(row: str, *, size: int, seed: int) -> float:
    """The test accuracy of a row of `make report`'s second comparison, in percent."""
    settings = Comparison(source="frames", attention=("nonlocal(pool=1)",), epochs=3, image_size=size, seeds=seed + 1)
    found, train = drawn(size)
    model = building.build(settings, row, seed, found, building.survey(settings, found))
    plan = trial.plan_of(settings, seed, trial.normalisation(model, found))
    fit(model, Classify(len(found.classes)), train, plan)
    return 100 * evaluate(model, Classify(len(found.classes)), found.test, normalise=plan.normalise)["accuracy"]


@pytest.mark.slow
def test_attention_finds_the_distant_answer_and_a_near_one_needs_none() -> None:
    """Chance is 25, one of the three frames 33; at 32 pixels the same frames are one cell of the deepest maps apart."""
    with_attention = np.array([accuracy("nonlocal(pool=1)", size=48, seed=seed) for seed in range(3)])
    without = np.array([accuracy("none", size=48, seed=seed) for seed in range(3)])
    assert statistics.over_seeds((with_attention - without).tolist()).low > 20
    assert without.max() < 50
    assert accuracy("none", size=32, seed=0) > 95
    drawn.cache_clear()  # 200 MB
