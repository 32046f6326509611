"""The checks as a table: what is measured, beyond which threshold it is found, how severe it is, what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from regard.examining import affinities, effects, gradients, laws, maps
from regard.examining.evidence import DIFFERENT, Evidence
from regard.examining.findings import Measured
from regard.examining.seen import OFF


@dataclass(frozen=True)
class Check:
    """One row of the table.

    Args:
        name: of the check.
        severity: "error" (certainly wrong), "warning" (usually wrong) or "note" (worth knowing).
        measure: yields the numbers, one for each map, module or network.
        measures: what the number is.
        threshold: a number beyond it is found.
        means: what it usually means, and what to do.
        above: whether numbers above the threshold are found, otherwise those below.
    """

    name: str
    severity: str
    measure: Callable[[Evidence], Iterable[Measured]]
    measures: str
    threshold: float
    means: str
    above: bool = True

    def found(self, one: Measured) -> bool:
        """Whether a number is beyond the threshold; one that is no number is."""
        if one.number != one.number:
            return True
        return one.number > self.threshold if self.above else one.number < self.threshold


CHECKS = (
    Check(
        "batch leakage", "error", maps.leakage, "relative difference, an image alone against in the batch", DIFFERENT,
        "A softmax, a norm or a mean runs over the batch axis, so that the prediction for an image depends on the "
        "others: name the axis of the softmax, or give the norm running statistics.",
    ),
    Check(
        "not finite", "error", maps.not_finite, "share of values that are NaN or infinite", 0.0,
        "A row in which everything is masked by minus infinity, a division by zero, or overflow: at least one key of "
        "each query has to stay.",
    ),
    Check(
        "rows do not sum to 1", "error", maps.sums, "largest difference of a sum from 1", OFF,
        "The softmax is over a wrong axis, or the weights were scaled or masked behind it.",
    ),
    Check(
        "weights too sharp", "warning", maps.sharp, "spread of the logits of a row, standard deviation", 4.0,
        "The scale 1/√d is missing, or the temperature is too low: the softmax passes on next to no gradient, and the "
        "logits may overflow in float16.",
    ),
    Check(
        "weights even", "note", maps.even, "entropy, 1 for even weights", 0.999,
        "As at initialisation. In a trained network the scale 1/√d may be applied twice, or the attention has learned "
        "nothing and only averages.",
    ),
    Check(
        "saturated gate", "warning", maps.saturated, "share of values below 0.01 or above 0.99", 0.95,
        "The gate is shut or fully open nearly everywhere and gets next to no gradient: its logits are too large, as "
        "without a norm before the sigmoid, or its bias has run away.",
    ),
    Check(
        "constant gate", "note", maps.constant, "relative range of the values", 1e-6,
        "A gate that starts constant by design, as behind a factor or weights of zero: it says something about images "
        "once it has learned. In a trained network it has not learned.", above=False,
    ),
    Check(
        "same map for every image", "warning", maps.same_for_all, "share of the variance that is between images",
        maps.SHARED,
        "The map does not depend on the input: dead units before it, attention from positions alone, or an input that "
        "does not reach it.", above=False,
    ),
    Check(
        "attention sink", "note", affinities.sinks, "share of all attention that one key takes", 0.5,
        "Most queries look at one token. In trained transformers it is often a class or register token, or a patch of "
        "the background that is used as one; maps are easier to read without it.",
    ),
    Check(
        "outlier tokens", "note", affinities.outliers, "largest norm of a token beside the median", 4.0,
        "A few patch tokens hold global information in place of local one: the artefacts that register tokens remove. "
        "Do not read them as objects.",
    ),
    Check(
        "rows alike", "warning", affinities.rows_alike,
        "share of the deviation from even weights that is common to all queries", 0.98,
        "All queries look at the same places: the attention has collapsed to one pooled vector, which costs less as a "
        "global context block, or the tokens have become the same.",
    ),
    Check(
        "heads alike", "note", affinities.heads_alike, "mean cosine between two heads", 0.95,
        "The heads repeat each other: fewer would do, or all start from the same weights.",
    ),
    Check(
        "layers alike", "note", affinities.layers_alike, "cosine to the map before", 0.98,
        "The map repeats that of the layer before: attention collapse in depth, or weights that are shared.",
    ),
    Check(
        "unused parameters", "warning", gradients.unused, "parameters of the module on which the loss does not depend",
        0.0,
        "The module is never called, or its result is thrown away: it stays as it was initialised, and distributed "
        "training stops with an error about parameters that were not used.",
    ),
    Check(
        "no gradient", "warning", gradients.silent, "parameters whose gradient is zero, also after three steps", 0.0,
        "Something on the way to the loss lets no gradient through: a detach, a rounding, a dead ReLU, a saturated "
        "gate or a factor of zero that does not learn.",
    ),
    Check(
        "gradient not finite", "error", gradients.wrong, "parameters with a gradient that is NaN or infinite", 0.0,
        "A division by zero, a root at zero or the logarithm of zero in the backward pass.",
    ),
    Check(
        "loss not finite", "error", laws.trains, "training passes with a loss that is not finite", 0.0,
        "Overflow or a division by zero in training mode.",
    ),
    Check(
        "ignored attention", "warning", effects.ignored, "relative change of the output for a relative change of the "
        "map", effects.STILL,
        "The network does not use the map: its result is thrown away, or a factor of zero behind it does not learn. "
        "The picture of such a map explains nothing.", above=False,
    ),
    Check(
        "attention asleep", "note", effects.asleep, "relative change of the output for a relative change of the map",
        effects.STILL,
        "A factor of zero, or a small one, switches the branch off at the start by design; learning wakes it. In "
        "a trained network it has stayed off.", above=False,
    ),
    Check(
        "no worse with an even map", "note", effects.harmless, "relative rise of the loss with an even map", 0.001,
        "The attention is used, but what it selects does not help on this batch: an average would do, at a lower cost.",
        above=False,
    ),
    Check(
        "not deterministic", "error", laws.deterministic, "relative difference of two passes, or 1", 0.0,
        "Dropout or other random numbers stay on in evaluation mode: pass `training=self.training` to the functional "
        "form.",
    ),
    Check(
        "changes its input", "warning", laws.inputs_left_alone, "broken laws", 0.0,
        "An operation in place writes into the batch: the next reader of the batch gets other images.",
    ),
    Check(
        "a pass changes the weights", "warning", laws.state_left_alone, "broken laws", 0.0,
        "A forward pass writes into parameters, or in evaluation mode into buffers, as norms that were left in "
        "training mode do.",
    ),
    Check(
        "watched differs", "error", laws.watched, "relative difference of a watched pass", DIFFERENT,
        "The maps are not those of the network as it runs: with them nothing here is reliable. Please report it.",
    ),
    Check(
        "overflow in float16", "warning", laws.half, "share of values that are finite in its own precision only", 0.0,
        "Values beyond 65,504: logits without a scale, sums over a large map, or an epsilon that becomes zero. Train "
        "with autocast and keep this part in float32.",
    ),
    Check(
        "overflow in bfloat16", "warning", laws.brain, "share of values that are finite in its own precision only", 0.0,
        "A constant that bfloat16 does not hold, or a division by what was rounded to zero.",
    ),
    Check(
        "compiled differs", "error", laws.compiled, "relative difference to the eager network, or 1", 0.0,
        "`torch.compile` cannot take the network as one graph, or compiles it to something else.",
    ),
)  # fmt: skip
