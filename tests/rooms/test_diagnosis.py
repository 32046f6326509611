"""Predicted diagnoses: scores, intervals over patients, the loss, the recipes, and a look at one patient."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from typer.testing import CliRunner

from regard.catalog import recipes
from regard.cli import app
from regard.data.batches import Batch
from regard.data.drawn_histories import CODES, SEVERITIES, as_patients, drawn_histories, write
from regard.data.visits import Codes, History, Visit, Visits
from regard.looking.patients import open_predictor, pictures, predict
from regard.metrics.visits import VisitScores
from regard.papers.dipole.network import DipoleNetwork
from regard.papers.dipole.recipe import balanced, diagnose, histories
from regard.saved.description import Trained
from regard.tasks.diagnose import FREQUENT, REPEATED, Beside, Diagnose
from regard.training.loop import fit
from regard.training.recipe import built
from regard.training.running import evaluate

SCORES = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.4, 0.1, 0.3, 0.2]])
TRUTH = torch.tensor([[1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 1, 0]])
COUNTS, PATIENTS = torch.tensor([2, 3, 3]), torch.tensor([7, 7, 9])


def test_precision_is_of_visits_and_accuracy_of_codes() -> None:
    metric = VisitScores(4, ks=(1, 2, 5))
    metric.update({"": SCORES}, TRUTH, COUNTS, PATIENTS)
    found = metric.compute()
    assert found["precision@1"] == pytest.approx((1 / 1 + 0 / 1 + 1 / 1) / 3)
    assert found["precision@2"] == pytest.approx((1 / 2 + 0 / 2 + 2 / 2) / 3)
    assert found["precision@5"] == pytest.approx((2 / 2 + 1 / 3 + 3 / 3) / 3)  # all four categories
    assert found["accuracy@1"] == pytest.approx(2 / 8) and found["accuracy@2"] == pytest.approx(3 / 8)
    assert found["accuracy@5"] == pytest.approx(6 / 8)  # two categories have no score
    assert found["visits"] == 3 and found["patients"] == 2
    for average, columns in (("micro", slice(None)), ("macro", slice(3))):  # the last category does not occur
        area = average_precision_score(TRUTH[:, columns].numpy(), SCORES[:, columns].numpy(), average=average)
        assert found[f"auprc_{average}"] == pytest.approx(area)


def test_intervals_are_over_patients_and_gains_are_paired() -> None:
    metric = VisitScores(4, ks=(1,), draws=400)
    metric.update({"": SCORES, "other": SCORES.flip(1)}, TRUTH, COUNTS, PATIENTS)
    found = metric.compute()
    # either patient alone, or both: of patient 7 half of two visits is right, of patient 9 the only one
    assert (found["precision@1 low"], found["precision@1 high"]) == (0.5, 1.0)
    assert found["other: precision@1"] == pytest.approx(1 / 3)
    assert found["gain over other: precision@1"] == pytest.approx(1 / 3)
    assert (found["gain over other: precision@1 low"], found["gain over other: precision@1 high"]) == (0.0, 1.0)
    halves = [VisitScores(4, ks=(1,), draws=400) for _ in range(2)]
    for i, half in enumerate(halves):
        part = slice(2 * i, 2 + i)
        scores = {"": SCORES[part], "other": SCORES.flip(1)[part]}
        half.update(scores, TRUTH[part], COUNTS[part], PATIENTS[part])
    halves[0].merge_state(halves[1])
    assert halves[0].compute() == found
    with pytest.raises(ValueError, match="counts: at least 1"):
        metric.update({"": SCORES, "other": SCORES}, TRUTH, torch.ones(3), PATIENTS)
    with pytest.raises(ValueError, match="hold NaN"):
        metric.update({"": SCORES / 0 * 0, "other": SCORES}, TRUTH, COUNTS, PATIENTS)
    with pytest.raises(ValueError, match="the same predictors"):
        metric.update({"": SCORES}, TRUTH, COUNTS, PATIENTS)
    with pytest.raises(ValueError, match="no visits"):
        VisitScores(4).compute()


class Fixed(nn.Module):
    """Returns the given scores, whatever the visits."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores)

    def forward(self, visits: Tensor, visible: Tensor | None = None) -> Tensor:
        return self.scores


def batch() -> Batch:
    codes, categories = Codes(("a", "b")), Codes(("u", "v", "w"))
    several = [
        History(3, (Visit(("a",), ("u",)), Visit(("b",), ("v", "w")), Visit(("a",), ("u", "other")))),
        History(4, (Visit(("b",), ("w",)), Visit(("a",), ("v",)))),
    ]
    data = Visits(several, codes, categories)
    return data.collate_fn([data[0], data[1]])


def test_the_loss_is_a_mean_over_visits_and_then_over_patients() -> None:
    scores = torch.randn(2, 2, 3, dtype=torch.float64)
    task = Diagnose(classes=3, shares=(0.1, 0.2, 0.3))
    loss, figures = task.loss(Fixed(scores), batch())
    p = scores.softmax(2)

    def visit(b: int, t: int, true: list[int]) -> Tensor:
        y = torch.tensor(true)
        return -(y * p[b, t].log() + (1 - y) * (1 - p[b, t]).log()).sum()

    wanted = ((visit(0, 0, [0, 1, 1]) + visit(0, 1, [1, 0, 0])) / 2 + visit(1, 0, [0, 1, 0])) / 2
    torch.testing.assert_close(loss, wanted)
    assert not figures
    sure = torch.zeros(2, 2, 3)
    sure[..., 1] = 1e4
    assert task.loss(Fixed(sure), batch())[0].isfinite()
    with pytest.raises(ValueError, match="2 are given"):
        Diagnose(classes=3, shares=(0.1, 0.2))


def test_plain_predictors_stand_beside_every_network() -> None:
    task = Diagnose(classes=3, shares=(0.1, 0.2, 0.3), ks=(1,))
    several = Beside({"dipole": Fixed(torch.randn(2, 2, 3)), "plain": Fixed(torch.randn(2, 2, 3))})
    assert [name for name, _ in several.named_children()] == ["dipole", "beside_1"]
    loss, figures = task.loss(several, batch())
    torch.testing.assert_close(loss, figures["loss of dipole"] + figures["loss of plain"])
    found, truth, counts, patients = task.answers(several, batch())
    assert list(found) == ["", "plain", REPEATED, FREQUENT]
    assert truth.tolist() == [[0, 1, 1], [1, 0, 0], [0, 1, 0]]
    assert counts.tolist() == [2, 2, 1] and patients.tolist() == [3, 3, 4]
    # the last visit first, and behind it what is frequent
    assert found[REPEATED].argsort(1, descending=True).tolist() == [[0, 2, 1], [2, 1, 0], [2, 1, 0]]
    assert found[FREQUENT].argmax(1).tolist() == [2, 2, 2]
    assert task.measure.name == "precision@1" and Diagnose(classes=1, shares=(1,)).measure.name == "precision@10"


def test_networks_beside_have_as_many_parameters() -> None:
    network = partial(DipoleNetwork, codes=90, categories=40, score="general")
    sizes = {name: sum(p.numel() for p in make().parameters()) for name, make in balanced(network).items()}
    own = sum(p.numel() for p in network().parameters())
    assert list(sizes) == ["without attention", "forward GRU"]
    assert all(abs(size - own) < 300 for size in sizes.values()), (own, sizes)


def test_wrong_options_of_the_recipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="MIMIC-III, MIMIC-IV, eICU"):
        diagnose()
    with pytest.raises(ValueError, match="score='dot'"):
        histories(score="dot")
    with pytest.raises(ValueError, match="the histories are drawn"):
        histories(tmp_path)


def small(tmp_path: Path) -> Path:
    """A folder with the table of a few drawn histories."""
    tmp_path.mkdir(exist_ok=True)
    write(drawn_histories(12, onsets=(2,), visits=4), tmp_path / "visits.csv")
    return tmp_path


@pytest.mark.slow
def test_a_run_is_opened_scored_and_looked_at_from_its_folder(tmp_path: Path) -> None:
    data, run = small(tmp_path / "data"), tmp_path / "run"
    told = CliRunner().invoke(app, ["train", "dipole", "--data", str(data), "--epochs", "2", "--out", str(run)])
    assert told.exit_code == 0, told.output
    for name in ("without attention", "forward GRU", REPEATED, FREQUENT):
        assert f"{name} " in told.output
    result = json.loads((run / "result.json").read_text())
    assert {"precision@10", "precision@10 low", f"{REPEATED}: precision@10", f"gain over {FREQUENT}: accuracy@5"} <= {
        *result["scores"]
    }
    assert result["facts"]["read"]["patients"] == 12 and result["facts"]["test patients"] == 2
    again = CliRunner().invoke(app, ["eval", "--weights", str(run), "--data", str(data)])
    assert again.exit_code == 0, again.output
    assert [line for line in again.output.splitlines() if line in told.output], again.output
    with safe_open(run / "model.safetensors", "pt") as file:
        described = json.loads(file.metadata()["regard"])
    assert described["entry"] == "dipole_network" and described["prefix"] == "dipole."
    assert set(described["vocabulary"]["codes"]) <= {*CODES, *SEVERITIES}
    seen = tmp_path / "own.csv"
    seen.write_text("patient,time,code\nMRS SMITH,2026-05-01,review A\nMRS SMITH,2026-05-04,onset A severity 2\n")
    looked = CliRunner().invoke(app, ["look", str(seen), "--weights", str(run), "--out", str(tmp_path / "out")])
    assert looked.exit_code == 0, looked.output
    assert "severity" in looked.output and "SMITH" not in looked.output and "2026" not in looked.output
    assert (tmp_path / "out" / "patient-0.png").is_file()
    for wrong, message in (
        (["--patient", "3"], "patient=3: a patient with codes is needed; 1 have some, and the nearest are 0"),
        (["--ask", "how?"], "question="),
    ):
        told = CliRunner().invoke(app, ["look", str(seen), "--weights", str(run), *wrong])
        assert told.exit_code != 0 and message in str(told.exception), told.exception


@pytest.mark.slow
def test_a_run_that_was_stopped_resumes_to_the_bit(tmp_path: Path) -> None:
    recipe = built(recipes.get("dipole"), small(tmp_path / "data"))
    phase = recipe.phases[0]
    torch.manual_seed(5)
    models = [recipe.build() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    plan = replace(phase.plan, epochs=3, batch_size=4)
    fit(models[0], phase.task, recipe.train, plan)

    def stop(done: int, _: object) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(models[1], phase.task, recipe.train, plan, folder=tmp_path / "run", on_epoch=stop)
    fit(models[1], phase.task, recipe.train, plan, folder=tmp_path / "run")
    for one, other in zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True):
        assert torch.equal(one, other)


def described(score: str | None, tmp_path: Path) -> Path:
    """A file of an untrained network with the vocabulary of drawn histories."""
    arguments = {"codes": len(CODES), "categories": 6, "embedding": 5, "hidden": 4, "width": 3, "score": score}
    torch.manual_seed(0)
    network = DipoleNetwork(**arguments)  # type: ignore[arg-type]
    about = Trained(
        entry="dipole_network",
        arguments=arguments,
        normalise=None,
        image=None,
        class_names=SEVERITIES,
        vocabulary={"codes": CODES, "names": tuple(f"{code}: name" for code in CODES)},
    )
    save_file(network.state_dict(), tmp_path / "model.safetensors", about.metadata())
    return tmp_path


def test_one_patient_is_drawn_with_names_and_weights(tmp_path: Path) -> None:
    predictor = open_predictor(described("general", tmp_path))
    (patient,) = as_patients(drawn_histories(1, onsets=(2,), visits=5))
    found = predict(predictor, patient._replace(visits=patient.visits[:-1]))
    assert found.weights is not None and found.weights.shape == (5, 5)
    torch.testing.assert_close(found.weights.sum(1), torch.tensor([0.0, 1, 1, 1, 1]))
    assert found.names == tuple(f"{i + 1}: day {i}" for i in range(5))
    assert found.codes[4] == tuple(f"{code}: name" for code in patient.visits[4].codes)
    drawn = pictures(predictor, found)
    titles = [picture.name for picture in drawn]
    assert titles[:3] == ["weights of the visits before the last", "visits over visits", "predicted for the next visit"]
    strongest = int(found.weights[4, :4].argmax())
    assert titles[3:5] == [f"visit {found.names[i]}" for i in (4, strongest)] and len(titles) == 3 + 1 + 3
    assert f"weight {float(found.weights[4, strongest]):.2f}" in drawn[4].caption
    unknown = History(0, (Visit(("onset A severity 1", "never seen"), ()),))
    one = predict(predictor, unknown)
    assert one.unknown == (1,) and pictures(predictor, one)[0].name.startswith("predicted")


def test_a_network_without_attention_shows_its_prediction(tmp_path: Path) -> None:
    predictor = open_predictor(described(None, tmp_path))
    (patient,) = as_patients(drawn_histories(1, visits=7))
    found = predict(predictor, patient)
    assert found.weights is None
    assert [picture.name for picture in pictures(predictor, found)] == [
        "predicted for the next visit",
        "visit 8: day 7",
    ]
    (tmp_path / "plain").mkdir()
    save_file({"a": torch.zeros(1)}, tmp_path / "plain" / "model.safetensors")
    with pytest.raises(ValueError, match="weights of `regard train dipole` are needed"):
        open_predictor(tmp_path / "plain")


@pytest.mark.slow
def test_the_tiny_variant_beats_its_opponents_over_three_seeds(tmp_path: Path) -> None:
    recipe = histories(tiny=True)
    phase = recipe.phases[0]
    gains: dict[str, list[float]] = {}
    for seed in range(3):
        torch.manual_seed(seed)
        model = recipe.build()
        fit(model, phase.task, recipe.train, replace(phase.plan, seed=seed))
        for name, value in evaluate(recipe, model).items():
            if name.startswith("gain over") and name.endswith(": precision@1"):
                gains.setdefault(name, []).append(value)
    assert len(gains) == 4
    for name, values in gains.items():
        assert sum(values) / 3 > 0.03, (name, values)
    for name in (REPEATED, FREQUENT):
        assert min(gains[f"gain over {name}: precision@1"]) > 0.2
