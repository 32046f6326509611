"""How much the words of a captioner rely on what it sees."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from regard.insight.reliance import reliance


class Colour(nn.Module):
    """Word 3 after word 1 whatever is seen; then word 4 or 5 by the sign of the image's mean."""

    def forward(self, image: Tensor, words: Tensor) -> Tensor:
        scores = torch.zeros(len(words), words.shape[1], 6)
        scores[:, 0, 3] = 4.0
        sign = image.mean((1, 2, 3)).sign() * 2
        scores[:, 1, 4], scores[:, 1, 5] = sign, -sign
        return scores.log_softmax(2)


def test_a_word_that_has_to_be_seen_relies_on_the_image_and_another_does_not() -> None:
    image = torch.stack([torch.ones(3, 2, 2), -torch.ones(3, 2, 2)])
    words = torch.tensor([[1, 3, 4], [1, 3, 5]])
    found = reliance(Colour(), [image], words)
    assert torch.allclose(found.blank[:, 0], torch.zeros(2))
    assert torch.allclose(found.other[:, 0], torch.zeros(2))
    assert (found.blank[:, 1] > 0.5).all()
    assert torch.allclose(found.other[:, 1], torch.full((2,), 4.0))
    right = torch.tensor([[0.0, 0, 0, 4, 0, 0]]).log_softmax(1)[0, 3]
    assert torch.allclose(found.own[:, 0], right.expand(2))


def test_one_sentence_alone_has_no_other_image() -> None:
    with pytest.raises(ValueError, match=r"words of shape \(1, 3\): at least two sentences"):
        reliance(Colour(), [torch.ones(1, 3, 2, 2)], torch.tensor([[1, 3, 4]]))
