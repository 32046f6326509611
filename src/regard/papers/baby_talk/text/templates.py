"""Baby Talk's sentences by templates: what is there, and how the things lie to each other.

    This picture shows one person, one grass, and one chair. The person is near the green grass, and in the chair.
    This is a photograph of one dog and one brown sofa. The dog is on the brown sofa.

The first form counts the objects without their attributes; it is used for more than three, as in the paper's examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from regard.checks import choice

Thing = tuple[str | None, str]  # attribute or None, object
Triple = tuple[Thing, str, Thing]
FORMS = ("picture", "photograph")
SHORT = 3  # objects that the second form names at most
COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def described(triples: Sequence[Triple], things: Sequence[Thing] = (), *, form: str | None = None) -> str:
    """A text of a few sentences about an image.

    Args:
        triples: object, preposition, object, each object with its attribute or None; those with one subject in a row
            share a sentence.
        things: the objects that are there, counted, where not all stand in the triples or one kind is there twice;
            empty for those of the triples in their order.
        form: "picture" or "photograph"; None chooses by the number of objects.

    Raises: ValueError for no object, an object without a name, or an unknown form.
    """
    triples = [(_thing(subject), word, _thing(other)) for subject, word, other in triples]
    named = [_thing(one) for one in things]
    if not named:
        named = list(dict.fromkeys(thing for subject, _, other in triples for thing in (subject, other)))
    if not named:
        raise ValueError("triples=[]: at least one triple or one thing is needed")
    form = choice("form", form or (FORMS[1] if len(named) <= SHORT else FORMS[0]), FORMS)
    if form == "picture":
        opening = f"This picture shows {_listed(_counted([(None, name) for _, name in named]))}."
    else:
        opening = f"This is a photograph of {' and '.join(_counted(named))}."
    sentences = [_sentence(subject, list(several)) for subject, several in groupby(triples, key=lambda one: one[0])]
    if form == "photograph" and len(sentences) > 1:
        sentences[-1] = f"And {sentences[-1][0].lower()}{sentences[-1][1:]}"
    return " ".join([opening, *sentences])


def _thing(thing: Sequence[str | None]) -> Thing:
    attribute, name = thing
    if not name:
        raise ValueError(f"triples: the object {tuple(thing)!r} has no name")
    return attribute, name


def _phrase(thing: Thing) -> str:
    return " ".join(word for word in thing if word)


def _sentence(subject: Thing, triples: list[Triple]) -> str:
    """The sentence about one subject."""
    relations = [f"{word} the {_phrase(other)}" for _, word, other in triples]
    return f"The {_phrase(subject)} is {', and '.join(relations)}."


def _counted(things: Sequence[Thing]) -> list[str]:
    """Each kind of thing with its number in words."""
    found = []
    for thing, count in Counter(things).items():
        number = COUNTS[count] if count < len(COUNTS) else str(count)
        found.append(f"{number} {_phrase(thing)}{'s' if count > 1 else ''}")
    return found


def _listed(parts: list[str]) -> str:
    if len(parts) < 3:
        return " and ".join(parts)
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"
