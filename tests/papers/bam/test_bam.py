"""Bottleneck attention: how the branches are combined."""

from __future__ import annotations

import pytest
import torch

from regard import create, watch


@pytest.mark.parametrize("merge", ["product", "sum"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("grad", [True, False])
def test_the_gate_is_one_plus_the_sigmoid_of_both_branches(merge: str, layout: torch.memory_format, grad: bool) -> None:
    module = create("bam", channels=6, reduction=3, merge=merge).double().eval()
    x = torch.randn(2, 6, 5, 3, dtype=torch.float64).to(memory_format=layout)
    with watch(module) as maps, torch.set_grad_enabled(grad):
        y = module(x)
    (c,), (s,), (m,) = maps["channel"], maps["spatial"], maps["attention"]
    torch.testing.assert_close(m, 1 + (c * s if merge == "product" else c + s).sigmoid())
    torch.testing.assert_close(y, x * m)
    assert y.is_contiguous(memory_format=layout)


def test_wrong_settings_are_named() -> None:
    for wrong, message in (
        ({"merge": "max"}, "merge='max'"),
        ({"layers": -1}, "layers=-1"),
        ({"dilations": (4, 0)}, "dilations=0"),
    ):
        with pytest.raises(ValueError, match=message):
            create("bam", channels=16, **wrong)
