"""Biased digits, images with few masks, and mean average precision."""

from __future__ import annotations

import pytest
import torch

from regard.data import biased_digits
from regard.data.few_masks import FewMasks, Tagged
from regard.metrics.several_labels import AveragePrecision, average_precision


def test_the_hue_agrees_in_the_training_and_never_in_the_other_parts() -> None:
    found = biased_digits.load(train_size=400, test_size=100, seed=3)
    assert found.held is not None
    agree = [found.train.hue(i) == found.train.labels[i] for i in range(400)]
    assert 0.92 < sum(agree) / 400 < 0.98
    for part in (found.test, found.held):
        assert not any(part.hue(i) == part.labels[i] for i in range(len(part)))
    sources = [{digit.tobytes() for digit in part.greys} for part in (found.train, found.held, found.test)]
    assert not sources[0] & sources[1] and not sources[1] & sources[2] and not sources[0] & sources[2]


def test_an_image_is_a_function_of_seed_and_index() -> None:
    few, many = (biased_digits.load(train_size=size, test_size=10, seed=1).train for size in (12, 40))
    torch.testing.assert_close(few.images([7]), many.images([7]))
    other = biased_digits.load(train_size=12, test_size=10, seed=2).train
    assert not torch.equal(few.images([7]), other.images([7]))


def test_the_region_is_where_the_digit_is() -> None:
    part = biased_digits.load(train_size=20, test_size=10).train
    for i in range(20):
        image, region = part[i][0], part.region(i)
        assert image[:, region].mean() > image[:, ~region].mean() + 0.1
        rows, columns = region.nonzero(as_tuple=True)
        assert int(rows.max() - rows.min()) < 8 and int(columns.max() - columns.min()) < 8


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(ValueError, match=r"train_size=3: a whole number of at least 10"):
        biased_digits.load(train_size=3)
    with pytest.raises(ValueError, match=r"agree=1.5"):
        biased_digits.load(agree=1.5)


def test_masks_are_spread_over_the_classes() -> None:
    split = biased_digits.load(train_size=60, test_size=10).train
    few = FewMasks(split, 10, seed=4)
    assert sorted(split.labels[i] for i in few.masked) == list(range(10))
    for i in range(60):
        mask = few[i]["mask"]
        if i in few.masked:
            assert torch.equal(mask == split.labels[i] + 1, split.region(i)) and mask.max() == split.labels[i] + 1
        else:
            assert (mask == 255).all()
    assert FewMasks(split, 10, seed=5).masked != few.masked


def test_shuffled_masks_are_those_of_others_with_the_own_class() -> None:
    split = biased_digits.load(train_size=60, test_size=10).train
    few, wrong = FewMasks(split, 7), FewMasks(split, 7, shuffled=True)
    assert few.masked == wrong.masked and sorted(wrong.region_of.values()) == sorted(few.masked)
    for i in wrong.masked:
        assert wrong.region_of[i] != i
        mask = wrong.mask(i)
        assert torch.equal(mask > 0, split.region(wrong.region_of[i])) and mask.max() == split.labels[i] + 1
    with pytest.raises(ValueError, match=r"count=61"):
        FewMasks(split, 61)
    with pytest.raises(ValueError, match=r"count=1: a whole number of at least 2"):
        FewMasks(split, 1, shuffled=True)


def test_tags_are_the_classes_in_the_label_map() -> None:
    masks = [torch.tensor([[0, 3, 255]]), torch.tensor([[2, 2, 1]]), torch.tensor([[0, 0, 0]])]
    tagged = Tagged([{"image": torch.zeros(3, 1, 3), "mask": mask.byte()} for mask in masks], 3, masked=[1])
    assert [tagged[i]["present"].tolist() for i in range(3)] == [[0, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert [bool((tagged[i]["mask"] == 255).all()) for i in range(3)] == [True, False, True]
    with pytest.raises(ValueError, match="sample 0 has the label 3: labels up to 2"):
        Tagged(tagged.maps, 2)[0]


def test_average_precision_by_hand() -> None:
    scores, labels = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]), torch.tensor([1, 0, 1, 0, 1], dtype=torch.bool)
    assert average_precision(scores, labels) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    late = torch.tensor([0, 1, 1, 0, 0], dtype=torch.bool)  # the precision of the first hit, 1/2, rises to 2/3 later
    assert average_precision(scores, late) == pytest.approx(2 / 3)
    assert average_precision(torch.ones(5), labels) == pytest.approx(3 / 5)  # equal scores have no order
    metric, other = AveragePrecision(2), AveragePrecision(2)
    metric.update(scores[:2, None].expand(-1, 2), labels[:2, None] * torch.tensor([1, 0]))
    other.update(scores[2:, None].expand(-1, 2), labels[2:, None] * torch.tensor([1, 0]))
    metric.merge_state(other)
    assert metric.compute() == pytest.approx({"map": (1 + 2 / 3 + 3 / 5) / 3})  # the second class does not occur
    with pytest.raises(ValueError, match="no image has a label"):
        AveragePrecision(2).compute()
    with pytest.raises(ValueError, match=r"\(3, 1\) and \(3, 1\): scores and labels N 2"):
        metric.update(scores[:3, None], labels[:3, None])


@pytest.mark.slow
def test_average_precision_is_that_of_scikit_learn_without_the_envelope() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(0)
    labels, scores = torch.rand(97, generator=generator) < 0.3, torch.rand(97, generator=generator)
    theirs = sklearn.average_precision_score(labels.numpy(), scores.numpy())  # precision where it is, never raised
    assert theirs <= average_precision(scores, labels) < theirs + 0.1
