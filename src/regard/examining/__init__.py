"""The examination of a network's attention: every check of a table is asked of one batch.

The checks are data (`table`). What they measure lies in `maps`, `affinities`, `gradients`, `effects` and `laws`, the
passes that they share in `evidence`. The result is plain data (`findings`), a table of text, JSON or a page (`page`).
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from regard.core import NothingSeen
from regard.examining import affinities, maps
from regard.examining.effects import Effect
from regard.examining.evidence import Evidence, Given, Loss, Unasked, undisturbed
from regard.examining.findings import SEVERITIES, Examination, Fact, Finding
from regard.examining.seen import Seen
from regard.examining.table import CHECKS, Check


def doctor(
    model: nn.Module,
    batch: Any,
    loss: Loss | None = None,
    *,
    checks: str | tuple[str, ...] = "*",
    compile: bool = False,
    name: str | None = None,
    on_check: Callable[[str, int, int], None] | None = None,
) -> Examination:
    """Examines the attention of a network on one batch, and says what is usually wrong with it.

        found = regard.doctor(model, images, loss=lambda scores: cross_entropy(scores, labels))
        print(found)
        found.report("doctor.html")
        assert found.ok

    Attention of any origin is examined, as `regard.watch` sees it. Each finding names the module, the map, the number
    and its threshold, and what it usually means. A finding is an error only where something is certainly wrong. The
    network is left as it was: its mode, its buffers, its gradients, and the random state.

    Args:
        model: any network that attends somewhere.
        batch: what the network takes: a tensor, a tuple of tensors, or a mapping of keyword arguments. Several images
            that differ are needed for the checks that compare images; four to eight do.
        loss: of what the network returns, a scalar tensor. Without it, gradients are those of a random weighing of the
            outputs, and nothing is said about the loss.
        checks: patterns over the names of the checks in `regard.examining.table`; all by default.
        compile: also compare the compiled network with the eager one, which can take minutes.
        name: of the network in the result; its class by default.
        on_check: called before each check, with its name, how many were made before it, and of how many.

    Raises:
        NothingSeen: a ValueError; the network has no attention that can be seen.
        LookupError: no check has such a name.
        ValueError: the batch is of another kind, or the loss is no scalar.
    """
    given = Given.of(batch)
    patterns = (checks,) if isinstance(checks, str) else tuple(checks)
    asked = [check for check in CHECKS if any(fnmatchcase(check.name, pattern) for pattern in patterns)]
    if not asked:
        raise LookupError(
            f"checks={checks!r}: names or patterns of {', '.join(check.name for check in CHECKS)} are accepted"
        )
    model = getattr(model, "_orig_mod", model)  # of a compiled network
    called = name or type(model).__name__
    findings: list[Finding] = []
    unasked: dict[str, str] = {}
    with undisturbed(model):
        evidence = Evidence(model, given, loss, compile=compile)
        _look(evidence, called)
        for done, check in enumerate(asked):
            if on_check is not None:
                on_check(check.name, done, len(asked))
            try:
                findings += [_finding(check, one) for one in check.measure(evidence) if check.found(one)]
            except Unasked as reason:
                unasked[check.name] = str(reason)
        facts = tuple(_fact(evidence, seen) for seen in evidence.seen)
    return Examination(
        network=called,
        findings=tuple(sorted(findings, key=lambda one: SEVERITIES.index(one.severity))),
        facts=facts,
        asked=tuple(check.name for check in asked if check.name not in unasked),
        unasked=unasked,
        images=given.size,
        maps=evidence.maps,
        stage=given.images,
    )


def _look(evidence: Evidence, name: str) -> None:
    """Makes the watched pass.

    Raises:
        NothingSeen: there is no attention.
        ValueError: the loss is no scalar.
    """
    try:
        evidence.maps  # noqa: B018  # the pass is made here, so that its errors are not those of a check
    except NothingSeen as error:
        raise NothingSeen(f"{name} has no attention to examine: {error}") from error
    if evidence.loss is not None:
        value = evidence.loss(evidence.given.call(evidence.model))
        if not isinstance(value, Tensor) or value.numel() != 1:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"loss: a function of the network's output to one number is accepted, not to {shape}")


def _finding(check: Check, one: Any) -> Finding:
    return Finding(
        check=check.name,
        severity=check.severity,
        module=one.module,
        map=one.map,
        number=float(one.number),
        threshold=check.threshold,
        above=check.above,
        measures=check.measures,
        means=check.means,
        detail=one.detail,
        sample=one.sample,
    )


def _fact(evidence: Evidence, seen: Seen) -> Fact:
    """The numbers of one map; of those passes that the checks made."""
    numbers: dict[str, float] = {}
    if seen.finite:
        numbers["low"], numbers["high"] = seen.ends
        if seen.batched and seen.size > 1 and not seen.constant:
            numbers["images"] = maps.of_images(seen)
    if seen.kind == "weights" and all(rows.shape[-1] > 1 for rows in seen.rows):
        numbers |= {"entropy": maps.entropy(seen), "spread": maps.spread(seen)}
    if seen.relates:
        numbers |= {"sink": affinities.sink(seen)[0], "rank": affinities.rank(seen), "rows": affinities.alike(seen)}
        repeated = affinities.heads(seen)
        if repeated is not None:
            numbers["heads"] = repeated
    done = vars(evidence)  # where cached properties lie
    effect = done.get("effects", {}).get(seen.key)
    if isinstance(effect, Effect):
        numbers |= {"effect": effect.even, "effect of mean": effect.mean}
        if evidence.loss is not None:
            numbers["loss"] = effect.loss
    if "costs" in done:
        numbers["time"], numbers["memory"] = evidence.costs[seen.key]
    return Fact(
        key=seen.key,
        axes=" ".join(seen.letters),
        shape=tuple(seen.looks[0].shape),
        looks=len(seen.looks),
        kind=seen.kind,
        origin="foreign" if seen.foreign else "own",
        numbers=numbers,
    )
