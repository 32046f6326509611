"""Drawn events: what is the same in all classes, what is told of a clip, and which digits it has."""

from __future__ import annotations

import pytest
import torch

from regard.data.drawn_events import CLASSES, KINDS, ORDERS, WORDS, DrawnEvents


def test_the_class_is_the_order_of_the_events_and_nothing_else() -> None:
    data = DrawnEvents(count=12, frames=8, size=24, seed=5)
    assert data.classes == CLASSES and CLASSES[2] == "four one seven" and data.labels == [*range(6), *range(6)]
    for i in range(12):
        seen = [event.digit for event in data.events(i) if event is not None]
        assert tuple(dict.fromkeys(seen)) == ORDERS[i % 6] == data.order(i)
        assert sorted(seen) == [1, 1, 4, 4, 7, 7]  # every class shows each for two of the eight frames
        for frame in data.shown(i):
            assert sum(one.digit in KINDS for one in frame) == (frame[0].digit in KINDS) and len(frame) == 3
            boxes = [one.box for one in frame]
            cells = {(left // 8, top // 8) for left, top, _, _ in boxes}
            assert len(cells) == 3 and all(0 <= left < right <= 24 for left, _, right, _ in boxes)
    places = {event.box[:2] for i in range(12) for event in data.events(i) if event is not None}
    assert len(places) > 20


def test_an_event_has_the_pixels_of_its_box_and_a_colour_if_asked() -> None:
    grey, coloured = (DrawnEvents(count=6, size=36, coloured=flag, seed=3) for flag in (False, True))
    clip, same = coloured.clip(2), grey.clip(2)
    assert clip.shape == (3, 8, 36, 36) and clip.dtype == torch.float32
    assert grey.shown(2) == coloured.shown(2)
    for t, event in enumerate(coloured.events(2)):
        spread = (clip[:, t].amax(0) - clip[:, t].amin(0)) > 0.3  # pixels with a colour
        assert ((same[:, t].amax(0) - same[:, t].amin(0)) < 0.25).all()
        if event is None:
            assert not spread.any()
            continue
        left, top, right, bottom = event.box
        assert spread[top:bottom, left:right].any()
        spread[top:bottom, left:right] = False
        assert not spread.any()


def test_sentences_say_the_events_in_their_order() -> None:
    data = DrawnEvents(count=6, frames=4, size=24)
    told, asked = data.told(), data.asked()
    assert (len(data), len(told), len(asked)) == (6, 24, 6)
    sample = told[4 * 3 + 1]  # the second sentence of clip 3
    said = ["first", "a", "four", "then", "a", "seven", "and", "then", "a", "one"]
    assert WORDS.decode(sample["words"].tolist()) == said == sample["references"][1]
    assert asked[3]["references"] == sample["references"] and len(sample["references"]) == 4
    torch.testing.assert_close(sample["image"], data.clip(3))
    batch = told.collate_fn([told[0], told[1]])
    assert batch["words"].shape == (2, 12) and batch["words_mask"].sum(1).tolist() == told.lengths[:2] == [10, 12]
    assert len(batch["references"]) == 2 and batch["image"].shape == (2, 3, 4, 24, 24)
    assert data.collate_fn([data[0], data[1]])["label"].tolist() == [0, 1]


def test_clips_are_a_function_of_seed_part_and_index() -> None:
    first = DrawnEvents(count=2, size=24).clip(1)
    torch.testing.assert_close(DrawnEvents(count=9, size=24).clip(1), first, atol=0, rtol=0)
    others = (DrawnEvents(count=2, size=24, seed=1).clip(1), DrawnEvents(count=2, size=24, part="test").clip(1))
    assert all((other - first).abs().max() > 0.5 for other in others)
    assert len({DrawnEvents(count=2, size=24, part=part).digest for part in ("train", "test")}) == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"count": 0}, "count=0"),
        ({"frames": 6}, "frames=6: a multiple of 4"),
        ({"size": 23}, "size=23"),
        ({"clutter": 9}, "clutter=9"),
        ({"coloured": 1}, "coloured=1"),
        ({"part": "val"}, "part='val'"),
    ],
)
def test_arguments_out_of_range_are_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DrawnEvents(**{"count": 3, **wrong})  # type: ignore[arg-type]
    with pytest.raises(IndexError, match="there are 2 items"):
        DrawnEvents(count=2)[2]
