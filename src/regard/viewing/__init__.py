"""Pictures of attention maps, drawn by their axes alone, whatever the mechanism.

The axes that the label declares, and the grids that the mechanism showed, decide what is drawn:

    B 1 H W, B S H W, B h H W    heat maps over the image, one a scale or head; of other letters, such as channels, the
                                 mean and the strongest
    B K H W with named classes   a heat map for each class
    B C 1 1, B C                 bars, largest first
    B Q K with grids             received attention, and where the centre and the strongest query look; the query marked
    B Q K with tokens in front   the same, after what the class token attends to, and each other token
    B Q X with places            the same, X the places within the window of each query
    B Q S with several grids     the same, the regions of a pyramid spread over the image
    B H W X                      the same, X the places of the query's column and row; repeated passes are multiplied
    B Q K, named classes K       for each class the places that attend to it, and bars of what a chosen query attends to
    B T Q with a grid            one small map a step
    B L H W                      one small map a word, above the word
    B L N with boxes, B N        regions outlined for each word, or at once, the thicker the larger the weight
    B L                          bars in the order of the words
    B L T over a clip            the weight of each of its frames for each word
    B L T, B h L T with words    the words of one sentence over those of the other
    B Q K with grids of a clip   attention received by each of its frames
    B 1 D H W                    three orthogonal slices through the largest value, over a volume
    B T 2, B T 4                 a path of points, or boxes, in [-1, 1], numbered in order
    B H W 2                      a lattice of the points (x, y) that are sampled
    axes without a place         a matrix, or one for each of the first axes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from regard.core import Grid, Maps, grids_of
from regard.viewing import scaling
from regard.viewing.alignment import alignment
from regard.viewing.frames import over_frames
from regard.viewing.painting import bars, boxes, lattice, mark, matrix, path, plain, staged, tiled
from regard.viewing.pictures import PANELS, SIDE, Picture, counted, ends_of, over
from regard.viewing.reaching import Cross, Dense, Reach, plane_of, reach
from regard.viewing.scaling import Colouring, Scale
from regard.viewing.slices import orthogonal, through
from regard.viewing.tokens import Tokens, tokens_of, windows_of, without_tokens
from regard.viewing.words import looked

LATTICE = ("H", "W", "2")
VOLUME = ("D", "H", "W")  # behind two other axes or more; in B D H W and B D D the letter is of channels
STRONGEST = 3  # channels drawn beside their mean


def spatial(maps: Maps, key: str) -> Tensor | None:
    """Returns one heat map for each sample, from any map that has a place.

    Heads, scales, channels, steps, queries and repeated looks are averaged: for `B Q K` that is the attention each
    position receives, and with a class token among the queries the attention of this token. Row and column maps
    (`B C H 1`) keep their one axis.

    Shapes: -> `B H W` at the map's own resolution, float32 or wider; None for a map without a place (`B C 1 1`).
    Raises: LookupError if `key` was not seen, ValueError if its axes are unknown.
    """
    if key not in maps:
        raise LookupError(f"no map {key!r}; seen: {', '.join(maps) or 'none'}")
    looks = []
    for look in maps[key]:
        letters, grids = _letters(maps, key, look), maps.grids.get(key, {})
        ways = [_way(maps, key, one[None], letters) for one in look]
        if any(ways):
            looks.append(torch.stack([next(iter(_rows(way).values())).mean(0) for way in ways if way is not None]))
            continue
        placed = _placed(*without_tokens(look, letters, grids, maps.tokens.get(key, {})))
        if placed is None:
            return None
        values, rest = placed
        looks.append(values.mean(tuple(range(1, 1 + len(rest)))) if rest else values)
    size = max((tuple(look.shape[1:]) for look in looks), key=lambda size: size[0] * size[1])
    return torch.stack(
        [F.interpolate(look[:, None], size, mode="bilinear", align_corners=False)[:, 0] for look in looks]
    ).mean(0)


def draw(
    maps: Maps,
    image: Image.Image | Tensor | np.ndarray,
    sample: int = 0,
    *,
    queries: Sequence[tuple[float, float]] | None = None,
    classes: Mapping[int, str] | None = None,
    boxes: Tensor | None = None,
    scale: Scale = "common",
) -> list[Picture]:
    """Draws every map that `watch` recorded, over the image.

        with regard.watch(model) as maps:
            model(images)
        for number, picture in enumerate(regard.draw(maps, images[0])):
            picture.image.save(f"{number}.png")

    Args:
        maps: the maps of `watch`.
        image: the whole image that the model saw: a Pillow image, a float tensor `C H W` in [0, 1], or a uint8 array
            `H W 3`; of a clip, a float tensor `C T H W`, whose frames lie under the maps of their time; of a volume, a
            float tensor `C D H W`.
        sample: index of the image in the batch.
        queries: for maps from queries to positions, the places (x, y) of the queries to draw, in [0, 1] from the top
            left corner; None draws the centre and the strongest, which is the query with the largest single weight.
        classes: number and name of every class, those to be drawn first in front; they name the parts of maps with an
            axis K of as many classes.
        boxes: (left, top, right, bottom) of the regions that maps with an axis N are over, `N 4` in [0, 1].
        scale: the values of the darkest and the lightest colour. "common": 0 and 1 for a gate, 0 and the largest weight
            for weights that sum to one, the same for all parts of a map; a gate that is nearly the same everywhere
            looks so. "own": the smallest and the largest value of each picture, which shows small differences. A pair:
            these two values. A map whose values differ by rounding alone is drawn in grey.

    Raises: ValueError if a map's axes are unknown or cannot be drawn, or a query lies outside the image; IndexError if
        the batch has no such sample.
    """
    scale = scaling.checked(scale)
    for x, y in queries or ():
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(f"queries: pairs (x, y) in [0, 1] are needed, not {(x, y)}")
    clip = isinstance(image, Tensor) and image.dim() == 4
    frames = [staged(frame, SIDE) for frame in (image.unbind(1) if clip else [image])]  # type: ignore[union-attr]
    pictures: list[Picture] = []
    for key, looks in maps.items():
        for number, look in enumerate(looks, 1):
            letters = _letters(maps, key, look)
            if not -len(look) <= sample < len(look):
                raise IndexError(f"sample={sample}: {key} has a batch of {len(look)}")
            one = look[sample].unsqueeze(0)
            name = key if len(looks) == 1 else f"{key}, look {number} of {len(looks)}"
            if letters[2:] == VOLUME:
                pictures.append(_volume(name, one[0], image, Colouring(scale, look.dtype)))
                continue
            before = [other[sample].unsqueeze(0) for other in looks[: number - 1]]
            sentences = _sentence(maps, "L", sample), _sentence(maps, "T", sample)
            chosen = Chosen(queries, classes or {}, scale, *sentences, boxes)
            way = _way(maps, key, one, letters, before)
            one, _, grids = without_tokens(one, letters, maps.grids.get(key, {}), maps.tokens.get(key, {}))
            pictures += _pictures(name, one, letters, grids, frames, chosen, way, len(before))
    return pictures


def _way(
    maps: Maps, key: str, look: Tensor, letters: tuple[str, ...], before: Sequence[Tensor] = ()
) -> Reach | Tokens | None:
    """Where the queries of one image look, behind tokens, within windows, over a pyramid or a cross; else None."""
    grids = maps.grids.get(key, {})
    return (
        tokens_of(look, letters, grids, maps.tokens.get(key, {}))
        or windows_of(look, letters, grids, maps.places.get(key))
        or reach(look, letters, grids, before)
    )


def _rows(way: Reach | Tokens) -> dict[str, Tensor]:
    """What is drawn of all queries, by what it is, `h H W` each: what tokens attend to, and what places receive."""
    return way.rows() if isinstance(way, Tokens) else {"received": way.received()}


@dataclass(frozen=True)
class Chosen:
    """What is drawn of the maps; see `draw`."""

    queries: Sequence[tuple[float, float]] | None
    classes: Mapping[int, str]
    scale: Scale
    words: Sequence[str] = ()
    read: Sequence[str] = ()
    boxes: Tensor | None = None

    def named(self, letter: str, size: int) -> Mapping[int, str]:
        """The names of the parts along an axis; empty if they are not those of the classes."""
        return self.classes if letter == "K" and size == len(self.classes) else {}

    def places(self, grid: tuple[int, ...]) -> dict[str, int] | None:
        """The queries by the names of their places; None if none are chosen."""
        if self.queries is None:
            return None
        height, width = grid
        return {
            f"({x:.2f}, {y:.2f})": min(int(y * height), height - 1) * width + min(int(x * width), width - 1)
            for x, y in self.queries
        }


def _sentence(maps: Maps, letter: str, sample: int) -> Sequence[str]:
    """The words of an axis for one sample; empty if they are not known."""
    sentences = maps.words.get(letter, ())
    return sentences[sample] if sentences else ()


def _counted(number: int, one: str, several: str) -> str:
    return f"1 {one}" if number == 1 else f"{number} {several}, in order"


def _letters(maps: Maps, key: str, look: Tensor) -> tuple[str, ...]:
    """The map's axes, one letter or number each, checked against its shape."""
    axes = maps.axes.get(key, "")
    if not axes:
        raise ValueError(
            f"{key}: its module declares no axes of this map; declare them, as in maps = {{'gate': 'B C 1 1'}}"
        )
    # Of a multiple or a quotient, as 2H or H/2, only the letter matters here.
    letters = tuple(part if part.isdigit() else part.strip("0123456789/") for part in axes.split())
    placed = [letter for letter in letters if letter in ("B", "H", "W")]
    if letters[0] != "B" or len(set(placed)) < len(placed) or not all(len(x) == 1 or x.isdigit() for x in letters):
        raise ValueError(
            f"{key}: axes {axes!r} cannot be drawn; B first, H and W at most once, and letters and numbers are"
        )
    if look.dim() != len(letters) or any(
        letter.isdigit() and int(letter) != size for letter, size in zip(letters, look.shape, strict=True)
    ):
        raise ValueError(f"{key}: axes {axes!r} do not fit a map of shape {tuple(look.shape)}")
    if letters[2:] == ("d", "h", "w"):
        letters = (*letters[:2], *VOLUME)
    if letters[-2:] == ("h", "w"):  # a height and width of the map's own
        letters = (*letters[:-2], "H", "W")
    return letters


def _placed(look: Tensor, letters: tuple[str, ...], grids: Mapping[str, Grid]) -> tuple[Tensor, tuple[str, ...]] | None:
    """The map with its place last, `B *rest H W`, and the letters of the rest; None if it has no place."""
    look = look.detach()
    look = look if look.dtype == torch.float64 else look.float()
    last = letters[-1]
    if letters[-3:] == LATTICE:  # coordinates are no weights
        return None
    if "H" in letters or "W" in letters:
        for letter in ("H", "W"):
            if letter in letters:
                look = look.movedim(letters.index(letter), -1)
                letters = (*(other for other in letters if other != letter), letter)
            else:
                look, letters = look.unsqueeze(-1), (*letters, letter)
    else:
        grid = grids.get(last)
        if grid is None and last == "K" and "Q" in letters and look.shape[letters.index("Q")] == look.shape[-1]:
            grid = grids.get("Q")
        if grid is None or len(grids_of(grid)) > 1:
            return None
        (sides,) = grids_of(grid)
        look = look.unflatten(-1, (1, *sides) if len(sides) == 1 else sides)
        letters = (*letters[:-1], *("T" for _ in sides[:-2]), "H", "W")
    named = [letter for letter in letters[1:-2] if letter != "1"]
    sizes = [size for letter, size in zip(letters[:-2], look.shape[:-2], strict=True) if letter != "1"]
    return look.reshape(*sizes, *look.shape[-2:]), tuple(named)


def _pictures(
    name: str,
    look: Tensor,
    letters: tuple[str, ...],
    grids: Mapping[str, Grid],
    frames: Sequence[Image.Image],
    chosen: Chosen,
    way: Reach | Tokens | None,
    after: int,
) -> list[Picture]:
    """Pictures of one look at one sample, `look` with a batch of one; `frames` are several for a clip."""
    stage, scale = frames[len(frames) // 2], chosen.scale
    if letters[-2:] == ("T", "2"):
        return [Picture(name, path(stage, look[0]), _counted(look.shape[1], "glimpse", "glimpses"))]
    if letters[-2:] == ("T", "4"):
        return [Picture(name, boxes(stage, look[0]), _counted(look.shape[1], "box", "boxes"))]
    if letters == ("B", *LATTICE):
        return [Picture(name, lattice(stage, look[0]), f"{look.shape[1]} x {look.shape[2]} points are sampled")]
    colouring = Colouring(scale, look.dtype)
    worded = looked(name, look, letters, grids, chosen.words, chosen.boxes, stage, colouring)
    if worded is None:
        worded = over_frames(name, look, letters, chosen.words, frames, colouring)
    if worded is None and chosen.words and chosen.read:
        worded = alignment(name, look, letters, chosen.words, chosen.read, colouring)
    if worded is not None:
        return [worded]
    if way is not None:
        return _queries(name, way, stage, chosen, colouring, after=after if isinstance(way, Cross) else 0)
    placed = _placed(look, letters, grids)
    if placed is None:
        items = _items(name, look, letters, grids, stage, chosen, colouring)
        return items or [_without_place(name, look, letters, colouring)]
    values, rest = placed[0][0], placed[1]
    plane = plane_of(grids.get("Q"))
    if rest and rest[-1] == "Q" and plane is not None:
        heads = values.flatten(0, len(rest) - 2) if len(rest) > 1 else values[None]  # [h, Q, H, W]
        return _queries(name, Dense(heads, plane), stage, chosen, colouring)
    if len(rest) > 1 and rest[0] == "Q" and "T" in rest:  # the queries of a clip: what each frame receives
        values, rest = values.movedim(rest.index("T"), 0).flatten(1, len(rest) - 1).mean(1), ("T",)
    while len(rest) > 1:  # only the first axis gets panels
        values, rest = values.mean(1), (rest[0], *rest[2:])
    if not rest:
        return over({name: values}, stage, colouring)
    letter = rest[0]
    named = chosen.named(letter, len(values))
    if named:
        return over({f"{name}, {word}": values[i] for i, word in [*named.items()][:PANELS]}, stage, colouring)
    words = {"h": "head", "S": "scale", "T": "step", "N": "class", "Q": "query"}
    if letter in ("T", "N", "Q") and len(values) > 1:
        under = [frames[(2 * i + 1) * len(frames) // (2 * len(values))] for i in range(len(values))]
        panels = over(dict(enumerate(values[:PANELS])), under, colouring)
        block = tiled([panel.image for panel in panels], SIDE)
        own = "; each has its own colours" if scale == "own" else ""
        facts = f"{counted(len(panels), len(values))} {words[letter]} maps; {colouring.words(values)}{own}"
        ends = None if own else next((panel.ends for panel in panels if panel.ends is not None), None)
        return [Picture(name, block, facts, ends, ends_of(values))]
    if letter in ("h", "S") or len(values) == 1:
        word, count = words.get(letter, "map"), len(values)
        return over(
            {f"{name}, {word} {i} of {count}" if count > 1 else name: one for i, one in enumerate(values[:PANELS], 1)},
            stage,
            colouring,
        )
    strongest = values.mean((1, 2)).argsort(descending=True, stable=True)[:STRONGEST].tolist()
    mean = {f"{name}, mean of {len(values)}": values.mean(0)}
    return over(mean | {f"{name}, {letter} {index}": values[index] for index in strongest}, stage, colouring)


def _volume(name: str, look: Tensor, image: object, colouring: Colouring) -> Picture:
    """The slices of a map `N D H W`, the mean over N. Raises: ValueError if the image is no volume."""
    if not isinstance(image, Tensor) or image.dim() != 4:
        raise ValueError(f"{name}: a volume as image, a float tensor C D H W in [0, 1], is needed for this map")
    values = look.mean(0) if look.dtype == torch.float64 else look.float().mean(0)
    even, ends = colouring.even(values), colouring.ends(values[None], place=3)
    low, high = ends or (None, None)
    drawn = orthogonal(image, values, SIDE, low=low, high=high, even=even)
    size = " x ".join(map(str, values.shape))
    if even:
        return Picture(name, drawn, f"{size}; {colouring.words(values)}")
    place = " ".join(f"{letter} {at}" for letter, at in zip(VOLUME, through(values), strict=True))
    facts = f"{size}; {colouring.words(values)}; largest at {place}"
    return Picture(name, drawn, facts, ends or ends_of(values), ends_of(values))


def _queries(
    name: str, way: Reach | Tokens, stage: Image.Image, chosen: Chosen, colouring: Colouring, *, after: int = 0
) -> list[Picture]:
    """Pictures of what tokens attend to and of the attention received, of the first for each head, and of that of
    single queries, averaged over heads.

    Args:
        after: how many earlier passes are multiplied into the weights.
    """
    pictures: list[Picture] = []
    if isinstance(way, Tokens):
        colouring = replace(colouring, weights=True)
    for number, (row, heads) in enumerate(_rows(way).items()):
        shown = {f"{name}, {row}": heads.mean(0)}
        if len(heads) > 1 and number == 0:
            for head, panel in enumerate(heads[:PANELS], 1):
                shown[f"{name}, {row}, head {head} of {len(heads)}"] = panel
        panels = over(shown, stage, colouring)
        if isinstance(way, Tokens) and (beside := way.beside(row)):
            panels[0] = replace(panels[0], caption=f"{panels[0].caption}; {beside}")
        pictures += panels
    if way.grid is None:
        return pictures
    height, width = way.grid
    places = chosen.places(way.grid)
    if places is None:
        places = {"centre": (height // 2) * width + width // 2, "strongest": way.strongest()}
    if not places:
        return pictures
    panels = over({f"{name}, from {word}": way.of(query) for word, query in places.items()}, stage, colouring)
    passes = f"; through {after + 1} passes" if after else ""
    for panel, query in zip(panels, places.values(), strict=True):
        ringed = mark(panel.image, *_middle(query, way.grid))
        pictures.append(replace(panel, image=ringed, caption=f"{panel.caption}{passes}; the ring is the query"))
    return pictures


def _middle(query: int, grid: tuple[int, ...]) -> tuple[float, float]:
    """The middle of a position, (x, y) in [0, 1]."""
    height, width = grid
    return (query % width + 0.5) / width, (query // width + 0.5) / height


def _items(
    name: str,
    look: Tensor,
    letters: tuple[str, ...],
    grids: Mapping[str, Grid],
    stage: Image.Image,
    chosen: Chosen,
    colouring: Colouring,
) -> list[Picture]:
    """Pictures of positions that attend to named classes: of each class where it is attended to, and of each chosen
    position the weights of the classes, `B Q K`; none for other axes.
    """
    grid = plane_of(grids.get("Q"))
    named = chosen.named(letters[-1], look.shape[-1])
    if letters != ("B", "Q", "K") or grid is None or not named:
        return []
    values = look[0] if look.dtype == torch.float64 else look[0].float()
    by_class = values.mT.unflatten(1, grid)
    pictures = over({f"{name}, {word}": by_class[i] for i, word in [*named.items()][:PANELS]}, stage, colouring)
    for word, query in (chosen.places(grid) or {}).items():
        weights = values[query]
        drawn = bars(weights, longest=1.0, names=[named[i] for i in range(len(weights))])
        pictures.append(Picture(f"{name}, from {word}", drawn, f"{len(weights)} classes; {colouring.words(weights)}"))
    return pictures


def _without_place(name: str, look: Tensor, letters: tuple[str, ...], colouring: Colouring) -> Picture:
    """Bars, one matrix, or a matrix for each of the first axes."""
    values = look[0].float() if look.dtype != torch.float64 else look[0]
    facts = colouring.words(values)
    axes = [(letter, size) for letter, size in zip(letters[1:], values.shape, strict=True) if letter != "1"]
    if sum(size > 1 for _, size in axes) <= 1 and len(axes) < 2:
        flat = values.flatten()
        ends = colouring.ends(flat, place=1)
        longest = None if ends is None else ends[1]
        return Picture(name, bars(flat, longest=longest), f"{values.numel()} values; {facts}")
    (rows, height), (columns, width) = axes[-2:]
    tables = values.reshape(-1, height, width)
    ends = colouring.ends(tables, place=1)
    low, high = ends or (None, None)
    pictures = [
        plain(table, SIDE) if colouring.even(table) else matrix(table, SIDE, low=low, high=high)
        for table in tables[:PANELS]
    ]
    size = f"{rows} {height} by {columns} {width}"
    if len(axes) == 2:
        shown = (None, None) if colouring.even(values) else (ends or ends_of(values), ends_of(values))
        return Picture(name, pictures[0], f"{size}; {facts}", *shown)
    own = "; each has its own colours" if ends is None else ""
    count = counted(len(pictures), len(tables))
    return Picture(name, tiled(pictures, SIDE), f"{count} tables, each {size}; {facts}{own}", ends, ends_of(values))
