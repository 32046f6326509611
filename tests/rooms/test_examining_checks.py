"""Single checks of `regard.doctor`: miniatures of real faults, false alarms, laws, and what is said of healthy maps."""

from __future__ import annotations

import math
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

import regard
from regard.core import Attention
from regard.examining import maps as measures
from regard.examining.findings import Examination

PLACES, WIDTH = 36, 8


class Affinity(Attention):
    """Attention over places `B N C`; the subclasses say how its weights come about."""

    maps: ClassVar[dict[str, str]] = {"affinity": "B h Q K"}

    def __init__(self, channels: int = WIDTH) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(channels, channels), nn.Linear(channels, channels)

    def scores(self, x: Tensor) -> Tensor:
        return (self.query(x) @ self.key(x).transpose(1, 2) / math.sqrt(x.shape[-1]))[:, None]

    def weights(self, x: Tensor) -> Tensor:
        return self.scores(x).softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.see("affinity", self.weights(x), Q=(6, 6), K=(6, 6)) @ x[:, None]).mean(1)


class Host(nn.Module):
    """Places of an image, attention, and scores."""

    def __init__(self, *attention: nn.Module) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, WIDTH, 4, stride=4), nn.LayerNorm(WIDTH)
        self.attention = nn.Sequential(*attention)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.attention(self.norm(self.stem(x).flatten(2).transpose(1, 2))).mean(1))
        return y


def examined(*attention: nn.Module, side: int = 24, checks: str | tuple[str, ...] = "*", size: int = 3) -> Examination:
    torch.manual_seed(7)
    return regard.doctor(Host(*attention), torch.randn(size, 3, side, side), checks=checks)


def made(kind: type[nn.Module], *args: object) -> nn.Module:
    torch.manual_seed(3)
    return kind(*args)


def says(examination: Examination) -> dict[str, str]:
    """Check -> severity of what was found."""
    return {one.check: one.severity for one in examination.findings}


class OverBatch(Affinity):
    """A²-Nets as it is often copied: `softmax` without an axis takes the first one of a three-dimensional tensor."""

    maps: ClassVar[dict[str, str]] = {"affinity": "B Q K"}

    def weights(self, x: Tensor) -> Tensor:
        return self.scores(x)[:, 0].softmax(0)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.see("affinity", self.weights(x)) @ x


def test_softmax_over_the_batch_as_in_copies_of_a2() -> None:
    examination = examined(made(OverBatch), checks=("batch leakage", "rows do not sum to 1"))
    leak, rows = examination.findings
    assert (leak.check, leak.severity, leak.key) == ("batch leakage", "error", "attention.0/affinity")
    assert leak.number > 0.1
    assert (rows.check, rows.severity) == ("rows do not sum to 1", "error")
    assert rows.number == pytest.approx(PLACES / 3 - 1, rel=0.3)
    assert rows.detail == "sums over K; they are 1 over B, the batch"
    assert not examination.ok


class Across(nn.Module):
    """Attention from elsewhere, between the images of a batch, behind a factor that starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(1)  # B C, where B 1 C is needed
        return x + self.factor * ((pooled @ pooled.T).softmax(-1) @ pooled)[:, None]


def test_attention_between_images_is_found_before_it_reaches_the_output() -> None:
    (finding,) = examined(made(Across), made(Affinity), checks="batch leakage").findings
    assert (finding.module, finding.severity, finding.number) == ("attention.0", "error", 1)
    assert finding.detail == "image 0 alone: the output changes by 0" or "e-0" in finding.detail


class Halo(Affinity):
    """A window of 4 x 4 places with a margin of padding; the mask hides the padding, or, inverted, all else."""

    def __init__(self, inverted: bool, hidden: float) -> None:
        super().__init__()
        self.inverted, self.hidden = inverted, hidden

    def weights(self, x: Tensor) -> Tensor:
        padding = torch.ones(6, 6, dtype=torch.bool)
        padding[1:-1, 1:-1] = False  # the places of the image in a window with a margin of one
        masked = ~padding if self.inverted else padding
        return self.scores(x).masked_fill(masked.flatten(), self.hidden).softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        inside = torch.zeros(6, 6)
        inside[1:-1, 1:-1] = 1  # keys and values of the margin are zeros
        x = x * inside.flatten()[:, None]
        return x + (self.see("affinity", self.weights(x), Q=(6, 6), K=(6, 6)) @ x[:, None]).mean(1)


def test_an_inverted_mask_as_in_ports_of_halo() -> None:
    """Queries then see only keys of padding: their weights are even among these, and nothing comes of them."""
    healthy = examined(made(Halo, False, -math.inf))
    assert not {"ignored attention", "rows alike", "not finite"} & set(says(healthy)), str(healthy)
    inverted = examined(made(Halo, True, -math.inf))
    assert says(inverted)["ignored attention"] == "warning", str(inverted)
    assert says(inverted)["weights even"] == "note"


class Hidden(Affinity):
    """One query that may see no key."""

    def weights(self, x: Tensor) -> Tensor:
        scores = self.scores(x).clone()
        scores[:, :, 11] = -math.inf
        return scores.softmax(-1)


def test_a_row_that_is_masked_whole_is_not_finite() -> None:
    examination = examined(made(Hidden), checks=("not finite",))
    assert [one.place for one in examination.findings] == ["attention.0/affinity", "the network"]
    assert examination.findings[0].number == 1 / PLACES
    assert examination.picture(examination.findings[0]) is None


class Scaled(Affinity):
    """Weights that no longer sum to 1, as dropout leaves them that is scaled in evaluation mode."""

    def weights(self, x: Tensor) -> Tensor:
        return self.scores(x).softmax(-2)


def test_softmax_over_the_queries_is_found_where_the_keys_are_named() -> None:
    (finding,) = examined(made(Scaled), checks=("rows do not sum to 1",)).findings
    assert finding.detail == "sums over K; they are 1 over Q, the queries"
    assert finding.number > 0.01


def test_of_two_axes_with_one_letter_the_last_one_is_summed() -> None:
    """`cam` declares `B C C`, whose rows sum to 1 over the second C."""
    torch.manual_seed(0)
    examination = regard.doctor(regard.create("cam", channels=11), torch.randn(3, 11, 5, 7), checks="rows do*")
    assert not examination.findings, str(examination)
    assert [(fact.axes, fact.kind) for fact in examination.facts] == [("B C C", "weights")]


class Rectified(Attention):
    """Weights that are small and rectified, as those of the pyramid of `fpa`."""

    maps: ClassVar[dict[str, str]] = {"pyramid": "B N C"}

    def forward(self, x: Tensor) -> Tensor:
        return x + self.see("pyramid", x.relu() / 400) * x


def test_what_a_rectifier_leaves_is_no_saturated_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not examined(Rectified(), checks="saturated*").findings
    monkeypatch.setattr(measures, "RECTIFIED", 0)  # as if it were a gate
    assert says(examined(Rectified(), checks="saturated*")) == {"saturated gate": "warning"}


class Sink(Affinity):
    """All queries look at the place 13, but for a little."""

    def weights(self, x: Tensor) -> Tensor:
        scores = self.scores(x).clone()
        scores[..., 13] += 5
        return scores.softmax(-1)


def test_a_sink_is_a_note_that_names_the_key() -> None:
    (finding,) = examined(made(Sink), checks=("attention sink",)).findings
    assert (finding.severity, finding.detail) == ("note", f"the k 13 of {PLACES}")
    assert 0.6 < finding.number < 1


class Outlier(Affinity):
    """The token 5 gets a norm far beyond that of the others."""

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        factor = torch.ones(x.shape[1], 1)
        factor[5] = 11
        return x * factor


def test_an_outlier_token_is_named() -> None:
    (finding,) = examined(made(Outlier), checks=("outlier tokens",)).findings
    assert finding.number > 5
    assert finding.detail.startswith("token 5 of image ")


class Twins(Affinity):
    """Two heads with the same weights."""

    def weights(self, x: Tensor) -> Tensor:
        return (2 * self.scores(x)).softmax(-1).expand(-1, 2, -1, -1)


def test_heads_that_repeat_and_layers_that_repeat() -> None:
    (finding,) = examined(made(Twins), checks=("heads alike",)).findings
    assert (finding.severity, finding.detail) == ("note", "2 heads")
    assert finding.number == pytest.approx(1)
    examination = examined(made(Still), made(Still), checks=("layers alike",))
    assert [one.detail for one in examination.findings] == ["beside attention.0/affinity"]


class Still(Affinity):
    """A layer that leaves the tokens as they are, so that the next one with its weights attends alike."""

    def forward(self, x: Tensor) -> Tensor:
        self.see("affinity", self.weights(x), Q=(6, 6), K=(6, 6))
        return x


@pytest.mark.parametrize("kind", [Affinity, Twins], ids=lambda kind: kind.__name__)
def test_a_single_token_gives_no_alarm(kind: type[nn.Module]) -> None:
    examination = examined(made(kind), side=4)
    assert not {one.check for one in examination.findings} - {"ignored attention", "attention asleep", "no gradient"}
    assert examination.ok


@pytest.mark.parametrize(("name", "options"), [("cbam", {}), ("gc", {"reduction": 4})])
def test_attention_that_starts_as_the_identity_gives_notes_only(name: str, options: dict[str, int]) -> None:
    torch.manual_seed(0)
    host = nn.Sequential(
        nn.Conv2d(3, 24, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 5),
    )  # fmt: skip
    regard.attach(host, name, after="2", identity=True, example=torch.zeros(1, 3, 16, 16), **options)
    examination = regard.doctor(host, torch.randn(4, 3, 16, 16))
    assert {one.severity for one in examination.findings} <= {"note"}, str(examination)
    assert "attention asleep" in says(examination)


class Shifted(Affinity):
    """Keys whose bias the softmax takes away to the last bit; or keys of which nothing is left."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def scores(self, x: Tensor) -> Tensor:
        keys = self.factor * (x @ self.key.weight.T) + 0 * self.key.bias
        return (self.query(x) @ keys.transpose(1, 2) + x @ x.transpose(1, 2))[:, None]


def test_a_bias_before_a_softmax_gives_no_alarm() -> None:
    assert not says(examined(made(Shifted, 1), checks=("no gradient",)))
    (finding, other) = examined(made(Shifted, 0), checks=("no gradient",)).findings
    assert (finding.module, finding.number, finding.detail) == ("attention.0.query", 2, "weight, bias")
    assert (other.module, other.number, other.detail) == ("attention.0.key", 2, "weight, bias")


class Unlucky(nn.Module):
    """Faults of a whole network, one at a time."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.register_buffer("count", torch.zeros(()))
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.fault == "dropout":
            x = nn.functional.dropout(x, 0.3)
        if self.fault == "buffer":
            self.count += 1
        if self.fault == "in place":
            x = x.mul_(1.5)
        if self.fault == "large":
            x = (x * 3e4) * 3e4 / 9e8
        if self.fault == "root":
            x = x * self.factor + (self.factor - self.factor.detach()).abs().sqrt()
        return x


LAWS = {
    "dropout": ("not deterministic", "error"),
    "buffer": ("a pass changes the weights", "warning"),
    "in place": ("changes its input", "warning"),
    "large": ("overflow in float16", "warning"),
    "root": ("gradient not finite", "error"),
}


@pytest.mark.parametrize("fault", LAWS)
def test_a_broken_law_is_found(fault: str) -> None:
    check, severity = LAWS[fault]
    host = nn.Sequential(Unlucky(fault), Host(made(Affinity)))
    before = torch.randn(3, 3, 24, 24)
    batch = before.clone()
    examination = regard.doctor(host, batch, checks=tuple(name for name, _ in LAWS.values()))
    assert (check, severity) in says(examination).items(), str(examination)
    assert len(says(examination)) == 1, str(examination)
    assert (host[0].count == 0).all()


def test_leakage_of_a_norm_names_the_layer() -> None:
    host = Host(made(Affinity))
    host.stem = nn.Sequential(host.stem, nn.BatchNorm2d(WIDTH, track_running_stats=False))
    examination = regard.doctor(host, torch.randn(3, 3, 24, 24), checks=("batch leakage",))
    (finding,) = examination.findings
    assert finding.key == "attention.0/affinity"  # the first map that depends on the batch
    host = nn.Sequential(Host(made(Affinity)), nn.BatchNorm1d(5, track_running_stats=False))
    (finding,) = regard.doctor(host, torch.randn(3, 3, 24, 24), checks=("batch leakage",)).findings
    assert (finding.module, finding.map) == ("1", "")


def test_an_even_map_that_lowers_the_loss_is_a_note() -> None:
    torch.manual_seed(0)
    host, batch = Host(made(Affinity)).eval(), torch.randn(3, 3, 24, 24)
    sharper = host.attention[0]
    nn.init.normal_(sharper.query.weight, std=2)
    with torch.no_grad():
        plain = host(batch)
        sharper.query.weight.zero_(), sharper.query.bias.zero_()
        even = host(batch)
        nn.init.normal_(sharper.query.weight, std=2)
    assert not torch.allclose(plain, even)
    examination = regard.doctor(host, batch, lambda scores: ((scores - even) ** 2).mean(), checks=("no worse*",))
    (finding,) = examination.findings
    assert finding.severity == "note"
    assert finding.number == pytest.approx(-1, abs=1e-3)  # nothing of the loss is left
    (fact,) = examination.facts
    assert fact.numbers["loss"] < 0
    assert fact.numbers["effect"] > 0
    helping = regard.doctor(host, batch, lambda scores: ((scores - plain) ** 2).mean() + 1e-3, checks=("no worse*",))
    assert helping.ok


class Broken(Affinity):
    """A decision that depends on a value, which no compiler can put into one graph."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if float(x.detach().sum()) < 1e9 else x


@pytest.mark.slow
def test_the_compiled_network_is_compared_on_request() -> None:
    batch = torch.randn(3, 3, 24, 24)
    healthy = torch.compile(Host(made(Affinity)))
    examination = regard.doctor(healthy, batch, checks="compiled differs", compile=True)
    assert examination.asked == ("compiled differs",)
    assert not examination.findings, str(examination)
    (finding,) = regard.doctor(Host(made(Broken)), batch, checks="compiled differs", compile=True).findings
    assert (finding.severity, finding.number) == ("error", 1)
    asked = regard.doctor(healthy, batch, checks=("compiled differs", "not finite"))
    assert asked.unasked == {"compiled differs": "it takes long; compile=True, or --compile, asks it"}
