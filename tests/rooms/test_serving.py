"""The server of the local page: what its routes answer, and whom they refuse."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import sys
import zlib
from importlib import util
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from regard.core import Attention
from regard.serving import networks as opening
from regard.serving import studio as studios
from regard.serving.app import create, page
from regard.serving.gating import turned
from regard.serving.guarding import TOKEN
from regard.serving.networks import Networks, named
from regard.serving.starting import studio
from regard.serving.store import Full, Store

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1:8130"
SECRET = "abc-DEF_123"


@pytest.fixture(scope="module")
def session():
    """The shipped network with images of its own."""
    return studio(Networks(named()))


@pytest.fixture
def client(session):
    with TestClient(create(session, token=SECRET, port=8130), base_url=f"http://{HOST}") as opened:
        opened.headers[TOKEN] = SECRET
        yield opened


@pytest.fixture(scope="module")
def vendoring():
    """The script that brings the packages."""
    spec = util.spec_from_file_location("docs_vendoring", ROOT / "docs" / "vendoring.py")
    script = util.module_from_spec(spec)
    sys.modules[spec.name] = script
    spec.loader.exec_module(script)
    return script


def picture(width=23, height=19, seed=0, format="PNG"):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(values).save(content, format)
    return content.getvalue()


def first(session):
    return session.photographs()[0].id


# ---- what the routes answer


def test_the_page_and_its_files_are_there(client):
    answer = client.get("/", headers={TOKEN: ""})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    named_files = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    for path in [*named_files, *(name.lstrip("/") for name in page())]:
        assert client.get(f"/{path}").status_code == 200, path
    imported = [
        (path, name)
        for path, (content, _) in page().items()
        if path.endswith(".js")
        for name in re.findall(r'from ?"([^"]+)"', content.decode())
    ]
    assert len(imported) > 12
    for path, name in imported:
        assert name.startswith("./"), f"{path}: a browser resolves no bare name {name}"
        folder = "/vendor/" if path.startswith("/vendor/") else "/"
        assert folder + name.removeprefix("./") in page(), f"{path} imports {name}"


def test_the_vendored_packages_are_those_of_the_script_with_their_licences(vendoring):
    files = {name for package in vendoring.PACKAGES for name in package.files.values()}
    assert {path.name for path in vendoring.VENDOR.iterdir()} == files
    for package in vendoring.PACKAGES:
        assert f"{package.name.partition('@')[0]}.LICENSE.txt" in files
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in vendoring.VENDOR.iterdir()} == {
        "preact.js": "225d7a773766e6fb", "hooks.js": "5c65ab263688d080", "htm.js": "ab33dd3f38059b9b",
        "uplot.js": "073f022c867cb9c4", "uplot.css": "df630c6a8d6f8eea", "preact.LICENSE.txt": "1fe6958409c8c257",
        "htm.LICENSE.txt": "740725f7252e750a", "uplot.LICENSE.txt": "8f989229699b4fe2",
    }  # fmt: skip


def test_a_package_with_another_digest_is_refused(vendoring, monkeypatch, tmp_path):
    (tmp_path / "x-1.tgz").write_bytes(b"another archive")
    told = type("Told", (), {"stdout": "x-1.tgz\n"})
    monkeypatch.setattr(vendoring.subprocess, "run", lambda *given, **more: told)
    with pytest.raises(ValueError, match="has the digest"):
        vendoring.archive(vendoring.PACKAGES[0], tmp_path)


def test_the_catalogue_names_what_can_be_chosen(client):
    told = client.get("/catalogue").json()
    assert told["runs"] == ["gated_sononet, which comes with regard"]
    assert {"cbam", "se"} <= {entry["name"] for entry in told["entries"]} and "resnet18" in told["backbones"]
    assert len(told["colours"]) == 256 * 6 and len(told["images"]) == 6
    assert "ram" not in {entry["name"] for entry in told["entries"]}, "a system has no backbone"


def test_a_photograph_is_read_passed_and_its_maps_come_in_slices(client, session):
    added = client.post("/images", content=picture(), headers={"x-name": "caf%C3%A9.png"})
    assert added.json() == {**added.json(), "name": "café.png", "width": 23, "height": 19}
    small = Image.open(io.BytesIO(client.get(f"/images/{added.json()['id']}").content))
    assert small.size == (112, 112)
    made = client.post("/pass", json={"model": {"run": 0}, "image": added.json()["id"]}).json()
    assert [one["key"] for one in made["maps"]] == ["aggregate.gates.0/spatial", "aggregate.gates.1/spatial"]
    assert made["of"] == "classes" and len(made["prediction"]) == 10
    assert sum(one["share"] for one in made["prediction"]) == pytest.approx(1, abs=1e-5)
    assert made["maps"][1]["looks"] == [
        {"kind": "plane", "size": [6, 6], "parts": 1, "part": "part", "queries": None, "queryTokens": 0, "tokens": 0}
    ]
    answer = client.get(f"/map/{made['pass']}/aggregate.gates.1/spatial")
    facts = json.loads(answer.headers["x-slice"])
    values = np.frombuffer(answer.content, "<f2").astype(float).reshape(facts["shape"]) * facts["scale"]
    exact = session.passed(made["pass"]).maps["aggregate.gates.1/spatial"][0][0, 0]
    assert np.allclose(values, exact.numpy(), atol=1e-3) and values.max() > 0.01
    seen = Image.open(io.BytesIO(client.get(f"/seen/{made['pass']}").content))
    assert seen.size == (made["width"], made["height"]) == (48, 48)


def test_the_same_photograph_has_the_same_id_so_that_a_link_finds_it_again(client):
    ids = {client.post("/images", content=picture(seed=1)).json()["id"] for _ in range(2)}
    assert ids == {hashlib.sha256(picture(seed=1)).hexdigest()[:16]}


def test_what_is_forgotten_is_gone(client, session):
    kept = [(one.content, one.name) for one in session.photographs()]
    made = client.post("/pass", json={"model": {"run": 0}, "image": first(session)}).json()
    assert client.delete("/images").status_code == 204
    assert client.get("/catalogue").json()["images"] == [] and session.store.used == 0
    gone = client.get(f"/map/{made['pass']}/aggregate.gates.1/spatial")
    assert gone.status_code == 410 and "ask for it again" in gone.json()["error"]
    for content, name in kept:
        session.add(content, name)


def test_the_copied_code_computes_the_same_prediction(client, session, tmp_path, monkeypatch):
    photograph = session.photographs()[1]
    (tmp_path / photograph.name).write_bytes(photograph.content)
    monkeypatch.chdir(tmp_path)
    made = client.post("/pass", json={"model": {"run": 0}, "image": photograph.id}).json()
    inside: dict = {}
    exec(made["python"], inside)
    (scores,) = {studios.probabilities(inside["returned"], 10)}
    assert float(scores.max()) == pytest.approx(made["prediction"][0]["share"], abs=1e-5)
    assert [*inside["maps"]] == [one["key"] for one in made["maps"]]


@pytest.mark.parametrize(
    ("asked", "status", "reason"),
    [
        ({"model": {"run": 3}}, 404, "run 3 is none of the 1"),
        ({"model": {"run": True}}, 404, "run True"),
        ({"model": "cbam"}, 400, "model:"),
        ({"model": {"backbone": "resnet18", "entry": "ram"}}, 400, "'ram' is none that attaches"),
        ({"model": {"backbone": "resnet19"}}, 404, "resnet1"),
        ({"image": "none"}, 410, "drop the photograph again"),
        ({"alpha": 3}, 400, "from 0 to 2"),
        ({"alpha": True}, 400, "alpha=True"),
        ({"edits": "none"}, 400, "edits: a list"),
        ({"path": "x"}, 400, "path: model, image"),
    ],
)
def test_a_wrong_question_is_answered_with_its_reason(client, session, asked, status, reason):
    answer = client.post("/pass", json={"model": {"run": 0}, "image": first(session), **asked})
    assert answer.status_code == status and reason in answer.json()["error"]


def test_an_error_of_the_network_is_one_line(client, session, monkeypatch):
    def fails(asked):
        raise RuntimeError("the kernel is larger\n than the image")

    monkeypatch.setattr(session, "run", fails)
    answer = client.post("/pass", json={})
    assert answer.status_code == 400 and answer.json()["error"] == "the kernel is larger than the image"


@pytest.mark.parametrize("query", ["look=1", "head=4", "query=0", "look=-1", "look=1e3", "head=٣", "query=9999999999"])
def test_a_slice_that_a_map_does_not_have_is_refused(client, session, query):
    made = client.post("/pass", json={"model": {"run": 0}, "image": first(session)}).json()
    answer = client.get(f"/map/{made['pass']}/aggregate.gates.1/spatial?{query}")
    assert answer.status_code == 400 and query.partition("=")[0] in answer.json()["error"]


@pytest.mark.slow
def test_curves_come_one_line_a_map(client, session):
    asked = {"model": {"run": 0}, "image": first(session), "key": "aggregate.gates.1/spatial"}
    lines = [json.loads(line) for line in client.post("/faithful", json=asked).text.splitlines()]
    assert [line["name"] for line in lines] == ["this map", "Grad-CAM", "centre", "random"]
    for line in lines:
        assert len(line["deletion"]) == len(line["insertion"]) == 17
        assert line["deletion"][0] == line["insertion"][-1] == lines[0]["deletion"][0] > 0.5
    refused = client.post("/faithful", json={**asked, "key": "none"})
    assert refused.status_code == 404


# ---- whom they refuse


DATA = [
    ("GET", "/catalogue"), ("POST", "/images"), ("GET", "/images/a"), ("DELETE", "/images"), ("POST", "/pass"),
    ("POST", "/faithful"), ("GET", "/seen/p1"), ("GET", "/map/p1/a"), ("GET", "/nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), DATA)
@pytest.mark.parametrize("token", [None, "", "abc-DEF_124", "abc-DEF_123 "])
def test_nothing_is_answered_without_the_token(client, method, path, token):
    del client.headers[TOKEN]
    answer = client.request(method, path, headers={} if token is None else [(TOKEN.encode(), token.encode())])
    assert answer.status_code == 401 and "token" in answer.json()["error"]


def test_the_token_is_not_taken_from_the_address_and_stands_in_no_answer(client):
    del client.headers[TOKEN]
    assert client.get(f"/catalogue?token={SECRET}&{TOKEN}={SECRET}").status_code == 401
    for path in page():
        assert SECRET not in client.get(path).text


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8131", "evil.example:8130", "127.0.0.1.evil.example:8130", "", "[::1]:8130"]
)
def test_another_host_name_is_refused_also_for_the_page(client, host):
    for path in ("/", "/catalogue"):
        assert client.get(path, headers={"host": host}).status_code == 421
    assert client.get("/", headers={"host": "localhost:8130"}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:8131", "https://127.0.0.1:8130"])
def test_another_origin_is_refused(client, origin):
    answer = client.post("/images", content=picture(), headers={"origin": origin})
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers
    assert client.options("/pass", headers={"origin": origin}).status_code == 403, "no permission of a browser"
    assert client.get("/catalogue", headers={"origin": f"http://{HOST}"}).status_code == 200


def test_every_answer_has_the_policy(client):
    for path in ("/", "/app.js", "/catalogue", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


def test_a_file_that_is_too_large_is_refused_before_it_is_read(client):
    answer = client.post("/images", content=b"0" * (8 * 2**20 + 1))
    assert answer.status_code == 413 and "8 MB" in answer.json()["error"]

    def unannounced():
        for _ in range(9):
            yield b"0" * 2**20

    assert client.post("/images", content=unannounced()).status_code == 413
    assert client.post("/pass", content=b"[" * (2 * 2**20 + 1)).status_code == 413


def bomb(width, height):
    """A PNG of few bytes that says it has so many pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bomb(8000, 5001), "megapixels"),
        (bomb(60000, 60000), "megapixels"),
        (b"", "empty"),
        (b"GIF89a", "damaged|not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (picture()[:200], "damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image"),
    ],
)
def test_what_is_no_image_within_the_limits_is_refused(client, session, content, reason):
    before = len(session.photographs())
    answer = client.post("/images", content=content)
    assert answer.status_code == 400 and re.search(reason, answer.json()["error"])
    assert len(session.photographs()) == before


@pytest.mark.parametrize(
    "path",
    [
        "/file=/etc/passwd", "/file/etc/passwd", "/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/vendor/../../app.py",
        "/vendor/..%5c..%5capp.py", "/images/..%2f..%2fetc%2fpasswd", "/images//etc/passwd", "/static//etc/passwd",
        "/map/p1//etc/passwd", "/map/p1/..%2f..%2f..%2fetc%2fpasswd", "/seen/file:%2f%2f%2fetc%2fpasswd", "/app.py",
        "/proxy=http://127.0.0.1:8130/", "/component_server",
    ],
)  # fmt: skip
def test_no_address_reads_a_file(client, path):
    """The ways of CVE-2024-1561, CVE-2023-51449 and CVE-2024-0964 in gradio: a path in an address."""
    answer = client.get(path)
    assert answer.status_code in (404, 405, 410) and "root:" not in answer.text and "import" not in answer.text


@pytest.mark.parametrize(
    "model",
    [
        {"backbone": "local-dir:/etc"}, {"backbone": "hf-hub:timm/resnet18"}, {"backbone": "/etc/passwd"},
        {"backbone": "resnet18", "entry": "/etc/passwd"}, {"run": "/etc/passwd"}, {"weights": "/etc/passwd"},
        {"backbone": "resnet18", "weights": "x.pth"}, {"run": 0, "weights": "x.pth"}, {"backbone": ["resnet18"]},
        {"backbone": "resnet18", "entry": {"weights": "x"}}, {"fn": "__init__", "data": "/etc/passwd"},
    ],
)  # fmt: skip
def test_no_question_names_a_file(client, session, model, monkeypatch):
    """As in CVE-2024-1561, where the name of a method and a path came with the question."""

    def opened(*given, **more):
        raise AssertionError("something was opened")

    monkeypatch.setattr(opening, "open_network", opened)
    answer = client.post("/pass", json={"model": model, "image": first(session)})
    assert answer.status_code in (400, 404)
    assert client.post("/pass", json={"model": {"run": 0}, "image": "/etc/passwd"}).status_code == 410


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"null", b"[" * 100_000, b"\xff"])
def test_a_question_that_is_no_object_is_refused(client, content):
    answer = client.post("/pass", content=content)
    assert answer.status_code == 400 and answer.json()["error"] == "a JSON object is accepted"


def test_weights_that_are_pickles_are_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"weight": Evil()}, tmp_path / "evil.pth")
    (one,) = named("ram", weights=[tmp_path / "evil.pth"])
    with pytest.raises(ValueError, match="safetensors"):
        one.open()
    assert not (tmp_path / "touched").exists()


# ---- what is kept


def test_what_was_used_longest_ago_leaves_first():
    store = Store({"image": 3}, 100)
    for name in "abc":
        store.put("image", name, name.upper(), size=20)
    assert store.get("image", "a") == "A"
    store.put("image", "d", "D", size=20)
    assert store.names("image") == ["c", "a", "d"], "b was used longest ago"
    store.put("pass", "p", "P", size=50)
    assert store.names("image") == ["a", "d"] and store.used == 90
    with pytest.raises(Full, match="at most"):
        store.put("pass", "q", "Q", size=101)
    assert store.used == 90, "nothing left for what is not kept"


def test_at_most_32_photographs_stay():
    made = studios.Studio(Networks(named()))
    ids = [made.add(picture(3, 2, seed), f"{seed}.png").id for seed in range(34)]
    assert [one.id for one in made.photographs()] == ids[2:]


class Doubling(Attention):
    maps: ClassVar = {"gate": "B C 1 1"}

    def __init__(self, channels):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return x * self.see("gate", 2 + self.weight[None, :, None, None])


@pytest.mark.parametrize("identity", [False, True])
def test_the_gate_is_turned_and_turned_back(identity):
    import regard

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 1)).eval()
    regard.attach(model, Doubling, after="0", identity=identity, example=torch.zeros(1, 3, 7, 7))
    x = torch.randn(1, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        if identity:
            model[0].attention_alpha.fill_(0.5)
        before = model(x)
        bare = before / (1.5 if identity else 2)
        for factor, times in ((0, 1), (0.4, 1.2 if identity else 1.4), (1, 1.5 if identity else 2)):
            with turned(model, factor):
                assert torch.allclose(model(x), times * bare, atol=1e-6)
        assert torch.equal(model(x), before) and hasattr(model[0], "attention_alpha") == identity


def test_a_missing_extra_is_named(monkeypatch, capsys):
    from regard.cli import main

    monkeypatch.delitem(sys.modules, "regard.serving.running", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SystemExit) as ended:
        main(["serve"])
    assert ended.value.code == 1
    assert 'pip install "regard[serve]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["none.jpg"], "no file or folder 'none.jpg'"),
        (["--with", "cbma"], "cbam"),
        (["--port", "70000"], "--port=70000"),
        (["--pretrained"], "no network is named"),
        (["--kwargs", "3"], "--kwargs"),
    ],
)
def test_a_wrong_command_is_answered_at_once(capsys, given, reason):
    from regard.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["serve", *given])
    assert ended.value.code == 1 and reason in capsys.readouterr().err


def test_a_taken_port_is_said():
    from regard.serving.running import bound

    with bound(0) as ours, pytest.raises(OSError, match="it is in use; --port 0"):
        bound(ours.getsockname()[1])
