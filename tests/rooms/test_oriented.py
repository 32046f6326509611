"""Oriented boxes: exact overlaps, matching one to one, the error of the ends, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from regard.metrics.oriented import OrientedScores, corners, end_error, intersection, matches, overlaps, tips


def test_overlaps_are_those_of_rectangles() -> None:
    box = [[3.0, 2.0, 6.0, 2.0, 0.0]]
    others = [
        [6.0, 2.0, 6.0, 2.0, 0.0],  # half of it beside
        [3.0, 2.0, 6.0, 2.0, math.pi],  # half a turn
        [3.0, 2.0, 2.0, 6.0, math.pi / 2],  # a quarter, with the sides exchanged
        [3.0, 2.0, 3.0, 1.0, 0.0],  # inside
        [3.0, 5.0, 6.0, 2.0, 0.0],  # apart, though the circles around them meet
        [3.0, 2.0, 6.0, 2.0, math.pi / 2],  # a cross
        [50.0, 2.0, 6.0, 2.0, 0.3],
    ]
    wanted = [6 / 18, 1, 1, 3 / 12, 0, 4 / 20, 0]
    np.testing.assert_allclose(overlaps(box, others)[0], wanted, atol=1e-12)
    np.testing.assert_allclose(overlaps(others, box)[:, 0], wanted, atol=1e-12)


def test_a_square_and_itself_turned_by_an_eighth_share_an_octagon() -> None:
    share = overlaps([[5.0, 7.0, 3.0, 3.0, 0.2]], [[5.0, 7.0, 3.0, 3.0, 0.2 + math.pi / 4]])[0, 0]
    assert share == pytest.approx(1 / math.sqrt(2), abs=1e-12)


def test_overlaps_agree_with_counted_points() -> None:
    random = np.random.default_rng(5)
    x, y = np.meshgrid((np.arange(300) + 0.5) / 30, (np.arange(300) + 0.5) / 30)
    for _ in range(4):
        pair = np.stack([random.uniform((4, 4, 2, 1, -3), (6, 6, 5, 3, 3)) for _ in range(2)])
        inside = []
        for cx, cy, length, width, angle in pair:
            a = (x - cx) * math.cos(angle) + (y - cy) * math.sin(angle)
            b = (y - cy) * math.cos(angle) - (x - cx) * math.sin(angle)
            inside.append((abs(a) <= length / 2) & (abs(b) <= width / 2))
        counted = (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()
        assert overlaps(pair[:1], pair[1:])[0, 0] == pytest.approx(counted, abs=6e-3)
        assert intersection(*corners(pair)) == pytest.approx((inside[0] & inside[1]).sum() / 900, abs=0.05)


def test_ends_lie_along_the_angle_and_downwards() -> None:
    np.testing.assert_allclose(tips([[10.0, 20.0, 6.0, 2.0, math.pi / 2]])[0], [[10, 23], [10, 17]], atol=1e-12)


def test_the_error_of_the_ends_ignores_which_is_the_bow() -> None:
    truth = [10.0, 20.0, 6.0, 2.0, 0.0]
    assert end_error([10.0, 21.0, 6.0, 2.0, math.pi], truth) == pytest.approx(1)
    assert end_error([11.5, 20.0, 9.0, 5.0, 0.0], truth) == pytest.approx(1.5)  # 3 at one end, 0 at the other


def test_each_true_box_is_matched_once_and_the_best_score_chooses_first() -> None:
    truths = [[10.0, 5.0, 8.0, 2.0, 0.0], [10.0, 6.0, 8.0, 2.0, 0.0]]
    found = [
        [10.0, 5.2, 8.0, 2.0, 0.0, 0.3],  # the second true box is left for it, at an overlap of 1.2 / 2.8
        [10.0, 5.0, 8.0, 2.0, 0.0, 0.9],
        [40.0, 5.0, 8.0, 2.0, 0.0, 0.8],
    ]
    assert matches(found, truths, 0.4) == [(1, 0), (0, 1)]
    assert matches(found, truths, 0.5) == [(1, 0)]


def test_scores_are_over_all_images_and_merge() -> None:
    one = ([[10.0, 5.0, 8.0, 2.0, 0.0, 0.9], [40.0, 5.0, 8.0, 2.0, 0.0, 0.8]], [[10.0, 5.5, 8.0, 2.0, 0.0]])
    other = ([[9.0, 9.0, 8.0, 2.0, 1.0, 0.5]], [[9.0, 9.0, 8.0, 2.0, 1.0], [30.0, 9.0, 8.0, 2.0, 1.0]])
    whole, first, second = OrientedScores(), OrientedScores(), OrientedScores()
    whole.update([one[0], other[0]], [one[1], other[1]])
    first.update([one[0]], [one[1]])
    second.update([other[0]], [other[1]])
    first.merge_state(second)
    wanted = {"f1": 4 / 6, "precision": 2 / 3, "recall": 2 / 3, "end_error": 0.25}
    assert whole.compute() == pytest.approx(wanted) and first.compute() == pytest.approx(wanted)
    whole.reset()
    with pytest.raises(ValueError, match="no true boxes"):
        whole.compute()


def test_nothing_found_scores_nothing() -> None:
    metric = OrientedScores()
    metric.update([np.zeros((0, 6))], [[[9.0, 9.0, 8.0, 2.0, 1.0]]])
    found = metric.compute()
    assert math.isnan(found.pop("end_error"))
    assert found == {"f1": 0, "precision": 0, "recall": 0}


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[1.0, 2.0, 3.0, 4.0]], "n rows of x, y, length, width, angle are needed"),
        ([[1.0, 2.0, 0.0, 4.0, 0.0]], "length and width above 0"),
        ([[1.0, math.nan, 3.0, 4.0, 0.0]], "finite numbers"),
    ],
)
def test_other_boxes_are_refused(boxes: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        overlaps(boxes, [[1.0, 2.0, 3.0, 4.0, 0.0]])


def test_a_threshold_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"threshold=0"):
        OrientedScores(0)
