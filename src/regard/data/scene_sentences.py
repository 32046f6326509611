"""Sentences about drawn scenes: captions, whether a sentence is true of a scene, what a word is about, questions.

A caption names the two largest objects and how the first stands to the second. It is made of a frame, of what is said
of each object, and of one of the words that mean the same:

    frame       a A REL a B | there is a A REL a B | a A is REL a B | the picture shows a A REL a B |
                you see a A REL a B
    A, B        [size] colour kind: "small red seven", "green disc"
    REL         above, over | below, under | left of, to the left of | right of, to the right of

Everything is a function of the objects and a generator, so that a scene has the same sentences whenever it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SHAPES = ("square", "disc", "triangle")
KINDS = (*NUMBERS, *SHAPES)
SYNONYMS = {"disc": "circle"}  # what annotators also say
COLOURS = {
    "red": (0.90, 0.20, 0.20),
    "green": (0.25, 0.75, 0.30),
    "blue": (0.30, 0.45, 0.95),
    "yellow": (0.95, 0.85, 0.25),
    "purple": (0.70, 0.35, 0.85),
}
SIZES = ("small", "large")
RELATIONS = {
    "above": ("above", "over"),
    "below": ("below", "under"),
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
}
OPPOSITES = {"above": "below", "below": "above", "left": "right", "right": "left"}
FRAMES = (
    "a {} {} a {}",
    "there is a {} {} a {}",
    "a {} is {} a {}",
    "the picture shows a {} {} a {}",
    "you see a {} {} a {}",
)
CAPTIONS = len(FRAMES)
VISUAL = frozenset((*KINDS, *SYNONYMS.values(), *COLOURS, *SIZES))
ANNOTATORS = 10
CARELESS = 0.1  # the share of the annotators who answer something else
TYPES = ("yes/no", "number", "other")


@dataclass(frozen=True)
class Object:
    """An object of a scene.

    Args:
        kind: a word of `KINDS`.
        colour: a word of `COLOURS`.
        size: a word of `SIZES`.
        box: left, top, right, bottom in 0..1.
    """

    kind: str
    colour: str
    size: str
    box: tuple[float, float, float, float]

    @property
    def middle(self) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    @property
    def area(self) -> float:
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


def relation(first: Object, second: Object) -> str:
    """The relation of one object to another, a key of `RELATIONS`, on the axis on which they are further apart."""
    (x, y), (u, v) = first.middle, second.middle
    if abs(x - u) >= abs(y - v):
        return "left" if x < u else "right"
    return "above" if y < v else "below"


def told(objects: Sequence[Object]) -> tuple[Object, Object]:
    """The two objects that captions name: the largest, and of the others the largest."""
    first, second = sorted(objects, key=lambda one: -one.area)[:2]
    return first, second


def captions(objects: Sequence[Object], random: np.random.Generator) -> tuple[tuple[str, ...], ...]:
    """Five captions, one of each frame, as tokens; words that mean the same, sizes and the order are drawn."""
    first, second = told(objects)
    found = []
    for frame in FRAMES:
        one, other = (first, second) if random.random() < 0.7 else (second, first)
        saying = RELATIONS[relation(one, other)]
        phrase = saying[int(random.random() < 0.3)]
        found.append(tuple(frame.format(_noun(one, random), phrase, _noun(other, random)).split()))
    return tuple(found)


def _noun(one: Object, random: np.random.Generator) -> str:
    kind = SYNONYMS.get(one.kind, one.kind) if random.random() < 0.3 else one.kind
    return f"{one.size} {one.colour} {kind}" if random.random() < 0.3 else f"{one.colour} {kind}"


# Reading a sentence


@dataclass(frozen=True)
class Phrase:
    """A noun with what is said of it, and the places of its words in the sentence."""

    kind: str
    colour: str | None
    size: str | None
    places: tuple[int, ...]

    def fits(self, one: Object) -> bool:
        return one.kind == self.kind and self.colour in (None, one.colour) and self.size in (None, one.size)


def phrases(tokens: Sequence[str]) -> list[Phrase]:
    """The nouns of a sentence with the colours and sizes before each."""
    kinds = {kind: kind for kind in KINDS} | {other: kind for kind, other in SYNONYMS.items()}
    found: list[Phrase] = []
    colour: str | None = None
    size: str | None = None
    places: list[int] = []
    for place, token in enumerate(tokens):
        if token in COLOURS:
            colour, places = token, [*places, place]
        elif token in SIZES:
            size, places = token, [*places, place]
        elif token in kinds:
            found.append(Phrase(kinds[token], colour, size, (*places, place)))
            colour, size, places = None, None, []
        else:
            colour, size, places = None, None, []
    return found


def said_relation(tokens: Sequence[str]) -> str | None:
    """The relation that a sentence names; None for none, or for several."""
    text = f" {' '.join(tokens)} "
    found = {name for name, words in RELATIONS.items() if any(f" {word} " in text for word in words)}
    return found.pop() if len(found) == 1 else None


def holds(objects: Sequence[Object], tokens: Sequence[str]) -> bool:
    """Whether a sentence about two objects and their relation is true of a scene, whichever objects it names."""
    nouns, named = phrases(tokens), said_relation(tokens)
    if len(nouns) != 2 or named is None:
        return False
    return any(
        nouns[0].fits(one) and nouns[1].fits(other) and relation(one, other) == named
        for one in objects
        for other in objects
        if one is not other
    )


def grounded(objects: Sequence[Object], tokens: Sequence[str]) -> list[int | None]:
    """For each word the number of the object that it is about; None for other words, and where several objects fit."""
    about: list[int | None] = [None] * len(tokens)
    for phrase in phrases(tokens):
        fitting = [number for number, one in enumerate(objects) if phrase.fits(one)]
        if len(fitting) == 1:
            for place in phrase.places:
                about[place] = fitting[0]
    return about


# Questions


@dataclass(frozen=True)
class Question:
    """A question about a scene.

    Args:
        tokens: its words.
        answer: the true answer.
        ten: those of ten annotators, of whom some are careless.
        kind: a word of `TYPES`.
    """

    tokens: tuple[str, ...]
    answer: str
    ten: tuple[str, ...]
    kind: str


ANSWERS = ("yes", "no", *(str(number) for number in range(6)), *COLOURS, *KINDS)


def questions(objects: Sequence[Object], random: np.random.Generator) -> tuple[Question, ...]:
    """Six questions, two of each type; half of those for yes and no have the answer yes."""

    def pick(among: Sequence[Any]) -> Any:
        return among[int(random.integers(len(among)))]

    one = pick(objects)
    alone = [o for o in objects if sum((o.colour, o.size) == (p.colour, p.size) for p in objects) == 1]
    found = [_question(f"what color is the {one.kind}", one.colour, tuple(COLOURS), "other", random)]
    if alone:
        named = pick(alone)
        text = f"what is the {named.size} {named.colour} object"
        found.append(_question(text, named.kind, KINDS, "other", random))
    else:
        named = pick([o for o in objects if o is not one])
        found.append(_question(f"what color is the {named.kind}", named.colour, tuple(COLOURS), "other", random))
    group, members = pick((("digits", NUMBERS), ("shapes", SHAPES)))
    count = sum(other.kind in members for other in objects)
    numbers = tuple(str(number) for number in range(6))
    found.append(_question(f"how many {group} are there", str(count), numbers, "number", random))
    colour = pick(tuple(COLOURS))
    count = sum(other.colour == colour for other in objects)
    found.append(_question(f"how many {colour} objects are there", str(count), numbers, "number", random))
    there = bool(random.random() < 0.5)
    absent = [
        (colour, kind)
        for colour in COLOURS
        for kind in KINDS
        if not any(other.colour == colour and other.kind == kind for other in objects)
    ]
    asked = (one.colour, one.kind) if there else pick(absent)
    answers = ("yes", "no")
    found.append(_question(f"is there a {asked[0]} {asked[1]}", answers[not there], answers, "yes/no", random))
    other = pick([other for other in objects if other is not one])
    true, right = relation(one, other), bool(random.random() < 0.5)
    asked_relation = RELATIONS[true if right else OPPOSITES[true]][0]
    text = f"is the {one.colour} {one.kind} {asked_relation} the {other.colour} {other.kind}"
    found.append(_question(text, answers[not right], answers, "yes/no", random))
    return tuple(found)


def _question(text: str, answer: str, possible: Sequence[str], kind: str, random: np.random.Generator) -> Question:
    careless = random.random(ANNOTATORS) < CARELESS
    others = random.integers(len(possible), size=ANNOTATORS)
    ten = tuple(possible[int(other)] if wrong else answer for wrong, other in zip(careless, others, strict=True))
    return Question(tuple(text.split()), answer, ten, kind)
