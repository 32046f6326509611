"""What only gLSTM promises."""

from __future__ import annotations

import pytest
import torch

from regard import catalog
from regard.ops.words import START
from regard.papers.guided_lstm.guides import Embedding, Guided, Retrieval

SENTENCES = [[["a", "dog", "runs"]], [["a", "dog", "sits"]], [["the", "red", "car"]], [["a", "red", "car", "stops"]]]
FEATURES = torch.tensor([[1.0, 0.1, 0], [0.9, 0.2, 0], [0, 0.1, 1], [0.1, 0, 0.8]])


def built(**options: object) -> torch.nn.Module:
    sizes = {"channels": 13, "vocabulary": 17, "guide": 5, "embed": 3, "hidden": 7, "dropout": 0.0}
    return catalog.create("glstm", **{**sizes, **options}).double().eval()


def test_the_guide_enters_every_gate_and_the_candidate_at_every_step() -> None:
    model = built()
    image, guide = torch.randn(2, 13).double(), torch.randn(2, 5).double()
    m = c = torch.zeros(2, 7).double()
    words = torch.tensor([[START, 5], [START, 11]])
    for t, x in enumerate([model.image(image), *model.words(words).unbind(1)]):
        i, f, o, g = (model.input(x) + model.state(m) + guide @ model.guides.weight.T).split(7, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        m = o.sigmoid() * c
        if t:
            torch.testing.assert_close(model(image, guide, words)[:, t - 1], model.scores(m).log_softmax(1))


def test_the_image_guides_where_no_guide_is_given() -> None:
    itself, given = built(guide=None), built(guide=13)
    given.load_state_dict(itself.state_dict())
    image, words = torch.randn(2, 13).double(), torch.tensor([[START, 5], [START, 7]])
    torch.testing.assert_close(itself(image, words), given(image, image, words))
    with pytest.raises(ValueError, match="guide=None"):
        given.start(image)


def test_retrieval_averages_the_words_of_the_nearest_images() -> None:
    guide = Retrieval(FEATURES, SENTENCES, count=2)
    near = guide(torch.tensor([[1.0, 0, 0]]))
    torch.testing.assert_close(near[0], guide.texts[:2].mean(0))
    one = Retrieval(FEATURES, SENTENCES, count=1)
    torch.testing.assert_close(one(FEATURES[:1], training=True)[0], one.texts[1])  # not its own captions
    with pytest.raises(ValueError, match="count=4"):
        Retrieval(FEATURES, SENTENCES, count=4)


def test_images_with_like_captions_are_near_in_the_common_space() -> None:
    guide = Embedding(FEATURES, SENTENCES, width=1)(FEATURES)
    assert guide.shape == (4, 1)
    assert (guide[0] - guide[1]).abs() < (guide[0] - guide[2]).abs()
    with pytest.raises(ValueError, match="width=9: at most 3"):
        Embedding(FEATURES, SENTENCES, width=9)


def test_a_dataset_gets_the_guide_of_each_sample() -> None:
    data = Guided([{"name": "a"}, {"name": "b"}], torch.tensor([[1.0, 2], [3, 4]]))
    assert len(data) == 2
    assert data[1]["name"] == "b"
    assert data[1]["guide"].tolist() == [3, 4]
    with pytest.raises(ValueError, match="N=3"):
        Guided([1, 2, 3], torch.zeros(2, 2))
