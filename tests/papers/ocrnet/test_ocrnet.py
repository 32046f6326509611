"""The loss of object-contextual representations, and what the parts refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

import regard
from regard.papers.ocrnet.mechanism.head import ObjectContextHead

RECORDED = sorted(Path(__file__).parent.joinpath("golden").glob("head-a_in*.safetensors"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_loss_equals_the_authors(path: Path) -> None:
    tensors = load_file(path)
    loss = ObjectContextHead.loss((tensors["output.0"], tensors["output.1"]), tensors["label"])
    torch.testing.assert_close(loss, tensors["loss"].reshape(()), rtol=1e-12, atol=0)


def test_the_loss_weighs_classes_and_the_coarse_logits() -> None:
    torch.manual_seed(0)
    outputs = torch.randn(2, 3, 5, 7), torch.randn(2, 3, 5, 7)
    labels = torch.randint(0, 3, (2, 5, 7))
    labels[0, :2] = 255
    weight = torch.tensor([0.1, 2.0, 0.5])
    seen = ObjectContextHead.loss(outputs, labels, aux=0.25, ignore=255, weight=weight)
    coarse, final = (F.cross_entropy(logits, labels, weight, ignore_index=255) for logits in outputs)
    torch.testing.assert_close(seen, 0.25 * coarse + final)


def test_the_loss_without_any_label_is_zero_with_finite_gradients() -> None:
    outputs = [torch.randn(1, 3, 5, 7, requires_grad=True) for _ in range(2)]
    loss = ObjectContextHead.loss(outputs, torch.full((1, 10, 14), -1))
    loss.backward()
    assert loss == 0
    for logits in outputs:
        assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_many_regions_give_what_few_give() -> None:
    """The last convolution acts on regions while there are few, on pixels when there are many."""
    torch.manual_seed(0)
    module = regard.create("object_attention", channels=4, hidden=2).double().eval()
    x, few = torch.randn(2, 4, 5, 3, dtype=torch.double), torch.randn(2, 4, 3, 1, dtype=torch.double)
    many = few.repeat(1, 1, 50, 1)  # every region fifty times: the same mean of values
    torch.testing.assert_close(module(x, many), module(x, few))


def test_the_head_says_which_map_is_missing() -> None:
    x, earlier = torch.randn(2, 6, 7, 5), torch.randn(2, 3, 7, 5)
    with pytest.raises(ValueError, match="aux_channels=3: an earlier map is needed"):
        regard.create("ocrnet", 6, classes=4, hidden=8, aux_channels=3)(x)
    with pytest.raises(ValueError, match=r"aux_channels=None: no earlier map is accepted"):
        regard.create("ocrnet", 6, classes=4, hidden=8)(x, earlier)


def test_the_gathering_says_that_sizes_differ() -> None:
    with pytest.raises(ValueError, match="equal sizes are needed"):
        regard.create("ocr_gather")(torch.randn(2, 6, 7, 5), torch.randn(2, 3, 5, 7))
