"""Drawn persons as a dataset in memory, of images or of clips, with the masks of their parts (`data.pedestrians`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from regard.checks import positive
from regard.data.batches import Sample
from regard.data.pedestrians import CAMERAS, Pedestrians
from regard.data.persons import Search


class DrawnPersons(Dataset[Sample]):
    """A dataset of drawn persons, which draws all of them at first use.

    Args:
        drawing: draws them.
        people: the numbers of the persons.
        shots: the numbers of the shots of each under each camera.
        frames: T of clips; None for images.
        training: whether `person` of a sample is the class number rather than the person's own.

    Attributes:
        labels, people, cameras, names: as of `persons.Persons`.
    """

    def __init__(
        self,
        drawing: Pedestrians,
        people: Sequence[int],
        shots: Sequence[int],
        *,
        frames: int | None = None,
        training: bool = False,
    ) -> None:
        self.drawing, self.people, self.frames = drawing, tuple(people), frames
        self.keys = [(person, camera, shot) for person in people for camera in range(1, CAMERAS + 1) for shot in shots]
        classes = {person: label for label, person in enumerate(self.people)}
        self.labels = [classes[person] if training else person for person, _, _ in self.keys]
        self.cameras = [camera for _, camera, _ in self.keys]
        self.names = tuple(f"{person:04d}_c{camera}s1_{shot:06d}_00" for person, camera, shot in self.keys)

    @property
    def digest(self) -> str:
        drawing = self.drawing
        return f"drawn {drawing.size} {drawing.seed} {drawing.occlusion} {self.frames} {self.keys[0]} {self.keys[-1]}"

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, i: int) -> dict[str, Any]:
        """The sample: `image` float `3 H W` in 0..1, `person`, `camera`, `name`, `parts` float `4 H W`, `region` `H W`.

        Of clips these are `3 T H W`, `T 4 H W` and `T H W`.
        """
        if not -len(self) <= i < len(self):
            raise IndexError(f"index {i} is out of range: there are {len(self)} samples")
        images, parts, regions = self._drawn
        known = {"person": self.labels[i], "camera": self.cameras[i], "name": self.names[i]}
        return {"image": images[i].float().div_(255), **known, "parts": parts[i].float(), "region": regions[i]}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_drawn"}

    @cached_property
    def _drawn(self) -> tuple[Tensor, Tensor, Tensor]:
        """Images, parts and regions: `N 3 H W`, `N 4 H W`, `N H W`; of clips `N 3 T H W`, `N T 4 H W`, `N T H W`."""
        images, parts, regions = [], [], []
        for key in self.keys:
            clip = self.drawing.clip(*key, self.frames or 1)
            images.append(np.stack([picture.image.transpose(2, 0, 1) for picture in clip], 1))
            parts.append(np.stack([picture.parts for picture in clip]))
            regions.append(np.stack([picture.person for picture in clip]))
        found = [torch.from_numpy(np.stack(several)) for several in (images, parts, regions)]
        if self.frames is None:
            found = [found[0][:, :, 0], found[1][:, 0], found[2][:, 0]]
        return found[0], found[1], found[2]


def drawn(
    *,
    train: int,
    test: int,
    shots: int = 2,
    frames: int | None = None,
    size: tuple[int, int] = (64, 32),
    seed: int = 0,
    occlusion: float = 0.3,
) -> tuple[DrawnPersons, Search]:
    """Training and test of drawn persons; the first shot of a person under each camera is in the query.

    Args:
        train, test: the number of persons in each part.
        shots: of each person under each camera, at least 2.
        frames: T of clips; None for images.
        size, seed, occlusion: as for `Pedestrians`.

    Raises: ValueError if an argument is out of range.
    """
    drawing = Pedestrians(size=size, seed=seed, occlusion=occlusion)
    learned = range(1, positive("train", train) + 1)
    tested = range(train + 1, train + positive("test", test) + 1)
    if positive("shots", shots) < 2:
        raise ValueError("shots=1: at least 2 are needed, one for the query and one for the gallery")
    query, gallery = (DrawnPersons(drawing, tested, chosen, frames=frames) for chosen in (range(1), range(1, shots)))
    return DrawnPersons(drawing, learned, range(shots), frames=frames, training=True), Search(query, gallery)
