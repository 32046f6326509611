"""Constrained beam search: the best sentences in which given words occur.

Guided Open Vocabulary Image Captioning with Constrained Beam Search. Anderson, Fernando, Johnson, Gould. EMNLP 2017,
arXiv:1612.00576. Official code: none of its own; jiasenlu/NeuralBabyTalk and allenai/allennlp hold readings of it.

    Of G groups of words each has to occur: a state is the set of groups that have occurred, so that there are 2^G
    states, and each has a beam of its own. A word of a group leads to the state with this group; every other word, and
    a word of a group that has occurred already, stays. An answer is a sentence that ended in the state of all groups.

Errata: NeuralBabyTalk's code lets no word of a group occur twice; here it may, where the step function allows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from regard.checks import positive, whole
from regard.ops.beam_search import Hypothesis, Step, selected

GROUPS = 6  # at most: 64 beams


class _Node(NamedTuple):
    words: tuple[int, ...]
    each: tuple[float, ...]
    rows: tuple[int, ...]
    total: float


def constrained_search(
    step: Step,
    state: Any,
    groups: Sequence[Sequence[int]],
    *,
    start: int,
    end: int,
    beam: int,
    longest: int,
    never: Sequence[int] = (),
) -> list[Hypothesis]:
    """The best sentences for one image in which each group occurs; best first.

    Args:
        step: as for `ops.beam_search.beam_search`.
        state: the state before the first step, of one row.
        groups: words of which one has to occur, for each group; no word is in two groups.
        start, end: numbers of the words at which a sentence begins and ends.
        beam: the number of hypotheses in each state.
        longest: the number of steps: a sentence has at most as many words, the end counted.
        never: words that are not written.

    Returns: the sentences in which the most groups occur, at most `beam`; fewer than all groups only if no sentence of
        `longest` words has all of them. Ended ones come before those that were cut.
    Raises: ValueError for an argument out of range, an empty group, or a word in two groups.
    """
    positive("beam", beam)
    positive("longest", longest)
    member = _members(groups, end)
    live: dict[int, list[_Node]] = {0: [_Node((), (), (), 0.0)]}
    done: dict[int, list[_Node]] = {}
    shown: list[Mapping[str, Tensor]] = []
    words: Tensor | None = None
    for _ in range(longest):
        if words is None:
            words = torch.tensor([start], device=_device(state))
        log_probabilities, state, maps = step(words, state)
        shown.append(maps)
        if never:
            outside = torch.tensor(list(never), device=log_probabilities.device)
            log_probabilities = log_probabilities.index_fill(1, outside, -torch.inf)
        pools: dict[int, list[_Node]] = {}
        row = 0
        for reached, nodes in live.items():
            for node in nodes:
                for word, value in _next(log_probabilities[row], member, reached, beam):
                    to = reached | (1 << member[word] if word in member else 0)
                    grown = _Node((*node.words, word), (*node.each, value), (*node.rows, row), node.total + value)
                    pools.setdefault(to, []).append(grown)
                row += 1
        live = {}
        for reached, pool in pools.items():
            best = sorted(pool, key=lambda node: -node.total)[:beam]
            done.setdefault(reached, []).extend(node for node in best if node.words[-1] == end)
            going = [node for node in best if node.words[-1] != end]
            if going:
                live[reached] = going
        rows = [node.rows[-1] for nodes in live.values() for node in nodes]
        if not rows:
            break
        state = selected(state, torch.tensor(rows, device=words.device))
        words = words.new_tensor([node.words[-1] for nodes in live.values() for node in nodes])
    return _best(done, live, shown, beam, end)


def _members(groups: Sequence[Sequence[int]], end: int) -> dict[int, int]:
    whole("groups", len(groups), 0, GROUPS)
    member: dict[int, int] = {}
    for number, group in enumerate(groups):
        if not len(group):
            raise ValueError(f"groups[{number}]={list(group)!r}: at least one word is needed")
        for word in group:
            if word in member or word == end:
                raise ValueError(f"groups[{number}]={list(group)!r}: words of one group each, not the end, are needed")
            member[int(word)] = number
    return member


def _next(chances: Tensor, member: Mapping[int, int], reached: int, beam: int) -> list[tuple[int, float]]:
    """The best words that stay in a state, and every word that leads to another one."""
    leading = [word for word, group in member.items() if not reached >> group & 1]
    staying = chances.index_fill(0, torch.tensor(leading, device=chances.device), -torch.inf) if leading else chances
    values, which = staying.topk(min(beam, len(staying)))
    found = list(zip(which.tolist(), values.tolist(), strict=True))
    found += [(word, chances[word].item()) for word in leading]
    return [(word, value) for word, value in found if value > -torch.inf]


def _best(
    done: Mapping[int, list[_Node]],
    live: Mapping[int, list[_Node]],
    shown: Sequence[Mapping[str, Tensor]],
    beam: int,
    end: int,
) -> list[Hypothesis]:
    most = max((reached.bit_count() for found in (done, live) for reached, nodes in found.items() if nodes), default=0)
    ended, cut = (
        sorted(
            (node for reached, nodes in found.items() if reached.bit_count() == most for node in nodes),
            key=lambda node: -node.total,
        )
        for found in (done, live)
    )
    return [
        Hypothesis(
            words=node.words,
            score=node.total,
            finished=node.words[-1] == end,
            log_probabilities=node.each,
            maps={
                name: torch.stack([maps[name][row] for maps, row in zip(shown, node.rows, strict=False)])
                for name in (shown[0] if shown else ())
            },
        )
        for node in [*ended, *cut][:beam]
    ]


def _device(state: Any) -> torch.device:
    """The device of the first tensor in a state."""
    if isinstance(state, Tensor):
        return state.device
    parts = state.values() if isinstance(state, Mapping) else state
    return next(_device(part) for part in parts if part is not None)
