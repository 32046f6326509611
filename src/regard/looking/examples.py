"""A small trained network that comes with the library, and images that it has not been trained on.

`regard train gated-sononet-digits` trained it (papers/sononet/recipe.py). Its file is model.safetensors of that run.
"""

from __future__ import annotations

from pathlib import Path

from regard.data.digits import SIZE, TEST_SHARE, Digits, handwritten
from regard.data.dividing import divide
from regard.data.shipped import shipped

FILE = "looking/gated_sononet_digits.safetensors"
COMMAND = "regard train gated-sononet-digits"
PART = 2  # of the key of the images: 0 and 1 are those of the training and of its test


def weights() -> Path:
    """The file of the network's weights. Raises: FileNotFoundError if the installation lacks it."""
    return shipped("regard", FILE)


def images(count: int = 4, *, seed: int = 0) -> Digits:
    """New cluttered digits, made from handwritten digits that the network's training images never show.

    Args:
        count: the number of images; image i shows digit i mod 10.
        seed: the seed of the images.
    """
    greys, labels = handwritten()
    _, test = divide(labels.tolist(), TEST_SHARE, 0)  # as the recipe divides them
    return Digits(greys[test], labels[test], count=count, size=SIZE, key=(seed, PART))
