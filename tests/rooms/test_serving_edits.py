"""Edits that a page asks for: what they do, what is refused, and the code that makes them."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

import regard
from regard.looking.explaining import probabilities
from regard.serving.editing import Moved
from regard.serving.networks import Networks, named
from regard.serving.starting import studio
from regard.serving.studio import Studio

KEY = "aggregate.gates.1/spatial"


@pytest.fixture(scope="module")
def session():
    return studio(Networks(named()))


def asked(session, *edits, number=0):
    return {"model": {"run": 0}, "image": session.photographs()[number].id, "edits": [{"key": KEY, **e} for e in edits]}


def acted(made):
    return made.maps[KEY][0]


def test_what_is_asked_is_done_to_the_map(session):
    plain = acted(session.run(asked(session)))
    even = acted(session.run(asked(session, {"kind": "uniform"})))
    assert torch.allclose(even, torch.full_like(plain, 1 / 36))
    other = acted(session.run(asked(session, number=3)))
    swapped = session.run(asked(session, {"kind": "swap", "image": session.photographs()[3].id}))
    assert torch.allclose(acted(swapped), other, atol=1e-6)
    every = torch.cat([acted(session.run(asked(session, number=i))) for i in range(6)])
    assert torch.allclose(acted(session.run(asked(session, {"kind": "mean"}))), every.mean(0, keepdim=True), atol=1e-6)
    cells = [7, 20, 35]
    masked = acted(session.run(asked(session, {"kind": "mask", "shape": [6, 6], "off": cells}))).flatten()
    assert masked[cells].abs().max() == 0 and float(masked.sum()) == pytest.approx(1)
    sharp = acted(session.run(asked(session, {"kind": "temperature", "value": 2.0})))
    assert torch.allclose(sharp, plain.sqrt() / plain.sqrt().sum(), atol=1e-6)
    both = session.run(asked(session, {"kind": "uniform"}, {"kind": "mask", "shape": [6, 6], "off": cells}))
    exact = torch.full((36,), 1 / 33)
    exact[cells] = 0
    assert torch.allclose(acted(both).flatten(), exact), "edits act in their order"
    assert torch.equal(acted(session.run(asked(session))), plain), "nothing stays"


def test_the_prediction_follows(session):
    before, after = (session.run(asked(session, *edits)).answer["prediction"] for edits in ((), ({"kind": "uniform"},)))
    assert {one["index"]: one["share"] for one in before} != {one["index"]: one["share"] for one in after}


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        (["none"], "objects with a key and a kind"),
        ([{"key": 3, "kind": "uniform"}], "objects with a key and a kind"),
        ([{"key": KEY, "kind": "exec"}], "kind='exec'"),
        ([{"key": KEY, "kind": "_made"}], "kind='_made'"),
        ([{"key": KEY, "kind": "scale"}], "scale takes value, not nothing"),
        ([{"key": KEY, "kind": "uniform", "value": 1}], "uniform takes nothing, not value"),
        ([{"key": KEY, "kind": "scale", "value": 0.5}], "sums to 1"),
        ([{"key": KEY, "kind": "temperature", "value": 0}], "value=0"),
        ([{"key": KEY, "kind": "temperature", "value": "hot"}], "value='hot'"),
        ([{"key": KEY, "kind": "mask", "shape": [6, 6], "off": [36]}], "cells from 0 to 35"),
        ([{"key": KEY, "kind": "mask", "shape": [100000, 100000], "off": [0]}], "up to 65536 cells"),
        ([{"key": KEY, "kind": "mask", "shape": [6], "off": [0]}], "shape: 2 whole numbers"),
        ([{"key": KEY, "kind": "ablate", "part": "head", "parts": [0]}], "ablate"),
        ([{"key": KEY, "kind": "ablate", "part": "maps", "parts": [0]}], "head or channel"),
        ([{"key": KEY, "kind": "move", "step": 0, "x": 0, "y": 0}], "no points and no boxes"),
        ([{"key": KEY, "kind": "move", "step": 0, "x": 2, "y": 0}], "x=2"),
        ([{"key": "*", "kind": "uniform"}], "fits no map"),
        ([{"key": "none/spatial", "kind": "uniform"}], "fits no map"),
        ([{"key": KEY, "kind": "uniform"}] * 65, "up to 64"),
    ],
)  # fmt: skip
def test_what_is_no_edit_is_refused_and_leaves_nothing_behind(session, edits, reason):
    question = {"model": {"run": 0}, "image": session.photographs()[0].id}
    plain = session.run(question).answer["prediction"]
    with pytest.raises(ValueError) as refused:
        session.run({**question, "edits": edits})
    assert reason in str(refused.value)
    assert session.run(question).answer["prediction"] == plain


def test_the_copied_code_makes_the_same_edits(session, tmp_path, monkeypatch):
    for photograph in session.photographs():
        (tmp_path / photograph.name).write_bytes(photograph.content)
    monkeypatch.chdir(tmp_path)
    other = session.photographs()[2].id
    first = {"key": "aggregate.gates.0/spatial", "kind": "swap", "image": other}
    question = asked(session, {"kind": "mask", "shape": [6, 6], "off": [7, 20]}, {"kind": "shuffle", "seed": 5})
    made = session.run({**question, "edits": [first, *question["edits"]]})
    inside: dict = {}
    exec(made.answer["python"], inside)
    assert torch.allclose(inside["maps"][KEY][0], acted(made), atol=1e-6)
    shares = probabilities(inside["returned"], 10)
    assert float(shares.max()) == pytest.approx(made.answer["prediction"][0]["share"], abs=1e-5)


@pytest.mark.slow
def test_a_dragged_glimpse_is_looked_at_and_what_follows_changes():
    torch.manual_seed(0)
    network = regard.create("ram", channels=1, classes=5, glimpses=4, glimpse_size=5).eval()
    x = torch.rand(1, 1, 29, 29)
    with torch.no_grad():
        with regard.watch(network) as plain:
            before = network(x)
        with regard.edit(network, {"path": Moved(step=1, x=-0.5, y=0.25)}), regard.watch(network) as maps:
            after = network(x)
    old, new = plain["path"][0], maps["path"][0]
    assert torch.equal(old[:, 0], new[:, 0]), "what came before stays"
    assert torch.allclose(new[0, 1], torch.tensor([-0.5, 0.25]), atol=1 / 29)
    assert not torch.equal(before, after)
    assert json.loads(json.dumps(Moved(1, -0.5, 0.25).to_json())) == {"edit": "moved", "step": 1, "x": -0.5, "y": 0.25}


def test_a_box_keeps_its_size_when_it_is_moved():
    boxes = torch.tensor([[[-0.5, -0.25, 0.5, 0.75], [-1, -1, 0, 0.5]]])
    moved = Moved(step=1, x=0.25, y=-0.125)(boxes, key="glimpse", axes="B T 4")
    assert torch.allclose(moved, torch.tensor([[[-0.5, -0.25, 0.5, 0.75], [-0.25, -0.875, 0.75, 0.625]]]))


def noise(height, width, seed=0):
    content = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(values).save(content, "PNG")
    return content.getvalue()


@pytest.mark.slow
def test_the_attention_of_a_timm_network_is_shown_and_edited():
    made = Studio(Networks(named(backbone="test_vit")))
    image = made.add(noise(97, 113), "noise.png").id
    question = {"model": {"backbone": "test_vit", "entry": None}, "image": image}
    plain = made.run(question)
    key = "blocks.1.attn/affinity"
    found = {one["key"]: one for one in plain.answer["maps"]}[key]
    assert found["foreign"] and found["acts"] and found["sums"] == "K" and found["tokens"] == ["class"]
    layout = found["looks"][0]
    side = layout["size"][0]
    assert layout["queries"] == layout["size"] == [side, side] and layout["queryTokens"] == layout["tokens"] == 1
    row = made.cut(plain.id, key, look=0, part=1, query=5)
    assert float(row.values.sum()) + row.tokens[0] == pytest.approx(1, abs=1e-5)
    edit = {"key": key, "kind": "ablate", "part": "head", "parts": [1]}
    edited = made.run({**question, "edits": [edit]})
    assert made.cut(edited.id, key, look=0, part=1, query=5).values.abs().max() == 0
    assert edited.answer["prediction"] != plain.answer["prediction"]
    off = made.run({**question, "edits": [{"key": key, "kind": "query", "parts": [5]}]})
    assert made.cut(off.id, key, look=0, part=0, query=5).values.abs().max() == 0
    lines = [*made.followed({**question, "edits": [edit], "key": "blocks.0.attn/affinity"})]
    assert [line["name"] for line in lines] == ["this map", "Grad-CAM", "centre", "random"]
    again = made.run(question)
    assert again.answer["prediction"] == plain.answer["prediction"]


@pytest.mark.slow
def test_the_gate_of_an_attached_entry_goes_down_to_the_bare_backbone():
    made = Studio(Networks(named(backbone="test_efficientnet")))
    image = made.add(noise(97, 113), "noise.png").id
    bare, off, half, on = (
        made.run({"model": {"backbone": "test_efficientnet", "entry": entry}, "image": image, "alpha": alpha})
        for entry, alpha in ((None, 1), ("cbam", 0), ("cbam", 0.5), ("cbam", 1))
    )
    assert bare.answer["gates"] == 0 and off.answer["gates"] > 0
    assert off.answer["prediction"] == bare.answer["prediction"] != half.answer["prediction"]
    assert on.answer["prediction"] not in (half.answer["prediction"], off.answer["prediction"])
    assert len(off.answer["maps"]) > len(bare.answer["maps"]) > 0, "the backbone has attention of its own"


@pytest.mark.slow
def test_the_path_of_a_system_is_shown_and_dragged():
    arguments = {"channels": 1, "classes": 5, "glimpses": 4, "glimpse_size": 5}
    made = Studio(Networks(named("ram", kwargs=arguments)))
    question = {"model": {"run": 0}, "image": made.add(noise(29, 31), "noise.png").id}
    plain = made.run(question)
    found = {one["key"]: one for one in plain.answer["maps"]}
    assert found["path"]["looks"][0]["kind"] == "path" and found["path"]["acts"] and not found["glimpse"]["acts"]
    moved = made.run({**question, "edits": [{"key": "path", "kind": "move", "step": 2, "x": 0.5, "y": -0.5}]})
    assert torch.allclose(moved.maps["path"][0][0, 2], torch.tensor([0.5, -0.5]), atol=0.05)
    assert "Moved(step=2, x=0.5, y=-0.5)" in moved.answer["python"]
    with pytest.raises(ValueError, match="shown only"):
        made.run({**question, "edits": [{"key": "glimpse", "kind": "uniform"}]})
