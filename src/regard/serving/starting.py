"""What the page has when it opens: the first network, ready, and photographs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from regard.looking import examples
from regard.serving.networks import Networks
from regard.serving.studio import UPLOAD, Studio

DRAWN = 6  # images of the shipped network


def studio(networks: Networks, photographs: Sequence[Path] = ()) -> Studio:
    """A session whose first network has run once, so that the page's first pass takes no longer than the next.

    Args:
        networks: what can be opened.
        photographs: files, read with the limits of those that are dropped. Where none are given and the first network
            is the shipped one, it gets images of its own.

    Raises: FileNotFoundError, UnreadableImage, ValueError for a photograph; as `Named.open` for the network.
    """
    made = Studio(networks)
    first = networks.command[0]
    networks.open(first)
    for path in photographs:
        if path.stat().st_size > UPLOAD:
            raise ValueError(f"{path}: up to {UPLOAD // 2**20} MB are accepted")
        try:
            made.add(path.read_bytes(), path.name)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    if not photographs and first.weights == examples.weights():
        drawn = examples.images(DRAWN)
        for number in range(DRAWN):
            picture = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(drawn.pixels(number).permute(1, 2, 0).numpy())).save(picture, "PNG")
            made.add(picture.getvalue(), f"{drawn.name(number)}.png")
    if made.photographs():
        made.run({"model": {"run": 0}, "image": made.photographs()[0].id})
    return made
