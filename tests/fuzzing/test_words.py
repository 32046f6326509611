"""Mutated words of the command line: JSON arguments, rows of a comparison, axes, and files given as Python files."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from regard.catalog import rows
from regard.cli import arguments, loading

ROW = "cbam(order=parallel, pools=[avg, lp], reduction=4)@layer3+layer4.1.bn2, se(reduction=16), none, eca@layer*.*"
OBJECT = '{"channels": 64, "pools": ["avg", "max"], "inner": {"x": [1, 2.5, null, true]}}'


def row_texts(text: str) -> tuple[str, ...]:
    """Rows by the texts under which folders and reports know them, which have to read as the same rows again."""
    found = rows.rows(text)
    for row in found:
        assert rows.parse(str(row)) == row, "a row's own text reads as another row"
        assert len(rows.folder(str(row))) < 100
    return tuple(map(str, found))


READERS: dict[str, tuple[Callable[[str], object], str, str]] = {
    "a JSON argument": (lambda text: arguments.json_object("--kwargs", text), OBJECT, "--kwargs"),
    "rows": (row_texts, ROW, ""),
    "axes": (lambda text: arguments.axes("--inputs", [text]), "word<11> B 2H W/4", "--inputs"),
    "a device": (arguments.device, "cuda:1", "--device"),
}


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", READERS)
def test_mutated_words_are_read_or_refused_by_name(fuzzing, mutated, name, count):
    read, whole, named = READERS[name]
    given = [whole]
    changes = mutated(whole.encode(), 3, "json" if name == "a JSON argument" else "text")

    def cases() -> Iterator[tuple[object, str]]:
        for _ in range(count):
            given[0] = next(changes).decode("utf-8", "replace")
            yield given[0][:200], named

    fuzzing(lambda: read(given[0]), cases(), short=False)


@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_a_mutated_python_file_is_imported_or_refused_by_name(tmp_path, fuzzing, mutated, count):
    """The file has a class and nothing that a mutation could make harmful: it is the user's own code, and is run."""
    path = tmp_path / "own_module.py"
    content = b'class Own:\n    """Doubles."""\n\n    factor = 2\n\n    def __call__(self, x):\n        return x * 2\n'
    changes = mutated(content, 4, "text")

    def cases() -> Iterator[tuple[object, str]]:
        for number in range(count):
            path.write_bytes(next(changes))
            yield f"mutation {number}", "own_module.py"

    fuzzing(lambda: loading.class_at(f"{path}:Own"), cases())
