"""Images with masks of salient objects, in the layouts of the published datasets or from a split with regions.

    DUTS-TR/DUTS-TR-Image, DUTS-TR/DUTS-TR-Mask, DUTS-TE/DUTS-TE-Image, DUTS-TE/DUTS-TE-Mask       DUTS
    images, ground_truth_mask                                                                      ECSSD
    Imgs, with the masks beside the images                                                         MSRA10K, PASCAL-S
    images, masks (or gt, GT, mask, annotations), alone or below train/ and test/ (or val/)
    train2017, val2017, annotations/instances_train2017.json, annotations/instances_val2017.json   COCO: `data.coco`

Of COCO, the object is the union of all annotated ones, and images without one are left out. Of the other layouts, an
image and its mask have the same stem; in a folder for both, the PNG files are the masks. The pixels of a mask above
128 are the object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from regard.data import Split, coco
from regard.data.batches import collate
from regard.data.coco import Outlines
from regard.data.dividing import every_fifth
from regard.data.images import SUFFIXES, quiet, shown, whole

IMAGES = ("images", "Imgs", "image", "Image", "img", "Images")
MASKS = ("masks", "ground_truth_mask", "gt", "GT", "mask", "Masks", "annotations", "Imgs")
PNG = frozenset({".png"})
THRESHOLD = 128

Pair = tuple[Path, Path | Outlines]


def read(folder: Path) -> tuple[list[Pair], list[Pair]]:
    """Reads the pairs of image and mask of a folder: the training pairs and the test pairs.

    In a folder without such parts, every fifth pair by name is a test pair.

    Raises: ValueError if the folder has none of the layouts of the header, an image has no mask, or there are fewer
        than five pairs to split; OSError if it cannot be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {shown(folder)}")
    found = coco.parts(folder)
    if found:
        halves: list[list[Pair]] = [list(coco.outlined(part)) for part in found]
        return (halves[0], halves[1]) if len(halves) == 2 else every_fifth(halves[0], shown(folder))
    for train, test in (("DUTS-TR", "DUTS-TE"), ("train", "test"), ("train", "val")):
        if (folder / train).is_dir() and (folder / test).is_dir():
            return _pairs(folder / train), _pairs(folder / test)
    return every_fifth(_pairs(folder), shown(folder))


def _pairs(folder: Path) -> list[Pair]:
    duts = folder / f"{folder.name}-Image", folder / f"{folder.name}-Mask"
    if duts[0].is_dir() and duts[1].is_dir():
        pictures, masks = duts
    else:
        here = [path for path in (folder / name for name in IMAGES) if path.is_dir()]
        beside = [path for path in (folder / name for name in MASKS) if path.is_dir()]
        if not here or not beside:
            raise ValueError(f"{shown(folder)}: a folder {IMAGES[0]}/ and a folder {MASKS[0]}/ are needed")
        pictures, masks = here[0], beside[0]
    suffixes = (SUFFIXES - PNG, PNG) if pictures == masks else (SUFFIXES, SUFFIXES)
    images, truths = _files(pictures, suffixes[0]), _files(masks, suffixes[1])
    missing = sorted(images.keys() - truths.keys())
    if missing or not images:
        what = f"a mask for {shown(missing[0])!r} is missing" if missing else "images are needed"
        raise ValueError(f"{shown(masks if missing else pictures)}: {what}")
    return [(images[stem], truths[stem]) for stem in sorted(images)]


def _files(folder: Path, suffixes: frozenset[str]) -> dict[str, Path]:
    return {
        path.stem: path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    }


class Masked(Dataset[Mapping[str, Tensor]]):
    """A dataset of images and masks resized to one size.

    Args:
        pairs: the image files, with the mask files or the outlines of their objects.
        size: output height and width, in pixels.
        own: whether a sample also has the mask in its original size, which metrics need.
    """

    collate_fn = staticmethod(partial(collate, listed=("truth",)))

    def __init__(self, pairs: Sequence[Pair], size: int, *, own: bool = False) -> None:
        self.pairs = list(pairs)
        self.size = size
        self.own = own

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        """The sample: `image` `3 S S` in 0..1, `mask` `1 S S` of 0 and 1, and with `own` the `truth`, bool `H W`.

        Raises: ValueError if the greys of the mask file are 0 and 1, or outlines are of an image of another size.
        """
        size = (self.size, self.size)
        path, source = self.pairs[i]
        with quiet():
            picture = whole(path, size)
        if isinstance(source, Outlines) and (source.width, source.height) != (picture.width, picture.height):
            wanted = f"{source.width}×{source.height}"
            raise ValueError(f"{shown(path)} has {picture.width}×{picture.height}: {source.where} is for {wanted}")
        sample = {"image": picture.pixels.float().div_(255), "mask": _marked(source, size)[None].float()}
        return {**sample, "truth": _marked(source)} if self.own else sample


def _marked(source: Path | Outlines, size: tuple[int, int] | None = None) -> Tensor:
    if isinstance(source, Outlines):
        drawn = Image.fromarray(source.mask().astype(np.uint8) * 255)
        resized = drawn if size is None else drawn.resize(size[::-1], Image.Resampling.BILINEAR)
        return torch.from_numpy(np.asarray(resized) > THRESHOLD)
    path = source
    with quiet():
        greys = whole(path, size).pixels[0]
    if greys.max() == 1:
        raise ValueError(
            f"{shown(path)}: the mask has greys 0 and 1; greys above {THRESHOLD} are needed for the object"
        )
    return greys > THRESHOLD


class Regions(Dataset[Mapping[str, Tensor]]):
    """A dataset of images with the region of their object, or a field made from it, in place of the label.

    Args:
        split: images whose regions are known.
        made: (region bool `H W`, index) -> the field; None makes the region a mask, float `1 H W`.
        field: the name of the field.
    """

    def __init__(
        self, split: Split, made: Callable[[Tensor, int], Tensor] | None = None, *, field: str = "mask"
    ) -> None:
        self.split = split
        self.made = made
        self.field = field

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        """The sample: `image` and the field. Raises: ValueError if the region is unknown."""
        region, (image, _) = self.split.region(i), self.split[i]
        if region is None:
            raise ValueError(f"{self.split.name(i)}: the region of the object is unknown")
        return {"image": image, self.field: region[None].float() if self.made is None else self.made(region, i)}


class Located(Dataset[Mapping[str, Tensor | int]]):
    """A dataset of labelled images with the region of their object.

    Args:
        split: the images; some regions may be unknown.
    """

    def __init__(self, split: Split) -> None:
        self.split = split
        self.labels = split.labels

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, i: int) -> dict[str, Tensor | int]:
        """The sample: `image`, `label` and `region`, bool `H W`, all false where it is unknown."""
        (image, label), region = self.split[i], self.split.region(i)
        if region is None:
            region = torch.zeros(image.shape[1:], dtype=torch.bool)
        return {"image": image, "label": label, "region": region}
