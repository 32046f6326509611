"""Pictures of what is looked at for every word."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from regard.core import Maps
from regard.viewing import draw
from regard.viewing.alignment import alignment, merged
from regard.viewing.scaling import Colouring
from regard.viewing.words import COLUMNS, WIDTH, fitted, panels, regions, strip

WORDS = ["a", "red", "seven", "above", "a", "blue", "square"]


def recorded(look: torch.Tensor, axes: str, words: list[str] | None = None, **grids: tuple[int, int]) -> Maps:
    maps = Maps()
    maps["look"], maps.axes["look"] = [look], axes
    if grids:
        maps.grids["look"] = grids
    if words is not None:
        maps.words["L"] = [words]
    return maps


def pointing() -> torch.Tensor:
    """Seven words over 3 × 5 places; word i looks at place i alone."""
    look = torch.zeros(1, 7, 15)
    look[0, torch.arange(7), torch.arange(7)] = 1.0
    return look


def test_a_map_of_words_has_a_panel_for_each_of_them() -> None:
    image = torch.full((3, 30, 50), 0.5)
    (picture,) = draw(recorded(pointing().unflatten(2, (3, 5)), "B L H W", WORDS), image)
    assert picture.image.width == COLUMNS * (WIDTH + 4) - 4
    assert picture.caption.startswith("7 words, each over 3 x 5")
    (same,) = draw(recorded(pointing(), "B L Q", WORDS, Q=(3, 5)), image)
    assert same.image.tobytes() == picture.image.tobytes()


def test_the_rows_of_padding_are_not_drawn() -> None:
    image = torch.full((3, 30, 50), 0.5)
    (picture,) = draw(recorded(pointing().unflatten(2, (3, 5)), "B L H W", WORDS[:4]), image)
    assert picture.image.width == 4 * (WIDTH + 4) - 4
    assert picture.caption.startswith("4 words")


def test_words_that_are_not_known_are_numbered() -> None:
    image = torch.full((3, 30, 50), 0.5)
    (picture,) = draw(recorded(pointing().unflatten(2, (3, 5)), "B L H W"), image)
    assert picture.caption.startswith("7 words")


def test_more_words_than_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="look: words for 8 rows, and the map has 7"):
        draw(recorded(pointing().unflatten(2, (3, 5)), "B L H W", [*WORDS, "."]), torch.zeros(3, 8, 8))


def test_a_region_with_all_the_weight_has_the_thickest_outline() -> None:
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9]])
    stage = Image.new("RGB", (100, 100), (90, 90, 90))
    drawn = regions(stage, boxes, torch.tensor([0.1, 0.9]), most=0.9)
    changed = [[drawn.getpixel((x, y)) != (90, 90, 90) for x in range(100)] for y in range(100)]
    first = sum(sum(row[5:45]) for row in changed[5:45])
    second = sum(sum(row[45:]) for row in changed[45:])
    assert 0 < first < second / 3
    with pytest.raises(ValueError, match=r"boxes of shape \(2, 4\): look needs 3 4"):
        draw(recorded(torch.rand(1, 7, 3), "B L N", WORDS), torch.zeros(3, 8, 8), boxes=boxes)


def test_regions_are_drawn_for_every_word_and_at_once() -> None:
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.2, 0.6, 0.3, 0.8]])
    image, look = torch.full((3, 30, 50), 0.5), torch.rand(1, 7, 3).softmax(2)
    (picture,) = draw(recorded(look, "B L N", WORDS), image, boxes=boxes)
    assert picture.caption.startswith("7 words, each over 3 regions")
    (answer,) = draw(recorded(look[:, 0], "B N"), image, boxes=boxes)
    assert answer.caption.startswith("3 regions")
    (table,) = draw(recorded(look, "B L N", WORDS), image)  # without boxes: numbers without a place
    assert table.caption.startswith("L 7 by N 3")


def test_bars_stand_in_the_order_of_the_words() -> None:
    values = torch.tensor([0.2, 1.0, 0.4])
    drawn = strip(values, ["of", "red", "on"])
    lengths = [sum(drawn.getpixel((x, 4 + 18 * row + 8)) == (120, 84, 160) for x in range(320)) for row in range(3)]
    assert lengths[1] > lengths[2] > lengths[0] > 0
    assert lengths[2] / lengths[1] == pytest.approx(0.4, abs=0.03)
    (picture,) = draw(recorded(values[None], "B L", ["of", "red", "on"]), torch.zeros(3, 8, 8))
    assert picture.caption.startswith("3 words")


def test_a_long_word_is_shortened_to_its_panel() -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(13)
    short = fitted("a-word-that-is-far-too-long-for-its-panel", font, WIDTH)
    assert short.endswith("…")
    assert font.getlength(short) <= WIDTH
    assert fitted("red", font, WIDTH) == "red"
    assert panels([Image.new("RGB", (10, 20))], ["red"]).size == (WIDTH, 2 * WIDTH + 18)


def test_an_alignment_has_both_sentences() -> None:
    maps = recorded(torch.rand(1, 3, 7, 4).softmax(3), "B h L T", WORDS)
    maps.words["T"] = [["ein", "Hund", "rennt", "."]]
    (picture,) = draw(maps, torch.zeros(3, 8, 8))
    assert "mean of 3 heads" in picture.caption
    assert "7" in picture.caption


def test_pieces_of_words_are_merged_in_an_alignment() -> None:
    values = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.4, 0.0], [0.0, 0.7, 0.1, 0.2]])
    found, written, read = merged(values, ["▁run", "ning", "<end>"], ["der", "hun@@", "de@@", "kuchen"])
    assert (written, read) == (["running", "<end>"], ["der", "hundekuchen"])
    torch.testing.assert_close(found, torch.tensor([[0.3, 0.7], [0.0, 1.0]]))
    same, written, read = merged(values, ["a", "a", "b@"], ["c", "@", "d", "<unk>"])
    assert (written, read) == (["a", "a", "b@"], ["c", "@", "d", "<unk>"])
    assert torch.equal(same, values)
    _, written, read = merged(values, ["▁a", "<unk>", "b"], ["x@@", "<end>", "y@@", "z@@"])
    assert (written, read) == (["a", "<unk>", "b"], ["x", "<end>", "yz"])


def test_the_picture_of_an_alignment_has_the_words_of_its_pieces() -> None:
    look = torch.rand(1, 5, 3)
    picture = alignment(
        "a", look, ("B", "L", "T"), ["▁ein", "▁hun", "d"], ["a", "dog"], Colouring("common", look.dtype)
    )
    assert picture is not None
    assert picture.caption.startswith("2 x 2 words")
    words = merged(look[0, :3, :2], ["▁a", "▁b", "c"], ["a", "b"])[0]
    assert picture.span == pytest.approx((float(words.min()), float(words.max())))
