"""`regard look`: what comes with the library, what a photograph alone gets, what is said first, what is predicted."""

from __future__ import annotations

import importlib.resources
import json
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional

import regard
from regard import backbones, cli
from regard.catalog import recipes
from regard.data.batches import normalised
from regard.looking import examples, photographs
from regard.metrics.localisation import energy, pointing
from regard.saved.description import Attached, Trained, trials
from regard.saved.opening import open_network
from regard.training import running
from regard.training.recipe import built

ROOT = Path(__file__).parents[2]
SITES = ["layer4.0.bn2"]


def run(*words: object) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    assert not end.value.code


def fails(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    assert end.value.code
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.effect_noise((90, 70), 60).convert("RGB").save(path)
    return path


def saved(folder: Path, names: tuple[str, ...], entry: str = "se") -> Path:
    """The folder of a trial with attention in a small backbone of three classes, as a comparison writes it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = backbones.build("test_resnet", classes=3)
        regard.attach(model, entry, after=SITES, example=torch.zeros(1, 3, 64, 64))
        for parameter in model.parameters():
            parameter.data += 0.05 * torch.randn(parameter.shape)
    what = Trained(
        entry=entry,
        normalise=((0.5,), (0.25,)),
        image=(3, 64, 64),
        class_names=names,
        attached=Attached(backbone="test_resnet", classes=3, after=SITES),
    )
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "model.safetensors", what.metadata())
    return folder


def red(path: Path) -> np.ndarray:
    """Which rows of a picture begin with the colour of a warning."""
    return (np.asarray(Image.open(path).convert("RGB"))[:, 0] == (164, 30, 34)).all(-1)


# ---- the network that comes with the library


def test_the_file_is_part_of_the_package_and_says_how_it_was_trained() -> None:
    resource = importlib.resources.files("regard").joinpath(examples.FILE)
    assert resource.is_file() and examples.weights().samefile(str(resource))
    assert 100_000 < examples.weights().stat().st_size < 600_000
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["regard"]
    assert any(fnmatch(examples.FILE, pattern) for pattern in patterns), "the wheel would lack it"
    with safe_open(examples.weights(), framework="pt") as file:
        facts = json.loads(file.metadata()["regard"])
    assert facts["recipe"] == examples.COMMAND.split()[-1] and not facts["tiny"]
    assert facts["class_names"] == list("0123456789")


def test_without_arguments_a_trained_network_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("look", "--out", tmp_path / "o")
    *predictions, written = capsys.readouterr().out.splitlines()
    assert written == str(tmp_path / "o" / "digits-gated_sononet.png")
    assert [line.partition(":")[0] for line in predictions] == [f"digit {i}, image {i}" for i in range(4)]
    assert not red(tmp_path / "o" / "digits-gated_sononet.png").any()
    looks = regard.look(out=tmp_path / "o")
    assert looks.trained and not looks.untrained and looks.network == "gated_sononet"
    assert sum(name.split()[1][0] == best[0][0] for name, best in looks.predictions) >= 3
    for _, best in looks.predictions:
        assert len(best) == 3 and 1 >= best[0][1] >= best[1][1] >= best[2][1] >= 0
    assert looks.pictures == (tmp_path / "o" / "digits-gated_sononet-2.png",), "nothing is overwritten"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_its_map_lies_on_the_digit(seed: int) -> None:
    """On images that are drawn anew: against the area, a spot in the centre, and the gates of another image."""
    network, new = open_network(weights=examples.weights()), examples.images(150, seed=seed)
    x = normalised(new.images(range(150)), network.normalise)
    regions = torch.stack([new.region(i) for i in range(150)])
    with torch.no_grad(), regard.watch(network.model) as maps:
        right = network.model(x).argmax(1) == torch.tensor(new.labels)
    assert right.double().mean() > 0.7
    along = torch.linspace(-1, 1, 48)
    centre = torch.exp(-2 * (along[:, None] ** 2 + along**2)).expand(150, -1, -1)
    area = regions.double().mean().item()
    fine, coarse = (gate[:, 0] for (gate,) in maps.values())
    assert fine.shape[1:] == (12, 12) and coarse.shape[1:] == (6, 6)
    assert energy(fine, regions).mean() > 1.5 * area
    assert energy(coarse, regions).mean() > 4 * area
    assert energy(coarse, regions).mean() > 2 * energy(centre, regions).mean()
    for own in (fine, coarse):
        other = own.roll(10, 0)  # the same digit, elsewhere
        assert energy(own, regions).mean() > 1.2 * energy(other, regions).mean()
        assert pointing(own, regions).mean() > pointing(other, regions).mean() + 0.25
    assert pointing(coarse, regions).mean() > pointing(centre, regions).mean() + 0.1


def test_its_images_are_none_of_the_training() -> None:
    from regard.data import digits

    new = examples.images(20, seed=0)
    training = digits.load(image_size=None, seed=0, train_size=20, test_size=20)
    assert {s.tobytes() for s in new.sources} == {s.tobytes() for s in training.test.sources}
    assert not {s.tobytes() for s in new.sources} & {s.tobytes() for s in training.train.sources}
    assert not torch.equal(new.images([0]), training.test.images([0]))
    assert not torch.equal(new.images([0]), examples.images(20, seed=1).images([0]))


# ---- a photograph alone


def test_a_photograph_alone_gets_saliency_that_needs_no_training(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("look", photograph, "--out", tmp_path / "o")
    said = capsys.readouterr().out
    assert said.startswith("No network is named, so this is Itti's saliency, which needs no training.")
    assert "andom" not in said and (tmp_path / "o" / "photo-itti.png").is_file()
    looks = regard.look(photograph, out=tmp_path / "o", image_size=80)
    assert looks.network == "itti" and looks.trained and looks.predictions == (("photo.png", ()),)


@pytest.mark.parametrize("given", [{"pretrained": True}, {"after": "*"}, {"heads": 3}])
def test_options_of_a_network_need_its_name(photograph: Path, given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no network is named"):
        regard.look(photograph, **given)


def test_a_network_needs_a_photograph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--with", "cbam"], ["--weights", saved(tmp_path / "run", ())], ["--image-size", 64]):
        assert "no photograph is named" in fails(capsys, "look", *words)
    with pytest.raises(ValueError, match="photographs=None: at least one photograph"):
        regard.look(None, "cbam")
    with pytest.raises(ValueError, match=r"photographs=\[\]: at least one photograph"):
        regard.look([])


# ---- what is said first, and what is predicted


def test_random_weights_are_said_before_everything_else(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["look", photograph, "--with", "cbam", "--on", "test_resnet", "--image-size", 64, "--out", tmp_path / "o"]
    run(*words)
    said = capsys.readouterr().out
    assert said.startswith(
        "Random weights: the whole network is untrained, so the maps say nothing about the photograph."
    )
    rows = red(tmp_path / "o" / "photo-cbam.png")
    assert rows[:40].all() and not rows[60:].any(), "a red band above the title"
    looks = regard.look(photograph, "cbam", backbone="test_resnet", image_size=64, out=tmp_path / "o")
    assert looks.untrained == "the whole network" and looks.predictions == (("photo.png", ()),)


def test_attention_without_weights_on_trained_ones_is_said_too(photograph: Path, tmp_path: Path) -> None:
    model = backbones.build("test_resnet", classes=1000)
    save_file(model.state_dict(), tmp_path / "backbone.safetensors")
    looks = regard.look(
        photograph, "se", backbone="test_resnet", image_size=64, weights=tmp_path / "backbone.safetensors",
        out=tmp_path / "o",
    )  # fmt: skip
    assert looks.untrained == "the attention" and red(looks.pictures[0])[:40].all()


def test_the_prediction_names_the_classes(photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = saved(tmp_path / "run", ("cat", "dog", "elk"))
    looks = regard.look(photograph, weights=folder, out=tmp_path / "o")
    (name, best), network = looks.predictions[0], open_network(weights=folder)
    with Image.open(photograph) as picture:
        square = picture.crop((10, 0, 80, 70)).resize((64, 64), Image.Resampling.BICUBIC)
    x = torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        shares = network.model((x - 0.5) / 0.25).softmax(1)[0]
    assert name == "photo.png" and [one for one, _ in best] == [
        ("cat", "dog", "elk")[i] for i in shares.argsort(descending=True)
    ]
    assert [share for _, share in best] == pytest.approx(sorted(shares.tolist(), reverse=True), abs=0.03)
    run("look", photograph, "--weights", folder, "--out", tmp_path / "o")
    assert capsys.readouterr().out.startswith(f"photo.png: {best[0][0]} ({100 * best[0][1]:.0f} %), ")
    assert regard.look(photograph, weights=saved(tmp_path / "nameless", ()), out=tmp_path / "o").predictions[0][1] == ()


def test_a_prediction_is_written_with_what_counts() -> None:
    from regard.looking.results import listed

    assert listed((("cat", 0.62), ("dog", 0.374), ("elk", 0.006))) == "cat (62 %), dog (37 %)"
    assert listed((("cat", 0.9951), ("dog", 0.0049))) == "cat (>99 %)"
    assert listed((("a", 0.004), ("b", 0.003))) == "a (0 %)"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_a_narrow_type_are_looked_at_in_float32(
    photograph: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    model = regard.create_model("test_resnet", attention="cbam", num_classes=5).to(dtype)
    regard.save(model, tmp_path / "narrow.safetensors")
    looks = regard.look(photograph, weights=tmp_path / "narrow.safetensors", out=tmp_path / "o")
    assert looks.pictures[0].is_file() and not looks.untrained


@pytest.mark.parametrize(
    "name",
    ["ram-mnist", "ltpa-before", "stn-rotated", "attention-transfer", "gated-sononet", "se-imagenet", "spa-cifar"],
)
def test_recipes_of_classifiers_save_the_names_of_their_classes(name: str) -> None:
    what = running.describe(built(recipes.get(name), tiny=True))
    assert what is not None and tuple(what.class_names) == tuple("0123456789")


def test_several_heads_predict_together() -> None:
    from regard.looking.results import predicted

    network = open_network(weights=examples.weights())
    heads = tuple(torch.randn(1, 10, generator=torch.Generator().manual_seed(i)) for i in range(3))
    mean = torch.stack([functional.softmax(head[0].double(), 0) for head in heads]).mean(0)
    best = predicted(network, heads)
    assert [int(name) for name, _ in best] == mean.argsort(descending=True)[:3].tolist()
    assert best[0][1] == pytest.approx(mean.max().item())
    assert predicted(network, torch.zeros(1, 7)) == predicted(network, None) == ()


# ---- without attention: Grad-CAM


def bare(path: Path, names: tuple[str, ...] = ("cat", "dog", "elk")) -> Path:
    """The file of the row `none` of a comparison."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = backbones.build("test_resnet", classes=3)
    what = Trained(
        entry=None,
        normalise=((0.5,), (0.25,)),
        image=(3, 64, 64),
        class_names=names,
        attached=Attached(backbone="test_resnet", classes=3),
    )
    save_file(model.state_dict(), path, what.metadata())
    return path


def captions(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the pictures on each sheet that is drawn from now on."""
    sheets: list[list[str]] = []
    real = photographs.sheet

    def noted(pictures: list[Any], *rest: object, **more: Any) -> object:
        sheets.append([picture.name for picture in pictures])
        return real(pictures, *rest, **more)

    monkeypatch.setattr(photographs, "sheet", noted)
    return sheets


def test_a_backbone_without_attention_is_shown_through_gradcam(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets = captions(monkeypatch)
    run("look", photograph, "--on", "test_resnet", "--image-size", 64, "--out", tmp_path / "o")
    said = capsys.readouterr().out
    assert said.startswith("Random weights: the whole network is untrained")
    assert red(tmp_path / "o" / "photo-test_resnet.png")[:40].all()
    (names,) = sheets
    assert len(names) == 4 and all(name.startswith("Grad-CAM of class ") for name in names[1:])


def test_weights_without_attention_show_the_classes_that_they_predict(
    photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets, file = captions(monkeypatch), bare(tmp_path / "none.safetensors")
    looks = regard.look(photograph, weights=file, out=tmp_path / "o")
    ((name, best),) = looks.predictions
    assert looks.network == "test_resnet" and looks.trained and not looks.untrained and not looks.changed
    assert sheets[0] == [name, *(f"Grad-CAM of {one} ({100 * share:.0f} %)" for one, share in best)] and len(best) == 3
    assert looks.pictures[0].name == "photo-test_resnet.png" and not red(looks.pictures[0]).any()
    model = regard.load(file)
    assert type(model).__name__ == "ResNet" and model.fc.out_features == 3
    with pytest.raises(ValueError, match=r"is of a network without attention, not se: leave out --with"):
        regard.look(photograph, "se", weights=file)


def test_the_map_is_that_of_regard_gradcam(photograph: Path, tmp_path: Path) -> None:
    from regard.looking.explaining import Explainer

    network = open_network(weights=bare(tmp_path / "none.safetensors"))
    pixels = torch.randint(0, 256, (3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
    maps, returned = network.answer(pixels)
    assert not maps and returned.shape == (1, 3)
    ((key, (heat,)),) = Explainer(network, "DOG", "layer3").explain(pixels, maps, returned).items()
    x = (pixels[None].float() / 255 - 0.5) / 0.25
    expected = regard.gradcam(network.model, x, 1, "layer3", upsample=False)
    assert key.startswith("Grad-CAM of dog (") and expected.max() > 0
    torch.testing.assert_close(heat, expected)


def test_a_file_of_a_state_dict_says_how_many_classes_there_are(
    photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets = captions(monkeypatch)
    save_file(backbones.build("test_resnet", classes=2).state_dict(), tmp_path / "own.safetensors")
    looks = regard.look(
        photograph, backbone="test_resnet", weights=tmp_path / "own.safetensors", image_size=64, out=tmp_path / "o"
    )
    assert not looks.untrained and [name.split(" (")[0] for name in sorted(sheets[0][1:])] == [
        "Grad-CAM of class 0", "Grad-CAM of class 1"
    ]  # fmt: skip
    other = backbones.build("test_convnext", classes=2)
    save_file(other.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors does not fit test_resnet"):
        regard.look(photograph, backbone="test_resnet", weights=tmp_path / "other.safetensors", out=tmp_path / "o")


def test_a_network_of_the_catalogue_without_attention_is_shown_through_gradcam_too(
    photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets = captions(monkeypatch)
    looks = regard.look(
        photograph, "paper_network", kwargs={"name": "resnet20_cifar", "classes": 2}, image_size=32, out=tmp_path / "o"
    )
    assert looks.pictures[0].name == "photo-paper_network.png" and looks.untrained == "the whole network"
    assert sorted(sheets[0][1:]) == ["Grad-CAM of class 0", "Grad-CAM of class 1"]


def test_a_class_can_be_named_beside_attention(
    photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sheets, folder = captions(monkeypatch), saved(tmp_path / "run", ("cat", "dog", "elk"))
    run("look", photograph, "--weights", folder, "--out", tmp_path / "o")
    run("look", photograph, "--weights", folder, "--target", "dog", "--layer", "layer3", "--out", tmp_path / "o")
    assert sheets[1][:-1] == sheets[0] and sheets[1][-1].startswith("Grad-CAM of dog (")
    for words, message in [
        (["--target", "dgo"], "target='dgo': the network has no such class; did you mean dog"),
        (["--target", 3], "target=3: a class from 0 to 2 is needed"),
        (["--target", 1, "--layer", "layer9"], "layer='layer9': a module of ResNet is needed; near: layer"),
    ]:
        assert message in fails(capsys, "look", photograph, "--weights", folder, *words)
    message = fails(capsys, "look", photograph, "--target", "cat", "--out", tmp_path / "o")
    assert "target='cat': the network has no such class; the names of its classes are not known" in message
    assert "itti gives no class scores" in fails(capsys, "look", photograph, "--target", 1, "--out", tmp_path / "o")
    assert "no photograph is named" in fails(capsys, "look", "--target", 1)
    assert "after: test_resnet gets no attention" in fails(
        capsys, "look", photograph, "--on", "test_resnet", "--after", "layer4"
    )


# ---- the colours


def test_the_scale_is_an_option(photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, pictures = saved(tmp_path / "run", (), "sse"), []
    for scale in ("common", "own", "0,0.8"):
        run("look", photograph, "--weights", folder, "--scale", scale, "--out", tmp_path / "o")
        pictures.append(np.asarray(Image.open(capsys.readouterr().out.splitlines()[-1])))
    assert not any((pictures[a] == pictures[b]).all() for a, b in ((0, 1), (0, 2), (1, 2)))
    for wrong in ("wide", "1,0", "0,1,2", "nan,1", "0,nan", "0.5"):
        message = fails(capsys, "look", photograph, "--scale", wrong)
        assert f"--scale='{wrong}': common, own or two increasing numbers LOW,HIGH are accepted" in message


# ---- the folder of a comparison


def test_the_folder_of_a_comparison_names_its_trials(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("se-0", "se-1"):
        saved(tmp_path / "report" / "trials" / name, ())
    plain = tmp_path / "report" / "trials" / "plain-0"
    plain.mkdir()
    save_file({"weight": torch.zeros(3)}, plain / "model.safetensors")
    (tmp_path / "report" / "trials" / "se-2").mkdir()  # not finished
    found = trials(tmp_path / "report")
    assert [trial.name for trial in found] == ["se-0", "se-1"]
    message = fails(capsys, "look", photograph, "--weights", tmp_path / "report")
    assert f"is the folder of a comparison: name one of its trials, {found[0]}, {found[1]}" in message
    for trial in found:
        run("look", photograph, "--weights", trial, "--out", tmp_path / "o")


@pytest.mark.slow
def test_every_trial_but_plain_can_be_looked_at(photograph: Path, tmp_path: Path) -> None:
    regard.compare(
        "digits", attention="se, cbam(order=parallel)", backbone="test_resnet", epochs=1, seeds=1, train_size=20,
        test_size=20, workers=1, out=tmp_path / "report",
    )  # fmt: skip
    found = trials(tmp_path / "report")
    assert len(found) == 3 and all("plain" not in trial.name for trial in found)
    for trial in found:
        looks = regard.look(photograph, weights=trial, out=tmp_path / "o")
        assert looks.trained and not looks.untrained and not red(looks.pictures[0]).any()
        assert len(looks.predictions[0][1]) == 3 and {name for name, _ in looks.predictions[0][1]} < set("0123456789")


@pytest.mark.filterwarnings("default::regard.attaching.building.NarrowSite")
def test_a_warning_of_the_library_is_one_line(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("look", photograph, "--with", "se", "--on", "ghostnet_050", "--image-size", 64, "--out", tmp_path / "maps")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "reduction" in line]
    assert line.startswith("regard: se: its default reduction is too large for")
    assert ".py" not in line
