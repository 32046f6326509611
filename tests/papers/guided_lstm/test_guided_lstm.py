"""What only gLSTM promises."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.cross_decomposition import CCA

from regard import catalog
from regard.catalog import recipes
from regard.ops.words import START
from regard.papers.guided_lstm.guides import CommonSpace, Retrieval, texts
from regard.saved.opening import open_network
from regard.training import running
from regard.training.recipe import built as recipe_of

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
    guide = Retrieval(3, width=8, known=4, count=2).eval()
    guide.fit(FEATURES, SENTENCES)
    torch.testing.assert_close(guide(torch.tensor([[1.0, 0, 0]]))[0], guide.texts[:2].mean(0))
    one = Retrieval(3, width=8, known=4, count=1)
    one.load_state_dict(guide.state_dict())
    torch.testing.assert_close(one(FEATURES[:1])[0], one.texts[1])  # in training not its own captions
    torch.testing.assert_close(one.eval()(FEATURES[:1])[0], one.texts[0])
    with pytest.raises(ValueError, match="count=4"):
        Retrieval(3, width=8, known=4, count=4)


def test_images_with_like_captions_are_near_in_the_common_space() -> None:
    space = CommonSpace(3, width=1)
    space.fit(FEATURES, SENTENCES)
    guide = space(FEATURES)
    assert guide.shape == (4, 1)
    assert (guide[0] - guide[1]).abs() < (guide[0] - guide[2]).abs()
    model = CCA(n_components=1, max_iter=1000).fit(FEATURES.double().numpy(), texts(SENTENCES).double().numpy())
    wanted = torch.from_numpy(model.transform(FEATURES.double().numpy())).float()
    torch.testing.assert_close(guide, wanted, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="width=9: at most 3"):
        CommonSpace(3, width=9).fit(FEATURES, SENTENCES)


def test_a_found_guide_is_that_of_the_image() -> None:
    found, given = built(source="cca"), built()
    with torch.no_grad():
        found.guiding.weight.copy_(torch.randn(5, 13))
        found.guiding.bias.copy_(torch.randn(5))
    given.load_state_dict({name: value for name, value in found.state_dict().items() if "guiding" not in name})
    image, words = torch.randn(2, 13).double(), torch.tensor([[START, 5], [START, 7]])
    torch.testing.assert_close(found(image, words), given(image, found.guiding(image), words))
    with pytest.raises(ValueError, match="source='cca': the width of the guide is needed"):
        built(source="cca", guide=None)
    with pytest.raises(ValueError, match="known=None: the number of training images is needed"):
        built(source="retrieval")


@pytest.mark.slow
@pytest.mark.parametrize("guide", ["retrieval", "cca"])
def test_guides_are_made_between_the_phases_and_kept_with_the_weights(guide: str, tmp_path: Path) -> None:
    listing = recipes.get("glstm")
    recipe = recipe_of(listing, tiny=True, options={"guide": guide})
    assert [phase.name for phase in recipe.phases] == ["caption", "guided"]
    result = running.train(listing, recipe, out=tmp_path, changes={"epochs": 1, "batch_size": 250})
    model = open_network(weights=tmp_path).model
    assert running.evaluate(recipe, running.load(recipe, tmp_path)) == result["scores"]
    image = recipe.test[0]["image"][None]  # type: ignore[index]
    guided = model.guiding(model.feature(image))  # type: ignore[operator]
    assert guided.shape == (1, model.guide) and guided.abs().max() > 0
    fitted = recipe_of(listing, tiny=True, options={"guide": guide}).build()
    fitted.load_state_dict({**model.state_dict()})
    assert recipe.phases[1].before is not None
    recipe.phases[1].before(fitted)  # the trunk was frozen: the same guides again
    for name, value in model.state_dict().items():
        torch.testing.assert_close(fitted.state_dict()[name], value, msg=name)
