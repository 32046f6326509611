"""The paired bootstrap of captions and translations: scipy's intervals, and scores of sets that are written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from scipy import stats

from regard.catalog import recipes
from regard.cli import main
from regard.comparing.statistics import compared, paired
from regard.metrics.words.bleu import bleu
from regard.metrics.words.captions import BLEU, Captions
from regard.metrics.words.translations import Translations
from regard.saved.digests import sealed_weights
from regard.training import running
from regard.training.recipe import built

WORDS = ("a", "red", "disc", "above", "the", "square", "left")
TIMES = np.array([[1] * 7, [0, 3, 1, 0, 2, 0, 1], [7, 0, 0, 0, 0, 0, 0]])


def sentences(seed: int, count: int = 7) -> list[list[str]]:
    random = np.random.default_rng(seed)
    return [[WORDS[i] for i in random.integers(0, 7, random.integers(3, 11))] for _ in range(count)]


REFERENCES = [[one, other] for one, other in zip(sentences(1), sentences(2), strict=True)]


def captions(seed: int = 0) -> Captions:
    metric = Captions()
    metric.update(sentences(seed), REFERENCES)
    return metric


class Mean:
    """The mean of one number an item."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self.values = values

    def drawn(self, times: NDArray[np.integer]) -> dict[str, NDArray[np.float64]]:
        return {"mean": times @ self.values / times.sum(1)}


def test_the_interval_of_a_mean_is_scipys() -> None:
    random = np.random.default_rng(3)
    ours, theirs = random.random(53), random.random(53) ** 2
    found = paired(Mean(ours), Mean(theirs), 53, draws=997, level=0.9, seed=11)["mean"]
    wanted = stats.bootstrap(
        (ours, theirs), lambda x, y, axis: x.mean(axis) - y.mean(axis), paired=True, n_resamples=997,
        confidence_level=0.9, method="percentile", random_state=np.random.default_rng(11),
    ).confidence_interval  # fmt: skip
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    assert found.mean == pytest.approx(ours.mean() - theirs.mean())


def test_sets_of_captions_are_scored_as_if_they_were_written_out() -> None:
    metric = captions()
    scores, each, whole = metric.drawn(TIMES), metric.each(), metric.compute()
    assert scores.keys() == whole.keys() - {"length"}
    for name, values in scores.items():
        assert values[0] == pytest.approx(whole[name], abs=1e-12)
    for row, times in enumerate(TIMES):
        chosen = np.repeat(np.arange(7), times)
        wanted = bleu([metric.sentences[i] for i in chosen], [REFERENCES[i] for i in chosen])
        assert [scores[name][row] for name in BLEU] == pytest.approx(wanted, abs=1e-12)
        for name in ("cider", "rouge_l"):
            assert scores[name][row] == pytest.approx(np.mean([each[name][i] for i in chosen]))


def test_sets_of_translations_are_scored_as_if_they_were_written_out() -> None:
    texts, references = [[" ".join(one) for one in sentences(seed)] for seed in (1, 2)]
    texts[3] = f"{references[3]} left"
    metric = Translations()
    metric.update(texts, [[one] for one in references])
    for row, times in enumerate(TIMES):
        one = Translations()
        for i in np.repeat(np.arange(7), times):
            one.update([texts[i]], [[references[i]]])
        assert metric.drawn(TIMES)["bleu"][row] == pytest.approx(one.compute()["bleu"], abs=1e-9)


def test_two_runs_are_compared_on_the_same_sentences() -> None:
    found = compared(captions(1), captions(5))  # the first has one of the references each
    assert found.keys() == {"cider", *BLEU, "rouge_l"}
    assert all(0 < one.low < one.mean < one.high for one in found.values())
    same = compared(captions(), captions())
    assert all((one.low, one.mean, one.high) == (0, 0, 0) for one in same.values())
    others = Captions()
    others.update(sentences(0), [[one] for one in sentences(1)])
    with pytest.raises(ValueError, match="both runs have to write sentences for the same test data"):
        compared(captions(), others)
    with pytest.raises(ValueError, match="against: object is of no sentences"):
        compared(captions(), object())


@pytest.mark.slow
def test_the_command_shows_the_differences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("show-and-tell", "neural-talk"):  # with random weights
        recipe = built(recipes.get(name), tiny=True)
        torch.manual_seed(0)
        state: dict[str, Any] = {key: value.clone() for key, value in recipe.build().state_dict().items()}
        description = running.describe(recipe, name=name)
        assert description is not None
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(sealed_weights(save(state, description.metadata())))
    with pytest.raises(SystemExit, match="0"):
        main(["eval", "--weights", f"{tmp_path}/show-and-tell", "--against", f"{tmp_path}/neural-talk"])
    lines = capsys.readouterr().out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.endswith("with 95 % intervals of a paired bootstrap:"))
    assert [line.partition(":")[0] for line in lines[first + 1 :]] == ["cider", *BLEU, "rouge_l"]
    assert all(line.count(" to ") == 1 for line in lines[first + 1 :])
