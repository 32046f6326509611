"""Draws the pictures of itti.md, as `regard look` draws them, from photographs that come with scikit-image.

python docs/itti.py docs/images
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from skimage import data

from regard.looking.photographs import look


def pictures(folder: Path) -> None:
    """Writes one JPEG for each photograph: itti-NAME.jpg."""
    with TemporaryDirectory() as place:
        photographs = []
        for name in ("coffee", "chelsea", "astronaut"):
            photographs.append(Path(place) / f"{name}.png")
            Image.fromarray(getattr(data, name)()).save(photographs[-1])
        looks = look(photographs, "itti", out=Path(place) / "sheets")
        for photograph, sheet in zip(photographs, looks.pictures, strict=True):
            Image.open(sheet).convert("RGB").save(folder / f"itti-{photograph.stem}.jpg", quality=80, optimize=True)


if __name__ == "__main__":
    pictures(Path(sys.argv[1]))
