"""Convolutions as matrix products are the convolutions."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from regard.ops.convolution import convolved

CONVS = {
    "1×1": (nn.Conv2d(5, 3, 1), (2, 5, 7, 11)),
    "1×1 along a sequence": (nn.Conv1d(5, 3, 1, bias=False), (2, 5, 7)),
    "windows that leave something over": (nn.Conv2d(5, 3, (2, 3), (2, 3)), (2, 5, 7, 11)),
    "windows of a volume": (nn.Conv3d(5, 3, (2, 1, 3), (2, 1, 3), bias=False), (1, 5, 5, 2, 7)),
    "strides wider than windows": (nn.Conv2d(5, 3, 1, 2), (2, 5, 7, 11)),
    "windows that overlap": (nn.Conv2d(5, 3, 3, padding=1), (2, 5, 7, 11)),
    "groups": (nn.Conv2d(6, 3, 2, 2, groups=3), (2, 6, 7, 11)),
    "a rim of zeros": (nn.Conv2d(5, 3, 2, 2, padding=1), (2, 5, 7, 11)),
    "gaps": (nn.Conv2d(5, 3, 2, 2, dilation=2), (2, 5, 7, 11)),
}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "channels_last"])
@pytest.mark.parametrize("name", CONVS)
def test_outputs_and_gradients_are_those_of_the_convolution(name: str, layout: torch.memory_format) -> None:
    conv, shape = CONVS[name]
    conv = conv.double()
    x = torch.randn(shape, dtype=torch.float64)
    x = (x.contiguous(memory_format=layout) if x.ndim == 4 else x).requires_grad_()
    y, wanted = convolved(conv, x), conv(x)
    torch.testing.assert_close(y, wanted)
    probe = torch.randn_like(wanted)
    leaves = [x, *conv.parameters()]
    torch.testing.assert_close(torch.autograd.grad(y, leaves, probe), torch.autograd.grad(wanted, leaves, probe))
    with torch.no_grad():
        torch.testing.assert_close(convolved(conv, x), wanted)


def test_what_changes_a_convolution_by_a_hook_is_heard() -> None:
    conv = prune.l1_unstructured(nn.Conv2d(5, 3, 1), "weight", amount=0.5)
    x = torch.randn(2, 5, 7, 11, requires_grad=True)
    with torch.no_grad():
        conv.weight_orig.mul_(2)  # the hook makes the weight of it before each call
    assert torch.equal(convolved(conv, x), conv(x))
    assert torch.equal(convolved(nn.Sequential(conv, nn.ReLU()), x), conv(x).relu())
