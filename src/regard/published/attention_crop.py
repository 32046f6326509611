"""What RA-CNN's crop is made of, as it is ported and as the paper writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from regard.ops import zooming
from regard.published.reference import Reference


def _port(in_size, out_size, k=10):
    return {"size": out_size, "k": float(k), "gradient": "rule"}, {}


def _mask(size, k=10.0):
    return {"k": float(k), "gradient": "mask"}, {}


def _amplify(out_size):
    return {"align_corners": False}, {}


class _Around(nn.Module):
    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module, self.args = module, args


class _Rows(_Around):
    """Squares whose first coordinate is the row."""

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        crop: Tensor = self.module(x, at[:, [1, 0, 2]])
        return crop


class _Masked(_Around):
    """The whole image under the mask, and the mask."""

    def forward(self, x: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        mask = zooming.mask(zooming.edges(at), (x.shape[2], x.shape[3]), k=self.module.k)
        return x * mask, mask


class _Amplified(_Around):
    """The whole image enlarged."""

    def forward(self, x: Tensor) -> Tensor:
        whole = x.new_tensor([[0.0, 0.0, x.shape[3], x.shape[2]]]).expand(x.shape[0], 4)
        size = self.args["out_size"]
        heights = (size, size) if isinstance(size, int) else (size[0], size[1])
        return zooming.enlarged(x, whole, heights, align_corners=self.module.align_corners)


REFERENCES = (
    Reference(
        "racnn_attention_crop/jeong-tae.RACNN-pytorch/AttentionCropFunction", "attention_crop", _port, adapt=_Rows
    ),
    Reference("racnn_attention_mask/paper", "attention_crop", _mask, adapt=_Masked),
    Reference("racnn_amplify/paper", "attention_crop", _amplify, adapt=_Amplified),
)
