"""Task partitioning: a deep head says what the parts of an image are, a shallow head where the ends of ships lie.

Fully Convolutional Network With Task Partitioning for Inshore Ship Detection in Optical Remote Sensing Images. Lin,
    Shi, Zou. IEEE Geoscience and Remote Sensing Letters 2017, doi:10.1109/LGRS.2017.2727515. Official code: none known.

    f_1 … f_L = backbone((image − μ) / σ)                         maps from fine to coarse               (1)
    d = resize(W_d relu(BN(V_d f_deep)))                          bow/stern, hull, sea, land             (2)
    s = resize(W_s relu(BN(V_s f_shallow)))                       elsewhere, bow/stern                   (3)
    a = 1 where argmax d is bow/stern, else 0                     attention map                          (4)
    ends = a · softmax(s)[bow/stern]                              at test time                           (5)

Training: the cross-entropy of d at every pixel, and that of s where a is 1; no gradient passes through a (`task.py`).
Testing: the connected parts of (5) that lie at the two ends of one hull are linked to a ship (`linking.py`).
Place: trained as it is: `regard train task-partition`.
Cost: the backbone's up to the map of `deep`, and about 9 D C multiplications for each position of two maps, D =
    `width`.
Deviations: paper: not read in full; its abstract and a survey say that layers of different depths get the tasks (2)
    and (3), and that (4) selects the pixels of the loss of (3) | official code: none | here: which layers, the width of
    the heads, batch norm in them, the weights of the losses and of bow/stern in that of (2), how the loss of (3) is
    normalised (`over`), the hard map in (5) rather than a probability, and the linking are choices of this library. By
    default the maps of VGG-16 at strides 4 and 16, the ends of its third and fifth block.
Errata: none known.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from regard.backbones import build, feature_info, normalisation
from regard.checks import check_input, check_norm_batch, positive, text
from regard.core import Attention
from regard.ops.tracing import exporting
from regard.papers.task_partition.partition import CLASSES, attention, responses


class _Head(nn.Module):
    """Equation (2) or (3), before it is resized."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        check_norm_batch(self.norm, y)
        logits: Tensor = self.classify(self.norm(y).relu_())
        return logits


class TaskPartition(Attention):
    """Network with a deep head for the parts of a scene and a shallow head for the ends of ships.

    Args:
        channels: channels of the image.
        backbone: any network of timm's that gives maps of several resolutions.
        shallow: stride of the map of the shallow head.
        deep: stride of the map of the deep head, at least that of the shallow head.
        width: D, channels inside each head.

    Shapes: x `B C H W` in 0..1 -> logits `B 4 H W` of bow/stern, hull, sea and land; logits `B 2 H W` of elsewhere and
        bow/stern.
    Maps: attention `B 1 H W`, 0 or 1; ends `B 1 H W`, the response (5) in 0..1.
    Raises: ValueError for a width below 1, strides that the backbone has no map of, a deep stride below the shallow
        one, or images of another shape; LookupError if timm has no such backbone.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, channels: int = 3, *, backbone: str = "vgg16", shallow: int = 4, deep: int = 16, width: int = 128
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.backbone = text("backbone", backbone)
        self.strides = positive("shallow", shallow), positive("deep", deep)
        positive("width", width)
        if deep < shallow:
            raise ValueError(f"deep={deep}: a stride of at least shallow={shallow} is needed")
        self.encoder = self._encoder(pretrained=False)
        widths = feature_info(self.encoder).channels()
        self.channels_last = str(getattr(self.encoder, "output_fmt", "")).endswith("NHWC")
        mean, std = normalisation(self.encoder)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)
        self.shallow_head = _Head(widths[0], width, 2)
        self.deep_head = _Head(widths[-1], width, len(CLASSES))

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads weights into the backbone: those given, by timm's names for the whole backbone, or the published ones.

        Raises: OSError if the published ones cannot be loaded; ValueError if those given do not fit.
        """
        self.encoder.load_state_dict(self._encoder(pretrained=state is None, state=state).state_dict())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        check_input(x, "B C H W", C=self.channels)
        levels = self.encoder((x - self.mean) / self.std)
        fine, coarse = (level.permute(0, 3, 1, 2) if self.channels_last else level for level in (levels[0], levels[-1]))
        deep, shallow = _resized(self.deep_head(coarse), x), _resized(self.shallow_head(fine), x)
        if self.watched:
            self.show("attention", attention(deep)[:, None].to(x.dtype))
            self.show("ends", responses(deep, shallow)[0][:, None].to(x.dtype))
        return deep, shallow

    def _encoder(self, *, pretrained: bool, state: Mapping[str, Tensor] | None = None) -> nn.Module:
        """The backbone up to the map of the deep head; it gives that map and the shallow head's."""

        def built(**kwargs: object) -> nn.Module:
            return build(self.backbone, classes=1, in_chans=self.channels, features_only=True, **kwargs)  # type: ignore[arg-type]

        try:
            known = feature_info(built()).reduction()
        except LookupError as error:
            raise LookupError(f"backbone={self.backbone!r}: {error}") from error
        except (RuntimeError, AttributeError, NotImplementedError) as error:
            raise ValueError(
                f"backbone={self.backbone!r}: a network with maps of several resolutions is needed: {error}"
            ) from error
        for name, stride in zip(("shallow", "deep"), self.strides, strict=True):
            if stride not in known:
                listed = ", ".join(str(one) for one in sorted(set(known)))
                raise ValueError(f"{name}={stride}: a stride of {self.backbone!r}, of {listed}, is needed")
        wanted = tuple(sorted({known.index(stride) for stride in self.strides}))
        return built(out_indices=wanted, pretrained=pretrained, state=state)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    if not exporting() and x.shape[2:] == like.shape[2:]:
        return x
    return functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)
