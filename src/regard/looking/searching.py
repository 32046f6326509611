"""Comparison of class-conditional maps with the eyes of people who searched for an object of the class.

Grad-CAM of the class that was searched for is scored against the fixations of all searchers of an image, as in
`looking.gaze`, and with it the maps that the network shows by itself. Beside them stand

    centre bias                               the blurred fixations on other images
    other viewers                             the fixations of each searcher predicted by those of the others
    fixations on the task's other images      where an object of this kind is looked for, whatever the image shows
    Grad-CAM of the target, another image     the map of another image of the task: without what this image shows
    Grad-CAM of another target                the same image, without what was searched for
    Grad-CAM of the predicted class           the same image, without a task

A kind of object is a class of the network if it has its name. ImageNet has most of the 18 kinds of COCO-Search18 under
other names, often under several; then their log-sum-exp is explained.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.data import ImageNetInfo
from torch import Tensor

from regard.attaching import siting
from regard.data import images, searches
from regard.data.fixations import SIGMA, counted, density
from regard.data.searches import Search
from regard.insight.gradcam import gradcam
from regard.looking.explaining import class_number, probabilities
from regard.looking.gaze import SIDE, Array, Gaze, placed, score, thinned
from regard.looking.photographs import scaled
from regard.ops.seeds import seeded
from regard.saved.opening import Network, open_network

TARGET = "Grad-CAM of the target"
ELSEWHERE = "Grad-CAM of the target, another image"
ANOTHER = "Grad-CAM of another target"
PREDICTED = "Grad-CAM of the predicted class"
OF_TASK = "fixations on the task's other images"
GRID = 64  # of the longer side of the fixations of a task, which are blurred far more

# The kinds of COCO-Search18 that ImageNet has under other names; it has no fork.
IMAGENET = {
    "bottle": ("beer bottle", "pop bottle", "water bottle", "wine bottle"),
    "bowl": ("mixing bowl", "soup bowl"),
    "car": (
        *("beach wagon", "cab", "convertible", "jeep", "limousine", "minivan"),
        *("Model T", "racer", "sports car"),
    ),
    "chair": ("barber chair", "folding chair", "rocking chair"),
    "clock": ("analog clock", "digital clock", "wall clock"),
    "cup": ("cup", "coffee mug"),
    "keyboard": ("computer keyboard",),
    "knife": ("cleaver", "letter opener"),
    "laptop": ("laptop", "notebook"),
    "oven": ("stove",),
    "potted plant": ("pot",),
    "sink": ("washbasin",),
    "stop sign": ("street sign",),
    "toilet": ("toilet seat",),
    "tv": ("monitor", "screen", "television"),
}

Classes = tuple[int, ...]


def search(
    folder: Path,
    mechanism: str | None = None,
    *,
    task: str | None = None,
    classes: Mapping[str, Any] | None = None,
    condition: str = "present",
    layer: str | None = None,
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
    """Scores class-conditional maps of a classifier against the fixations of people who searched for the class.

    Args:
        folder: a folder in the layout of `regard.data.searches`, COCO-Search18.
        task: the kind of object that was searched for; None scores all kinds of which the network has a class.
        classes: for kinds of object, the names or numbers of the network's classes, one or a list of them.
        condition: `"present"` for images with the object, `"absent"` for those without.
        layer: the name of the module that Grad-CAM explains; None takes the last with a map.
        mechanism, backbone, weights, pretrained, after, image_size, kwargs: as for `looking.gaze.gaze`.
        part, limit, side, blur, sigma, convention, seed, on_image: as for `looking.gaze.gaze`.

    Raises:
        LookupError: there is no such task, mechanism, backbone, layer or class, or the network has no class for it.
        OSError, ValueError: as `looking.gaze.gaze`; the network gives no class scores, or one image belongs to several
            tasks.
    """
    found = searches.read(Path(folder), task=task, part=part, condition=condition)
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
    names = class_names(network, pixels(network, image_size, found[0].viewed.path))
    known = {kind: given_classes(kind, names, classes or {}) for kind in sorted({*IMAGENET, *(x.task for x in found)})}
    if task is not None and not known[task]:
        raise LookupError(
            f"task={task!r}: {network.name} has no such class; name one by classes={{{task!r}: …}} (--classes)"
        )
    without = tuple(sorted({one.task for one in found if not known[one.task]}))
    found = thinned(tuple(one for one in found if known[one.task]), limit)
    if not found:
        raise LookupError(f"{network.name} has no class for {', '.join(without)}: name them by classes= (--classes)")
    by_path = {one.viewed.path: one for one in found}
    if len(by_path) < len(found):
        raise ValueError(f"{images.shown(folder)}: an image belongs to several tasks; a folder for each is needed")
    look = _Look(network, image_size, by_path, known, layer, seed=seed, sigma=sigma)
    viewed = [one.viewed for one in found]
    scored = score(
        viewed, look, network.trained, side=side, blur=blur, sigma=sigma, convention=convention, seed=seed,
        on_image=on_image, together=False,
    )  # fmt: skip
    return replace(scored, changed=network.changed, without=without)


def class_names(network: Network, seen: Tensor) -> tuple[str, ...]:
    """The names of a network's classes; those of ImageNet for a network of 1,000 classes that does not know them.

    Raises: ValueError if the network gives no class scores, or does not know their names.
    """
    shares = probabilities(network.answer(seen)[1], len(network.class_names))
    if shares is None:
        raise ValueError(f"{network.name} gives no class scores: a classifier is needed for a task")
    if network.class_names:
        return tuple(network.class_names)
    info = ImageNetInfo("imagenet-1k")
    if len(shares) != info.num_classes():
        return tuple(f"class {number}" for number in range(len(shares)))
    return tuple(info.index_to_description(number).partition(",")[0] for number in range(len(shares)))


def given_classes(kind: str, names: Sequence[str], classes: Mapping[str, Any]) -> Classes:
    """The numbers of the classes of a kind of object; none if the network has none.

    Raises: LookupError if `classes` names one that the network lacks.
    """
    if kind in classes:
        wanted = classes[kind]
        return tuple(class_number(names, one) for one in (wanted if isinstance(wanted, list | tuple) else [wanted]))
    listed = tuple(names.index(name) for name in IMAGENET.get(kind, ()) if name in names)
    plain = [name.lower().replace("_", " ") for name in names]
    if kind in plain and plain.index(kind) not in listed:
        return (plain.index(kind),)
    return listed


def pixels(network: Network, longer: int | None, path: Path) -> Tensor:
    """A whole photograph as the network gets it, uint8 `3 H W`."""
    with images.quiet():
        return images.whole(path, network.size or scaled(images.measured(path), longer)).pixels


class _Look:
    """The maps of one image, by name.

    Args:
        network: the network.
        longer: the longer side of an image, for a system without a size.
        searched: the images with their tasks.
        known: the classes of each kind of object.
        layer: the name of the module that Grad-CAM explains; None takes the last with a map.
        seed: the seed of the choice of other targets.
        sigma: as for `looking.gaze.score`.
    """

    def __init__(
        self,
        network: Network,
        longer: int | None,
        searched: Mapping[Path, Search],
        known: Mapping[str, Classes],
        layer: str | None,
        *,
        seed: int,
        sigma: float,
    ) -> None:
        self.network, self.longer, self.searched, self.known = network, longer, searched, known
        self.layer: Any = layer
        self.seed, self.sigma = seed, sigma
        self.place = {path: i for i, path in enumerate(searched)}
        self.of_task: dict[str, list[Path]] = defaultdict(list)
        for path, one in searched.items():
            self.of_task[one.task].append(path)
        self.kept: dict[tuple[Path, Classes | None], Array] = {}

    def __call__(self, path: Path) -> dict[str, Array]:
        one = self.searched[path]
        maps = placed(self.network.look(pixels(self.network, self.longer, path)))
        target = self.known[one.task]
        maps[TARGET] = self.heat(path, target)
        fellows = self.of_task[one.task]
        if all(len(paths) > 1 for paths in self.of_task.values()):
            after = fellows[(fellows.index(path) + 1) % len(fellows)]
            maps[ELSEWHERE] = self.heat(after, target)
            maps[OF_TASK] = self.prior([other for other in fellows if other != path])
        others = self.others()
        if all(others.values()):
            several = others[one.task]
            drawn = np.random.default_rng((self.seed, self.place[path])).integers(len(several))
            maps[ANOTHER] = self.heat(path, several[drawn])
        maps[PREDICTED] = self.heat(path, None)
        return maps

    def others(self) -> dict[str, list[Classes]]:
        """For each task the classes of the other kinds of object."""
        kinds = [self.known[kind] for kind in sorted(self.known) if self.known[kind]]
        return {task: [one for one in kinds if not {*one} & {*self.known[task]}] for task in self.of_task}

    def heat(self, path: Path, classes: Classes | None) -> Array:
        """The Grad-CAM map of an image, for classes or for the predicted one."""
        key = path, classes
        if key not in self.kept:
            x = self.network.prepared(pixels(self.network, self.longer, path))
            if self.layer is None:
                self.layer = siting.last(self.network.model, x[[0, 0]])
            told = _predicted if classes is None else partial(_of_classes, classes=classes)
            heat = gradcam(self.network.model, x, told, self.layer, upsample=False)
            self.kept[key] = heat[0].detach().double().cpu().numpy()
        return self.kept[key]

    def prior(self, paths: Sequence[Path]) -> Array:
        """The density of the fixations on several images, as shares of their sides."""
        several = [self.searched[path].viewed for path in paths]
        ratio = GRID / max(several[0].width, several[0].height)
        height, width = round(several[0].height * ratio), round(several[0].width * ratio)
        points = np.concatenate([one.points * (width / one.width, height / one.height) for one in several])
        return density(counted(points, height, width), 2 * self.sigma * max(height, width))


def _scores(returned: object) -> list[Tensor]:
    """The class scores of each head, `1 K`."""
    heads = returned if isinstance(returned, tuple | list) else [returned]
    return [head for head in heads if isinstance(head, Tensor) and head.dim() == 2]


def _of_classes(returned: object, *, classes: Classes) -> Tensor:
    return torch.stack([head[:, list(classes)].logsumexp(1) for head in _scores(returned)]).sum(0)


def _predicted(returned: object) -> Tensor:
    heads = _scores(returned)
    best = torch.stack([head.detach().softmax(1) for head in heads]).mean(0).argmax(1, keepdim=True)
    return torch.stack([head.gather(1, best)[:, 0] for head in heads]).sum(0)
