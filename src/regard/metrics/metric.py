"""The protocol of a metric, which is torchmetrics' own, so that their metrics can be used as well.

    metric = task.metric()
    for batch in batches:
        metric.update(*task.answers(model, batch))
    figures(metric)                      {"accuracy": 0.93, …}

Each process updates its own metric; `merge_state` combines them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Metric(Protocol):
    """A metric accumulated over batches; the arguments of `update` differ between metrics."""

    def update(self, *args: Any, **kwargs: Any) -> None: ...
    def compute(self) -> Any: ...
    def reset(self) -> None: ...
    def merge_state(self, incoming_state: Any, /) -> None: ...


@dataclass(frozen=True)
class Measure:
    """The main number of a task.

    Args:
        name: its name in `figures`.
        title: a readable name.
        higher_is_better: whether larger is better.
        unit: `"%"` for shares, which are shown as percentages; otherwise the text after the number.
    """

    name: str
    title: str
    higher_is_better: bool = True
    unit: str = ""


def figures(metric: Metric) -> dict[str, float]:
    """The numbers of a metric by name; the name of a single number is the class of the metric.

    Raises: TypeError if a value is not a number.
    """
    found = metric.compute()
    named = found if isinstance(found, Mapping) else {type(metric).__name__: found}
    return {str(name): float(value) for name, value in named.items()}
