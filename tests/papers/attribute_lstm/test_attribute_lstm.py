"""What only the captioner of attributes promises."""

from __future__ import annotations

import pytest
import torch

from regard import catalog
from regard.ops.words import START
from regard.papers.attribute_lstm.attributes import Attributes, chosen
from regard.papers.attribute_lstm.mechanism import logistic_loss, windows


def test_forms_of_a_word_are_one_attribute_and_closed_words_are_none() -> None:
    counts = {"a": 90, "of": 40, "dogs": 5, "dog": 9, "running": 7, "runs": 3, "red": 4, "xylophone": 1}
    found = Attributes.of(counts, most=3, left_out=2)
    assert found.names == ("dog", "running", "red")  # 14, 10 and 4
    assert found.present([["two", "dogs", "run"], ["a", "dog"]]).tolist() == [1, 1, 0]
    assert Attributes.of(counts, most=1, left_out=0).names == ("a",)
    with pytest.raises(ValueError, match="counts: 1 words are given"):
        Attributes.of({"a": 3})


def test_of_boxes_like_each_other_the_best_are_kept() -> None:
    places = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60], [0, 80, 10, 90]])
    boxes = torch.cat([place + torch.tensor([[0.0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 2, 2]]) for place in places])
    scores = torch.tensor([0.1, 0.9, 0.2, 0.8, 0.3, 0.4, 0.5, 0.7, 0.6])
    assert chosen(boxes, scores, groups=3, each=1).tolist() == [1, 3, 7]
    assert sorted(chosen(boxes, scores, groups=3, each=3).tolist()) == list(range(9))
    assert chosen(boxes[:2], scores[:2]).tolist() == [1, 0]


def test_a_window_is_the_content_of_its_box() -> None:
    image = torch.zeros(1, 1, 8, 8)
    image[:, :, 2:4, 4:8] = 1
    boxes = torch.tensor([[[0.5, 0.25, 1.0, 0.5], [0.0, 0.0, 1.0, 1.0], [0.0, 0.75, 0.25, 1.0]]])
    found = windows(image, boxes)
    assert found.shape == (1, 3, 1, 8, 8)
    torch.testing.assert_close(found[0, 1], image[0])
    assert found[0, 0, 0, 2:6, 1:].min() == 1
    assert found[0, 2].abs().max() == 0


def test_an_attribute_is_named_by_the_hypothesis_that_shows_it_best() -> None:
    model = catalog.create("attribute_net", channels=13, attributes=5)
    features = torch.randn(2, 3, 13)
    scores = model.score(features)
    torch.testing.assert_close(model(features), scores.amax(1))
    mask = torch.tensor([[True, False, True], [True, False, False]])
    hidden = torch.stack([scores[0, [0, 2]].amax(0), scores[1, 0]])
    torch.testing.assert_close(model(features, mask), hidden)


def test_the_loss_is_logistic_in_each_attribute() -> None:
    scores = torch.tensor([[2.0, -1.0, 0.5]])
    wanted = sum(torch.log1p(torch.exp(torch.tensor(-y * p))) for y, p in ((1, 2.0), (-1, -1.0), (1, 0.5)))
    torch.testing.assert_close(logistic_loss(scores, torch.tensor([[1, 0, 1]])), wanted)


def test_images_are_seen_by_the_probabilities_of_their_attributes() -> None:
    sizes = {"vocabulary": 17, "embed": 5, "hidden": 7, "dropout": 0.0}
    whole = catalog.create("att_lstm", channels=3, backbone="convolutions", attributes=11, **sizes).eval()
    bare = catalog.create("att_lstm", channels=11, **sizes).eval()
    bare.load_state_dict({name: value for name, value in whole.state_dict().items() if "attributes" not in name})
    image, words = torch.rand(2, 3, 16, 24), torch.tensor([[START, 5], [START, 7]])
    torch.testing.assert_close(whole(image, words), bare(whole.attributes(image).sigmoid(), words))
    with pytest.raises(ValueError, match="backbone=None"):
        catalog.create("att_lstm", channels=3, proposals=True, **sizes)
