"""A run, opened again: what its file says, what `regard look`, `gaze` and `eval` make of it, and how they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import regard
from regard import catalog, cli, comparing
from regard import data as embedded
from regard.catalog import recipes
from regard.comparing import building, trial
from regard.data.batches import as_sample, loader
from regard.looking.photographs import look
from regard.papers.attention_transfer.network import WideResNet
from regard.papers.ram.network import RecurrentAttention
from regard.saved import description as trained
from regard.saved.opening import open_network
from regard.training import running
from regard.training.recipe import Recipe, built

SIZE = (90, 60)  # of the photograph, wider than high
RUNS = {
    "ram-translated": ("ram", [[0.1307], [0.3081]], [1, 24, 24]),
    "stn-rotated": ("stn_classifier", [[0.15], [0.3]], [1, 24, 24]),
    "attention-transfer": ("wide_resnet", [[0.3], [0.37]], [1, 16, 16]),
    "fixations": ("saliency_net", None, [3, 48, 48]),
    "dram-pairs": ("dram", [[0.1307], [0.3081]], [1, 32, 32]),
}
OPENED = [
    name if name in ("ram-translated", "stn-rotated") else pytest.param(name, marks=pytest.mark.slow) for name in RUNS
]


def run(*words: object) -> int:
    """The exit code of one command in this process."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    return int(end.value.code or 0)


def fails(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line with which a command fails."""
    capsys.readouterr()  # what came before, such as the progress of a training
    assert run(*words) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny variant that was trained for one epoch."""
    place = tmp_path_factory.mktemp("runs")

    def folder(name: str) -> Path:
        if not (place / name).exists():
            assert run("train", name, "--tiny", "--epochs", 1, "--out", place / name) == 0
        return place / name

    return folder


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE[1] // 6, SIZE[0] // 6, 3), np.uint8)
    Image.fromarray(pixels).resize(SIZE).save(path)
    return path


@contextmanager
def spied(kind: type[nn.Module]) -> Iterator[list[Tensor]]:
    """What networks of a class are given."""
    given: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any) -> None:
        if isinstance(module, kind):
            given.append(inputs[0].clone())

    handle = nn.modules.module.register_module_forward_pre_hook(keep)
    try:
        yield given
    finally:
        handle.remove()


def brought(path: Path, image: list[int], normalise: Any) -> Tensor:
    """The photograph as the recipe's images are, by other means than ours."""
    channels, height, width = image
    with Image.open(path) as picture:
        stretched = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    x = np.asarray(stretched).astype(np.float64).transpose(2, 0, 1) / 255
    x = x.mean(0, keepdims=True) if channels == 1 else x
    if normalise is not None:
        x = (x - np.array(normalise[0])[:, None, None]) / np.array(normalise[1])[:, None, None]
    return torch.from_numpy(x).float()[None]


def described(folder: Path, target: Path, **changes: Any) -> Path:
    """The run's weights with something else said of them; `None` leaves a fact out."""
    facts = json.loads((folder / "result.json").read_text())["network"] | changes
    left = {name: value for name, value in facts.items() if value is not ...}
    save_file(load_file(folder / "model.safetensors"), target, {"regard": json.dumps(left)})
    return target


# ---- a run is opened with nothing but its folder


@pytest.mark.parametrize("name", OPENED)
def test_a_run_opens_and_sees_photographs_as_it_saw_its_images(
    name: str, trained_once: Any, photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry, normalise, image = RUNS[name]
    folder = trained_once(name)
    facts = json.loads((folder / "result.json").read_text())["network"]
    assert (facts["entry"], facts["normalise"], facts["image"], facts["tiny"]) == (entry, normalise, image, True)
    capsys.readouterr()
    for weights in (folder, folder / "model.safetensors"):
        with spied(catalog.get(entry).load()) as given:
            assert run("look", photograph, "--weights", weights, "--out", tmp_path / "o") == 0
        expected = brought(photograph, image, normalise)
        assert len(given) == 1 and given[0].shape == expected.shape
        torch.testing.assert_close(given[0], expected, rtol=1e-5, atol=1e-5)
    told = capsys.readouterr().out
    assert "trained" not in told
    with Image.open(tmp_path / "o" / f"photo-{entry}.png") as sheet:
        assert sheet.width > 320


@pytest.mark.parametrize("name", OPENED)
def test_what_is_opened_is_what_was_trained(name: str, trained_once: Any) -> None:
    folder = trained_once(name)
    recipe = built(recipes.get(name), tiny=True)
    model, opened = running.load(recipe, folder).eval(), open_network(weights=folder)
    assert opened.trained and type(opened.model).__name__ in {type(part).__name__ for part in model.modules()}
    x = torch.rand(2, *RUNS[name][2], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = opened.model(x), model(x)
    assert torch.equal(ours, theirs) and ours.std() > 0


def test_the_drawing_is_on_the_photograph_and_not_on_what_the_network_saw(
    trained_once: Any, photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regard.looking import photographs as looking

    drawn: list[Tensor] = []
    draw = looking.draw
    monkeypatch.setattr(looking, "draw", lambda maps, image, **how: (drawn.append(image), draw(maps, image, **how))[1])
    look([photograph], weights=trained_once("ram-translated"), out=tmp_path)
    with Image.open(photograph) as picture:
        assert torch.equal((255 * drawn[0]).round().byte(), torch.from_numpy(np.array(picture)).permute(2, 0, 1))


def test_without_its_normalisation_a_network_sees_something_else(
    trained_once: Any, photograph: Path, tmp_path: Path
) -> None:
    folder = trained_once("ram-translated")
    with spied(RecurrentAttention) as given:
        for weights in (folder, described(folder, tmp_path / "raw.safetensors", normalise=None)):
            look([photograph], weights=weights, out=tmp_path)
    normal, raw = given
    torch.testing.assert_close(normal, (raw - 0.1307) / 0.3081, rtol=1e-6, atol=1e-6)
    assert raw.min() >= 0 and normal.min() < 0 and normal.max() > 1.5


def test_a_size_may_be_asked_for(trained_once: Any, photograph: Path, tmp_path: Path) -> None:
    with spied(RecurrentAttention) as given:
        look([photograph], weights=trained_once("ram-translated"), image_size=45, out=tmp_path)
    assert given[0].shape == (1, 1, 30, 45)
    torch.testing.assert_close(given[0], brought(photograph, [1, 30, 45], [[0.1307], [0.3081]]))


@pytest.mark.slow
def test_fixations_are_compared_with_a_run(
    trained_once: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = np.random.default_rng(0)
    content = {}
    for name in ("a", "b", "c"):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (40, 60, 3), np.uint8)).save(tmp_path / "images" / f"{name}.png")
        content[f"{name}.png"] = [draw.uniform((5, 5), (55, 35), (6, 2)).tolist() for _ in range(3)]
    (tmp_path / "fixations.json").write_text(json.dumps(content))
    sononet = ("gated_sononet", [[0.3], [0.25]], [1, 32, 32])
    for name, options in (("fixations", []), ("gated-sononet", ["--with", "gated_sononet"])):
        entry, normalise, image = RUNS.get(name, sononet)
        folder = trained_once(name)
        capsys.readouterr()
        with spied(catalog.get(entry).load()) as given:
            assert run("gaze", tmp_path, "--weights", folder, "--json", *options) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["trained"] and found["changed"] == [] and len(found["images"]) == 3
        expected = brought(tmp_path / "images" / "a.png", image, normalise)
        torch.testing.assert_close(given[0], expected, rtol=1e-5, atol=1e-5)
    with spied(catalog.get("saliency_net").load()) as given:
        assert run("gaze", tmp_path, "--weights", trained_once("fixations"), "--image-size", 90) == 0
    assert {tuple(x.shape) for x in given} == {(1, 3, 60, 90)}
    line = fails(capsys, "gaze", tmp_path, "--with", "itti", "--weights", trained_once("fixations"))
    assert "is of saliency_net, not itti" in line
    assert run("gaze", tmp_path, "--weights", trained_once("fixations"), "--kwargs", '{"density": false}') == 0
    assert "Not as trained: density=False (trained with True)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ram-translated", "attention-transfer"])
def test_a_run_is_scored_without_its_name(name: str, trained_once: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained_once(name)
    scores = json.loads((folder / "result.json").read_text())["scores"]
    capsys.readouterr()
    for words in ([], [name, "--tiny"]):
        assert run("eval", *words, "--weights", folder) == 0
        told = capsys.readouterr().out.splitlines()
        assert [line.partition("  ")[0] for line in told] == [f"{key}: {value:.4g}" for key, value in scores.items()]


# ---- what contradicts a run


def test_arguments_that_contradict_a_run_are_named(
    trained_once: Any, photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["look", photograph, "--weights", trained_once("ram-translated"), "--out", tmp_path / "o"]
    capsys.readouterr()
    assert run(*words, "--with", "ram", "--kwargs", '{"glimpses": 4, "hidden": 64}') == 0
    assert "trained" not in capsys.readouterr().out
    assert run(*words, "--kwargs", '{"glimpses": 7}') == 0
    assert "Not as trained: glimpses=7 (trained with 4)" in capsys.readouterr().out
    line = fails(capsys, *words, "--kwargs", '{"hidden": 65}')
    assert "does not fit ram, hidden=65 (trained with 64)" in line
    assert "unexpected keyword argument 'nonsense'" in fails(capsys, *words, "--kwargs", '{"nonsense": 1}')
    assert "is of ram, not dram: leave out --with" in fails(capsys, *words, "--with", "dram")
    assert "did you mean dram" in fails(capsys, *words, "--with", "drem")
    assert "ram is a full system" in fails(capsys, *words, "--on", "resnet18")


def test_a_run_is_not_scored_as_another(trained_once: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained_once("ram-translated")
    capsys.readouterr()
    assert run("eval", "ram-cluttered", "--tiny", "--weights", folder) == 0  # the same network, other images
    assert "patches=2, and the recipe has patches=1" in fails(
        capsys, "eval", "ram-mnist", "--tiny", "--weights", folder
    )
    line = fails(capsys, "eval", "stn-rotated", "--tiny", "--weights", folder)
    assert "entry='ram', and the recipe has entry='stn_classifier'" in line
    other = described(folder, tmp_path / "other.safetensors", normalise=[[0.5], [0.5]])
    assert "normalise=[[0.5], [0.5]], and the recipe has normalise=[[0.1307], [0.3081]]" in fails(
        capsys, "eval", "--weights", other
    )
    line = fails(capsys, "eval", "--weights", described(folder, tmp_path / "gone.safetensors", recipe="gone"))
    assert "no recipe 'gone'" in line


def test_weights_that_say_nothing_are_as_they_were(
    trained_once: Any, photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained_once("ram-translated")
    bare = tmp_path / "bare.safetensors"
    save_file(load_file(folder / "model.safetensors"), bare, {"format": "pt"})
    torch.save(load_file(bare), tmp_path / "bare.pth")
    capsys.readouterr()
    for weights in (bare, tmp_path / "bare.pth"):
        words = ["look", photograph, "--weights", weights, "--out", tmp_path / "o"]
        assert f"{weights} does not describe its network: give --with" in fails(capsys, *words)
        assert f"{weights} does not fit ram" in fails(capsys, *words, "--with", "ram")
        facts = json.loads((folder / "result.json").read_text())["network"]
        with spied(RecurrentAttention) as given:
            assert run(*words, "--with", "ram", "--kwargs", json.dumps(facts["arguments"])) == 0
        torch.testing.assert_close(given[0], brought(photograph, [1, *SIZE[::-1]], None))
        assert "does not name its recipe" in fails(capsys, "eval", "--weights", weights)
        capsys.readouterr()
    assert run("eval", "ram-translated", "--tiny", "--weights", bare) == 0
    capsys.readouterr()
    assert "has no model.safetensors" in fails(capsys, "look", photograph, "--weights", tmp_path)
    assert "no file" in fails(capsys, "eval", "--weights", tmp_path / "none")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entry": "ran"}, "has 'ran' of regard 0.1.0; .* has no such entry"),
        ({"entry": "cbam"}, "has 'cbam' of regard .* has no such system"),
        ({"attached": {"backbone": "x", "classes": 2, "after": ["a"], "identity": False}}, "no such attention for a"),
        ({"format": 3, "version": "3.0"}, r"was written by regard 3\.0, in a format that 0\.1\.0 cannot read"),
        ({"version": ...}, "is damaged: 'version' is missing"),
        ({"normalise": ...}, "is damaged: 'normalise' is missing"),
        ({"image": ...}, "is damaged: .*image"),
        ({"image": [1, 28]}, r"is damaged: image is \[1, 28\]"),
        ({"image": 5}, "is damaged: image is 5"),
        ({"normalise": [[0.1], [0.0]]}, r"is damaged: normalise is \[\[0\.1\], \[0\.0\]\]"),
        ({"normalise": [[0.1, 0.1], [0.3, 0.3]]}, "is damaged: normalise is"),
        ({"normalise": "much"}, "is damaged: normalise is 'much'"),
        ({"arguments": [3]}, r"is damaged: arguments is \[3\]"),
        ({"attached": {"backbone": "x"}}, "is damaged: .*classes"),
        ({"attached": [3]}, "is damaged"),
        ({"prefix": 3}, "is damaged: prefix is 3"),
        ({"prefix": "pupil."}, "has no key that starts with 'pupil.'"),
        ({"tiny": "yes"}, "is damaged: tiny is 'yes'"),
        ({"image": [5, 24, 24]}, "channels=5: 3 channels, or 1 for grey, are needed"),
        ({"arguments": {"policy": "bold"}}, "of regard 0.1.0: ram cannot be built: policy='bold'"),
        ({"arguments": {"from_later": 1}}, "of regard 0.1.0: ram cannot be built: .*from_later"),
    ],
)
def test_a_description_that_is_wrong_is_one_clear_line(
    change: dict[str, Any],
    message: str,
    trained_once: Any,
    photograph: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = trained_once("ram-translated")
    if "channels" in message:
        arguments = json.loads((folder / "result.json").read_text())["network"]["arguments"]
        change = {**change, "arguments": {name: arguments[name] for name in arguments if name != "channels"}}
    weights = described(folder, tmp_path / "x.safetensors", **change)
    capsys.readouterr()
    line = fails(capsys, "look", photograph, "--weights", weights)
    assert line.startswith(("regard: ram", f"regard: {weights}")), line
    with pytest.raises((ValueError, LookupError), match=message):
        open_network(weights=weights)


def test_files_that_are_no_weights_are_named(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"no weights")
    assert "cannot be read as safetensors" in fails(capsys, "look", photograph, "--weights", tmp_path / "a.safetensors")
    for text in ("{", "3", "[]", "null"):
        save_file({"a": torch.zeros(1)}, tmp_path / "b.safetensors", {"regard": text})
        line = fails(capsys, "look", photograph, "--with", "ram", "--weights", tmp_path / "b.safetensors")
        assert "the description of its network is damaged" in line


# ---- every recipe


DRAWN = ("rga", "ianet", "iaunet", "iaunet-video", "every-picture", "rnn-search", "transformer")  # seconds each


@pytest.mark.parametrize(
    "listing",
    [
        pytest.param(listing, id=listing.name, marks=[pytest.mark.slow] if listing.name in DRAWN else [])
        for listing in recipes.listings()
    ],
)
def test_every_recipe_knows_its_network(listing: recipes.Listing, tmp_path: Path) -> None:
    recipe = built(listing, tiny=True)
    found = running.describe(recipe, name=listing.name)
    assert found is not None and found.entry == listing.system and found.recipe == listing.name and found.tiny
    plan = recipe.phases[-1].plan
    (batch,) = loader(recipe.train, [[(0, 0), (0, 1)]], augment=plan.augment, seed=plan.seed)
    if found.image is not None or "image" in batch:  # regions and sentences are no images
        assert found.image is not None
        assert tuple(batch["image"].shape[1:]) == tuple(found.image) == tuple(as_sample(recipe.test[0])["image"].shape)
    assert found.normalise == recipe.phases[-1].plan.normalise
    assert all(phase.plan.normalise == found.normalise for phase in recipe.phases)
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors", found.metadata())
    read = trained.read(tmp_path / "x.safetensors")
    assert read is not None and read.facts() == found.facts()
    with torch.device("meta"):
        ours = catalog.create(read.entry, **read.arguments).state_dict()
    theirs = recipe.build().state_dict()
    own = {key.removeprefix(found.prefix): value for key, value in theirs.items() if key.startswith(found.prefix)}
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in own.items()}
    assert (found.prefix == "") == (len(own) == len(theirs))


def test_arguments_are_those_of_the_constructor_with_its_defaults() -> None:
    build = partial(partial(WideResNet, width=0.5), 3, classes=7)
    expected = {"channels": 3, "classes": 7, "depth": 16, "width": 0.5, "stem_stride": 1}
    found = trained.arguments(build)
    assert found is not None and found[0] == "wide_resnet"
    assert {name: found[1][name] for name in expected if name != "depth"} | {"depth": 16} == expected
    assert set(found[1]) == set(expected)
    assert trained.arguments(lambda: WideResNet(3)) is None
    with pytest.raises(ValueError, match=r"wide_resnet: classes=.*: a JSON value is needed"):
        trained.arguments(partial(WideResNet, classes=torch.nn.ReLU))


def test_a_network_from_elsewhere_is_trained_all_the_same(tmp_path: Path) -> None:
    listing = recipes.get("stn-rotated-plain")
    recipe = built(listing, tiny=True)
    own = Recipe(
        build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(24 * 24, 10)),
        train=recipe.train, test=recipe.test, phases=recipe.phases, task=recipe.task,
    )  # fmt: skip
    result = running.train(listing, own, out=tmp_path, changes={"epochs": 1})
    assert result["network"] is None and trained.read(tmp_path / "model.safetensors") is None
    assert running.evaluate(own, running.load(own, tmp_path)) == result["scores"]


# ---- trials of a comparison


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one trial of CBAM, attached as the identity to two sites, and of one of the bare backbone."""
    place = tmp_path_factory.mktemp("compared")
    settings = comparing.Comparison(
        attention=("cbam",), seeds=1, epochs=1, image_size=53, train_size=32, test_size=20, identity=True,
        after=("layer2.*.conv2", "layer3.*.conv2"),
    )  # fmt: skip
    images = embedded.load("digits", image_size=53, train_size=32, test_size=20)
    blueprint = building.survey(settings, images)
    for name in ("cbam", "none"):
        outcome = trial.run(
            settings, comparing.Trial(name, 0), images, blueprint, folder=None, device=torch.device("cpu"),
            on_step=lambda done, total: None,
        )  # fmt: skip
        (place / name).mkdir()
        (place / name / "model.safetensors").write_bytes(outcome.weights)
    return place


@pytest.mark.slow
def test_a_trial_of_a_comparison_opens_alike(
    compared: Path, photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["look", photograph, "--weights", compared / "cbam", "--out", tmp_path / "o"]
    opened = open_network(weights=compared / "cbam")
    assert regard.load(compared / "cbam").state_dict().keys() == opened.model.state_dict().keys()
    state, saved = opened.model.state_dict(), load_file(compared / "cbam" / "model.safetensors")
    assert set(state) == set(saved) and all(torch.equal(state[key], saved[key]) for key in saved)
    assert any(key.endswith("attention_alpha") for key in state) and opened.size == (53, 53)
    with spied(type(opened.model)) as given:
        assert run(*words) == 0
        assert run(*words, "--with", "cbam", "--on", "test_resnet", "--image-size", 61) == 0
    assert "trained" not in capsys.readouterr().out
    given = [x for x in given if x.std() > 0]  # attaching tries a black image
    assert [x.shape[2:] for x in given] == [(53, 53), (61, 61)]
    middle = tmp_path / "middle.png"
    with Image.open(photograph) as picture:
        picture.resize((53, 53), Image.Resampling.BILINEAR, box=(15, 0, 75, 60)).save(middle)
    mean, std = opened.normalise
    torch.testing.assert_close(given[0], brought(middle, [3, 53, 53], [mean, std]), rtol=1e-5, atol=1e-5)
    for option, value in (("--on", "resnet18"), ("--after", "*"), ("--kwargs", '{"reduction": 2}')):
        line = fails(capsys, *words, option, value)
        assert "already describes cbam on test_resnet with its options: leave out" in line and option.strip("-") in line
    assert "leave out pretrained" in fails(capsys, *words, "--pretrained")
    assert "is of cbam, not se" in fails(capsys, *words, "--with", "se")
    words[3] = compared / "none"  # timm's network alone, shown by Grad-CAM
    assert run(*words) == 0
