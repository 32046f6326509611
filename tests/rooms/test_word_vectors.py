"""GloVe's text files: rows of a vocabulary, words with spaces, and what is wrong in a file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch

from regard.data import word_vectors
from regard.data.words import Words

WORDS = Words.of([["dog", "cat", ". . .", "zebra"]], least=1)
LINES = "the 1 2 3\ndog 0.5 -1.25 2e-1\n. . . 4 5 6\ncat 7 8 9\n"


def rows(found: word_vectors.Vectors) -> dict[str, list[float]]:
    return {token: row.tolist() for token, row in zip(WORDS.tokens, found.weight, strict=True)}


@pytest.mark.parametrize("name", ["glove.txt", "glove.txt.gz"])
def test_every_word_has_its_own_row(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(LINES.encode()) if name.endswith("gz") else LINES.encode())
    found = word_vectors.load(path, WORDS, scale=0)
    assert found.weight.shape == (8, 3)
    assert rows(found)["dog"] == pytest.approx([0.5, -1.25, 0.2])
    assert (rows(found)[". . ."], rows(found)["cat"]) == ([4, 5, 6], [7, 8, 9])
    assert found.missing == ("zebra",)
    assert rows(found)["zebra"] == [0, 0, 0]


def test_words_without_a_vector_follow_the_seed_and_padding_is_zero(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text(f"3 3\n{LINES}")  # word2vec's first line is passed over
    one, same, other = (word_vectors.load(path, WORDS, scale=0.5, seed=seed).weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one[WORDS.tokens.index("zebra")], other[WORDS.tokens.index("zebra")])
    assert one[0].tolist() == [0, 0, 0]
    assert one[1].abs().min() > 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no vectors"),
        (b"the 1 2 3\ndog 1 2\n", "line 2: a word and 3 values are needed"),
        (b"the 1 2 3\ndog 1 2 3 4\n", "line 2: a word and 3 values are needed"),
        (b"the 1 2 3\ndog 1 two 3\n", "line 2, 'dog': 3 numbers are needed"),
        (b"the 1 2 3\ndog 1 nan 3\n", "line 2, 'dog': finite numbers are needed"),
        (b"dog 1 2\ndog 1 3\n", "line 2: 'dog' has a vector already"),
        (b"the 1 2 3\n", "has none of the 4 words"),
        (b"the 1 2\nd\xffg 1 2\n", "line 2 is not UTF-8 text"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "glove.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        word_vectors.load(path, WORDS)


def test_a_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt.gz"
    path.write_bytes(gzip.compress(LINES.encode())[:-9])
    with pytest.raises(ValueError, match="is not a whole gzip file"):
        word_vectors.load(path, WORDS)
