"""Every law against a module that breaks it, and what `regard.check` reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from regard import check
from regard.catalog import Entry, Option, Paper
from regard.checks import check_input, flag, number, positive
from regard.core import Attention
from regard.laws import ADVICE, LAWS, Broken, Subject

# Seeded faults: a sound gate, and modules that differ from it by one mistake each.


class Gate(Attention):
    """Sound: a channel gate with one linear layer."""

    maps = {"channel": "B C 1 1"}  # noqa: RUF012

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.mix = nn.Linear(channels, channels)

    def gate(self, x: Tensor) -> Tensor:
        return self.mix(x.mean((2, 3))).sigmoid()[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        return x * self.see("channel", self.gate(x))


class SoftmaxOverBatch(Gate):
    def gate(self, x: Tensor) -> Tensor:
        return self.mix(x.mean((2, 3))).softmax(0)[:, :, None, None]


class WrongShape(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).mT


class SquareOnly(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.shape[2:] != (4, 6) else super().forward(x)[..., :4]


class NoSmallest(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., : x.shape[-1] // 2 * 2] if x.shape[-1] == 1 else super().forward(x)


class DividesByNorm(Gate):
    def gate(self, x: Tensor) -> Tensor:
        return super().gate(x / x.norm())


class WritesInput(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(self.see("channel", self.gate(x)))


class DropsInEval(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), 0.5, training=True)


class RewritesParameter(Gate):
    def forward(self, x: Tensor) -> Tensor:
        self.mix.weight = nn.Parameter(self.mix.weight.softmax(0))
        return super().forward(x)


class OtherWhenWatched(Gate):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y + 1 if self.watched else y


class ForgetsMap(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class MapWithWrongAxes(Gate):
    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(x)
        self.see("channel", gate.flatten(1))
        return x * gate


class IgnoresEdits(Gate):
    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(x)
        self.see("channel", gate)
        return x * gate


class CutsEditsOff(Gate):
    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(x)
        return x * (gate + (self.see("channel", gate) - gate).detach())


class DeadParameter(Gate):
    def __init__(self, channels: int = 6) -> None:
        super().__init__(channels)
        self.unused = nn.Linear(channels, channels)


class DetachedGate(Gate):
    def gate(self, x: Tensor) -> Tensor:
        return super().gate(x).detach()


class WrongGradient(Gate):
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            return 2 * gradient

    def forward(self, x: Tensor) -> Tensor:
        return self.Twice.apply(super().forward(x))


class ListOfLayers(Gate):
    def __init__(self, channels: int = 6) -> None:
        super().__init__(channels)
        self.hidden = [nn.Linear(channels, channels)]

    def gate(self, x: Tensor) -> Tensor:
        return self.hidden[0](super().gate(x)[:, :, 0, 0]).sigmoid()[:, :, None, None]


class OverflowsInHalf(Gate):
    def gate(self, x: Tensor) -> Tensor:
        return self.mix(x.pow(2).sum((2, 3)).sqrt()).sigmoid()[:, :, None, None]


class ConstantOnCPU(Gate):
    def __init__(self, channels: int = 6) -> None:
        super().__init__(channels)
        self.register_buffer("offset", torch.zeros(1, device="cpu"))


class ReadsMemoryOrder(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.is_contiguous() else x


class BreaksTheGraph(Gate):
    def gate(self, x: Tensor) -> Tensor:
        gate = super().gate(x)
        return gate if gate.sum().item() > -1 else gate * 0


class FixedSize(Gate):
    def gate(self, x: Tensor) -> Tensor:
        height, width = x.shape[2], x.shape[3]
        return super().gate(x) * (1 + 0 * torch.ones(height * width, dtype=torch.int32).tolist().count(height))


class SwallowsOptions(Gate):
    def __init__(self, channels: int = 6, **_: object) -> None:
        super().__init__(channels)


class AnyChannels(Gate):
    def __init__(self, channels: int = 6) -> None:
        super().__init__(channels if isinstance(channels, int) and channels > 0 else 6)


class AnyFlag(Gate):
    def __init__(self, channels: int = 6, *, doubled: bool = False) -> None:
        super().__init__(channels)
        self.factor = 2 if doubled else 1


class OtherMessage(Gate):
    def __init__(self, channels: int = 6, *, doubled: bool = False) -> None:
        super().__init__(channels)
        self.factor = 2 if flag("twice", doubled) else 1


class AnyNumber(Gate):
    def __init__(self, channels: int = 6, *, slope: float = 1.0) -> None:
        super().__init__(channels)
        self.slope = number("slope", slope)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / self.slope


class SearchesForEver(Gate):
    def __init__(self, channels: int = 6, *, heads: int = 2) -> None:
        super().__init__(channels)
        if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1:
            raise ValueError(f"heads={heads!r}: a positive number is needed")
        for fit in range(heads, 0, -1):
            if channels % fit == 0 and fit == heads:
                return
        raise ValueError(f"heads={heads!r}: a divisor of channels={channels} is needed")


class AnyElement(Gate):
    def __init__(self, channels: int = 6, *, widths: Sequence[int] = (3, 5)) -> None:
        super().__init__(channels)
        if isinstance(widths, str) or not isinstance(widths, Sequence):
            raise ValueError(f"widths={widths!r}: whole numbers are needed")
        self.widths = widths


class AnyRank(Gate):
    def gate(self, x: Tensor) -> Tensor:
        return self.mix(x.flatten(2).mean(2)).sigmoid().view(*x.shape[:2], *[1] * (x.ndim - 2))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.see("channel", self.gate(x))).reshape(*x.shape[:3], -1)


class AnyWidth(Gate):
    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W")
        return x * self.see("channel", self.gate(x[:, : self.channels]).mean(1, keepdim=True))


class TakesNothing(Gate):
    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(f"input of shape {tuple(x.shape)}: C={self.channels} is needed")
        return x * self.see("channel", self.gate(x))


class NormOfOne(Gate):
    def __init__(self, channels: int = 6) -> None:
        super().__init__(channels)
        self.norm = nn.BatchNorm1d(channels)

    def gate(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3))
        if self.training and x.shape[0] == 1:
            pooled = (pooled - pooled.mean(0)) / pooled.std(0)
        return self.norm(pooled).sigmoid()[:, :, None, None] if x.shape[0] > 1 else pooled[:, :, None, None]


class OneWidth(Gate):
    def __init__(self, channels: int = 6) -> None:
        if channels % 6:
            raise ValueError("channels do not fit")
        super().__init__(channels)


class NotTheIdentity(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 0


FAULTS = [
    (SoftmaxOverBatch, "batch_independent"),
    (WrongShape, "shapes"),
    (SquareOnly, "shapes"),
    (NoSmallest, "shapes"),
    (DividesByNorm, "finite"),
    (WritesInput, "leaves_inputs_alone"),
    (DropsInEval, "deterministic"),
    (RewritesParameter, "changes_no_parameter"),
    (OtherWhenWatched, "watched_equals_unwatched"),
    (ForgetsMap, "shows_declared_maps"),
    (MapWithWrongAxes, "shows_declared_maps"),
    (IgnoresEdits, "edits_act"),
    (CutsEditsOff, "edits_act"),
    (DeadParameter, "gradients_reach"),
    (DetachedGate, "gradients_reach"),
    (WrongGradient, "gradcheck"),
    (ListOfLayers, "keeps_state"),
    (OverflowsInHalf, "low_precision"),
    (ConstantOnCPU, "builds_on_meta"),
    (ReadsMemoryOrder, "channels_last"),
    (BreaksTheGraph, "compiles"),
    (FixedSize, "exports"),
    (FixedSize, "exports_to_onnx"),
    (SwallowsOptions, "rejects"),
    (AnyChannels, "rejects"),
    (AnyFlag, "names_wrong_arguments"),
    (OtherMessage, "names_wrong_arguments"),
    (AnyNumber, "names_wrong_arguments"),
    (SearchesForEver, "names_wrong_arguments"),
    (AnyElement, "names_wrong_arguments"),
    (AnyRank, "names_wrong_inputs"),
    (AnyWidth, "names_wrong_inputs"),
    (TakesNothing, "names_wrong_inputs"),
    (NormOfOne, "trains_on_one"),
    (OneWidth, "takes_widths"),
    (NotTheIdentity, "attaches"),
]


def test_a_sound_module_keeps_every_law() -> None:
    report = check(Gate)
    assert report.ok, str(report)
    assert {outcome.status for outcome in report.outcomes} == {"kept"}
    assert str(report) == f"{len(LAWS)} of {len(LAWS)} laws kept, 0 broken"


@pytest.mark.parametrize(("fault", "law"), FAULTS, ids=[f"{fault.__name__}-{law}" for fault, law in FAULTS])
def test_a_seeded_fault_breaks_its_law(fault: Callable[..., nn.Module], law: str) -> None:
    report = check(fault, laws=[law])
    (outcome,) = report.outcomes
    assert outcome.status == ("advice" if law in ADVICE else "broken")  # a fault is a module from elsewhere
    assert law in outcome.message
    assert fault.__name__ in outcome.message
    assert report.ok == (law in ADVICE)
    if not report.ok:
        with pytest.raises(AssertionError, match=law):
            report.raise_if_broken()


def test_the_laws_of_exporting_share_one_program_and_leave_it_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []
    export = torch.export.export
    monkeypatch.setattr(torch.export, "export", lambda *given, **named: traced.append(1) or export(*given, **named))
    first, second = (Subject(name, Gate, channels=6) for name in ("first", "second"))
    for law in ("exports", "exports_to_onnx", "exports"):
        LAWS[law](first)
    assert len(traced) == 1
    LAWS["exports"](second)
    assert len(traced) == 2


def test_maps_that_act_or_sum_to_1_otherwise_than_declared_break_their_laws() -> None:
    sound = Subject("gate", Gate, channels=6, maps={"channel": "B C 1 1"}, sums={}, shown=())
    for law in ("shows_declared_maps", "edits_act"):
        LAWS[law](sound)
    with pytest.raises(Broken, match="sums of 1 over 'C', as declared"):
        LAWS["shows_declared_maps"](replace(sound, sums={"channel": "C"}))
    with pytest.raises(Broken, match=r"channel acts.*it only to be shown, as declared"):
        LAWS["edits_act"](replace(sound, shown=("channel",)))


def test_every_law_has_a_seeded_fault() -> None:
    assert {law for _, law in FAULTS} == set(LAWS)


def test_a_module_without_maps_is_held_to_the_rest() -> None:
    report = check(nn.Conv2d(6, 6, 1), laws=["shapes", "finite", "watched_equals_unwatched", "shows_declared_maps"])
    assert report.ok, str(report)


def test_declared_maps_need_something_watchable() -> None:
    report = check(nn.Conv2d(6, 6, 1), maps={"gate": "B C 1 1"}, laws=["shows_declared_maps"])
    assert "no regard.core.Attention" in report.broken[0].message


def test_an_exemption_has_to_be_needed() -> None:
    label = Entry(
        name="gate", target="papers.senet.mechanism:SqueezeExcite", paper=Paper("T", "A", "V", 2020),
        domains=("channel",), soft=True, acts_on=("features",), grain=("channel",), tasks=("classification",),
        maps={"channel": "B C 1 1"}, kwargs={"channels": 12, "reduction": 4}, options=(Option({"bias": False}),),
        exempt={"finite": "for no reason"},
    )  # fmt: skip
    report = check(label, laws=["finite"])
    assert [outcome.status for outcome in report.outcomes] == ["broken", "broken"]
    assert "exempt from finite (for no reason) but keeps it" in report.outcomes[0].message


def test_names_are_suggested() -> None:
    with pytest.raises(LookupError, match=r"law='gradchek'.*did you mean gradcheck"):
        check("se", laws=["gradchek"])
    with pytest.raises(LookupError, match="did you mean"):
        check("cbamm")


def test_channels_that_cannot_be_seen_are_asked_for() -> None:
    with pytest.raises(ValueError, match="pass channels="):
        check(nn.Sigmoid(), laws=["finite"])
    assert check(nn.Sigmoid(), channels=4, laws=["finite"]).ok
