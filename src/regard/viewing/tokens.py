"""Attention among positions with tokens in front of the grid, such as a class token and registers, and within windows.

tokens    queries and keys are named tokens, then the places of a grid: the rows of tokens are maps over the grid, and
          what goes to tokens lies nowhere on the image
windows   keys are the places within the window of each query, whose numbers say where these lie on the image
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.core import Grid, grids_of
from regard.viewing.reaching import plane_of

FIRST = "class"  # the token whose row a classifier reads


@dataclass(frozen=True)
class Tokens:
    """Weights of one image over tokens and a grid.

    Args:
        weights: `h Q K`, tokens first on both axes.
        queries, keys: the names of the tokens on each axis.
        grid: H, W of the queries behind their tokens; None if there are none, or no plane.
        plane: H, W of the keys behind their tokens.
    """

    weights: Tensor
    queries: tuple[str, ...]
    keys: tuple[str, ...]
    grid: tuple[int, int] | None
    plane: tuple[int, int]

    def rows(self) -> dict[str, Tensor]:
        """What tokens attend to, and what places receive of places, by what they are: `h H W` each, that which the
        network reads first.
        """
        number = {name: i for i, name in enumerate(self.queries)}
        order = sorted(number, key=lambda name: (name != FIRST, number[name]))
        found = {_asks(name): self._placed(self.weights[:, number[name]]) for name in order}
        if self.weights.shape[1] > len(number):
            found["received"] = self._placed(self.weights[:, len(number) :].mean(1))
        if FIRST not in number and "received" in found:  # a network that averages places
            found = {"received": found.pop("received"), **found}
        return found

    def beside(self, row: str) -> str:
        """What a row gives to tokens, which no picture shows, as text; empty without tokens among the keys."""
        if not self.keys:
            return ""
        chosen = self.weights[:, len(self.queries) :].mean(1)
        if row != "received":
            chosen = self.weights[:, [_asks(name) for name in self.queries].index(row)]
        return self._said(chosen)

    def of(self, query: int) -> Tensor:
        """Where one place of the grid attends to, the mean of the heads: `H W`."""
        return self._placed(self.weights[:, len(self.queries) + query]).mean(0)

    def beside_query(self, query: int) -> str:
        """As `beside`, of one place."""
        return self._said(self.weights[:, len(self.queries) + query]) if self.keys else ""

    def strongest(self) -> int:
        """The place with the largest single weight on a place."""
        inside = self.weights[:, len(self.queries) :, len(self.keys) :].mean(0)
        return int(inside.amax(1).argmax())

    def _placed(self, weights: Tensor) -> Tensor:
        placed: Tensor = weights[..., len(self.keys) :].unflatten(-1, self.plane)
        return placed

    def _said(self, weights: Tensor) -> str:
        """Shapes: weights `h K`."""
        share = float(weights[..., : len(self.keys)].sum(-1).mean() / weights.sum(-1).mean().clamp_min(1e-30))
        several = f" and {len(self.keys) - 1} more" if len(self.keys) > 1 else ""
        percent = "<1" if 0 < share < 0.005 else f"{100 * share:.0f}"
        return f"{percent} % on the {self.keys[0]} token{several}"


def _asks(token: str) -> str:
    return f"from the {token} token"


def tokens_of(
    look: Tensor, letters: tuple[str, ...], grids: Mapping[str, Grid], tokens: Mapping[str, Sequence[str]]
) -> Tokens | None:
    """The weights of one image among tokens and places; None if no axis has tokens, or the keys have no plane.

    Args:
        look: the map, with a batch of one.
        letters: its axes.
        grids: of flattened axes, of tokens single cells.
        tokens: letter of an axis -> the names of the tokens in front.
    """
    names = {letter: tuple(tokens.get(letter, ())) for letter in ("Q", "K")}
    if letters[-2:] != ("Q", "K") or not any(names.values()):
        return None
    planes = {letter: plane_of(grids_of(grids.get(letter, ()))[len(names[letter]) :] or None) for letter in ("Q", "K")}
    plane = planes["K"]
    if plane is None or len(names["K"]) + math.prod(plane) != look.shape[-1]:
        return None
    values = look[0].detach()
    values = values if values.dtype == torch.float64 else values.float()
    values = values.flatten(0, -3) if values.dim() > 2 else values[None]
    return Tokens(values, names["Q"], names["K"], planes["Q"], plane)


def without_tokens(
    look: Tensor, letters: tuple[str, ...], grids: Mapping[str, Grid], tokens: Mapping[str, Sequence[str]]
) -> tuple[Tensor, tuple[str, ...], Mapping[str, Grid]]:
    """A map over tokens and places that no query asks, such as weights of places for each channel, over its places
    alone; any other map as it is.
    """
    last = letters[-1]
    count = len(tokens.get(last, ()))
    behind = grids_of(grids.get(last, ()))[count:]
    if not count or letters[-2:] == ("Q", "K") or len(behind) != 1:
        return look, letters, grids
    return look[..., count:], letters, {**grids, last: behind[0]}


@dataclass(frozen=True)
class Windows:
    """Weights of one image within windows.

    Args:
        weights: `h Q X`.
        places: `Q X`, the number of each key among the places of the plane, -1 outside the image.
        grid: H, W of the queries.
        plane: H, W of the keys.
    """

    weights: Tensor
    places: Tensor
    grid: tuple[int, int]
    plane: tuple[int, int]

    def received(self) -> Tensor:
        """What each place receives of all queries, their mean: `h H W`."""
        return self._scattered(self.weights.flatten(1), self.places.flatten()) / self.weights.shape[1]

    def of(self, query: int) -> Tensor:
        """Where one query attends to, the mean of the heads: `H W`."""
        return self._scattered(self.weights[:, query], self.places[query]).mean(0)

    def strongest(self) -> int:
        """The query with the largest single weight."""
        return int(self.weights.mean(0).amax(1).argmax())

    def _scattered(self, weights: Tensor, places: Tensor) -> Tensor:
        """Weights at numbered places added up: `h N`, `N` -> `h H W`."""
        inside = places >= 0
        found = weights.new_zeros(len(weights), math.prod(self.plane))
        placed: Tensor = found.index_add_(1, places[inside], weights[:, inside]).unflatten(1, self.plane)
        return placed


def windows_of(
    look: Tensor, letters: tuple[str, ...], grids: Mapping[str, Grid], places: Tensor | None
) -> Windows | None:
    """The weights of one image within windows; None if it is not known where their keys lie."""
    grid, plane = plane_of(grids.get("Q")), plane_of(grids.get("K"))
    if places is None or letters[-2:] != ("Q", "X") or grid is None or plane is None:
        return None
    values = look[0].detach()
    values = values if values.dtype == torch.float64 else values.float()
    values = values.flatten(0, -3) if values.dim() > 2 else values[None]
    return Windows(values, places.to(values.device).long(), grid, plane)
