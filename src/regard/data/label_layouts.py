"""The layouts in which datasets for semantic segmentation are published.

    JPEGImages/, SegmentationClass/, ImageSets/Segmentation/{train,val}.txt       Pascal VOC 2012: 21 classes; with
        SegmentationClassAug/, training is on its label maps: those of trainaug.txt, or all that are not in val.txt
    JPEGImages/, SegmentationClassContext/, ImageSets/SegmentationContext/*.txt   PASCAL Context: 59 classes, 0 is void
    leftImg8bit/{train,val}/CITY/, gtFine/{train,val}/CITY/*_gtFine_labelIds.png  Cityscapes: 19 classes of 34 ids
    images/{training,validation}/, annotations/…, objectInfo150.txt               ADE20K: 150 classes, 0 is void
    train2017/, val2017/, stuffthingmaps/{train2017,val2017}/                     COCO-Stuff: 171 classes of 182 ids
    images/, annotations/*.mat, imageLists/{train,test}.txt                       COCO-Stuff 10k: the same classes
    train2017/, val2017/, annotations/instances_*.json                            COCO: ground and 80 kinds of objects
    train/, trainannot/, val/, valannot/                                          CamVid, by SegNet: 11 classes

VOC and PASCAL Context are also found below VOCdevkit/ and VOC2012/ or VOC2010/, ADE20K below ADEChallengeData2016/,
and the images of COCO below images/. PASCAL Context is read from label maps of 60 values, into which its published
.mat files of 459 classes have to be converted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regard.data import coco, coco_labels, matlab
from regard.data.augmenting import VOID
from regard.data.dividing import every_fifth
from regard.data.images import UnreadableImage, shown
from regard.data.label_files import Coding, Pair, Read, files, same_stem, stems
from regard.data.label_names import (
    ADE20K,
    CAMVID,
    CITYSCAPES,
    COCO_STUFF_IDS,
    COCO_UNUSED,
    CONTEXT,
    PALETTES,
    VOC,
    apart,
)
from regard.data.texts import quoted

CITYSCAPES_IDS = 34  # values of labelIds; 255 is the licence plate, whose id is −1
PHOTOGRAPH, TRUTH = "_leftImg8bit", "_gtFine_labelIds"


@dataclass(frozen=True)
class OfMatlab:
    """The labels in a MATLAB file.

    Args:
        path: the file.
        variable: the name of the labels, `H W`.
    """

    path: Path
    variable: str

    @property
    def where(self) -> str:
        return shown(self.path)

    def values(self) -> NDArray[Any]:
        try:
            found = matlab.read(self.path).get(self.variable)
        except OSError as error:
            raise UnreadableImage(self.path, str(error)) from error
        except ValueError as error:
            raise UnreadableImage(self.path, f"damaged: {error}") from error
        if not isinstance(found, np.ndarray) or found.ndim != 2:
            raise UnreadableImage(self.path, f"a matrix {self.variable} of labels is needed")
        return found


def voc(folder: Path) -> Read | None:
    """Pascal VOC 2012."""
    root = _below(folder, ("", "VOC2012", "VOCdevkit/VOC2012"), "ImageSets/Segmentation")
    if root is None:
        return None
    lists, plain, more = root / "ImageSets" / "Segmentation", root / "SegmentationClass", root / "SegmentationClassAug"
    known = stems(lists / "val.txt")
    val = _of_list(root, lists / "val.txt", known, plain)
    where, place = lists / "train.txt", plain
    if more.is_dir():
        where, place = lists / "trainaug.txt", more
    if more.is_dir() and not where.is_file():
        train = _of_list(root, more, [stem for stem in files(more) if stem not in {*known}], more)
    else:
        train = _of_list(root, where, stems(where), place)
    coding = Coding(VOC, apart(len(VOC)), None, PALETTES["voc"])
    return train, val, coding


def context(folder: Path) -> Read | None:
    """PASCAL Context."""
    root = _below(folder, ("", "VOC2010", "VOCdevkit/VOC2010"), "SegmentationClassContext")
    if root is None:
        return None
    lists, place = root / "ImageSets" / "SegmentationContext", root / "SegmentationClassContext"
    train, val = (_of_list(root, lists / name, stems(lists / name), place) for name in ("train.txt", "val.txt"))
    return train, val, _shifted(CONTEXT)


def cityscapes(folder: Path) -> Read | None:
    """Cityscapes, with the fine labels."""
    if not (folder / "leftImg8bit").is_dir() or not (folder / "gtFine").is_dir():
        return None
    parts = []
    for part in ("train", "val"):
        place = folder / "leftImg8bit" / part
        pairs: list[Pair] = []
        for image in sorted(place.glob(f"*/*{PHOTOGRAPH}.png")):
            labels = folder / "gtFine" / part / image.parent.name / image.name.replace(PHOTOGRAPH, TRUTH)
            pairs.append((image, _needed(labels, image)))
        if not pairs:
            raise ValueError(f"{shown(place)}: photographs CITY/*{PHOTOGRAPH}.png are needed")
        parts.append(pairs)
    values = dict.fromkeys(range(CITYSCAPES_IDS), VOID) | {value: label for label, value in enumerate(CITYSCAPES)}
    names, colours = zip(*CITYSCAPES.values(), strict=True)
    return parts[0], parts[1], Coding(names, colours, values, None)


def ade20k(folder: Path) -> Read | None:
    """ADE20K's scene parsing."""
    root = _below(folder, ("", "ADEChallengeData2016"), "objectInfo150.txt")
    if root is None:
        return None
    parts = [_in_folders(root / "images" / part, root / "annotations" / part) for part in ("training", "validation")]
    return parts[0], parts[1], _shifted(ADE20K)


def coco_stuff(folder: Path) -> Read | None:
    """COCO-Stuff on the photographs of COCO 2017; the value of a pixel is the id less one."""
    place = folder / "stuffthingmaps"
    if not place.is_dir():
        return None
    parts = []
    for part in ("train2017", "val2017"):
        images = folder / part if (folder / part).is_dir() else folder / "images" / part
        parts.append(_in_folders(images, place / part))
    return parts[0], parts[1], _stuff(first=0)


def coco_stuff_10k(folder: Path) -> Read | None:
    """The 10,000 photographs of COCO-Stuff's first release; the value of a pixel is the id, 0 is void."""
    lists = folder / "imageLists"
    if not lists.is_dir():
        return None
    there = files(folder / "images")
    parts = []
    for name in ("train.txt", "test.txt"):
        pairs: list[Pair] = []
        for stem in stems(lists / name):
            image = _listed(there, stem, lists / name, folder / "images")
            pairs.append((image, OfMatlab(_needed(folder / "annotations" / f"{stem}.mat", image), "S")))
        parts.append(pairs)
    return parts[0], parts[1], _stuff(first=1)


def coco_instances(folder: Path) -> Read | None:
    """COCO's objects, drawn as label maps."""
    found = coco.parts(folder)
    if not found:
        return None
    labelled = [coco_labels.labelled(part) for part in found]
    names = labelled[0][0]
    for (other, _), part in zip(labelled[1:], found[1:], strict=True):
        if other != names:
            raise ValueError(f"{shown(part.instances)}: the categories of {shown(found[0].instances.name)} are needed")
    pairs = [list(part) for _, part in labelled]
    train, val = pairs if len(pairs) == 2 else every_fifth(pairs[0], shown(folder))
    return train, val, Coding(names, apart(len(names)))


def camvid(folder: Path) -> Read | None:
    """CamVid with the eleven classes of SegNet's authors; 11 is void."""
    if not (folder / "train").is_dir() or not (folder / "trainannot").is_dir():
        return None
    parts = [_in_folders(folder / part, folder / f"{part}annot") for part in ("train", "val")]
    values = {label: label for label in range(len(CAMVID))} | {len(CAMVID): VOID}
    return parts[0], parts[1], Coding(tuple(CAMVID), tuple(CAMVID.values()), values, PALETTES["camvid"])


LAYOUTS: tuple[Callable[[Path], Read | None], ...] = (
    *(context, voc, cityscapes, ade20k, coco_stuff, coco_stuff_10k, coco_instances, camvid),
)


def _below(folder: Path, places: Sequence[str], mark: str) -> Path | None:
    """The first of the places below a folder that has a file or folder `mark`."""
    return next((folder / place for place in places if (folder / place / mark).exists()), None)


def _shifted(classes: Sequence[str]) -> Coding:
    """A coding whose values are the classes counted from 1; 0 is void."""
    values = {0: VOID} | {1 + label: label for label in range(len(classes))}
    return Coding(tuple(classes), apart(len(classes) + 1)[1:], values)


def _stuff(first: int) -> Coding:
    """COCO-Stuff's coding, in which the value of id 1 is `first`."""
    used = [number for number, name in enumerate(COCO_STUFF_IDS) if name not in COCO_UNUSED]
    values = dict.fromkeys(range(first + len(COCO_STUFF_IDS)), VOID)
    values |= {first + number: label for label, number in enumerate(used)}
    return Coding(tuple(COCO_STUFF_IDS[number] for number in used), apart(len(used) + 1)[1:], values)


def _in_folders(images: Path, labels: Path) -> list[Pair]:
    """The pairs of two folders. Raises: ValueError if one is not there, or an image has no label map."""
    for place in (images, labels):
        if not place.is_dir():
            raise ValueError(f"{shown(place)}: this folder is needed as well")
    return list(same_stem(list(files(images).values()), files(labels), labels))


def _of_list(root: Path, where: Path, names: Sequence[str], labels: Path) -> list[Pair]:
    """The pairs of the photographs of VOC with these names, which are from `where`."""
    if not names:
        raise ValueError(f"{shown(labels)}: label maps are needed")
    there = files(root / "JPEGImages")
    pairs: list[Pair] = []
    for name in names:
        image = _listed(there, name, where, root / "JPEGImages")
        pairs.append((image, _needed(labels / f"{name}.png", image)))
    return pairs


def _needed(labels: Path, image: Path) -> Path:
    if not labels.is_file():
        raise ValueError(f"{shown(labels)}: the labels of {shown(image)} are needed")
    return labels


def _listed(there: dict[str, Path], stem: str, where: Path, folder: Path) -> Path:
    if stem not in there:
        raise ValueError(f"{shown(where)}: {quoted(stem)} is not in {shown(folder)}")
    return there[stem]
