"""Whether a map shows what a network uses: `regard.faithful`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from regard.attaching.tracing import evaluating
from regard.catalog.vocabulary import BASELINES
from regard.checks import choice, positive, sequence, whole
from regard.insight.faithfulness import variance
from regard.insight.faithfulness.curves import Curve, curves, ranked
from regard.insight.faithfulness.effects import effects
from regard.insight.faithfulness.heats import (
    CENTRE,
    GRADCAM,
    RANDOM,
    GradCam,
    Looking,
    Seen,
    centre_maps,
    random_maps,
    seen,
)
from regard.insight.faithfulness.imputing import Baseline
from regard.insight.faithfulness.infidelity import infidelity, losses, rectangles
from regard.insight.faithfulness.measured import Measured
from regard.insight.faithfulness.randomising import alike, cascade
from regard.insight.faithfulness.results import Faithful, Origin, Row
from regard.insight.faithfulness.scoring import OF, Score
from regard.insight.gradcam import check_images, unwrapped
from regard.insight.targets import Target
from regard.ops.seeds import seeded


@dataclass(frozen=True)
class _Plan:
    """What is measured; see `faithful`."""

    baselines: tuple[str, ...]
    steps: int
    squares: int
    stages: int
    layer: str | None
    batch: int
    seed: int


@dataclass
class _Work:
    """What every measurement needs."""

    model: nn.Module
    score: Score
    plan: _Plan
    notes: list[str] = field(default_factory=list)


def faithful(
    model: nn.Module,
    images: Tensor,
    maps: Looking = "*",
    labels: Target = None,
    *,
    places: Tensor | Sequence[int] | None = None,
    baselines: Sequence[str] = BASELINES,
    of: str = "probability",
    steps: int = 10,
    squares: int = 32,
    stages: int = 5,
    layer: str | None = None,
    batch: int = 32,
    seed: int = 0,
    on_pass: Callable[[int], None] | None = None,
) -> Faithful:
    """Measures whether a network's maps show what it uses, beside a random map, the centre and Grad-CAM.

        found = regard.faithful(model, images, maps="layer4.*/spatial", labels=labels)
        print(found)
        found.row("layer4.1.bn2.attention/spatial").deletion["road"].area.mean
        found.beyond("layer4.1.bn2.attention/spatial", baseline="road").interval()  # against a random map

        regard.faithful(model, images, maps=lambda images: regard.gradcam(model, images, layer="layer3"))

    Of every map with a place: deletion and insertion curves with their areas, infidelity, and what is left of it when
    the network loses its weights from the output on. Of every map that acts, channel gates included: how much the logit
    falls when the map is replaced by an even one, by its mean over queries or positions, by its values in another
    order, or by that of another image. With labels and places of several images: what of a map's variance over the
    images the class explains, and what the place of the object. The headers of the files in
    `regard.insight.faithfulness` define each of these.

    The network runs in evaluation mode and is left as it was, weights included.

    Args:
        model: any network that takes images.
        images: the images, as the network takes them.
        maps: a pattern of keys of `regard.watch`, or several, with `*` and `?`; or a function that takes images and
            gives a map `B h w`, or several by name, for a network without attention.
        labels: the class of each image; None takes the class that the network predicts. A function of what the network
            returns, as for `regard.gradcam`, for one that gives no class scores.
        places: where the object of each image lies: masks, or the numbers of places, below 0 where it is not known.
        baselines: what stands in place of missing pixels: any of "blur", "mean", "road".
        of: what the curves follow, "probability" or "logit".
        steps: of the curves.
        squares: the number of perturbations of infidelity; 0 leaves it out.
        stages: of the loss of weights; 0 leaves it out.
        layer: the module that Grad-CAM explains; None takes the last with a map.
        batch: the most images in a pass.
        seed: of all that is drawn.
        on_pass: called with the number of images of each pass.

    Shapes: images `N C H W`, places bool `N H W` or `N`.

    Raises:
        LookupError: no map has such a key.
        ValueError: an argument does not fit; the network gives no class scores and `labels` is no function.
    """
    check_images(images)
    plan = _Plan(
        tuple(choice("baselines", name, BASELINES) for name in sequence("baselines", baselines)),
        whole("steps", steps, 2),
        whole("squares", squares, 0),
        whole("stages", stages, 0),
        layer,
        positive("batch", batch),
        seed,
    )
    choice("of", of, OF)
    groups = _places(places, images)
    model, images = unwrapped(model), images.detach()
    with evaluating(model), seeded(seed):
        score = Score(model, images, labels, of=of, batch=batch, on_pass=on_pass)
        found, work = seen(model, images, maps, batch), _Work(model, score, plan)
        rows, intact = _rows(work, found, maps)
        changed = {} if callable(maps) else effects(model, score, found.maps, batch, seed)
        classes = None if labels is None or score.classes is None else score.classes.tolist()
        origins = _origins(found, classes, groups, seed)
    without = [key for key in found.maps if key not in found.heats]
    if without:
        work.notes.append(f"no curves, because they have no place: {', '.join(without)}")
    still = [key for key in found.maps if key not in changed]
    if still:
        work.notes.append(f"not replaced, because they do not act: {', '.join(still)}")
    return Faithful(rows=tuple(rows), effects=changed, origins=origins, of=of, intact=intact, notes=tuple(work.notes))


def _rows(work: _Work, found: Seen, maps: Looking) -> tuple[list[Row], Measured]:
    """The maps with a place and the references, and what is followed of each image as it is."""
    score, plan = work.score, work.plan
    images = score.images
    size, count = (images.shape[2], images.shape[3]), len(images)
    grids = [(heat.shape[1], heat.shape[2]) for heat in found.heats.values()]
    heats = {name: heat.detach().cpu() for name, heat in found.heats.items()}
    heats[RANDOM] = random_maps(max(grids, key=lambda grid: grid[0] * grid[1], default=size), count, plan.seed)
    heats[CENTRE] = centre_maps(size, count)
    explain: GradCam | None = None
    try:
        explain = GradCam(work.model, score, plan.layer)
        heats[GRADCAM] = explain().cpu()
    except (LookupError, ValueError) as error:
        if plan.layer is not None:
            raise
        explain = None
        work.notes.append(f"without Grad-CAM: {error}")
    whole_images = score.intact()
    ranks = {name: ranked(heat, size, plan.seed) for name, heat in heats.items()}
    deleted: dict[str, dict[str, Curve]] = {name: {} for name in heats}
    inserted: dict[str, dict[str, Curve]] = {name: {} for name in heats}
    shares = {name: Measured.of([float("nan")] * count) for name in heats}
    taken = rectangles(plan.squares, size, plan.seed)
    for number, name in enumerate(plan.baselines):
        baseline = Baseline(name, images, plan.seed)
        everything = torch.ones(1, *size, dtype=torch.bool, device=images.device)
        nothing = torch.cat(
            [score(baseline.without(which, everything.expand(len(which), -1, -1)), which) for which in score.parts()]
        )
        for row, order in ranks.items():
            deleted[row][name], inserted[row][name] = curves(
                score, baseline, order, plan.steps, (whole_images, nothing)
            )
        if number == 0 and plan.squares:
            lost = losses(score, baseline, taken, whole_images)
            shares = {row: Measured.of(infidelity(heat, taken, lost).share) for row, heat in heats.items()}
    sanity = _sanity(work, heats, maps, explain)
    rows = [
        Row(
            name=name,
            reference=name not in found.heats,
            heat=heat,
            deletion=deleted[name],
            insertion=inserted[name],
            infidelity=shares[name],
            sanity=sanity.get(name, {}),
        )
        for name, heat in heats.items()
    ]
    return rows, Measured.of(whole_images)


def _sanity(
    work: _Work, heats: dict[str, Tensor], maps: Looking, explain: GradCam | None
) -> dict[str, dict[str, Measured]]:
    """name of a map -> module that lost its weights last -> rank correlation with the map as it was."""
    if not work.plan.stages:
        return {}
    images = work.score.images

    def look() -> dict[str, Tensor]:
        told = dict(seen(work.model, images, maps, work.plan.batch).heats)
        return told if explain is None else {**told, GRADCAM: explain()}

    found: dict[str, dict[str, Measured]] = {}
    for stage, told in cascade(work.model, images[:1], work.plan.stages, work.plan.seed, look):
        for name, heat in told.items():
            if name in heats:
                found.setdefault(name, {})[stage] = alike(heats[name], heat)
    return found


def _origins(found: Seen, classes: Sequence[int] | None, groups: Sequence[int] | None, seed: int) -> dict[str, Origin]:
    """key of a map -> what explains its variance; of a function's maps by their names."""
    if classes is None and groups is None:
        return {}
    every = {key: torch.cat([look.flatten(1) for look in looks], 1) for key, looks in found.maps.items()}
    origins = {}
    for key, values in (every or found.heats).items():
        kept = variance.kept(values, seed)
        told = [None if of is None else variance.share(kept, of, seed) for of in (classes, groups)]
        if any(told):
            origins[key] = Origin(what=told[0], where=told[1])
    return origins


def _places(places: Tensor | Sequence[int] | None, images: Tensor) -> list[int] | None:
    """The place of each object, below 0 where it is not known.

    Raises: ValueError if they are neither masks of the images nor a number for each.
    """
    if places is None:
        return None
    given = torch.as_tensor(places)
    if given.dtype == torch.bool and given.shape == (len(images), *images.shape[2:]):
        return variance.cells(given)
    if given.dtype != torch.bool and not given.is_floating_point() and given.shape == (len(images),):
        return [int(place) for place in given]
    shape = f"{given.dtype} {tuple(given.shape)}"
    raise ValueError(f"places={shape}: bool masks of the images, or {len(images)} whole numbers, are needed")
