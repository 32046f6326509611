"""The token files of Flickr8k and Flickr30k: a line for each caption, and a list of images for each split.

    Flickr8k.token.txt, results_20130124.token     NAME.jpg#0<tab>A dog runs .
    Flickr_8k.trainImages.txt, ….testImages.txt    NAME.jpg, a line for each image of the split
    Flicker8k_Dataset/, flickr30k-images/, images/ the images; or beside the token file

Lists of a split are found by their names: `*train*.txt` and `*test*.txt`. Flickr30k has none of its own; those of
Karpathy's splits may be written so, or his file read by `data.karpathy`.

Framing Image Description as a Ranking Task. Hodosh, Young, Hockenmaier. JAIR 2013, doi:10.1613/jair.3994.
From Image Descriptions to Visual Denotations. Young et al. TACL 2014, doi:10.1162/tacl_a_00166.
"""

from __future__ import annotations

from pathlib import Path

from regard.data.captioned import Captioned, Described, assembled, described, tokens_of
from regard.data.images import shown
from regard.data.texts import quoted, text

TOKENS = ("*.token.txt", "*.token")


def found(folder: Path) -> bool:
    """Whether a folder has a token file."""
    return bool(_token_files(folder))


def load(folder: Path, *, image_size: int, least: int = 5, longest: int = 16) -> tuple[Captioned, Captioned]:
    """The captions of the training split, and the images of the test split.

    Args:
        folder: the folder.
        image_size: height and width of the images, in pixels.
        least: how often a word has to occur in the training captions.
        longest: the number of words after which a caption is cut.

    Raises: ValueError if a line is malformed, a caption is empty, or an image of a split has none; FileNotFoundError if
        there is not one token file, one list of each split, or an image is missing; OSError if a file cannot be read.
    """
    path = _one(folder, _token_files(folder), "a token file *.token or *.token.txt")
    captions = captions_of(path)
    places = _images(folder)
    splits = []
    for split in ("train", "test"):
        lists = [file for file in sorted(folder.glob("*.txt")) if split in file.stem.lower() and file != path]
        listing = _one(folder, lists, f"a list of the {split} images, *{split}*.txt")
        splits.append([_photo(places, name, captions, listing) for name in text(listing).splitlines() if name.strip()])
    return assembled(*splits, image_size=image_size, least=least, longest=longest)


def captions_of(path: Path) -> dict[str, list[tuple[str, ...]]]:
    """The captions in a token file, as tokens, by the name of the image.

    Raises: ValueError if a line is malformed or a caption is empty; OSError if the file cannot be read.
    """
    captions: dict[str, list[tuple[str, ...]]] = {}
    for number, line in enumerate(text(path).splitlines(), 1):
        if not line.strip():
            continue
        key, tab, caption = line.partition("\t")
        name, hash_, _ = key.partition("#")
        where = f"{shown(path)} line {number}"
        if not tab or not hash_ or not name.strip():
            raise ValueError(f"{where}: NAME#NUMBER, a tab and a caption are needed, not {quoted(line)}")
        captions.setdefault(name.strip(), []).append(tokens_of(caption, where))
    return captions


def _photo(places: list[Path], name: str, captions: dict[str, list[tuple[str, ...]]], listing: Path) -> Described:
    name = Path(name.strip()).name
    path = next((place / name for place in places if (place / name).is_file()), places[0] / name)
    return described(path, name, captions.get(name, []), shown(listing))


def _token_files(folder: Path) -> list[Path]:
    """The token files; Flickr8k's with lemmas instead of words are none."""
    files = {path for pattern in TOKENS for path in folder.glob(pattern)}
    return sorted(path for path in files if "lemma" not in path.name)


def _images(folder: Path) -> list[Path]:
    return [*sorted(path for path in folder.iterdir() if path.is_dir()), folder]


def _one(folder: Path, files: list[Path], what: str) -> Path:
    if len(files) != 1:
        names = " and ".join(path.name for path in files) or "none"
        raise FileNotFoundError(f"{shown(folder)} has {names}: {what} is needed")
    return files[0]
