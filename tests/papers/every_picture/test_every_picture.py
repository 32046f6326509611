"""What only Every Picture Tells a Story promises."""

from __future__ import annotations

import pytest
import torch

from regard import catalog
from regard.papers.every_picture.taxonomy import ancestors, lin, tree_f1
from regard.papers.every_picture.triplets import best_triplets, counted, margin_loss, meeting, neighbours

PARENTS = torch.tensor([-1, 0, 0, 1, 1, 3])


def test_the_corpus_has_no_say_before_it_is_weighted() -> None:
    model = catalog.create("every_picture", objects=2, actions=3, scenes=5)
    o, a, s = torch.randn(1, 2, 1), torch.randn(1, 3, 1), torch.randn(1, 5, 1)
    wanted = o[:, :, None] + a[:, None] + s[:, None, None, :, 0, None].squeeze(-1)[..., None, :].squeeze(-2)
    torch.testing.assert_close(model(o, a, s), wanted.reshape(1, 2, 3, 5))


def test_triplets_are_counted_by_pairs() -> None:
    found = counted(torch.tensor([[0, 2, 1], [0, 2, 4], [1, 0, 1]]), (2, 3, 5))
    assert found[0].tolist() == [[0, 0, 2], [1, 0, 0]]
    assert found[1][0].tolist() == [0, 1, 0, 0, 1]
    assert found[2][2].tolist() == [0, 1, 0, 0, 1]


def test_the_margin_is_the_number_of_wrong_labels() -> None:
    table = torch.zeros(1, 2, 3, 5)
    truth = torch.tensor([[1, 2, 4]])
    assert margin_loss(table, truth).item() == 3  # all labels wrong
    table[0, 1, 2, 4] = 2.5
    assert margin_loss(table, truth).item() == 0.5
    table[0, 1, 2, 4] = 3
    assert margin_loss(table, truth).item() == 0


def test_an_image_and_a_sentence_meet_in_common_triplets() -> None:
    image, sentence = torch.tensor([[0, 0, 1], [1, 2, 3], [1, 1, 1]]), torch.tensor([[1, 2, 3], [0, 0, 1]])
    assert meeting(image, sentence) == pytest.approx(1 / 2 + 1 / 2)
    assert meeting(image, torch.tensor([[4, 4, 4]])) == 0


def test_the_best_triplets_come_in_order() -> None:
    table = torch.arange(30.0).view(2, 3, 5)
    triplets, scores = best_triplets(table, 2)
    assert triplets.tolist() == [[1, 2, 4], [1, 2, 3]]
    assert scores.tolist() == [29, 28]
    with pytest.raises(ValueError, match="count=31: at most 30"):
        best_triplets(table, 31)


def test_neighbours_hand_over_their_scores() -> None:
    known = torch.tensor([[0.0, 0], [0, 1], [9, 9]])
    scores = torch.tensor([[1.0, 2, 3], [3, 4, 5], [100, 100, 100]])
    assert neighbours(torch.tensor([[0.0, 0.4]]), known, scores, 2).tolist() == [[2, 3, 4]]


def test_labels_meet_at_their_lowest_common_ancestor() -> None:
    similarity = lin(PARENTS, torch.tensor([0.0, 0, 4, 2, 1, 1]))
    p1, p3, p4 = (torch.tensor(share, dtype=torch.float32).log() for share in (4 / 8, 3 / 8, 1 / 8))
    torch.testing.assert_close(similarity[3, 4], 2 * p1 / (p3 + p4))
    assert similarity[5, 2] == 0
    assert tree_f1(PARENTS)[5].tolist() == pytest.approx([0, 0.5, 0, 0.8, 0.4, 1])


def test_what_is_no_tree_is_refused() -> None:
    with pytest.raises(ValueError, match="one root"):
        ancestors(torch.tensor([-1, -1, 0]))
    with pytest.raises(ValueError, match="is above itself"):
        ancestors(torch.tensor([-1, 2, 1]))
