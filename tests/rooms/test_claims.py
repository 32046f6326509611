"""A paper's number stands only beside a score on its data with its network."""

from __future__ import annotations

import json

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.utils.data import TensorDataset

from regard.catalog import recipes
from regard.catalog.recipes import DATASETS
from regard.cli import main, tables
from regard.tasks.classify import Classify
from regard.training import running
from regard.training.claims import judged
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe


def of(classes: int, train: int, test: int, *, tiny: bool = False) -> Recipe:
    """A recipe with datasets of these sizes and no content to speak of."""
    first, second = (TensorDataset(torch.zeros(size, 0), torch.zeros(size)) for size in (train, test))
    phase = Phase(name="all", task=Classify(classes, errors=True), plan=Plan(epochs=1))
    return Recipe(build=nn.Identity, train=first, test=second, phases=(phase,), tiny=tiny)


def printed(claim: dict, scores: dict | None = None) -> str:
    console = Console(width=200)
    with console.capture() as caught:
        tables.scored(console, scores or {"error": 3.25, "single_error": 4.5}, claim)
    return caught.get()


def test_a_score_on_the_whole_dataset_compares():
    claim = judged(recipes.get("ram-mnist"), of(*DATASETS["MNIST"]))
    assert (claim["comparable"], claim["reason"]) == (True, "")
    assert printed(claim) == (
        "error: 3.25  paper: 1.12 (Table 1a, 6 glimpses, 8×8, 1 scale; 1.29 in arXiv v1)\nsingle_error: 4.5\n"
    )


def test_changed_settings_stand_beside_the_paper():
    claim = judged(recipes.get("se-imagenet"), of(*DATASETS["ImageNet"]), {"epochs": 1, "lr": 0.5})
    assert claim["comparable"]
    first = "error: 3.25  paper: 22.37 (README, SE-ResNet-50); here with changes: epochs=1, lr=0.5"
    assert printed(claim).splitlines()[0] == first


@pytest.mark.parametrize(
    ("name", "recipe", "reason"),
    [
        ("ram-mnist", of(10, 1258, 539, tiny=True), "the tiny variant, on embedded data"),
        (
            "transfer-none",
            of(10, 2000, 1000),
            "2,000 training and 1,000 test samples are not CIFAR-10, 50,000 and 10,000",
        ),
        ("spa-cifar", of(*DATASETS["CIFAR-10"]), "10 classes are not CIFAR-100, 100"),
        ("stn-rotated", of(*DATASETS["MNIST"]), "the paper has a larger network"),
    ],
)
def test_other_data_and_other_networks_do_not_compare(name, recipe, reason):
    claim = judged(recipes.get(name), recipe, {"epochs": 1})
    assert (claim["comparable"], claim["reason"]) == (False, reason)
    assert claim["value"] == recipes.get(name).claim.value, "result.json keeps the paper's number"
    assert printed(claim) == f"error: 3.25  paper: not comparable ({reason})\nsingle_error: 4.5\n"


def test_every_claim_is_on_a_known_dataset():
    claims = [listing.claim for listing in recipes.listings() if listing.claim is not None]
    of_networks = {"Kinetics-400", "Cityscapes"}  # whose claims depend on the network
    assert {claim.data for claim in claims} | of_networks == set(DATASETS)
    assert judged(recipes.get("salient-objects"), of(2, 5, 3)) is None


@pytest.mark.slow
def test_train_and_eval_print_no_number_of_the_paper_for_the_tiny_variant(tmp_path, capsys):
    out = tmp_path / "run"
    with pytest.raises(SystemExit) as end:
        main(["train", "stn-rotated", "--tiny", "--epochs", "1", "--out", str(out)])
    assert not end.value.code
    claim = json.loads((out / "result.json").read_text(encoding="utf-8"))["claim"]
    assert (claim["value"], claim["comparable"]) == (0.7, False)
    assert running.changes_of(out) == {"epochs": 1}
    with pytest.raises(SystemExit):
        main(["eval", "--weights", str(out)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error")]
    assert len(lines) == 2 and len(set(lines)) == 1
    assert lines[0].endswith("paper: not comparable (the tiny variant, on embedded data)") and "0.7" not in lines[0]


def test_changes_of_weights_without_a_readable_result_are_none(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert running.changes_of(tmp_path) == {}
    for content in ("", "[]", '{"changes": 3}', "[" * 100_000):
        (tmp_path / "result.json").write_text(content, encoding="utf-8")
        assert running.changes_of(tmp_path) == {}
