"""Comparing segmentation heads: every row is the network `segmenter` of the catalogue on one dilated backbone.

    none                 the plain head: two 3 × 3 convolutions and a classifier
    plain                the same head, as wide as makes the network as large as the largest row
    pam, ocr, danet      a mechanism between the two convolutions, or a head of the catalogue
    se@layer3+layer4     a mechanism in the backbone, before the plain head

All rows of one seed have the same backbone weights to begin with. No row has an auxiliary head of its own; heads that
give auxiliary logits, as `danet`, are trained with these, at the weight 0.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regard import attaching, catalog
from regard.attaching import siting
from regard.catalog import rows
from regard.catalog.rows import ALL, NONE, PLAIN
from regard.comparing import Comparison, Trial, label_maps
from regard.comparing.building import Blueprint, Place
from regard.comparing.images import Images, Read
from regard.comparing.label_maps import LabelledImages
from regard.core import Attention
from regard.data.batches import Batch, Data, Normalisation
from regard.ops.seeds import mixed, seeded
from regard.saved import description
from regard.tasks.inference import outputs
from regard.tasks.segment import Segment
from regard.training.evaluate import evaluating
from regard.training.plan import Task

ENTRY = "segmenter"
HEAD, TRUNK = "head", "trunk"  # the names of its parts
CONVOLUTIONAL = "fcn"  # its plain head
STRIDES = (8, 16, 32)  # of the last map; the first that the backbone accepts
SMALL = 64  # pixels of the shorter side below which the last map is at stride 4
LEAST_WIDTH = 32  # of the heads' hidden layers
WEIGHTS = (1.0, 0.4, 0.4)  # of the outputs of a head


@dataclass(frozen=True)
class Heads(Blueprint):
    """Facts about the rows; beyond those of a `Blueprint`:

    Args:
        arguments: row -> the arguments of its network.
    """

    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Segmenting:
    """See `kinds.Kind`."""

    def load(
        self, settings: Comparison, datasets: tuple[Data, Data] | None, classes: Sequence[str] | None, read: Read
    ) -> Images:
        return label_maps.load(settings, datasets, classes, read)

    def task(self, settings: Comparison, images: Images) -> Task:
        return Segment(len(images.classes), weights=WEIGHTS, names=tuple(images.classes))

    def chance(self, images: Images) -> float | None:
        return images.chance if isinstance(images, LabelledImages) else None

    def fitting(self, settings: Comparison, images: Images) -> tuple[Comparison, dict[str, str]]:
        """`all` stands for every mechanism that fits between the two convolutions, or into the backbone at a place."""
        common = _common(settings, images)
        kept: list[str] = []
        left_out: dict[str, str] = {}
        asked = [rows.parse(row, heads=True) for row in settings.rows]
        if all(variant.mechanism != ALL for variant in asked):
            return settings, {}
        for variant in asked:
            if variant.mechanism != ALL:
                kept.append(str(variant))
                continue
            for entry in catalog.entries():
                row = str(replace(variant, mechanism=entry.name))
                if not entry.drop_in or row in settings.rows or row in kept:
                    continue
                try:
                    _network(row, {**common, **_of(row)}, 0)
                    kept.append(row)
                except ValueError as error:
                    left_out[row] = str(error)
        return replace(settings, attention=tuple(kept)), left_out

    def survey(self, settings: Comparison, images: Images) -> Blueprint:
        common, example = _common(settings, images), images.test.images([0])
        arguments: dict[str, Mapping[str, Any]] = {}
        places: dict[str, Place] = {}
        sizes: dict[str, int] = {}
        for row in (NONE, *settings.rows):
            arguments[row] = {**common, **_of(row)}
            model = _network(row, arguments[row], 0)
            sizes[row] = _parameters(model)
            places[row] = _place(row, model, example)
        places = {row: replace(place, explained=places[NONE].explained) for row, place in places.items()}
        largest = max(settings.rows, key=lambda row: sizes[row])
        plain = {name: value for name, value in common.items() if name != "width"}
        model = _network(PLAIN, {**plain, **_of(PLAIN), "parameters": sizes[largest]}, 0)
        width = int(model.get_submodule(f"{HEAD}.classify").in_channels)  # type: ignore[arg-type]
        arguments[PLAIN] = {**plain, **_of(PLAIN), "width": width}
        sizes[PLAIN], places[PLAIN] = _parameters(model), places[NONE]
        return Heads(
            places,
            (width,),
            sizes[NONE],
            {row: size - sizes[NONE] for row, size in sizes.items()},
            largest,
            arguments={row: arguments[row] for row in (NONE, PLAIN, *settings.rows)},
        )

    def build(self, settings: Comparison, row: str, seed: int, images: Images, blueprint: Blueprint) -> nn.Module:
        assert isinstance(blueprint, Heads)
        model = _network(row, blueprint.arguments[row], seed)
        if settings.pretrained:
            model.start_from()  # type: ignore[operator]
        return model

    def learning(self, row: str, model: nn.Module, blueprint: Blueprint, task: Task) -> Sequence[str]:
        trunk = model.get_submodule(TRUNK)
        gates = [name for name, _ in trunk.named_parameters() if name.endswith(attaching.ALPHA)]
        attention = [name for name, module in trunk.named_modules() if isinstance(module, Attention)]
        return [HEAD, *(f"{TRUNK}.{name}" for name in (*attention, *gates))]

    def explained(self, outputs: Any) -> Tensor:
        """The mean over all positions of the score of the class that is predicted there."""
        logits: Tensor = outputs if isinstance(outputs, Tensor) else outputs[0]
        return logits.amax(1).flatten(1).mean(1)

    def each(self, task: Task, given: Sequence[Any]) -> Mapping[str, Tensor]:
        """`pixels`, from which mIoU is computed over any of the images."""
        assert isinstance(task, Segment)
        predictions, truths = given
        return {"pixels": label_maps.counts(predictions, truths, task.classes).int()}

    def answers(self, task: Task, model: nn.Module, batch: Batch) -> Mapping[str, NDArray[Any]]:
        """The predicted label maps, and the mIoU of each image."""
        assert isinstance(task, Segment)
        with evaluating(model, batch["image"].device):
            said = outputs(model, batch["image"])[0].argmax(1).cpu()
        pixels = label_maps.counts([*said], [*batch["mask"].cpu()], task.classes).double()
        right, either = pixels[..., 0], pixels[..., 1] + pixels[..., 2] - pixels[..., 0]
        shares = torch.where(either > 0, right / either.clamp_min(1), torch.nan).nanmean(1)
        return {"labels": said.to(torch.uint8).numpy(), "share": shares.float().numpy()}

    def truths(self, images: Images, shown: Sequence[int]) -> Mapping[str, NDArray[Any]]:
        assert isinstance(images, LabelledImages)
        return label_maps.gallery(images, shown)

    def facts(self, settings: Comparison, images: Images, blueprint: Blueprint) -> Mapping[str, Any]:
        assert isinstance(blueprint, Heads) and isinstance(images, LabelledImages)
        return {
            "bare": "the plain head",
            "output_stride": blueprint.arguments[NONE]["output_stride"],
            "width": blueprint.arguments[NONE]["width"],
            "images_of_class": images.test.images_of(len(images.classes)),
        }

    def description(
        self,
        settings: Comparison,
        trial: Trial,
        images: Images,
        model: nn.Module,
        blueprint: Blueprint,
        normalise: Normalisation | None,
    ) -> description.Trained | None:
        assert isinstance(blueprint, Heads)
        found = description.arguments(partial(catalog.get(ENTRY).load(), **blueprint.arguments[trial.row]))
        assert found is not None
        return description.Trained(
            entry=found[0],
            arguments=found[1],
            normalise=normalise,
            image=tuple(images.test.images([0]).shape[1:]),
            class_names=tuple(images.classes),
        )


def _common(settings: Comparison, images: Images) -> dict[str, Any]:
    """The arguments of all networks. Raises: LookupError or ValueError if the backbone cannot be built."""
    example = images.test.images([0])
    common: dict[str, Any] = {
        "channels": example.shape[1],
        "classes": len(images.classes),
        "backbone": settings.backbone,
        "multi_grid": (),
        "attention": NONE,
        "auxiliary": False,
    }
    small = min(example.shape[2:]) < SMALL
    problem: ValueError | None = None
    for stride in (*((4,) if small else ()), *STRIDES, None):
        try:
            trunk = _network(NONE, {**common, "head": CONVOLUTIONAL, "output_stride": stride}, 0).get_submodule(TRUNK)
        except ValueError as error:
            problem = problem or error
            continue
        width = max(trunk.widths[-1] // 4, LEAST_WIDTH)  # type: ignore[index]
        return {**common, "output_stride": stride, "width": width}
    raise ValueError(f"backbone={settings.backbone!r}: {problem}") from problem


def _of(row: str) -> dict[str, Any]:
    """The arguments of one row. Raises: ValueError for a head with a place."""
    if row in (NONE, PLAIN):
        return {"head": CONVOLUTIONAL}
    variant = rows.parse(row, heads=True)
    if not variant.places:
        return {"head": row}
    if not catalog.get(variant.mechanism).drop_in:
        raise ValueError(f"attention={row!r}: {variant.mechanism} is a head and takes no place in the backbone")
    return {"head": CONVOLUTIONAL, "attention": row}


def _network(row: str, arguments: Mapping[str, Any], seed: int) -> nn.Module:
    """The untrained network of a row. Raises: LookupError or ValueError that names the row."""
    with seeded(mixed("segmenter", seed)):
        try:
            made: nn.Module = catalog.create(ENTRY, **arguments)
        except (LookupError, ValueError, TypeError) as error:
            if row in (NONE, PLAIN):
                raise
            kind = LookupError if isinstance(error, LookupError) else ValueError
            raise kind(f"attention={row!r}: {error}") from error
    return made


def _place(row: str, model: nn.Module, example: Tensor) -> Place:
    """Where a row is looked at: its own maps in its head, or at its last sites in the backbone."""
    end = siting.stages(model.get_submodule(TRUNK), torch.cat([example, example]))[-1]
    grid = (end.shape[2], end.shape[3])
    sites = [f"{TRUNK}.{name}" for name, *_ in attaching.attached(model.get_submodule(TRUNK))]
    showing = tuple(f"{site}.{attaching.CHILD}" for site in sites) if sites else (HEAD,)
    return Place(tuple(sites), grid, (), f"{TRUNK}.{end.name}", end.layout, showing)


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
