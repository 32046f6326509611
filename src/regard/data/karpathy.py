"""Karpathy's splits: one JSON file for each of COCO, Flickr8k and Flickr30k, with tokenised captions.

    dataset_coco.json     {"images": [{"filename", "filepath", "split", "sentences": [{"raw"}, …]}, …]}
    train2014/, val2014/  the images, in the folder of the file, in its folder `images/`, or with `filepath` between

The split `restval`, the rest of COCO's validation images, belongs to the training; `val` is left out. The captions are
tokenised again from their raw form, as the scores are, since the file's own tokens are cut at every hyphen.

Deep Visual-Semantic Alignments for Generating Image Descriptions. Karpathy, Fei-Fei. CVPR 2015, arXiv:1412.2306.
"""

from __future__ import annotations

from pathlib import Path

from regard.data.captioned import Captioned, Described, assembled, described, tokens_of
from regard.data.images import shown
from regard.data.region_files import listed
from regard.data.texts import parsed, quoted

SPLITS = {"train": "train", "restval": "train", "test": "test", "val": ""}


def found(folder: Path) -> bool:
    """Whether a folder has a file of Karpathy's splits."""
    return any(folder.glob("dataset*.json"))


def load(folder: Path, *, image_size: int, least: int = 5, longest: int = 16) -> tuple[Captioned, Captioned]:
    """The captions of the splits `train` and `restval`, and the images of the split `test`.

    Args:
        folder: the folder.
        image_size: height and width of the images, in pixels.
        least: how often a word has to occur in the training captions.
        longest: the number of words after which a caption is cut.

    Raises: ValueError if the file is malformed, has another split or an empty caption, or an image has none;
        FileNotFoundError if there is not one file, or an image is missing; OSError if a file cannot be read.
    """
    files = sorted(folder.glob("dataset*.json"))
    if len(files) != 1:
        names = " and ".join(path.name for path in files) or "none"
        raise FileNotFoundError(f"{shown(folder)} has {names}: one dataset_*.json is needed")
    where, content = shown(files[0]), parsed(files[0])
    if not isinstance(content, dict):
        raise ValueError(f"{where}: an object with images is needed")
    parts: dict[str, list[Described]] = {"train": [], "test": []}
    for position, image in enumerate(listed(content, "images", files[0])):
        here = f"{where} images[{position}]"
        name, split, sentences = image.get("filename"), image.get("split"), image.get("sentences")
        if not isinstance(name, str) or not isinstance(sentences, list):
            raise ValueError(f"{here}: an image needs filename, split and sentences")
        if split not in SPLITS:
            raise ValueError(f"{here}: split {quoted(split)}; {', '.join(SPLITS)} are known")
        if not SPLITS[split]:
            continue
        captions = [tokens_of(one.get("raw") if isinstance(one, dict) else None, here) for one in sentences]
        path = _place(folder, str(image.get("filepath") or ""), Path(name).name)
        parts[SPLITS[split]].append(described(path, Path(name).name, captions, where))
    for split, photos in parts.items():
        if not photos:
            raise ValueError(f"{where}: the split {split} has no image")
    return assembled(parts["train"], parts["test"], image_size=image_size, least=least, longest=longest)


def _place(folder: Path, below: str, name: str) -> Path:
    """The file of an image: where it is, or else where it is expected."""
    inside = Path(below).name  # a name such as train2014, never a way out of the folder
    places = [root / inside / name for root in (folder, folder / "images")]
    places += [folder / "images" / name, folder / name]
    return next((place for place in places if place.is_file()), places[0])
