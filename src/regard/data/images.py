"""Opening image files that strangers made: what is read, up to what size, and how it becomes square RGB.

The allow-list keeps rare and risky decoders out. The pixel limit is needed because size on disk says nothing: a PNG of
164 KB can hold 169 megapixels.
"""

from __future__ import annotations

import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
PIXEL_LIMIT = 64_000_000

# Names of image files. The last row holds formats that are not read: such files are reported, not passed over.
SUFFIXES = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif"),
        *(".ppm", ".pgm", ".pbm", ".pnm"),
        *(".avif", ".heic", ".heif", ".jp2", ".jxl", ".psd", ".svg", ".tga", ".exr", ".hdr", ".dng", ".cr2", ".nef"),
    )
)

# EXIF tag 0x0112 -> what brings the stored pixels upright.
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
_SWAPPED = [turn for orientation, turn in _UPRIGHT.items() if orientation >= 5]  # width and height change places

_quiet = threading.RLock()


class UnreadableImage(ValueError):
    """An image file that cannot be used.

    Args:
        path: the file.
        reason: what is wrong with it, in plain words.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


@dataclass(frozen=True)
class Fit:
    """The one geometry of image, box and mask: the middle square, resized.

    Args:
        width, height: of the upright image, in pixels.
        size: of the square that comes out, in pixels.
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
        """Where a point of the image comes to lie in the square."""
        left, top, right, _ = self.square
        scale = self.size / (right - left)
        return (x - left) * scale, (y - top) * scale

    def resize(self, image: Image.Image, reduced: int = 1) -> Image.Image:
        """Bilinear and antialiased, crop and resize in one step; `image` may come smaller by a power of two."""
        left, top, right, bottom = (edge / reduced for edge in self.square)
        return image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=(left, top, right, bottom))


@dataclass(frozen=True)
class Picture:
    """An image as it is used, and its own size.

    Args:
        pixels: uint8 `3 S S`, or `3 H W` of a whole image.
        width, height: of the upright image in the file.
    """

    pixels: Tensor
    width: int
    height: int


def shown(path: Path | str) -> str:
    """A path that can be printed: bytes that are no text, which file names may hold, become question marks."""
    return str(path).encode("utf-8", "replace").decode("utf-8")


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Pillow's remarks about odd files to itself; what matters is raised.

    The warning filters belong to the whole process, so one thread at a time; a pool of threads is started inside.
    """
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read(path: Path, size: int) -> Picture:
    """The first frame of an image file as an RGB square.

    EXIF orientation is honoured, transparency becomes white, 16-bit greys keep their upper 8 bits. To be called inside
    `quiet()`.

    Args:
        path: a file in one of `FORMATS`, whatever its name says.
        size: height and width to come out, in pixels.

    Raises: UnreadableImage.
    """
    with _decoding(path) as image:
        stored = image.size
        # A JPEG decodes at 1/2, 1/4 or 1/8 for a fraction of the time; twice what is needed is left for the filter.
        draft = image.draft(None, (2 * size, 2 * size))
        image.load()
        fit = Fit(*(stored if draft else image.size), size)  # older Pillows turn a TIFF, and its size, only now
        square = fit.resize(_rgb(image), reduced=round(fit.width / draft[1][2]) if draft else 1)
        turn = _turn(image)
        if turn is not None:
            square = square.transpose(turn)  # the middle square stays the middle square
    width, height = (fit.height, fit.width) if turn in _SWAPPED else (fit.width, fit.height)
    return Picture(_tensor(square), width, height)


def whole(path: Path, size: tuple[int, int] | None = None) -> Picture:
    """All of the first frame, stretched where a size is given. To be called inside `quiet()`.

    Args:
        path: a file in one of `FORMATS`, whatever its name says.
        size: height and width to come out, in pixels; None keeps the image's own.

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


def measured(path: Path) -> tuple[int, int]:
    """Width and height of the upright image, from its header alone. To be called inside `quiet()`.

    Raises: UnreadableImage.
    """
    with _decoding(path) as image:
        width, height = image.size
        turned = _turn(image) in _SWAPPED and image.format != "TIFF"
    return (height, width) if turned else (width, height)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """A mask file: bool `H W`, true where a pixel is not zero. To be called inside `quiet()`.

    A palette counts by its indices. With transparency, transparent pixels are zero.

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


def to_square(image: Image.Image, size: int) -> Tensor:
    """The middle square of an RGB image, resized: uint8 `3 S S`."""
    return _tensor(Fit(*image.size, size).resize(image))


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


@contextmanager
def _decoding(path: Path) -> Iterator[Image.Image]:
    """Opens a file and turns whatever goes wrong, here or in the block, into UnreadableImage."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise UnreadableImage(path, "not a regular file")
        if facts.st_size == 0:
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
        # Decoders fail on damaged files in every way there is: struct.error, SyntaxError, IndexError, KeyError, …
        raise UnreadableImage(path, f"damaged: {str(error).strip() or type(error).__name__}") from error


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What brings a decoded image upright, if it is not. Pillow has already turned a TIFF."""
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block is no reason to lose the picture
        return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = _wide_grey(image)
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert("RGB")


def _wide_grey(image: Image.Image) -> Image.Image:
    """Greys of 16 or 32 bits on the scale of 8, which Pillow's own conversion would only clip."""
    values = np.array(image)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 65535):  # also when there is a NaN
        raise ValueError(
            f"its values go from {low:g} to {high:g}; greys are read from 0 to 65535, or 0 to 1 if fractional"
        )
    if values.dtype.kind == "f":
        full = 1 if high <= 1 else 255 if high <= 255 else 65535
    else:
        full = 65535
    return Image.fromarray(np.rint(values.astype(np.float64) * (255 / full)).astype(np.uint8))
