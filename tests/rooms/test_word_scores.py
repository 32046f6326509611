"""Tokens and scores of captions: the recorded numbers of coco-caption, and the edges."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from regard.metrics.words import bleu, cider, rouge
from regard.metrics.words.captions import Captions
from regard.metrics.words.object_words import COCO, COCO_OTHERWISE, ObjectWords, plural
from regard.metrics.words.tokens import tokenise

CASES = sorted((Path(__file__).parent / "golden_metrics" / "captions").glob("*.safetensors"))
CLOSE = {"rtol": 1e-12, "atol": 1e-12}
Sentences = list[list[str]]


def read(path: Path) -> tuple[Sentences, list[Sentences], dict[str, np.ndarray]]:
    with safe_open(path, "np") as file:
        tensors = {key.removeprefix("output."): file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        told = json.loads(file.metadata()["data"])["tokenized"]
    return [one["candidate"].split() for one in told], [[r.split() for r in one["references"]] for one in told], tensors


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_scores_equal_the_recorded(path: Path) -> None:
    candidates, references, recorded = read(path)
    for length in bleu.LENGTHS:
        np.testing.assert_allclose(
            bleu.bleu(candidates, references, length=length), recorded[f"bleu.{length}"], **CLOSE
        )
        each = np.array(bleu.bleu_each(candidates, references, length=length))
        theirs = recorded[f"bleu_each.{length}"].reshape(4, -1).T  # written down score by score
        np.testing.assert_allclose(each, theirs, **CLOSE)
    for name, found in (
        ("rouge_l_each", rouge.rouge_l_each(candidates, references)),
        ("cider_each", cider.cider_each(candidates, references)),
        ("cider_d_each", cider.cider_d_each(candidates, references)),
    ):
        np.testing.assert_allclose(found, recorded[name], err_msg=name, **CLOSE)
    np.testing.assert_allclose(rouge.rouge_l(candidates, references), recorded["rouge_l"][0], **CLOSE)
    np.testing.assert_allclose(cider.cider(candidates, references), recorded["cider"][0], **CLOSE)
    np.testing.assert_allclose(cider.cider_d(candidates, references), recorded["cider_d"][0], **CLOSE)


def test_the_streamed_scores_are_those_of_all_sentences() -> None:
    candidates, references, recorded = read(CASES[0])
    one, other = Captions(), Captions()
    one.update(candidates[:3], references[:3])
    other.update(candidates[3:7], references[3:7])
    other.update(candidates[7:], references[7:])
    one.merge_state(other)
    found = one.compute()
    assert found["cider"] == pytest.approx(float(recorded["cider_d"][0]), abs=1e-12)
    assert [found[f"bleu_{n}"] for n in (1, 2, 3, 4)] == pytest.approx(recorded["bleu.closest"].tolist(), abs=1e-12)
    assert found["rouge_l"] == pytest.approx(float(recorded["rouge_l"][0]), abs=1e-12)
    one.reset()
    with pytest.raises(ValueError, match="no sentences: at least one is needed"):
        one.compute()


def test_given_document_frequencies_count() -> None:
    candidates, references, _ = read(CASES[0])
    frequencies = cider.Frequencies.of(references)
    alone = cider.cider_d_each(candidates[4:5], references[4:5], df=frequencies)
    assert alone == pytest.approx([cider.cider_d_each(candidates, references)[4]], abs=1e-12)
    assert cider.cider_d_each(candidates[4:5], references[4:5]) == [0.0]  # the frequencies of one image say nothing


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A man (with a name tag) is sitting.", "a man -lrb- with a name tag -rrb- is sitting"),
        ("Red &amp; White shirt;", "red & white shirt"),
        ("A cup full of tea..", "a cup full of tea"),
        ("By a rock. A dog", "by a rock a dog"),
        ("Mr. Smith at 3:15 p.m. in the U.S.", "mr. smith at 3:15 p.m. in the u.s."),
        ("Players of AT&T, isn't it?", "players of at&t is n't it"),
        ("a bull's-eye -- and a T-shirt", "a bull 's eye and a t-shirt"),
        (" .A viewer- looks\n on! ", "a viewer looks on"),
        ("", ""),
    ],
)
def test_tokens_are_those_of_the_published_tokenizer(text: str, tokens: str) -> None:
    assert tokenise(text) == tokens.split()


def test_a_candidate_may_be_empty_but_texts_and_missing_references_are_refused() -> None:
    assert rouge.rouge_l_each([[]], [[["a", "dog"]]]) == [0.0]
    assert bleu.bleu([[]], [[["a", "dog"]]])[0] == pytest.approx(0.0, abs=1e-12)
    for score in (bleu.bleu, rouge.rouge_l, cider.cider_d):
        with pytest.raises(ValueError, match=re.escape("'a dog': a list of words is needed, not a text")):
            score(["a dog"], [[["a", "dog"]]])
        with pytest.raises(ValueError, match="candidate 1 has no reference"):
            score([["a"], ["b"]], [[["a"]], []])
        with pytest.raises(ValueError, match="2 candidates and the references of 1"):
            score([["a"], ["b"]], [[["a"]]])
    with pytest.raises(ValueError, match="images=0"):
        cider.Frequencies.of([])


def test_objects_are_found_by_their_longest_phrase() -> None:
    words = ObjectWords(COCO, COCO_OTHERWISE)
    assert len(words.categories) == 80
    assert words.found(tokenise("Two baby elephants near train tracks and knives on dining tables with hot dogs")) == [
        (1, 3, "elephant"), (7, 8, "knife"), (9, 11, "dining table"), (12, 14, "hot dog"),
    ]  # fmt: skip
    assert [plural(word) for word in ("fire hydrant", "bus", "puppy", "toy", "man", "sheep")] == [
        "fire hydrants", "buses", "puppies", "toys", "men", "sheep",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="'bat' stands in two categories"):
        ObjectWords({"animal": ("bat",), "thing": ("bat",)})
