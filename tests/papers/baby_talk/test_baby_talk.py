"""What only Baby Talk promises."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from regard import catalog
from regard.data.scene_sentences import KINDS, Object, relation
from regard.data.scenes import scenes
from regard.metrics.words.tokens import tokenise
from regard.papers.baby_talk.fitting import coordinate_search
from regard.papers.baby_talk.prepositions import masks_of, relations, scores
from regard.papers.baby_talk.text.drawn import GRAMMAR, DrawnTriples, related
from regard.papers.baby_talk.text.language import NGrams
from regard.papers.baby_talk.text.templates import described
from regard.papers.baby_talk.text.triples import agreement, priors


def test_no_labelling_has_less_energy_than_the_one_found() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        field = catalog.create("baby_talk", objects=3, attributes=2, prepositions=2).double()
        torch.nn.init.uniform_(field.weights, 0.3, 1.5)
        field.of_attributes.normal_()
        field.of_prepositions.normal_()
        seen = (torch.randn(1, 3, 3).double(), torch.randn(1, 3, 2).double(), torch.randn(1, 3, 2).double())
    best = field.described(*seen)
    torch.testing.assert_close(field.energy(seen, best[:3]), best.energy)
    twos = list(product(range(2), repeat=3))
    o, a, p = (torch.tensor(one) for one in zip(*product(product(range(3), repeat=3), twos, twos), strict=True))
    every = field.energy(tuple(part.expand(len(o), -1, -1) for part in seen), (o, a, p))
    torch.testing.assert_close(every.min(), best.energy[0])
    torch.testing.assert_close(field(*seen)[0, 1, 2], -every[o[:, 1] == 2].min())


def test_more_labellings_than_can_be_compared_are_refused() -> None:
    field = catalog.create("baby_talk", objects=100, attributes=2, prepositions=2)
    with pytest.raises(ValueError, match="100\\^4 labellings"):
        field(torch.zeros(1, 4, 100), torch.zeros(1, 4, 2), torch.zeros(1, 6, 2))


def test_words_of_nearness_are_the_larger_the_nearer() -> None:
    regions = masks_of(torch.tensor([[0.0, 0, 0.2, 0.2], [0.3, 0, 0.5, 0.2], [0.0, 0.8, 0.2, 1]]), (10, 10))
    assert regions.sum((1, 2)).tolist() == [4, 4, 4]
    found = scores(relations(regions), ("above", "under", "near"))
    assert found[0, 2].tolist()[:2] == [1, 0]
    assert found[2, 0].tolist()[:2] == [0, 1]
    assert found[0, 1, 2] > found[0, 2, 2]
    with pytest.raises(ValueError, match="1 of 2 are empty"):
        relations(torch.stack([torch.zeros(4, 5), torch.ones(4, 5)]))


def test_texts_count_what_is_there_twice() -> None:
    dog, sofa = (None, "dog"), ("brown", "sofa")
    told = described([(dog, "on", sofa)], [dog, sofa, dog])
    assert told == "This is a photograph of two dogs and one brown sofa. The dog is on the brown sofa."
    assert described([], [dog], form="picture") == "This picture shows one dog."
    with pytest.raises(ValueError, match="at least one triple"):
        described([])


def test_sentences_are_read_as_triples() -> None:
    things, triples = GRAMMAR.read(tokenise("the picture shows a small red seven to the left of a green circle"))
    assert things == [("red", "seven"), ("green", "disc")]
    assert triples == [(("red", "seven"), "left", ("green", "disc"))]
    assert GRAMMAR.read(tokenise("above a red dog")) == ([], [])


def test_priors_are_shares_of_what_was_read() -> None:
    texts = [tokenise(text) for text in ("a red seven above a disc", "a red seven under a disc", "a blue seven")]
    found = priors(GRAMMAR, texts, smoothing=0.5)
    seven, disc = KINDS.index("seven"), KINDS.index("disc")
    assert found.objects[seven].exp().item() == pytest.approx(3.5 / (5 + 0.5 * len(KINDS)))
    assert found.attributes[seven].exp()[:3].tolist() == pytest.approx([2.5 / 5.5, 0.5 / 5.5, 1.5 / 5.5])
    assert found.prepositions[seven, :, disc].exp().tolist() == pytest.approx([1.5 / 4, 1.5 / 4, 0.5 / 4, 0.5 / 4])


def test_a_language_model_fills_in_function_words() -> None:
    model = NGrams([["a", "dog", "on", "the", "sofa"], ["a", "cat", "on", "the", "grass"]], weight=0.01)
    assert model.filled([["dog"], ["on"], ["sofa"]], ["a", "the", "of"]) == ["a", "dog", "on", "the", "sofa"]
    words = [*model.single, "unseen"]
    total = sum(2.718281828459045 ** model.log_probability(word, ("on", "the")) for word in words if word != "<start>")
    assert total == pytest.approx(1, abs=1e-6)


def test_coordinate_search_finds_the_best_weight_of_each() -> None:
    weights, best = coordinate_search(lambda w: -abs(w[0] - 2) - abs(w[1] - 0.25), [1.0, 1.0])
    assert (weights, best) == ([2.0, 0.25], 0.0)


def test_agreement_counts_triples_of_all_images_together() -> None:
    one, other = ((None, "a"), "on", (None, "b")), ((None, "b"), "on", (None, "a"))
    assert agreement([[one], [one, other]], [[one], [other]]) == pytest.approx((2 / 3, 1, 0.8))


def test_boxes_have_the_relations_of_regions_that_fill_them() -> None:
    boxes = torch.tensor([[0.0, 0.0, 0.25, 0.5], [0.5, 0.25, 0.75, 1.0], [0.25, 0.5, 0.5, 0.75]])
    masks = masks_of(boxes, (16, 16))
    upright, turned = relations(masks), relations(masks.mT)
    wanted = torch.stack([upright[0], upright[1], turned[0], turned[1]], -1)[[0, 0, 1], [1, 2, 2]]
    torch.testing.assert_close(related(boxes).double(), wanted)


def test_drawn_scenes_have_the_triples_of_all_pairs() -> None:
    data = DrawnTriples(scenes(train_size=3, test_size=1, size=32)[0])
    sample = data[2]
    objects: tuple[Object, ...] = data.scenes.objects(2)
    pairs = len(objects) * (len(objects) - 1) // 2
    assert sample["related"].shape == (pairs, 4)
    assert len(sample["triples"]) == pairs
    assert sample["triples"][0][1] == relation(objects[0], objects[1])
    assert [KINDS[i] for i in sample["labels"].tolist()] == [one.kind for one in objects]
