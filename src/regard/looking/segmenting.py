"""What a segmentation network says of a photograph: label map, confidence, and the difference to a true label map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from regard.data.images import measured, quiet
from regard.data.label_files import Coding
from regard.data.label_layouts import CITYSCAPES_IDS
from regard.data.label_names import CITYSCAPES, PALETTE_CLASSES, PALETTES, Colour, apart
from regard.metrics.segmentation import VOID, Segmentation
from regard.saved.opening import Network
from regard.tasks.inference import label_map
from regard.viewing import label_maps
from regard.viewing.painting import mark, overlay, staged
from regard.viewing.pictures import SIDE, Picture

LISTED = 12  # classes in the legend


@dataclass(frozen=True)
class Said:
    """The answer of a segmentation network for one photograph.

    Args:
        probabilities: of each class and pixel, at the size of the network's input.
        names: of the classes.
        trained: whether the network has trained weights.

    Shapes: probabilities `K H W`.
    """

    probabilities: Tensor
    names: tuple[str, ...]
    trained: bool

    @property
    def shares(self) -> list[float]:
        """The share of the pixels that each class is given."""
        labels = self.probabilities.argmax(0).flatten()
        return (torch.bincount(labels, minlength=len(self.names)).double() / len(labels)).tolist()

    @property
    def order(self) -> dict[int, str]:
        """Number and name of every class, those with the most pixels in front."""
        shares = self.shares
        return {i: self.names[i] for i in sorted(range(len(shares)), key=lambda i: (-shares[i], i))}

    def pictures(self, image: Tensor, *, at: tuple[float, float] | None, truth: Tensor | None) -> list[Picture]:
        """Draws the answer over the photograph.

        Args:
            image: the photograph, `3 H W` in 0..1.
            at: a clicked place (x, y) in 0..1, of which the probabilities are said.
            truth: the true classes in the file's own size, `H W`, 255 for void.
        """
        stage, colours = staged(image, SIDE), colours_of(self.names)
        height, width = stage.height, stage.width
        labels = label_map(self.probabilities, height, width)
        shares = self.shares
        legend = {
            name: (colours[i], _percent(shares[i])) for i, name in [*self.order.items()][:LISTED] if shares[i] > 0
        }
        drawn = label_maps.over(stage, labels, colours)
        sure = self.probabilities.amax(0)
        heat = overlay(stage, sure, low=1 / len(self.names), high=1.0)
        words = f"mean {_percent(float(sure.mean()))}; probability of the class that is said"
        if at is not None:
            drawn, heat = mark(drawn, *at), mark(heat, *at)
            words = f"at the ring: {self._there(at)}"
        shown = sum(share > 0 for share in shares)
        said = f"{shown} of {len(self.names)} classes, with their shares of the pixels"
        pictures = [
            Picture("label map", label_maps.with_legend(drawn, legend), said),
            Picture("confidence", heat, words, (1 / len(self.names), 1.0), (float(sure.min()), float(sure.max()))),
        ]
        return pictures if truth is None else [*pictures, *self._compared(stage, truth)]

    def _there(self, at: tuple[float, float]) -> str:
        height, width = self.probabilities.shape[1:]
        here = self.probabilities[:, min(int(at[1] * height), height - 1), min(int(at[0] * width), width - 1)]
        best = here.topk(min(3, len(here)))
        return ", ".join(
            f"{self.names[i]} {_percent(float(p))}" for i, p in zip(best.indices, best.values, strict=True)
        )

    def _compared(self, stage: Image.Image, truth: Tensor) -> list[Picture]:
        """The truth, and where the label map differs from it; scored in the file's own size."""
        colours = colours_of(self.names)
        labels = label_map(self.probabilities, *truth.shape)
        there = [i for i in range(len(self.names)) if bool((truth == i).any())]
        known = truth != VOID
        legend = {
            self.names[i]: (colours[i], _percent(float((truth[known] == i).double().mean()))) for i in there[:LISTED]
        }
        drawn = label_maps.with_legend(label_maps.over(stage, truth, colours), legend)
        pictures = [Picture("truth", drawn, f"{len(there)} classes, {_percent(float((~known).double().mean()))} void")]
        if not known.any():
            return pictures
        metric = Segmentation(len(self.names))
        metric.update([labels], [truth])
        found = metric.compute()
        wrong = label_maps.different(stage, labels, truth)
        facts = f"{_percent(1 - found['pixel_accuracy'])} of the pixels are wrong; mIoU {_percent(found['miou'])}"
        return [*pictures, Picture("difference to the truth", wrong, f"{facts}; red is wrong, grey is void")]


def said_of(network: Network, returned: object, size: tuple[int, int]) -> Said | None:
    """The answer of a segmentation network; None for other networks.

    Args:
        network: the network.
        returned: what it returned for one photograph.
        size: height and width of its input.
    """
    if network.entry is None or not network.system or "segmentation" not in network.entry.tasks:
        return None
    first = returned[0] if isinstance(returned, tuple | list) and returned else returned
    if not isinstance(first, Tensor) or first.dim() != 4 or tuple(first.shape[2:]) != size or first.shape[1] < 2:
        return None
    logits = first[0].double() if first.dtype == torch.float64 else first[0].float()
    names = network.class_names or tuple(f"class {i}" for i in range(len(logits)))
    return Said(logits.softmax(0), tuple(names), not network.untrained)


def true_labels(path: Path, photograph: Path, names: Sequence[str]) -> Tensor:
    """Reads the true label map of a photograph: int64 `H W`.

    The values are the classes, and 255 is void; in a file of CamVid 11 is void as well, and files of Cityscapes called
    `…_labelIds` have the ids of its 34 labels.

    Raises: ValueError naming the file, if it is damaged, has a label that is no class, or another size than the
        photograph.
    """
    with quiet():
        found = Coding(tuple(names), tuple(colours_of(names)), _values(path, names), _palette(names)).read(path)
        width, height = measured(photograph)
    if found.shape != (height, width):
        raise ValueError(
            f"{path}: the labels have {found.shape[1]}×{found.shape[0]}, and their image {photograph} "
            f"{width}×{height}: one size is needed"
        )
    return torch.from_numpy(found.copy()).long()


def colours_of(names: Sequence[str]) -> list[Colour]:
    """The colours of the classes: those of a published dataset with these classes, or colours that differ."""
    palette = _palette(names)
    if palette is None:
        return list(apart(len(names)))
    by_class = {label: colour for colour, label in palette.items() if label != VOID}
    return [by_class[label] for label in range(len(names))]


def _palette(names: Sequence[str]) -> dict[Colour, int] | None:
    found = next((name for name, classes in PALETTE_CLASSES.items() if tuple(classes) == tuple(names)), None)
    return None if found is None else dict(PALETTES[found])


def _values(path: Path, names: Sequence[str]) -> dict[int, int] | None:
    """Stored value -> class where they differ; None where the values are the classes."""
    if tuple(names) == PALETTE_CLASSES["camvid"]:
        return {label: label for label in range(len(names))} | {len(names): VOID}
    if tuple(names) == PALETTE_CLASSES["cityscapes"] and path.stem.endswith("_labelIds"):
        return dict.fromkeys(range(CITYSCAPES_IDS), VOID) | {value: label for label, value in enumerate(CITYSCAPES)}
    return None


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.005 else "<1 %"
