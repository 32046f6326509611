"""Answers to visual questions as texts: how they are compared, and the accuracy of one.

VQA: Visual Question Answering. Antol et al. ICCV 2015, arXiv:1505.00468. With the answers of ten annotators:

    accuracy = mean over the annotators of min(1, n / 3),  n of the nine others gave the answer                    (1)
    target   = min(1, 0.3 · n),  n of the ten gave it                                                              (2)

(2) is (1) for an answer that n gave, and the target of a network that chooses among answers
(hengyuan-hu/bottom-up-attention-vqa, `tools/compute_softscore.py`).

Official code: GT-Vision-Lab/VQA, `PythonEvaluationTools/vqaEvaluation/vqaEval.py`. What it does is kept, since scores
are compared across papers:

    - texts are processed only where the ten answers are not all the same text: "Yes." is wrong where all said "yes"
    - a mark becomes nothing if a space stands beside one of its kind, or if a comma stands between digits anywhere in
      the text; otherwise a space
    - the first 32 periods that no digit follows are removed, also those behind a digit
    - "none" is 0
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from regard.checks import whole

TEN = 10
MARKS = ';/[]"{}()=+\\_-><@`,?!'
PERIODS = 32  # the most that are removed from a text
NUMBERS = {"none": "0"} | {
    word: str(value)
    for value, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
}
ARTICLES = frozenset(("a", "an", "the"))
# Written without one of its apostrophes, each of these gets it back.
_APOSTROPHES = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
CONTRACTIONS = {
    word[:place] + word[place + 1 :]: word
    for word in _APOSTROPHES.split()
    for place, letter in enumerate(word)
    if letter == "'"
} | {"somebody'd": "somebodyd"}  # the wrong way round, as in the official table

_PERIOD = re.compile(r"\.(?!\d)", re.ASCII)
_THOUSANDS = re.compile(r"\d,\d", re.ASCII)


def processed(answer: str) -> str:
    """An answer as it is compared: without marks and articles, lower case, numbers as digits, apostrophes in place."""
    words = (NUMBERS.get(word, word) for word in unmarked(answer).lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def unmarked(answer: str) -> str:
    """An answer without marks and periods, the first step of `processed`."""
    found, numbers = answer, bool(_THOUSANDS.search(answer))
    for mark in MARKS:
        beside = f"{mark} " in answer or f" {mark}" in answer
        found = found.replace(mark, "" if beside or numbers else " ")
    return _PERIOD.sub("", found, count=PERIODS)


def accuracy(answer: str, ten: Sequence[str]) -> float:
    """Equation (1), from 0 to 1.

    Args:
        answer: the answer of a network.
        ten: those of the annotators, two at least.

    Raises: ValueError if there are fewer than two.
    """
    if isinstance(ten, str) or len(ten) < 2:
        raise ValueError(f"ten={ten!r}: the answers of several annotators are needed")
    given, *others = (" ".join(re.split(r"[\n\t]", text)).strip() for text in (answer, *ten))
    if len(set(others)) > 1:
        given, *others = map(processed, (given, *others))
    same = others.count(given)
    found = [min(1.0, (same - (other == given)) / 3) for other in others]
    return sum(found) / len(found)


def target(count: int) -> float:
    """Equation (2), for an answer that `count` of ten gave. Raises: ValueError if that is not 0 to 10."""
    return min(1.0, 3 * whole("count", count, 0, TEN) / 10)
