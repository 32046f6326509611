"""VQA v2: questions about photographs with ten answers each, and files of results.

    v2_OpenEnded_mscoco_train2014_questions.json    the questions; also without `v2_`, and in a folder `questions/`
    v2_mscoco_train2014_annotations.json            the answers, likewise, or in a folder `annotations/`
    train2014/ (or images/train2014/)               the images: COCO_train2014_000000000042.jpg, or the number alone
    … the same of val2014

A file of results is what VQA's server takes: `[{"question_id": 42000, "answer": "yes"}, …]`.

A sample has

    image          float `3 S S`: the middle square of the photograph, 0..1; or the fields that `regions` gives
    question       int64 `T`: its words, without start and end
    answers        float `A`: of each answer of the vocabulary min(1, 0.3 · how many of the ten gave it)
    ten            the ten answers, as they were given; stays a list in a batch
    answer_type, question_id, name

Making the V in VQA Matter. Goyal et al. CVPR 2017, arXiv:1612.00837.
Official code: GT-Vision-Lab/VQA; soft scores: hengyuan-hu/bottom-up-attention-vqa, `tools/compute_softscore.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.utils.data import Dataset

from regard.checks import positive
from regard.data.batches import Batch, Sample, padded
from regard.data.images import SUFFIXES, quiet, read, shown
from regard.data.region_files import listed
from regard.data.texts import parsed, quoted
from regard.data.words import Words
from regard.metrics.words.answers import TEN, processed, target
from regard.metrics.words.tokens import tokenise
from regard.ops.words import PAD

HALVES = ("train", "val")
TYPES = ("yes/no", "number", "other")
RAGGED = {"question": PAD, "features": 0.0, "boxes": 0.0}

Regions = Callable[[int], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Asked:
    """A question about a photograph.

    Args:
        number: its `question_id`.
        image: the `image_id` of its photograph.
        path: the file of the photograph.
        tokens: its words.
        ten: the answers of ten annotators, as they were given.
        answer: the commonest of them, as the file says.
        kind: one of `TYPES`.
    """

    number: int
    image: int
    path: Path
    tokens: tuple[str, ...]
    ten: tuple[str, ...]
    answer: str
    kind: str


class Questions(Dataset[Sample]):
    """A dataset of questions about photographs.

    Args:
        asked: the questions.
        words: the vocabulary of the questions.
        answers: the answers among which a network chooses, as `metrics.words.answers.processed` writes them.
        size: height and width of the images, in pixels.
        longest: the number of words after which a question is cut.
        regions: `image_id` -> the fields that a sample has in place of the image, such as `features` and `boxes`.

    Attributes:
        lengths: the number of words of each question.
    """

    def __init__(
        self,
        asked: Sequence[Asked],
        words: Words,
        answers: Sequence[str],
        *,
        size: int,
        longest: int,
        regions: Regions | None = None,
    ) -> None:
        self.asked, self.words, self.answers = list(asked), words, tuple(answers)
        self.size, self.longest = positive("size", size), positive("longest", longest)
        self.regions = regions
        self.lengths = [min(len(one.tokens), longest) for one in self.asked]
        self._rows = {answer: row for row, answer in enumerate(self.answers)}

    @property
    def question_words(self) -> Words:
        """The vocabulary of the questions."""
        return self.words

    def __len__(self) -> int:
        return len(self.asked)

    def __getitem__(self, i: int) -> Sample:
        one = self.asked[i]
        scores = torch.zeros(len(self.answers))
        for answer, count in Counter(processed(answer) for answer in one.ten).items():
            if answer in self._rows:
                scores[self._rows[answer]] = target(count)
        return {
            **self._seen(one),
            "question": torch.tensor(self.words.encode(one.tokens, self.longest)[1:-1]),
            "answers": scores,
            "answer_type": one.kind,
            "ten": list(one.ten),
            "question_id": one.number,
            "name": one.path.name,
        }

    def _seen(self, one: Asked) -> Mapping[str, Tensor]:
        if self.regions is not None:
            return self.regions(one.image)
        with quiet():
            return {"image": read(one.path, self.size).pixels.float() / 255}

    @staticmethod
    def collate_fn(several: Sequence[Sample]) -> Batch:
        """A batch whose questions and regions are padded, with their masks."""
        return padded(several, fields={name: value for name, value in RAGGED.items() if name in several[0]})

    @cached_property
    def digest(self) -> str:
        """A digest of questions, answers, words, and of the sizes of the photographs' files."""
        content = hashlib.blake2b(digest_size=16)
        sizes = {one.path: one.path.stat().st_size for one in self.asked} if self.regions is None else {}
        for one in self.asked:
            content.update(repr((one.number, one.image, sizes.get(one.path), one.tokens, one.ten)).encode())
        content.update(repr((self.words.tokens, self.answers, self.size, self.longest)).encode())
        return content.hexdigest()


def found(folder: Path) -> bool:
    """Whether a folder has training questions in VQA's layout."""
    return bool(_files(folder, "train", "questions"))


def load(
    folder: Path,
    *,
    image_size: int,
    least: int = 1,
    answers: int = 9,
    longest: int = 14,
    regions: Regions | None = None,
) -> tuple[Questions, Questions]:
    """The training questions, and the validation questions to test on.

    Both vocabularies are those of the training questions.

    Args:
        folder: the folder.
        image_size: height and width of the images, in pixels.
        least: how often a word has to occur.
        answers: for how many questions an answer has to be the commonest one.
        longest: the number of words after which a question is cut.
        regions: `image_id` -> the fields that a sample has in place of the image; the folders of images are not needed.

    Raises: ValueError if a file is malformed, a question has no words, no answers or not ten, or no answer is common
        enough; FileNotFoundError if a file, a folder or an image is missing; OSError if a file cannot be read.
    """
    positive("answers", answers)
    train, test = (_half(folder, half, regions is None) for half in HALVES)
    counts = Counter(processed(one.answer) for one in train)
    ranked = sorted(counts, key=lambda answer: (-counts[answer], answer))
    kept = [answer for answer in ranked if counts[answer] >= answers]
    if not kept:
        commonest = f"{ranked[0]!r} to {counts[ranked[0]]} of {len(train)}" if ranked else "there are no questions"
        raise ValueError(f"answers={answers}: no answer is that of so many questions; the commonest: {commonest}")
    words = Words.of((one.tokens for one in train), least=least)
    how: dict[str, Any] = {"size": image_size, "longest": longest, "regions": regions}
    return Questions(train, words, kept, **how), Questions(test, words, kept, **how)


def read_results(path: Path) -> dict[int, str]:
    """The answer to each question in a file of results, by `question_id`.

    Raises: ValueError if the file is malformed, or answers a question twice; OSError if it cannot be read.
    """
    content = parsed(path)
    if not isinstance(content, list):
        raise ValueError(f"{shown(path)}: results need a list of objects with question_id and answer")
    answers: dict[int, str] = {}
    for position, one in enumerate(content):
        where = f"{shown(path)}[{position}]"
        number, answer = (one.get("question_id"), one.get("answer")) if isinstance(one, dict) else (None, None)
        if isinstance(number, bool) or not isinstance(number, int) or not isinstance(answer, str):
            raise ValueError(f"{where}: question_id, a whole number, and answer, a text, are needed")
        if number in answers:
            raise ValueError(f"{where}: question {number} is answered already; one answer to each is needed")
        answers[number] = answer
    return answers


def results(answers: Mapping[int, str]) -> str:
    """The content of a file of results, sorted by the questions' numbers."""
    return json.dumps([{"question_id": number, "answer": answers[number]} for number in sorted(answers)])


def _files(folder: Path, half: str, what: str) -> list[Path]:
    places = (folder, folder / what)
    return sorted(path for place in places for path in place.glob(f"*mscoco_{half}*_{what}.json"))


def _half(folder: Path, half: str, images: bool) -> list[Asked]:
    """The questions of a part with their answers, in the order of the file of questions."""
    paths = []
    for what in ("questions", "annotations"):
        files = _files(folder, half, what)
        if len(files) != 1:
            names = " and ".join(path.name for path in files) or "none"
            raise FileNotFoundError(f"{shown(folder)} has {names}: one *mscoco_{half}*_{what}.json is needed")
        paths += files
    answers = _answers(paths[1])
    where, content = shown(paths[0]), _object(paths[0], "questions")
    name = str(content.get("data_subtype") or _part_name(paths[0], half))
    photographs = _photographs(folder, name) if images else {}
    asked: list[Asked] = []
    for position, one in enumerate(listed(content, "questions", paths[0])):
        here = f"{where} questions[{position}]"
        number, image, text = one.get("question_id"), one.get("image_id"), one.get("question")
        if not _is_number(number) or not _is_number(image) or not isinstance(text, str):
            raise ValueError(f"{here}: question_id and image_id, whole numbers, and question, a text, are needed")
        tokens = tuple(tokenise(text))
        if not tokens:
            raise ValueError(f"{here}: a question with words is needed, not {quoted(text)}")
        if number not in answers:
            raise ValueError(f"{here}: {shown(paths[1])} has no answers to question {number}")
        there, ten, commonest, kind = answers.pop(number)
        if there != image:
            raise ValueError(f"{here}: its image is {image}, and in {shown(paths[1])} it is {there}")
        if images and image not in photographs:
            raise FileNotFoundError(f"{here}: no image has the number {image} in the folder {name}/")
        path = photographs.get(image, Path(f"{image}"))
        asked.append(Asked(number, image, path, tokens, ten, commonest, kind))
    if answers:
        raise ValueError(f"{shown(paths[1])} answers question {min(answers)}, which {where} does not ask")
    return asked


def _answers(path: Path) -> dict[int, tuple[int, tuple[str, ...], str, str]]:
    """Question -> its image, the ten answers, the commonest, and the type."""
    found: dict[int, tuple[int, tuple[str, ...], str, str]] = {}
    for position, one in enumerate(listed(_object(path, "annotations"), "annotations", path)):
        here = f"{shown(path)} annotations[{position}]"
        number, image, given = one.get("question_id"), one.get("image_id"), one.get("answers")
        if not _is_number(number) or not _is_number(image) or not isinstance(given, list):
            raise ValueError(f"{here}: question_id and image_id, whole numbers, and answers, a list, are needed")
        texts = [answer.get("answer") if isinstance(answer, dict) else None for answer in given]
        ten = tuple(answer for answer in texts if isinstance(answer, str))
        if len(given) != TEN or len(ten) != TEN:
            raise ValueError(f"{here}: ten answers, texts, are needed to question {number}")
        if number in found:
            raise ValueError(f"{here}: question {number} has answers already")
        commonest, kind = one.get("multiple_choice_answer"), one.get("answer_type")
        if not isinstance(commonest, str):
            raise ValueError(f"{here}: multiple_choice_answer, a text, is needed")
        if not isinstance(kind, str) or kind not in TYPES:
            raise ValueError(f"{here}: answer_type {quoted(kind)}: {', '.join(TYPES)} is needed")
        found[number] = image, ten, commonest, kind
    return found


def _object(path: Path, what: str) -> dict[str, Any]:
    content = parsed(path)
    if not isinstance(content, dict):
        raise ValueError(f"{shown(path)}: an object with {what} is needed")
    return content


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _part_name(path: Path, half: str) -> str:
    return next(word for word in path.stem.split("_") if word.startswith(half))


def _photographs(folder: Path, name: str) -> dict[int, Path]:
    """The images of a part by their numbers, which stand at the end of their names."""
    places = [place for place in (folder / name, folder / "images" / name) if place.is_dir()]
    if not places:
        raise FileNotFoundError(f"{shown(folder)}: the questions need the folder of their images, {name}/")
    numbered: dict[int, Path] = {}
    for path in sorted(places[0].iterdir()):
        number = re.search(r"([0-9]{1,18})$", path.stem)
        if number and path.suffix.lower() in SUFFIXES:
            numbered[int(number[1])] = path
    return numbered
