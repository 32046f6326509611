"""Sentences as triplets, trees of words, and retrieval, of Every Picture Tells a Story."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from regard.data.phrases import Lexicon
from regard.data.scenes import scenes
from regard.papers.every_picture.task import meanings
from regard.papers.every_picture.task.meanings import Taxonomy, drawn, flat, of_wordnet
from regard.papers.every_picture.task.pictures import of_scenes
from regard.papers.every_picture.task.ranking import inverse_ranks, recalls
from regard.papers.every_picture.task.sentences import Labels, Reader, labels_of

TREE: dict[str, str | None] = {
    "all": None,
    "animal": "all",
    "dog": "animal",
    "puppy": "dog",
    "cat": "animal",
    "car": "all",
}
SENTENCES = [
    text.split()
    for text in (
        "two dogs are running in the snow",
        "a brown dog runs in the snow",
        "a man is wearing a red shirt",
        "a man in a red shirt is riding a horse on the beach",
        "a puppy is playing in the park",
        "a man is riding near the park",
    )
]


def test_a_word_that_is_no_label_counts_for_those_near_it() -> None:
    tree = Taxonomy(TREE, {"hound": "dog"}, {"dog": 3, "puppy": 1, "cat": 2})
    total, animal = 12, 10  # every meaning counts once more: 6 of the tree and 6 of the words
    dog, puppy = 6, 2
    similar = tree.similar("puppy", ["dog", "car", "puppy"])
    wanted = 2 * math.log(dog / total) / (math.log(dog / total) + math.log(puppy / total))
    assert similar.tolist() == pytest.approx([wanted, 0, 1])
    lowest = 2 * math.log(animal / total) / (math.log(dog / total) + math.log(3 / total))
    assert tree.similar("hound", ["cat", "dog"]).tolist() == pytest.approx([lowest, 1])
    assert tree.similar("stone", ["dog", "stone"]).tolist() == [0, 1]
    assert tree.agreement("puppy", ["dog", "cat"]).tolist() == pytest.approx([0.8, 0.4])


def test_what_is_no_tree_of_words_is_refused() -> None:
    with pytest.raises(ValueError, match="parents: 'plant' is no meaning"):
        Taxonomy({"all": None, "tree": "plant"}, {}, {})
    with pytest.raises(ValueError, match="words: 'plant' is no meaning"):
        Taxonomy({"all": None}, {"oak": "plant"}, {})
    with pytest.raises(ValueError, match="one root"):
        Taxonomy({"all": None, "tree": None}, {}, {})


@dataclass(frozen=True)
class Synset:
    """A meaning of WordNet as NLTK gives it."""

    path: tuple[str, ...]

    def name(self) -> str:
        return self.path[-1]

    def hypernym_paths(self) -> list[list[Synset]]:
        return [[Synset(self.path[: i + 1]) for i in range(len(self.path))]]


PATHS = {
    ("dog", "n"): ("entity.n.01", "animal.n.01", "dog.n.01"),
    ("hound", "n"): ("entity.n.01", "animal.n.01", "dog.n.01", "hound.n.01"),
    ("park", "n"): ("entity.n.01", "park.n.01"),
    ("run", "v"): ("move.v.01", "run.v.01"),
    ("sit", "v"): ("rest.v.01", "sit.v.01"),
}


class WordNet:
    """Stands in for NLTK's reader, whose files are not there."""

    def synsets(self, word: str, pos: str) -> list[Synset]:
        return [Synset(PATHS[word, pos])] if (word, pos) in PATHS else []


def test_wordnet_gives_the_tree_above_words(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = of_wordnet(["dog", "hound", "park", "frisbee"], "noun", wordnet=WordNet())
    assert "hound" in tree and "frisbee" not in tree
    near = tree.similar("hound", ["dog", "park"])
    assert near[0] > 0.5 > near[1]
    verbs = of_wordnet(["run", "sit"], "verb", wordnet=WordNet())
    assert verbs.similar("run", ["sit", "run"]).tolist() == [0, 1]  # two roots stand below one
    monkeypatch.setattr(meanings, "installed_wordnet", lambda: None)
    with pytest.raises(LookupError, match="not installed"):
        of_wordnet(["dog"], "noun")
    with pytest.raises(ValueError, match="part='adverb'"):
        of_wordnet(["dog"], "adverb", wordnet=WordNet())


def reader(**options: Any) -> Reader:
    labels = Labels(("dog", "man"), ("running", "riding", "playing"), ("snow", "beach", "park"))
    trees = (Taxonomy(TREE | {"man": "all"}, {}, {"puppy": 5, "man": 30}), flat(labels.actions), flat(labels.scenes))
    return Reader(labels, trees, Lexicon.of(SENTENCES), **options)


def test_a_sentence_is_about_its_first_thing_that_acts_somewhere() -> None:
    read = [reader().read(tokens) for tokens in SENTENCES]
    assert read == [(0, 0, 0), (0, 0, 0), None, (1, 1, 1), (0, 2, 2), (1, 1, 2)]
    assert reader(least=1.0).read(SENTENCES[4]) is None  # a puppy is near a dog, and no dog
    assert reader().mentioned(["a", "man", "with", "a", "puppy"]) == {0, 1}
    assert reader().words(SENTENCES[3]) == (["man"], ["riding"], ["shirt", "beach"])
    for options, told in (({"action": "noun"}, "action='noun'"), ({"least": 2.0}, "least=2.0")):
        with pytest.raises(ValueError, match=told):
            reader(**options)


def test_triplets_of_a_sentence_come_by_similarity_and_then_by_the_corpus() -> None:
    likely = torch.zeros(2, 3, 3)
    likely[0, 0, 2], likely[1, 1, 1] = 1.0, 7.0
    best = reader().ranked(SENTENCES[0], 3, likely=likely).tolist()
    assert best[:2] == [[0, 0, 0], [0, 0, 2]]
    assert reader().ranked(SENTENCES[0], 18).tolist()[0] == [0, 0, 0]


def test_labels_are_the_commonest_and_no_clothes() -> None:
    found = labels_of(SENTENCES, Lexicon.of(SENTENCES), objects=2, actions=9, scenes=9)
    assert found.objects == ("man", "dog")
    assert set(found.actions) == {"running", "wearing", "riding", "playing"}
    assert found.scenes == ("park", "snow", "beach")
    with pytest.raises(ValueError, match="none of 1 has one of the actions"):
        labels_of([["a", "dog"]], Lexicon())


def test_drawn_scenes_are_read_as_they_are() -> None:
    train, test = of_scenes(*scenes(train_size=3, test_size=2, size=32))
    assert (len(train), len(test)) == (3, 2)
    for sample, picture in zip((train[i] for i in range(3)), train.sentences, strict=True):
        assert len(sample["triplets"]) == len(picture) == 5
        for (o, a, s), tokens in zip(sample["triplets"].tolist(), picture, strict=True):
            kinds, shades, places = train.reader.labels
            text = " ".join(tokens).replace("circle", "disc")
            assert f"{shades[a]} {kinds[o]}" in text and text.endswith(places[s])
            assert sample["present"][o] and sample["present"][s]
    assert drawn().similar("circle", ["square", "disc"])[1] == 1
    pool = train.pool()
    assert all(train.reader.read(text.split()) == triplet for triplet, text in pool.items())


def test_equal_scores_share_their_ranks() -> None:
    scores = torch.tensor([[3.0, 1, 1, 0], [2, 2, 2, 2]])
    found = recalls(scores, torch.tensor([0, 1, 0, 1]))
    assert found["annotation_1"] == 0.5  # the second image's sentences stand at 2.5 of 4 alike
    assert found["annotation_median"] == pytest.approx((1 + 2.5) / 2)
    assert found["search_1"] == pytest.approx(3 / 4)  # the third sentence is more the second image's
    best = [torch.tensor([[0, 1, 2], [1, 0, 0]]), torch.tensor([[1, 0, 0], [0, 0, 0]])]
    ranks = inverse_ranks(best, (2, 3, 5))
    assert ranks.shape == (2, 30)
    assert (ranks[0] @ ranks[1]).item() == pytest.approx(1 / 2)
