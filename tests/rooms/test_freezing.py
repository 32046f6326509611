"""A frozen backbone: what learns, what stays, and the options of `train` and `compare` that say so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from regard import attach, catalog, cli
from regard.catalog import recipes
from regard.comparing import AUGMENTS, FREEZE, USUAL, Comparison
from regard.comparing import trial as trials
from regard.data import presets
from regard.tasks.classify import Classify
from regard.training import freezing, running
from regard.training.loop import fit
from regard.training.plan import OPTIMIZERS, Plan


class Net(nn.Module):
    """A stage, dropout and a head; the norm without weights has statistics all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.bn = nn.BatchNorm2d(8)
        self.plain = nn.BatchNorm2d(8, affine=False)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.plain(self.bn(self.conv(x))).relu().mean((2, 3)))


class Dots(torch.utils.data.Dataset):
    def __len__(self):
        return 11

    def __getitem__(self, i):
        return torch.rand((3, 12, 14), generator=torch.Generator().manual_seed(i)), i % 5


def attached() -> nn.Module:
    torch.manual_seed(0)
    return attach(Net(), "cbam", after="plain", reduction=2, identity=True, example=torch.rand(1, 3, 12, 14))


def test_attention_and_classifier_learn_and_nothing_else_moves() -> None:
    model = attached()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    names = freezing.learning(model, 5, ["plain.attention_alpha"])
    assert set(names) == {"plain.attention", "plain.attention_alpha", "head"}
    seen = []
    model.bn.register_forward_hook(lambda module, inputs, output: seen.append(module.training))
    with freezing.frozen(model, names):
        learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert learned == {name for name, _ in model.named_parameters() if name.startswith(("plain.", "head."))}
        fit(model, Classify(5), Dots(), Plan(epochs=3, batch_size=4, lr=0.1))
    assert not any(seen), "a frozen batch norm works as in evaluation"
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {"head.weight", "plain.attention_alpha", "plain.attention.expand.weight"} <= changed
    assert all(name.startswith(("plain.attention", "head.")) for name in changed)
    assert "plain.attention.norm.running_mean" in changed, "what is attached learns its statistics"
    assert all(parameter.requires_grad for parameter in model.parameters()) and model.bn.training
    seen.clear()
    model.train()(torch.rand(4, 3, 12, 14))
    assert seen == [True], "afterwards everything is as it was"


def test_what_was_frozen_before_stays_frozen() -> None:
    model = attached()
    model.head.bias.requires_grad_(False)
    with freezing.frozen(model, ("head",)):
        assert [name for name, parameter in model.named_parameters() if parameter.requires_grad] == ["head.weight"]
    assert not model.head.bias.requires_grad and model.conv.weight.requires_grad


def test_the_classifier_is_told_by_timm_or_by_its_outputs() -> None:
    assert freezing.classifiers(timm.create_model("test_resnet", num_classes=7), 7) == ("fc",)
    assert freezing.classifiers(timm.create_model("deit_tiny_distilled_patch16_224", num_classes=7), 7) == (
        "head", "head_dist",
    )  # fmt: skip
    assert freezing.classifiers(Net(), 5) == ("head",)
    assert freezing.classifiers(nn.Sequential(nn.Linear(4, 5), nn.Conv2d(5, 5, 1)), 5) == ("1",)
    with pytest.raises(ValueError, match="Net has no layer of 9 outputs"):
        freezing.classifiers(Net(), 9)
    with (
        pytest.raises(ValueError, match="no module or parameter 'tail' to train"),
        freezing.frozen(Net(), ["tail"]),
    ):
        pass


# ---- options of a comparison


def test_every_optimizer_has_its_usual_rates() -> None:
    assert set(USUAL) == set(OPTIMIZERS) and FREEZE == freezing.FREEZE
    for name, usual in USUAL.items():
        assert usual.fine == pytest.approx(usual.lr / 10)
        plan = trials.plan_of(Comparison(optimizer=name), 3, None)
        assert (plan.optimizer, plan.lr, plan.weight_decay, plan.seed) == (name, usual.lr, usual.weight_decay, 3)


def test_published_weights_that_learn_have_a_lower_rate() -> None:
    assert Comparison().lr == 0.003 and Comparison(pretrained=True).lr == 0.0003
    assert Comparison(pretrained=True, freeze="backbone").lr == 0.003, "what learns starts at random"
    assert Comparison(pretrained=True, lr=0.02).lr == 0.02
    assert Comparison(optimizer="sgd", pretrained=True).lr == 0.003
    assert Comparison(weight_decay=0.0).weight_decay == 0 and Comparison(optimizer="sgd").weight_decay == 1e-4


def test_augmentation_by_name_or_by_function() -> None:
    assert trials.plan_of(Comparison(), 0, None).augment is None
    assert trials.plan_of(Comparison(augment="light"), 0, None).augment is presets.light
    assert trials.plan_of(Comparison(augment=presets.timm), 0, None).augment is presets.timm
    assert tuple(presets.PRESETS) == AUGMENTS
    with pytest.raises(ValueError, match="augment='heavy': none, light, timm are accepted"):
        Comparison(augment="heavy")


def run(*words: object) -> int:
    try:
        cli.main([str(word) for word in words])
    except SystemExit as end:
        return end.code or 0
    return 0


@pytest.mark.slow
def test_compare_takes_the_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "digits", "--attention", "eca@layer2", "--seeds", 1, "--epochs", 1, "--train-size", 20,
             "--test-size", 20, "--workers", 1, "--optimizer", "sgd", "--augment", "timm", "--freeze", "backbone",
             "--weight-decay", 0.01, "--out", tmp_path / "out"]  # fmt: skip
    assert run(*words) == 0
    settings = json.loads((tmp_path / "out" / "run.json").read_text())["settings"]
    wanted = {"optimizer": "sgd", "augment": "timm", "freeze": "backbone", "weight_decay": 0.01, "lr": 0.03}
    assert wanted.items() <= settings.items()
    command = json.loads((tmp_path / "out" / "run.json").read_text())["command"]
    assert "--optimizer sgd --weight-decay 0.01 --augment timm --freeze backbone" in command and "--lr" not in command
    assert "with the augmentation timm" in " ".join(capsys.readouterr().out.split())
    for option, value, said in (
        ("--optimizer", "sdg", "optimizer='sdg'"),
        ("--augment", "heavy", "augment='heavy'"),
        ("--freeze", "head", "freeze='head'"),
        ("--weight-decay", "-1", "weight_decay=-1.0"),
        ("--augment", "none", "holds a comparison with augment = 'timm', now it is 'none'"),
    ):
        assert run(*words, option, value) == 1
        assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare", "--attention", "cbam(ordr=parallel)"], "no argument 'ordr'; did you mean order"),
        (["compare", "--attention", "se, cbamm@layer3"], "no entry 'cbamm'"),
        (["compare", "--optimizer", "sdg"], "optimizer='sdg'"),
        (["compare", "--augment", "heavy"], "augment='heavy'"),
        (["compare", "--freeze", "head"], "freeze='head'"),
        (["train", "cbam-imagenet", "--optimizer", "sdg"], "--optimizer='sdg'"),
        (["train", "cbam-imagenet", "--augment", "heavy"], "--augment='heavy'"),
    ],
)
def test_a_mistake_is_answered_before_torch_is_loaded(words: list[str], said: str) -> None:
    code = f"import sys; from regard import cli\ntry: cli.main({words!r})\nfinally: print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and ended.stdout.strip() == "False" and said in ended.stderr, ended


# ---- options of a recipe


def test_a_plan_changes_by_name() -> None:
    plan = Plan(epochs=2, optimizer="sgd", options={"momentum": 0.5, "nesterov": False})
    assert running.changed(plan, None) == plan
    assert running.changed(plan, {"augment": "light"}).augment is presets.light
    assert running.changed(running.changed(plan, {"augment": "light"}), {"augment": "none"}).augment is None
    assert running.changed(plan, {"optimizer": "sgd"}).options == plan.options
    assert running.changed(plan, {"optimizer": "adam", "weight_decay": 0.0}).options == {}
    with pytest.raises(ValueError, match="augment='heavy'"):
        running.changed(plan, {"augment": "heavy"})


def test_train_takes_the_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ["train", "cbam-imagenet", "--tiny", "--epochs", 1, "--out", out]
    changes = ["--optimizer", "adam", "--weight-decay", 0.001, "--augment", "light", "--freeze", "backbone"]
    assert run(*words, *changes) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["changes"] == {
        "epochs": 1, "optimizer": "adam", "weight_decay": 0.001, "augment": "light", "freeze": "backbone",
    }  # fmt: skip
    trained = load_file(out / "model.safetensors")
    network = catalog.create(result["network"]["entry"], **result["network"]["arguments"])
    learning = freezing.learning(network, 10)
    moved = {name for name, value in trained.items() if name.endswith("running_mean") and value.any()}
    assert any("spatial" in name or "norm" in name for name in moved), "the statistics of CBAM's own norm"
    assert all(any(name.startswith(f"{own}.") for own in learning) for name in moved)
    before = (out / "model.safetensors").read_bytes()
    assert run(*words, *changes) == 0 and (out / "model.safetensors").read_bytes() == before
    capsys.readouterr()
    assert run(*words, *changes[:-2]) == 1
    assert "learning" in capsys.readouterr().err
    assert run(*words, "--freeze", "head") == 1
    assert "--freeze='head'" in capsys.readouterr().err


def test_freezing_needs_a_task_with_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = next(listing.name for listing in recipes.listings() if listing.system == "saliency_net")
    assert run("train", name, "--tiny", "--freeze", "backbone", "--out", tmp_path / "out") == 1
    assert "freeze='backbone': a task with classes is needed" in " ".join(capsys.readouterr().err.split())
