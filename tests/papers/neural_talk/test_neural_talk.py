"""What only NeuralTalk and its alignment promise."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch

from regard import catalog
from regard.ops.words import START
from regard.papers.neural_talk.ranking import phrases, ranking_loss
from regard.papers.neural_talk.task import recalls


def built(**options: object) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        sizes = {"channels": 13, "vocabulary": 17, "embed": 5, "hidden": 7, "dropout": 0.0}
        return catalog.create("neural_talk", **{**sizes, **options}).double().eval()


@pytest.mark.parametrize("once", [True, False])
def test_a_recurrent_network_sees_the_image_at_its_first_word_or_at_all(once: bool) -> None:
    model = built(cell="rnn", once=once)
    features, words = torch.randn(2, 13).double(), torch.tensor([[START, 5, 16], [START, 11, 4]])
    (layer,) = model.layers
    h, image = torch.zeros(2, 7).double(), model.image(features)
    for t, x in enumerate(model.words(words).unbind(1)):
        seen = image if t == 0 or not once else 0
        h = (seen + layer.input(x) + layer.state(h)).clamp_min(0)
        torch.testing.assert_close(model(features, words)[:, t], model.scores(h).log_softmax(1))


def test_the_cells_differ_in_the_squashing_of_the_memory_only() -> None:
    tanh, linear = built(), built(cell="linear")
    linear.load_state_dict(tanh.state_dict())
    image = torch.randn(2, 13).double()
    one, other = tanh.start(image), linear.start(image)
    torch.testing.assert_close(one.cell, other.cell)
    gate = one.hidden / one.cell.tanh()
    torch.testing.assert_close(other.hidden, gate * other.cell)


def test_a_recurrent_network_has_one_layer_and_only_it_has_its_options() -> None:
    with pytest.raises(ValueError, match="layers=2: 1 is needed"):
        built(cell="rnn", layers=2)
    with pytest.raises(ValueError, match="cell='tanh': 'rnn' is needed"):
        built(once=True)


def test_the_parameters_of_neuraltalk2_at_its_sizes() -> None:
    """At 512 units: words, scores, the image of a VGG's 4,096, and four gates with two biases."""
    with torch.device("meta"):
        model = catalog.create("neural_talk", channels=4096, vocabulary=9_567)
    words, scores, image, gates = 9_567 * 512, 9_567 * 513, 4096 * 512 + 512, 4 * 512 * (512 + 512 + 2)
    assert sum(parameter.numel() for parameter in model.parameters()) == words + scores + image + gates


def test_regions_of_words_are_the_best_of_all_assignments() -> None:
    scores = torch.randn(5, 3, generator=torch.Generator().manual_seed(2)).double()
    for beta in (0.0, 0.7, 3.0):
        every = {}
        for path in product(range(3), repeat=5):
            alike = sum(one == other for one, other in pairwise(path))
            every[path] = sum(float(scores[t, i]) for t, i in enumerate(path)) + beta * alike
        path, value = phrases(scores, beta)
        assert tuple(path.tolist()) == max(every, key=lambda one: every[one])
        assert value.item() == pytest.approx(max(every.values()))


def test_the_ranking_loss_counts_both_directions_and_the_pair_itself() -> None:
    scores = torch.tensor([[5.0, 4.5], [1.0, 3.0]])
    # images: 1 + 0.5 and 1 + 0; sentences: 1 + 0 and 1 + 2.5
    assert ranking_loss(scores).item() == pytest.approx(4 + 0.5 + 2.5)


def test_padding_changes_no_score() -> None:
    model = catalog.create("dvsa", channels=13, word=5, hidden=7).double()
    regions, words = torch.randn(2, 3, 13).double(), torch.randn(2, 4, 5).double()
    longer = torch.cat([words, torch.randn(2, 3, 5).double()], 1)
    more = torch.cat([regions, 100 + torch.randn(2, 2, 13).double()], 1)
    mask, seen = torch.arange(7) < torch.tensor([[4], [4]]), torch.arange(5) < torch.tensor([[3], [3]])
    torch.testing.assert_close(model(more, seen, longer, mask), model(regions, None, words, None))


def test_recall_counts_the_true_pairs() -> None:
    scores = torch.tensor([[3.0, 1.0, 2.0], [4.0, 2.0, 3.0], [0.0, 1.0, 5.0]])
    found = recalls(scores)
    assert (found["annotation_1"], found["annotation_median"]) == (pytest.approx(2 / 3), 1)
    assert found["search_1"] == pytest.approx(2 / 3)  # the first sentence fits the second image better
    assert found["annotation_5"] == found["search_5"] == 1
