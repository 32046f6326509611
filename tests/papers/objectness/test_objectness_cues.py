"""The published cues of objectness against brute force and against images whose answer is known; naive Bayes."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2gray
from skimage.feature import canny

from regard.metrics.proposals import covered
from regard.papers.objectness.measure import bayes, cues
from regard.papers.objectness.measure.cues import Image

FEW = {16: 0.43, 24: 0.32}  # scales, for speed


def scene(seed: int = 0, size: tuple[int, int] = (90, 120)) -> tuple[np.ndarray, list[int]]:
    """A textured ground with one plain square of another colour, and the square's box."""
    random = np.random.default_rng(seed)
    pixels = np.clip(random.normal(0.3, 0.03, (*size, 3)), 0, 1)
    side = int(random.integers(28, 48))
    top, left = random.integers(5, [size[0] - side - 5, size[1] - side - 5])
    pixels[top : top + side, left : left + side] = random.permutation([0.95, 0.2, 0.1])
    return pixels, [int(left), int(top), int(left) + side, int(top) + side]


def test_every_window_of_a_map_has_the_score_of_the_paper() -> None:
    random = np.random.default_rng(0)
    salient = random.random((7, 7))
    scores, rows, columns = cues.all_windows(salient, 0.6, (2, 3))
    wanted = {}
    for top in range(7):
        for bottom in range(top + 2, 8):
            for left in range(7):
                for right in range(left + 3, 8):
                    inside = salient[top:bottom, left:right]
                    above = inside[inside >= 0.6]
                    wanted[left, top, right, bottom] = above.sum() * len(above) / inside.size
    found = {
        (int(left), int(top), int(right), int(bottom)): pytest.approx(scores[i, j])
        for i, (top, bottom) in enumerate(rows)
        for j, (left, right) in enumerate(columns)
    }
    assert found == wanted and len(found) == scores.size == 21 * 15
    assert not cues.all_windows(np.zeros((7, 7)), 0.6, (2, 3))[0].any()


def test_saliency_is_from_0_to_1_and_stands_out_at_the_object() -> None:
    pixels, _ = scene()
    found = cues.saliency(Image.of(pixels), 0, 32)
    assert found.shape == (32, 32) and found.min() == 0 and found.max() == 1
    assert not cues.saliency(Image.of(np.zeros((20, 30, 3))), 1, 16).any()
    boxes, scores = cues.salient_windows(Image.of(pixels), 3000, np.random.default_rng(0), scales=FEW)
    assert len(boxes) == len(scores) == 3000 and (scores > 0).all()
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 120 and boxes[:, 3].max() <= 90
    assert ((boxes[:, 2:] - boxes[:, :2]).min(1) >= 7).all()
    again = cues.salient_windows(Image.of(pixels), 3000, np.random.default_rng(0), scales=FEW)
    np.testing.assert_array_equal(boxes, again[0])


def test_colour_contrast_is_largest_for_the_region_itself() -> None:
    pixels = np.zeros((60, 80, 3))
    pixels[..., 2] = 1
    pixels[20:40, 30:50] = (1, 0, 0)
    exact, larger, apart = cues.contrast(Image.of(pixels), [[30, 20, 50, 40], [20, 10, 60, 50], [0, 0, 12, 12]])
    assert exact == pytest.approx(2) and apart == pytest.approx(0)
    red = 400 / 1600  # of the larger window; its ring is all blue
    assert larger == pytest.approx(red + red**2 / (2 - red))
    half = cues.contrast(Image.of(pixels), [[30, 20, 50, 40]], theta=3.0)
    assert half[0] == pytest.approx(2)


def test_edge_density_is_of_the_ring() -> None:
    pixels, (left, top, right, bottom) = scene(3)
    edges = canny(rgb2gray(pixels))
    box = [left - 2, top - 2, right + 3, bottom + 2]
    width, height = box[2] - box[0], box[3] - box[1]
    off = [round(side * (1 - 1 / 1.17) / 2) for side in (width, height)]
    whole = edges[box[1] : box[3], box[0] : box[2]].sum()
    core = edges[box[1] + off[1] : box[3] - off[1], box[0] + off[0] : box[2] - off[0]].sum()
    area = width * height - (width - 2 * off[0]) * (height - 2 * off[1])
    found = cues.edge_density(Image.of(pixels), [box, [0, 0, 120, 90]])
    assert found[0] == pytest.approx(sum(off) / 2 * (whole - core) / area) and whole > 0
    assert found[0] > found[1]
    assert not cues.edge_density(Image.of(np.zeros((20, 30, 3))), [[3, 3, 20, 17]]).any()


def test_straddling_is_1_for_a_superpixel_and_falls_with_what_is_cut() -> None:
    pixels = np.zeros((80, 120, 3))
    pixels[20:60, 40:80] = 1
    inside, half, larger = cues.straddling(
        Image.of(pixels), [[40, 20, 80, 60], [40, 20, 60, 60], [30, 10, 90, 70]], theta=100
    )
    assert inside == pytest.approx(1, abs=0.02)
    assert half == pytest.approx(0, abs=0.02)  # all of the window is a half of what it cuts
    ground = 60 * 60 - 40 * 40  # of the window; more of the ground lies outside
    assert larger == pytest.approx(1 - ground / 3600, abs=0.02)


@pytest.mark.parametrize("given", [np.zeros((4, 4, 2)), np.zeros((0, 4, 3)), np.full((4, 4, 3), 1.5)])
def test_images_that_are_none_are_refused(given: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image"):
        Image.of(given)


def test_bayes_multiplies_the_likelihoods() -> None:
    tables = {cue: np.full((2, bins), 0.5) for cue, (_, bins) in bayes.BINS.items() if cue in ("MS", "SS")}
    tables["MS"][:, 3] = 0.6, 0.2
    tables["SS"][:, 99] = 0.3, 0.9
    measure = bayes.Measure(prior=0.2, likelihoods=tables, windows=10)
    scores = measure.score({"MS": np.array([3.7, 3.2, 900.0]), "SS": np.array([0.995, 0.1, 1.0])})
    on, off = 0.2 * 0.6 * 0.3, 0.8 * 0.2 * 0.9
    np.testing.assert_allclose(
        scores, [on / (on + off), 0.2 * 0.6 / (0.2 * 0.6 + 0.8 * 0.2), 0.2 / 3 / (0.2 / 3 + 0.8)]
    )


def test_a_learned_measure_finds_objects_of_images_that_it_has_not_seen() -> None:
    images = [scene(seed) for seed in range(4)]
    done: list[int] = []
    measure = bayes.learned(
        [(pixels, [box]) for pixels, box in images],
        windows=1500,
        scales=FEW,
        cues=("MS", "CC", "ED", "SS"),
        progress=done.append,
    )
    assert done == [1, 2, 3, 4] and 0 < measure.prior < 0.5
    for table in measure.likelihoods.values():
        np.testing.assert_allclose(table.sum(1), 1, atol=1e-9)
    pixels, box = scene(11)
    boxes, scores = measure.propose((255 * pixels).astype(np.uint8), first=20)
    assert len(boxes) <= 20 and (np.diff(scores) <= 0).all() and ((scores >= 0) & (scores <= 1)).all()
    random = np.random.default_rng(0)
    corners = np.sort(random.integers(0, [[121], [91]], size=(20, 2, 2)), axis=2)
    by_chance = np.stack((corners[:, 0, 0], corners[:, 1, 0], corners[:, 0, 1], corners[:, 1, 1]), 1)
    assert covered(boxes, [box])[0] > 0.6 > covered(by_chance, [box])[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cues": ("CC",)}, "MS among them"),
        ({"cues": ("MS", "MS")}, "each once"),
        ({"cues": ("MS", "XX")}, "cues='XX'"),
        ({"windows": 0}, "windows=0"),
    ],
)
def test_what_cannot_be_learned_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bayes.learned([(scene()[0], [scene()[1]])], **arguments)
    with pytest.raises(ValueError, match="0 windows on objects"):
        bayes.learned([(scene()[0], [])], windows=200, cues=("MS",), scales=FEW)
