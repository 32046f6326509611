"""The Transformer: sizes, one arithmetic of sentences and cached steps, sharing, and its tiny variant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from regard import watch
from regard.catalog import recipes
from regard.networks.captioner import Captioner, decode, teacher_forced
from regard.papers.transformer.mechanism.stacks import EncoderDecoder
from regard.papers.transformer.network import Transformer
from regard.training.recipe import built
from regard.training.running import train

SMALL: dict[str, Any] = {"channels": 12, "heads": 3, "layers": 2, "hidden": 7}
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"norm_first": True, "bias": True, "output_bias": True, "shared": "none"},
    {"shared": "all", "scale": "logits", "embedding_norm": True, "decoder_layers": 1},
    {"shared": "embeddings", "scale": "none", "positions": 8, "unbiased": True},
)
SOURCE = torch.tensor([[4, 5, 6, 7, 2], [8, 9, 2, 0, 0], [10, 2, 0, 0, 0]])
MASK = SOURCE != 0
WORDS = torch.tensor([[1, 4, 9, 12], [1, 5, 4, 2], [1, 12, 12, 7]])


def network(**arguments: Any) -> Transformer:
    torch.manual_seed(0)
    return Transformer(source_vocabulary=13, vocabulary=13, **SMALL, **arguments).double().eval()


def test_the_base_model_has_63_million_parameters_at_a_shared_vocabulary_of_37000() -> None:
    with torch.device("meta"):
        model = Transformer(source_vocabulary=37_000, vocabulary=37_000, shared="all")
    assert sum(parameter.numel() for parameter in model.parameters()) == 63_045_632


@pytest.mark.parametrize("arguments", OPTIONS)
def test_a_sentence_word_by_word_equals_the_sentence_at_once(arguments: dict[str, Any]) -> None:
    model = network(**arguments)
    assert isinstance(model, Captioner)
    forced = teacher_forced(model, (SOURCE, MASK), WORDS)
    torch.testing.assert_close(model(SOURCE, MASK, WORDS), forced.log_probabilities)
    with watch(model) as maps:
        model(SOURCE, MASK, WORDS)
    cross = [looks[0] for key, looks in maps.items() if key.endswith("/cross")]
    assert len(cross) == arguments.get("decoder_layers", 2)
    torch.testing.assert_close(forced.maps["attention"], torch.stack(cross, 1).permute(0, 3, 1, 2, 4))


def test_a_padded_sentence_is_read_as_it_is_alone() -> None:
    model = network()
    together = model(SOURCE, MASK, WORDS)
    for row, length in enumerate(MASK.sum(1).tolist()):
        alone = model(SOURCE[row : row + 1, :length], None, WORDS[row : row + 1, :3])
        torch.testing.assert_close(together[row : row + 1, :3], alone)


def test_what_is_shared_is_one_parameter() -> None:
    counts = {shared: sum(one.numel() for one in network(shared=shared).parameters()) for shared in
              ("all", "embeddings", "output", "none")}  # fmt: skip
    assert counts["none"] - counts["output"] == counts["none"] - counts["embeddings"] == 13 * 12
    assert counts["none"] - counts["all"] == 2 * 13 * 12


def test_another_number_of_words_cannot_be_shared_and_a_table_has_an_end() -> None:
    with pytest.raises(ValueError, match=r"shared='all': source_vocabulary=11 has to equal vocabulary=13"):
        Transformer(source_vocabulary=11, vocabulary=13, shared="all", **SMALL)
    with pytest.raises(ValueError, match=r"input of 5 words: at most positions=4 are possible"):
        network(positions=4)(SOURCE, MASK, WORDS)


def test_stacks_hide_padding_of_the_first_sequence_from_the_second() -> None:
    torch.manual_seed(0)
    stacks = EncoderDecoder(12, heads=3, layers=2).eval()
    x, y, visible = torch.randn(2, 5, 12), torch.randn(2, 7, 12), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    torch.testing.assert_close(stacks(x, y, visible)[1:], stacks(x[1:, :3], y[1:]))


def test_a_beam_search_returns_the_maps_of_the_hypothesis() -> None:
    model = network(shared="none")
    for row, best in enumerate(decode(model, (SOURCE, MASK), beam=4, longest=6)):
        words = torch.tensor([[1, *best[0].words[:-1]]])
        forced = teacher_forced(model, (SOURCE[row : row + 1], MASK[row : row + 1]), words)
        torch.testing.assert_close(best[0].maps["attention"], forced.maps["attention"][0])


@pytest.mark.slow
def test_the_tiny_variant_learns_to_translate(tmp_path: Path) -> None:
    listing = recipes.get("transformer")
    recipe = built(listing, tiny=True)
    for seed in range(3):
        assert train(listing, recipe, out=tmp_path / f"run-{seed}", seed=seed)["scores"]["bleu"] > 40
