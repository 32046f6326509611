"""Measures of weights from queries to keys: sinks, rank, likeness of rows, heads and layers, norms of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from regard.examining.evidence import Evidence, hooked, outputs_of
from regard.examining.findings import Measured, shown
from regard.examining.maps import UNEVEN
from regard.examining.seen import Seen, sampled, uneven

FEW = 2  # images of which ranks are computed


def _relations(evidence: Evidence, *, windows: bool = True) -> Iterator[Seen]:
    """Maps with several queries and keys; `windows`: also those of which each query has keys of its own."""
    for seen in evidence.seen:
        if seen.relates and seen.finite and (windows or "X" not in seen.letters):
            yield seen


def sink(seen: Seen) -> tuple[float, int]:
    """The largest share of the attention of all queries that one key takes, in the mean over images, and which key.

    The head in which it takes most counts.
    """
    received = seen.rows[0].mean((0, 2))  # h K
    place = int(received.argmax())
    return float(received.max()), place % received.shape[-1]


def sinks(evidence: Evidence) -> Iterator[Measured]:
    """The share of all attention that the most attended key takes."""
    for seen in _relations(evidence, windows=False):
        share, place = sink(seen)
        letter = seen.letters[seen.axes[-1]]
        yield Measured(share, seen.module, seen.map, f"the {seen.token(letter, place)} of {seen.rows[0].shape[-1]}")


def alike(seen: Seen) -> float:
    """The share of the deviation from even weights that all queries of an image have in common, 1 if rows are equal."""
    shares = []
    for rows in seen.rows:
        values = uneven(rows.double())
        whole = (values**2).mean()
        if whole.sqrt() > UNEVEN:
            shares.append(float((values.mean(2) ** 2).mean() / whole))
    return max(shares, default=0.0)


def rows_alike(evidence: Evidence) -> Iterator[Measured]:
    """Measures the similarity of the rows of each map."""
    for seen in _relations(evidence, windows=False):
        yield Measured(alike(seen), seen.module, seen.map, f"effective rank {shown(rank(seen))}")


def rank(seen: Seen) -> float:
    """The effective rank of the deviation from even weights: exp of the entropy of its singular values.

    The mean over heads of the first images; of many queries and keys, evenly spaced ones are taken.
    """
    values = uneven(sampled(seen.rows[-1][:FEW])).float().cpu()
    sizes = torch.linalg.svdvals(values)
    shares = sizes / sizes.sum(-1, keepdim=True).clamp_min(1e-30)
    return float((-(shares * shares.clamp_min(1e-30).log()).sum(-1)).exp().mean())


def heads(seen: Seen) -> float | None:
    """Mean cosine between the deviations of two heads from even weights; None for one head, or even weights."""
    values = uneven(seen.rows[-1]).flatten(2)
    if values.shape[1] < 2 or values.pow(2).mean().sqrt() <= UNEVEN:
        return None
    unit = values / values.norm(dim=-1, keepdim=True).clamp_min(1e-30)
    count = unit.shape[1]
    total = (unit.sum(1) ** 2).sum(-1) - (unit**2).sum((1, 2))
    return float((total / (count * (count - 1))).mean())


def heads_alike(evidence: Evidence) -> Iterator[Measured]:
    """Measures the similarity of the heads of each map."""
    for seen in _relations(evidence):
        found = heads(seen)
        if found is not None:
            yield Measured(found, seen.module, seen.map, f"{seen.rows[-1].shape[1]} heads")


def layers_alike(evidence: Evidence) -> Iterator[Measured]:
    """Cosine between the deviations of a map and of the one before it, where both have one shape."""
    found = list(_relations(evidence))
    for before, here in pairwise(found):
        first, second = uneven(before.rows[-1]), uneven(here.rows[0])
        if first.shape != second.shape or min(one.pow(2).mean().sqrt() for one in (first, second)) <= UNEVEN:
            continue
        cosine = torch.cosine_similarity(first.mean(1).flatten(1), second.mean(1).flatten(1)).mean()
        yield Measured(float(cosine), here.module, here.map, f"beside {before.key}")


def outliers(evidence: Evidence) -> Iterator[Measured]:
    """The largest norm of a token that has no name, beside the median one, behind each module with weights."""
    norms = _norms(evidence)
    for seen in _relations(evidence):
        found = norms.get(seen.module)
        named = max((len(names) for names in seen.tokens.values()), default=0)
        if found is None or found.shape[1] - named < 8:
            continue
        places = found[:, named:]  # B N
        ratio = places.max(1).values / places.median(1).values.clamp_min(1e-30)
        sample = int(ratio.argmax())
        place = named + int(places[sample].argmax())
        yield Measured(float(ratio[sample]), seen.module, seen.map, f"token {place} of image {sample}", sample)


def _norms(evidence: Evidence) -> dict[str, Tensor]:
    """Module with weights over tokens -> norms `B N` of the tokens behind the block that it is in."""
    tokens = {
        seen.module: {int(rows.shape[2]) for rows in seen.rows} for seen in _relations(evidence) if "Q" in seen.letters
    }
    blocks = {name.rpartition(".")[0]: name for name in tokens if name}
    wanted: dict[str, nn.Module] = {name: evidence.model.get_submodule(name) for name in [*tokens, *blocks] if name}
    found: dict[str, Tensor] = {}

    def keep(name: str, out: Any) -> None:
        module = blocks.get(name, name)
        for one in outputs_of(out)[:1]:
            if one.dim() == 3 and len(one) == evidence.given.size and one.shape[1] in tokens.get(module, ()):
                found[module] = one.detach().float().norm(dim=-1)  # of the block, which ends last

    with hooked(wanted, keep):
        evidence.plain()
    return found
