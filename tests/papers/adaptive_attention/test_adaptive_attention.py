"""Adaptive attention: what only this paper promises."""

from __future__ import annotations

import pytest
import torch

from regard.catalog import recipes
from regard.data.batches import Batch
from regard.networks.captioner import decode, teacher_forced
from regard.papers.adaptive_attention.network import AdaAtt, AdaptiveAttention
from regard.training.recipe import built

SMALL = {"vocabulary": 11, "embed": 5, "hidden": 6, "attention": 7, "dropout": 0.0}
WORDS = torch.tensor([[1, 5, 7], [1, 6, 4]])


def test_without_a_sentinel_it_is_the_spatial_model_of_the_same_weights() -> None:
    torch.manual_seed(0)
    seen, whole = torch.rand(2, 3, 4, 3), AdaptiveAttention(3, **SMALL)
    spatial = AdaptiveAttention(3, **SMALL, sentinel=False)
    left = spatial.load_state_dict(whole.state_dict(), strict=False)
    assert not left.missing_keys and all("sentinel" in key for key in left.unexpected_keys)
    one, other = (teacher_forced(network.eval(), (seen,), WORDS) for network in (whole, spatial))
    assert set(other.maps) == {"attention"} and set(one.maps) == {"attention", "sentinel"}
    torch.testing.assert_close(one.maps["attention"], other.maps["attention"])  # α does not know the sentinel
    assert not torch.allclose(one.log_probabilities, other.log_probabilities)


def test_a_sentinel_that_scores_low_leaves_the_spatial_model() -> None:
    torch.manual_seed(0)
    seen, network = torch.rand(2, 3, 4, 3), AdaAtt(3, **SMALL).eval()
    with torch.no_grad():
        network.core.look.score.weight.fill_(1.0)
        network.core.look.sentinel_score.bias.fill_(-100.0)  # tanh is −1 for each of the 7
        network.projection.bias.fill_(100.0)
    maps = teacher_forced(network, (seen,), WORDS).maps
    wanted = torch.tensor(-7.0).exp() / (torch.tensor(-7.0).exp() + 12 * torch.tensor(7.0).exp())
    torch.testing.assert_close(maps["sentinel"], wanted.expand(2, 3), rtol=1e-4, atol=0)


@pytest.mark.parametrize("layers", [1, 2])
def test_released_weights_sum_to_one_with_the_sentinel(layers: int) -> None:
    torch.manual_seed(0)
    network = AdaAtt(3, **SMALL, layers=layers, regions=True).eval()
    seen, visible = torch.rand(2, 7, 3), torch.arange(7) < torch.tensor([[7], [4]])
    maps = teacher_forced(network, (seen, visible), WORDS).maps
    torch.testing.assert_close(maps["attention"].sum(2) + maps["sentinel"], torch.ones(2, 3))
    assert not maps["attention"][1, :, 4:].any()


@pytest.mark.parametrize("kind", [AdaptiveAttention, AdaAtt])
def test_maps_of_a_decoded_sentence_are_those_of_its_words(kind: type[AdaptiveAttention | AdaAtt]) -> None:
    torch.manual_seed(0)
    network, seen = kind(3, **SMALL).eval(), torch.rand(1, 3, 4, 3)
    best = decode(network, (seen,), beam=3, longest=6)[0][0]
    given = torch.tensor([[1, *best.words[:-1]]])
    maps = teacher_forced(network, (seen,), given).maps
    for name, map in best.maps.items():
        torch.testing.assert_close(map, maps[name][0])


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="norms=3"):
        AdaAtt(3, **SMALL, norms=3)
    with pytest.raises(ValueError, match="form='other'"):
        built(recipes.get("adaptive-attention"), tiny=True, options={"form": "other"})


@pytest.mark.slow
@pytest.mark.parametrize("form", ["paper", "released", "spatial"])
def test_a_step_of_the_recipe(form: str) -> None:
    recipe = built(recipes.get("adaptive-attention"), tiny=True, options={"form": form})
    torch.manual_seed(0)
    batch = Batch(recipe.train.collate_fn([recipe.train[i] for i in range(4)]))
    loss, _ = recipe.phases[0].task.loss(recipe.build(), batch)
    assert loss.isfinite()
