"""What SECURITY.md promises, held against the code."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

import regard
from regard import published
from regard.comparing.folder import Folder
from regard.data import cifar, images
from regard.report.gallery import shots
from regard.saved import digests
from regard.saved.opening import open_network
from regard.training import checkpoints

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "regard").rglob("*.py"))
TEXT = " ".join((ROOT / "SECURITY.md").read_text(encoding="utf-8").split())


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """Every call in a file, with the dotted name of what is called."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.slow
def test_every_reader_of_pickles_is_a_safe_one():
    """`eval`, `exec` and unpickling stand nowhere but where SECURITY.md says so, or for the library's own objects."""
    needed = {"torch.load": "weights_only", "np.load": "allow_pickle", "npy.read_array": "allow_pickle"}
    safe = {"weights_only": True, "allow_pickle": False}
    dangerous: set[tuple[str, str]] = set()
    seen = 0
    for path in SOURCES:
        for name, call in calls(path):
            given = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
            if name in needed:
                seen += 1
                assert given.get(needed[name]) is safe[needed[name]], f"{path}: {ast.unparse(call)}"
            elif name in ("eval", "exec", "pickle.load", "pickle.loads", "os.system") or name.endswith("exec_module"):
                dangerous.add((path.relative_to(ROOT / "src" / "regard").as_posix(), name))
            if name != "torch.hub.get_dir":  # the name of a folder
                assert not name.startswith(("subprocess.", "urllib.", "requests.", "torch.hub.")), f"{path}: {name}"
    assert seen >= 4
    assert dangerous == {("laws/use.py", "pickle.load"), ("cli/loading.py", "spec.loader.exec_module")}
    unpicklers = [path.name for path in SOURCES if "pickle.Unpickler" in path.read_text(encoding="utf-8")]
    assert unpicklers == ["cifar.py"]


class Payload:
    """What a pickle asks for: to make a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def as_checkpoint(root: Path, payload: Payload) -> Callable[[], object]:
    content = io.BytesIO()
    torch.save({"facts": payload}, content)
    (root / "checkpoint.pt").write_bytes(digests.sealed(content.getvalue()))
    return lambda: checkpoints.read(root / "checkpoint.pt", {})


def as_weights(name: str, **options: bool) -> Callable[[Path, Payload], Callable[[], object]]:
    def written(root: Path, payload: Payload) -> Callable[[], object]:
        torch.save({"weight": payload}, root / name, **options)
        return lambda: published.load(root / name)

    return written


def as_array(payload: Payload) -> bytes:
    array = io.BytesIO()
    np.lib.format.write_array(array, np.array([payload], dtype=object), allow_pickle=True)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("images.npy", array.getvalue())
    return digests.sealed(archive.getvalue())


def as_gallery(root: Path, payload: Payload) -> Callable[[], object]:
    (root / "gallery.npz").write_bytes(as_array(payload))
    return lambda: shots(root / "gallery.npz", [], {}, [])


def as_scores(root: Path, payload: Payload) -> Callable[[], object]:
    (root / "trials" / "se-0").mkdir(parents=True)
    (root / "trials" / "se-0" / "images.npz").write_bytes(as_array(payload))
    return lambda: Folder(root).scores("se", [0])


def as_colours(root: Path, payload: Payload) -> Callable[[], object]:
    (root / "batch").write_bytes(pickle.dumps({b"data": payload}))
    return lambda: cifar.read(root / "batch")


WAYS = {
    "checkpoint": as_checkpoint,
    "weights .pth": as_weights("file.pth"),
    "weights .bin of old": as_weights("file.bin", _use_new_zipfile_serialization=False),
    "gallery": as_gallery,
    "scores": as_scores,
    "CIFAR": as_colours,
}


@pytest.mark.parametrize("way", WAYS)
def test_no_code_in_a_file_is_run(tmp_path, way):
    assert not pickle.loads(pickle.dumps(Payload(tmp_path / "proof")))
    (tmp_path / "proof").rmdir()  # the payload works, where it is not refused
    read = WAYS[way](tmp_path, Payload(tmp_path / "proof"))
    with pytest.raises(ValueError):
        read()
    assert not (tmp_path / "proof").exists()


@pytest.fixture
def offline(monkeypatch):
    """Every connection is an error that no reader expects."""

    class Connects(BaseException):
        pass

    def refuse(*given: object, **named: object) -> None:
        raise Connects(given)

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def described(root: Path, backbone: str, **options: object) -> Path:
    """A file of weights whose description names this backbone."""
    about = {
        "format": 2, "version": regard.__version__, "entry": "se", "arguments": {}, "normalise": None,
        "image": [3, 32, 32], "attached": {"backbone": backbone, "classes": 7, "after": ["layer1*"], **options},
    }  # fmt: skip
    path = root / "model.safetensors"
    path.write_bytes(save({"x": torch.zeros(3)}, {"regard": json.dumps(about)}))
    return path


@pytest.mark.parametrize("backbone", ["hf-hub:timm/resnet18.a1_in1k", "hf_hub:x/y", "local-dir:.", "https://x.org/y"])
def test_a_description_cannot_name_a_network_elsewhere(tmp_path, offline, backbone):
    with pytest.raises((LookupError, ValueError), match="no backbone"):
        open_network(weights=described(tmp_path, backbone))


@pytest.mark.parametrize(
    "options",
    [{"checkpoint_path": "other.pth"}, {"pretrained": True}, {"pretrained_cfg": {"url": "https://x.org/y.pth"}}],
    ids=["checkpoint_path", "pretrained", "pretrained_cfg"],
)
def test_a_description_cannot_ask_for_another_file(tmp_path, offline, options):
    with pytest.raises(ValueError, match=r"model\.safetensors.*(refused|damaged)"):
        open_network(weights=described(tmp_path, "test_resnet", options=options))


def test_looking_needs_no_network(tmp_path, offline):
    from PIL import Image

    Image.new("RGB", (40, 40), "red").save(tmp_path / "photo.png")
    looks = regard.look(tmp_path / "photo.png", "se", backbone="test_resnet", out=tmp_path / "out")
    assert len(looks.pictures) == 1


def test_the_recipes_that_load_published_weights_are_named():
    loading = set()
    for path in (ROOT / "src" / "regard" / "papers").glob("*/recipe.py"):
        text = path.read_text(encoding="utf-8")
        shared = ("training.segmentation", "training.captioning")
        if "start_from(" in text and not any(room in text for room in shared):
            loading.add(path.parent.name)
    assert loading == {"gain", "ra_cnn", "saliency_net", "task_partition", "top_down"}
    named = (
        "`ra-cnn`, `salient-objects`, `fixations`, `gain`, `sec`, `task-partition`, `top-down`, `top-down-vqa` and the "
        "recipes for segmentation and captioning"
    )
    assert named in " ".join(TEXT.split())


def test_formats_and_the_limit_of_images_are_those_that_are_named():
    assert f"{', '.join(images.FORMATS[:-1])} and {images.FORMATS[-1]} alone" in TEXT
    assert f"up to {images.PIXEL_LIMIT // 10**6} megapixels" in TEXT


def test_the_policy_of_a_report_forbids_connections_and_other_scripts():
    page = (ROOT / "src" / "regard" / "report" / "template.html").read_text(encoding="utf-8")
    policy = page.split('http-equiv="Content-Security-Policy" content="')[1].split('"')[0]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["script-src"] == "'sha256-{{ script_hash }}'"
    assert set(rules) <= {"default-src", "img-src", "style-src", "script-src"}
    assert rules["img-src"] == "data:"
    assert "autoescape=True" in (ROOT / "src" / "regard" / "report" / "page.py").read_text(encoding="utf-8")


def test_the_page_is_found():
    assert "(SECURITY.md)" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "security advisory form" in TEXT and "regard check PATH.py:CLASS` runs" in TEXT
