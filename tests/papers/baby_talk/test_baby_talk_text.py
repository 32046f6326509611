"""Baby Talk's weights, and its potentials and language model out of files of sentences."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from regard.catalog import recipes
from regard.data.batches import Batch
from regard.data.bottom_up import Seen, write
from regard.looking.photographs import look
from regard.papers.baby_talk import recipe as module
from regard.papers.baby_talk.network import BabyTalk
from regard.papers.baby_talk.prepositions import FUNCTIONS
from regard.papers.baby_talk.recipe import baby_talk
from regard.papers.baby_talk.task import Describe, right_words, search_weights, set_priors
from regard.papers.baby_talk.text.corpus import grammar_of, perplexity
from regard.papers.baby_talk.text.drawn import GRAMMAR
from regard.papers.baby_talk.text.language import NGrams
from regard.papers.baby_talk.text.triples import Grammar, priors
from regard.training import running
from regard.training.recipe import built

CORPUS = [
    text.split()
    for text in (
        "a brown dog is sitting on the sofa",
        "two brown dogs are in the snow",
        "a young man sits on a brown sofa",
        "a dog near a man",
        "a young dog",
    )
]
TEXT = "a red seven above a green disc\na red seven over a blue square\n"


def test_the_words_of_a_corpus_are_its_commonest() -> None:
    grammar = grammar_of(CORPUS, FUNCTIONS, objects=3, attributes=2)
    assert grammar.names == (("dog", "man", "sofa"), ("brown", "young"), ("on", "in", "near"))
    assert grammar.objects["dogs"] == "dog"
    found = priors(grammar, CORPUS, smoothing=1.0)
    assert found.objects.exp().tolist() == pytest.approx([5 / 11, 3 / 11, 3 / 11])
    assert found.attributes[0].exp().tolist() == pytest.approx([3 / 5, 2 / 5])
    for options, told in (({"objects": 0}, "objects=0"), ({"attributes": 0}, "attributes=0")):
        with pytest.raises(ValueError, match=told):
            grammar_of(CORPUS, FUNCTIONS, **options)
    with pytest.raises(ValueError, match=r"prepositions=\{\}"):
        grammar_of([["a", "brown", "dog"], ["a", "dog"]], FUNCTIONS)


def test_perplexity_is_one_over_the_mean_probability() -> None:
    model = NGrams([["a", "b"], ["a", "b"], ["a", "c"]], weight=1.0)
    total = 6 + 3  # words and ends; a, b, c, <end> and the unseen
    alone = [(3 + 1) / (total + 5), (2 + 1) / (total + 5), (3 + 1) / (total + 5)]
    wanted = math.exp(-sum(map(math.log, alone)) / 3)
    assert perplexity(model, [["a", "b"]], order=1) == pytest.approx(wanted)
    assert perplexity(model, [["a", "b"]]) < wanted < perplexity(model, [["c", "a"]])
    assert perplexity(model, [["a", "b"]]) == pytest.approx(math.exp(-model.score(["a", "b"]) / 3))
    with pytest.raises(ValueError, match="sentences: at least one"):
        perplexity(model, [])
    with pytest.raises(ValueError, match="order=2"):
        perplexity(model, [["a"]], order=2)


def test_right_words_are_counted_place_by_place() -> None:
    true = [[(("red", "a"), "on", ("blue", "b"))], [((None, "a"), "by", (None, "b"))]]
    found = [[(("red", "a"), "on", ("red", "c"))], [((None, "b"), "by", (None, "b"))]]
    assert right_words(found, true) == pytest.approx((3 + 4) / 10)
    with pytest.raises(ValueError, match="at least one triple"):
        right_words([[]], [[]])


def test_weights_let_a_misleading_text_have_no_say() -> None:
    """The classifiers are right and the text is wrong: a search has to weigh the classifiers more."""
    grammar = Grammar({"cat": "cat", "dog": "dog"}, {"red": "red", "blue": "blue"}, {"on": "on", "by": "by"})
    model, task = BabyTalk(4, objects=2, attributes=2, prepositions=2), Describe(grammar)
    with torch.no_grad():
        for layer, columns in ((model.see_objects, (0, 1)), (model.see_attributes, (2, 3))):
            assert layer is not None
            layer.weight.zero_()
            layer.bias.zero_()
            for row, column in enumerate(columns):
                layer.weight[row, column] = 1.0
    set_priors(model, torch.tensor([[0.0, -5], [0, -5]]), torch.zeros(2, 2, 2))
    batch = Batch(
        features=torch.tensor([[[1.0, 0, 0, 1], [0, 1, 0, 1]]]),
        features_mask=torch.ones(1, 2, dtype=torch.bool),
        related=torch.tensor([[[1.0, 0]]]),
        related_mask=torch.ones(1, 1, dtype=torch.bool),
        triples=[[(("blue", "cat"), "on", ("blue", "dog"))]],
    )
    assert right_words(task.found(model, batch), batch["triples"]) == pytest.approx(3 / 5)
    model.train()
    assert search_weights(model, task, batch) == 1.0
    assert model.training
    assert task.found(model, batch) == batch["triples"]
    assert model.weights.tolist() != [1.0] * 7


def test_regions_of_a_photograph_are_told_by_template() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = BabyTalk(195, objects=2, attributes=2, prepositions=4)
    words = {
        "objects": ("cat", "dog"),
        "attributes": ("red", "blue"),
        "prepositions": ("above", "below", "left of", "right of"),
    }
    with torch.no_grad():
        for layer, row in ((model.see_objects, 1), (model.see_attributes, 0)):
            assert layer is not None and layer.bias is not None
            layer.bias[row] += 90  # every region is a red dog
        boxes = torch.tensor([[[0.0, 0.1, 0.3, 0.3], [0.5, 0.1, 0.9, 0.35]]])
        assert model.told(torch.rand(1, 3, 20, 30), boxes, words=words) == [
            "This is a photograph of two red dogs. The red dog is left of the red dog."
        ]
        corners = torch.rand(1, 9, 4).unflatten(2, (2, 2)).sort(2).values.flatten(2)
        (many,) = model.told(torch.rand(1, 3, 20, 30), corners, words=words)
    assert many.startswith("This picture shows five dogs.")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"text": ""}, "text=''"),
        ({"text": []}, r"text=\[\]"),
        ({"text": 3}, "text=3"),
        ({"search": "yes"}, "search='yes'"),
        ({"data": Path("scenes")}, "data='scenes'"),
    ],
)
def test_options_that_are_none_are_named(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        baby_talk(tiny=True, **options)


@pytest.mark.slow
def test_a_run_learns_its_weights_and_reads_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TINY", {"train_size": 20, "test_size": 3, "size": 32})
    monkeypatch.setattr(module, "SEARCHED_TINY", 3)
    text, listing = tmp_path / "captions.txt", recipes.get("baby-talk")
    text.write_text(TEXT, encoding="utf-8")
    found = {}
    for name, options in {
        "searched": {"text": str(text)},
        "captions": {"search": False},
    }.items():
        recipe = built(listing, tiny=True, options=options)
        running.train(listing, recipe, out=tmp_path / name, changes={"epochs": 1})
        found[name] = running.load(recipe, tmp_path / name).state_dict()
    assert found["captions"]["weights"].tolist() == [1.0] * 7 != found["searched"]["weights"].tolist()
    wanted = priors(GRAMMAR, [line.split() for line in TEXT.splitlines()])
    assert torch.equal(found["searched"]["of_attributes"], wanted.attributes)
    assert torch.equal(found["searched"]["of_prepositions"], wanted.prepositions)
    assert not torch.equal(found["captions"]["of_attributes"], wanted.attributes)
    photo, regions = tmp_path / "photo.png", tmp_path / "regions.tsv"
    Image.new("RGB", (60, 40), (180, 40, 40)).save(photo)
    boxes = np.array([[0, 0, 30, 20], [30, 20, 60, 40]], np.float32)
    write(regions, [Seen(name="photo", width=60, height=40, boxes=boxes, features=np.zeros((2, 3), np.float32))])
    looked = look(photo, weights=tmp_path / "searched", regions=regions, out=tmp_path / "drawn")
    ((name, sentence),) = looked.sentences
    assert name == "photo.png" and sentence.startswith("This is a photograph of ") and looked.pictures[0].exists()
    text.unlink()  # what it said stands in the weights
    before = (tmp_path / "searched" / "model.safetensors").read_bytes()
    running.train(listing, built(listing, tiny=True, options={"text": str(text)}), out=tmp_path / "searched",
                  changes={"epochs": 1})  # fmt: skip
    assert (tmp_path / "searched" / "model.safetensors").read_bytes() == before
    with pytest.raises(FileNotFoundError, match=r"captions\.txt"):
        running.train(listing, built(listing, tiny=True, options={"text": str(text)}), out=tmp_path / "new")
    text.write_text("nobody is there\n", encoding="utf-8")
    with pytest.raises(ValueError, match="sentences about zero, one"):
        running.train(listing, built(listing, tiny=True, options={"text": str(text)}), out=tmp_path / "other")
