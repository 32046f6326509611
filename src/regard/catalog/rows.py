"""Parsing the rows of a comparison: a mechanism, its options and its place, written as one text.

    cbam                                    a catalogue name or an alias, with its defaults, at the usual sites
    cbam(order=parallel, pools=[avg, lp])   options of its constructor: JSON or Python literals, and bare words
    cbam@layer3+layer4.1.bn2                after these modules; a stage stands for the usual sites inside it
    sca(order=sc)@layer*.*.bn2              glob patterns over module names, as `regard.attach(after=…)` takes them

Several rows are separated by commas; a comma inside brackets or quotes separates nothing. One row can be written in
several ways (aliases, spaces, the order of options); `str(row)` is the one by which folders, results and reports know
it, and `parse` of it gives the same row.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from regard import catalog

NONE = "none"
PLAIN = "plain"
ALL = "all"
REFERENCES = (NONE, PLAIN)

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]

_PAIRS = {"(": ")", "[": "]", "{": "}"}
_NAME = re.compile(r"[A-Za-z_]\w*")
_WORD = re.compile(r"[A-Za-z_][\w./-]*")
_CONSTANTS: dict[str, Value] = {"None": None, "null": None, "True": True, "true": True, "False": False, "false": False}


@dataclass(frozen=True)
class Variant:
    """A mechanism with its options and its place.

    Args:
        mechanism: a catalogue name, or `none`, `plain`, `all`.
        options: arguments of the mechanism's constructor other than `channels`, as JSON holds them.
        places: glob patterns over module names, or names of stages; empty for the usual sites.
    """

    mechanism: str
    options: Mapping[str, Value] = field(default_factory=dict)
    places: tuple[str, ...] = ()

    def __str__(self) -> str:
        options = ", ".join(f"{name}={_written(value)}" for name, value in sorted(self.options.items()))
        return (
            self.mechanism + (f"({options})" if options else "") + ("@" + "+".join(self.places) if self.places else "")
        )


def parse(text: str, *, heads: bool = False) -> Variant:
    """Parses the text of one row.

        parse("CBAM(order=parallel)@layer3")

    Args:
        text: the row.
        heads: accept heads for segmentation, and parts of them, beside what can be attached.

    Raises:
        LookupError: no such mechanism; the message names the nearest.
        ValueError: the text is not written as a row is, an option is given twice or is none of the mechanism's, the
            mechanism cannot be attached, or a reference row gets options or a place.
    """
    head, at, where = _partition(text, "@")
    name, bracket, rest = head.partition("(")
    name = name.strip()
    if not name:
        raise ValueError(f"attention={text!r}: a row begins with the name of a mechanism, for example cbam@layer3")
    options: dict[str, Value] = {}
    if bracket:
        if not rest.rstrip().endswith(")"):
            raise ValueError(f"attention={text!r}: the options end with ')', for example cbam(order=parallel)@layer3")
        options = _options(rest.rstrip()[:-1], text)
    places = tuple(dict.fromkeys(place.strip() for place in where.split("+"))) if at else ()
    if at and not all(places):
        raise ValueError(
            f"attention={text!r}: names of modules follow '@', joined by '+', for example cbam@layer3+layer4"
        )
    if name in REFERENCES and (options or places):
        raise ValueError(f"attention={text!r}: {name} is a reference row and takes neither options nor a place")
    if name == ALL and options:
        raise ValueError(
            f"attention={text!r}: all stands for many mechanisms and takes no options; a place is accepted"
        )
    if name in (*REFERENCES, ALL):
        return Variant(name, options, places)
    entry = catalog.get(name)
    if not (entry.drop_in or (heads and "segmentation" in entry.tasks and not entry.system)):
        raise ValueError(
            f"attention={text!r}: {entry.name} makes {' and '.join(entry.outputs)} of {' and '.join(entry.inputs)}; "
            "what makes one map B C H W of another is accepted"
        )
    try:
        catalog.check_arguments(entry, options, entry.name)
    except TypeError as error:
        raise ValueError(f"attention={text!r}: {error}") from None
    return Variant(entry.name, options, places)


def rows(text: str | Sequence[str], *, heads: bool = False) -> tuple[Variant, ...]:
    """Parses the rows of a text or of several texts; each row is returned once, in order; `heads` as for `parse`.

    Raises: as `parse`.
    """
    texts = [text] if isinstance(text, str) else list(text)
    parts = [part.strip() for each in texts for part in _split(each, each)]
    found = {str(row): row for row in (parse(part, heads=heads) for part in parts if part)}
    return tuple(found.values())


def folder(text: str) -> str:
    """A row's text as the name of a folder on any file system; rows that differ have names that differ."""
    if re.fullmatch(r"[a-z0-9_]+", text):
        return text
    readable = re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")[:60]
    return f"{readable}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"


def _options(content: str, text: str) -> dict[str, Value]:
    options: dict[str, Value] = {}
    for part in _split(content, text):
        if not part.strip():
            continue
        name, equals, value = _partition(part, "=")
        name = name.strip()
        if not equals or not _NAME.fullmatch(name) or not value.strip():
            raise ValueError(f"attention={text!r}: {part.strip()!r} is no option; name=value is accepted")
        if name in options:
            raise ValueError(f"attention={text!r}: the option {name} is given twice")
        if name == "channels":
            raise ValueError(f"attention={text!r}: channels is known from the place and cannot be given")
        options[name] = _value(value.strip(), text)
    return options


def _value(content: str, text: str) -> Value:
    """A JSON or Python literal, a bare word, or a list of such values."""
    if content in _CONSTANTS:
        return _CONSTANTS[content]
    if (content[0], content[-1]) in (("[", "]"), ("(", ")")):
        return [_value(part.strip(), text) for part in _split(content[1:-1], text) if part.strip()]
    if _WORD.fullmatch(content):
        return content
    try:
        plain: Value = json.loads(json.dumps(_literal(content), allow_nan=False))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"attention={text!r}: {content!r} is no value; a number, a word, a quoted text, true, false, null or a "
            "list in brackets is accepted"
        ) from error
    return plain


def _literal(content: str) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return ast.literal_eval(content)


def _written(value: Value) -> str:
    """A value as `_value` reads it, words without quotes."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    if isinstance(value, str) and _WORD.fullmatch(value) and value not in _CONSTANTS:
        return value
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is not None else "null"
    return repr(value)


def _tokens(content: str, text: str) -> Iterator[tuple[int, str]]:
    """Position and character of everything that stands outside brackets and quotes.

    Raises: ValueError if a bracket or a quote is not closed.
    """
    closing: list[str] = []
    quote, escaped = "", False
    for position, character in enumerate(content):
        if quote:
            if escaped or character == "\\":
                escaped = not escaped
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character in _PAIRS:
            closing.append(_PAIRS[character])
        elif character in _PAIRS.values():
            if not closing or closing.pop() != character:
                raise ValueError(f"attention={text!r}: {character!r} closes no bracket")
        elif not closing:
            yield position, character
    if quote or closing:
        raise ValueError(f"attention={text!r}: {quote or closing[-1]!r} is missing at the end")


def _split(content: str, text: str) -> list[str]:
    """The parts between commas outside brackets and quotes."""
    cuts = [-1, *(position for position, character in _tokens(content, text) if character == ","), len(content)]
    return [content[start + 1 : end] for start, end in pairwise(cuts)]


def _partition(content: str, at: str) -> tuple[str, str, str]:
    """As `str.partition`, at a character outside brackets and quotes."""
    found = next((position for position, character in _tokens(content, content) if character == at), None)
    return (content, "", "") if found is None else (content[:found], at, content[found + 1 :])
