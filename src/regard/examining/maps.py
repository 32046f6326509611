"""Measures of one map: its sums, how even or sharp it is, what is saturated, and what does not depend on the image."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from regard.examining.evidence import DIFFERENT, Evidence, Unasked
from regard.examining.findings import Measured, shown
from regard.examining.seen import Seen, seeable, uneven
from regard.ops.seeds import seeded
from regard.watching import watch

CLOSED, OPEN = 0.01, 0.99  # a gate beyond these is shut or fully open
ALIVE = 1e-2  # gradient of a map with respect to its own parameters, for each unit of its own
UNEVEN = 1e-3  # relative deviation of weights from even ones, below which rounding decides
SHARED = 1e-4  # of a map's variance: less between images is as good as none
WAKING = 1e-9  # after a few steps of learning, more between images than rounding makes
RECTIFIED = 0.5  # a map from exactly 0 to less than this is what a ReLU leaves, not a gate
TINY = 1e-38


def leakage(evidence: Evidence) -> Iterator[Measured]:
    """The first map, or else the first module, that depends on the other images; else the output's difference."""
    for alone in evidence.alone:
        first = next((key for key, difference in alone.maps.items() if difference > DIFFERENT), None)
        said = f"{alone.named} alone: the output changes by {shown(alone.output)}"
        if first is not None:
            module, _, name = first.rpartition("/")
            yield Measured(alone.maps[first], module, name, said, alone.start)
            return
        if alone.output > DIFFERENT:
            yield Measured(alone.output, evidence.first_to_differ(alone.start, alone.stop), "", said, alone.start)
            return
        yield Measured(alone.output)


def not_finite(evidence: Evidence) -> Iterator[Measured]:
    """The share of values that are NaN or infinite, of maps and outputs."""
    for seen in evidence.seen:
        yield Measured(_share(seen.looks), seen.module, seen.map)
    yield Measured(_share(evidence.outputs), detail="in the output")


def _share(values: tuple[Tensor, ...] | list[Tensor]) -> float:
    total = sum(one.numel() for one in values)
    return sum(int((~one.isfinite()).sum()) for one in values) / max(1, total)


def sums(evidence: Evidence) -> Iterator[Measured]:
    """How far sums are from 1 along the axes where they should be 1, and along which axis they are."""
    for seen in evidence.seen:
        if not seen.finite or (seen.ends[0] < 0 and not seen.declared):
            continue
        over_batch = seen.letters[0] == "B" and seen.sums_to_one((0,))
        if not seen.axes:
            if over_batch:
                yield _over(seen, seen.last, "B, the batch")
            continue
        others = [i for i in range(len(seen.letters)) if i not in seen.axes]
        along = next((seen.letters[i] for i in others if seen.sums_to_one((i,))), "")
        if over_batch and along == "B":
            along = "B, the batch"
        if not seen.declared and seen.letters[seen.axes[0]] == "Q" and "K" in seen.letters:
            yield _over(seen, (seen.letters.index("K"),), "Q, the queries")
            continue
        yield _over(seen, seen.axes, along)


def _over(seen: Seen, axes: tuple[int, ...], along: str) -> Measured:
    said = f"; they are 1 over {along}" if along else ""
    return Measured(seen.deviation(axes), seen.module, seen.map, f"sums over {seen.named(axes)}{said}")


def _weights(evidence: Evidence) -> Iterator[Seen]:
    """Maps of weights over two keys or more."""
    for seen in evidence.seen:
        if seen.kind == "weights" and all(rows.shape[-1] > 1 for rows in seen.rows):
            yield seen


def entropy(seen: Seen) -> float:
    """Mean entropy of the rows, 1 for even weights over the visible keys and 0 for a single one of several."""
    shares = []
    for rows in seen.rows:
        nats = -(rows * rows.clamp_min(TINY).log()).sum(-1)
        count = seeable(rows).sum(-1)
        shares.append(torch.where(count > 1, nats / count.clamp_min(2).log(), 1).mean())
    return float(torch.stack(shares).mean())


def spread(seen: Seen) -> float:
    """Mean standard deviation of the logits of a row, the keys of weight 0 left out."""
    found = []
    for rows in seen.rows:
        used = seeable(rows)
        logits = torch.where(used, rows.clamp_min(TINY).log(), 0)
        count = used.sum(-1).clamp_min(1)
        mean = logits.sum(-1) / count
        variance = torch.where(used, (logits - mean[..., None]) ** 2, 0).sum(-1) / count
        found.append(variance.sqrt().mean())
    return float(torch.stack(found).mean())


SHARP = 0.5  # entropy above which weights are spread enough, whatever their logits


def sharp(evidence: Evidence) -> Iterator[Measured]:
    """The spread of the logits of maps of low entropy."""
    for seen in _weights(evidence):
        even = entropy(seen)
        if even < SHARP:
            yield Measured(spread(seen), seen.module, seen.map, f"entropy {shown(even)} of 1")


def even(evidence: Evidence) -> Iterator[Measured]:
    """The entropy of weights."""
    for seen in _weights(evidence):
        yield Measured(entropy(seen), seen.module, seen.map, f"spread of the logits {shown(spread(seen))}")


def saturated(evidence: Evidence) -> Iterator[Measured]:
    """The share of gates at their ends, those left out that one parameter holds there and may let go."""
    for seen in evidence.seen:
        share = saturation(seen)
        if share is not None and not (seen.constant and evidence_of_life(evidence, seen) > ALIVE):
            low, high = seen.ends
            yield Measured(share, seen.module, seen.map, f"values from {shown(low)} to {shown(high)}")


def saturation(seen: Seen) -> float | None:
    """The share of the values of a gate at its ends; None for other maps, for those of a rectifier, and for 0 or 1."""
    if seen.kind != "gate":
        return None
    values = torch.cat([look.flatten() for look in seen.looks])
    low, high = seen.ends
    if not seen.constant and (bool(((values == 0) | (values == 1)).all()) or (low == 0 and high < RECTIFIED)):
        return None
    closed = values.abs() > OPEN if seen.ends[0] < 0 else (values < CLOSED) | (values > OPEN)
    return float(closed.float().mean())


def constant(evidence: Evidence) -> Iterator[Measured]:
    """The relative range of gates that are the same everywhere, and of which no other check says more."""
    for seen in evidence.seen:
        if seen.kind == "gate" and seen.constant:
            if (saturation(seen) or 0) > 0 and evidence_of_life(evidence, seen) <= ALIVE:
                continue
            low, high = seen.ends
            detail = f"it is {shown(high)} at every place of every image"
            yield Measured((high - low) / max(abs(low), abs(high), TINY), seen.module, seen.map, detail)


def evidence_of_life(evidence: Evidence, seen: Seen) -> float:
    """How much the map changes with the parameters of the module that forms it, near their present values."""
    found: nn.Module = evidence.model.get_submodule(seen.module) if seen.module else evidence.model
    own = [one for one in found.parameters() if one.is_floating_point()]
    wanted = [one.requires_grad for one in own]
    for one in own:
        one.requires_grad_()
    try:
        with torch.enable_grad(), seeded(0), watch(evidence.model, keep_graph=True) as maps:
            evidence.given.call(evidence.model)
        look = maps[seen.key][0]
        if not own or look.grad_fn is None:
            return 0.0
        with seeded(2):
            weights = torch.randn(look.shape).to(look)
        gradients = torch.autograd.grad((look * weights).sum() / weights.norm(), own, allow_unused=True)
    finally:
        for one, flag in zip(own, wanted, strict=True):
            one.requires_grad_(flag)
    return max((float(one.detach().norm()) for one in gradients if one is not None), default=0.0)


def of_images(seen: Seen) -> float:
    """The share of a map's variance that differs from image to image."""
    shares = []
    for look in seen.rows if seen.kind == "weights" else seen.looks:  # what a mask hides is the same for all images
        values = uneven(look.double()) if seen.kind == "weights" else look.double()
        whole = ((values - values.mean()) ** 2).mean()
        shares.append(((values - values.mean(0)) ** 2).mean() / whole.clamp_min(1e-300))
    return float(torch.stack(shares).max())


def same_for_all(evidence: Evidence) -> Iterator[Measured]:
    """The share of variance between the images of the batch.

    Raises: Unasked if there is one image, or they are all the same.
    """
    if evidence.given.size < 2:
        raise Unasked("the batch has one image; two or more are needed")
    if not evidence.given.differ:
        raise Unasked("the images of the batch are all the same")
    for seen in evidence.seen:
        if seen.batched and seen.finite and _uneven(seen):
            share = of_images(seen)
            if share < SHARED:  # at the start, behind a factor of zero; it depends on the image once that has moved
                later = evidence.later.get(seen.key)
                if later is not None and later.finite and of_images(later) > max(WAKING, 10 * share):
                    continue
            yield Measured(share, seen.module, seen.map)


def _uneven(seen: Seen) -> bool:
    """Whether the values differ by more than rounding."""
    if seen.kind == "weights":
        return any(float(uneven(rows).abs().max()) > UNEVEN for rows in seen.rows)
    low, high = seen.ends
    return high - low > UNEVEN * max(abs(low), abs(high))
