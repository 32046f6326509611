"""Places that a captioner looks at: those of a map, or regions of which some may be padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regard.checks import check_input, choice, flag, positive
from regard.networks.captioner import Encoder
from regard.networks.dilated import STRIDES
from regard.ops.precision import wide_linear, wide_norm, widened


def trunk_of(channels: int, backbone: str | None, output_stride: int, regions: bool) -> Encoder | None:
    """The image encoder of a captioner; None where the places are given.

    Raises: ValueError if an argument is out of range, or regions are asked of a backbone; LookupError if there is no
        such backbone.
    """
    positive("channels", channels), flag("regions", regions), choice("output_stride", output_stride, STRIDES)
    if backbone is None:
        return None
    encoder = Encoder(backbone, channels, output_stride=output_stride)
    if regions:
        raise ValueError(f"regions={regions!r}: False is needed with a backbone")
    return encoder


def fields_of(encoder: Encoder | None, regions: bool) -> tuple[str, ...]:
    """The fields of a batch that a captioner of places sees."""
    if encoder is not None:
        return ("image",)
    return ("features", "features_mask") if regions else ("features",)


def places_of(seen: Tensor, visible: Tensor | None, encoder: Encoder | None, channels: int, regions: bool) -> Tensor:
    """The places, `B H W C` of an image or a map, or regions `B N C`. Raises: ValueError for inputs of other shapes."""
    if regions:
        return regions_of(seen, channels, visible)
    return grid_of(seen if encoder is None else encoder(seen), channels)


def grid_of(seen: Tensor, channels: int) -> Tensor:
    """A map `B C H W` -> its places `B H W C`. Raises: ValueError for another shape."""
    check_input(seen, "B C H W", C=channels)
    return seen.permute(0, 2, 3, 1)


def regions_of(seen: Tensor, channels: int, visible: Tensor | None) -> Tensor:
    """Regions `B N C`, as they are. Raises: ValueError for another shape, or a mask that is not of booleans."""
    check_input(seen, "B N C", C=channels)
    if visible is not None:
        check_input(visible, "B N", B=seen.shape[0], N=seen.shape[1])
        if visible.dtype is not torch.bool:
            raise ValueError(f"mask of {visible.dtype}: booleans are needed, True where there is a region")
    return seen


def mean_of(places: Tensor, visible: Tensor | None) -> Tensor:
    """The mean of the visible places; zeros where there is none: `B N C`, `bool B N` -> `B C`."""
    places = widened(places)
    if visible is None:
        return places.mean(1)
    there = visible[..., None]
    total: Tensor = places.masked_fill(~there, 0).sum(1) / there.sum(1).clamp(min=1)
    return total


class EmbeddedPlaces(nn.Module):
    """A layer with a rectifier for every place, with batch norms before and behind it where there are any.

    Args:
        channels: of the places.
        width: of the result.
        dropout: probability that a value is dropped.
        norms: 0, 1 (before) or 2 (before and behind); they count the visible places only.
    """

    def __init__(self, channels: int, width: int, *, dropout: float, norms: int = 0) -> None:
        super().__init__()
        self.before = nn.BatchNorm1d(channels) if norms else None
        self.linear = nn.Linear(channels, width)
        self.dropout = nn.Dropout(dropout)
        self.behind = nn.BatchNorm1d(width) if norms == 2 else None

    def forward(self, places: Tensor, visible: Tensor | None = None) -> Tensor:
        """`B * channels`, `bool B *` -> `B * width`, zeros where nothing is visible."""
        if visible is not None and self.before is not None and self.before.training:  # padding is in no statistics
            rows = self._rows(places[visible])
            return rows.new_zeros(*places.shape[:-1], rows.shape[1]).masked_scatter(visible[..., None], rows)
        embedded: Tensor = self._rows(places.flatten(0, -2)).unflatten(0, places.shape[:-1])
        return embedded if visible is None else embedded.masked_fill(~visible[..., None], 0)

    def _rows(self, rows: Tensor) -> Tensor:
        rows = widened(rows)
        if self.before is not None:
            rows = wide_norm(self.before, rows)
        embedded: Tensor = self.dropout(wide_linear(self.linear, rows).relu())
        return embedded if self.behind is None else wide_norm(self.behind, embedded)
