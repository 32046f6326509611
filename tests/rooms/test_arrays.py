"""Archives of arrays: as NumPy reads them, and bounded whatever they claim."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from regard.saved import arrays

GIVEN = {
    "plain": np.arange(30, dtype=np.float32).reshape(2, 3, 5),
    "map.cbam(order=parallel)@layer3": np.array([True, False, True]),
    "turned": np.asfortranarray(np.arange(42).reshape(6, 7)),
    "words": np.array(["cat", "dog é"]),
    "one": np.float64(2.5),
    "none": np.zeros((0, 11), np.int8),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_reads_as_it_was_written(save):
    file = io.BytesIO()
    save(file, **GIVEN)
    found = arrays.read(file.getvalue())
    assert list(found) == list(GIVEN)
    for name, value in GIVEN.items():
        assert found[name].dtype == value.dtype and np.array_equal(found[name], value)


def archive(member: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", member)
    return out.getvalue()


def array(shape: str, kind: str = "'<f8'", content: bytes = bytes(8)) -> bytes:
    header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x05\x06",
        archive(b""),
        archive(b"\x93NUMPY\x09\x09"),
        archive(array("(1000000000000,)")),
        archive(array("(-1,)")),
        archive(array("(2,)")),
        archive(array("(1,)", "'|O'")),
        archive(array("'x'")),
    ],
)
def test_what_is_no_archive_of_arrays_is_a_value_error(content):
    with pytest.raises(ValueError):
        arrays.read(content)


def test_an_archive_that_unpacks_to_too_much_is_refused(monkeypatch):
    content = archive(array("(1000,)", content=bytes(8000)))
    assert len(content) < 1000 and arrays.read(content)["x"].shape == (1000,)
    monkeypatch.setattr(arrays, "LARGEST", 8000)
    with pytest.raises(ValueError, match=r"unpacks to 8,\d+ bytes; at most 8,000 are accepted"):
        arrays.read(content)
