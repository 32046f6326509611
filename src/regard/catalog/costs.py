"""Parameters and operations of an entry at a standard size, read from `costs.json` beside its label.

`papers/<paper>/costs.json` is written by `make docs`, which measures with `regard.laws.costs`; `make check` measures
again and compares. So `regard show` needs no torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from regard.catalog import FOLDER, Entry

NAME = "costs.json"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of an entry's default.

    Args:
        input: sizes of the inputs, in words.
        parameters: how many it has.
        flops: floating point operations of one forward pass, two for a multiplication and an addition, in convolutions
            and matrix products; element-wise operations, pooling and sampling are not counted.
    """

    input: str
    parameters: int
    flops: int

    def __str__(self) -> str:
        parameters = f"{self.parameters:,} parameters" if self.parameters else "no parameters"
        flops = f"{in_units(self.flops)} in convolutions" if self.flops else "no convolutions"
        return f"{parameters}; {flops} and matrix products, for {self.input}"


def in_units(flops: int) -> str:
    """A number of operations in the unit that leaves one to three digits before the point."""
    units = ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP")
    power = 0
    while power < len(units) - 1 and flops >= 999.5 * 1000**power:
        power += 1
    return f"{flops / 1000**power:.3g} {units[power]}"


def path(folder: str) -> Path:
    """The file with the figures of a paper."""
    return FOLDER / folder / NAME


@cache
def costs(folder: str) -> dict[str, Cost]:
    """Entry -> cost, for the entries of a paper; empty where no figures are written yet."""
    if not path(folder).is_file():
        return {}
    written = json.loads(path(folder).read_text(encoding="utf-8"))
    return {name: Cost(**figures) for name, figures in written.items()}


def cost(entry: Entry) -> Cost | None:
    """The cost of an entry; None where no figures are written yet."""
    return costs(entry.folder).get(entry.name)
