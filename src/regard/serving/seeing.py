"""What a network sees of a photograph."""

from __future__ import annotations

import io

from torch import Tensor

from regard.data import images
from regard.data.images import Source
from regard.looking.photographs import LONGEST, scaled
from regard.saved.opening import Network


def seen(network: Network, photograph: Source) -> Tensor:
    """The pixels that a network sees, uint8 `3 H W`: the middle square for a backbone, the whole image for a system.

    Args:
        network: the network.
        photograph: an image file, or the content of one.

    Raises: UnreadableImage.
    """
    with images.quiet():
        if not network.system:
            assert network.size is not None
            return images.read(photograph, network.size[0]).pixels
        size = network.size or scaled(images.measured(photograph), None, LONGEST)
        if isinstance(photograph, io.BytesIO):
            photograph.seek(0)
        return images.whole(photograph, size).pixels
