"""What a metric is: numbers from a stream of samples, in torchmetrics' own words, so that theirs can be used as well.

    metric = task.metric()
    for batch in batches:
        metric.update(*task.answers(model, batch))
    figures(metric)                      {"accuracy": 0.93, …}

Several processes each fill a metric of their own, which `merge_state` brings together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Metric(Protocol):
    """Numbers from a stream of samples; what `update` takes is each metric's own."""

    def update(self, *args: Any, **kwargs: Any) -> None: ...
    def compute(self) -> Any: ...
    def reset(self) -> None: ...
    def merge_state(self, incoming_state: Any, /) -> None: ...


@dataclass(frozen=True)
class Measure:
    """The main number of a task.

    Args:
        name: under which `figures` has it.
        title: for people.
        higher_is_better: whether a larger number is the better one.
        unit: `"%"` for shares, which are shown times 100; otherwise what is written behind the number.
    """

    name: str
    title: str
    higher_is_better: bool = True
    unit: str = ""


def figures(metric: Metric) -> dict[str, float]:
    """The numbers of a metric by name; a metric of a single number has it under its class's name.

    Raises: TypeError if a number is none.
    """
    found = metric.compute()
    named = found if isinstance(found, Mapping) else {type(metric).__name__: found}
    return {str(name): float(value) for name, value in named.items()}
