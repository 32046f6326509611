"""FGVC-Aircraft in its published layout: photographs of 100 variants of aircraft.

Fine-Grained Visual Classification of Aircraft. Maji, Kannala, Rahtu, Blaschko, Vedaldi. 2013, arXiv:1306.5151.

    images/0034309.jpg                            with a banner of 20 rows at the bottom, which names the copyright
    images_variant_trainval.txt, …_test.txt       0034309 Boeing 737-700          image, class
    images_family_….txt, images_manufacturer_….txt                                the same for coarser classes
    variants.txt, families.txt, manufacturers.txt                                 the names of the classes
    images_box.txt                                0034309 3 144 998 431           image, first and last column and row

All of these stand in the folder itself or in its `data/`. Nothing is written into the folder.
"""

from __future__ import annotations

from pathlib import Path

from regard.checks import choice, flag
from regard.data import ImageSet
from regard.data.images import shown
from regard.data.layout import Photo
from regard.data.lists import assembled, inclusive
from regard.data.regions import Region
from regard.data.texts import quoted, text

WANTED = "images/, images_variant_trainval.txt, images_variant_test.txt and variants.txt"
NAMES = {"variant": "variants.txt", "family": "families.txt", "manufacturer": "manufacturers.txt"}
BOXES = "images_box.txt"
BANNER = 20  # rows


def found(root: Path) -> bool:
    """Whether a folder has the layout of FGVC-Aircraft."""
    return any((place / "images_variant_test.txt").is_file() for place in (root, root / "data"))


def load(root: Path, *, image_size: int = 448, level: str = "variant", banner: bool = False) -> ImageSet:
    """Loads the middle square of every image, with the aircraft's box as its region.

    Files that cannot be read are left out and listed in `skipped`.

    Args:
        root: the folder.
        image_size: output height and width, in pixels.
        level: the classes: `variant` (100), `family` (70) or `manufacturer` (30).
        banner: keep the banner at the bottom of each image, whose text may tell the class.

    Raises: FileNotFoundError if a list is missing; ValueError for another level, a malformed line, a class without a
        name, a box outside its image, or a class without training or test images.
    """
    choice("level", level, NAMES)
    foot = 0 if flag("banner", banner) else BANNER
    place = root if (root / "images_variant_test.txt").is_file() else root / "data"
    classes = [line.strip() for line in _lines(place / NAMES[level])]
    together = place / f"images_{level}_trainval.txt"
    halves = [together] if together.is_file() else [place / f"images_{level}_{part}.txt" for part in ("train", "val")]
    parts = [halves, [place / f"images_{level}_test.txt"]]
    photos = [[photo for table in tables for photo in _photos(place, table, classes, foot)] for tables in parts]
    boxes = place / BOXES
    regions = {}
    for line in _lines(boxes) if boxes.is_file() else ():
        key, *ends = line.split()
        where = f"{shown(boxes)}, image {quoted(key)}"
        regions[_name(key)] = Region((inclusive(_numbers(ends, where), where),))
    sources = [shown(boxes)] if boxes.is_file() else []
    return assembled(root, photos, classes, regions, image_size=image_size, sources=sources)


def _photos(place: Path, table: Path, classes: list[str], foot: int) -> list[Photo]:
    known, photos = set(classes), []
    for number, line in enumerate(_lines(table), 1):
        key, _, label = line.strip().partition(" ")
        if label not in known:
            what = (
                f"class {quoted(label)} has no name" if label else f"an image and a class are needed, not {quoted(key)}"
            )
            raise ValueError(f"{shown(table)}, line {number}: {what}")
        photos.append(Photo(place / _name(key), _name(key), label, foot))
    return photos


def _name(key: str) -> str:
    return f"images/{key}.jpg"


def _lines(path: Path) -> list[str]:
    """The lines of a list that are not empty. Raises: FileNotFoundError if there is no such list."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {shown(path)}: the layout of FGVC-Aircraft, {WANTED}, is needed")
    return [line for line in text(path).splitlines() if line.strip()]


def _numbers(values: list[str], where: str) -> list[float]:
    try:
        return [float(value) for value in values]
    except ValueError:
        raise ValueError(f"{where}: four numbers are needed, not {quoted(' '.join(values))}") from None
