"""Images of which all have a label and few have a mask: what semi-supervised losses on maps take.

A mask is a label map: 0 is the background, c + 1 is class c, and 255 is unknown. An image without a mask has a label
map of 255 everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from regard.checks import flag, whole
from regard.data import Split
from regard.data.batches import Data, as_sample

VOID = 255


class FewMasks(Dataset[Mapping[str, Tensor | int]]):
    """A dataset of images with one label, of which some have the region of their object as a mask.

    Args:
        split: images with labels and regions.
        count: how many of them have a mask, spread over the classes as evenly as the random order lets them.
        seed: of the choice.
        shuffled: give each of these the region of another of them, as a control: as many pixels, in the wrong places.

    Raises: ValueError if there are not as many images; for `shuffled`, if there are not two.
    """

    def __init__(self, split: Split, count: int, *, seed: int = 0, shuffled: bool = False) -> None:
        whole("count", count, 2 if flag("shuffled", shuffled) else 0, len(split))
        self.split = split
        order = torch.randperm(len(split), generator=Generator().manual_seed(seed)).tolist()
        seen: Counter[int] = Counter()
        turn: dict[int, int] = {}
        for i in order:  # the first of every class, then the second of every class, …
            turn[i] = seen[split.labels[i]]
            seen[split.labels[i]] += 1
        self.masked = sorted(order, key=turn.__getitem__)[:count]
        given = self.masked[1:] + self.masked[:1] if shuffled else self.masked
        self.region_of = dict(zip(self.masked, given, strict=True))

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, i: int) -> dict[str, Tensor | int]:
        """The sample: `image`, `label`, and `mask` uint8 `H W`. Raises: ValueError if a region is unknown."""
        image, label = self.split[i]
        return {"image": image, "label": label, "mask": self.mask(i)}

    def mask(self, i: int) -> Tensor:
        """The label map of image `i`, uint8 `H W`. Raises: ValueError if its region is unknown."""
        if i not in self.region_of:
            return torch.full(self.split[i][0].shape[1:], VOID, dtype=torch.uint8)
        region = self.split.region(self.region_of[i])
        if region is None:
            raise ValueError(f"{self.split.name(self.region_of[i])}: the region of the object is unknown")
        return region.to(torch.uint8) * (self.split.labels[i] + 1)


class Tagged(Dataset[Mapping[str, Tensor]]):
    """A dataset of label maps, read as images that say which classes are in them, of which some have the map as well.

    Args:
        maps: samples with `image` and `mask`, label maps whose class 0 is the background.
        classes: K, without the background.
        masked: the indices of the samples that keep their label map.
    """

    def __init__(self, maps: Data, classes: int, masked: Sequence[int] = ()) -> None:
        self.maps, self.classes = maps, whole("classes", classes, 1)
        self.masked = frozenset(masked)

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        """The sample: `image`, `present`, 0 and 1 of each class, int64 `K`, and `mask`, uint8 `H W`.

        Raises: ValueError if a label is beyond the classes.
        """
        sample = as_sample(self.maps[i])
        mask: Tensor = sample["mask"]
        found = mask[mask != VOID].unique().long()
        if len(found) and int(found.max()) > self.classes:
            raise ValueError(f"sample {i} has the label {int(found.max())}: labels up to {self.classes} are needed")
        present = torch.zeros(self.classes + 1, dtype=torch.int64)
        present[found] = 1
        kept = mask if i in self.masked else torch.full_like(mask, VOID)
        return {"image": sample["image"], "present": present[1:], "mask": kept}
