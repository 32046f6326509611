"""Words of captions, as the published caption scores count them.

The scores of captions are computed by coco-caption on the tokens of Stanford's PTBTokenizer (Java), in lower case and
without punctuation. Here NLTK's tokenizer of the same conventions makes the tokens, and what differs is mended:

    text                 NLTK's tokenizer            here, as Stanford's
    (a name)             ( a name )                  -lrb- a name -rrb-
    salt &amp; pepper    salt & amp ; pepper         salt & pepper
    tea.. Then           tea .. Then                 tea then
    a rock. A man        a rock. A man               a rock a man
    in D.C.              in D.C .                    in d.c.
    at AT&T              at AT & T                   at at&t
    a bull's-eye         a bull 's-eye               a bull 's eye
"""

from __future__ import annotations

import re
from functools import cache

from nltk.tokenize.destructive import NLTKWordTokenizer

# What coco-caption removes, here after lower case. It lists the brackets in upper case, which no token in lower case
# equals: they stay.
PUNCTUATION = frozenset(("''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"))
BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'"}
# Words that keep their period within a sentence; those of single letters (U.S., p.m.) keep it anyway.
ABBREVIATIONS = frozenset(
    [
        *("mr", "mrs", "ms", "dr", "prof", "rev", "gov", "gen", "sen", "rep", "lt", "col", "capt", "sgt", "jr", "sr"),
        *("st", "ft", "ave", "blvd", "rd", "inc", "co", "cos", "corp", "ltd", "bros", "dept", "univ", "vs", "etc"),
        *("jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
        *("mon", "tue", "tues", "wed", "thu", "thurs", "fri", "sat", "calif", "fla", "mass", "no"),
    ]
)

# Words that NLTK's tokenizer cuts in two.
CUT = frozenset(("cannot", "gimme", "gonna", "gotta", "lemme", "wanna"))

# Most captions: words of letters, commas, and a period at the end, which a plain split cuts as the tokenizer does, if
# no word is one that it treats by itself. It takes a fiftieth of the time.
_PLAIN = re.compile(r"[A-Za-z]+(?: ?,? [A-Za-z]+)* ?\.?")
_ENTITY = re.compile("|".join(ENTITIES), re.IGNORECASE)
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_EDGES = re.compile(r"^\.+(?=[^\W\d_])|(?<=\w)-+$")
_JOINED = re.compile(r"\b[A-Z]+(?:&[A-Z]+)+")  # AT&T
_AND = "\ue000"  # stands for the "&" of such a name while the text is cut; of Unicode's private area
_PERIOD = re.compile(r"^(.*\w)(\.+)$")
_CLITIC = re.compile(r"(\w*)('s|'re|'ve|'ll|'d|'m)-(\w.*)")


def tokenise(text: str) -> list[str]:
    """The words of a sentence, in lower case and without punctuation.

    Raises: ValueError if `text` is no text.
    """
    if not isinstance(text, str):
        raise ValueError(f"text={text!r}: a text is needed")
    text = " ".join(text.split())
    if _PLAIN.fullmatch(text):
        plain = re.sub("[,.]", "", text).lower().split()
        if len(plain[-1]) > 1 and not (CUT | ABBREVIATIONS).intersection(plain):
            return plain
    text = _ENTITY.sub(lambda found: ENTITIES[found.group().lower()], text)
    text = _JOINED.sub(lambda found: found.group().replace("&", _AND), text)
    raw = [token.replace(_AND, "&").lower() for token in _tokenizer().tokenize(text)]
    found: list[str] = []
    for place, token in enumerate(raw):
        if token in BRACKETS:
            found.append(BRACKETS[token])
        elif raw[place + 1 :] == ["."] and _abbreviated(token):
            found.append(token + ".")  # the final period is both the abbreviation's and the sentence's
        else:
            found += _parts(token)
    return [token for token in found if token not in PUNCTUATION and token.strip(".")]


def _parts(token: str) -> list[str]:
    """The words of one token of NLTK's: without a period or a hyphen at its edges that belongs to no abbreviation."""
    token = _EDGES.sub("", token)
    period = _PERIOD.match(token)
    if period:
        word = period.group(1)
        token = token if _abbreviated(word) else word
    clitic = _CLITIC.fullmatch(token)
    return [part for part in clitic.groups() if part] if clitic else [token]


def _abbreviated(word: str) -> bool:
    """Whether a word without its last period is an abbreviation: a letter, several with periods, or a known one."""
    return bool(_INITIALS.fullmatch(word)) or (len(word) == 1 and word.isalpha()) or word in ABBREVIATIONS


@cache
def _tokenizer() -> NLTKWordTokenizer:
    return NLTKWordTokenizer()
