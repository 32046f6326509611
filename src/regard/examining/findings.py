"""What an examination found, as plain data: numbers, findings, facts about each map."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from regard.core import Maps

if TYPE_CHECKING:
    from regard.viewing.pictures import Picture

SEVERITIES = ("error", "warning", "note")
MOST = 3  # findings of one check that the text names


@dataclass(frozen=True)
class Measured:
    """One number of one check, before it is held against a threshold.

    Args:
        number: what was measured.
        module: path of the module that it is of; empty for the whole network.
        map: name of the map; empty where it is of no map.
        detail: what else was seen, as text.
        sample: the image of the batch that shows it best.
    """

    number: float
    module: str = ""
    map: str = ""
    detail: str = ""
    sample: int = 0

    @property
    def key(self) -> str:
        """The key of the map among those of `watch`; empty where it is of no map."""
        return f"{self.module}/{self.map}" if self.module and self.map else self.map


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A number beyond the threshold of a check.

    Args:
        check: name of the check.
        severity: "error" (certainly wrong), "warning" (usually wrong) or "note" (worth knowing).
        module, map, detail, sample: as for `Measured`.
        number, threshold: what was measured, and the threshold that it is beyond.
        above: whether it is above the threshold, otherwise below.
        measures: what the number is, in words.
        means: what it usually means.
    """

    check: str
    severity: str
    module: str
    map: str
    number: float
    threshold: float
    above: bool
    measures: str
    means: str
    detail: str = ""
    sample: int = 0

    @property
    def key(self) -> str:
        """The key of the map among those of `watch`; empty where it is of no map."""
        return Measured(self.number, self.module, self.map).key

    @property
    def place(self) -> str:
        """The map, the module, or the whole network, as text."""
        return self.key or self.module or "the network"

    def __str__(self) -> str:
        side = "above" if self.above else "below"
        says = f"{self.measures}: {shown(self.number)}, {side} {shown(self.threshold)}"
        return f"{self.severity}: {self.check}: {self.place}: {says}{f'; {self.detail}' if self.detail else ''}"


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What was measured of one map, whether or not a check found something.

    Args:
        key: the map among those of `watch`.
        axes: its axes.
        shape: of its first look.
        looks: number of looks in one pass.
        kind: "weights" (rows that sum to 1), "gate", or "values".
        origin: "own" of a `regard.Attention`, or "foreign".
        numbers: name -> number, those that its kind has: entropy, spread, rank, rows, heads, sink, low, high, images,
            effect (change of the output when the map is even), effect of mean, loss, time, memory.
    """

    key: str
    axes: str
    shape: tuple[int, ...]
    looks: int
    kind: str
    origin: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Group:
    """The findings of one check and severity, as a table shows them.

    Args:
        worst: the finding farthest beyond the threshold.
        findings: all of them, in the order of the network.
    """

    worst: Finding
    findings: tuple[Finding, ...]

    @property
    def place(self) -> str:
        """The worst place, and how many others there are."""
        others = len(self.findings) - 1
        return self.worst.place + (f" and {others} other{'s' if others > 1 else ''}" if others else "")


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The result of `regard.doctor`; its `str` is a line for each finding.

    Args:
        network: the name of the network.
        findings: errors first, then warnings and notes, each in the order of the network.
        facts: one for each map, in the order in which the maps are formed.
        asked: names of the checks that were made.
        unasked: name of a check -> why it could not be made, for the whole network or for some of its maps.
        images: number of images in the batch.
        maps: the recorded maps.
        stage: the images, float `B C H W` in 0..1, under the maps; None where the batch holds no images.
    """

    network: str
    findings: tuple[Finding, ...]
    facts: tuple[Fact, ...]
    asked: tuple[str, ...]
    unasked: Mapping[str, str]
    images: int
    maps: Maps = field(repr=False)
    stage: Tensor | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether there is no finding of severity "error"."""
        return not self.of("error")

    def of(self, severity: str) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The findings by check, the most severe first."""
        found: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            found.setdefault((finding.severity, finding.check), []).append(finding)
        return tuple(Group(worst=max(each, key=_excess), findings=tuple(each)) for each in found.values())

    @property
    def summary(self) -> str:
        """One sentence: how many findings of each severity."""
        counts = [f"{len(self.of(one))} {one}{'' if len(self.of(one)) == 1 else 's'}" for one in SEVERITIES]
        return (
            f"{self.network}: {', '.join(counts)}; {len(self.asked)} checks on {len(self.facts)} "
            f"map{'' if len(self.facts) == 1 else 's'} and {self.images} image{'' if self.images == 1 else 's'}"
        )

    def __str__(self) -> str:
        lines = []
        for group in self.groups:
            lines += [*map(str, group.findings[:MOST]), f"    {group.worst.means}"]
            if len(group.findings) > MOST:
                lines.insert(-1, f"    and {len(group.findings) - MOST} more of this check; worst: {group.worst.place}")
        left = [f"not asked: {check}: {reason}" for check, reason in self.unasked.items()]
        return "\n".join([*lines, *left, self.summary])

    def json(self) -> str:
        """The result as JSON: findings, facts, and which checks were made."""
        findings = [{**asdict(finding), "place": finding.place} for finding in self.findings]
        facts = [asdict(fact) for fact in self.facts]
        whole = {
            "network": self.network, "ok": self.ok, "images": self.images, "findings": findings, "maps": facts,
            "asked": self.asked, "unasked": self.unasked,
        }  # fmt: skip
        return json.dumps(_plain(whole), indent=1)

    def picture(self, finding: Finding) -> Picture | None:
        """The map of a finding, drawn over the image; None where it is of no map, or its axes cannot be drawn."""
        from regard.examining.pictures import drawn

        return drawn(self, finding.key, finding.sample) if finding.key else None

    def report(self, path: str | Path) -> Path:
        """Writes the findings with pictures as one self-contained HTML file, and returns its path.

        Raises:
            FileExistsError: there is a file at `path` that is no such page.
            OSError: the page cannot be written.
        """
        from regard.examining.page import write

        return write(self, Path(path))


def shown(number: float) -> str:
    """A number with three digits."""
    return f"{number:.3g}"


def _excess(finding: Finding) -> float:
    """How far a number is beyond the threshold."""
    if math.isnan(finding.number):
        return math.inf
    return finding.number if finding.above else -finding.number


def _plain(value: Any) -> Any:
    """Numbers that JSON does not have become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
