"""Drawn clips: what a clip is, that its answer can be read from it, and what the answer depends on."""

from __future__ import annotations

import pytest
import torch

from regard.data import drawn_clips
from regard.data.drawn_clips import DrawnClips
from regard.data.frames import COLOURS, FILLS


def shown(image: torch.Tensor) -> tuple[int, int | None] | None:
    """Reads an image `3 H W` as a person does: the colour of its square and of what is inside; None for nothing."""
    colours = torch.tensor(COLOURS + FILLS)
    bright = image.amax(0) > 0.4
    if not bright.any():
        return None
    near = torch.cdist(image[:, bright].T, colours).argmin(1).bincount(minlength=len(colours))
    edge, inside = near[: len(COLOURS)], near[len(COLOURS) :]
    return int(edge.argmax()), int(inside.argmax()) if inside.sum() > 0.15 * edge.sum() else None


@pytest.mark.parametrize("question", ["match", "order"])
def test_the_answer_can_be_read_from_the_clip(question: str) -> None:
    data = DrawnClips(question, count=12, frames=12, size=32, seed=5)
    for i in range(len(data)):
        sample = data[i]
        assert sample["image"].shape == (3, 12, 32, 32) and 0 <= sample["image"].min() <= sample["image"].max() <= 1
        moments = [shown(sample["image"][:, t]) for t in (1, 4, 7, 10)]
        assert tuple(moments) == data.moments(i)
        for t in range(12):  # a moment is a quarter of the clip
            assert shown(sample["image"][:, t]) == moments[t // 3]
        if question == "order":
            first, second = (square[0] for square in moments if square is not None)
            assert {first, second} == {0, 2} and sample["label"] == int(first == 2) == i % 2
        else:
            (block,) = (square[0] for square in moments if square[1] is None)
            inside = {colour: fill for colour, fill in moments if fill is not None}
            assert len(inside) == 3 and len(set(inside.values())) == 3
            assert sample["label"] == inside[block] == i % 4


def test_a_clip_is_a_function_of_seed_part_and_index() -> None:
    long, short = DrawnClips("match", count=9, size=24), DrawnClips("match", count=5, size=24)
    torch.testing.assert_close(long.clip(3), short.clip(3), rtol=0, atol=0)
    for other in ({"seed": 1}, {"part": 1}):
        assert not torch.equal(DrawnClips("match", count=5, size=24, **other).clip(3), short.clip(3))
    assert len(DrawnClips("order", count=7)) == 7
    with pytest.raises(IndexError, match="there are 5 clips"):
        short[5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"question": "colour"}, "question='colour': 'match' or 'order'"),
        ({"frames": 6}, "frames=6: a multiple of 4"),
        ({"size": 15}, "size=15: a whole number of at least 16"),
        ({"count": 0}, "count=0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DrawnClips(**{"question": "match", "count": 4, **arguments})


def test_reversing_a_clip_reverses_the_order_and_nothing_else() -> None:
    data = DrawnClips("order", count=6, size=24)
    for i in range(6):
        squares = [square for square in data.moments(i) if square is not None]
        assert next(shown(frame) for frame in data.clip(i).flip(1).unbind(1) if shown(frame)) == squares[1]
    assert drawn_clips.CLASSES["order"] == ("red first", "blue first")
