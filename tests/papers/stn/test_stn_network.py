"""Rotated digits, and the classifier that turns them upright."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.interpolate import RBFInterpolator
from torch import Generator

from regard import create
from regard.catalog import recipes
from regard.data.distorting import NUMBERS, Distort
from regard.training import running
from regard.training.recipe import built


def ink(image: torch.Tensor) -> tuple[float, float]:
    """The middle of the ink, in pixels from the middle of the image: x, y."""
    height, width = image.shape
    y, x = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij")
    return float((x * image).sum() / image.sum()), float((y * image).sum() / image.sum())


def test_ink_turns_about_the_middle_by_no_more_than_the_angle():
    image = torch.zeros(1, 5, 5)
    image[0, 0, 2] = 1.0  # ink above the middle
    seen = []
    for seed in range(60):
        turned = Distort("rotated", 9)(image, Generator().manual_seed(seed))[0]
        assert turned.shape == (9, 9)
        x, y = ink(turned)
        seen.append(math.degrees(math.atan2(x, -y)))
    assert all(-95 < angle < 95 for angle in seen)
    assert min(seen) < -60
    assert max(seen) > 60


def test_what_is_moved_is_turned_scaled_and_everywhere_on_the_canvas():
    image = torch.ones(1, 8, 8)
    moved = [Distort("moved", 24)(image, Generator().manual_seed(seed))[0] for seed in range(200)]
    sides = [math.sqrt(float(one.sum())) / 8 for one in moved]
    assert 0.68 < min(sides) < 0.75 and 1.1 < max(sides) < 1.22  # 0.7 and 1.2, on pixels
    for places in zip(*map(ink, moved), strict=True):  # 8 pixels to either side
        assert -8.1 < min(places) < -7 and 7 < max(places) < 8.1
    assert any(0.2 < float(one[12].max()) < 0.8 for one in moved)  # an edge that is not along the pixels


def test_corners_move_by_five_pixels_of_twenty_eight():
    """The corners of an image stay joined by straight lines, and move by what the normal distribution has."""
    generator = Generator().manual_seed(0)
    uniform = torch.rand((4000, 9), generator=generator, dtype=torch.float64)
    distort, half = Distort("projective", 28), torch.tensor([14.0, 14.0], dtype=torch.float64)
    still = uniform.clone()
    still[:, 1:] = 0.5  # no deviation: only the scale is left
    points = 2 * half * torch.rand((11, 2), generator=generator, dtype=torch.float64) - half
    scale = 0.75 + 0.25 * uniform[:, :1, None]
    torch.testing.assert_close(distort._projective(still, points, half), points / scale)
    corners = half * torch.tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    deviations = 5 * torch.special.ndtri(uniform[:, 1:].unflatten(1, (4, 2)))
    assert deviations.std() == pytest.approx(5, rel=0.01)
    for i in (3, 17, 29):
        moved = corners * scale[i] + deviations[i]
        seen = distort._projective(uniform[i : i + 1], moved, half)[0]
        torch.testing.assert_close(seen, corners)


def test_elastic_distortion_moves_sixteen_points_by_one_and_a_half_pixels():
    uniform = torch.rand((5, 33), generator=Generator().manual_seed(0), dtype=torch.float64)
    distort, half = Distort("elastic", 28), torch.tensor([14.0, 14.0], dtype=torch.float64)
    at = torch.linspace(-14, 14, 4, dtype=torch.float64)
    control = torch.stack([at.repeat(4), at.repeat_interleave(4)], 1)
    scale = 0.75 + 0.25 * uniform[:, :1, None]
    wanted = control / scale + 1.5 * torch.special.ndtri(uniform[:, 1:]).unflatten(1, (16, 2))
    torch.testing.assert_close(distort._elastic(uniform, control, half), wanted)
    inside = torch.tensor([[1.0, 2.0], [-9.0, 5.0]], dtype=torch.float64)
    spline = RBFInterpolator(control.numpy(), wanted[0].numpy(), kernel="thin_plate_spline")(inside.numpy())
    torch.testing.assert_close(distort._elastic(uniform, inside, half)[0], torch.from_numpy(spline))


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_batch_is_distorted_like_its_images_and_again_the_same(kind):
    images = torch.rand(3, 2, 7, 7)
    distort = Distort(kind, 11)
    first = distort.batch(images, Generator().manual_seed(3))
    assert first.shape == (3, 2, 11, 11)
    assert torch.equal(first, distort.batch(images, Generator().manual_seed(3)))
    assert not torch.equal(first, distort.batch(images, Generator().manual_seed(4)))
    torch.testing.assert_close(first[:1], distort.batch(images[:1], Generator().manual_seed(3)))
    torch.testing.assert_close(first[0], distort(images[0], Generator().manual_seed(3)))


def test_what_cannot_be_distorted_is_named():
    with pytest.raises(ValueError, match="kind='R': 'rotated', 'moved'"):
        Distort("R", 9)
    with pytest.raises(ValueError, match="canvas=4: at least"):
        Distort("rotated", 4)(torch.zeros(1, 5, 5), Generator())


def test_with_the_transformer_at_the_identity_it_is_the_network_without():
    torch.manual_seed(0)
    with_it = create("stn_classifier", 1, grid=(24, 24)).eval()
    without = create("stn_classifier", 1, grid=(24, 24), transform=None).eval()
    without.load_state_dict({k: v for k, v in with_it.state_dict().items() if not k.startswith("transform.")})
    x = torch.randn(3, 1, 24, 24)
    torch.testing.assert_close(with_it(x), without(x))


def test_the_papers_networks_have_two_convolutions_or_two_fully_connected_layers():
    convolving = create("stn_classifier", transform=None, widths=(32, 64), kernels=(9, 7), hidden=())
    shapes = [tuple(p.shape) for p in convolving.parameters() if p.ndim > 1]
    assert shapes == [(32, 1, 9, 9), (64, 32, 7, 7), (10, 64 * 2 * 2)]
    connected = create("stn_classifier", transform="spline", widths=(), hidden=(128, 129))
    shapes = [tuple(p.shape) for p in connected.parameters() if p.ndim > 1]
    assert shapes == [(32, 784), (32, 32), (32, 32), (128, 784), (129, 128), (10, 129)]
    for network in (convolving, connected):
        assert network(torch.randn(3, 1, 28, 28)).shape == (3, 10)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"grid": (15, 28), "transform": None}, r"grid=\(15, 28\): more is needed"),
        ({"grid": (17, 28)}, "at least 18"),
        ({"widths": (3,)}, r"widths=\(3,\), kernels=\(5, 5\): as many of both"),
        ({"hidden": (8, 0)}, "hidden=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"transform": "perspective"}, "perspective"),
    ],
)
def test_wrong_arguments_are_named(wrong, says):
    with pytest.raises(ValueError, match=says):
        create("stn_classifier", **wrong)


@pytest.mark.slow
def test_the_tiny_variant_learns_and_a_finished_run_is_not_trained_again(tmp_path):
    def never(*_):
        raise AssertionError("it was trained again")

    listing = recipes.get("stn-rotated")
    recipe = built(listing, tiny=True)
    result = running.train(listing, recipe, out=tmp_path, changes={"epochs": 3})
    assert result["scores"]["error"] < 60  # 90 by chance
    again = running.train(listing, recipe, out=tmp_path, changes={"epochs": 3}, on_step=never)
    assert again["scores"] == result["scores"]


@pytest.mark.slow
def test_the_tiny_projective_transformer_is_better_than_none_for_three_seeds(tmp_path):
    gains = []
    for seed in range(3):
        errors = {}
        for name in ("stn-projective", "stn-projective-plain"):
            listing = recipes.get(name)
            out = tmp_path / f"{name}-{seed}"
            errors[name] = running.train(listing, built(listing, tiny=True), out=out, seed=seed)["scores"]["error"]
        gains.append(errors["stn-projective-plain"] - errors["stn-projective"])
    assert min(gains) > 3  # points of 43 to 50 %
