"""HRSC2016's annotations are read, and photographs get labels in resized pixels."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from regard.data import hrsc
from regard.data.harbours import ENDS, HULL, LAND, SEA, VOID
from regard.data.hrsc import Photographs

OBJECT = """<HRSC_Object><mbox_cx>{x}</mbox_cx><mbox_cy>{y}</mbox_cy><mbox_w>{w}</mbox_w><mbox_h>{h}</mbox_h>
<mbox_ang>{a}</mbox_ang><header_x>{hx}</header_x><header_y>{hy}</header_y></HRSC_Object>"""


def made(folder: Path, *, objects: str, size: tuple[int, int] = (60, 30), land: bool = False) -> Path:
    for name in ("AllImages", "Annotations", "ImageSets", "LandMask"):
        (folder / name).mkdir(parents=True)
    for name in ("100000001", "100000002"):
        Image.new("RGB", size, (9, 90, 200)).save(folder / "AllImages" / f"{name}.bmp")
        (folder / "Annotations" / f"{name}.xml").write_text(
            f"<HRSC_Image><HRSC_Objects>{objects}</HRSC_Objects></HRSC_Image>", encoding="utf-8"
        )
    (folder / "ImageSets" / "trainval.txt").write_text("100000001\n", encoding="utf-8")
    (folder / "ImageSets" / "test.txt").write_text("100000002\n", encoding="utf-8")
    if land:
        mask = np.zeros(size[::-1], np.uint8)
        mask[: size[1] // 5] = 255
        Image.fromarray(mask).save(folder / "LandMask" / "100000002.png")
    return folder


def test_photographs_get_labels_and_boxes_in_resized_pixels(tmp_path: Path) -> None:
    ship = OBJECT.format(x=30, y=18, w=40, h=8, a=0, hx=11, hy=18)  # its bow lies to the left
    train, test = hrsc.read(made(tmp_path, objects=ship, land=True))
    assert [one.path.stem for one in (*train, *test)] == ["100000001", "100000002"]
    sample = Photographs(test, 120)[0]
    assert sample["image"].shape == (3, 120, 120)
    assert sample["image"][:, 59, 119].tolist() == pytest.approx([9 / 255, 90 / 255, 200 / 255], abs=1e-6)
    mask = sample["mask"].numpy()
    assert (mask[60:] == VOID).all() and not (mask[:60] == VOID).any()
    assert (mask[:12] == LAND).all() and (mask[12:27] == SEA).all()
    assert sample["ships"].tolist() == [pytest.approx([60, 36, 80, 16, -math.pi])]
    assert mask[36, [22, 34, 38, 60, 82, 85, 99]].tolist() == [ENDS, ENDS, HULL, HULL, HULL, ENDS, ENDS]
    assert mask[30, 98] == ENDS and mask[30, 22] == SEA, "the bow is pointed, the stern is not"
    assert (Photographs(train, 120)[0]["mask"][:28] == SEA).all(), "without a land mask all but ships is sea"


def test_without_a_header_both_ends_are_as_wide(tmp_path: Path) -> None:
    ship = OBJECT.format(x=30, y=18, w=8, h=40, a=math.pi / 2, hx="", hy="")  # the sides exchanged
    _, test = hrsc.read(made(tmp_path, objects=ship))
    assert test[0].ships[0].headed is False
    sample = Photographs(test, 60)[0]
    assert sample["ships"][0, :4].tolist() == [30, 18, 40, 8]
    assert sample["mask"][15, [11, 48]].tolist() == [ENDS, ENDS]


def test_a_ship_across_the_edge_is_labelled_inside_only(tmp_path: Path) -> None:
    ship = OBJECT.format(x=2, y=4, w=30, h=8, a=0.6, hx=9, hy=9)
    _, test = hrsc.read(made(tmp_path, objects=ship))
    mask = Photographs(test, 60)[0]["mask"]
    assert mask[4, 2] == HULL and mask[10, 11] == ENDS and mask[25, 50] == SEA


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (OBJECT.format(x="", y=4, w=30, h=8, a=0.6, hx=9, hy=9), "mbox_cx='' of object 1"),
        (OBJECT.format(x=2, y=4, w=30, h=0, a=0.6, hx=9, hy=9), "mbox_h='0' of object 1"),
        ("<HRSC_Object>", "an XML annotation is needed"),
    ],
)
def test_a_damaged_annotation_is_named(tmp_path: Path, objects: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"100000001.xml: .*{message}|100000001.xml: {message}"):
        hrsc.read(made(tmp_path, objects=objects))


def test_entities_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.xml"
    path.write_text('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', encoding="utf-8")
    with pytest.raises(ValueError, match="without DOCTYPE"):
        hrsc.annotated(path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="AllImages/ is needed"):
        hrsc.read(tmp_path)
    folder = made(tmp_path / "data", objects="")
    (folder / "AllImages" / "100000002.bmp").unlink()
    with pytest.raises(FileNotFoundError, match="the image 100000002 is missing"):
        hrsc.read(folder)
    (folder / "ImageSets" / "test.txt").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match=r"test.txt: the names of images are needed"):
        hrsc.read(folder)
    (folder / "ImageSets" / "test.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"test.txt: a list of the test images is needed"):
        hrsc.read(folder)


def test_a_land_mask_of_another_size_is_named(tmp_path: Path) -> None:
    folder = made(tmp_path, objects="", land=True)
    Image.new("L", (59, 30)).save(folder / "LandMask" / "100000002.png")
    _, test = hrsc.read(folder)
    with pytest.raises(ValueError, match=r"100000002.png has 59×30: 60×30 is needed"):
        Photographs(test, 40)[0]
