"""The names of objects in sentences."""

from __future__ import annotations

import pytest

from regard.data.object_names import Mention, ObjectNames

NAMES = ObjectNames.of(
    {"person": ("person", "man", "woman"), "teddy bear": ("teddy bear", "teddy"), "knife": ("knife",)}
)


def test_longer_names_are_taken_first_and_absent_classes_are_not_meant() -> None:
    tokens = ["two", "men", "hold", "a", "teddy", "bear", "and", "a", "teddy", "with", "knives"]
    bear, teddy = Mention(4, 2, 2, 4, False), Mention(8, 1, 2, 5, False)
    assert NAMES.mentions(tokens) == [Mention(1, 1, 1, 2, True), bear, teddy, Mention(10, 1, 3, 6, True)]
    assert NAMES.mentions(tokens, {2}) == [bear, teddy]
    assert NAMES.mentions(["teddy", "bears"]) == [Mention(0, 2, 2, 4, True)]


def test_what_is_said_of_a_name() -> None:
    assert [NAMES.said(2, True), NAMES.said(4, True), NAMES.said(6, False), NAMES.said(0, True)] == [
        ["men"], ["teddy", "bears"], ["knife"], [],
    ]  # fmt: skip


def test_a_name_belongs_to_the_first_class_that_has_it() -> None:
    assert ObjectNames.of({"cup": ("cup", "glass"), "wine glass": ("glass", "wine glass")}).owners == (1, 1, 2)
    with pytest.raises(ValueError, match="'wine glass' has no name of its own among glass"):
        ObjectNames.of({"cup": ("cup", "glass"), "wine glass": ("glass",)})
    with pytest.raises(ValueError, match="'a' stands there twice"):
        ObjectNames(("x", "y"), ("a", "a"), (1, 2))
    with pytest.raises(ValueError, match="owners=3 of 'a': a class from 1 to 2"):
        ObjectNames(("x", "y"), ("a",), (3,))
