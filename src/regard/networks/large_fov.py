"""VGG-16 as DeepLab-LargeFOV has it: a dilated trunk, and a dilated layer with a large field of view.

Semantic Image Segmentation with Deep Convolutional Nets and Fully Connected CRFs. Chen, Papandreou, Kokkinos, Murphy,
Yuille. ICLR 2015, arXiv:1412.7062, Section 3, and the released definition (from memory): pools 1 to 3 halve the map,
pools 4 and 5 do not, the convolutions of stage 5 have dilation 2, an average pool follows pool 5, "fc6" is a 3 × 3
convolution of dilation 12 and "fc7" a 1 × 1 convolution, of 1024 channels each, with a dropout of one half.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from regard.checks import check_input, number, positive, whole

WIDTHS = (1, 2, 4, 8, 8)  # times the width of the first stage
CONVOLUTIONS = (2, 2, 3, 3, 3)
HALVED = 3  # the pools that halve the map


class FieldOfView(nn.Module):
    """The layers "fc6" and "fc7" of DeepLab-LargeFOV, behind any trunk.

    Args:
        channels: C of the trunk's map.
        features: of both layers.
        dilation: of the first.
        dropout: share of the features that is dropped behind each layer.

    Shapes: `B C h w` -> `B features h w`.
    Raises: ValueError for an argument out of range.
    """

    def __init__(self, channels: int, *, features: int = 1024, dilation: int = 12, dropout: float = 0.5) -> None:
        super().__init__()
        positive("dilation", dilation)
        number("dropout", dropout, least=0, most=1)
        self.fc6 = nn.Conv2d(positive("channels", channels), positive("features", features), 3, 1, dilation, dilation)
        self.fc7 = nn.Conv2d(features, features, 1)
        self.dropout = nn.Dropout(dropout)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.fc6(x).relu())
        found: Tensor = self.dropout(self.fc7(x).relu())
        return found


class LargeFOV(nn.Module):
    """VGG-16 of DeepLab-LargeFOV up to "fc7", at an eighth of the image.

    Args:
        channels: channels of the image.
        width: channels of the first stage, a multiple of which all others have; VGG-16 has 64.
        features: of "fc6" and "fc7".
        dilation: of "fc6".
        dropout: share of the features that is dropped behind "fc6" and "fc7".

    Shapes: `B C H W` -> `B features h w`; h is (H - 1) / 8 + 1, rounded down at each of three halvings, as is w.
    Raises: ValueError for an argument out of range, or images of another number of channels.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        width: int = 64,
        features: int = 1024,
        dilation: int = 12,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        whole("width", width, 1)
        self.stages = nn.ModuleList()
        before = channels
        for i, (times, count) in enumerate(zip(WIDTHS, CONVOLUTIONS, strict=True)):
            stage = nn.Sequential()
            step = 2 if i == len(WIDTHS) - 1 else 1
            for _ in range(count):
                stage.extend([nn.Conv2d(before, times * width, 3, 1, step, step), nn.ReLU(inplace=True)])
                before = times * width
            self.stages.append(stage)
        _initialise(self.stages)
        self.field = FieldOfView(before, features=features, dilation=dilation, dropout=dropout)

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        """Loads weights by timm's names for `vgg16`: of its convolutions, and of its two large layers where they fit.

        "fc6" takes every third row and column of the 7 × 7 kernels and every fourth of the 4096 outputs, "fc7" every
        fourth input and output: which ones the released weights took is not known.

        Raises: ValueError if a convolution is missing or has another shape.
        """
        theirs = iter(sorted({int(key.split(".")[1]) for key in state if key.startswith("features.")}))
        for ours in (layer for stage in self.stages for layer in stage if isinstance(layer, nn.Conv2d)):  # type: ignore[attr-defined]
            name = f"features.{next(theirs, '')}"
            weight, bias = state.get(f"{name}.weight"), state.get(f"{name}.bias")
            if weight is None or bias is None or weight.shape != ours.weight.shape:
                found = None if weight is None else tuple(weight.shape)
                raise ValueError(f"{name}.weight of shape {found}: {tuple(ours.weight.shape)} is needed, as vgg16 has")
            ours.load_state_dict({"weight": weight, "bias": bias})
        for layer, name, kernel in (
            (self.field.fc6, "fc1", slice(None, None, 3)),
            (self.field.fc7, "fc2", slice(None)),
        ):
            weight, bias = state.get(f"pre_logits.{name}.weight"), state.get(f"pre_logits.{name}.bias")
            if weight is None or bias is None:
                continue
            inputs = slice(None) if weight.shape[1] == layer.in_channels else slice(None, None, 4)
            weight, bias = weight[::4, inputs, kernel, kernel], bias[::4]
            if weight.shape == layer.weight.shape:
                layer.load_state_dict({"weight": weight, "bias": bias})

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, "B C H W", C=self.channels)
        for i, stage in enumerate(self.stages):
            x = functional.max_pool2d(stage(x), 3, 2 if i < HALVED else 1, 1)
        found: Tensor = self.field(functional.avg_pool2d(x, 3, 1, 1))
        return found


def _initialise(part: nn.Module) -> None:
    """Sets the weights for rectified outputs, without batch norms: Delving Deep into Rectifiers, arXiv:1502.01852."""
    for layer in part.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
