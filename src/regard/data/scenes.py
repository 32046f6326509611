"""Drawn scenes of handwritten digits and shapes, with captions, boxes and questions, for networks that use language.

A scene has three to five objects on a dark ground: handwritten digits (scikit-learn's 1,797, embedded) and squares,
discs and triangles, in five colours and two sizes, none over another. Each has five captions and six questions with ten
answers; see `scene_sentences`. No two objects of a scene have the same kind.

A scene is a function of (seed, part, index) only. The digits of training scenes are never in test scenes.

    train, test = scenes()
    train[0]                             image, words (one of the five captions of its scene), references, name
    test.images()[0]                     the same, one sample a scene
    test.regions()[0]                    features, boxes, labels in place of the image
    test.questions()[0]                  image, question, answers
    test.objects(3), test.holds(3, tokens), test.grounded(3, tokens)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from regard.checks import number, whole
from regard.data import scene_sentences as sentences
from regard.data.batches import padded
from regard.data.scene_drawing import Which, drawn, generator
from regard.data.scene_sentences import ANSWERS, COLOURS, KINDS, SIZES, Object, Question
from regard.data.words import Words
from regard.ops.seeds import mixed

TRAIN_SIZE, TEST_SIZE, SIZE, LEAST_SIZE = 2000, 500, 64, 32
SEED = 0
QUESTIONS = 6  # about each scene
PATCH = 8  # side of the pixels that are a region's feature
FEATURES = 3 * PATCH * PATCH + 4
WORDS = Words.of(
    [
        [word for phrases in sentences.RELATIONS.values() for phrase in phrases for word in phrase.split()],
        [word for frame in sentences.FRAMES for word in frame.replace("{}", "").split()],
        sorted(sentences.VISUAL),
    ],
    least=1,
)
QUESTION_WORDS = Words.of(
    [
        [*["what", "color", "is", "the", "object", "how", "many", "digits", "shapes", "objects", "are", "there", "a"]],
        [words[0] for words in sentences.RELATIONS.values() if " " not in words[0]],
        [*["left", "of", "right"], *COLOURS, *SIZES, *KINDS],
    ],
    least=1,
)
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Scenes:
    """A dataset of drawn scenes; an item is a scene with one of its captions, in turn.

    Args:
        count: the number of scenes.
        size: height and width, in pixels.
        seed: which scenes; those of two seeds have nothing in common.
        part: "train" or "test".
        held_out: pairs of kinds that are together in no training scene, and of which one is in every test scene, as the
            two largest objects.
        view: what an item is: "captions", "images" or "questions"; set by `images` and `questions`.
    """

    count: int
    size: int = SIZE
    seed: int = SEED
    part: str = "train"
    held_out: tuple[tuple[str, str], ...] = ()
    view: str = "captions"

    words = WORDS
    question_words = QUESTION_WORDS
    answers = ANSWERS
    classes = KINDS

    @property
    def digest(self) -> str:
        """A digest of all that the scenes are a function of."""
        facts = (self.count, self.size, self.seed, self.part, self.held_out, self.view)
        return f"scenes 1, {mixed(*facts) % 16**8:08x}"

    @property
    def lengths(self) -> list[int]:
        """The number of words of each item, for `Buckets`."""
        if self.view == "questions":
            return [len(_questions(self.which, i // QUESTIONS)[i % QUESTIONS].tokens) for i in range(len(self))]
        return [len(self.captions(self.scene(i))[self._which(i)]) + 2 for i in range(len(self))]

    def __len__(self) -> int:
        return self.count * {"captions": sentences.CAPTIONS, "images": 1, "questions": QUESTIONS}[self.view]

    def scene(self, i: int) -> int:
        """The number of the scene of item `i`."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"index {i} of {len(self)} items")
        return i % len(self) // (len(self) // self.count)

    def images(self) -> Scenes:
        """One item a scene, in place of one a caption."""
        return replace(self, view="images")

    def regions(self, jitter: float = 0.0) -> Regions:
        """The items with features of their objects' boxes in place of images; see `Regions`."""
        return Regions(self, number("jitter", jitter, least=0, most=1))

    def questions(self) -> Scenes:
        """One item a question, six of a scene."""
        return replace(self, view="questions")

    def __getitem__(self, i: int) -> dict[str, Any]:
        scene = self.scene(i)
        if self.view == "questions":
            return {"image": self.image(scene), **self.asked(i)}
        return {"image": self.image(scene), **self.told(i)}

    def told(self, i: int) -> dict[str, Any]:
        """The fields of language of item `i`: one of the captions of its scene, and all of them as references."""
        scene = self.scene(i)
        all = self.captions(scene)
        return {
            "words": torch.tensor(self.words.encode(all[self._which(i)])),
            "references": [list(one) for one in all],
            "name": self.name(scene),
        }

    def asked(self, i: int) -> dict[str, Any]:
        """The fields of question `i`: its words, the soft score of each answer, its type and the ten answers."""
        question = _questions(self.which, self.scene(i))[i % QUESTIONS]
        counts = torch.tensor([question.ten.count(answer) for answer in ANSWERS])
        return {
            "question": torch.tensor(self.question_words.encode(question.tokens)[1:-1]),
            "answers": (0.3 * counts).clamp(max=1.0).float(),
            "answer_type": question.kind,
            "ten": list(question.ten),
            "name": f"{self.name(self.scene(i))}, question {i % QUESTIONS}",
        }

    def collate_fn(self, samples: list[dict[str, Any]]) -> Any:
        field = "question" if self.view == "questions" else "words"
        return padded(samples, fields={field: 0}, listed=("references", "ten"))

    def name(self, scene: int) -> str:
        """The file name of a scene."""
        return f"{scene:06d}.png"

    def objects(self, scene: int) -> tuple[Object, ...]:
        """The objects of a scene."""
        return drawn(self.which, scene)[0]

    def image(self, scene: int) -> Tensor:
        """The image of a scene, `3 size size` in 0..1."""
        return drawn(self.which, scene)[1].float() / 255

    def captions(self, scene: int) -> tuple[tuple[str, ...], ...]:
        """The five captions of a scene, as words."""
        return _captions(self.which, scene)

    def asked_of(self, scene: int) -> tuple[Question, ...]:
        """The six questions about a scene."""
        return _questions(self.which, scene)

    def holds(self, scene: int, tokens: Sequence[str]) -> bool:
        """Whether a sentence is true of a scene: what it names is there, and stands as it says."""
        return sentences.holds(self.objects(scene), tokens)

    def grounded(self, scene: int, tokens: Sequence[str]) -> list[int | None]:
        """For each word of a sentence the number of the object that it is about, or None."""
        return sentences.grounded(self.objects(scene), tokens)

    def visual(self, word: str) -> bool:
        """Whether a word has to be seen: a kind, a colour or a size."""
        return word in sentences.VISUAL

    @property
    def which(self) -> Which:
        """What a scene is a function of, beside its number."""
        return Which(self.size, self.seed, self.part, self.held_out)

    def _which(self, i: int) -> int:
        return i % sentences.CAPTIONS if self.view == "captions" else 0


@dataclass(frozen=True)
class Regions:
    """Scenes seen through the boxes of their objects: the items have `features`, `boxes` and `labels`, no image.

    A feature is the 8 × 8 pixels in the box, and the box itself, 196 numbers.

    Args:
        scenes: the scenes, in any view.
        jitter: by how much a box is moved and resized, as a share of its sides.
    """

    scenes: Scenes
    jitter: float = 0.0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "scenes":
            raise AttributeError(name)
        return getattr(self.scenes, name)

    @property
    def digest(self) -> str:
        return f"{self.scenes.digest}, regions {self.jitter}"

    def __len__(self) -> int:
        return len(self.scenes)

    def images(self) -> Regions:
        """One item a scene, in place of one a caption."""
        return replace(self, scenes=self.scenes.images())

    def questions(self) -> Regions:
        """One item a question."""
        return replace(self, scenes=self.scenes.questions())

    def __getitem__(self, i: int) -> dict[str, Any]:
        scenes = self.scenes
        scene = scenes.scene(i)
        boxes, image = self.boxes(scene), scenes.image(scene)
        return {
            "features": torch.cat([patches(image, boxes), boxes], 1),
            "boxes": boxes,
            "labels": torch.tensor([KINDS.index(one.kind) for one in scenes.objects(scene)]),
            **(scenes.asked(i) if scenes.view == "questions" else scenes.told(i)),
        }

    def boxes(self, scene: int) -> Tensor:
        """The boxes of a scene's objects, `N 4` in 0..1, jittered."""
        boxes = torch.tensor([one.box for one in self.scenes.objects(scene)])
        if self.jitter:
            random = generator(self.scenes.which, scene, "jitter")
            sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
            shift = torch.from_numpy(random.uniform(-self.jitter, self.jitter, boxes.shape)).float()
            boxes = (boxes + sides * shift / 2).clamp(0, 1)
        return boxes

    def collate_fn(self, samples: list[dict[str, Any]]) -> Any:
        field = "question" if self.scenes.view == "questions" else "words"
        ragged = {field: 0, "features": 0.0, "boxes": 0.0, "labels": -1}
        return padded(samples, fields=ragged, listed=("references", "ten"))


def scenes(
    train_size: int = TRAIN_SIZE,
    test_size: int = TEST_SIZE,
    size: int = SIZE,
    seed: int = SEED,
    held_out: Pairs = (),
) -> tuple[Scenes, Scenes]:
    """The training and the test scenes.

    Args:
        train_size, test_size: numbers of scenes.
        size: height and width, in pixels, at least 32.
        seed: which scenes.
        held_out: as for `Scenes`.

    Raises: ValueError if an argument is out of range, or a pair has a kind that there is not.
    """
    whole("train_size", train_size, 1)
    whole("test_size", test_size, 1)
    whole("size", size, LEAST_SIZE)
    whole("seed", seed, 0)
    pairs = tuple((str(one), str(other)) for one, other in held_out)
    for pair in pairs:
        if not set(pair) <= set(KINDS) or pair[0] == pair[1]:
            raise ValueError(f"held_out={pair!r}: two different kinds of {', '.join(KINDS)} are needed")
    made = partial(Scenes, size=size, seed=seed, held_out=pairs)
    return made(train_size, part="train"), made(test_size, part="test")


def patches(image: Tensor, boxes: Tensor) -> Tensor:
    """The pixels in boxes, resized to 8 × 8. Shapes: image `3 H W`, boxes `N 4` -> `N 192`."""
    left, top, right, bottom = boxes[:, :, None].unbind(1)
    steps = ((torch.arange(PATCH) + 0.5) / PATCH)[None]
    x, y = 2 * (left + (right - left) * steps) - 1, 2 * (top + (bottom - top) * steps) - 1
    grid = torch.stack([x[:, None].expand(-1, PATCH, -1), y[:, :, None].expand(-1, -1, PATCH)], 3)
    cut = F.grid_sample(image.expand(len(boxes), -1, -1, -1), grid, align_corners=False, padding_mode="border")
    return cut.flatten(1)


@cache
def _captions(which: Which, scene: int) -> tuple[tuple[str, ...], ...]:
    return sentences.captions(drawn(which, scene)[0], generator(which, scene, "captions"))


@cache
def _questions(which: Which, scene: int) -> tuple[Question, ...]:
    return sentences.questions(drawn(which, scene)[0], generator(which, scene, "questions"))
