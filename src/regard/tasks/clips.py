"""Classification of clips, with several views of a video averaged."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from regard.data.batches import Batch
from regard.ops.precision import widened
from regard.tasks.classify import Classify, fitting


@dataclass(frozen=True)
class ClassifyClips(Classify):
    """Classification of videos into K classes; batches have `image` and `label`.

    Of several views of a video, the probabilities are averaged.
    """

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits, or the logarithms of the averaged probabilities: `B K`, in float32 or wider.

        Shapes: image `B C T H W`, or with views `B C V T H W`; the model returns `B K` for `B C T H W`.
        Raises: ValueError if the model returns another shape.
        """
        clips: Tensor = batch["image"]
        if clips.ndim == 5:
            return super().logits(model, batch)
        several = clips.transpose(1, 2)  # [B, V, C, T, H, W]
        logits = fitting(model(several.flatten(0, 1)), several.shape[0] * several.shape[1], self.classes)
        shares = widened(logits).softmax(1).unflatten(0, several.shape[:2]).mean(1)
        logarithms: Tensor = shares.clamp_min(1e-12).log()
        return logarithms
