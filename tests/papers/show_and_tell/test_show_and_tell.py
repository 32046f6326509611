"""What only NIC promises."""

from __future__ import annotations

import pytest
import torch

from regard import catalog
from regard.networks.captioner import decode
from regard.ops.words import START


def built(**options: object) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return catalog.create("show_and_tell", **{"channels": 13, "vocabulary": 17, "embed": 5, "hidden": 7, **options})


@pytest.mark.parametrize("cell", ["paper", "tanh"])
def test_the_equations_of_the_paper(cell: str) -> None:
    model = built(cell=cell).double().eval()
    features, words = torch.randn(2, 13).double(), torch.tensor([[START, 5, 16], [START, 11, 4]])
    (layer,) = model.layers
    m = c = torch.zeros(2, 7).double()
    seen = [model.image(features), *model.words(words).unbind(1)]
    for t, x in enumerate(seen):
        i, f, g, o = (x @ layer.input.weight.T + m @ layer.state.weight.T).split(7, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        m = torch.sigmoid(o) * (c if cell == "paper" else torch.tanh(c))
        if t:
            scores = m @ model.scores.weight.T + model.scores.bias
            wanted = scores - scores.exp().sum(1, keepdim=True).log()
            torch.testing.assert_close(model(features, words)[:, t - 1], wanted)


def test_the_image_is_seen_once() -> None:
    model = built().eval()
    state = model.start(torch.randn(2, 13))
    assert len(state) == 2
    assert all(part.shape == (2, 7) for part in state)  # the memory alone is left of it


def test_the_parameters_of_the_sizes_of_the_paper() -> None:
    """At 512 units and V words: the words, their scores with biases, the image, and four gates without biases."""
    with torch.device("meta"):
        model = catalog.create("show_and_tell", channels=2048, vocabulary=9_491)
    words, scores, image, gates = 9_491 * 512, 9_491 * 513, 2048 * 512 + 512, 4 * 512 * (512 + 512)
    assert sum(parameter.numel() for parameter in model.parameters()) == words + scores + image + gates == 12_874_515


def test_an_image_is_its_mean_map() -> None:
    model = built(channels=3, backbone="convolutions").eval()
    assert model.seen == ("image",)
    assert built().seen == ("features",)
    images = torch.rand(2, 3, 16, 24)
    bare = built(channels=64).eval()
    bare.load_state_dict({name: value for name, value in model.state_dict().items() if "encoder" not in name})
    features = model.encoder(images).mean((2, 3))
    words = torch.tensor([[START, 5], [START, 7]])
    torch.testing.assert_close(model(images, words), bare(features, words))
    assert [one[0].words for one in decode(model, (images,))] == [one[0].words for one in decode(bare, (features,))]


def test_dropout_acts_in_training_alone() -> None:
    model = built(dropout=0.5)
    features, words = torch.randn(2, 13), torch.tensor([[START, 5], [START, 7]])
    assert not torch.equal(model(features, words), model(features, words))
    assert torch.equal(model.eval()(features, words), model(features, words))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"cell": "gru"}, "cell='gru'"), ({"layers": 0}, "layers=0"), ({"dropout": 1.5}, "dropout=1.5")],
)
def test_wrong_arguments(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        built(**options)
