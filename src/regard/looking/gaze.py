"""Comparison of a network's attention maps with human fixations.

Every spatial map is resized to the image by bilinear interpolation and scored as a prediction of the fixations of all
viewers. Two rows give the lower and the upper reference:

    centre bias     the blurred fixations on other images, independent of the content of the image
    other viewers   the fixations of each viewer predicted by the blurred fixations of the others; for measures of two
                    densities (CC, SIM, KL), one half of the viewers predicted by the other half

IG is the information gain over the centre bias; for it, every map is mixed with 1 % of a uniform density, since one
fixation on a weight of 0 would dominate the mean. The negatives of the shuffled AUC are fixations on ten other images.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import stdtrit
from torch import Tensor
from torch.nn import functional

from regard.core import Maps
from regard.data import fixations as recorded
from regard.data import images
from regard.data.fixations import SIGMA, Viewed, counted, density
from regard.looking import own
from regard.looking.photographs import scaled
from regard.metrics import fixations as scores
from regard.ops.rounding import even
from regard.ops.seeds import seeded
from regard.saved.opening import Network, open_network
from regard.viewing import spatial

MEASURES = {"nss": "NSS", "auc_judd": "AUC", "auc_shuffled": "sAUC", "cc": "CC", "sim": "SIM", "kl": "KL", "ig": "IG"}
AGAINST_DENSITY = ("cc", "sim", "kl")
CENTRE = "centre bias"
CEILING = "other viewers"
TOGETHER = "all maps, mean"
OTHERS = 10  # images whose fixations are negatives
CENTRES = 100  # most images for the centre bias
UNIFORM = 0.01
JITTER = 1e-7  # of a map's range, as in the published code: ties lower the score of maps with large empty parts
SIDE = 400  # pixels of the longer side at which maps are scored

FACTS = ("images", "fixations", "trained", "skipped", "changed", "without")  # of a result, as JSON

Array = NDArray[np.float64]
T = TypeVar("T")
Look = Callable[[Path], Mapping[str, Array]]


@dataclass(frozen=True)
class Row:
    """One predictor of fixations.

    Args:
        name: `centre bias`, `other viewers`, or the key of a map.
        values: measure -> its value on every image, NaN if it is not defined.
    """

    name: str
    values: Mapping[str, Array]

    def mean(self, measure: str) -> float:
        """The mean over the images; NaN if the measure is not defined for any."""
        found = self._found(measure)
        return float(found.mean()) if found.size else math.nan

    def interval(self, measure: str, level: float = 0.95) -> tuple[float, float]:
        """Student's t interval of the mean over the images; NaN with fewer than two images."""
        found = self._found(measure)
        if found.size < 2:
            return math.nan, math.nan
        half = float(stdtrit(found.size - 1, (1 + level) / 2) * found.std(ddof=1) / math.sqrt(found.size))
        return float(found.mean()) - half, float(found.mean()) + half

    def _found(self, measure: str) -> Array:
        return self.values[measure][~np.isnan(self.values[measure])]


@dataclass(frozen=True)
class Gaze:
    """The scores of one network's maps.

    Args:
        rows: the centre bias, the other viewers, the maps, their mean.
        images: the image files, in the order of the values.
        fixations: the number of all fixations.
        trained: whether the attention has trained weights, or no parameters to train.
        skipped: maps that are not spatial, such as weights of channels.
        changed: the arguments that differ from those of the training, as text.
        without: tasks that were left out, because the network has no class for them.
    """

    rows: tuple[Row, ...]
    images: tuple[str, ...]
    fixations: int
    trained: bool
    skipped: tuple[str, ...]
    changed: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def json(self) -> str:
        """The result as JSON: means, intervals and the value of every image."""

        def plain(value: float) -> float | None:
            return None if math.isnan(value) else value

        rows = [
            {
                "name": row.name,
                "measures": {
                    measure: {
                        "mean": plain(row.mean(measure)),
                        "interval": [plain(end) for end in row.interval(measure)],
                        "values": [plain(value) for value in row.values[measure].tolist()],
                    }
                    for measure in row.values
                },
            }
            for row in self.rows
        ]
        facts = {name: getattr(self, name) for name in FACTS}
        return json.dumps({"rows": rows, **facts}, indent=1)


def gaze(
    folder: Path,
    mechanism: str | None = None,
    *,
    backbone: str | None = None,
    weights: Path | None = None,
    pretrained: bool = False,
    after: Sequence[str] | None = None,
    image_size: int | None = None,
    part: str | None = None,
    limit: int | None = None,
    side: int | None = SIDE,
    blur: float = 0.0,
    sigma: float = SIGMA,
    convention: str = "mit",
    seed: int = 0,
    on_image: Callable[[int, int], None] | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Gaze:
    """Scores the attention maps of a mechanism on a backbone, or of a system, against human fixations; of a backbone
    alone, those of its own attention and their rollout.

    Args:
        folder: a folder of images with fixations, in a format of `regard.data.fixations`.
        mechanism, backbone, weights, pretrained, after, kwargs: as for `regard.saved.opening.open_network`.
        image_size: side in pixels of the square to which images are resized for a backbone, by default its own; for a
            system the longer side, by default the size of its training, if the weights give it, or the image's own.
        part: `"train"` or `"val"`, for a folder that has both.
        limit: the most images, evenly spaced in the order of their names.
        side: the longer side in pixels at which maps are scored; None uses the image's own.
        blur: standard deviation of a Gaussian that blurs the maps, as a share of the longer side; sparse maps score
            higher with it.
        sigma: standard deviation of the Gaussian of the fixation densities, as a share of the longer side.
        convention: `"mit"` or `"pysaliency"`; IG always uses the latter.
        seed: the seed of the choice of other images and of untrained weights.
        on_image: called as `(finished images, all images)`.

    Raises:
        LookupError: no such mechanism, backbone or site.
        OSError, ValueError: the folder, an image or the weights cannot be read or do not fit; no map is spatial.
    """
    if side is not None and side < 8:
        raise ValueError(f"side={side}: at least 8 pixels are needed")
    if not 0 <= blur < 1:
        raise ValueError(f"blur={blur!r}: a share of the longer side, at least 0 and below 1, is needed")
    if not 0 < sigma < 1:
        raise ValueError(f"sigma={sigma!r}: a share of the longer side, above 0 and below 1, is needed")
    viewed = recorded.read(Path(folder), part)
    viewed = thinned(viewed, limit)
    with seeded(seed):
        network = open_network(
            mechanism,
            backbone=backbone,
            weights=weights,
            pretrained=pretrained,
            after=after,
            image_size=image_size,
            kwargs=kwargs,
        )
    found = score(
        viewed,
        partial(_look, network, image_size),
        network.trained,
        side=side,
        blur=blur,
        sigma=sigma,
        convention=convention,
        seed=seed,
        on_image=on_image,
    )
    return replace(found, changed=network.changed)


def thinned(several: Sequence[T], limit: int | None) -> tuple[T, ...]:
    """At most `limit` of several things, evenly spaced; all for None. Raises: ValueError for a limit below 2."""
    if limit is None:
        return tuple(several)
    if limit < 2:
        raise ValueError(f"limit={limit}: at least 2 images are needed")
    return tuple(several[round(i)] for i in np.linspace(0, len(several) - 1, min(limit, len(several))))


def score(
    viewed: Sequence[Viewed],
    look: Look,
    trained: bool,
    *,
    references: bool = True,
    together: bool = True,
    side: int | None = SIDE,
    blur: float = 0.0,
    sigma: float = SIGMA,
    convention: str = "mit",
    seed: int = 0,
    on_image: Callable[[int, int], None] | None = None,
) -> Gaze:
    """Scores the maps of any function against human fixations.

    Args:
        viewed: the images and their fixations.
        look: image file -> maps by name, `h w` each; all NaN for a map that is not spatial.
        trained: goes into the result.
        references: whether the centre bias and the other viewers are scored too.
        together: whether the mean of all maps is scored too.
        side, blur, sigma, convention, seed, on_image: as for `gaze`.

    Raises: ValueError if there are fewer than two images, an image has no fixation inside it, or no map is spatial.
    """
    if len(viewed) < 2:
        raise ValueError(
            f"{len(viewed)} image(s): at least 2 are needed, since the centre bias comes from the other images"
        )
    grids = [_grid(one, side) for one in viewed]
    for one, grid in zip(viewed, grids, strict=True):
        if not _counts(one, one.points, grid).any():
            raise ValueError(f"{images.shown(one.path)}: at least one fixation inside the image is needed")
    values: dict[str, list[dict[str, float]]] = {CENTRE: [], CEILING: []} if references else {}
    skipped: dict[str, None] = {}
    for i, (one, grid) in enumerate(zip(viewed, grids, strict=True)):
        pixels = sigma * max(grid)
        others = [other for other in viewed if other is not one]
        chosen = [others[k] for k in np.random.default_rng((seed, i)).permutation(len(others))[:CENTRES]]
        looks = [_counts(other, other.points, grid) for other in chosen]
        centre, elsewhere = density(_added(looks), 2 * pixels), _added(looks[:OTHERS])
        rate = partial(_rate, centre=centre, elsewhere=elsewhere, convention=convention)
        counts = _counts(one, one.points, grid)
        human = density(counts, pixels)
        if references:
            values[CENTRE].append(rate(centre, counts, human))
            values[CEILING].append(_ceiling(one, grid, pixels, rate))
        maps = {}
        for name, found in look(one.path).items():
            if np.isnan(found).all():
                skipped[name] = None
                continue
            maps[name] = gaussian_filter(_brought(found, grid), blur * max(grid), mode="constant")
            values.setdefault(name, []).append(rate(maps[name], counts, human))
        if not maps:
            raise ValueError(f"no map is spatial: {', '.join(skipped) or 'the network shows no maps'}")
        if together and len(maps) > 1:
            mean = np.mean([_share(found) for found in maps.values()], 0)
            values.setdefault(TOGETHER, []).append(rate(mean, counts, human))
        if on_image is not None:
            on_image(i + 1, len(viewed))
    last = [TOGETHER] if TOGETHER in values else []
    order = [name for name in values if name not in last] + last
    rows = [Row(name, {m: np.array([x[m] for x in values[name]]) for m in MEASURES}) for name in order]
    total = sum(len(one.points) for one in viewed)
    return Gaze(tuple(rows), tuple(images.shown(one.path) for one in viewed), total, trained, tuple(skipped))


def _rate(
    s: Array, counts: Array, human: Array | None, *, centre: Array, elsewhere: Array, convention: str
) -> dict[str, float]:
    """All measures of a map; without a density, only the measures of fixations."""
    mixed = [(1 - UNIFORM) * _share(x) + UNIFORM / x.size for x in (s, centre)]
    found = {
        "nss": scores.nss(s, counts, convention=convention),
        "auc_judd": scores.auc_judd(s, counts, convention=convention, jitter=JITTER * float(np.ptp(s))),
        "auc_shuffled": scores.auc_shuffled(s, counts, elsewhere, convention=convention),
        "ig": scores.information_gain(mixed[0], counts, mixed[1], convention="pysaliency"),
    }
    if human is not None:
        found["cc"] = scores.cc(s, human)
        found["sim"] = scores.similarity(s, human, convention=convention)
        found["kl"] = scores.kl(s, human, convention=convention)
    return {name: found.get(name, math.nan) for name in MEASURES}


def _ceiling(
    one: Viewed, grid: tuple[int, int], pixels: float, rate: Callable[..., dict[str, float]]
) -> dict[str, float]:
    looks = [counts for viewer in one.viewers if (counts := _counts(one, viewer, grid)).any()]
    if len(looks) < 2:
        return dict.fromkeys(MEASURES, math.nan)
    all_of_them = _added(looks)
    each = [rate(density(all_of_them - mine, pixels), mine, None) for mine in looks]
    halves = [density(_added(looks[start::2]), pixels) for start in (0, 1)]
    ways = [rate(halves[k], _added(looks[1 - k :: 2]), halves[1 - k]) for k in (0, 1)]
    return {name: float(np.mean([x[name] for x in (ways if name in AGAINST_DENSITY else each)])) for name in MEASURES}


def _look(network: Network, longer: int | None, path: Path) -> Mapping[str, Array]:
    with images.quiet():
        seen = images.whole(path, network.size or scaled(images.measured(path), longer)).pixels
    maps = network.look(seen)
    if not maps and network.entry is None:
        raise ValueError(
            f"{network.name} has no attention: a mechanism (--with), or a backbone that attends, is needed"
        )
    chained = own.flow(maps)
    return placed(maps) | placed(chained)


def placed(maps: Maps) -> dict[str, Array]:
    """The spatial maps of one image, `h w` each; a map without a place is NaN, as `score` takes it."""
    found = {}
    for key in maps:
        heat = spatial(maps, key)
        if heat is None or heat[0].numel() <= 1:
            found[key] = np.full((1, 1), np.nan)
            continue
        values = heat[0].double().numpy()
        # A ranking of rounding errors is no prediction.
        found[key] = np.full_like(values, values.mean()) if even(heat, dtype=maps[key][0].dtype)[0] else values
    return found


def _grid(one: Viewed, side: int | None) -> tuple[int, int]:
    scale = min(1.0, side / max(one.width, one.height)) if side else 1.0
    return max(1, round(one.height * scale)), max(1, round(one.width * scale))


def _counts(one: Viewed, points: Array, grid: tuple[int, int]) -> Array:
    """The counts of fixations on an image, scaled to a grid of another size."""
    return counted(points * (grid[1] / one.width, grid[0] / one.height), *grid)


def _added(several: Sequence[Array]) -> Array:
    total: Array = np.sum(several, 0)
    return total


def _brought(found: Array, grid: tuple[int, int]) -> Array:
    if not np.isfinite(found).all():
        raise ValueError("a map holds values that are not finite: finite numbers are needed")
    if found.max() == found.min():  # which interpolation would only keep up to rounding errors
        return np.full(grid, found.flat[0], np.float64)
    x: Tensor = torch.from_numpy(np.ascontiguousarray(found))[None, None]
    shrinks = found.shape[0] > grid[0] or found.shape[1] > grid[1]
    return functional.interpolate(x, grid, mode="bilinear", align_corners=False, antialias=shrinks)[0, 0].numpy()


def _share(s: Array) -> Array:
    s = s - min(s.min(), 0)
    return s / s.sum() if s.sum() > 0 else np.full_like(s, 1 / s.size)
