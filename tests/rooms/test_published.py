"""The door for authors' checkpoints."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, safe_open, save_file
from torch import nn

from regard import catalog, published, watch

SE = "se/moskomule.senet.pytorch/SELayer"


def state(channels: int = 8, hidden: int = 2, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "fc.0.weight": torch.randn(hidden, channels, dtype=dtype),
        "fc.2.weight": torch.randn(channels, hidden, dtype=dtype),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rebuild_keeps_the_dtype_and_trains(dtype: torch.dtype) -> None:
    module = published.rebuild(SE, {"channel": 8, "reduction": 4}, state(dtype=dtype))
    assert {parameter.dtype for parameter in module.parameters()} == {dtype}
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert not module.training
    assert torch.equal(module.reduce.weight[:, :, 0, 0], state(dtype=dtype)["fc.0.weight"])


def test_rebuild_copies_the_state() -> None:
    given = state()
    module = published.rebuild(SE, {"channel": 8, "reduction": 4}, given)
    with torch.no_grad():
        module.reduce.weight.zero_()
    assert given["fc.0.weight"].abs().sum() > 0


def test_an_unknown_reference_is_answered_with_the_nearest() -> None:
    with pytest.raises(LookupError, match=r"no published module 'se/moskomule/SELayer'; nearest: se/moskomule.senet"):
        published.rebuild("se/moskomule/SELayer", {}, {})


@pytest.mark.parametrize(
    ("args", "change", "kind", "message"),
    [
        ({"channels": 8}, {}, TypeError, "it takes \\(channel, reduction=16\\)"),
        ({"channel": 8, "reduction": 2}, {}, ValueError, "fc.0.weight has shape \\(2, 8\\)"),
        ({"channel": 8, "reduction": 4}, {"fc.0.weight": None}, ValueError, "the state has no fc.0.weight"),
        ({"channel": 8, "reduction": 4}, {"fc.0.bias": torch.zeros(2)}, ValueError, "has no fc.0.bias"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(args, change, kind, message) -> None:
    given = {key: value for key, value in {**state(), **change}.items() if value is not None}
    with pytest.raises(kind, match=message):
        published.rebuild(SE, args, given)


@pytest.mark.parametrize("wrong", [{"instantiation": "gaussian"}, {"instantiation": "concatenation"}])
def test_what_the_published_code_does_not_have_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="softmax or dot_product"):
        published.rebuild("nonlocal/facebookresearch.SlowFast/Nonlocal", {"dim": 4, "dim_inner": 2, **wrong}, {})


@pytest.mark.parametrize(
    ("channels", "ratio", "hidden"), [(24, 1 / 16, 8), (64, 1 / 16, 8), (200, 1 / 16, 16), (256, 1 / 4, 64)]
)
def test_timm_rounding_of_the_hidden_width(channels: int, ratio: float, hidden: int) -> None:
    from timm.layers import SEModule

    theirs = SEModule(channels, rd_ratio=ratio)
    assert theirs.fc1.out_channels == hidden
    module = published.rebuild("se/timm/SEModule", {"channels": channels, "rd_ratio": ratio}, theirs.state_dict())
    x = torch.randn(2, channels, 5, 3)
    torch.testing.assert_close(module(x), theirs(x))


def test_settings_of_the_norm_are_kept() -> None:
    ours = catalog.create("nonlocal", channels=4, hidden=2, dims=3)
    theirs = {"theta": "conv_theta", "phi": "conv_phi", "g": "conv_g", "out": "conv_out", "norm": "bn"}
    given = {f"{theirs[key.partition('.')[0]]}.{key.partition('.')[2]}": v for key, v in ours.state_dict().items()}
    args = {"dim": 4, "dim_inner": 2, "pool_size": [1, 2, 2], "norm_eps": 1e-3, "norm_momentum": 0.3}
    module = published.rebuild("nonlocal/facebookresearch.SlowFast/Nonlocal", args, given)
    assert module.norm.eps == 1e-3
    assert module.norm.momentum == 0.3


def test_torchvision_checkpoint() -> None:
    from torchvision.ops import SqueezeExcitation

    theirs = SqueezeExcitation(12, 3)
    arguments = {"input_channels": 12, "squeeze_channels": 3}
    module = published.rebuild("se/torchvision/SqueezeExcitation", arguments, theirs.state_dict())
    x = torch.randn(2, 12, 5, 3)
    torch.testing.assert_close(module(x), theirs(x))


@pytest.mark.parametrize(
    ("activation", "gate"), [(nn.SiLU, nn.Sigmoid), ("SiLU", "torch.nn.Hardsigmoid"), (partial(nn.GELU), nn.Tanh)]
)
def test_torchvision_functions_of_squeeze_and_excitation(activation, gate) -> None:
    from torchvision.ops import SqueezeExcitation

    classes = [
        getattr(nn, given.rpartition(".")[2]) if isinstance(given, str) else given for given in (activation, gate)
    ]
    theirs = SqueezeExcitation(12, 5, *classes)
    arguments = {
        "input_channels": 12, "squeeze_channels": 5, "activation": activation, "scale_activation": gate
    }  # fmt: skip
    module = published.rebuild("se/torchvision/SqueezeExcitation", arguments, theirs.state_dict())
    x = torch.randn(2, 12, 7, 3)
    torch.testing.assert_close(module(x), theirs(x))
    with watch(module) as maps:
        module(x)
    assert [tuple(look.shape) for look in maps["channel"]] == [(2, 12, 1, 1)]
    with pytest.raises(ValueError, match=r"activation='Softplus2': a class of torch\.nn"):
        published.rebuild("se/torchvision/SqueezeExcitation", {**arguments, "activation": "Softplus2"}, {})


@pytest.mark.parametrize("shape", [(3, 7), (3, 7, 1, 1)])
def test_weights_that_a_spatial_gate_is_given_at_call(shape: tuple[int, ...]) -> None:
    state = {"conv.weight": torch.randn(1, 7, 1, 1), "conv.bias": torch.randn(1)}
    module = published.rebuild("scse/ai-med.squeeze_and_excitation/SpatialSELayer", {"num_channels": 7}, state)
    x, weights = torch.randn(2, 7, 5, 3), torch.randn(shape)
    gate = torch.einsum("bchw,c->bhw", x, weights.mean(0).flatten()).sigmoid()
    torch.testing.assert_close(module(x, weights=weights), x * gate[:, None])
    with pytest.raises(ValueError, match=r"\(3, 7, 2, 1\): N C 1 1, C=7"):
        module(x, weights=torch.randn(3, 7, 2, 1))


def test_a_reference_that_is_no_published_class_says_what_was_recorded() -> None:
    from typer.testing import CliRunner

    from regard.cli import app

    for reference in published.references():
        parts = reference.name.split("/")
        assert reference.recording is not None or not {"paper", "survey"} & set(parts[1:]), reference.name
        if reference.recording is None:
            assert len(parts) >= 3, f"{reference.name}: mechanism/repository/Class is needed"
    listed = CliRunner().invoke(app, ["published", "list", "a2"]).output
    assert "a2net/survey (in_c) -> a2 (recorded from a survey's listing, which ends halfway)" in listed
    assert "DoubleAttentionLayer (in_channels, c_m, c_n, reconstruct=False) -> a2\n" in listed


def test_every_reference_leads_to_an_entry_and_shows_its_arguments() -> None:
    names = {entry.name for entry in catalog.entries()}
    for reference in published.references():
        assert reference.entry in names
        assert reference.signature.startswith("(")
    assert {row.entry for row in published.references("cbam")} == {"cbam"}


class Holder(nn.Module):
    """A network around the published layer, as checkpoints hold it."""

    def __init__(self) -> None:
        super().__init__()
        self.se = nn.Module()
        self.se.fc = nn.Sequential(nn.Linear(8, 2, bias=False), nn.ReLU(), nn.Linear(2, 8, bias=False))


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_convert_takes_one_module_out_of_a_checkpoint(tmp_path: Path, wrapper: str | None) -> None:
    tensors = {f"module.{key}": value for key, value in Holder().state_dict().items()}
    torch.save(tensors if wrapper is None else {wrapper: tensors, "epoch": 3}, tmp_path / "authors.pth")
    target = tmp_path / "ours.safetensors"
    module = published.convert(
        tmp_path / "authors.pth", target, reference=SE, args={"channel": 8, "reduction": 4}, prefix="se."
    )
    converted = load_file(target)
    assert {key: value.shape for key, value in converted.items()} == {
        key: value.shape for key, value in module.state_dict().items()
    }
    with safe_open(target, "pt") as file:
        facts = file.metadata()
    assert facts["entry"] == "se"
    assert json.loads(facts["args"]) == {"channel": 8, "reduction": 4}
    with pytest.raises(FileExistsError, match="choose another name"):
        published.convert(tmp_path / "authors.pth", target, reference=SE, args={"channel": 8}, prefix="se.")


def test_safetensors_load_with_a_prefix(tmp_path: Path) -> None:
    save_file({f"a.{key}": value for key, value in state().items()}, tmp_path / "x.safetensors")
    assert set(published.load(tmp_path / "x.safetensors", prefix="a.")) == set(state())
    with pytest.raises(ValueError, match=r"no key that starts with 'b.'"):
        published.load(tmp_path / "x.safetensors", prefix="b.")


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code ran')",))


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(ValueError, match="cannot be read as weights without running code"):
        published.load(tmp_path / "bomb.pth")


def test_files_that_hold_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file"):
        published.load(tmp_path / "absent.pth")
    torch.save({"epoch": 3}, tmp_path / "facts.pth")
    with pytest.raises(ValueError, match="contains no state_dict"):
        published.load(tmp_path / "facts.pth")
    (tmp_path / "text.safetensors").write_text("no")
    with pytest.raises(ValueError, match="cannot be read"):
        published.load(tmp_path / "text.safetensors")
