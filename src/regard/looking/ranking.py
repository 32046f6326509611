"""The nearest images of a gallery to a query, through a person network, with its gates and part masks over each.

Images are compared by the cosine of the features behind the batch norm in front of the classifier. Person and camera
are read from the names, as in Market-1501's layout (`regard.data.persons`); an image whose name says neither is shown
without a verdict. Junk, person -1, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from regard.core import Attention, Maps, watch
from regard.data import images
from regard.data.batches import normalised
from regard.data.persons import JUNK, NAME
from regard.ops.distances import distances
from regard.saved.opening import Network
from regard.tasks.reidentify import seen
from regard.viewing import spatial
from regard.viewing.painting import overlay, picture_of, staged, veiled
from regard.viewing.parts import colour_of, masks_over, relations
from regard.viewing.pictures import Picture
from regard.viewing.ranking import TALL, Shown, ranking
from regard.viewing.scaling import Colouring, Scale
from regard.viewing.sheet import sheet

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


class Gallery:
    """The images of a folder and their features.

    Args:
        network: a person network.
        folder: the images.

    Raises: ValueError if the network is not for persons, or the folder has no images of persons; FileNotFoundError if
        there is no folder; `UnreadableImage` naming a file that is damaged.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        if not network.system or network.entry is None or TASK not in network.entry.tasks:
            raise ValueError(f"gallery={str(folder)!r}: a network for re-identification is needed, not {network.name}")
        if not folder.is_dir():
            raise FileNotFoundError(f"gallery={str(folder)!r}: no such folder")
        self.network, self.folder = network, folder
        self.size = network.size or SIZE
        self.paths = [
            path
            for path in sorted(folder.iterdir())
            if path.suffix.lower() in images.SUFFIXES and of_name(path) != (JUNK, of_name(path)[1])
        ]
        if not self.paths:
            raise ValueError(f"gallery={str(folder)!r}: a folder with images of persons is needed")
        parts = [self.paths[start : start + AT_ONCE] for start in range(0, len(self.paths), AT_ONCE)]
        self.features = torch.cat([self.features_of(self.read(part)) for part in parts])

    def read(self, paths: Sequence[Path]) -> Tensor:
        """The images in 0..1, `N 3 H W`, in the size that the network takes."""
        with images.quiet():
            return torch.stack([images.whole(path, self.size).pixels for path in paths]).float() / 255

    def prepared(self, pictures: Tensor) -> Tensor:
        grey = pictures.mean(1, keepdim=True) if self.network.channels == 1 else pictures
        return normalised(grey, self.network.normalise)

    def features_of(self, pictures: Tensor) -> Tensor:
        with torch.no_grad():
            return seen(self.network.model, self.prepared(pictures)).behind

    def ranked(self, query: Path, *, scale: Scale, warning: str = "") -> Ranked:
        """Ranks the gallery for a query; the query itself is left out where it lies in the gallery.

        Args:
            query: an image of a person.
            scale: of the colours, as for `regard.draw`.
            warning: what has to be said above the sheet.

        Raises: ValueError if nothing is left in the gallery.
        """
        others = [i for i, path in enumerate(self.paths) if not (query.exists() and path.samefile(query))]
        if not others:
            raise ValueError(f"gallery={str(self.folder)!r}: other images than the query {query} are needed")
        d = distances(self.features_of(self.read([query])), self.features[others], "cosine")[0]
        nearest = [others[i] for i in d.argsort(stable=True)[:NEAREST].tolist()]
        away = dict(zip(others, d.tolist(), strict=True))
        verdicts = [verdict(of_name(query), of_name(self.paths[i])) for i in nearest]
        shown = [query, *(self.paths[i] for i in nearest)]
        pictures = self.read(shown)
        attends = any(isinstance(module, Attention) for module in self.network.model.modules())
        with torch.no_grad(), watch(self.network.model) if attends else nullcontext(Maps()) as maps:
            self.network.model(self.prepared(pictures))
        rows = panels(maps, pictures, self.parts, scale)
        drawn = [
            Shown(picture_of(picture), [row[i] for row in rows.values()])
            for i, picture in enumerate(pictures)
        ]  # fmt: skip
        found, rank = [], 0
        for image, place, said in zip(drawn[1:], nearest, verdicts, strict=True):
            rank += said != "same camera"
            words = [f"rank {rank}"] if said != "same camera" else ["not counted"]
            words += [camera_of(self.paths[place]), f"{away[place]:.3f}"]
            found.append(Shown(image.picture, image.panels, said, words))
        first = Shown(drawn[0].picture, drawn[0].panels, "", ["query", camera_of(query)])
        names = {part.replace("_", " "): colour_of(i) for i, part in enumerate(self.parts)}
        title = f"{images.shown(query.name)}: {self.network.name}; cosine of the features behind the batch norm"
        page = ranking(
            first,
            found,
            list(rows),
            title,
            legends={name: names for name in rows if name.endswith("/mask")},
            warning=warning,
        )
        return Ranked(page, self.tables(maps, query, warning), told(verdicts, [self.paths[i] for i in nearest]))

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts that the network has masks of."""
        return tuple(getattr(self.network.model, "part_names", ()))

    def tables(self, maps: Maps, query: Path, warning: str) -> Image.Image | None:
        """The relations of the parts of the query, a table for each map; None without any."""
        names = [part.replace("_", " ") for part in self.parts]
        pictures = [
            Picture(key, relations(look[0], names, side=TABLE), "each row attends to the columns; its weights sum to 1")
            for key, looks in maps.items()
            for look in looks
            if key.rpartition("/")[2] == "relation" and names and look.shape[-1] % len(names) == 0
        ]
        if not pictures:
            return None
        title = f"{images.shown(query.name)}: {self.network.name}: relations of the parts"
        return sheet(pictures, title, warning=warning)


def of_name(path: Path) -> tuple[int | None, int | None]:
    """Person and camera by the name of a file, None each where it does not say."""
    found = NAME.match(path.name)
    return (None, None) if found is None else (int(found[1]), int(found[2]))


def camera_of(path: Path) -> str:
    camera = of_name(path)[1]
    return "camera unknown" if camera is None else f"camera {camera}"


def verdict(query: tuple[int | None, int | None], found: tuple[int | None, int | None]) -> str:
    """`right`, `wrong` or `same camera`, for the same person under the same camera; empty if a person is not known."""
    if query[0] is None or found[0] is None:
        return ""
    if query[0] != found[0]:
        return "wrong"
    return "same camera" if query[1] == found[1] else "right"


def told(verdicts: Sequence[str], paths: Sequence[Path]) -> str:
    """What was found, in words."""
    counted = [said for said in verdicts if said in ("right", "wrong")]
    if not counted:
        return f"nearest is {images.shown(paths[0].name)}, {camera_of(paths[0])}"
    right = counted.count("right")
    first = f", the first at rank {counted.index('right') + 1}" if right else ""
    left = len(verdicts) - len(counted)
    aside = f"; {left} under the same camera {'does' if left == 1 else 'do'} not count" if left else ""
    return f"{right} of the {len(counted)} nearest {'is' if right == 1 else 'are'} right{first}{aside}"


def panels(maps: Maps, pictures: Tensor, parts: Sequence[str], scale: Scale) -> Mapping[str, list[Image.Image]]:
    """Gates and part masks over each image, by the names of the maps; without any, what else has a place.

    Args:
        maps: of all images.
        pictures: the images.
        parts: the names of the parts.
        scale: of the colours.

    Shapes: pictures `N 3 H W` in 0..1.
    """
    stages = [staged(picture, TALL) for picture in pictures]
    rows: dict[str, list[Image.Image]] = {}
    for key, looks in maps.items():
        look = looks[-1]
        if maps.axes[key].split()[2:] not in (["H", "W"], ["h", "w"]):
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
