"""Beam search over a step function, for any network that writes one word after another.

A beam of one is greedy decoding. Hypotheses that have ended are treated as one of the published codes does:

    shrink   set aside, with a beam that is narrower by each          kelvinxu/arctic-captions, sgrvinod
    aside    set aside, with a beam as wide as before                 ruotianluo/ImageCaptioning.pytorch
    stay     compete in the beam with the others, unchanged           karpathy/neuraltalk
    expand   set aside, and go on in the beam as if they had not      karpathy/neuraltalk2, jiasenlu/AdaptiveAttention

With `expand` a sentence that has ended is continued behind its end: it takes the place of another in the beam. What it
becomes is no sentence and is left out, as its sum of log-probabilities is never above that of the sentence itself.

All of them rank by the sum of the log-probabilities while they search; the penalty of a length l ranks the hypotheses
in the end, the end counted as a word:

    "none"                    Σ log p                                                                             (1)
    "average"                 Σ log p / l                                                                         (2)
    ("wu", α)                 Σ log p · 6^α / (5 + l)^α          Wu et al. 2016, arXiv:1609.08144, Eq. 14         (3)
    ("power", m)              Σ log p / l^m                      Jia et al. 2015, arXiv:1509.04942, Section 3.3   (4)
    ("min", μ), ("max", μ)    Σ log p / min(l, μ), … max(l, μ)   the same                                         (5)
    ("gaussian", μ, σ)        Σ log p / N(l; μ, σ)               the same                                         (6)

The maps of a hypothesis are those of the steps that it came through: each hypothesis keeps the row that it stood in at
every step, and its maps are gathered from these rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from regard.checks import choice, number, positive

S = TypeVar("S")
Step = Callable[[Tensor, Any], tuple[Tensor, Any, Mapping[str, Tensor]]]
Penalty = str | tuple[str, float] | tuple[str, float, float]
FINISHED = ("shrink", "aside", "stay", "expand")
PENALTIES: Mapping[str, int] = {"none": 0, "average": 0, "wu": 1, "power": 1, "min": 1, "max": 1, "gaussian": 2}


class Hypothesis(NamedTuple):
    """A sentence that a beam search found.

    Attributes:
        words: without the start; the last one is the end if it has ended.
        score: the sum of the log-probabilities, after the penalty.
        finished: whether it has ended, rather than reached the greatest length.
        log_probabilities: of each word.
        maps: name -> the map of each word, `L *`.
    """

    words: tuple[int, ...]
    score: float
    finished: bool
    log_probabilities: tuple[float, ...]
    maps: dict[str, Tensor]


class _Node(NamedTuple):
    """A hypothesis in the search: `rows[l]` is the row of the batch in which step l was made for it."""

    words: tuple[int, ...]
    each: tuple[float, ...]
    rows: tuple[int, ...]
    total: float


def beam_search(
    step: Step,
    state: Any,
    *,
    start: int,
    end: int,
    beam: int,
    longest: int,
    finished: str = "shrink",
    penalty: Penalty = "none",
    never: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """The best sentences for each item of a batch, best first.

    Args:
        step: `(words B, state) -> (log-probabilities B V, state, maps)`; the maps are named tensors, batch first.
        state: the state before the first step: tensors with the batch first, or tuples, lists and dicts of them.
        start, end: numbers of the words at which a sentence begins and ends.
        beam: the number of hypotheses.
        longest: the number of steps: a hypothesis has at most as many words, the end counted.
        finished: what happens to a hypothesis that has ended: "shrink", "aside", "stay" or "expand", as above.
        penalty: how hypotheses of different lengths are ranked in the end, as above.
        never: words that are not written, such as padding.

    Returns: at most `beam` hypotheses for each item; those that reached `longest` without an end are among them.
    Raises: ValueError for an argument out of range, or if a log-probability is NaN or all words are forbidden.
    """
    positive("beam", beam)
    positive("longest", longest)
    choice("finished", finished, FINISHED)
    check_penalty(penalty)
    items = rows_of(state)
    live = [[_Node((), (), (), 0.0)] for _ in range(items)]
    done: list[list[_Node]] = [[] for _ in range(items)]
    shown: list[Mapping[str, Tensor]] = []
    words = _tensors(state)[0].new_full((items,), start, dtype=torch.int64)
    for _ in range(longest):
        log_probabilities, state, maps = step(words, state)
        shown.append(maps)
        values, which = _best(log_probabilities, beam, never)
        at = 0  # the rows of the batch are the live hypotheses of the first item, then of the second, …
        for item in range(items):
            found = [_grown(node, at + i, values, which) for i, node in enumerate(live[item])]
            at += len(live[item])
            grown = [node for several in found for node in several]
            live[item], done[item] = _kept(grown, done[item], end=end, beam=beam, finished=finished)
            if _settled(live[item], done[item], beam, finished, penalty):
                live[item] = []
        rows = [node.rows[-1] for nodes in live for node in nodes]
        if not rows:
            break
        state = selected(state, torch.tensor(rows, device=words.device))
        words = words.new_tensor([node.words[-1] for nodes in live for node in nodes])
    return [
        _ranked(
            [*ended, *(node for node in unended if end not in node.words)], shown, end=end, beam=beam, penalty=penalty
        )
        for ended, unended in zip(done, live, strict=True)
    ]


def penalised(total: float, length: int, penalty: Penalty) -> float:
    """The score of a hypothesis of `length` words whose log-probabilities sum to `total`, by equations (1) to (6).

    Raises: ValueError for an unknown penalty.
    """
    name, parameters = check_penalty(penalty)
    if name == "none":
        return total
    if name == "average":
        return total / length
    if name == "wu":
        return float(total * (6 / (5 + length)) ** parameters[0])
    if name == "power":
        return float(total / length ** parameters[0])
    if name == "gaussian":
        mean, deviation = parameters
        density = math.exp(-(((length - mean) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
        return total / density if density else -math.inf
    return total / (min if name == "min" else max)(length, parameters[0])


def check_penalty(penalty: Penalty) -> tuple[str, tuple[float, ...]]:
    """The name and the parameters of a penalty. Raises: ValueError if it is none of (1) to (6)."""
    given: tuple[Any, ...] = (penalty,) if isinstance(penalty, str) else tuple(penalty)
    name, parameters = str(choice("penalty", given[0], PENALTIES)), given[1:]
    if len(parameters) != PENALTIES[name]:
        count = PENALTIES[name]
        raise ValueError(f"penalty={penalty!r}: {name!r} and {count or 'no'} number{'s' * (count != 1)} are needed")
    for one in parameters:
        number("penalty", one, above=0)
    return name, parameters


def selected(state: S, rows: Tensor) -> S:
    """The rows of every tensor in a state: `B *` -> `rows *`; None stays None."""
    chosen: S = _mapped(state, lambda tensor: tensor.index_select(0, rows))
    return chosen


def rows_of(state: Any) -> int:
    """The number of rows of a state. Raises: ValueError if its tensors differ in it, or there is no tensor."""
    counts = {len(tensor) for tensor in _tensors(state)}
    if len(counts) != 1:
        raise ValueError(f"state: its tensors have {sorted(counts) or 'no'} rows; all need the batch as first axis")
    return counts.pop()


def _tensors(state: Any) -> list[Tensor]:
    found: list[Tensor] = []

    def kept(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    _mapped(state, kept)
    return found


def _mapped(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(state, Tensor):
        return change(state)
    if state is None:
        return None
    if isinstance(state, Mapping):
        return {name: _mapped(value, change) for name, value in state.items()}
    if isinstance(state, tuple | list):
        parts = [_mapped(value, change) for value in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    raise ValueError(
        f"state: it holds {type(state).__name__}; tensors, and tuples, lists and dicts of them, are needed"
    )


def _best(log_probabilities: Tensor, beam: int, never: Sequence[int]) -> tuple[list[list[float]], list[list[int]]]:
    """The best `beam` words of each row: log-probabilities and numbers."""
    if log_probabilities.isnan().any():
        raise ValueError("step: a log-probability is NaN")
    if never:
        log_probabilities = log_probabilities.index_fill(
            1, torch.tensor(list(never), device=log_probabilities.device), -math.inf
        )
    values, which = log_probabilities.topk(min(beam, log_probabilities.shape[1]), 1)
    if (values[:, 0] == -math.inf).any():
        raise ValueError("step: every word has the probability 0")
    return values.tolist(), which.tolist()


def _grown(node: _Node, row: int, values: list[list[float]], which: list[list[int]]) -> list[_Node]:
    """A hypothesis with each of the best next words."""
    return [
        _Node((*node.words, word), (*node.each, value), (*node.rows, row), node.total + value)
        for value, word in zip(values[row], which[row], strict=True)
        if value > -math.inf
    ]


def _kept(
    grown: list[_Node], done: list[_Node], *, end: int, beam: int, finished: str
) -> tuple[list[_Node], list[_Node]]:
    """The hypotheses of an item that live on, and those that have ended."""
    pool, width = grown, beam
    if finished == "shrink":
        width = beam - len(done)
    elif finished == "stay":
        pool, done = [*done, *grown], []
    best = sorted(pool, key=lambda node: -node.total)[:width]
    if finished == "expand":
        return best, done + [node for node in best if end in node.words[-1:] and end not in node.words[:-1]]
    return [node for node in best if node.words[-1] != end], done + [node for node in best if node.words[-1] == end]


def _settled(live: list[_Node], done: list[_Node], beam: int, finished: str, penalty: Penalty) -> bool:
    """Whether no hypothesis that lives can come among the best: a sum of log-probabilities only falls."""
    if finished not in ("aside", "expand") or penalty != "none" or len(done) < beam or not live:
        return False
    return max(node.total for node in live) <= sorted(node.total for node in done)[-beam]


def _ranked(
    nodes: list[_Node], shown: list[Mapping[str, Tensor]], *, end: int, beam: int, penalty: Penalty
) -> list[Hypothesis]:
    scored = [(penalised(node.total, len(node.words), penalty), node) for node in nodes]
    best = sorted(scored, key=lambda one: -one[0])[:beam]
    return [
        Hypothesis(
            words=node.words,
            score=score,
            finished=node.words[-1] == end,
            log_probabilities=node.each,
            maps={
                name: torch.stack([maps[name][row] for maps, row in zip(shown, node.rows, strict=False)])
                for name in (shown[0] if shown else ())
            },
        )
        for score, node in best
    ]
