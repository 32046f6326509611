"""SEC's losses by hand, on maps small enough to count; and seeds from maps."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor

from regard.data import biased_digits
from regard.data.batches import Batch
from regard.data.few_masks import Tagged
from regard.metrics.seeds import SeedCurve
from regard.ops.mean_field import mean_field
from regard.papers.gain.network import GAIN
from regard.papers.gain.seeded_maps import SeededMaps, SketchedSeeds, maps
from regard.papers.gain.seeding import (
    Decay,
    Seeded,
    boundary_loss,
    expand_loss,
    probabilities,
    rank_pooled,
    seed_loss,
)

F = torch.tensor([[[[0.5, 0.25, 0.125]], [[0.25, 0.5, 0.5]], [[0.25, 0.25, 0.375]]]])  # B=1, background and two, 1 × 3


def test_probabilities_are_bounded_from_below() -> None:
    f = probabilities(torch.tensor([[[[100.0]], [[0.0]], [[0.0]]]]))
    torch.testing.assert_close(f.flatten(), torch.tensor([1.0001, 0.0001, 0.0001]) / 1.0003)


def test_the_seed_loss_is_the_mean_over_the_seeds() -> None:
    seeds = torch.tensor([[[0, 255, 2]], [[255, 255, 255]]], dtype=torch.uint8)
    wanted = -(log(0.5) + log(0.375)) / 2 / 2  # of two images, one without seeds
    assert seed_loss(F.expand(2, -1, -1, -1), seeds) == pytest.approx(wanted)


def test_rank_pooling_is_between_the_maximum_and_the_mean() -> None:
    torch.testing.assert_close(rank_pooled(F, 0.0), F.amax((2, 3)))
    torch.testing.assert_close(rank_pooled(F, 1.0), F.mean((2, 3)))
    half = (0.5 + 0.25 * 0.5 + 0.125 * 0.25) / 1.75
    torch.testing.assert_close(rank_pooled(F, 0.5)[0, 0], torch.tensor(half))


def test_the_expand_loss_wants_the_classes_of_the_image_and_no_other() -> None:
    decay = Decay(there=0.5, absent=0.0, background=1.0)
    there = (0.5 + 0.5 * 0.5 + 0.25 * 0.25) / 1.75
    wanted = -(log(there) + log(1 - 0.375) + log(0.875 / 3))
    assert expand_loss(F, torch.tensor([[1, 0]]), decay) == pytest.approx(wanted, rel=1e-5)
    two = (0.375 + 0.25 * 0.5 + 0.25 * 0.25) / 1.75
    wanted = -((log(there) + log(two)) / 2 + log(0.875 / 3))
    assert expand_loss(F, torch.tensor([[1, 1]]), decay) == pytest.approx(wanted, rel=1e-5)


def test_the_boundary_loss_is_the_divergence_from_the_field() -> None:
    f = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)).softmax(1).requires_grad_()
    image = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(1))
    share = 7 / 41
    field = mean_field(f.detach().log(), image, steps=2, far=80 / 12 * share, near=3 / 12 * share) + 1e-4
    field = field / field.sum(1, keepdim=True)
    wanted = (field * (field / f.detach()).log()).sum() / (2 * 5 * 7)
    loss = boundary_loss(f, image, steps=2)
    torch.testing.assert_close(loss.detach(), wanted)
    (slope,) = torch.autograd.grad(loss, f)
    torch.testing.assert_close(slope, -field / f.detach() / 70)  # the field is a constant


def test_the_task_weighs_the_three_losses() -> None:
    scores = torch.randn(1, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    image = torch.rand(1, 3, 4, 6, generator=torch.Generator().manual_seed(1))
    seeds = torch.tensor([[0, 1, 255], [255, 2, 0]], dtype=torch.uint8)[None]
    batch = Batch(image=image, picture=image, seeds=seeds, present=torch.tensor([[1, 1]]))

    class Fixed(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return scores

    loss, parts = Seeded(2, seed=2.0, expand=3.0, boundary=5.0, steps=1).loss(Fixed(), batch)
    wanted = 2 * parts["seed"] + 3 * parts["expand"] + 5 * parts["boundary"]
    torch.testing.assert_close(loss, wanted)
    f = probabilities(torch.nn.functional.interpolate(scores, (2, 3), mode="bilinear"))
    torch.testing.assert_close(parts["seed"], seed_loss(f, seeds))
    assert set(Seeded(2, boundary=0.0).loss(Fixed(), batch)[1]) == {"seed", "expand"}
    with pytest.raises(ValueError, match=r"decay=1.5"):
        Seeded(2, decay=Decay(there=1.5))


def test_seeds_come_from_the_maps_of_the_classes_present() -> None:
    torch.manual_seed(0)
    network = GAIN(3, classes=2, backbone=None, widths=(3, 5)).eval()
    image = torch.rand(3, 8, 12)
    mask = torch.zeros(8, 12, dtype=torch.uint8)
    mask[2:5, 3:7] = 2
    tagged = Tagged([{"image": image, "mask": mask}], 2)
    normalise = ((0.5,) * 3, (0.25,) * 3)
    found, labels = maps(network, image, tagged[0]["present"], normalise)
    assert labels.tolist() == [1] and found.shape == (1, 8, 12)
    sample = SeededMaps(tagged, network, normalise, threshold=0.6, grid=4)[0]
    small = torch.nn.functional.interpolate(found[None], (4, 4), mode="bilinear")[0, 0]
    share = small / small.max() if small.max() > 0 else small
    wanted = torch.full((4, 4), 255).where(share >= 0.3, 0)
    wanted[share >= 0.6] = 2
    torch.testing.assert_close(sample["seeds"].long(), wanted.long())


def test_sketched_seeds_are_a_share_of_the_truth() -> None:
    split = biased_digits.load(agree=0.1, train_size=10, test_size=10).train
    data = SketchedSeeds(split, 10, share=0.4, enlarge=2)
    sample = data[3]
    truth, seeds = sample["mask"][::2, ::2], sample["seeds"]
    known = seeds != 255
    assert (seeds[known] == truth[known]).all() and 0.3 < known.float().mean() < 0.5
    assert sample["image"].shape == (3, 2 * biased_digits.SIZE, 2 * biased_digits.SIZE)
    assert sample["present"].sum() == 1 and sample["present"][split.labels[3]] == 1


def test_the_whole_curve_of_seeds_is_counted() -> None:
    curve = SeedCurve(2, (0.25, 0.75))
    first = torch.tensor([[[4.0, 2.0, 0.0]]])  # class 0, the share 1, 0.5, 0 of its largest value
    curve.update(first, torch.tensor([0]), torch.tensor([[1, 1, 0]]))
    both = torch.tensor([[[1.0, 0.0, 0.5]], [[0.0, 8.0, 8.0]]])
    curve.update(both, torch.tensor([0, 1]), torch.tensor([[1, 2, 255]]))
    # at 0.25 every pixel is right; at 0.75 the second pixel is background, where the truth is class 0
    assert curve.curve == pytest.approx({0.25: 1.0, 0.75: (1 / 2 + 2 / 3 + 1) / 3})
    assert curve.best == 0.25 and curve.compute() == pytest.approx({"miou@0.25": 1.0, "miou@0.75": 13 / 18})
