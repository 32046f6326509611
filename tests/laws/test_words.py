"""Inputs of whole numbers: sound modules that read words keep every law, modules with a seeded fault break one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regard import check
from regard.catalog import Entry, Option, Paper
from regard.checks import check_input, positive
from regard.core import Attention
from regard.laws import ADVICE, LAWS, Subject, costs, subjects
from regard.laws.subject import Axes


class Reader(Attention):
    """Sound: additive attention over the embedded words of a sentence."""

    maps = {"temporal": "B T"}  # noqa: RUF012

    def __init__(self, channels: int = 6, *, words: int = 11) -> None:
        super().__init__()
        self.words = nn.Embedding(positive("words", words), positive("channels", channels))
        self.hidden = nn.Linear(channels, 5)
        self.score = nn.Linear(5, 1, bias=False)

    def embed(self, words: Tensor) -> Tensor:
        return self.words(words)

    def attend(self, x: Tensor) -> Tensor:
        return self.score(self.hidden(x).tanh()).squeeze(2).softmax(1)

    def forward(self, words: Tensor) -> Tensor:
        check_input(words, "B T")
        x = self.embed(words)
        alpha = self.see("temporal", self.attend(x))
        return (alpha.unsqueeze(1) @ x).squeeze(1)


class Asker(Reader):
    """Sound: a state asks the embedded words that are no padding; all hidden give zeros."""

    def __init__(self, channels: int = 6, *, words: int = 11, state_channels: int = 7) -> None:
        super().__init__(channels, words=words)
        self.state = nn.Linear(positive("state_channels", state_channels), 5)

    def forward(self, words: Tensor, visible: Tensor, state: Tensor) -> Tensor:
        check_input(words, "B T")
        check_input(visible, "B T", B=words.shape[0], T=words.shape[1])
        check_input(state, "B D", B=words.shape[0], D=self.state.in_features)
        x = self.embed(words)
        e = self.score((self.hidden(x) + self.state(state).unsqueeze(1)).tanh()).squeeze(2)
        hidden = ~visible
        alpha = e.masked_fill(hidden, torch.finfo(e.dtype).min).softmax(1).masked_fill(hidden, 0)
        return (self.see("temporal", alpha).unsqueeze(1) @ x).squeeze(1)


class WrapsAround(Reader):
    def embed(self, words: Tensor) -> Tensor:
        return self.words(words % 11)


class WithoutTheLastWord(Reader):
    def __init__(self, channels: int = 6, *, words: int = 11) -> None:
        super().__init__(channels, words=words - 1)


class RewritesWords(Reader):
    def embed(self, words: Tensor) -> Tensor:
        return self.words(words.clamp_(max=9))


class ReadsTheBatch(Reader):
    def attend(self, x: Tensor) -> Tensor:
        return super().attend(x - x.mean(0))


class DropsWords(Reader):
    def embed(self, words: Tensor) -> Tensor:
        return self.words(words * (torch.rand(words.shape) < 0.5))


class FrozenByMistake(Reader):
    def embed(self, words: Tensor) -> Tensor:
        return self.words(words).detach()


class WrongGradient(Reader):
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            return 2 * gradient

    def embed(self, words: Tensor) -> Tensor:
        return self.Twice.apply(self.words(words))


class CountsInHalf(Reader):
    """Words as numbers: of 65,537 words, float16 has no number for most."""

    def attend(self, x: Tensor) -> Tensor:
        return (self.words.weight.new_tensor(70_000.0) * x.sum(2)).softmax(1)


class PositionsOnCPU(Reader):
    def embed(self, words: Tensor) -> Tensor:
        return self.words(words) + torch.arange(words.shape[1], device="cpu")[:, None]


class AsksTheWords(Reader):
    def embed(self, words: Tensor) -> Tensor:
        return self.words(words) if words.max().item() > 0 else self.words(words) * 0


class FixedLength(Reader):
    def embed(self, words: Tensor) -> Tensor:
        return self.words(words) * (1 + 0 * torch.ones(words.shape[1], dtype=torch.int32).tolist().count(2))


class OtherWhenWatched(Reader):
    def embed(self, words: Tensor) -> Tensor:
        return self.words(words + 1) if self.watched and words.max() < 10 else self.words(words).flip(1)

    def attend(self, x: Tensor) -> Tensor:
        return super().attend(x) if not self.watched else super().attend(x.flip(0))


FAULTS = [
    (WrapsAround, "shapes"),
    (WithoutTheLastWord, "finite"),
    (RewritesWords, "leaves_inputs_alone"),
    (ReadsTheBatch, "batch_independent"),
    (DropsWords, "deterministic"),
    (OtherWhenWatched, "watched_equals_unwatched"),
    (FrozenByMistake, "gradients_reach"),
    (WrongGradient, "gradcheck"),
    (CountsInHalf, "low_precision"),
    (PositionsOnCPU, "builds_on_meta"),
    (AsksTheWords, "compiles"),
    (FixedLength, "exports"),
    (FixedLength, "exports_to_onnx"),
]


def holding(module: Callable[..., nn.Module], *laws: str) -> Any:
    return check(module, inputs=["word<11> B T"], outputs=["B C"], laws=laws or None)


@pytest.mark.slow
def test_a_sound_module_of_words_keeps_every_law() -> None:
    report = holding(Reader)
    assert {outcome.status for outcome in report.outcomes} == {"kept"}, str(report)
    assert len(report.outcomes) == len(LAWS)


@pytest.mark.slow
def test_words_stand_beside_masks_and_numbers_in_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    label = Entry(
        name="asker", target="papers.asker.mechanism:Asker", paper=Paper("T", "A", "V", 2015), domains=("sequence",),
        soft=True, acts_on=("features",), grain=("item",), tasks=("captioning",), maps={"temporal": "B T"},
        kwargs={"channels": 6, "words": 11}, inputs=("word<V> B T", "bool B T", "B D"), outputs=("B C",), least=(1,),
        sizes={"V": 11, "D": 7}, options=(Option({"words": 13}, sizes={"V": 13, "D": 7}),),
    )  # fmt: skip
    monkeypatch.setattr(Entry, "load", lambda entry: Asker)
    report = check(label)
    assert {outcome.status for outcome in report.outcomes} == {"kept"}, str(report)
    assert len(report.outcomes) == 2 * len(LAWS)
    assert [subject.tensors()[0].max().item() for subject in subjects(label)] == [10, 12]
    cost = costs.standard_cost(label)
    assert cost.input == "1 × 8, 1 × 8, 1 × 7"
    assert cost.parameters == 11 * 6 + (6 * 5 + 5) + 5 + (7 * 5 + 5)  # the class has six channels by default


@pytest.mark.parametrize(("fault", "law"), FAULTS, ids=[f"{fault.__name__}-{law}" for fault, law in FAULTS])
def test_a_seeded_fault_breaks_its_law(fault: Callable[..., nn.Module], law: str) -> None:
    (outcome,) = holding(fault, law).outcomes
    assert outcome.status == ("advice" if law in ADVICE else "broken")  # a fault is a module from elsewhere
    assert law in outcome.message
    assert fault.__name__ in outcome.message


def test_words_are_below_their_number_and_reach_it() -> None:
    subject = Subject("words", nn.Identity, inputs=("word<V> B T", "word<3> B K", "bool B T", "B T"), sizes={"V": 5})
    words, few, mask, numbers = subject.tensors()
    assert [x.dtype for x in (words, few, mask, numbers)] == [torch.int64, torch.int64, torch.bool, torch.float32]
    assert (tuple(words.shape), tuple(few.shape)) == ((2, 11), (2, 17))
    assert words.unique().tolist() == [0, 1, 2, 3, 4]
    assert few.unique().tolist() == [0, 1, 2]
    assert subject.fixed == {"V": 5, "word<V> B T": 5, "word<3> B K": 3}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("B C H/2 2W", Axes(("B", "C", "H/2", "2W"))),
        ("bool B T", Axes(("B", "T"), "bool")),
        ("word<11> B T", Axes(("B", "T"), "word", "11")),
        ("word<V> B 3", Axes(("B", "3"), "word", "V")),
    ],
)
def test_axes_are_read(text: str, read: Axes) -> None:
    assert Axes.read(text) == read


@pytest.mark.parametrize(
    "text", ["int B T", "word B T", "word<0> B T", "word<> B T", "word<11>B T", "bool<2> B T", "B*T"]
)
def test_what_is_no_axes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="axes such as") as refused:
        check(Reader, inputs=[text], outputs=["B C"], laws=["finite"])
    assert repr(text) in str(refused.value)


def test_a_letter_without_a_size_is_named() -> None:
    report = check(Reader, inputs=["word<V> B T"], outputs=["B C"], laws=["finite"])
    assert "the number of words V of 'word<V>' is needed" in report.broken[0].message
    assert check(Reader, inputs=["word<V> B T"], outputs=["B C"], sizes={"V": 11}, laws=["finite"]).ok
