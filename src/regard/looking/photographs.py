"""The attention maps of a network, drawn over photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from regard.data import images
from regard.saved.opening import Network, open_network
from regard.viewing import draw
from regard.viewing.sheet import sheet

LONGEST = 800  # pixels: larger photographs are reduced for a system


@dataclass(frozen=True)
class Looks:
    """The result of `look`.

    Args:
        pictures: the files that were written.
        trained: whether the attention has trained weights, or no parameters to train.
        changed: the arguments that differ from those of the training, as text.
    """

    pictures: tuple[Path, ...]
    trained: bool
    changed: tuple[str, ...] = ()


def look(
    photographs: str | Path | Sequence[str | Path],
    mechanism: str | None = None,
    *,
    backbone: str | None = None,
    weights: str | Path | None = None,
    pretrained: bool = False,
    after: str | Sequence[str] | None = None,
    image_size: int | None = None,
    out: str | Path = "regard-look",
    kwargs: Mapping[str, Any] | None = None,
    **more: Any,
) -> Looks:
    """Draws all attention maps of a network over photographs, as one picture file for each photograph.

        looks = regard.look("photo.jpg", "cbam", backbone="resnet18", weights="trained.safetensors")
        print(looks.pictures, looks.trained)

    Args:
        photographs: one image file or several.
        mechanism, backbone, weights, pretrained, after: as for `regard.saved.opening.open_network`.
        image_size: side in pixels of the middle square, for a backbone; None uses the backbone's own size. For a
            system, the longer side of the whole photograph; None uses the size of its training, if the weights give it,
            or the photograph's own size, up to 800.
        out: the folder of the pictures, created if needed; a number is added to a file name that exists already.
        kwargs, more: arguments of the mechanism or system; `kwargs` can also hold those that have the name of an
            argument of this function.

    Raises:
        LookupError, FileNotFoundError, ValueError: as `open_network`; a photograph cannot be read.
    """
    paths = [Path(path) for path in ([photographs] if isinstance(photographs, str | Path) else photographs)]
    out = Path(out)
    network = open_network(
        mechanism,
        backbone=backbone,
        weights=None if weights is None else Path(weights),
        pretrained=pretrained,
        after=[after] if isinstance(after, str) else after,
        image_size=image_size,
        kwargs={**(kwargs or {}), **more},
    )
    with images.quiet():
        read = [_read(path, network, image_size) for path in paths]
    untrained = "untrained" if network.entry.system else "untrained attention"
    state = ", ".join([network.name, *([] if network.trained else [untrained]), *network.changed])
    written = []
    for path, (shown, seen) in zip(paths, read, strict=True):
        try:
            maps = network.look(seen)
        except ValueError as error:  # too small for the network
            raise ValueError(f"{path}: {error}") from error
        page = sheet(draw(maps, shown.float() / 255), f"{path.name}: {state}")
        out.mkdir(parents=True, exist_ok=True)
        target = _free(out / f"{path.stem}-{network.entry.name}.png")
        page.save(target)
        written.append(target)
    return Looks(tuple(written), network.trained, network.changed)


def _read(path: Path, network: Network, longer: int | None) -> tuple[Tensor, Tensor]:
    """The image to draw on and the network's input: the middle square for a backbone, the whole image for a system."""
    if not network.entry.system:
        assert network.size is not None
        square = images.read(path, network.size[0]).pixels
        return square, square
    shown = images.whole(path, scaled(images.measured(path), longer, LONGEST)).pixels
    return shown, shown if network.size is None else images.whole(path, network.size).pixels


def scaled(measured: tuple[int, int], longer: int | None, most: int | None = None) -> tuple[int, int]:
    """Height and width of a photograph that is scaled to a longer side.

    Args:
        measured: width and height of the photograph.
        longer: the longer side, in pixels; None keeps its own.
        most: the longest side if `longer` is None.
    """
    width, height = measured
    own = max(measured)
    factor = (longer or min(own, most or own)) / own
    return max(1, round(height * factor)), max(1, round(width * factor))


def _free(path: Path) -> Path:
    number = 1
    candidate = path
    while candidate.exists():
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate
