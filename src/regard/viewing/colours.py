"""A perceptual colour scale, from dark violet over red to pale yellow.

The path is drawn in OKLab (Ottosson 2020, "A perceptual color space for image processing"), clipped to what a screen
can show, and walked in equal steps: equal differences of attention look equally different, lightness only rises, so the
scale survives a greyscale print and the common colour blindnesses.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

# OKLab to the cube roots of the cone responses, and the cone responses to linear sRGB.
_LAB_TO_CONES = np.array(
    [[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728], [1.0, -0.0894841775, -1.2914855480]]
)
_CONES_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def _linear_rgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    rgb: NDArray[np.float64] = (lab @ _LAB_TO_CONES.T) ** 3 @ _CONES_TO_RGB.T
    return rgb


def _path(steps: int) -> NDArray[np.float64]:
    """OKLab points [steps, 3] along the scale, inside the gamut of sRGB."""
    t = np.linspace(0, 1, steps)
    lightness = 0.17 + 0.79 * t
    hue = np.deg2rad(285 + 180 * t)
    direction = np.stack([np.cos(hue), np.sin(hue)], 1)
    low, high = np.zeros(steps), 0.02 + 0.22 * np.sin(np.pi * np.clip(0.06 + 0.86 * t, 0, 1))
    for _ in range(40):  # the largest chroma the screen can show at this lightness and hue, by bisection
        chroma = (low + high) / 2
        rgb = _linear_rgb(np.column_stack([lightness, chroma[:, None] * direction]))
        fits = ((rgb >= 0) & (rgb <= 1)).all(1)
        low, high = np.where(fits, chroma, low), np.where(fits, high, chroma)
    return np.column_stack([lightness, low[:, None] * direction])


@cache
def scale() -> NDArray[np.uint8]:
    """The colours of 256 equally spaced values, sRGB [256, 3]; read-only."""
    dense = _path(4096)
    walked = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))])
    even = np.linspace(0, walked[-1], 256)
    lab = np.column_stack([np.interp(even, walked, dense[:, axis]) for axis in range(3)])
    linear = _linear_rgb(lab).clip(0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    colours = np.round(255 * srgb).astype(np.uint8)
    colours.setflags(write=False)
    return colours
