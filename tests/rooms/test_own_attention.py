"""`regard look`, `gaze` and `compare` on networks that attend by themselves, such as timm's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import regard
from regard import cli
from regard.comparing import looking
from regard.looking import gaze, own, photographs
from regard.report import GRADCAM
from regard.saved.opening import open_network

VIT = "test_vit"  # timm's smallest: 160 pixels, patches of 16, a class token
SIDE = 32


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.effect_noise((90, 70), 60).convert("RGB").save(path)
    return path


@pytest.fixture
def sheets(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the pictures on each sheet that is drawn from now on, behind the photograph."""
    found: list[list[str]] = []
    real = photographs.sheet

    def noted(pictures: list[Any], *rest: object, **more: Any) -> object:
        found.append([picture.name for picture in pictures[1:]])
        return real(pictures, *rest, **more)

    monkeypatch.setattr(photographs, "sheet", noted)
    return found


class Small(nn.Module):
    """One layer of attention behind patches, whose class token is read."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 10, 8, 8)
        self.cls_token = nn.Parameter(torch.randn(1, 1, 10))
        self.attn = nn.MultiheadAttention(10, 2, batch_first=True)
        self.head = nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        x = x + self.attn(x, x, x)[0]
        scores: Tensor = self.head(x[:, 0])
        return scores


def run(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    assert not end.value.code
    return capsys.readouterr().out


def fails(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    assert end.value.code
    return " ".join(capsys.readouterr().err.split())


def depth() -> int:
    return len(open_network(backbone=VIT).model.blocks)  # type: ignore[arg-type]


# ---- look


@pytest.mark.slow
def test_a_transformer_is_shown_through_its_own_attention(
    photograph: Path, tmp_path: Path, sheets: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    said = run(capsys, "look", photograph, "--on", VIT, "--out", tmp_path / "o")
    count, (names,) = depth(), sheets
    last = f"blocks.{count - 1}.attn/affinity"
    heads = sum(name.startswith(f"{last}, from the class token, head") for name in names)
    assert heads > 1
    assert names == [
        f"rollout through {count} layers, from the class token",
        f"{last}, from the class token",
        *(f"{last}, from the class token, head {i} of {heads}" for i in range(1, heads + 1)),
        f"{last}, received", f"{last}, from centre", f"{last}, from strongest",
        *(f"blocks.{i}.attn/affinity, mean of {heads} heads, from the class token" for i in range(count - 1)),
    ]  # fmt: skip
    assert f"{count} layers of attention: the last, blocks.{count - 1}.attn, in full; --layer names another." in said
    assert "Random weights: the whole network is untrained" in said
    assert (tmp_path / "o" / f"photo-{VIT}.png").is_file()


@pytest.mark.slow
def test_a_layer_can_be_chosen_and_a_place(photograph: Path, tmp_path: Path, sheets: list[list[str]]) -> None:
    looks = regard.look(photograph, backbone=VIT, layer="blocks.1", at=(40, 30), out=tmp_path / "o")
    regard.look(photograph, backbone=VIT, layer="blocks.1.mlp", target=7, at=(40, 30), out=tmp_path / "o")
    one, beside = sheets
    assert one and all(name.startswith("blocks.1.attn/affinity, ") for name in one)
    assert one[-1].startswith("blocks.1.attn/affinity, from (0.4") and looks.attention.startswith(
        "The attention of blocks.1"
    )
    assert beside[1].startswith(f"rollout through {depth()} layers, from (0.4")
    assert beside[-2:] == ["relevance through all layers of class 7", "Grad-CAM of class 7"]


@pytest.mark.slow
def test_a_layer_without_attention_is_explained(photograph: Path, tmp_path: Path, sheets: list[list[str]]) -> None:
    regard.look(photograph, backbone=VIT, layer="blocks.0.mlp", out=tmp_path / "o")
    assert sum(name.startswith("Grad-CAM of class ") for name in sheets[0]) == 3
    assert sheets[0][0].startswith("rollout")
    with pytest.raises(LookupError, match=r"layer='blocks.99'"):
        regard.look(photograph, backbone=VIT, layer="blocks.99", out=tmp_path / "o")


@pytest.mark.slow
def test_gates_without_a_place_stand_beside_gradcam(photograph: Path, tmp_path: Path, sheets: list[list[str]]) -> None:
    looks = regard.look(photograph, backbone="test_efficientnet", image_size=64, out=tmp_path / "o")
    gates = [name for name in sheets[0] if name.endswith(".se/gate")]
    assert gates and sheets[0][: len(gates)] == gates and not looks.attention
    assert [name[:18] for name in sheets[0][len(gates) :]] == ["Grad-CAM of class "] * 3


@pytest.mark.slow
def test_an_attached_mechanism_is_shown_alone(photograph: Path, tmp_path: Path, sheets: list[list[str]]) -> None:
    regard.look(photograph, "se", backbone=VIT, out=tmp_path / "o")
    assert sheets[0] and all(name.endswith(".attention/channel") for name in sheets[0])


def test_windows_are_said_not_to_chain() -> None:
    maps = regard.core.Maps()
    for number in range(2):
        key = f"layers.{number}.attn/affinity"
        maps[key], maps.axes[key] = [torch.full((1, 2, 36, 9), 1 / 9)], "B h Q X"
        maps.foreign.add(key)
    assert not own.flow(maps)
    assert own.told(maps, None) == (
        "2 layers of attention: the last, layers.1.attn, in full; --layer names another. They cannot be chained to a "
        "rollout: windows, pooled keys or several resolutions."
    )
    assert own.told(maps, "layers.0") == "The attention of layers.0, one of 2 layers."
    assert own.under(maps, "layers.1.attn") == ["layers.1.attn/affinity"] and not own.under(maps, "layers.1.att")


# ---- gaze


def looked_at(tmp_path: Path) -> Path:
    """Three images with fixations, as a CSV."""
    folder = tmp_path / "looked"
    folder.mkdir()
    rows = ["image,viewer,x,y"]
    for i in range(3):
        Image.effect_noise((90, 70), 40 + i).convert("RGB").save(folder / f"{i}.png")
        rows += [f"{i}.png,{viewer},{20 + 17 * viewer},{15 + 11 * i}" for viewer in range(3)]
    (folder / "fixations.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.slow
def test_gaze_scores_the_attention_of_a_backbone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = looked_at(tmp_path)
    found = gaze.gaze(folder, backbone=VIT)
    names = [row.name for row in found.rows]
    assert names == [
        "centre bias", "other viewers", *(f"blocks.{i}.attn/affinity" for i in range(depth())), "rollout",
        "all maps, mean",
    ]  # fmt: skip
    assert not found.trained
    assert "rollout" in run(capsys, "gaze", folder, "--on", VIT)
    assert "test_resnet has no attention" in fails(capsys, "gaze", folder, "--on", "test_resnet", "--image-size", 64)


# ---- compare


def test_the_map_of_a_backbone_is_the_mean_of_its_layers() -> None:
    torch.manual_seed(0)
    model, x = Small().eval(), torch.randn(2, 3, SIDE, 3 * SIDE)
    with torch.no_grad():
        tokens = torch.cat([model.cls_token.expand(2, -1, -1), model.patch(x).flatten(2).transpose(1, 2)], 1)
        weights = model.attn(tokens, tokens, tokens, average_attn_weights=True)[1]
    row = weights[:, 0, 1:].view(2, 4, 12)
    found = looking.backbone_map(model, x, (4, 12))
    assert found is not None
    torch.testing.assert_close(found, row / row.sum((1, 2), keepdim=True))
    assert torch.equal(found, looking.backbone_map(model, x, (7, 7))), "of another grid the last counts"  # type: ignore[arg-type]
    assert looking.backbone_map(nn.Conv2d(3, 5, 3), x, (4, 12)) is None


def test_the_gallery_gets_the_map_of_the_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    heat, place = torch.rand(2, 4, 12), SimpleNamespace(explained="", layout=None, grid=(4, 12))
    monkeypatch.setattr(looking, "_both", lambda *_: (heat, heat))
    view, x = looking.View(place, None, torch.device("cpu")), torch.randn(2, 3, SIDE, 3 * SIDE)  # type: ignore[arg-type]
    found = looking.heat_maps(Small().eval(), x, view)
    assert set(found) == {"map", "map_range", "backbone", "backbone_range"}
    assert found["backbone"].shape == (2, SIDE, 3 * SIDE) and found["backbone"].max() == 1


def test_the_report_shows_the_attention_of_the_backbone(tmp_path: Path) -> None:
    from regard.report.gallery import shots
    from regard.report.looks import looks
    from regard.report.page import _kinds

    rows = [SimpleNamespace(name="none", through=GRADCAM), SimpleNamespace(name="se", through=GRADCAM)]
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "images": np.zeros((2, 16, 24, 3), np.uint8), "regions": np.zeros((2, 16, 24), bool),
        "has_region": np.zeros(2, bool), "labels": np.array([0, 1]), "backbone.none": random.random((2, 8, 12)),
        "backbone_range.none": np.array([[0.5, 2.0], [0.25, 3.0]]),
    }  # fmt: skip
    arrays |= {f"map.{row.name}": random.random((2, 8, 12)) for row in rows}
    np.savez(tmp_path / "gallery.npz", **arrays)
    found = shots(tmp_path / "gallery.npz", rows, looks(["none", "se"]), ["cat", "dog"])  # type: ignore[arg-type]
    own_map, other = (tile.backbone for tile in found[0].tiles)
    assert own_map is not None and own_map.range == "0.5 to 2 × its mean" and other is None
    assert _kinds(found) == [("gradcam", "Grad-CAM"), ("backbone", "The backbone's attention")]
