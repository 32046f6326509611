"""What neither laws nor recordings ask of residual attention: degenerate maps, Caffe's pooling, arguments."""

from __future__ import annotations

import pytest
import torch

from regard import create, watch
from regard.ops import pooling


def test_pooling_rounds_as_caffe_does_and_leaves_a_single_row() -> None:
    x = torch.arange(5.0).expand(1, 1, 1, 5)
    assert pooling.halved_maximum(x, 3).tolist() == [[[[2.0, 4.0]]]]  # windows 0–2 and 2–4; a side of 1 stays
    assert pooling.halved_maximum(x[..., :4], 3).tolist() == [[[[2.0, 3.0]]]]  # the last window reaches over the end
    assert pooling.halved_maximum(x, 2).tolist() == [[[[1.0, 3.0]]]]  # the fifth is left out


@pytest.mark.parametrize(("mask", "value"), [("spatial", 0.5), ("channel", 0.0)])
def test_a_mask_of_equal_logits_is_finite(mask: str, value: float) -> None:
    module = create("residual_attention", channels=4, mask=mask).eval()
    torch.nn.init.zeros_(module.conv2.weight)
    with watch(module) as maps:
        module(torch.randn(2, 4, 5, 7))
    assert (maps["spatial"][0] == value).all()


def test_a_mask_of_ones_doubles_the_trunk() -> None:
    module = create("residual_attention", channels=4, p=1, t=1).eval()
    naive = create("residual_attention", channels=4, p=1, t=1, learning="naive").eval()
    naive.load_state_dict(module.state_dict())
    for part in (module, naive):
        part.logits = lambda x: torch.full_like(x, torch.inf)
    module.post = naive.post = torch.nn.Identity()
    x = torch.randn(2, 4, 5, 7)
    torch.testing.assert_close(module(x), 2 * naive(x))


def test_the_default_groups_of_a_resnext_unit_divide_its_width() -> None:
    module = create("residual_attention", channels=72, unit="resnext")
    assert module.trunk[0].conv2.groups == 4  # of 36, and of 32
    assert create("residual_attention", channels=256, unit="resnext").trunk[0].conv2.groups == 32


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"unit": "dense"}, "unit='dense'.*preact"),
        ({"mask": "f1"}, "mask='f1'.*mixed"),
        ({"learning": "arl"}, "learning='arl'.*residual"),
        ({"unit": "resnext", "groups": 4, "hidden": 6}, "groups=4.*6"),
        ({"depth": 0}, "depth=0"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create("residual_attention", channels=8, **wrong)
