"""The number of each image that is followed while its pixels or maps change."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from regard.insight.targets import Target, explained

OF = ("probability", "logit")


class Score:
    """Runs a network on changed images, in batches, and gives what is followed of each.

    Args:
        model: the network, in evaluation mode.
        images: the images as they are.
        labels: the class of each image, or one for all, or a function of what the network returns, as for
            `regard.gradcam`; None takes the class that the network predicts for the image as it is.
        of: "probability" or "logit" of the class; a function is followed as it is.
        batch: the most images in a pass.
        on_pass: called with the number of images of each pass.

    Raises: ValueError as `insight.targets.explained`.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Target,
        *,
        of: str,
        batch: int,
        on_pass: Callable[[int], None] | None = None,
    ) -> None:
        self.model, self.images, self.of, self.batch, self.on_pass = model, images, of, batch, on_pass
        self.function = labels if callable(labels) else None
        self.classes: Tensor | None = None
        if self.function is None:
            predicted = [self._predicted(part) for part in images.split(batch)]
            self.classes = torch.cat(predicted) if labels is None else self._classes(labels)

    def __call__(self, x: Tensor, which: Tensor, *, of: str | None = None) -> Tensor:
        """The number of each changed image, float64 on the CPU.

        Shapes: x `P C H W`, which `P`, the number of each image -> `P`.
        """
        found = []
        for part, mine in zip(x.split(self.batch), which.split(self.batch), strict=True):
            with torch.no_grad():
                returned = self.model(part)
            if self.on_pass is not None:
                self.on_pass(len(part))
            if self.classes is None:
                assert self.function is not None
                chosen = explained(returned, self.function, len(part))
                found.append(chosen.expand(len(part)) if chosen.dim() == 0 else chosen)
                continue
            if (of or self.of) == "probability":
                returned = returned.softmax(1)
            found.append(explained(returned, self.classes[mine], len(part)))
        return torch.cat(found).cpu().double()

    def target(self, which: Tensor) -> Target:
        """What is explained of some of the images, as `regard.gradcam` takes it."""
        return self.function if self.classes is None else self.classes[which]

    def parts(self) -> Iterator[Tensor]:
        """The numbers of the images, in batches."""
        yield from torch.arange(len(self.images), device=self.images.device).split(self.batch)

    def intact(self, *, of: str | None = None) -> Tensor:
        """The number of each image as it is. Shapes: -> `N`."""
        return torch.cat([self(self.images[which], which, of=of) for which in self.parts()])

    def _predicted(self, part: Tensor) -> Tensor:
        with torch.no_grad():
            returned = self.model(part)
        explained(returned, None, len(part))  # raises where there are no class scores
        predicted: Tensor = returned.argmax(1)
        return predicted

    def _classes(self, labels: object) -> Tensor:
        asked = torch.as_tensor(labels, device=self.images.device)
        with torch.no_grad():
            returned = self.model(self.images[:1])
        if asked.shape not in ((), (1,), (len(self.images),)):
            raise ValueError(f"labels={labels!r}: one class, or {len(self.images)}, one for each image, is needed")
        explained(returned.expand(len(self.images), -1), asked, len(self.images))
        return asked.long().expand(len(self.images))
