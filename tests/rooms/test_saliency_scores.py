"""Scores of saliency, salient objects and proposals: the recorded numbers of the published codes, and the edges."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from regard.data.batches import Batch
from regard.data.fixations import counted, density
from regard.metrics import classification, fixations, localisation, proposals, salient_objects
from regard.metrics.metric import figures
from regard.tasks.fixations import Fixations
from regard.tasks.salient_objects import SalientObjects

RECORDED = Path(__file__).parent / "golden_metrics"
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def cases(folder: str) -> list[Path]:
    found = sorted((RECORDED / folder).glob("*.safetensors"))
    assert found
    return found


def read(path: Path) -> dict[str, np.ndarray]:
    with safe_open(path, "np") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("path", cases("fixation"), ids=lambda path: path.stem)
def test_fixation_scores_equal_both_codes(path: Path) -> None:
    tensors = read(path)
    s, f, other, human, base = (
        tensors[f"input.{name}"] for name in ("saliency", "fixations", "other_fixations", "density", "baseline")
    )
    theirs = {"convention": "pysaliency"}
    found = {
        "mit.NSS": fixations.nss(s, f),
        "mit.CC": fixations.cc(s, human),
        "mit.SIM": fixations.similarity(s, human),
        "mit.KL": fixations.kl(s, human),
        "mit.IG": fixations.information_gain(s, f, base),
        "mit.AUC_Judd": fixations.auc_judd(s, f),
        "mit.AUC_shuffled_step01": fixations.auc_shuffled(s, f, other),
        "mit.AUC_shuffled_step001": fixations.auc_shuffled(s, f, other, step=0.01),
        "pysaliency.NSS": fixations.nss(s, f, **theirs),
        "pysaliency.CC": fixations.cc(s, human),
        "pysaliency.SIM": fixations.similarity(s, human, **theirs),
        "pysaliency.KL": fixations.kl(s, human, **theirs),
        "pysaliency.KL_MIT": fixations.kl(s, human, convention="benchmark"),
        "pysaliency.IG": fixations.information_gain(s, f, base, **theirs),
        "pysaliency.AUC_uniform": fixations.auc_judd(s, f, **theirs),
        "pysaliency.AUC_shuffled": fixations.auc_shuffled(s, f, other, **theirs),
    }
    recorded = {key.removeprefix("output."): value for key, value in tensors.items() if key.startswith("output.")}
    assert found.keys() == recorded.keys()
    for name, value in found.items():
        np.testing.assert_allclose(value, recorded[name], err_msg=name, **CLOSE)
    for ours, name in zip(fixations.judd_curve(s, f), ("judd_tp", "judd_fp"), strict=True):
        np.testing.assert_allclose(ours, tensors[f"map.{name}"], **CLOSE)


@pytest.mark.parametrize("path", cases("sod"), ids=lambda path: path.stem)
def test_object_scores_equal_the_recorded(path: Path) -> None:
    tensors = read(path)
    found = salient_objects.measures(tensors["input.pred"], tensors["input.gt"])
    scores = found.scores()
    recorded = {key.removeprefix("output."): value for key, value in tensors.items() if key.startswith("output.")}
    assert scores.keys() == recorded.keys()
    for name, value in scores.items():
        np.testing.assert_allclose(value, recorded[name], err_msg=name, **CLOSE)
    for name in ("precision", "recall", "f_curve", "e_curve"):
        np.testing.assert_allclose(getattr(found, name), tensors[f"map.{name}"], err_msg=name, **CLOSE)


@pytest.mark.parametrize("path", cases("proposals"), ids=lambda path: path.stem)
def test_proposal_scores_equal_the_recorded(path: Path) -> None:
    tensors = read(path)
    boxes, truths = tensors["input.proposals_ranked"], tensors["input.gt"]
    checked = 0
    for key, value in tensors.items():
        if not key.startswith("output.top"):
            continue
        first, _, what = key.removeprefix("output.top").partition(".")
        best = proposals.covered(boxes, truths, first=int(first), inclusive=what.endswith("inclusive"))
        found = {
            "ABO": lambda b: proposals.average_best_overlap(b),
            "ABO_voc_inclusive": lambda b: proposals.average_best_overlap(b),
            "AR_hosang": lambda b: proposals.average_recall(b),
            "AR_coco_thresholds": lambda b: proposals.average_recall(b, convention="coco"),
            "recall_0.5_0.7_0.9": lambda b: [proposals.recall(b, t) for t in (0.5, 0.7, 0.9)],
        }[what](best)
        np.testing.assert_allclose(found, value, err_msg=key, **CLOSE)
        checked += 1
    assert checked == 20


def test_a_constant_map_scores_as_chance() -> None:
    flat, seen = np.full((5, 7), 3.0), np.zeros((5, 7))
    seen[2, 3] = seen[4, 6] = 1
    human = density(seen, 1.0)
    for convention in fixations.CONVENTIONS:
        assert fixations.nss(flat, seen, convention=convention) == 0
        assert fixations.auc_judd(flat, seen, convention=convention) == 0.5
        assert fixations.auc_shuffled(flat, seen, seen, convention=convention) == 0.5
        assert fixations.information_gain(flat, seen, flat, convention=convention) == 0
        assert np.isfinite(fixations.kl(flat, human, convention=convention))
        assert 0 < fixations.similarity(flat, human, convention=convention) < 1
    assert fixations.cc(flat, human) == 0
    assert fixations.kl(np.zeros((5, 7)), human) == fixations.kl(flat, human)


def test_a_perfect_map_scores_highest() -> None:
    seen = np.zeros((5, 7))
    seen[2, 3] = seen[4, 6] = 1
    assert fixations.auc_judd(seen * np.arange(7), seen) == 1  # of two alike, one would count against the map
    assert fixations.cc(seen, seen) == pytest.approx(1)
    assert fixations.similarity(seen, seen) == pytest.approx(1)
    assert fixations.kl(seen, seen) == pytest.approx(0, abs=1e-12)
    assert fixations.auc_judd(seen, seen, convention="pysaliency") == pytest.approx((35 - 1) / 35)  # ties with itself


def test_jitter_breaks_ties_that_count_against_the_map() -> None:
    coarse = np.repeat(np.repeat(np.arange(6.0).reshape(2, 3), 11, 0), 13, 1)
    seen = np.zeros_like(coarse)
    seen[3::5, 2::7] = 1
    without, broken = fixations.auc_judd(coarse, seen), fixations.auc_judd(coarse, seen, jitter=1e-7)
    assert without < broken == fixations.auc_judd(coarse, seen, jitter=1e-7)
    assert broken != fixations.auc_judd(coarse, seen, jitter=1e-7, seed=1)


def test_shuffled_auc_draws_as_many_others_as_there_are_fixations() -> None:
    draw = np.random.default_rng(0)
    s = draw.random((17, 13))
    seen, others = (draw.random((2, 17, 13)) < [[[0.05]], [[0.5]]]).astype(float)
    values = [fixations.auc_shuffled(s, seen, others, step=0.01, seed=seed) for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]
    assert abs(values[0] - fixations.auc_shuffled(s, seen, others, convention="pysaliency")) < 0.05


def test_auc_is_the_probability_of_being_larger() -> None:
    draw = np.random.default_rng(1)
    high, low = draw.integers(0, 7, 31), draw.integers(0, 6, 23)
    pairs = [(h > o) + (h == o) / 2 for h in high for o in low]
    assert fixations.auc(high, low) == pytest.approx(np.mean(pairs))


def test_every_fixation_counts_for_pysaliency_and_every_pixel_for_mit() -> None:
    s = np.arange(15.0).reshape(3, 5)
    once, twice = counted([[1, 0], [4, 2]], 3, 5), counted([[1, 0], [4, 2], [4.9, 2.5]], 3, 5)
    assert twice[2, 4] == 2
    assert fixations.nss(s, once) == fixations.nss(s, twice)
    assert fixations.nss(s, once, convention="pysaliency") < fixations.nss(s, twice, convention="pysaliency")


def test_fixations_outside_the_picture_are_left_out() -> None:
    assert counted([[-0.1, 0], [0, 3], [5, 0], [4.99, 2.99]], 3, 5).sum() == 1
    assert counted([], 3, 5).sum() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, f: fixations.nss(s, f * 0), "at least one fixation is needed"),
        (lambda s, f: fixations.nss(s, f[:2]), "maps of one shape"),
        (lambda s, f: fixations.nss(s, -f), "at least 0"),
        (lambda s, f: fixations.nss(s, density(f, 1.0)), "whole numbers are needed, not a density"),
        (lambda s, f: fixations.auc_shuffled(s, f, f / 3), "others holds .*whole numbers"),
        (lambda s, f: fixations.nss(s * np.nan, f), "not finite"),
        (lambda s, f: fixations.nss(s[0], f), "a map H W"),
        (lambda s, f: fixations.nss(s, f, convention="nss"), "'mit' or 'pysaliency'"),
        (lambda s, f: fixations.auc_judd(s, f * 0 + 1), "at least one pixel without a fixation"),
        (lambda s, f: fixations.auc_judd(s, f, jitter=-1), "jitter=-1"),
        (lambda s, f: fixations.auc_shuffled(s, f, f * 0), "others has only zeros"),
        (lambda s, f: fixations.auc_shuffled(s, f, f, step=0), "step=0"),
        (lambda s, f: fixations.auc_judd(s, f, jitter="1e-7"), "jitter='1e-7'"),
        (lambda s, f: fixations.auc_judd(s, f, jitter=1e-7, seed=0.5), "seed=0.5"),
        (lambda s, f: fixations.auc_shuffled(s, f, f, step=np.nan), "step=nan"),
        (lambda s, f: fixations.auc_shuffled(s, f, f, splits=2.5), "splits=2.5"),
        (lambda s, f: fixations.auc_shuffled(s, f, f, seed=-1), "seed=-1"),
        (lambda s, f: fixations.kl(s, f, convention=["mit"]), "convention=.'mit'.: 'mit', 'pysaliency' or 'benchmark'"),
        (lambda s, f: density(f, 0), "sigma=0"),
        (lambda s, f: density(np.where(f, np.inf, 0), 1), "finite numbers with at least one fixation"),
        (lambda s, f: counted([[1, 2, 3]], 3, 5), "rows of x and y"),
        (lambda s, f: fixations.auc([], [1]), "0 positives"),
    ],
)
def test_bad_fixations_are_named(call, message: str) -> None:
    seen = np.zeros((3, 5))
    seen[1, 2] = 1
    with pytest.raises(ValueError, match=message):
        call(np.arange(15.0).reshape(3, 5), seen)


def test_objects_that_fill_the_image_or_are_not_there() -> None:
    p = np.linspace(0, 1, 35).reshape(5, 7)
    full = salient_objects.measures(p, np.ones((5, 7), bool)).scores()
    assert full["s_measure"] == pytest.approx(0.5)
    assert full["max_f"] == 1 and full["max_e"] == pytest.approx(35 / 34)
    none = salient_objects.measures(p, np.zeros((5, 7), bool)).scores()
    assert none["s_measure"] == pytest.approx(0.5) and none["max_f"] == none["weighted_f"] == 0
    corner = np.zeros((5, 7), bool)
    corner[4, 6] = True  # the quarters to the right and below are empty
    assert 0 < salient_objects.measures(corner.astype(float), corner).scores()["s_measure"] <= 1
    exact = salient_objects.measures(corner.astype(float), corner).scores()
    assert exact["mae"] == 0 and exact["max_f"] == 1 and exact["weighted_f"] == pytest.approx(1)
    assert np.isfinite(list(salient_objects.measures(np.full((5, 7), 0.3), corner).scores().values())).all()


@pytest.mark.parametrize("object", [True, False])
def test_one_pixel_has_scores_of_a_usual_size(object: bool) -> None:
    truth = np.full((1, 1), object)
    scores = salient_objects.measures(truth.astype(float), truth).scores()
    assert all(0 <= value <= 1 + 1e-12 for value in scores.values())
    assert scores["mae"] == 0 and scores["s_measure"] == scores["max_e"] == 1


def test_maps_may_be_tensors_of_half_precision() -> None:
    s, seen = torch.arange(15.0).reshape(3, 5), torch.zeros(3, 5)
    seen[1, 2] = seen[2, 3] = 1
    assert fixations.nss(s.bfloat16(), seen.bfloat16()) == fixations.nss(s, seen)
    p = (s / 16).bfloat16()
    assert (
        salient_objects.measures(p, seen.bool()).scores() == salient_objects.measures(p.float(), seen.bool()).scores()
    )


def test_the_maximum_is_taken_of_the_mean_curve() -> None:
    truth = np.zeros((4, 6), bool)
    truth[1:3, 2:5] = True
    low, high = np.where(truth, 0.4, 0.1), np.where(truth, 1.0, 0.7)
    low[0, 0] = high[3, 5] = 0.0  # so that stretching leaves them different
    low[3, 0] = 1.0
    one, two = (salient_objects.measures(p, truth) for p in (low, high))
    both = salient_objects.averaged([one, two])
    assert both.scores()["max_f"] == ((one.f_curve + two.f_curve) / 2).max()
    assert both.mae == (one.mae + two.mae) / 2
    with pytest.raises(ValueError, match="no image"):
        salient_objects.averaged([])


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.zeros((3, 5)), np.zeros((3, 4), bool), "one size"),
        (np.zeros((3, 5)), np.zeros((3, 5)), "float64"),
        (np.full((3, 5), 1.5), np.zeros((3, 5), bool), "fractions"),
        (np.full((3, 5), np.nan), np.zeros((3, 5), bool), "fractions"),
        (np.zeros((3, 5), int), np.zeros((3, 5), bool), "fractions"),
    ],
)
def test_bad_maps_of_objects_are_named(prediction: np.ndarray, truth: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        salient_objects.measures(prediction, truth)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: salient_objects.measures(np.zeros((3, 5)), np.zeros((3, 5), bool), beta2="0.3"), "beta2='0.3'"),
        (lambda: salient_objects.measures(np.zeros((3, 5)), np.zeros((3, 5), bool), beta2=0), "beta2=0"),
        (lambda: salient_objects.measures(np.zeros((3, 5)), np.zeros((3, 5), bool), alpha=np.nan), "alpha=nan"),
        (lambda: proposals.overlaps([], [], inclusive="no"), "inclusive='no'"),
        (lambda: proposals.covered([], [], first=2.5), "first=2.5"),
        (lambda: proposals.recall([0.5], "half"), "threshold='half'"),
        (lambda: proposals.average_recall([0.5], convention="voc"), "convention='voc': 'hosang' or 'coco'"),
        (lambda: proposals.ProposalScores(budgets=()), "budgets=()"),
        (lambda: proposals.ProposalScores(budgets=(1, "ten")), "budgets='ten'"),
        (lambda: proposals.ProposalScores(budgets=10), "budgets=10"),
        (
            lambda: localisation.pointing(torch.ones(1, 3, 5), torch.ones(1, 3, 5, dtype=torch.bool), 1.5),
            "tolerance=1.5",
        ),
        (lambda: localisation.pointing(torch.ones(1, 3, 5), torch.ones(1, 3, 5, dtype=torch.bool), -1), "tolerance=-1"),
        (lambda: classification.Classification(3, errors=1), "errors=1"),
        (lambda: Fixations(correlation="1"), "correlation='1'"),
        (lambda: SalientObjects(overlap=np.nan), "overlap=nan"),
    ],
)
def test_wrong_arguments_of_scores_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_overlaps_by_hand() -> None:
    table = proposals.overlaps([[0, 0, 4, 4], [5, 5, 5, 9]], [[2, 0, 6, 4], [0, 0, 4, 4], [7, 7, 9, 9]])
    np.testing.assert_allclose(table, [[8 / 24, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(proposals.overlaps([[0, 0, 4, 4]], [[2.2, 0, 6, 4]], inclusive=True), [[15 / 35]])


def test_each_proposal_finds_one_truth_when_matched() -> None:
    truths = [[0, 0, 10, 10], [0, 0, 10, 9]]
    one = [[0, 0, 10, 10]]
    assert proposals.recall(proposals.covered(one, truths)) == 1
    assert proposals.matched(one, truths) == 1
    assert proposals.matched(one * 2, truths) == 2
    assert proposals.matched(one * 2, truths, 0.95) == 1
    assert proposals.covered([], truths).tolist() == [0, 0]
    for best in ([], np.zeros(0)):
        with pytest.raises(ValueError, match="no true box"):
            proposals.recall(best)
    with pytest.raises(ValueError, match="left no larger than right"):
        proposals.covered([[3, 0, 1, 1]], truths)
    for call in (proposals.covered, proposals.matched):
        for first in (0, -1):
            with pytest.raises(ValueError, match=f"first={first}"):
                call(one, truths, first=first)
    with pytest.raises(ValueError, match="threshold=0"):
        proposals.matched(one, truths, 0)
    for best in ([np.nan], [1.5], [-0.1]):
        with pytest.raises(ValueError, match="from 0 to 1"):
            proposals.average_recall(best)


class Shown(torch.nn.Module):
    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits


def scored(task: Any, logits: torch.Tensor, **fields: torch.Tensor) -> dict[str, float]:
    """The task's scores of a model that answers with these logits."""
    metric = task.metric()
    metric.update(*task.answers(Shown(logits), Batch(image=logits, **fields)))
    return figures(metric)


def test_the_loss_of_fixations_is_least_at_the_density() -> None:
    counts = torch.zeros(2, 5, 7)
    counts[0, 1, 2] = counts[0, 3, 6] = counts[1, 4, 0] = 1
    human = torch.stack([torch.tensor(density(one, 1.0)) for one in counts.numpy()])
    labels = torch.stack((human, counts), 1).float()
    batch = Batch(image=torch.zeros(2, 3, 5, 7), human=labels)
    task = Fixations()
    right = Shown(human.clamp_min(1e-30).log()[:, None].float())
    assert task.loss(right, batch)[0].item() == pytest.approx(0, abs=1e-4)
    model = Shown(torch.zeros(2, 1, 5, 7))
    before, _ = task.loss(model, batch)
    before.backward()
    assert model.logits.grad.isfinite().all() and before.item() > 0.5
    scores, chance = (scored(task, logits.detach(), human=labels) for logits in (right.logits, torch.zeros(2, 1, 5, 7)))
    assert scores["cc"] == pytest.approx(1, abs=1e-4) and chance["cc"] == 0 and chance["auc_judd"] == 0.5
    with pytest.raises(ValueError, match="a map of logits"):
        task.loss(Shown(torch.zeros(2, 5, 7)), batch)
    with pytest.raises(ValueError, match="has a fixation"):
        scored(task, torch.zeros(2, 1, 5, 7), human=labels * 0)


def test_the_loss_of_objects_is_least_at_the_mask() -> None:
    masks = torch.zeros(2, 1, 5, 7)
    masks[0, :, 1:3, 2:6] = 1  # the second image has none
    batch = Batch(image=torch.zeros(2, 3, 5, 7), mask=masks)
    task = SalientObjects()
    assert task.loss(Shown(masks * 60 - 30), batch)[0].item() == pytest.approx(0, abs=1e-5)
    model = Shown(torch.zeros(2, 1, 5, 7))
    before, _ = task.loss(model, batch)
    before.backward()
    assert model.logits.grad.isfinite().all() and before.item() > 0.5
    assert scored(task, masks * 60 - 30, mask=masks)["mae"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="overlap=-1"):
        SalientObjects(overlap=-1)


def test_objects_are_scored_at_the_size_of_their_own_masks() -> None:
    own = [torch.zeros(10, 14, dtype=torch.bool), torch.zeros(7, 5, dtype=torch.bool)]
    own[0][2:6, 4:12] = own[1][3:, 1:4] = True
    logits = torch.randn(2, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    metric = salient_objects.ObjectScores()
    maps, truths = SalientObjects().answers(Shown(logits), Batch(image=logits, mask=torch.zeros(2, 1, 5, 7), truth=own))
    assert [tuple(one.shape) for one in maps] == [(10, 14), (7, 5)]
    metric.update(maps, truths)
    each = [salient_objects.measures(p, g) for p, g in zip(maps, own, strict=True)]
    assert metric.compute() == pytest.approx(salient_objects.averaged(each).scores())


def test_metrics_of_several_processes_are_brought_together() -> None:
    random = np.random.default_rng(0)
    maps, human = random.random((5, 4, 6)), random.random((5, 4, 6))
    counts = (random.random((5, 4, 6)) > 0.8).astype(float)
    counts[3] = 0
    whole, halves = fixations.FixationScores(), [fixations.FixationScores() for _ in range(2)]
    whole.update(maps, human, counts)
    for metric, part in zip(halves, (slice(0, 2), slice(2, 5)), strict=True):
        metric.update(maps[part], human[part], counts[part])
    halves[0].merge_state(halves[1])
    assert halves[0].compute() == pytest.approx(whole.compute())
    objects = [salient_objects.ObjectScores() for _ in range(3)]
    for metric, part in zip(objects, (slice(0, 5), slice(0, 2), slice(2, 5)), strict=True):
        metric.update(maps[part], counts[part] > 0)
    objects[1].merge_state(objects[2])
    assert objects[1].compute() == pytest.approx(objects[0].compute())
    boxes = [proposals.ProposalScores((1, 2)) for _ in range(3)]
    found, truths = [[[0, 0, 4, 4], [2, 2, 6, 6]], [[1, 1, 5, 5]]], [[[0, 0, 4, 5]], [[3, 3, 9, 9], [1, 1, 5, 4]]]
    for metric, part in zip(boxes, (slice(0, 2), slice(0, 1), slice(1, 2)), strict=True):
        metric.update({"": found[part], "other": found[part][::-1]}, truths[part])
    boxes[1].merge_state(boxes[2])
    assert boxes[1].compute()["recall_1"] == boxes[0].compute()["recall_1"] == 2 / 3
    assert set(boxes[0].compute()) == {
        f"{way}{name}_{k}" for way in ("", "other_") for name in ("recall", "ar", "abo") for k in (1, 2)
    }
