"""What the laws do not ask of pyramid attention: bicubic resizing, half precision out of range, what fits together."""

from __future__ import annotations

import pytest
import torch

from regard import create


def random(module: torch.nn.Module) -> torch.nn.Module:
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.3)
    return module.eval()


@pytest.mark.slow
def test_bicubic_resizing_exports_too() -> None:
    module = random(create("fpa", channels=8, upsample="bicubic"))
    dim = torch.export.Dim
    sizes = ({0: dim("B", min=2), 2: dim("H", min=16), 3: dim("W", min=16)},)
    program = torch.export.export(module, (torch.randn(2, 8, 28, 20),), dynamic_shapes=sizes).module()
    for shape in ((2, 8, 28, 20), (3, 8, 16, 23), (2, 8, 33, 31)):
        x = torch.randn(shape)
        torch.testing.assert_close(program(x), module(x))


def test_a_product_beyond_float16_saturates() -> None:
    module = create("fpa", channels=4).eval()
    for parameter in module.parameters():
        torch.nn.init.constant_(parameter, 0.1 if parameter.ndim > 1 else 1)
    x = torch.full((1, 4, 8, 8), 1e3)
    top = torch.finfo(torch.float16).max
    assert module(x).min() > top
    assert (module.half()(x.half()) == top).all()


def test_what_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"hidden=3.*1 or 8"):
        create("fpa", channels=8, hidden=3, upsample="bilinear")
    with pytest.raises(ValueError, match="gate_channels=6, out_channels=8: one number"):
        create("gau", channels=8, gate_channels=6, upsample="nearest")
    with pytest.raises(ValueError, match=r"g of shape \(2, 6, 5, 5\): \(4, 4\) behind the channels is needed for x"):
        create("gau", channels=8, gate_channels=6)(torch.zeros(2, 8, 8, 8), torch.zeros(2, 6, 5, 5))
    with pytest.raises(ValueError, match="channels=3"):
        create("fpa", channels=3)


def test_an_odd_side_loses_the_last_row_of_the_transposed_convolution() -> None:
    module = random(create("gau", channels=4, gate_channels=6)).double()
    x, g = torch.randn(1, 4, 10, 8, dtype=torch.float64), torch.randn(1, 6, 5, 4, dtype=torch.float64)
    whole, cut = module(x, g), module(x[:, :, :9, :7], g)
    # the 3 × 3 convolution of the fine map sees the new border, one row further in
    torch.testing.assert_close(cut[:, :, :8, :6], whole[:, :, :8, :6])
