"""`regard.doctor`: seeded faults are found, on several networks and seeds, and nothing is found on healthy ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
import skimage.data
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import regard
from regard.catalog.vocabulary import CHECKS as CHECK_NAMES
from regard.core import Attention, NothingSeen
from regard.examining.findings import SEVERITIES, Examination, shown
from regard.examining.table import CHECKS

CHANNELS, CLASSES = 24, 7


class Part(nn.Module):
    """A module from elsewhere, which tells nobody of its maps."""

    maps: ClassVar[dict[str, str]] = {}

    def see(self, name: str, map: Tensor) -> Tensor:
        return map


def part(of: type[Part], own: bool, *args: Any) -> nn.Module:
    """A part of a network, as a `regard.Attention` or as a module from elsewhere."""
    kind: Any = type(of.__name__, (Attention, of), {"maps": of.maps}) if own else of
    made: nn.Module = kind(*args)
    return made


class Gate(Part):
    """Squeeze and excitation."""

    maps: ClassVar[dict[str, str]] = {"gate": "B C 1 1"}

    def __init__(self, channels: int, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.reduce, self.score = nn.Linear(channels, 8), nn.Linear(8, channels)
        self.unused = nn.Linear(3, 3) if fault == "unused" else None
        self.own = nn.Parameter(torch.randn(channels)) if fault == "input-independent" else None
        if fault == "saturated":
            nn.init.constant_(self.score.bias, 9.0)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = x.mean((2, 3))
        if self.fault == "batch axis":
            squeezed = (squeezed - squeezed.mean(0)) / (squeezed.std(0, correction=0) + 1e-5)
        scores = self.score(self.reduce(squeezed).relu())
        if self.own is not None:
            scores = self.own.expand_as(scores) + 0 * scores
        gate = self.see("gate", scores.sigmoid()[:, :, None, None])
        return x + 0 * (x * gate) if self.fault == "ignored" else x * gate


class Place(Part):
    """A gate for each place."""

    maps: ClassVar[dict[str, str]] = {"gate": "B 1 H W"}

    def __init__(self, channels: int, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.score = nn.Conv2d(channels, 1, 3, padding=1)
        self.unused = nn.Linear(3, 3) if fault == "unused" else None
        if fault == "saturated":
            nn.init.constant_(self.score.bias, -9.0)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.score(x)
        if self.fault == "batch axis":
            scores = scores - scores.mean(0)
        if self.fault == "input-independent":
            scores = self.score(torch.ones_like(x)) + 0 * scores
        gate = self.see("gate", scores.sigmoid())
        return x + 0 * (x * gate) if self.fault == "ignored" else x * gate


class Heads(Part):
    """Self-attention of tokens `B N C` in several heads."""

    maps: ClassVar[dict[str, str]] = {"affinity": "B h Q K"}

    def __init__(self, channels: int, heads: int, fault: str) -> None:
        super().__init__()
        self.fault, self.heads = fault, heads
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))
        self.unused = nn.Linear(3, 3) if fault == "unused" else None
        for one in (self.query, self.key):
            nn.init.normal_(one.weight, std=channels**-0.5)  # products of unit variance for each feature
        self.own = nn.Parameter(torch.randn(2, 16, channels)) if fault == "input-independent" else None

    def forward(self, x: Tensor) -> Tensor:
        split = (x.shape[0], x.shape[1], self.heads, -1)
        query, key, value = (f(x).view(split).transpose(1, 2) for f in (self.query, self.key, self.value))
        if self.own is not None:
            query, key = (
                0 * one + own.view(split[1:]).transpose(0, 1) for one, own in zip((query, key), self.own, strict=True)
            )
        if self.fault == "collapsed":
            query = 0 * query + query[:, :, :1]
        scale = 2 if self.fault == "unscaled" else (x.shape[-1] // self.heads) ** -0.5
        weights = (query @ key.transpose(2, 3) * scale).softmax(0 if self.fault == "batch axis" else -1)
        seen = (self.see("affinity", weights) @ value).transpose(1, 2).reshape(x.shape)
        return 0 * self.out(seen) if self.fault == "ignored" else self.out(seen)


class Gated(nn.Module):
    """A convolutional network with a gate."""

    def __init__(self, gate: type[Part], own: bool, fault: str) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, CHANNELS, 3, stride=2, padding=1), nn.BatchNorm2d(CHANNELS), nn.ReLU())
        self.attention = part(gate, own, CHANNELS, fault)
        self.more = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.head = nn.Linear(CHANNELS, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.more(self.attention(self.stem(x))).relu().mean((2, 3)))
        return y


class Tokens(nn.Module):
    """A small transformer on patches; the fault is in its second block."""

    def __init__(self, own: bool, fault: str, depth: int = 2) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, CHANNELS, 4, stride=4)
        self.place = nn.Parameter(torch.randn(16, CHANNELS) * 0.5)
        self.norms = nn.ModuleList(nn.LayerNorm(CHANNELS) for _ in range(depth))
        self.blocks = nn.ModuleList(
            part(Heads, own, CHANNELS, 2, fault if i == depth - 1 else "") for i in range(depth)
        )
        self.head = nn.Linear(CHANNELS, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.place
        for norm, block in zip(self.norms, self.blocks, strict=True):
            x = x + block(norm(x))
        y: Tensor = self.head(x.mean(1))
        return y


class NonLocal(nn.Module):
    """Convolutions with attention from each place to each other."""

    def __init__(self, own: bool, fault: str) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS, 4, stride=4)
        self.norm = nn.GroupNorm(1, CHANNELS)
        self.attention = part(Heads, own, CHANNELS, 1, fault)
        self.head = nn.Linear(CHANNELS, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).flatten(2).transpose(1, 2)
        y: Tensor = self.head((x + self.attention(x)).mean(1))
        return y


NETWORKS: dict[str, Any] = {
    "channels": lambda own, fault: Gated(Gate, own, fault),
    "places": lambda own, fault: Gated(Place, own, fault),
    "tokens": Tokens,
    "non-local": NonLocal,
}
GATES, RELATIONS = ("channels", "places"), ("tokens", "non-local")
# fault -> the check that finds it, the networks that can have it, the module and map that are named
FAULTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "saturated": ("saturated gate", GATES),
    "input-independent": ("same map for every image", (*GATES, *RELATIONS)),
    "unscaled": ("weights too sharp", RELATIONS),
    "collapsed": ("rows alike", RELATIONS),
    "batch axis": ("batch leakage", (*GATES, *RELATIONS)),
    "ignored": ("ignored attention", (*GATES, *RELATIONS)),
    "unused": ("unused parameters", (*GATES, *RELATIONS)),
}
SEEDED = [(fault, network) for fault, (_, networks) in FAULTS.items() for network in networks]
PLACE = {
    "channels": "attention/gate", "places": "attention/gate", "tokens": "blocks.1/affinity",
    "non-local": "attention/affinity",
}  # fmt: skip
# A fault may show itself in a second way.
BESIDE = {
    "batch axis": {"rows do not sum to 1", "weights too sharp"},
    "ignored": {"no gradient"},
    "input-independent": {"no gradient"},
    "saturated": {"ignored attention"},  # a gate that is shut everywhere
}


def network(name: str, own: bool = True, fault: str = "", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    made: nn.Module = NETWORKS[name](own, fault)
    return made


def images(seed: int = 0, size: int = 5) -> Tensor:
    torch.manual_seed(100 + seed)
    return torch.randn(size, 3, 16, 16)


def found(examination: Examination, *severities: str) -> set[str]:
    return {one.check for one in examination.findings if one.severity in (severities or ("error", "warning"))}


def holds(fault: str, name: str, own: bool, seed: int) -> None:
    examination = regard.doctor(network(name, own, fault, seed), images(seed))
    check = FAULTS[fault][0]
    finding = next((one for one in examination.findings if one.check == check), None)
    assert finding is not None, f"{fault} on {name}, seed {seed}: {examination}"
    place = "attention.unused" if fault == "unused" else PLACE[name]
    assert finding.place == place.replace("attention.unused", PLACE[name].partition("/")[0] + ".unused")
    assert found(examination) <= {check, *BESIDE.get(fault, set())}, str(examination)
    assert examination.ok == (fault != "batch axis")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_seeded_fault_is_found(fault: str) -> None:
    holds(fault, FAULTS[fault][1][-1], True, 0)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "name"), SEEDED)
def test_seeded_faults_are_found_on_every_network_and_seed(fault: str, name: str) -> None:
    for seed in range(3):
        holds(fault, name, True, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_found_on_a_healthy_network(name: str) -> None:
    """With random weights, few images, one image, and after some training."""
    for seed in range(3):
        for size in (5, 2):
            examination = regard.doctor(network(name, seed=seed), images(seed, size))
            assert not found(examination), str(examination)
        alone = regard.doctor(network(name, seed=seed), images(seed, 1))
        assert not found(alone), str(alone)
        assert alone.unasked["batch leakage"] == "the batch has one image; two or more are needed"


def test_the_network_is_left_as_it_was() -> None:
    model = network("channels", seed=5).train()
    model.more.weight.requires_grad_(False)
    model.head.bias.grad = torch.ones(CLASSES)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    batch, drawn = images(), torch.get_rng_state()
    kept = batch.clone()
    regard.doctor(model, batch)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(module.training for module in model.modules())
    assert [name for name, one in model.named_parameters() if not one.requires_grad] == ["more.weight"]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(model.head.bias.grad, torch.ones(CLASSES))
    assert torch.equal(batch, kept)
    assert not model._forward_hooks and not model.stem[0]._forward_hooks


def test_the_table_and_the_command_line_have_the_same_checks() -> None:
    assert tuple(check.name for check in CHECKS) == CHECK_NAMES
    assert len(set(CHECK_NAMES)) == len(CHECK_NAMES)
    assert {check.severity for check in CHECKS} == set(SEVERITIES)


def test_the_page_of_the_documentation_has_every_check() -> None:
    page = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
    for check in CHECKS:
        side = "above" if check.above else "below"
        row = f"{check.name} | {check.severity} | {check.measures} | {side} {shown(check.threshold)} | {check.means}"
        assert f"\n| {row} |\n" in page


def test_a_finding_names_everything_and_has_a_picture() -> None:
    examination = regard.doctor(network("places", fault="saturated"), images(), checks=("saturated gate",))
    (finding,) = examination.findings
    assert (finding.module, finding.map, finding.key) == ("attention", "gate", "attention/gate")
    assert (finding.number, finding.threshold, finding.above) == (1, 0.95, True)
    assert str(finding).startswith(
        "warning: saturated gate: attention/gate: share of values below 0.01 or above 0.99: 1, above 0.95; values from "
    )
    picture = examination.picture(finding)
    assert picture is not None
    assert picture.name == "attention/gate"
    assert str(examination).endswith("Gated: 0 errors, 1 warning, 0 notes; 1 checks on 1 map and 5 images")
    assert finding.means in str(examination)


def test_json_has_all_numbers() -> None:
    examination = regard.doctor(network("tokens", fault="unscaled"), images(), checks=("weights*", "batch leakage"))
    told = json.loads(examination.json())
    assert told["ok"] and told["network"] == "Tokens" and told["images"] == 5
    assert [(one["check"], one["place"]) for one in told["findings"]] == [("weights too sharp", "blocks.1/affinity")]
    assert [(one["key"], one["axes"], one["shape"], one["kind"], one["origin"]) for one in told["maps"]] == [
        (f"blocks.{i}/affinity", "B h Q K", [5, 2, 16, 16], "weights", "own") for i in range(2)
    ]
    assert {"entropy", "spread", "rank", "rows", "heads", "sink", "images"} <= set(told["maps"][0]["numbers"])
    assert told["asked"] == ["batch leakage", "weights too sharp", "weights even"]


def test_the_page_is_one_file_with_pictures(tmp_path: Path) -> None:
    examination = regard.doctor(network("non-local", fault="collapsed"), images(), checks=("rows alike", "weights*"))
    path = examination.report(tmp_path / "doctor.html")
    text = path.read_text(encoding="utf-8")
    assert "rows alike" in text and "attention/affinity" in text
    assert text.count("data:image/webp;base64,") == 1
    assert "<script" not in text and not re.search(r"(src|href)=\"(?!data:)", text)
    assert examination.report(path) == path  # a page of its own is replaced
    other = tmp_path / "notes.html"
    other.write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes.html exists and is no page of regard doctor"):
        examination.report(other)
    assert other.read_text() == "mine"


def test_wrong_arguments_are_named() -> None:
    model, batch = network("channels"), images()
    with pytest.raises(ValueError, match=r"batch=str: a tensor, a tuple of tensors or a mapping"):
        regard.doctor(model, "photo.jpg")
    with pytest.raises(
        ValueError, match=r"batch: tensors of one number of samples, at least 1, are needed, not of \[3"
    ):
        regard.doctor(model, (batch, batch[:3]))
    with pytest.raises(ValueError, match=r"loss: a function of the network's output to one number .*, not to \(5, 7\)"):
        regard.doctor(model, batch, lambda scores: scores)
    with pytest.raises(LookupError, match=r"checks='batch': names or patterns of batch leakage"):
        regard.doctor(model, batch, checks="batch")


def test_a_network_without_attention_is_refused() -> None:
    with pytest.raises(NothingSeen, match=r"^Sequential has no attention to examine: "):
        regard.doctor(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), images())


def test_keyword_arguments_and_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network("channels")

        def forward(self, pixels: Tensor, brightness: Tensor) -> dict[str, Tensor]:
            return {"scores": self.inner(pixels * brightness[:, None, None, None])}

    pair = {"pixels": images(), "brightness": torch.rand(5) + 0.5}
    for batch in (pair, tuple(pair.values())):
        examination = regard.doctor(Two(), batch)
        assert not found(examination), str(examination)
        assert [fact.key for fact in examination.facts] == ["inner.attention/gate"]


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "name"), SEEDED)
def test_seeded_faults_are_found_in_modules_from_elsewhere(fault: str, name: str) -> None:
    holds(fault, name, False, 0)


def shrunk(name: str) -> tuple[nn.Module, Tensor]:
    """A network of timm's with random weights, as small as its kind allows, and a few photographs."""
    torch.manual_seed(0)
    made, side = {
        "seresnet": lambda: (timm.create_model("seresnet18", num_classes=11, layers=(1, 1, 1, 1)), 64),
        "vit": lambda: (timm.create_model("test_vit", num_classes=11, img_size=64), 64),
        "swin": lambda: (
            timm.create_model(
                "swin_tiny_patch4_window7_224", num_classes=11, img_size=56, window_size=7, embed_dim=24,
                depths=(2, 2), num_heads=(2, 4),
            ),
            56,
        ),
        "mobilenet": lambda: (timm.create_model("mobilenetv3_small_050", num_classes=11), 64),
        "convnext": lambda: (timm.create_model("test_convnext", num_classes=11), 64),
    }[name]()  # fmt: skip
    whole = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1).float()[None] / 255
    quarters = [whole[..., i : i + 256, j : j + 256] for i in (0, 256) for j in (0, 256)]
    return made, F.interpolate(torch.cat(quarters), (side, side), mode="area") * 4 - 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["seresnet", "vit", "swin", "mobilenet"])
def test_nothing_is_found_on_healthy_networks_of_timm(name: str) -> None:
    """They start as their authors initialise them: branches behind factors of zero, attention that is nearly even."""
    examination = regard.doctor(*shrunk(name))
    assert examination.facts and {fact.origin for fact in examination.facts} == {"foreign"}
    assert not found(examination), str(examination)


@pytest.mark.slow
def test_a_network_of_timm_without_attention_is_refused() -> None:
    with pytest.raises(NothingSeen, match=r"^ConvNeXt has no attention to examine: "):
        regard.doctor(*shrunk("convnext"))
