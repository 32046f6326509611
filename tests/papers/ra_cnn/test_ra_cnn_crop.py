"""The attention crop of RA-CNN: the square, its mask and how it moves."""

from __future__ import annotations

import pytest
import torch

from regard import watch
from regard.ops import zooming
from regard.papers.ra_cnn.mechanism import AttentionCrop


def test_a_square_in_the_middle_of_its_pixels_is_cut_out_and_enlarged():
    x = torch.arange(144.0).reshape(1, 1, 12, 12)
    crop = AttentionCrop(size=6, least=0.1)(x, torch.tensor([[5.0, 7.0, 3.0]]))
    cut = (x * zooming.mask(torch.tensor([[2.0, 4.0, 8.0, 10.0]]), (12, 12), k=10))[:, :, 4:10, 2:8]
    torch.testing.assert_close(crop, cut)


def test_a_square_beyond_the_image_is_moved_into_it_and_grows_to_the_least():
    extent = torch.tensor([20.0, 12.0])
    inside = zooming.inside(torch.tensor([[-5.0, 40.0, 0.0], [18.0, 6.0, 90.0]]), extent, least=0.25)
    assert inside.tolist() == [[3.0, 9.0, 3.0], [14.0, 6.0, 6.0]]
    assert zooming.pixels(inside, extent).tolist() == [[0, 6, 6, 12], [8, 0, 20, 12]]


def test_x_goes_across_and_is_watched_from_minus_one_to_one():
    x = torch.zeros(1, 1, 10, 20)
    x[:, :, 4:6, 14:16] = 1.0  # centre at column 15, row 5
    module = AttentionCrop(size=4, least=0.1)
    with watch(module) as maps:
        there = module(x, torch.tensor([[15.0, 5.0, 2.0]]))
    away = module(x, torch.tensor([[5.0, 5.0, 2.0]]))
    assert there.max() > 0.9
    assert away.max() == 0
    (box,) = maps["module/glimpse"] if "module/glimpse" in maps else maps["glimpse"]
    torch.testing.assert_close(box[0, 0], torch.tensor([0.3, -0.4, 0.7, 0.4]))


@pytest.mark.parametrize(
    ("where", "axis", "sign"),
    [((slice(None), slice(8, 9)), 0, -1), ((slice(None), slice(0, 1)), 0, 1), ((slice(8, 9), slice(None)), 1, -1)],
)
def test_a_step_along_the_rule_goes_to_the_side_that_matters(where, axis, sign):
    square = torch.tensor([[12.0, 12.0, 6.0]], requires_grad=True)
    crop = AttentionCrop(size=9, least=0.1)(torch.ones(1, 2, 24, 24), square)
    crop[:, :, where[0], where[1]].sum().backward()
    assert square.grad[0, axis].sign() == sign
    assert square.grad[0, 1 - axis].abs() < 1e-6
    assert square.grad[0, 2] < 0  # the border matters: grow


def test_by_the_rule_a_square_shrinks_where_the_middle_matters_alone():
    square = torch.tensor([[12.0, 12.0, 6.0]], requires_grad=True)
    image = torch.ones(1, 1, 24, 24, requires_grad=True)
    AttentionCrop(size=9, least=0.1)(image, square)[:, :, 4, 4].sum().backward()
    assert square.grad[0].tolist() == [0, 0, 1]
    assert image.grad is None


@pytest.mark.parametrize("where", [(slice(None), slice(None)), (slice(3, 6), slice(3, 6)), (slice(0, 1), slice(None))])
def test_a_balanced_rule_keeps_its_size_where_everything_matters_alike(where):
    """All of 9×9, the middle, a row of the border: -Σ n over the border is weighed by 9 / 72."""
    square = torch.tensor([[12.0, 12.0, 6.0]], requires_grad=True)
    crop = AttentionCrop(size=9, least=0.1, gradient="balanced")(torch.ones(1, 2, 24, 24), square)
    crop[:, :, where[0], where[1]].sum().backward()
    n = torch.zeros(9, 9)
    n[where] = -2.0  # of two channels with gradient 1
    wanted = n.sum() / 8 - n[3:6, 3:6].sum() * (1 + 1 / 8)
    torch.testing.assert_close(square.grad[0, 2], wanted)
    assert (wanted == 0) == (n == -2).all()


def test_the_mask_has_the_signs_that_the_paper_names():
    """Section 3.3: M falls with t_x at the left edge and rises at the right one; it rises with t_l at every edge."""
    at = torch.tensor([[12.0, 12.0, 6.0]], dtype=torch.float64, requires_grad=True)
    mask = zooming.mask(zooming.edges(at), (24, 24), k=10)[0, 0]
    for row, column, across, half in ((12, 6, -1, 1), (12, 18, 1, 1), (6, 12, 0, 1), (18, 12, 0, 1)):
        (gradient,) = torch.autograd.grad(mask[row, column], at, retain_graph=True)
        assert gradient[0, 0].sign() == across or (across == 0 and gradient[0, 0].abs() < 1e-12)
        assert gradient[0, 2].sign() == half


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"size": 0}, "size=0"),
        ({"least": 0.6}, "least=0.6"),
        ({"k": 0}, "k=0"),
        ({"gradient": "all"}, "'rule', 'balanced' or 'mask'"),
    ],
)
def test_a_crop_names_what_is_wrong(wrong, says):
    with pytest.raises(ValueError, match=says):
        AttentionCrop(**wrong)
    with pytest.raises(ValueError, match="B 3"):
        AttentionCrop(size=4)(torch.ones(2, 1, 8, 8), torch.ones(2, 4))
