"""The nearest images of a gallery to a query, through a person network, with its gates and part masks over each.

Images are compared by the cosine of the features behind the batch norm in front of the classifier. Person and camera
are read from the names, as in Market-1501's layout (`regard.data.persons`); an image whose name says neither is shown
without a verdict. Junk, person -1, is left out. A network for clips ranks tracklets, whose frames have names as in
MARS's layout (`regard.data.tracklets`): a query is a tracklet by one of its frames, and its middle frame is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from regard.core import Attention, Maps
from regard.data import images
from regard.data.batches import normalised
from regard.data.persons import JUNK, NAME
from regard.data.tracklets import FRAME
from regard.looking import clips
from regard.ops.distances import distances
from regard.saved import description as trained
from regard.saved.opening import Network
from regard.tasks.reidentify import seen
from regard.viewing import spatial
from regard.viewing.painting import overlay, picture_of, staged, veiled
from regard.viewing.parts import colour_of, masks_over, relations
from regard.viewing.pictures import Picture
from regard.viewing.ranking import TALL, Shown, ranking
from regard.viewing.scaling import Colouring, Scale
from regard.viewing.sheet import sheet
from regard.watching import watch

NEAREST = 10
AT_ONCE = 32  # images in a pass
TABLE = 220  # pixels of a table of relations, without the names
SIZE = (256, 128)  # height and width where neither the weights nor the network give them
TASK = "re-identification"


@dataclass(frozen=True)
class Ranked:
    """What was found for a query.

    Args:
        page: the ranking sheet.
        relations: the tables of the relations of the parts in the query; None where the network has none.
        text: what was found, in words.
    """

    page: Image.Image
    relations: Image.Image | None
    text: str


@dataclass(frozen=True)
class Item:
    """An image, or the frames of a tracklet; person and camera are None where the name does not say them."""

    frames: tuple[Path, ...]
    person: int | None
    camera: int | None

    @property
    def name(self) -> str:
        return images.shown(self.frames[0].name)

    @property
    def where(self) -> str:
        """The camera, in words."""
        return "camera unknown" if self.camera is None else f"camera {self.camera}"


def of_clips(
    mechanism: str | None, weights: str | Path | None, arguments: Mapping[str, Any]
) -> tuple[Network, int] | None:
    """A network whose weights were trained on clips, and how many frames these had; None for other weights.

    Raises: as `regard.looking.clips.opened`.
    """
    found = None if weights is None else trained.read(trained.located(Path(weights)))
    if found is None or len(found.image or ()) != 4:
        return None
    network, found = clips.opened(mechanism, Path(weights or ""), arguments)
    assert found.image is not None
    return replace(network, size=(found.image[2], found.image[3])), found.image[1]


class Gallery:
    """The images of a folder, or the tracklets in it and in its subfolders, and their features.

    Args:
        network: a person network.
        folder: the images, or the frames.
        frames: how many frames of a tracklet the network takes; None for a network for images.

    Raises: ValueError if the network is not for persons, or the folder has no images of persons; FileNotFoundError if
        there is no folder; `UnreadableImage` naming a file that is damaged.
    """

    def __init__(self, network: Network, folder: Path, frames: int | None = None) -> None:
        if not network.system or network.entry is None or TASK not in network.entry.tasks:
            raise ValueError(f"gallery={str(folder)!r}: a network for re-identification is needed, not {network.name}")
        if not folder.is_dir():
            raise FileNotFoundError(f"gallery={str(folder)!r}: no such folder")
        self.network, self.folder, self.frames = network, folder, frames
        self.size = network.size or SIZE
        found = folder.iterdir() if frames is None else folder.rglob("*")
        paths = sorted(path for path in found if path.suffix.lower() in images.SUFFIXES)
        self.items = [item for item in self.grouped(paths) if item.person != JUNK]
        if not self.items:
            raise ValueError(f"gallery={str(folder)!r}: a folder with images of persons is needed")
        parts = [self.items[start : start + AT_ONCE] for start in range(0, len(self.items), AT_ONCE)]
        self.features = torch.cat([self.features_of(self.read(part)) for part in parts])

    def grouped(self, paths: Sequence[Path]) -> list[Item]:
        """An item for each image, or for each tracklet of which there are frames among the paths."""
        if self.frames is None:
            return [Item((path,), *of_name(path)) for path in paths]
        tracklets: dict[tuple[Path, str], list[Path]] = {}
        for path in paths:
            if FRAME.match(path.name):
                tracklets.setdefault((path.parent, _TRACKLET.sub("", path.name)), []).append(path)
        return [Item(tuple(frames), *of_name(frames[0])) for frames in tracklets.values()]

    def queried(self, path: Path) -> Item:
        """The image, or the tracklet that a frame is of.

        Raises: ValueError if the name of a frame does not say its tracklet.
        """
        if self.frames is None:
            return Item((path,), *of_name(path))
        found = self.grouped(sorted(path.parent.iterdir())) if path.is_file() else []
        own = next((item for item in found if path in item.frames), None)
        if own is None:
            raise ValueError(f"{path}: a frame of a tracklet is needed, named as 0001C1T0001F001.jpg")
        return own

    def read(self, items: Sequence[Item]) -> Tensor:
        """The images in 0..1, `N 3 H W`, or the frames, `N 3 T H W`, in the size that the network takes."""
        with images.quiet():
            if self.frames is None:
                found = torch.stack([images.whole(item.frames[0], self.size).pixels for item in items])
            else:
                found = torch.stack([self._clip(item) for item in items])
        return found.float() / 255

    def _clip(self, item: Item) -> Tensor:
        """The middle frame of each of T equal parts of a tracklet, as a test sees it: uint8 `3 T H W`."""
        assert self.frames is not None
        places = [(2 * i + 1) * len(item.frames) // (2 * self.frames) for i in range(self.frames)]
        return torch.stack([images.whole(item.frames[place], self.size).pixels for place in places], 1)

    def prepared(self, pictures: Tensor) -> Tensor:
        grey = pictures.mean(1, keepdim=True) if self.network.channels == 1 else pictures
        return normalised(grey, self.network.normalise)

    def features_of(self, pictures: Tensor) -> Tensor:
        with torch.no_grad():
            return seen(self.network.model, self.prepared(pictures)).behind

    def ranked(self, path: Path, *, scale: Scale, warning: str = "") -> Ranked:
        """Ranks the gallery for a query; the query itself is left out where it lies in the gallery.

        Args:
            path: an image of a person, or a frame of a tracklet.
            scale: of the colours, as for `regard.draw`.
            warning: what has to be said above the sheet.

        Raises: ValueError if nothing is left in the gallery, or for a frame whose name does not say its tracklet.
        """
        query = self.queried(path)
        asked = path.resolve()
        others = [i for i, item in enumerate(self.items) if asked not in {frame.resolve() for frame in item.frames}]
        if not others:
            raise ValueError(f"gallery={str(self.folder)!r}: other images than the query {path} are needed")
        d = distances(self.features_of(self.read([query])), self.features[others], "cosine")[0]
        order = d.argsort(stable=True)[:NEAREST].tolist()
        nearest = [self.items[others[i]] for i in order]
        verdicts = [verdict(query, item) for item in nearest]
        pictures = self.read([query, *nearest])
        attends = any(isinstance(module, Attention) for module in self.network.model.modules())
        with torch.no_grad(), watch(self.network.model, foreign=False) if attends else nullcontext(Maps()) as maps:
            self.network.model(self.prepared(pictures))
        stages = pictures if self.frames is None else pictures[:, :, self.frames // 2]
        rows = panels(maps, stages, self.parts, scale, frames=self.frames)
        drawn = [Shown(picture_of(stage), [row[i] for row in rows.values()]) for i, stage in enumerate(stages)]
        found, rank = [], 0
        for image, item, said, place in zip(drawn[1:], nearest, verdicts, order, strict=True):
            rank += said != "same camera"
            words = [f"rank {rank}" if said != "same camera" else "not counted", item.where, f"{float(d[place]):.3f}"]
            found.append(replace(image, verdict=said, words=words))
        names = {part.replace("_", " "): colour_of(i) for i, part in enumerate(self.parts)}
        page = ranking(
            replace(drawn[0], words=["query", query.where]),
            found,
            list(rows),
            f"{images.shown(path.name)}: {self.network.name}; cosine of the features behind the batch norm",
            legends={name: names for name in rows if name.endswith("/mask")},
            warning=warning,
        )
        return Ranked(page, self.tables(maps, path, warning), told(verdicts, nearest))

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts that the network has masks of."""
        return tuple(getattr(self.network.model, "part_names", ()))

    def tables(self, maps: Maps, query: Path, warning: str) -> Image.Image | None:
        """The relations of the parts of the query, a table for each map; None without any."""
        names = [part.replace("_", " ") for part in self.parts]
        pictures = []
        for key, looks in maps.items():
            if key.rpartition("/")[2] != "relation" or not names or looks[-1].shape[-1] % len(names):
                continue
            look = looks[-1]  # of clips whose frames are seen alone, the middle one's
            alone = self.frames is not None and look.shape[-1] == len(names)
            own = look[self.frames // 2] if alone and self.frames is not None else look[0]
            facts = "each row attends to the columns; its weights sum to 1"
            pictures.append(Picture(key, relations(own, names, side=TABLE), facts))
        if not pictures:
            return None
        title = f"{images.shown(query.name)}: {self.network.name}: relations of the parts"
        return sheet(pictures, title, warning=warning)


_TRACKLET = re.compile(r"F[0-9]+\..*")  # what the frames of a tracklet differ in


def of_name(path: Path) -> tuple[int | None, int | None]:
    """Person and camera by the name of a file, None each where it does not say."""
    found = NAME.match(path.name) or FRAME.match(path.name)
    if found is None:
        return None, None
    return JUNK if found[1] == "00-1" else int(found[1]), int(found[2])


def verdict(query: Item, found: Item) -> str:
    """`right`, `wrong` or `same camera`, for the same person under the same camera; empty if a person is not known."""
    if query.person is None or found.person is None:
        return ""
    if query.person != found.person:
        return "wrong"
    return "same camera" if query.camera == found.camera else "right"


def told(verdicts: Sequence[str], items: Sequence[Item]) -> str:
    """What was found, in words."""
    counted = [said for said in verdicts if said in ("right", "wrong")]
    if not counted:
        return f"nearest is {items[0].name}, {items[0].where}"
    right = counted.count("right")
    first = f", the first at rank {counted.index('right') + 1}" if right else ""
    left = len(verdicts) - len(counted)
    aside = f"; {left} under the same camera {'does' if left == 1 else 'do'} not count" if left else ""
    return f"{right} of the {len(counted)} nearest {'is' if right == 1 else 'are'} right{first}{aside}"


def panels(
    maps: Maps, pictures: Tensor, parts: Sequence[str], scale: Scale, *, frames: int | None = None
) -> Mapping[str, list[Image.Image]]:
    """Gates and part masks over each image, by the names of the maps; without any, what else has a place.

    Args:
        maps: of all images.
        pictures: the images.
        parts: the names of the parts.
        scale: of the colours.
        frames: T of clips, of which the middle frame is drawn; None for images.

    Shapes: pictures `N 3 H W` in 0..1.
    """
    stages = [staged(picture, TALL) for picture in pictures]
    rows: dict[str, list[Image.Image]] = {}
    for key, looks in maps.items():
        if maps.axes[key].split()[-2:] not in (["H", "W"], ["h", "w"]):
            continue
        look = looks[-1]
        if frames is not None and look.dim() == 4:  # of frames that are seen alone
            look = look.unflatten(0, (-1, frames))
        if look.dim() == 5:
            look = look[:, look.shape[1] // 2]
        if look.dim() != 4:
            continue
        if look.shape[1] == 1:
            rows[key] = _heats(look[:, 0], stages, scale)
        elif parts and look.shape[1] == len(parts):
            rows[key] = [masks_over(stage, masks) for stage, masks in zip(stages, look, strict=True)]
    if rows:
        return rows
    found = {key: spatial(maps, key) for key in maps}
    return {key: _heats(heat, stages, scale) for key, heat in found.items() if heat is not None}


def _heats(heats: Tensor, stages: Sequence[Image.Image], scale: Scale) -> list[Image.Image]:
    """Maps over the images, with common colours for the row."""
    colouring = Colouring(scale, heats.dtype)
    low, high = colouring.ends(heats) or (None, None)
    return [
        veiled(stage) if colouring.even(heat) else overlay(stage, heat, low=low, high=high)
        for stage, heat in zip(stages, heats, strict=True)
    ]
