"""Reading untrusted image files: accepted formats, the pixel limit, and the conversion to a square RGB image.

The list of formats excludes rare and risky decoders. The pixel limit is needed because the file size bounds nothing: a
PNG of 164 KB can hold 169 megapixels.
"""

from __future__ import annotations

import io
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
PIXEL_LIMIT = 64_000_000

# Suffixes of image files. The last row has formats that are not read: such files are reported, not ignored.
SUFFIXES = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif"),
        *(".ppm", ".pgm", ".pbm", ".pnm"),
        *(".avif", ".heic", ".heif", ".jp2", ".jxl", ".psd", ".svg", ".tga", ".exr", ".hdr", ".dng", ".cr2", ".nef"),
    )
)

# The value of EXIF tag 0x0112 -> the transposition that makes the stored pixels upright.
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPPED = [turn for orientation, turn in _UPRIGHT.items() if orientation >= 5]  # width and height are exchanged

_quiet = threading.RLock()

Source = Path | io.BytesIO  # an image file, or the content of one


class UnreadableImage(ValueError):
    """An image file that cannot be used.

    Args:
        path: the file, or the content of one, which has no name.
        reason: why it cannot be used.
    """

    def __init__(self, path: Source | str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = Path("the image") if isinstance(path, io.BytesIO) else Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


@dataclass(frozen=True)
class Fit:
    """The crop and resize that images, boxes and masks share: the middle square, resized.

    Args:
        width, height: the size of the upright image, in pixels.
        size: the side of the output square, in pixels.
    """

    width: int
    height: int
    size: int

    @property
    def square(self) -> tuple[float, float, float, float]:
        """The middle square of the image: left, top, right, bottom."""
        side = min(self.width, self.height)
        left, top = (self.width - side) / 2, (self.height - side) / 2
        return left, top, left + side, top + side

    def point(self, x: float, y: float) -> tuple[float, float]:
        """The coordinates of a point of the image in the output square."""
        left, top, right, _ = self.square
        scale = self.size / (right - left)
        return (x - left) * scale, (y - top) * scale

    def resize(self, image: Image.Image, reduced: int = 1) -> Image.Image:
        """Crops and resizes an image that is already smaller by `reduced`, bilinear with antialiasing."""
        left, top, right, bottom = (edge / reduced for edge in self.square)
        return image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=(left, top, right, bottom))


@dataclass(frozen=True)
class Picture:
    """The pixels of an image file as they are used, and the size of the image in the file.

    Args:
        pixels: uint8 `3 S S`, or `3 H W` for a whole image.
        width, height: the size of the upright image in the file.
    """

    pixels: Tensor
    width: int
    height: int


def shown(path: Path | str) -> str:
    """A path as printable text: bytes of a file name that are not text become question marks."""
    return str(path).encode("utf-8", "replace").decode("utf-8")


@contextmanager
def quiet() -> Iterator[None]:
    """Ignores warnings in the block, as Pillow's about unusual files; errors are still raised.

    Warning filters hold for the whole process, so one thread at a time enters; thread pools are started in the block.
    """
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read(path: Source, size: int, foot: int = 0) -> Picture:
    """Reads the middle square of the first frame of an image file, as RGB.

    The EXIF orientation is applied, transparent pixels become white, 16-bit greys keep their upper 8 bits. To be called
    inside `quiet()`.

    Args:
        path: a file in one of `FORMATS`, whatever its suffix, or the content of one.
        size: output height and width, in pixels.
        foot: rows at the bottom of the upright image that are left out, as a banner.

    Raises: UnreadableImage, also if the image has no more than `foot` rows.
    """
    with _decoding(path) as image:
        stored = image.size
        # A JPEG decodes faster at 1/2, 1/4 or 1/8 of its size; twice the output size is kept for the filter.
        draft = image.draft(None, (2 * size, 2 * size))
        image.load()
        turn = _turn(image)
        width, height = stored if draft else image.size  # older Pillows rotate a TIFF, and its size, only now
        reduced = round(width / draft[1][2]) if draft else 1
        pixels = _rgb(image)
        if foot and turn is not None:  # without a foot the middle square is the same before and after
            pixels = pixels.transpose(turn)
            width, height, turn = (height, width, None) if turn in _SWAPPED else (width, height, None)
        if height <= foot:
            raise UnreadableImage(path, f"it has {height} rows, and {foot} at its bottom are left out")
        square = Fit(width, height - foot, size).resize(pixels, reduced=reduced)
        if turn is not None:
            square = square.transpose(turn)
    width, height = (height, width) if turn in _SWAPPED else (width, height)
    return Picture(_tensor(square), width, height)


def whole(path: Source, size: tuple[int, int] | None = None) -> Picture:
    """Reads the whole first frame of an image file, as RGB, resized if a size is given.

    To be called inside `quiet()`.

    Args:
        path: a file in one of `FORMATS`, whatever its suffix, or the content of one.
        size: output height and width, in pixels; None keeps the image's own.

    Returns: pixels uint8 `3 H W`, and the size of the upright image in the file.
    Raises: UnreadableImage.
    """
    with _decoding(path) as image:
        image.load()
        turn = _turn(image)
        upright = _rgb(image if turn is None else image.transpose(turn))
        width, height = upright.size
        if size is not None and size != (height, width):
            upright = upright.resize(size[::-1], Image.Resampling.BILINEAR)
    return Picture(_tensor(upright), width, height)


def measured(path: Source) -> tuple[int, int]:
    """Width and height of the upright image, read from the header of its file. To be called inside `quiet()`.

    Raises: UnreadableImage.
    """
    with _decoding(path) as image:
        width, height = image.size
        turned = _turn(image) in _SWAPPED and image.format != "TIFF"
    return (height, width) if turned else (width, height)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Reads a mask file: bool `H W`, true where a pixel is not zero. To be called inside `quiet()`.

    The values of a palette image are its indices. Transparent pixels count as zero.

    Raises: UnreadableImage.
    """
    with _decoding(path) as image:
        image.load()
        turn = _turn(image)
        if turn is not None:
            image = image.transpose(turn)
        values = np.atleast_3d(np.array(image)) != 0
        inside: NDArray[np.bool_] = values.any(-1)
        if image.mode in ("RGBA", "LA"):
            inside = values[..., :-1].any(-1) & values[..., -1]
        return inside


def read_values(path: Path) -> NDArray[Any]:
    """Reads the values of a label file as they are stored: `H W`, or `H W 3` of an RGB image. To be called inside
    `quiet()`.

    The values of a palette image are its indices, those of a black and white one 0 and 1. An alpha channel is left out.

    Raises: UnreadableImage.
    """
    with _decoding(path) as image:
        image.load()
        turn = _turn(image)
        if turn is not None:
            image = image.transpose(turn)
        if image.mode in ("RGBA", "LA"):
            image = image.convert(image.mode[:-1])
        if image.mode not in ("1", "L", "P", "RGB") and not image.mode.startswith("I"):
            raise UnreadableImage(path, f"its pixels are {image.mode}: whole numbers or RGB are needed for labels")
        return np.array(image)


def to_square(image: Image.Image, size: int) -> Tensor:
    """The middle square of an RGB image, resized: uint8 `3 S S`."""
    return _tensor(Fit(*image.size, size).resize(image))


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


@contextmanager
def _decoding(path: Source) -> Iterator[Image.Image]:
    """Opens an image file, or the content of one; every error, here or in the block, is raised as UnreadableImage."""
    try:
        if isinstance(path, io.BytesIO):
            size = path.getbuffer().nbytes
        else:
            facts = path.stat()
            if not stat.S_ISREG(facts.st_mode):
                raise UnreadableImage(path, "not a regular file")
            size = facts.st_size
        if size == 0:
            raise UnreadableImage(path, "the file is empty")
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > PIXEL_LIMIT:
                raise UnreadableImage(
                    path,
                    f"{width}×{height} is {width * height / 1e6:.0f} megapixels; up to {PIXEL_LIMIT // 10**6} are read",
                )
            yield image
    except UnreadableImage:
        raise
    except Image.DecompressionBombError:
        raise UnreadableImage(path, f"too many pixels; up to {PIXEL_LIMIT // 10**6} megapixels are read") from None
    except Image.UnidentifiedImageError:
        raise UnreadableImage(path, f"not an image in a format that is read ({', '.join(FORMATS)})") from None
    except FileNotFoundError:
        raise UnreadableImage(path, "no such file, or a broken link") from None
    except PermissionError:
        raise UnreadableImage(path, "no permission to read it") from None
    except Exception as error:
        # Decoders raise many types for damaged files: struct.error, SyntaxError, IndexError, KeyError, …
        raise UnreadableImage(path, f"damaged: {str(error).strip() or type(error).__name__}") from error


def _turn(image: Image.Image) -> Image.Transpose | None:
    """The transposition that makes a decoded image upright, or None. Pillow has already rotated a TIFF."""
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # an image with a damaged EXIF block is still usable
        return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = _wide_grey(image)
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert("RGB")


def _wide_grey(image: Image.Image) -> Image.Image:
    """Scales greys of 16 or 32 bits to 8 bits; Pillow's own conversion would clip them."""
    values = np.array(image)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 65535):  # false for NaN
        raise ValueError(
            f"its values are from {low:g} to {high:g}; greys from 0 to 65535, or from 0 to 1 as fractions, are needed"
        )
    if values.dtype.kind == "f":
        full = 1 if high <= 1 else 255 if high <= 255 else 65535
    else:
        full = 65535
    return Image.fromarray(np.rint(values.astype(np.float64) * (255 / full)).astype(np.uint8))
