"""Ranking sheets: frames, greyed images, masks of parts, tables of relations, and what is said of a query."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

import regard
from regard.core import Maps
from regard.looking.ranking import Gallery, Item, of_name, panels, told, verdict
from regard.saved.opening import Network
from regard.viewing.painting import PAPER, heat
from regard.viewing.parts import OPACITY, colour_of, masks_over, relations
from regard.viewing.ranking import FRAME, GAP, LEFT, MARGIN, RIGHT_COLOUR, TALL, WRONG_COLOUR, Shown, ranking


def coloured(red: int) -> Image.Image:
    return Image.new("RGB", (32, 64), (red, 90, 30))


def test_right_and_wrong_are_framed_and_the_same_camera_is_grey() -> None:
    verdicts = ("right", "wrong", "same camera", "")
    found = [Shown(coloured(200), [coloured(10 * i)], said, ["camera 3"]) for i, said in enumerate(verdicts)]
    page = ranking(Shown(coloured(250), [coloured(240)], "", ["query"]), found, ["stage/gate"], "a title")
    wide, top = TALL // 2 + 2 * FRAME, MARGIN + 34

    def at(number: int, x: int, y: int) -> tuple[int, ...]:
        left = MARGIN + LEFT + number * (wide + GAP) + (2 * GAP if number else 0)
        return page.getpixel((left + x, top + y))  # type: ignore[return-value]

    corners = [at(number, 1, 1) for number in range(5)]
    assert (corners[0], corners[4]) == (PAPER, PAPER)  # the query, and an unknown person
    assert corners[1:3] == [RIGHT_COLOUR, WRONG_COLOUR]
    middles = [at(number, wide // 2, TALL // 2) for number in range(5)]
    assert middles[0] == (250, 90, 30)
    assert middles[1] == middles[2] == middles[4] == (200, 90, 30)
    assert max(middles[3]) - min(middles[3]) <= 4  # grey
    below = TALL + 2 * FRAME + 2 * 15 + 8 + TALL // 2  # two lines of words between the rows
    assert [at(number, wide // 2, below)[0] for number in range(5)] == [240, 0, 10, 20, 30]


def test_a_sheet_without_images_or_with_missing_maps_is_refused() -> None:
    query = Shown(coloured(1))
    with pytest.raises(ValueError, match="found: at least one image of the gallery is needed"):
        ranking(query, [], [], "a title")
    with pytest.raises(ValueError, match="panels: 1 are needed for each image, not 0"):
        ranking(query, [query], ["gate"], "a title")
    with pytest.raises(ValueError, match="verdict='good': right, wrong, same camera, or nothing, is needed"):
        ranking(query, [Shown(coloured(1), verdict="good")], [], "a title")


def test_the_strongest_mask_of_each_pixel_has_its_colour() -> None:
    masks = torch.zeros(3, 4, 2)
    masks[1, :2], masks[2, 2:] = 1.0, 0.5
    masks[0] = 0.25
    page = masks_over(Image.new("RGB", (20, 40), (100, 100, 100)), masks)
    for y, part, share in ((2, 1, OPACITY), (37, 2, OPACITY / 2)):
        wanted = [round((1 - share) * 100 + share * colour) for colour in colour_of(part)]
        assert list(page.getpixel((10, y))) == wanted  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"masks of shape \(4, 2\): P h w is needed"):
        masks_over(page, masks[0])


def test_a_table_of_relations_has_a_cell_for_each_pair_of_parts_and_frames() -> None:
    values = torch.rand(6, 6, generator=torch.Generator().manual_seed(0))
    page = relations(values, ["head", "upper clothes", "shoes"], side=300)
    wanted, room = heat(values, low=0.0, high=float(values.max())), page.width - 4 - 300
    for row, column in ((0, 0), (1, 4), (5, 2)):
        spot = (room + 50 * column + 25, room + 50 * row + 25)
        assert page.getpixel(spot) == wanted.getpixel((column, row))
    longer = relations(values, ["head", "a part with a long name", "shoes"], side=300)
    assert longer.width > page.width  # room for the names
    with pytest.raises(ValueError, match=r"values of shape \(6, 6\) for 4 parts: M M, a multiple, is needed"):
        relations(values, ["a", "b", "c", "d"])


def test_persons_and_cameras_are_read_from_names_and_told() -> None:
    def item(name: str) -> Item:
        return Item((Path(name),), *of_name(Path(name)))

    assert of_name(Path("0002_c1s1_000451_03.jpg")) == (2, 1)
    assert of_name(Path("0007C3T0001F011.jpg")) == (7, 3)
    assert of_name(Path("00-1C3T0001F011.jpg")) == (-1, 3)
    assert of_name(Path("holiday.jpg")) == (None, None)
    named = [item(name) for name in ("0002_c1s2_1.jpg", "0007_c1_1.jpg", "0002_c5s1_1.jpg", "holiday.jpg")]
    verdicts = [verdict(item("0002_c1s1_000451_03.jpg"), other) for other in named]
    assert verdicts == ["same camera", "wrong", "right", ""]
    wanted = "1 of the 2 nearest is right, the first at rank 2; 1 under the same camera does not count"
    assert told(verdicts[:3], named) == wanted
    assert told(["", ""], [named[3], named[0]]) == "nearest is holiday.jpg, camera unknown"


def test_gates_and_masks_get_rows_and_other_maps_only_without_them() -> None:
    def maps(**several: tuple[Tensor, str]) -> Maps:
        found = Maps()
        for name, (look, axes) in several.items():
            found[f"block/{name}"] = [look]
            found.axes[f"block/{name}"] = axes
        return found

    pictures = torch.rand(2, 3, 8, 4)
    gate, masks = (torch.rand(2, 1, 4, 2), "B 1 H W"), (torch.rand(2, 3, 4, 2), "B 3 H W")
    weights = (torch.rand(2, 8, 8).softmax(-1), "B Q K")
    channel = (torch.rand(2, 5, 1, 1), "B C 1 1")
    seen = maps(gate=gate, mask=masks, weights=weights, channel=channel)
    seen.grids["block/weights"] = {"Q": (4, 2), "K": (4, 2)}
    rows = panels(seen, pictures, ["a", "b", "c"], "common")
    assert list(rows) == ["block/gate", "block/mask"]
    assert [len(row) for row in rows.values()] == [2, 2]
    seen = maps(weights=weights, channel=channel)
    seen.grids["block/weights"] = {"Q": (4, 2), "K": (4, 2)}
    assert list(panels(seen, pictures, [], "common")) == ["block/weights"]


# A network


@pytest.fixture
def search(tmp_path: Path) -> tuple[Path, Path]:
    """A query, and the folder of a gallery in which it lies, with junk and something that is no image."""
    folder = tmp_path / "gallery"
    folder.mkdir()
    names = ("0002_c1s1_1.png", "0002_c1s2_2.png", "0002_c3s1_3.png", "0005_c3s1_4.png", "-1_c2s1_5.png")
    for i, name in enumerate(names):
        Image.effect_noise((16, 32), 20 + 40 * i).convert("RGB").save(folder / name)
    (folder / "list.txt").write_text("names")
    return folder / names[0], folder


def opened(name: str, **more: object) -> Network:
    torch.manual_seed(0)
    model = regard.create(name, channels=3, classes=5, width=2, blocks=(1, 1, 1), **more).eval()
    return Network(entry=regard.get(name), model=model, trained=True, name=name, size=(32, 16))


def test_a_gallery_is_ranked_without_the_query_and_junk(search: tuple[Path, Path]) -> None:
    query, folder = search
    found = Gallery(opened("iaunet"), folder)
    assert [item.name[:6] for item in found.items] == ["0002_c", "0002_c", "0002_c", "0005_c"]
    ranked = found.ranked(query, scale="common")
    assert ranked.text in {
        f"1 of the 2 nearest is right, the first at rank {rank}; 1 under the same camera does not count"
        for rank in (1, 2)
    }
    assert ranked.page.height > ranking_height(rows=2)  # the masks of two stages
    assert ranked.relations is not None
    plain = Gallery(opened("ianet", attention=False), folder).ranked(query, scale="common")
    assert plain.page.height < ranking_height(rows=1)
    assert plain.relations is None


def ranking_height(rows: int) -> int:
    return MARGIN + 34 + (TALL + 2 * FRAME) * (1 + rows)


def test_a_gallery_needs_images_and_a_network_for_persons(search: tuple[Path, Path], tmp_path: Path) -> None:
    query, folder = search
    other = Network(entry=regard.get("cbam"), model=torch.nn.Identity(), trained=True, name="cbam")
    with pytest.raises(ValueError, match="a network for re-identification is needed, not cbam"):
        Gallery(other, folder)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        Gallery(opened("ianet", attention=False), tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="a folder with images of persons is needed"):
        Gallery(opened("ianet", attention=False), tmp_path / "empty")
    alone = tmp_path / "alone"
    alone.mkdir()
    query.rename(alone / query.name)
    with pytest.raises(ValueError, match="other images than the query"):
        Gallery(opened("ianet", attention=False), alone).ranked(alone / query.name, scale="common")


@pytest.mark.parametrize("temporal", [True, False])
def test_tracklets_are_ranked_by_a_network_for_clips(tmp_path: Path, temporal: bool) -> None:
    for name, count in (
        ("0002C1T0001", 5),
        ("0002C1T0002", 3),
        ("0002C3T0001", 2),
        ("0005C3T0001", 3),
        ("00-1C2T0001", 2),
    ):
        place = tmp_path / name[:4]
        place.mkdir(exist_ok=True)
        for i in range(count):
            Image.effect_noise((16, 32), 60 + 9 * i).convert("RGB").save(place / f"{name}F{i + 1:03d}.png")
    gallery = Gallery(opened("iaunet", video=True, temporal=temporal), tmp_path, 3)
    assert [len(item.frames) for item in gallery.items] == [5, 3, 2, 3]  # without junk
    query = tmp_path / "0002" / "0002C1T0001F002.png"
    assert gallery.queried(query).frames[0].name == "0002C1T0001F001.png"
    found = gallery.ranked(query, scale="common")
    assert found.text.startswith("1 of the 2 nearest is right")
    assert found.page.height > ranking_height(rows=2)
    assert found.relations is not None
    with pytest.raises(ValueError, match=r"a frame of a tracklet is needed, named as 0001C1T0001F001.jpg"):
        gallery.ranked(tmp_path / "holiday.jpg", scale="common")


@pytest.mark.slow
def test_a_look_at_a_gallery_takes_no_other_options(search: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="target=3: a look at a gallery does not take it"):
        regard.look(search[0], gallery=search[1], target=3)
