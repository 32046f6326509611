"""COCO's captions: the images of each part, `annotations/captions_*.json`, and files of results.

    annotations/captions_train2017.json, train2017/ (or images/train2017/)       the training images
    annotations/captions_val2017.json, val2017/ (or images/val2017/)             the test images

A file of results is what COCO's server takes: `[{"image_id": 42, "caption": "a dog runs"}, …]`.

Microsoft COCO Captions: Data Collection and Evaluation Server. Chen et al. 2015, arXiv:1504.00325.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from regard.data.captioned import Captioned, Described, assembled, described, tokens_of
from regard.data.images import shown
from regard.data.region_files import listed
from regard.data.texts import parsed, quoted

HALVES = ("train", "val")


def found(folder: Path) -> bool:
    """Whether a folder has training captions in COCO's layout."""
    return any((folder / "annotations").glob("captions_train*.json"))


def load(folder: Path, *, image_size: int, least: int = 5, longest: int = 16) -> tuple[Captioned, Captioned]:
    """The captions of the training images, and the validation images to test on.

    Args:
        folder: the folder.
        image_size: height and width of the images, in pixels.
        least: how often a word has to occur in the training captions.
        longest: the number of words after which a caption is cut.

    Raises: ValueError if a file is malformed, names an unknown image or holds an empty caption, or an image has none;
        FileNotFoundError if a part or an image is missing; OSError if a file cannot be read.
    """
    train, test = (_part(folder, half) for half in HALVES)
    return assembled(train, test, image_size=image_size, least=least, longest=longest)


def read_results(path: Path) -> dict[int, str]:
    """The caption of each image in a file of results, by the image's id.

    Raises: ValueError if the file is malformed, or has two captions for one image; OSError if it cannot be read.
    """
    content = parsed(path)
    if not isinstance(content, list):
        raise ValueError(f"{shown(path)}: results need a list of objects with image_id and caption")
    captions: dict[int, str] = {}
    for position, one in enumerate(content):
        where = f"{shown(path)}[{position}]"
        number, caption = (one.get("image_id"), one.get("caption")) if isinstance(one, dict) else (None, None)
        if isinstance(number, bool) or not isinstance(number, int) or not isinstance(caption, str):
            raise ValueError(f"{where}: image_id, a whole number, and caption, a text, are needed")
        if number in captions:
            raise ValueError(f"{where}: image {number} has a caption already; one for each image is needed")
        captions[number] = caption
    return captions


def results(captions: Mapping[int, str]) -> str:
    """The content of a file of results, sorted by the images' ids."""
    return json.dumps([{"image_id": number, "caption": captions[number]} for number in sorted(captions)])


def _part(folder: Path, half: str) -> list[Described]:
    files = sorted((folder / "annotations").glob(f"captions_{half}*.json"))
    if len(files) != 1:
        there = " and ".join(path.name for path in files) or "none"
        raise FileNotFoundError(f"{shown(folder / 'annotations')} has {there}: one captions_{half}*.json is needed")
    name = files[0].stem.removeprefix("captions_")
    places = [place for place in (folder / name, folder / "images" / name) if place.is_dir()]
    if not places:
        raise FileNotFoundError(f"{shown(folder)}: {shown(files[0].name)} needs the folder of its images, {name}/")
    where, content = shown(files[0]), parsed(files[0])
    if not isinstance(content, dict):
        raise ValueError(f"{where}: COCO's captions need an object with images and annotations")
    names: dict[int | str, str] = {}
    for position, image in enumerate(listed(content, "images", files[0])):
        number, file_name = image.get("id"), image.get("file_name")
        if not isinstance(number, int | str) or not isinstance(file_name, str):
            raise ValueError(f"{where} images[{position}]: an image needs id and file_name")
        names[number] = Path(file_name).name
    captions: dict[int | str, list[tuple[str, ...]]] = {number: [] for number in names}
    for position, annotation in enumerate(listed(content, "annotations", files[0])):
        number, here = annotation.get("image_id"), f"{where} annotations[{position}]"
        if not isinstance(number, int | str) or number not in captions:
            raise ValueError(f"{here}: no image has the id {quoted(number)}")
        captions[number].append(tokens_of(annotation.get("caption"), here))
    return [described(places[0] / names[number], names[number], captions[number], where) for number in names]
