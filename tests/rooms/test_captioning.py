"""Captioning as a task, its training on ragged batches, and the vocabulary in the run folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regard import catalog
from regard.catalog import recipes
from regard.data.batches import Batch, Buckets, Shuffled, padded
from regard.data.words import Words
from regard.networks.captioner import Forced, Step, log_softmax, teacher_forced
from regard.ops.words import END, PAD
from regard.saved import description
from regard.saved.opening import open_network
from regard.tasks.caption import Caption, bare, seen
from regard.training.evaluate import evaluate
from regard.training.loop import fit
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.running import describe, load, train
from regard.training.schedules import Constant

COLOURS = ("red", "green", "blue")
SENTENCES = [["a", colour, *["very"] * (i % 3), "square"] for i, colour in enumerate(COLOURS)]
WORDS = Words.of(SENTENCES, least=1)


class Squares:
    """Images of one colour each with a caption, of 3 to 5 words: `copies` of each of three."""

    def __init__(self, copies: int = 3) -> None:
        self.copies = copies
        self.words = WORDS
        self.lengths = [len(self[i]["words"]) for i in range(len(self))]
        self.digest = f"squares {copies}"

    def __len__(self) -> int:
        return 3 * self.copies

    def __getitem__(self, i: int) -> dict[str, Any]:
        if not 0 <= i < len(self):
            raise IndexError(i)
        image = torch.zeros(3, 8, 8)
        image[i % 3] = 1.0
        words = SENTENCES[i % 3]
        return {"image": image, "words": torch.tensor(WORDS.encode(words)), "references": [words], "name": str(i)}

    @staticmethod
    def collate_fn(several: Any) -> Batch:
        return padded(several, fields={"words": PAD})


def captioner(**options: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        given = {"vocabulary": len(WORDS), "backbone": "convolutions", "embed": 11, "hidden": 13, "dropout": 0.5}
        return catalog.create("show_and_tell", channels=3, **{**given, **options})


def batch() -> Batch:
    data = Squares()
    return data.collate_fn([data[i] for i in range(3)])


def test_the_loss_is_the_mean_over_the_words_that_are_no_padding() -> None:
    model, several = captioner().eval(), batch()
    assert several["words"].shape == (3, 7)  # 4, 5 and 6 predictions
    loss, figures = Caption(WORDS).loss(model, several)
    terms, even = [], []
    for image, words in zip(several["image"], several["words"].tolist(), strict=True):
        given = words[: words.index(END)]
        found = model(image[None], torch.tensor([given]))[0]
        terms += [-found[i, word] for i, word in enumerate(words[1 : len(given) + 1])]
        even += list(-found.mean(1))
    assert len(terms) == 4 + 5 + 6
    torch.testing.assert_close(loss, torch.stack(terms).mean())
    assert figures == {}
    smoothed, figures = Caption(WORDS, smoothing=0.1).loss(model, several)
    torch.testing.assert_close(smoothed, 0.9 * torch.stack(terms).mean() + 0.1 * torch.stack(even).mean())
    torch.testing.assert_close(figures["entropy"], loss)


class WithPenalty(nn.Module):
    """A captioner with a loss on its maps."""

    seen = ("image", "features_mask")
    vocabulary = len(WORDS)

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(len(WORDS), len(WORDS), generator=torch.Generator().manual_seed(0)))

    def start(self, image: Tensor, mask: Tensor | None) -> Tensor:
        assert mask is None
        return image.mean((2, 3))

    def step(self, words: Tensor, state: Tensor) -> Step:
        return Step(log_softmax(self.table[words]), state, {"colour": state})

    def forward(self, *inputs: Tensor, return_maps: bool = False) -> Tensor | Forced:
        *images, words = inputs
        found = teacher_forced(self, images, words)
        return found if return_maps else found.log_probabilities

    def penalty(self, maps: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        return (maps["colour"] * mask[:, :, None]).sum()


def test_a_network_may_have_a_loss_on_its_maps() -> None:
    model, several = WithPenalty(), batch()
    loss, figures = Caption(WORDS).loss(model, several)
    torch.testing.assert_close(loss, figures["entropy"] + 15.0)  # one colour for each of 15 words


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Caption(WORDS, beam=0), "beam=0"),
        (lambda: Caption(WORDS, longest=0), "longest=0"),
        (lambda: Caption(WORDS, smoothing=1.0), "smoothing=1.0"),
        (lambda: Caption(WORDS, finished="no"), "finished='no'"),
        (lambda: Caption(WORDS, penalty="no"), "penalty='no'"),
        (lambda: Caption(WORDS).loss(captioner(vocabulary=29), batch()), "the model returns"),
        (lambda: seen(captioner(), Batch(words=torch.zeros(2, 3))), "'image' is needed, which the network sees"),
        (lambda: bare(nn.Linear(2, 3)), "model=Linear: a captioner with `seen`"),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def plan(**changes: Any) -> Plan:
    return Plan(**{"epochs": 2, "batch_size": 3, "lr": 2e-2, "optimizer": "adam", "weight_decay": 0.0, "warmup": 0.0,
                   "schedule": Constant(), "order": Buckets(), **changes})  # fmt: skip


@pytest.mark.slow
def test_sentences_are_written_and_scored() -> None:
    model, data = captioner(dropout=0.0), Squares()
    before = evaluate(model, Caption(WORDS), data)
    fit(model, Caption(WORDS), data, plan(epochs=40, order=Shuffled()))
    assert evaluate(model, Caption(WORDS), data)["bleu_1"] > before["bleu_1"] + 0.3
    sentences, references = Caption(WORDS, beam=1).answers(model, batch())
    assert sentences == SENTENCES
    assert references == [[one] for one in SENTENCES]


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_to_the_bit(tmp_path: Path) -> None:
    def weights(folder: Path | None, stops: int | None = None) -> dict[str, Tensor]:
        model = captioner()

        def stop(step: int, steps: int, loss: float) -> None:
            if step == stops:
                raise KeyboardInterrupt

        how: dict[str, Any] = {"folder": folder, "checkpoint_every": 1, "on_step": stop}
        if stops is not None:
            with pytest.raises(KeyboardInterrupt):
                fit(model, Caption(WORDS), Squares(), plan(), **how)
        else:
            fit(model, Caption(WORDS), Squares(), plan(), **how)
        return model.state_dict()

    whole = weights(None)
    weights(tmp_path, stops=4)
    again = weights(tmp_path)
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def recipe(words: Words = WORDS) -> Recipe:
    build = partial(
        catalog.get("show_and_tell").load(), 3, vocabulary=len(words), backbone="convolutions", embed=5, hidden=7
    )
    phase = Phase(name="caption", task=Caption(words, beam=1), plan=plan(epochs=1))
    return Recipe(build=build, train=Squares(), test=Squares(1), phases=(phase,), vocabulary=words)


def test_the_words_are_saved_with_the_weights(tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = train(recipes.get("show-and-tell"), recipe(), out=run)
    assert set(result["scores"]) >= {"cider", "bleu_4"}
    found = description.read(run / "model.safetensors")
    assert found is not None
    assert tuple(found.vocabulary) == WORDS.tokens
    opened = open_network(weights=run)
    assert opened.vocabulary == WORDS.tokens
    image = Squares()[0]["image"][None]
    written = Words(opened.vocabulary)
    hypotheses = Caption(written).hypotheses(opened.model, Batch(image=image))
    assert set(written.decode(hypotheses[0][0].words)) <= set(WORDS.tokens)
    load(recipe(), run)
    other = Words((*WORDS.tokens[:-2], *WORDS.tokens[:-3:-1]))
    with pytest.raises(ValueError, match="was trained with another vocabulary than the recipe's"):
        load(recipe(other), run)


def test_several_vocabularies_go_by_name(tmp_path: Path) -> None:
    several = Recipe(**{**vars(recipe()), "vocabulary": {"source": WORDS, "target": Words.of([["ein"]], least=1)}})
    made = describe(several)
    assert made is not None
    description.check(made)
    assert made.facts()["vocabulary"] == {"source": list(WORDS.tokens), "target": [*WORDS.tokens[:4], "ein"]}


@pytest.mark.parametrize("wrong", ["word", [1, 2], ["a", "a"], {"source": "word"}, {"source": ["a", 3]}, 7])
def test_a_damaged_vocabulary_is_refused(wrong: object) -> None:
    made = describe(recipe())
    assert made is not None
    with pytest.raises(ValueError, match="vocabulary is"):
        description._checked({**_fields(made), "vocabulary": wrong})


def _fields(made: description.Trained) -> dict[str, Any]:
    facts = json.loads(json.dumps(made.facts()))
    del facts["format"]
    return dict(facts)
