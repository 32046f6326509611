"""What a comparison claims: the verdict in one sentence, the rows' sentences, and the intervals behind them."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from regard import catalog
from regard.catalog.rows import NONE, PLAIN
from regard.comparing import Comparison, result, statistics
from regard.comparing.folder import Folder
from regard.metrics.metric import Measure
from regard.report import Record, exporting
from regard.report.judging import Judge, pairs
from regard.tasks.classify import ACCURACY

LATENCY = {NONE: 1.0, PLAIN: 1.5, "se": 1.1, "eca": 1.2, "gc": 1.15, "cbam": 1.3}
DISTANCE = Measure("distance", "mean distance", higher_is_better=False, unit="px")


def written(
    out: Path,
    scores: dict[str, np.ndarray],
    energy: dict[str, np.ndarray] | None = None,
    *,
    chance: float | None = 0.5,
    measure: Measure = ACCURACY,
    each: bool = True,
    ece: float = 0.1,
) -> Path:
    """A finished run in which these images were answered rightly, [S, N] a row."""
    seeds = len(next(iter(scores.values())))
    folder = Folder(out)
    facts = {
        "data": "digits",
        "backbone": "b",
        "attention": list(scores),
        "seeds": seeds,
        "epochs": 1,
        "train_size": 10,
        "test_size": scores[NONE].shape[1],
        "classes": ["a", "b"],
        "skipped": [],
        "pretrained": False,
        "chance": chance,
        "plain": {"parameters": 90, "largest": "se", "largest_parameters": 100},
        "measure": asdict(measure),
        "data_facts": {},
    }
    settings = Comparison(attention=tuple(scores)[2:], seeds=seeds)
    with folder.claimed():
        folder.begin(settings, facts)
    for trial in settings.trials:
        right = scores[trial.row][trial.seed]
        own = {"score": right} if each else {}
        if right.dtype == bool:
            labels = np.arange(len(right)) % 2
            own |= {"label": labels, "prediction": np.where(right, labels, 1 - labels)}
        if energy is not None:
            maps = energy[trial.row][trial.seed]
            own |= dict.fromkeys(("energy", "pointing", "energy_gradcam", "pointing_gradcam"), maps)
        record = Record(
            row=trial.row, seed=trial.seed, measure=measure, score=float(right.mean()),
            scores={"ece": ece * (1 + 2 * trial.seed)}, through="Grad-CAM", history=(), parameters=5, seconds=1.0,
            chance_energy=None if energy is None else 0.3,
        )  # fmt: skip
        folder.finish(trial, record, own)
    folder.keep_costs(
        {
            name: {
                "parameters": 5,
                "flops": 7,
                "latency": {"1": timed(1.0), "32": timed(LATENCY.get(name, 1.1))},
                "peak_memory": 9,
            }
            for name in scores
        }
    )
    return out


def timed(ratio: float) -> dict[str, float]:
    return {"ratio": ratio, "low": ratio * 0.99 if ratio > 1 else 1.0, "high": ratio * 1.01 if ratio > 1 else 1.0}


def answers(share: float, seeds: int = 3, count: int = 400) -> np.ndarray:
    return np.stack([np.arange(count) < round(share * count) for _ in range(seeds)])


def told(folder: Path, seeds: int = 3, count: int = 400, chance: float = 0.5, **shares: float) -> str:
    """The verdict of a run with these shares of right answers."""
    return result(
        written(folder, {name: answers(share, seeds, count) for name, share in shares.items()}, chance=chance)
    ).verdict


def of(found, name):
    return next(row for row in found.rows if row.name == name)


# ---- the verdict, case by case


def test_nothing_helps(tmp_path):
    assert told(tmp_path, none=0.6, plain=0.6, se=0.6, eca=0.6025, gc=0.5975, cbam=0.6) == (
        "On these images none of the four helps beyond noise (corrected for 9 comparisons; a difference below about "
        "1.1 points would not show) and each costs 10–30 % more time: keep the bare backbone."
    )


def test_nothing_helps_and_one_is_worse(tmp_path):
    text = told(tmp_path, none=0.6, plain=0.6, se=0.6, eca=0.5)
    assert text.startswith("On these images neither of the two helps beyond noise (corrected for 5 comparisons; ")
    assert "), eca does worse, and each costs 10–20 % more time: keep the bare backbone." in text


def test_all_are_worse(tmp_path):
    assert told(tmp_path, none=0.7, plain=0.7, se=0.5, eca=0.55) == (
        "On these images each of the two does worse than the bare backbone beyond noise (corrected for 5 comparisons) "
        "and costs 10–20 % more time: keep the bare backbone."
    )


def test_one_helps(tmp_path):
    assert told(tmp_path, none=0.6, plain=0.61, se=0.8, eca=0.6, gc=0.6) == (
        "se helps on these images beyond noise (corrected for 7 comparisons): +20.0 points over the bare backbone and "
        "+19.0 points over plain, ordinary convolutions with as many parameters; it costs 10 % more time; the other "
        "two do not beat both."
    )


def test_two_help(tmp_path):
    assert told(tmp_path, none=0.6, plain=0.6, se=0.8, eca=0.9) == (
        "eca and se help on these images beyond noise (corrected for 5 comparisons): +20.0 to +30.0 points over the "
        "bare backbone and +20.0 to +30.0 points over plain, ordinary convolutions with as many parameters; each costs "
        "10–20 % more time."
    )


def test_plain_helps_as_much(tmp_path):
    assert told(tmp_path, none=0.6, plain=0.79, se=0.8) == (
        "se beats the bare backbone beyond noise (+20.0 points; corrected for 3 comparisons), but so does plain, "
        "ordinary convolutions with as many parameters (+19.0 points): capacity, not attention, explains the gain."
    )


def test_plain_alone_helps(tmp_path):
    text = told(tmp_path, none=0.6, plain=0.8, se=0.6)
    assert text.startswith("On these images se does not help beyond noise (")
    assert text.endswith(
        "while plain, ordinary convolutions with as many parameters, gains +20.0 points: capacity helps here, "
        "attention does not."
    )


def test_neither_beats_the_other_beyond_noise(tmp_path):
    """se is clearly above none, plain is between them, and no nearer to one than to the other."""
    rng = np.random.default_rng(0)
    luck = rng.random((3, 300))
    found = result(written(tmp_path, {NONE: luck < 0.60, PLAIN: rng.random((3, 300)) < 0.66, "se": luck < 0.70}))
    assert "se beats the bare backbone beyond noise" in found.verdict
    assert found.verdict.endswith(
        "but not plain, ordinary convolutions with as many parameters: whether attention or capacity helps is open."
    )


def test_only_one_row(tmp_path):
    text = told(tmp_path, none=0.6, plain=0.6, se=0.6)
    assert text.startswith("On these images se does not help beyond noise (corrected for 3 comparisons; a difference ")
    assert text.endswith(" would not show) and costs 10 % more time: keep the bare backbone.")


def test_at_chance_nothing_is_claimed(tmp_path):
    found = result(written(tmp_path, {NONE: answers(0.45), PLAIN: answers(0.45), "se": answers(0.5)}))
    assert found.verdict == (
        "No row is above chance (50.0 %, by always giving the commonest answer) beyond noise, so this run says nothing "
        "about attention: train longer, or on more images."
    )
    gain = of(found, "se").corrected[NONE]
    assert gain.low > 0, "the interval alone would claim a gain"
    assert "both at chance" in of(found, "se").verdict and "beyond noise." not in of(found, "se").verdict
    assert not any("beyond noise" in sentence for sentence in found.sentences)
    shares = {NONE: 0.45, PLAIN: 0.45, "se": 0.56}  # se alone is above chance, by 2.4 of its standard deviations
    found = result(written(tmp_path / "above", {name: answers(share) for name, share in shares.items()}))
    assert "better beyond noise" in of(found, "se").verdict and found.verdict.startswith("se helps")


def test_two_seeds_that_differ_are_not_at_chance(tmp_path):
    """Their interval by Student's t holds chance, but both networks are far above it."""
    right = {name: np.concatenate([answers(0.7, 1), answers(0.9, 1)]) for name in (NONE, PLAIN, "se")}
    found = result(written(tmp_path, right))
    assert found.rows[0].score.low < 0.5 and "chance" not in found.verdict
    assert [Judge.of(found).at_chance(row) for row in found.rows] == [False] * 3
    assert "both at chance" not in of(found, "se").verdict


def test_one_seed_claims_nothing_beyond_its_images(tmp_path):
    assert told(tmp_path / "won", 1, none=0.6, plain=0.6, se=0.8, eca=0.6) == (
        "On these test images, in one training each, se scores better than the bare backbone (+20.0 points); whether "
        "another training would repeat that is not known: repeat with more seeds before choosing."
    )
    found = result(tmp_path / "won")
    assert "better on these test images, in one training" in of(found, "se").verdict
    assert "beyond noise" not in " ".join([found.verdict, *found.sentences, of(found, "se").verdict])
    judge = Judge.of(found)
    assert {judge.sign(of(found, ours), of(found, theirs)) for ours, theirs in pairs(["se"])} == {"perhaps-better"}
    assert told(tmp_path / "none", 1, none=0.6, plain=0.6, se=0.6) == (
        "In one training each, se does not score better than the bare backbone beyond the luck of the test images: "
        "repeat with more seeds before choosing."
    )


def test_one_seed_without_scores_of_images(tmp_path):
    scores = {name: np.full((1, 5), value) for name, value in ((NONE, 3.0), (PLAIN, 3.0), ("se", 1.0))}
    found = result(written(tmp_path, scores, measure=DISTANCE, each=False, chance=None))
    assert found.verdict.startswith("One seed, and no score for each image: no difference here can be told from luck")
    assert "no interval" in of(found, "se").verdict


def test_a_lower_measure_is_better(tmp_path):
    rng = np.random.default_rng(0)
    noise = {name: rng.normal(0, 0.1, (3, 60)) for name in (NONE, PLAIN, "se")}
    scores = {name: noise[name] + level for name, level in ((NONE, 12.0), (PLAIN, 12.0), ("se", 9.0))}
    found = result(written(tmp_path, scores, measure=DISTANCE, chance=None))
    assert re.match(r"se helps on these images beyond noise \(.*\): −[\d.]+ px over the bare backbone", found.verdict)
    assert [row.name for row in found.rows] == [NONE, PLAIN, "se"] and found.rows[2].answers is None


def test_a_solved_task_leaves_no_room(tmp_path):
    text = told(tmp_path, none=0.99, plain=0.99, se=0.99)
    assert text.endswith(
        ": the bare backbone already reaches 99.0 %, which leaves little room; keep it, or choose harder images."
    )


def test_a_run_that_is_too_coarse_to_choose_by_says_so(tmp_path):
    right = {name: np.concatenate([answers(0.7, 1), answers(0.9, 1)]) for name in (NONE, PLAIN)}
    found = result(written(tmp_path, {**right, "se": np.concatenate([answers(0.75, 1), answers(0.84, 1)])}))
    assert found.verdict == (
        "On these images se does not help beyond noise (corrected for 3 comparisons; a difference below about 100 "
        "points would not show), and this run is too coarse to tell more: repeat with more seeds before choosing."
    )


def test_what_more_seeds_could_settle_is_named(tmp_path):
    """A gain whose own interval excludes zero, while the one for all comparisons does not."""
    rng = np.random.default_rng(3)
    right = np.tile(rng.random(200) < 0.6, (3, 1))
    rows = {name: right.copy() for name in (NONE, PLAIN, "se", "eca", "gc")}
    rows["gc"][:, np.flatnonzero(~right[0])[:7]] = True
    found = result(written(tmp_path, rows))
    assert of(found, "gc").gain.low > 0 > of(found, "gc").corrected[NONE].low, "what the case is about"
    assert "perhaps better" in of(found, "gc").verdict
    assert re.search(r"keep the bare backbone, or settle gc \(\+\d\.\d points\) with more seeds\.$", found.verdict)


def test_no_win_is_claimed_whose_interval_holds_zero(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(12):
        difficulty = rng.random(80)
        rows = {
            name: rng.random((3, 80)) < difficulty + shift
            for name, shift in ((NONE, 0), (PLAIN, 0), ("se", number / 40))
        }
        row = of(result(written(tmp_path / str(number), rows, chance=None)), "se")
        for claim, other in (("se against none", NONE), ("Against plain", PLAIN)):
            words = row.verdict[row.verdict.index(claim) :].split("; ")[1]
            holds = row.corrected[other].low <= 0 <= row.corrected[other].high
            assert ("beyond noise" in words) != holds, (words, row.corrected[other])


# ---- intervals


def test_intervals_end_where_the_quantity_does(tmp_path):
    """Two seeds, whose intervals by Student's t would reach far beyond what a share can be."""
    right = {NONE: answers(0.6, 2), PLAIN: answers(0.6, 2), "se": answers(0.9, 2)}
    right["se"][1, 200:] = False
    found = result(written(tmp_path, right, ece=0.2))
    row = of(found, "se")
    assert statistics.over_seeds([0.2, 0.6]).low < -1 and (row.ece.low, row.ece.high) == (0.0, 1.0)
    assert (row.score.low, row.score.high) == (0.0, 1.0)
    assert (row.gain.low, row.gain.high) == (-1.0, 1.0) == (row.corrected[NONE].low, row.corrected[NONE].high)
    assert row.ece.values == pytest.approx((0.2, 0.6)) and row.ece.mean == pytest.approx(0.4)
    free = statistics.gain(np.array([[1.0, 9.0]]), np.array([[0.0, 2.0]]))
    assert free.low < 0 and free.high > 5, "a measure without bounds keeps its interval"


def test_the_corrected_intervals_hold_the_others(tmp_path):
    rng = np.random.default_rng(1)
    found = result(written(tmp_path, {name: rng.random((3, 90)) < 0.6 for name in (NONE, PLAIN, "se", "eca")}))
    for row in found.rows:
        for name, strict in row.corrected.items():
            own = row.gain if name == NONE else row.gain_over_plain
            assert strict.low < own.low and own.high < strict.high and strict.mean == own.mean
    assert [sorted(row.corrected) for row in found.rows] == [[], [NONE], [NONE, PLAIN], [NONE, PLAIN]]


# ---- the sentences


def test_rows_are_told_in_one_order(tmp_path):
    found = result(
        written(
            tmp_path, {name: answers(share) for name, share in ((NONE, 0.6), (PLAIN, 0.6), ("se", 0.7), ("eca", 0.8))}
        )
    )
    assert [row.name for row in found.rows] == [NONE, PLAIN, "eca", "se"], "the references, then the best first"
    verdicts = [row.verdict for row in found.rows if row.gain is not None]
    assert [sentence for sentence in found.sentences if sentence in verdicts] == verdicts
    assert str(found).startswith(f"{found.verdict}\n\n")


def test_a_clear_gain_over_both_references_is_said(tmp_path):
    found = result(written(tmp_path, {NONE: answers(0.6), PLAIN: answers(0.6025), "se": answers(0.8)}))
    assert "+20.0 points" in of(found, "se").verdict and of(found, "se").verdict.count("better beyond noise") == 2
    assert "within noise" in of(found, PLAIN).verdict
    assert any("(Bonferroni): se above none, se above plain." in sentence for sentence in found.sentences)


def test_a_gain_that_plain_reaches_too_may_be_capacity(tmp_path):
    found = result(written(tmp_path, {NONE: answers(0.6), PLAIN: answers(0.79), "se": answers(0.8)}))
    assert "better beyond noise" in of(found, "se").verdict
    assert "no more than added parameters" in of(found, "se").verdict


def test_noise_one_seed_and_many_comparisons_are_named(tmp_path):
    found = result(written(tmp_path / "one", {NONE: answers(0.7, 1), PLAIN: answers(0.7, 1), "se": answers(0.71, 1)}))
    text = " ".join(found.sentences)
    assert "within noise" in text and "One seed" in text
    assert "plain adds 90 parameters" in text and "se, adds 100" in text
    assert "object" not in text and found.rows[0].energy is None, "nothing about objects where none is known"
    found = result(written(tmp_path / "two", {NONE: answers(0.7, 2), PLAIN: answers(0.7, 2), "se": answers(0.71, 2)}))
    text = " ".join(found.sentences)
    assert "3 comparisons at once" in text and "no difference in accuracy remains" in text


def test_of_many_rows_only_what_stands_out_is_told(tmp_path):
    names = [entry.name for entry in catalog.entries() if entry.drop_in][:10]
    correct = {NONE: answers(0.6), PLAIN: answers(0.6), **{name: answers(0.6) for name in names}}
    correct[names[3]] = answers(0.9)
    energy = {name: np.full((3, 400), 0.3 + 0.01 * i) for i, name in enumerate(correct)}
    found = result(written(tmp_path, correct, energy))
    assert of(found, names[3]).verdict in found.sentences and of(found, names[4]).verdict not in found.sentences
    quiet = next(sentence for sentence in found.sentences if sentence.startswith("Within noise of none and of plain"))
    assert all(name in quiet for name in names if name != names[3]) and names[3] not in quiet.split(": ")[1].split(", ")
    share = next(sentence for sentence in found.sentences if sentence.startswith("Share of Grad-CAM"))
    assert f"none 30 %, {names[-1]} 41 %, the other 10 between" in share


def test_where_they_look_is_compared_on_the_same_footing(tmp_path):
    rng = np.random.default_rng(0)
    base = rng.uniform(0.2, 0.5, (2, 60))
    energy = {NONE: base, PLAIN: base + rng.normal(0, 0.01, (2, 60)), "se": base + 0.2}
    found = result(written(tmp_path, {name: answers(0.7, 2) for name in energy}, energy))
    text = " ".join(found.sentences)
    assert "an even map would score 30 %" in text
    assert "Against none, beyond noise (corrected for 2 comparisons): se (+20.0 points)." in text


def test_numbers_are_typeset(tmp_path):
    rng = np.random.default_rng(0)
    energy = {name: rng.uniform(0.2, 0.5, (2, 60)) - 0.1 * i for i, name in enumerate((NONE, PLAIN, "se"))}
    found = result(written(tmp_path, {name: answers(0.7, 2) for name in energy}, energy))
    text = " ".join([found.verdict, *found.sentences, *(row.verdict for row in found.rows)])
    assert not re.search(r"(?<![\w–])-\d", text), "a true minus"
    assert not re.search(r"\d%|\dx\b|\d x \d", text), "a space before the percent sign, × for times"
    assert "3 rows × 2 seeds" in text and "plain 1.50 × and" in text


def test_the_terminal_prints_the_verdict_before_the_table(tmp_path, monkeypatch, capsys):
    from regard import cli
    from regard.cli import comparing as command

    found = result(written(tmp_path, {NONE: answers(0.6), PLAIN: answers(0.61), "se": answers(0.8)}))
    monkeypatch.setattr(command.comparing, "compare", lambda *_, **__: found)
    with pytest.raises(SystemExit) as end:
        cli.main(["compare", "digits"])
    told = " ".join(capsys.readouterr().out.split())
    assert not end.value.code and told.startswith(found.verdict) and told.index("against none") > len(found.verdict)


# ---- the results as data


def test_the_answers_are_counted_by_class(tmp_path):
    found = result(written(tmp_path, {NONE: answers(0.5, 2, 6), PLAIN: answers(1.0, 2, 6), "se": answers(0.0, 2, 6)}))
    assert of(found, PLAIN).answers == {(0, 0): 6, (1, 1): 6} and of(found, "se").answers == {(0, 1): 6, (1, 0): 6}
    assert of(found, NONE).answers == {(0, 0): 4, (0, 1): 2, (1, 1): 2, (1, 0): 4}


def test_csv_and_json_hold_every_number(tmp_path):
    found = result(written(tmp_path, {NONE: answers(0.6, 2), PLAIN: answers(0.61, 2), "se": answers(0.8, 2)}))
    lines = list(csv.DictReader(io.StringIO(exporting.spreadsheet(found))))
    assert [line["row"] for line in lines] == [NONE, PLAIN, "se"] and [line["reference"] for line in lines] == [
        "True",
        "True",
        "False",
    ]
    se, row = lines[2], of(found, "se")
    assert float(se["accuracy"]) == row.score.mean and float(se["accuracy_seed_1"]) == row.score.values[1]
    assert float(se["gain_over_plain_corrected_low"]) == row.corrected[PLAIN].low
    assert se["gain_over_none_judged"] == "better" and lines[0]["gain_over_none"] == lines[0]["energy"] == ""
    assert float(se["time_batch_32_high"]) == row.latency["32"].high
    told = json.loads(exporting.everything(found))
    assert told["verdict"] == found.verdict and told["measure"]["name"] == "accuracy"
    assert told["rows"][2]["corrected"]["none"]["low"] == row.corrected[NONE].low
    assert told["rows"][2]["judged"] == {"none": "better", "plain": "better"}
    assert sorted(map(tuple, told["rows"][0]["answers"])) == sorted(
        (label, answer, count) for (label, answer), count in of(found, NONE).answers.items()
    )
    assert [trial["score"] for trial in told["trials"]] == [record.score for record in found.records]
