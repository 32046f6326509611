"""Scanpaths over a saliency map: from a network of neurons, or from repeated maxima.

The network (Koch and Ullman 1985; Itti, Koch, Niebur 1998) is two sheets of leaky integrate-and-fire neurons over the
map. The first is charged by the saliency and does not fire; the second is charged by the first. The first neuron of
the second sheet to fire is the winner. It resets its sheet, and inhibits the surroundings of its place in the first.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

STEP = 1e-4  # seconds
SALIENCY_CAPACITY, SALIENCY_LEAK = 5e-8, 1e-7  # farad and siemens, of the first sheet
CAPACITY, LEAK, COUPLING = 1e-9, 1e-8, 5e-8  # of the second sheet, and from the first to the second
THRESHOLD, EXCITED, INHIBITED = 1e-3, 0.1, -0.02  # volts
CURRENT, BACKGROUND = 1e-9, 1e-14  # ampere: for a saliency of 1, and everywhere
RESET = 1e-2  # siemens, for one step
RECOVERY = 0.9999  # of the inhibition of return, each step
BLOCK = 32  # steps between two looks at the threshold


class Fixations(NamedTuple):
    """The places and times of the winners.

    Attributes:
        cells: row and column: int64 `B T 2`.
        times: in seconds; infinite where nothing won any more, and the cell is the one before.
    """

    cells: Tensor
    times: Tensor

    def points(self, size: tuple[int, int]) -> Tensor:
        """Middles of the cells as (x, y) in [-1, 1] over a map of `size`: `B T 2`."""
        lengths = torch.tensor(size, device=self.cells.device)
        return ((2 * self.cells + 1) / lengths - 1).flip(-1)


def compete(saliency: Tensor, *, fixations: int, deviation: float, patience: float = 5.0) -> Fixations:
    """Runs the network of neurons until every map has its `fixations`.

    Args:
        saliency: non-negative maps.
        fixations: how many winners.
        deviation: of the inhibition of return, in positions of the map.
        patience: seconds without a winner after which a map gets no more.

    Shapes: saliency `B H W`.
    """
    return _Network(saliency, deviation).run(fixations, patience)


class _Network:
    """The neurons, column by column: this order decides between two that fire in the same step.

    The second sheet's voltages are kept as a fifth, so that one step towards the first sheet's is a plain average.
    """

    def __init__(self, saliency: Tensor, deviation: float) -> None:
        batch, self.height, self.width = saliency.shape
        self.deviation = deviation
        wide = saliency.detach().double().mT.flatten(1)
        self.charge = STEP / SALIENCY_CAPACITY * (CURRENT * wide + BACKGROUND)
        self.first = torch.zeros_like(wide)
        self.second = torch.zeros_like(wide)
        self.inhibition = torch.zeros_like(wide)
        # The interneuron of each map, which resets the second sheet: its voltage, whether it is excited, whether it
        # has just fired. It starts as if it had.
        self.voltage, self.excited, self.fired = [0.0] * batch, [False] * batch, [True] * batch
        self.before = self.time = 0.0
        # Without inhibition the first sheet rests at charge / leak and the second at five times that.
        rest = wide.amax(1) * CURRENT / SALIENCY_LEAK + BACKGROUND / SALIENCY_LEAK
        self.silent = (rest * COUPLING / LEAK <= THRESHOLD).tolist()

    def run(self, fixations: int, patience: float) -> Fixations:
        batch = len(self.voltage)
        winners: list[list[int]] = [[] for _ in range(batch)]
        times: list[list[float]] = [[] for _ in range(batch)]
        waiting = [b for b in range(batch) if not self.silent[b]]
        since = [0.0] * batch
        while waiting:
            for b, winner in self._advance(1 if any(self.fired) or any(self.excited) else BLOCK):
                self.excited[b] = True
                if len(winners[b]) < fixations:
                    winners[b].append(winner)
                    times[b].append(self.time)
                    since[b] = self.time
            inhibited = [b for b in range(batch) if times[b] and times[b][-1] == self.time]
            self._interneurons()
            for b in inhibited:
                self._inhibit(b, winners[b][-1])
            waiting = [b for b in waiting if len(winners[b]) < fixations and self.time - since[b] < patience]
        for b in range(batch):
            missing = fixations - len(winners[b])
            middle = self.width // 2 * self.height + self.height // 2
            winners[b] += [winners[b][-1] if winners[b] else middle] * missing
            times[b] += [math.inf] * missing
        index = torch.tensor(winners, dtype=torch.int64, device=self.charge.device).view(batch, fixations)
        cells = torch.stack([index % self.height, index // self.height], -1)
        return Fixations(cells, self.charge.new_tensor(times).view(batch, fixations))

    def _advance(self, steps: int) -> list[tuple[int, int]]:
        """Runs for `steps`, or until a neuron fires; returns each map in which one fires, and the first such neuron."""
        rate = STEP / SALIENCY_CAPACITY
        decay = RECOVERY ** torch.arange(steps, dtype=torch.float64, device=self.charge.device)
        keep = torch.addcmul(
            self.charge.new_tensor(1 - rate * SALIENCY_LEAK), decay[:, None, None], self.inhibition, value=-rate
        )
        first, second = torch.empty_like(keep), torch.empty_like(keep)
        a, b = self.first, self.second
        for i in range(steps):
            a = torch.addcmul(self.charge, a, keep[i], out=first[i]).clamp_min_(0)
            b = torch.lerp(b, a, STEP / CAPACITY * LEAK, out=second[i])
        if any(self.fired):
            reset = self.charge.new_tensor(self.fired)[:, None] != 0
            drive = STEP / CAPACITY * RESET
            pulled = second[0] - drive * (self.second - INHIBITED * LEAK / COUPLING)
            second[0] = torch.where(reset, pulled.clamp_min(INHIBITED * LEAK / COUPLING), second[0])
        over = second > THRESHOLD * LEAK / COUPLING
        at = over.flatten(1).any(1).byte().argmax().item() if bool(over.any()) else None
        last = steps - 1 if at is None else int(at)
        self.first, self.second = first[last], second[last]
        self.inhibition = self.inhibition * RECOVERY ** (last + 1)
        self.before = self.time
        for _ in range(last + 1):
            self.before, self.time = self.time, self.time + STEP
        if at is None:
            return []
        spikes = over[last]
        self.second = self.second.masked_fill(spikes, 0)
        return [(b, int(spikes[b].byte().argmax())) for b in spikes.any(1).nonzero()[:, 0].tolist()]

    def _interneurons(self) -> None:
        """Advances the interneurons by one step. Rounding in `time` decides whether one takes one or two to fire."""
        rate = (self.time - self.before) / CAPACITY
        for b, voltage in enumerate(self.voltage):
            self.fired[b] = False
            if self.excited[b]:
                voltage = voltage + rate * (-LEAK * voltage - 10 * LEAK * (voltage - EXCITED))
                self.fired[b] = voltage > THRESHOLD
                self.voltage[b] = 0.0 if self.fired[b] else voltage
                self.excited[b] = not self.fired[b]

    def _inhibit(self, b: int, winner: int) -> None:
        """Inhibition of return: a Gaussian around the winner, minus a ten-thousandth of one four times as wide."""
        column, row = divmod(winner, self.height)
        rows = torch.arange(self.height, dtype=torch.float64, device=self.charge.device) - row
        columns = torch.arange(self.width, dtype=torch.float64, device=self.charge.device) - column
        distance = (columns[:, None].square() + rows.square()).flatten() / (-2 * self.deviation**2)
        self.inhibition[b] += 0.1 * self.first[b, winner] * (distance.exp() - 1e-4 * (distance / 16).exp())


def repeated_maxima(saliency: Tensor, *, fixations: int, radius: float) -> Tensor:
    """The maximum, then the maximum farther than `radius` from it, and so on: row and column, `B T 2`.

    Where nothing is left, the last stays. Of equal maxima the first in reading order is taken.

    Shapes: saliency `B H W`.
    """
    height, width = saliency.shape[1:]
    rows = torch.arange(height, device=saliency.device)[:, None]
    columns = torch.arange(width, device=saliency.device)
    open_map, cells = saliency.detach().clone(), []
    index = saliency.new_zeros(len(saliency), dtype=torch.int64)
    for _ in range(fixations):
        best = open_map.flatten(1).max(1)
        index = torch.where(best.values.isfinite(), best.indices, index)
        row, column = index // width, index % width
        cells.append(torch.stack([row, column], 1))
        near = (rows - row[:, None, None]).square() + (columns - column[:, None, None]).square() <= radius**2
        open_map = open_map.masked_fill(near, -math.inf)
    return torch.stack(cells, 1)
