"""Files of sentences, and the phrases that are found in them."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from regard.data.phrases import Lexicon, Phrase
from regard.data.sentence_files import sentences_of
from regard.metrics.words import tokens

FLICKR = "1.jpg#0\tA dog runs .\n1.jpg#1\tTwo men's hats .\n"


def test_token_files_plain_lines_and_compressed_ones_are_read(tmp_path: Path) -> None:
    one, two, three = tmp_path / "Flickr8k.token.txt", tmp_path / "reference0", tmp_path / "train.1.en.gz"
    one.write_text(FLICKR, encoding="utf-8")
    two.write_bytes(b"\xef\xbb\xbfA cat.\r\n\r\n...\r\nIt sits, purring.\r\n")
    three.write_bytes(gzip.compress("Ein Mädchen #1\tläuft.\n".encode()))
    assert sentences_of(str(one)) == [("a", "dog", "runs"), ("two", "men", "'s", "hats")]
    assert sentences_of([two, str(three)]) == [
        ("a", "cat"),
        ("it", "sits", "purring"),
        ("ein", "mädchen", "#", "1", "läuft"),
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (FLICKR.encode() + b"no key\n", "x.gz: caption 3 has no NAME#NUMBER"),
        (b"\n...\n", "has no sentence"),
        (b"caf\xe9\n", "is not UTF-8"),
    ],
)
def test_files_that_are_no_sentences_are_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=told):
        sentences_of(path)
    plain = tmp_path / "y.txt"
    plain.write_bytes(content)
    with pytest.raises(ValueError, match=told.replace("x.gz", "y.txt")):
        sentences_of([plain])


def test_what_is_no_file_or_no_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape("paths=[]")):
        sentences_of([])
    with pytest.raises(FileNotFoundError, match=r"no file .*gone\.txt"):
        sentences_of(tmp_path / "gone.txt")
    (tmp_path / "z.gz").write_text("plain", encoding="utf-8")
    with pytest.raises(ValueError, match=r"z\.gz is not a whole gzip file"):
        sentences_of(tmp_path / "z.gz")


TEXTS = (
    *(
        "A man, smiling, rides a bike.",
        "a dog runs .",
        "They cannot swim",
        "Gonna run",
        "Mr. Smith met no one.",
        "in D",
    ),
    *(
        "plan B.",
        "a cat , a dog",
        "word,word here",
        "at etc.",
        "A",
        "a b.",
        "I see a bird ,",
        "It is no.",
        "two dogs...",
    ),
)


@pytest.mark.parametrize("text", TEXTS)
def test_plain_captions_are_cut_as_the_tokenizer_cuts_them(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = tokens.tokenise(text)
    monkeypatch.setattr(tokens, "_PLAIN", re.compile("(?!)"))
    assert quick == tokens.tokenise(text)


CORPUS = [
    text.split()
    for text in (
        "two brown dogs are running in the deep snow",
        "a dog runs to the left of a girl",
        "a girl is wearing black pants while panting",
        "a man dressed in a red shirt is playing with one ball",
        "the two men quickly play near a swing",
        "a child is swinging on a swing",
        "a girl in pants and a dog in pants",
        "the girl likes pants",
    )
]


def test_phrases_have_a_head_modifiers_a_preposition_and_a_verb() -> None:
    lexicon = Lexicon.of(CORPUS)
    assert lexicon.read(CORPUS[0]) == [Phrase("dog", ("brown",)), Phrase("snow", ("deep",), "in", "running")]
    assert lexicon.read(CORPUS[1]) == [Phrase("dog"), Phrase("girl", (), "to the left of", "running")]
    assert lexicon.read(CORPUS[3]) == [
        Phrase("man"), Phrase("shirt", ("red",), "in", "dressed"), Phrase("ball", (), "with", "playing")
    ]  # fmt: skip
    assert lexicon.read(CORPUS[4]) == [Phrase("man"), Phrase("swing", (), "near", "playing")]
    assert lexicon.acts(CORPUS[5]) == ["swinging"]
    assert "pants" not in lexicon.verbs  # more often than panting
    assert lexicon.singular == {"dogs": "dog", "men": "man"}


def test_a_number_is_a_noun_where_no_noun_follows() -> None:
    lexicon = Lexicon.of([["a", "red", "seven"]])
    read = lexicon.read(["a", "red", "seven", "above", "the", "two"])
    assert read == [Phrase("seven", ("red",)), Phrase("two", (), "above")]
    assert lexicon.read(["two", "dogs"]) == [Phrase("dogs")]
