"""RNNsearch: sizes, one arithmetic of sentences and steps, padding, the controls, and its tiny variant."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from regard import published, watch
from regard.catalog import recipes
from regard.networks.captioner import Captioner, decode, teacher_forced
from regard.ops.words import END, START
from regard.papers.rnn_search.network import GRUSearch, RNNSearch
from regard.training.recipe import built
from regard.training.running import train

GOLDEN = Path(__file__).parent / "golden"
SMALL = {"embedding": 5, "hidden": 7, "attention": 11, "maxout": 3, "std": 0.5}
SOURCE = torch.tensor([[4, 5, 6, 7, 2], [8, 9, 2, 0, 0], [10, 2, 0, 0, 0]])
MASK = SOURCE != 0
WORDS = torch.tensor([[1, 4, 9, 12], [1, 5, 4, 2], [1, 12, 12, 7]])


def network(**arguments: object) -> RNNSearch:
    torch.manual_seed(0)
    model = RNNSearch(source_vocabulary=11, vocabulary=13, **{**SMALL, **arguments}).double().eval()  # type: ignore[arg-type]
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def gru() -> GRUSearch:
    torch.manual_seed(0)
    return GRUSearch(source_vocabulary=11, vocabulary=13, embedding=5, hidden=7, layers=2).double().eval()


def test_the_papers_network_has_80_million_parameters_at_30000_words() -> None:
    with torch.device("meta"):
        model = RNNSearch(source_vocabulary=30_000, vocabulary=30_000)
    assert sum(parameter.numel() for parameter in model.parameters()) == 80_401_000


@pytest.mark.parametrize("arguments", [{}, {"lag": False, "bias": True}, {"context": "ends"}, {"context": "mean"}])
def test_a_sentence_word_by_word_equals_the_sentence_at_once(arguments: dict[str, object]) -> None:
    model = network(**arguments)
    assert isinstance(model, Captioner)
    forced = teacher_forced(model, (SOURCE, MASK), WORDS)
    torch.testing.assert_close(model(SOURCE, MASK, WORDS), forced.log_probabilities)
    assert set(forced.maps) == ({"attention"} if "context" not in arguments else set())


def test_the_teaching_variant_is_one_arithmetic_too() -> None:
    model = gru()
    forced = teacher_forced(model, (SOURCE, MASK), WORDS)
    torch.testing.assert_close(model(SOURCE, MASK, WORDS), forced.log_probabilities)


@pytest.mark.parametrize("model", [network(), network(lag=False, bias=True), network(context="mean"), gru()])
def test_a_padded_sentence_is_read_as_it_is_alone(model: RNNSearch | GRUSearch) -> None:
    together = model(SOURCE, MASK, WORDS)
    for row, length in enumerate(MASK.sum(1).tolist()):
        alone = model(SOURCE[row : row + 1, :length], None, WORDS[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone)


def test_the_map_has_a_row_for_every_word_and_nothing_on_padding() -> None:
    model = network()
    with watch(model) as maps:
        model(SOURCE, MASK, WORDS)
    assert list(maps) == ["attention"] and maps.axes["attention"] == "B L T"
    (alpha,) = maps["attention"]
    assert alpha.shape == (3, 4, 5)
    torch.testing.assert_close(alpha.sum(2), torch.ones(3, 4, dtype=torch.float64))
    assert (alpha.transpose(1, 2)[~MASK] == 0).all()


def test_without_lag_the_state_that_aligns_knows_the_word_before() -> None:
    other = WORDS.clone()
    other[:, 1] = 6  # written first: with lag, the alignment of the second word does not know it
    for lag, same in ((True, True), (False, False)):
        model = network(lag=lag)
        maps = [teacher_forced(model, (SOURCE, MASK), words).maps["attention"] for words in (WORDS, other)]
        assert torch.equal(maps[0][:, 0], maps[1][:, 0])
        assert torch.equal(maps[0][:, 1], maps[1][:, 1]) == same
        assert not torch.equal(maps[0][:, 2], maps[1][:, 2])


def test_recorded_alignments_equal_the_authors() -> None:
    for name in ("rnnsearch-a_paper", "rnnsearch-a_groundhog"):
        with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
            facts = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        state = {key.removeprefix("param."): value for key, value in tensors.items() if key.startswith("param.")}
        adapted = published.rebuild(facts["reference"], json.loads(facts["args"]), state)
        found = []
        model = adapted.module
        unrolled = model.unrolled
        model.unrolled = lambda *given: found.append(unrolled(*given)) or found[-1]  # type: ignore[func-returns-value] # noqa: B023
        adapted(*(tensors[f"input.{i}"] for i in range(4)))
        torch.testing.assert_close(found[0][2].permute(1, 2, 0), tensors["map.alignment"], rtol=1e-8, atol=1e-11)


def test_a_beam_search_returns_the_alignment_of_the_hypothesis() -> None:
    model = network(lag=False)
    for best, row in zip(decode(model, (SOURCE, MASK), beam=4, longest=6), range(3), strict=True):
        words = torch.tensor([[START, *best[0].words[:-1]]])
        forced = teacher_forced(model, (SOURCE[row : row + 1], MASK[row : row + 1]), words)
        torch.testing.assert_close(best[0].maps["attention"], forced.maps["attention"][0])
        chosen = torch.tensor(best[0].words)
        steps = forced.log_probabilities[0, torch.arange(len(chosen)), chosen]
        torch.testing.assert_close(torch.tensor(best[0].log_probabilities, dtype=torch.float64), steps)
        assert best[0].finished == (best[0].words[-1] == END)


@pytest.mark.slow
def test_the_tiny_variant_learns_to_translate_and_without_attention_it_does_not(tmp_path: Path) -> None:
    listing = recipes.get("rnn-search")
    recipe = built(listing, tiny=True)
    assert isinstance(recipe.build, partial)
    control = replace(recipe, build=partial(recipe.build, context="ends"))
    for seed in range(3):
        result = train(listing, recipe, out=tmp_path / f"run-{seed}", seed=seed)
        without = train(listing, control, out=tmp_path / f"control-{seed}", seed=seed)
        assert result["scores"]["bleu"] > 40
        assert result["scores"]["bleu"] > without["scores"]["bleu"] + 15
        assert result["facts"]["signature"].startswith("nrefs:1|case:mixed")
