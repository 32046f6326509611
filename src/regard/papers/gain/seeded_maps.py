"""Images with the seeds that a trained classifier gives them, from which SEC learns.

Seeds are label maps: 0 is the background, c + 1 is class c, and 255 is no seed. The map of each class present is scaled
to its largest value; where the largest of these is at least a threshold, its class is the seed, and where it is below
half of that, the background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from regard.checks import number, positive
from regard.data import Split
from regard.data.batches import Data, Normalisation, as_sample
from regard.data.few_masks import VOID, Tagged
from regard.metrics.seeds import SeedCurve, scaled, seeds

GRID = 41  # side of the published network's output, on which its losses are


class SeededMaps(Dataset[Mapping[str, Tensor]]):
    """A dataset of images with seeds from the maps of a trained classifier, which are kept once they are made.

    Args:
        tagged: images, and the classes present in them.
        network: a trained GAIN.
        normalise: of its images.
        threshold: from which a scaled map is a seed.
        grid: side of the seeds.

    Raises: ValueError if an argument is out of range.
    """

    def __init__(
        self, tagged: Tagged, network: nn.Module, normalise: Normalisation, *, threshold: float, grid: int = GRID
    ) -> None:
        self.tagged, self.network, self.normalise = tagged, network, normalise
        self.threshold, self.grid = number("threshold", threshold, above=0, most=1), positive("grid", grid)
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.tagged)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        """The sample: `image`, `picture`, the same, `present` int64 `K` and `seeds` uint8 `G G`."""
        sample = self.tagged[i]
        if i not in self._kept:
            found, labels = maps(self.network, sample["image"], sample["present"], self.normalise)
            small = F.interpolate(found[None], (self.grid, self.grid), mode="bilinear", align_corners=False)[0]
            self._kept[i] = _seeds(small, labels, self.threshold)
        picture = sample["image"]
        return {"image": picture, "picture": picture, "present": sample["present"], "seeds": self._kept[i]}


class SketchedSeeds(Dataset[Mapping[str, Tensor | int]]):
    """A dataset of images with one class whose seeds are pixels of the object and of the background, drawn at random.

    Args:
        split: images whose regions are known.
        classes: K.
        share: of the pixels that are seeds.
        enlarge: the images by a whole number, each pixel becoming that many squared.
    """

    def __init__(self, split: Split, classes: int, *, share: float = 0.3, enlarge: int = 1) -> None:
        self.split, self.classes = split, positive("classes", classes)
        self.share, self.enlarge = number("share", share, above=0, most=1), positive("enlarge", enlarge)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, i: int) -> dict[str, Tensor | int]:
        """The sample: as of `SeededMaps`, and `mask`, the whole map. Raises: ValueError if a region is unknown."""
        image, label = self.split[i]
        region = self.split.region(i)
        if region is None:
            raise ValueError(f"{self.split.name(i)}: the region of the object is unknown")
        truth = region.to(torch.uint8) * (label + 1)
        drawn = torch.rand(truth.shape, generator=torch.Generator().manual_seed(i)) < self.share
        present = F.one_hot(torch.tensor(label), self.classes)
        image = _enlarged(image, self.enlarge)
        return {
            "image": image,
            "picture": image,
            "present": present,
            "seeds": truth.where(drawn, VOID).to(torch.uint8),
            "mask": _enlarged(truth, self.enlarge),
        }


def maps(network: nn.Module, image: Tensor, present: Tensor, normalise: Normalisation) -> tuple[Tensor, Tensor]:
    """A trained GAIN's maps of the classes present in an image `C H W` of 0..1: `M H W`, and the classes, `M`."""
    mean, std = (torch.as_tensor(values)[:, None, None] for values in normalise)
    with torch.no_grad():
        streams: Any = network(((image - mean) / std)[None], present[None])
    return streams.cams[:, 0], streams.label


def curve(
    network: nn.Module, tagged: Data, truths: Sequence[Tensor], normalise: Normalisation, classes: int
) -> SeedCurve:
    """The mIoU of the seeds of images at every threshold; truths are their label maps, of the size of the images."""
    found = SeedCurve(classes)
    for i, truth in enumerate(truths):
        sample = as_sample(tagged[i])
        found.update(*maps(network, sample["image"], sample["present"], normalise), truth)
    return found


def _seeds(found: Tensor, labels: Tensor, threshold: float) -> Tensor:
    chosen = seeds(found, labels, threshold)
    if len(found):
        chosen[(chosen == 0) & (scaled(found).amax(0) >= threshold / 2)] = VOID
    return chosen.to(torch.uint8)


def _enlarged(pixels: Tensor, times: int) -> Tensor:
    """`… H W`, each pixel repeated in both directions."""
    return pixels.repeat_interleave(times, -1).repeat_interleave(times, -2)
