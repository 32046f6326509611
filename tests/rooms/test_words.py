"""Vocabularies, beam search, and what captioners share."""

from __future__ import annotations

import itertools
import math
import pickle
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from regard.core import Attention
from regard.data.words import Words
from regard.networks.captioner import Captioner, Encoder, Step, decode, log_softmax, sample, teacher_forced
from regard.ops.beam_search import beam_search, penalised, selected
from regard.ops.words import END, PAD, SPECIAL, START, UNKNOWN
from regard.watching import watch

SENTENCES = [["a", "dog", "runs"], ["a", "cat", "runs"], ["a", "dog"], ["zebra"]]


def test_words_are_ranked_by_count_and_by_the_alphabet() -> None:
    words = Words.of(iter(SENTENCES), least=1)
    assert words.tokens == (*SPECIAL, "a", "dog", "runs", "cat", "zebra")
    assert words.counts == (0, 4, 4, 0, 3, 2, 2, 1, 1)
    fewer = Words.of(SENTENCES, least=2, most=2)
    assert fewer.tokens == (*SPECIAL, "a", "dog")
    assert fewer.counts == (0, 4, 4, 4, 3, 2)
    assert (len(fewer), "dog" in fewer, "runs" in fewer, "<pad>" in fewer) == (6, True, False, False)


def test_padding_start_and_end_differ_from_each_other_and_from_words() -> None:
    words = Words.of([["<end>", "a", "<pad>", "a"]], least=1)
    assert words.tokens == (*SPECIAL, "a")
    assert words.encode(["a", "<end>", "b", "a"]) == [START, 4, UNKNOWN, UNKNOWN, 4, END]
    assert words.encode(["a", "b", "a"], longest=1) == [START, 4, END]
    assert words.decode([START, 4, PAD, UNKNOWN, END, 4]) == ["a", "<unk>"]
    assert words.decode(torch.tensor([4, 4])) == ["a", "a"]


def test_a_vocabulary_survives_a_pickle_and_is_short_in_settings() -> None:
    words = Words.of([[f"word{i}" for i in range(1000)]], least=1)
    again = pickle.loads(pickle.dumps(words))
    assert again == words
    assert again.encode(["word7"]) == words.encode(["word7"])
    assert len(repr(words)) < 50
    assert repr(words) != repr(Words((*words.tokens[:-2], *words.tokens[:-3:-1])))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Words.of(SENTENCES), "least=5: no word of 4 sentences"),
        (lambda: Words.of(SENTENCES, least=0), "least=0"),
        (lambda: Words.of(SENTENCES, least=1, most=0), "most=0"),
        (lambda: Words.of([["a"], "a dog"], least=1), "tokens='a dog': a list of words"),
        (lambda: Words(("a", *SPECIAL)), "the first have to be <pad>"),
        (lambda: Words((*SPECIAL, "a", "a")), "'a' stands there more than once"),
        (lambda: Words((*SPECIAL, "a"), (1, 2)), "counts: 2 are given"),
        (lambda: Words((*SPECIAL, "a")).decode([5]), "5 is no row of a vocabulary of 5"),
        (lambda: Words((*SPECIAL, "a")).encode(["a"], longest=0), "longest=0"),
    ],
)
def test_a_wrong_vocabulary_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


class Table:
    """A step whose log-probabilities depend on all words before, which its state holds; its map is what it read."""

    def __init__(self, vocabulary: int, seed: int, sharp: float = 2.0) -> None:
        self.vocabulary, self.seed, self.sharp = vocabulary, seed, sharp

    def row(self, item: int, words: tuple[int, ...]) -> Tensor:
        generator = torch.Generator().manual_seed(hash((self.seed, item, words)) % 2**31)
        scores = torch.randn(self.vocabulary, generator=generator, dtype=torch.float64)
        return (self.sharp * scores).log_softmax(0)

    def start(self, items: int) -> dict[str, Any]:
        return {"item": torch.arange(items), "said": (torch.zeros(items, 0, dtype=torch.int64), None)}

    def __call__(self, words: Tensor, state: Any) -> tuple[Tensor, Any, dict[str, Tensor]]:
        said = torch.cat([state["said"][0], words[:, None]], 1)
        rows = [self.row(int(i), tuple(s)) for i, s in zip(state["item"], said.tolist(), strict=True)]
        shown = {"read": 100.0 * state["item"] + words, "twice": torch.stack([words, 2 * words], 1)}
        return torch.stack(rows), {"item": state["item"], "said": (said, None)}, shown

    def search(self, items: int, **how: Any) -> list[list[Any]]:
        return beam_search(self, self.start(items), start=0, end=1, **{"beam": 3, "longest": 4, **how})

    def best(self, item: int, longest: int, never: tuple[int, ...] = ()) -> list[tuple[float, tuple[int, ...]]]:
        """Every sentence of at most `longest` words with the sum of its log-probabilities, best first."""
        found = []
        for length in range(1, longest + 1):
            for words in itertools.product(range(self.vocabulary), repeat=length):
                ended = words[-1] == 1 and 1 not in words[:-1]
                if (ended or (length == longest and 1 not in words)) and not set(words) & set(never):
                    each = [float(self.row(item, (0, *words[:i]))[word]) for i, word in enumerate(words)]
                    found.append((sum(each), words))
        return sorted(found, reverse=True)


@pytest.mark.parametrize("finished", ["shrink", "aside", "stay", "expand"])
def test_a_beam_as_wide_as_all_sentences_finds_the_best(finished: str) -> None:
    table = Table(vocabulary=4, seed=3)
    found = table.search(2, beam=64, longest=3, finished=finished, never=(0,))
    for item, hypotheses in enumerate(found):
        wanted = table.best(item, 3, never=(0,))
        assert [one.words for one in hypotheses] == [words for _, words in wanted]
        assert [one.score for one in hypotheses] == pytest.approx([score for score, _ in wanted])
        assert all(one.finished == (one.words[-1] == 1) for one in hypotheses)


def test_a_beam_of_one_is_greedy() -> None:
    table = Table(vocabulary=5, seed=11)
    for item, (only,) in enumerate(table.search(3, beam=1, longest=6)):
        words: tuple[int, ...] = ()
        while len(words) < 6 and words[-1:] != (1,):
            words = (*words, int(table.row(item, (0, *words)).argmax()))
        assert only.words == words
        each = [float(table.row(item, (0, *words[:i]))[word]) for i, word in enumerate(words)]
        assert only.log_probabilities == pytest.approx(each)
        assert only.score == pytest.approx(sum(each))


@pytest.mark.parametrize("finished", ["shrink", "aside", "stay", "expand"])
def test_the_maps_are_those_of_the_surviving_hypothesis(finished: str) -> None:
    changed = 0
    for seed in range(20):
        for item, hypotheses in enumerate(Table(vocabulary=5, seed=seed).search(2, finished=finished)):
            for one in hypotheses:
                read = torch.tensor([0, *one.words[:-1]])
                torch.testing.assert_close(one.maps["read"], 100.0 * item + read, rtol=0, atol=0)
                torch.testing.assert_close(one.maps["twice"], torch.stack([read, 2 * read], 1), rtol=0, atol=0)
            changed += hypotheses[0].words[:1] != hypotheses[-1].words[:1]
    assert changed  # so that rows of the last step would be the wrong ones


def test_the_three_treatments_of_an_ended_hypothesis_differ() -> None:
    """One step after an end: the beam is narrower, as wide as before, or shared with the hypothesis that has ended."""
    chances = {
        (0,): [0.0, 0.5, 0.3, 0.2],  # one ends at once
        (0, 2): [0.0, 0.1, 0.5, 0.4],
        (0, 2, 2): [0.0, 0.4, 0.6, 0.0],
    }

    def step(words: Tensor, state: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        said = torch.cat([state, words[:, None]], 1)
        rows = [chances.get(tuple(s), [0.0, 1.0, 0.0, 0.0]) for s in said.tolist()]
        return torch.tensor(rows).log(), said, {}

    def search(finished: str) -> list[tuple[int, ...]]:
        begin = torch.zeros(1, 0, dtype=torch.int64)
        found = beam_search(step, begin, start=0, end=1, beam=2, longest=3, finished=finished)
        return [one.words for one in found[0]]

    assert search("shrink") == [(1,), (2, 2, 2)]  # (2, 3, 1) has 0.12, and one place was left
    assert search("aside") == [(1,), (2, 3, 1)]
    assert search("stay") == [(1,), (2, 2, 2)]
    chances[(0,)], chances[(0, 2)] = [0.0, 0.15, 0.8, 0.05], [0.0, 0.0, 0.6, 0.4]
    assert search("shrink") == [(2, 2, 2), (1,)]
    assert search("stay") == [(2, 3, 1), (2, 2, 2)]  # 0.32 and 0.48 put the ended one, 0.15, out of the beam


def as_in_lua(table: Table, beam: int, longest: int) -> list[tuple[float, tuple[int, ...]]]:
    """The search of karpathy/neuraltalk2: every hypothesis that stands in the beam when its word is the end is done."""
    beams: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    done = []
    for t in range(longest):
        candidates = []
        for total, words in beams:
            values, rows = table.row(0, (0, *words)).sort(descending=True)
            candidates += [(total + float(values[c]), (*words, int(rows[c]))) for c in range(beam)]
        beams = sorted(candidates, key=lambda one: -one[0])[:beam]
        done += [one for one in beams if one[1][-1] == 1 or t == longest - 1]
    return sorted(done, key=lambda one: -one[0])


def test_an_ended_hypothesis_that_is_expanded_keeps_its_place_in_the_beam() -> None:
    others = 0
    for seed in range(20):
        table = Table(vocabulary=5, seed=seed)
        found = table.search(1, beam=2, longest=5, finished="expand")[0]
        total, words = as_in_lua(table, 2, 5)[0]
        assert found[0].words == (words[: words.index(1) + 1] if 1 in words else words)
        assert found[0].score == pytest.approx(total)
        assert all(1 not in one.words[:-1] for one in found)
        others += [one.words for one in found] != [
            one.words for one in table.search(1, beam=2, longest=5, finished="aside")[0]
        ]
    assert others  # a beam that is as wide as before an end finds other sentences


def test_penalties() -> None:
    total, length = -7.0, 13
    assert penalised(total, length, "none") == -7
    assert penalised(total, length, "average") == pytest.approx(-7 / 13)
    assert penalised(total, length, ("wu", 0.9)) == pytest.approx(-7 / ((5 + 13) ** 0.9 / 6**0.9))
    assert penalised(total, length, ("power", 0.7)) == pytest.approx(-7 / 13**0.7)
    assert penalised(total, length, ("min", 11.3)) == pytest.approx(-7 / 11.3)
    assert penalised(total, length, ("max", 17)) == pytest.approx(-7 / 17)
    normal = math.exp(-((13 - 11.3) ** 2) / (2 * 3.1**2)) / (3.1 * math.sqrt(2 * math.pi))
    assert penalised(total, length, ("gaussian", 11.3, 3.1)) == pytest.approx(-7 / normal)
    assert penalised(-7, 500, ("gaussian", 11.3, 3.1)) == -math.inf


def test_a_penalty_ranks_the_hypotheses_in_the_end() -> None:
    table = Table(vocabulary=5, seed=2, sharp=1.0)
    plain, long = (table.search(1, beam=20, finished="aside", penalty=how)[0] for how in ("none", ("power", 2.0)))
    assert [one.score for one in long] == sorted((one.score for one in long), reverse=True)
    assert sum(len(one.words) for one in long) > sum(len(one.words) for one in plain)
    for one in long:
        assert one.score == pytest.approx(sum(one.log_probabilities) / len(one.words) ** 2)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"beam": 0}, "beam=0"),
        ({"longest": 0}, "longest=0"),
        ({"finished": "away"}, "finished='away': 'shrink', 'aside', 'stay' or 'expand'"),
        ({"penalty": "long"}, "penalty='long'"),
        ({"penalty": "wu"}, "penalty='wu': 'wu' and 1 number are needed"),
        ({"penalty": ("gaussian", 1.0)}, "'gaussian' and 2 numbers"),
        ({"penalty": ("power", -1.0)}, "penalty=-1.0"),
        ({"never": (0, 1, 2, 3, 4)}, "every word has the probability 0"),
    ],
)
def test_a_search_refuses_what_it_cannot_do(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Table(vocabulary=5, seed=0).search(2, **how)


def test_a_state_is_selected_in_every_part() -> None:
    state = {"a": torch.arange(5), "b": (torch.arange(10).view(5, 2), None), "c": [torch.arange(5)]}
    rows = torch.tensor([3, 3, 0])
    found = selected(state, rows)
    assert found["a"].tolist() == found["c"][0].tolist() == [3, 3, 0]
    assert found["b"][0].tolist() == [[6, 7], [6, 7], [0, 1]]
    assert found["b"][1] is None
    with pytest.raises(ValueError, match=r"its tensors have \[2, 3\] rows"):
        beam_search(Table(5, 0), (torch.zeros(2), torch.zeros(3)), start=0, end=1, beam=1, longest=1)
    with pytest.raises(ValueError, match="it holds int"):
        beam_search(Table(5, 0), {"a": 3}, start=0, end=1, beam=1, longest=1)


class Small(Attention):
    """A captioner whose map is the memory that it writes from, with dropout that evaluation has to turn off."""

    maps: ClassVar[dict[str, str]] = {"memory": "B L M"}
    seen = ("features",)
    vocabulary = 11

    def __init__(self) -> None:
        super().__init__()
        self.words, self.cell = nn.Embedding(11, 5), nn.LSTMCell(5, 7)
        self.first, self.scores, self.dropout = nn.Linear(3, 7), nn.Linear(7, 11), nn.Dropout(0.5)

    def start(self, features: Tensor) -> dict[str, Tensor]:
        h = self.first(features).tanh()
        return {"h": h, "c": torch.zeros_like(h)}

    def step(self, words: Tensor, state: dict[str, Tensor]) -> Step:
        h, c = self.cell(self.words(words), (state["h"], state["c"]))
        return Step(log_softmax(3 * self.scores(self.dropout(h))), {"h": h, "c": c}, {"memory": h})

    def forward(self, features: Tensor, words: Tensor) -> Tensor:
        return teacher_forced(self, (features,), words).log_probabilities


def small() -> Small:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return Small()


def test_what_is_decoded_is_what_teacher_forcing_computes() -> None:
    model, features = small(), torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    assert isinstance(model, Captioner)
    found = decode(model, (features,), beam=4, longest=7)
    assert model.training
    model.eval()
    for item, hypotheses in enumerate(found):
        assert len(hypotheses) == 4
        for one in hypotheses:
            assert not {PAD, START} & set(one.words)
            words = torch.tensor([[START, *one.words[:-1]]])
            with watch(model) as maps:
                forced = model(features[item : item + 1], words)[0]
            each = forced.gather(1, torch.tensor(one.words)[:, None])[:, 0]
            torch.testing.assert_close(torch.tensor(one.log_probabilities), each)
            torch.testing.assert_close(one.maps["memory"], maps["memory"][0][0])
            assert maps.axes["memory"] == "B L M"
            assert not one.maps["memory"].requires_grad


def test_a_caption_scores_alike_whatever_it_is_padded_to() -> None:
    model, features = small().eval(), torch.ones(1, 3)
    short, long = torch.tensor([[START, 5, 7]]), torch.tensor([[START, 5, 7, END, PAD, PAD]])
    torch.testing.assert_close(model(features, short), model(features, long)[:, :3], rtol=0, atol=0)


def test_a_drawn_sentence_has_the_gradients_of_its_probability() -> None:
    model, features = small().eval(), torch.randn(13, 3, generator=torch.Generator().manual_seed(1))
    drawn = sample(model, (features,), longest=9, generator=torch.Generator().manual_seed(2))
    again = sample(model, (features,), longest=9, generator=torch.Generator().manual_seed(2))
    assert torch.equal(drawn.words, again.words)
    assert not (drawn.words[drawn.mask] == START).any()
    assert (drawn.words[~drawn.mask] == PAD).all()
    assert (drawn.log_probabilities[~drawn.mask] == 0).all()
    for words, mask in zip(drawn.words, drawn.mask, strict=True):
        ends = (words == END).nonzero().flatten().tolist()
        assert int(mask.sum()) == (ends[0] + 1 if ends else drawn.words.shape[1])
    begun = torch.cat([torch.full((13, 1), START), drawn.words[:, :-1]], 1)
    forced = model(features, begun).index_fill(2, torch.tensor([PAD, START]), -math.inf).log_softmax(2)
    wanted = forced.gather(2, drawn.words[:, :, None]).squeeze(2).masked_fill(~drawn.mask, 0)
    torch.testing.assert_close(drawn.log_probabilities, wanted)
    drawn.log_probabilities.sum().backward()
    assert model.first.weight.grad is not None
    assert model.first.weight.grad.abs().sum() > 0


def test_the_encoder_of_a_captioner() -> None:
    encoder = Encoder("convolutions", 3).eval()
    assert encoder(torch.zeros(2, 3, 24, 40)).shape == (2, encoder.width, 3, 5)
    encoder.start_from(None)
    with pytest.raises(ValueError, match="a network of timm's is needed"):
        encoder.start_from({})
    with pytest.raises(LookupError, match="resnet"):
        Encoder("resnet1", 3)
    with pytest.raises(ValueError, match="channels=0"):
        Encoder("convolutions", 0)


@pytest.mark.slow
def test_the_encoder_takes_any_trunk_of_timm_and_its_weights() -> None:
    import timm

    donor = timm.create_model("resnet18")
    encoder = Encoder("resnet18", 3, output_stride=16).eval()
    encoder.start_from(donor.state_dict())
    assert encoder(torch.zeros(1, 3, 64, 96)).shape == (1, 512, 4, 6)
    own = encoder.state_dict()["trunk.network.layer4.1.conv2.weight"]
    assert torch.equal(own, donor.state_dict()["layer4.1.conv2.weight"])
