"""Show, Attend and Tell, and att2in: what only these papers promise."""

from __future__ import annotations

import pytest
import torch

import regard
from regard import published
from regard.catalog import recipes
from regard.data.batches import Batch
from regard.data.words import Words
from regard.networks.captioner import decode, teacher_forced
from regard.papers.show_attend_tell.choosing import moved, score_function
from regard.papers.show_attend_tell.network import Att2in, ShowAttendTell
from regard.papers.show_attend_tell.task import HardCaption
from regard.training.recipe import built

WORDS = Words.of([["red", "green", "blue", "disc", "square", "above", "below"]], least=1)


def small(**arguments: object) -> ShowAttendTell:
    given = {"embed": 5, "hidden": 6, "attention": 7, "dropout": 0.0, **arguments}
    return ShowAttendTell(3, vocabulary=len(WORDS), **given)  # type: ignore[arg-type]


def a_batch(count: int = 5) -> Batch:
    torch.manual_seed(0)
    words = torch.tensor([[1, 4, 5, 6, 2], [1, 7, 2, 0, 0], [1, 8, 9, 2, 0], [1, 10, 2, 0, 0], [1, 5, 4, 2, 0]])
    return Batch(features=torch.rand(count, 3, 4, 3), words=words[:count], words_mask=words[:count] > 0)


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({"channels": 512, "vocabulary": 10_000}, 35_333_450),  # from the keys of the released COCO model
        ({"channels": 2048, "vocabulary": 9490, "form": "tutorial", "hidden": 512, "attention": 512}, 20_483_859),
    ],
)
def test_parameters_at_the_published_size(arguments: dict[str, object], parameters: int) -> None:
    with torch.device("meta"):
        network = regard.create("show_attend_tell", **arguments)
    assert sum(one.numel() for one in network.parameters()) == parameters


def test_the_start_is_a_vector_of_zeros_and_learns_nothing() -> None:
    torch.manual_seed(0)
    network = small()
    assert not network.words.weight[1].any()
    batch = a_batch()
    network(batch["features"], batch["words"]).sum().backward()
    assert not network.words.weight.grad[1].any() and network.words.weight.grad[4].any()


def test_padding_changes_neither_scores_nor_penalty() -> None:
    torch.manual_seed(0)
    network, batch = small(), a_batch()
    longer = torch.nn.functional.pad(batch["words"], (0, 3))
    short = network(batch["features"], batch["words"], return_maps=True)
    long = network(batch["features"], longer, return_maps=True)
    torch.testing.assert_close(long.log_probabilities[:, :5], short.log_probabilities)
    mask = batch["words_mask"]
    padded = torch.nn.functional.pad(mask, (0, 3))
    torch.testing.assert_close(network.penalty(long.maps, padded), network.penalty(short.maps, mask))


def test_the_penalty_is_the_mean_square_of_what_is_not_covered() -> None:
    maps = {"attention": torch.tensor([[[[0.5, 0.5]], [[0.25, 0.75]], [[1.0, 0.0]]]])}
    mask = torch.tensor([[True, True, False]])
    assert small(coverage=2.0).penalty(maps, mask).item() == pytest.approx(2 * (0.25**2 + 0.25**2) / 2)


def test_hard_attention_takes_one_place_and_in_evaluation_the_likeliest() -> None:
    torch.manual_seed(0)
    network, batch = small(hard=True, draws=1.0), a_batch()
    drawn = teacher_forced(network.train(), (batch["features"],), batch["words"]).maps
    assert torch.equal(drawn["choice"].flatten(2).sum(2), torch.ones(5, 5))
    assert ((drawn["choice"] == 0) | (drawn["choice"] == 1)).all()
    best = teacher_forced(network.eval(), (batch["features"],), batch["words"]).maps
    assert torch.equal(best["choice"].flatten(2).argmax(2), best["attention"].flatten(2).argmax(2))


def test_no_gradient_goes_through_a_draw_and_a_soft_batch_has_them() -> None:
    batch = a_batch()
    for draws, reached in ((1.0, False), (0.0, True)):
        torch.manual_seed(0)
        network = small(hard=True, draws=draws).train()
        network(batch["features"], batch["words"]).sum().backward()
        gradient = network.layers[0].attention.score.weight.grad
        assert (gradient is not None and bool(gradient.any())) is reached


def test_the_score_function_has_the_stated_gradient() -> None:
    alpha = torch.tensor([[[0.25, 0.75], [0.5, 0.5]]], dtype=torch.float64, requires_grad=True)
    choice = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)
    costs, mask = torch.tensor([[3.0, 0.0]], dtype=torch.float64), torch.tensor([[True, False]])
    score_function(alpha, choice, costs, 1.0, entropy=0.5, summed=True, mask=mask).backward()
    reward = (3.0 - 1.0) / 10
    logs = 0.5 * (alpha.detach()[0, 0].log() + 1)
    wanted = torch.stack([logs + reward * torch.tensor([0.0, 1 / 0.75]), torch.zeros(2)])[None]
    torch.testing.assert_close(alpha.grad, wanted.double())
    assert moved(torch.tensor(2.0), costs, mask).item() == pytest.approx(0.9 * 2 + 0.1 * 3)


def test_hard_captioning_moves_its_baseline_in_training_only() -> None:
    torch.manual_seed(0)
    network, task, batch = small(hard=True, draws=1.0), HardCaption(WORDS), a_batch()
    task.loss(network.eval(), batch)
    assert network.baseline.item() == 0
    loss, _ = task.loss(network.train(), batch)
    assert network.baseline.item() == pytest.approx(0.1 * loss.item(), rel=1e-5)
    loss.backward()
    assert network.layers[0].attention.score.weight.grad.any()
    with pytest.raises(ValueError, match="hard=False"):
        task.loss(small(), batch)
    with pytest.raises(ValueError, match=r"smoothing=0\.1"):
        HardCaption(WORDS, smoothing=0.1)


@pytest.mark.parametrize("network", [small(), small(form="tutorial"), Att2in(3, vocabulary=11, embed=5, hidden=6)])
def test_hidden_regions_have_no_weight_and_decoding_keeps_the_grid(network: ShowAttendTell | Att2in) -> None:
    torch.manual_seed(0)
    arguments = {"form": "tutorial"} if getattr(network, "tutorial", False) else {}
    regions = type(network)(3, vocabulary=11, embed=5, hidden=6, regions=True, **arguments)  # type: ignore[arg-type]
    seen, visible = torch.rand(2, 7, 3), torch.arange(7) < torch.tensor([[7], [4]])
    maps = teacher_forced(regions, (seen, visible), torch.tensor([[1, 5], [1, 6]])).maps["attention"]
    assert maps.shape == (2, 2, 7) and not maps[1, :, 4:].any()
    torch.testing.assert_close(maps.sum(2), torch.ones(2, 2))
    for found in decode(network, (torch.rand(2, 3, 4, 3),), beam=3, longest=5):
        assert found[0].maps["attention"].shape == (len(found[0].words), 4, 3)


def test_batch_norms_of_places_count_visible_regions_only() -> None:
    torch.manual_seed(0)
    network = Att2in(3, vocabulary=11, embed=5, hidden=6, attention=7, regions=True, norms=2).train()
    seen, visible = torch.rand(2, 7, 3), torch.arange(7) < torch.tensor([[7], [4]])
    network.start(torch.where(visible[..., None], seen, 1e3), visible)
    wanted = 0.1 * seen[visible].mean(0)
    torch.testing.assert_close(network.places.before.running_mean, wanted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "tutorial", "hard": True}, "form='tutorial'"),
        ({"form": "other"}, "form='other'"),
        ({"regions": True, "backbone": "convolutions"}, "regions=True"),
        ({"draws": 1.5}, "draws=1.5"),
        ({"coverage": -1.0}, "coverage=-1.0"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "given"), [("show-attend-tell", {}), ("show-attend-tell", {"hard": True}), ("att2in", {})]
)
def test_a_step_of_each_recipe(name: str, given: dict[str, object]) -> None:
    recipe = built(recipes.get(name), tiny=True, options=given)
    torch.manual_seed(0)
    model, task = recipe.build(), recipe.phases[0].task
    batch = Batch(recipe.train.collate_fn([recipe.train[i] for i in range(4)]))
    loss, _ = task.loss(model, batch)
    loss.backward()
    assert loss.isfinite()
    assert (type(task) is HardCaption) is bool(given)


def an_encoded_state(*, dim: int, places: int, word: int, words: int) -> dict[str, torch.Tensor]:
    """A checkpoint of the released code with its encoder over the places, in its names and shapes."""
    shapes: dict[str, tuple[int, ...]] = {"Wemb": (words, word), "decoder_U": (dim, 4 * dim)}
    for name in ("encoder", "encoder_rev"):
        shapes |= {f"{name}_W": (places, 4 * dim), f"{name}_U": (dim, 4 * dim), f"{name}_b": (4 * dim,)}
    both = 2 * dim
    shapes |= {"decoder_W": (word, 4 * dim), "decoder_b": (4 * dim,), "decoder_Wc": (both, 4 * dim)}
    shapes |= {"decoder_Wc_att": (both, both), "decoder_b_att": (both,), "decoder_Wd_att": (dim, both)}
    shapes |= {"decoder_U_att": (both, 1), "decoder_c_tt": (1,), "ff_state_W": (both, dim), "ff_state_b": (dim,)}
    shapes |= {"ff_memory_W": (both, dim), "ff_memory_b": (dim,), "ff_logit_lstm_W": (dim, word)}
    shapes |= {"ff_logit_lstm_b": (word,), "ff_logit_W": (word, words), "ff_logit_b": (words,)}
    return {name: torch.randn(shape, dtype=torch.float64) / 3 for name, shape in shapes.items()}


def test_the_released_encoder_runs_forward_twice_in_training_and_back_when_it_writes() -> None:
    torch.manual_seed(0)
    state = an_encoded_state(dim=5, places=3, word=4, words=11)
    state |= {f"encoder_rev_{part}": state[f"encoder_{part}"] for part in "WUb"}  # both directions alike
    args = {"dim": 5, "ctx_dim": 3, "dim_word": 4, "n_words": 11, "attn_type": "deterministic", "lstm_encoder": True}
    source = "kelvinxu.arctic-captions/build_model-build_sampler-gen_sample-train-gradients"
    training = published.rebuild(f"sat_theano/{source}", args, state)
    places = torch.rand(2, 7, 3, dtype=torch.float64)
    ahead, back = training.encoder(places, training=True).chunk(2, 2)
    assert torch.equal(ahead, back)
    ahead, back = training.encoder(places, training=False).chunk(2, 2)
    torch.testing.assert_close(back, training.encoder(places.flip(1), training=False)[..., :5].flip(1))
    assert not torch.allclose(ahead, back)
    cost, each, alpha, _ = training(torch.tensor([[4, 5], [6, 0]]), torch.ones(2, 2).double(), places)
    assert cost.item() == pytest.approx(each.mean().item()) and alpha.shape == (2, 2, 7)
    words, score = published.rebuild(f"beam_search/{source}", {**args, "beam": 2, "maxlen": 4}, state)(places[0])
    assert 1 <= len(words) <= 4 and score.item() < 0
