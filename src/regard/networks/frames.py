"""Parts of networks that read a clip frame by frame: the map of every frame, and a long short-term memory."""

from __future__ import annotations

from torch import Tensor, nn

from regard.checks import check_input
from regard.networks.captioner import Encoder
from regard.ops.precision import wide_linear


def maps_of(clip: Tensor, channels: int, encoder: Encoder | None) -> Tensor:
    """The map of every frame, by an image encoder that sees one frame at a time; without one the clip itself.

    Args:
        clip: a clip, or the maps of its frames.
        channels: of the clip.
        encoder: of images; None where the clip holds maps.

    Shapes: clip `B channels T H W` -> `B T h w D`.
    Raises: ValueError for a clip of another shape.
    """
    check_input(clip, "B C T H W", C=channels)
    if encoder is None:
        return clip.permute(0, 2, 3, 4, 1)
    frames = clip.transpose(1, 2)
    maps: Tensor = encoder(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
    return maps.permute(0, 1, 3, 4, 2)


class Memory(nn.Module):
    """A long short-term memory of one step, with input, forget, candidate and output gate in this order, one bias each.

    Args:
        channels: of the input.
        hidden: width of the memory.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.input = nn.Linear(channels, 4 * hidden)
        self.state = nn.Linear(hidden, 4 * hidden, bias=False)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The next output and cell: `B channels`, twice `B hidden` -> two of `B hidden`, in float32 or wider."""
        i, f, g, o = (wide_linear(self.input, x) + wide_linear(self.state, h)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
