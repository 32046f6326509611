"""The published lists of UCF-101 and HMDB-51, written as their authors do, over folders of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regard.data import clips
from regard.data.clip_layouts import found_in
from regard.data.clips import Sampling

SMALL = Sampling(frames=2, stride=1, crop=4, shorter=(4, 4))


def frames(folder: Path, count: int = 1) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(np.full((4, 6, 3), 10 * i, np.uint8)).save(folder / f"frame{i:06d}.jpg")


def ucf(folder: Path) -> Path:
    """UCF-101 as published: its videos in one folder, its lists in another; one video is missing."""
    lists = folder / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("1 ApplyEyeMakeup\n2 Archery\n\n", encoding="utf-8")
    (lists / "trainlist01.txt").write_text(
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\nArchery/v_Archery_g08_c01.avi 2\n"
        "Archery/v_Archery_g08_c02.avi 2\n",
        encoding="utf-8",
    )
    (lists / "testlist01.txt").write_text("Archery/v_Archery_g01_c01.avi\r\n", encoding="utf-8")
    (lists / "trainlist02.txt").write_text("Archery/v_Archery_g01_c01.avi 2\n", encoding="utf-8")
    (lists / "testlist02.txt").write_text("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi\n", encoding="utf-8")
    for name in ("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01", "Archery/v_Archery_g08_c01", "Archery/v_Archery_g01_c01"):
        frames(folder / "UCF-101" / name)
    return folder


def hmdb(folder: Path) -> Path:
    lists = folder / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    odd = "April_09_brush_hair_u_nm_np1_ba_goo_0"
    for split, (one, other) in ((1, "12"), (2, "21")):
        (lists / f"brush_hair_test_split{split}.txt").write_text(f"{odd}.avi {one} \n#5_(f)_np1.avi 0 \n")
        (lists / f"climb_test_split{split}.txt").write_text(f"a[1]&b;c.avi {other} \n4.2_low.avi {one} \n")
    for name in (f"brush_hair/{odd}", "brush_hair/#5_(f)_np1", "climb/a[1]&b;c", "climb/4.2_low"):
        frames(folder / name)
    return folder


def test_the_splits_of_ucf(tmp_path: Path) -> None:
    found = clips.load(ucf(tmp_path), SMALL)
    assert found.classes == ("ApplyEyeMakeup", "Archery")
    assert found.train.labels == [0, 1] and found.test.labels == [1]
    assert [video.path.name for video in found.train.videos] == ["v_ApplyEyeMakeup_g08_c01", "v_Archery_g08_c01"]
    assert [one.path for one in found.skipped] == ["Archery/v_Archery_g08_c02.avi"]
    assert found.test[0]["image"].shape == (3, 2, 4, 4)
    second = clips.load(tmp_path, SMALL, split=2)
    assert second.train.labels == [1] and second.test.labels == [0]


def test_the_splits_of_hmdb(tmp_path: Path) -> None:
    found = clips.load(hmdb(tmp_path), SMALL)
    assert found.classes == ("brush_hair", "climb")
    assert [(video.path.name, video.label) for video in found.train.videos] == [
        ("April_09_brush_hair_u_nm_np1_ba_goo_0", 0),
        ("4.2_low", 1),
    ]
    assert [video.path.name for video in found.test.videos] == ["a[1]&b;c"] and not found.skipped
    assert found_in(tmp_path, 2)[1][0][0].path.name == "a[1]&b;c"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("trainlist01.txt", "Archery 2\nDancing/v.avi\n", r"trainlist01.txt, line 2, 'Dancing/v.avi': CLASS"),
        ("trainlist01.txt", "Archery/v_Archery_g08_c01.avi 1\n", r"line 1, .* CLASS/VIDEO .*its number if any"),
        ("testlist01.txt", "Archery/other.avi\n", r"testlist01.txt: none of the listed videos is there"),
        ("classInd.txt", "1 ApplyEyeMakeup\n3 Archery\n", r"classInd.txt, line 2, '3 Archery': the number 2 and"),
        ("classInd.txt", None, r"classInd.txt is needed, beside the other lists"),
        ("testlist01.txt", None, r"testlist01.txt is needed"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_lists_of_ucf_is_said(
    tmp_path: Path, file: str, content: str | None, message: str
) -> None:
    path = ucf(tmp_path) / "ucfTrainTestlist" / file
    if content is None:
        path.unlink()
    else:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        found_in(tmp_path, 1)


def test_what_is_wrong_in_the_lists_of_hmdb_is_said(tmp_path: Path) -> None:
    lists = hmdb(tmp_path) / "testTrainMulti_7030_splits"
    with pytest.raises(ValueError, match=r"split=3: .* has no file CLASS_test_split3\.txt"):
        found_in(tmp_path, 3)
    (lists / "climb_test_split1.txt").write_text("a[1]&b;c.avi 3\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"climb_test_split1.txt, line 1, 'a\[1\]&b;c.avi 3': a video and 0, 1 or 2"):
        found_in(tmp_path, 1)
    (lists / "climb_test_split1.txt").write_text("gone.avi 2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="none of the listed videos is there; CLASS/VIDEO is needed"):
        found_in(tmp_path, 1)


def test_other_layouts_have_one_split(tmp_path: Path) -> None:
    frames(tmp_path / "run" / "v")
    with pytest.raises(ValueError, match=r"split=2: .* has no splits"):
        found_in(tmp_path, 2)
    with pytest.raises(ValueError, match=r"split=0: "):
        found_in(tmp_path, 0)
