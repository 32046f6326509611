"""What a test of maps found, as typed rows, text and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from regard.insight.faithfulness.curves import Curve
from regard.insight.faithfulness.heats import RANDOM
from regard.insight.faithfulness.measured import Measured
from regard.insight.faithfulness.variance import Share


@dataclass(frozen=True, eq=False, kw_only=True)
class Row:
    """A map with a place, or a reference.

    Args:
        name: the key of the map, or `random`, `centre`, `Grad-CAM`.
        reference: whether it is one of the three references.
        heat: the map of each image, `N h w`.
        deletion, insertion: baseline -> the curves; a small area under the first and a large one under the second speak
            for the map.
        infidelity: from 0, the map says what the network loses, to 1, it says nothing about it.
        sanity: name of the last module that lost its weights -> rank correlation with the map of the trained network,
            stage by stage; empty for references that no weights make.
    """

    name: str
    reference: bool
    heat: Tensor
    deletion: Mapping[str, Curve]
    insertion: Mapping[str, Curve]
    infidelity: Measured
    sanity: Mapping[str, Measured] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The numbers of the row, as JSON has them."""
        return {
            "name": self.name,
            "reference": self.reference,
            "deletion": {name: curve.plain() for name, curve in self.deletion.items()},
            "insertion": {name: curve.plain() for name, curve in self.insertion.items()},
            "infidelity": self.infidelity.plain(),
            "sanity": {name: measured.plain() for name, measured in self.sanity.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What explains a map's variance over the images; None where the groups are not known, or too few.

    Args:
        what: the class.
        where: the place of the object.
    """

    what: Share | None = None
    where: Share | None = None

    def plain(self) -> dict[str, Any]:
        """The shares, as JSON has them."""
        return {
            "what": None if self.what is None else self.what.plain(),
            "where": None if self.where is None else self.where.plain(),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Faithful:
    """What a test of maps found; its `str` is a table.

    Args:
        rows: the maps with a place, then the references.
        effects: key of a map -> edit -> how much the logit of the class falls when the map is edited; maps that are
            only shown are not in it.
        origins: key of a map -> what explains its variance over the images.
        of: "probability" or "logit": what the curves follow.
        intact: what is followed, of each image as it is.
        notes: what could not be measured, and why.
    """

    rows: tuple[Row, ...]
    effects: Mapping[str, Mapping[str, Measured]]
    origins: Mapping[str, Origin]
    of: str
    intact: Measured
    notes: tuple[str, ...] = ()

    def row(self, name: str) -> Row:
        """The row of this name. Raises: LookupError if there is none."""
        for row in self.rows:
            if row.name == name:
                return row
        raise LookupError(f"name={name!r}: {', '.join(row.name for row in self.rows)} is needed")

    def beyond(self, name: str, reference: str = RANDOM, *, curve: str = "deletion", baseline: str) -> Measured:
        """The difference of two areas on every image, above 0 where `name` is the more faithful.

        Args:
            name, reference: names of rows.
            curve: "deletion" or "insertion".
            baseline: what stands in place of missing pixels.

        Raises: LookupError if there is no such row, curve or baseline.
        """
        ours, theirs = (getattr(self.row(one), curve)[baseline].area for one in (name, reference))
        found: Measured = theirs.minus(ours) if curve == "deletion" else ours.minus(theirs)
        return found

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Titles and rows of text: areas with each baseline, and infidelity."""
        baselines = [*self.rows[0].deletion] if self.rows else []
        titles = ["", *(f"deletion, {name}" for name in baselines), *(f"insertion, {name}" for name in baselines)]
        lines = [
            [
                row.name,
                *(_written(row.deletion[name].area) for name in baselines),
                *(_written(row.insertion[name].area) for name in baselines),
                _written(row.infidelity),
            ]
            for row in self.rows
        ]
        return [*titles, "infidelity"], lines

    def json(self) -> str:
        """Everything but the maps themselves, as JSON."""
        content = {
            "of": self.of,
            "intact": self.intact.plain(),
            "rows": [row.plain() for row in self.rows],
            "effects": {
                key: {name: measured.plain() for name, measured in found.items()} for key, found in self.effects.items()
            },
            "origins": {key: origin.plain() for key, origin in self.origins.items()},
            "notes": list(self.notes),
        }
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)

    def sentences(self) -> list[str]:
        """What the effects, the randomised weights and the variances are, one line each."""
        told = [
            f"{key}: the logit falls by {', '.join(f'{_written(one)} when {name}' for name, one in found.items())}"
            for key, found in self.effects.items()
        ]
        for row in self.rows:
            if row.sanity:
                stages = ", ".join(f"{_short(measured.mean)} ({name})" for name, measured in row.sanity.items())
                told.append(f"{row.name}: rank correlation after weights are lost from the output on: {stages}")
        for key, origin in self.origins.items():
            for name, found in (("class", origin.what), ("place", origin.where)):
                if found is not None:
                    told.append(
                        f"{key}: {name} explains {found.value:.2f} of the variance over {found.images} images "
                        f"(shuffled {found.shuffled:.2f}, at most {found.shuffled_high:.2f})"
                    )
        return [*told, *self.notes]

    def __str__(self) -> str:
        titles, lines = self.table()
        every = [titles, *lines]
        widths = [max(len(row[i]) for row in every) for i in range(len(titles))]
        text = [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in every
        ]
        return "\n".join([*text, *self.sentences()])


def _short(value: float) -> str:
    """A number; a dash where it is not defined."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def _written(measured: Measured) -> str:
    """The mean, and half its interval where there is one."""
    low, high = measured.interval()
    if math.isnan(measured.mean):
        return "–"
    mean = f"{round(measured.mean, 3) + 0.0:.3f}"  # a zero without a sign
    return mean if math.isnan(low) else f"{mean} ± {(high - low) / 2:.3f}"
