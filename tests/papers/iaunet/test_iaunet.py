"""Interaction-aggregation-update: which parts hear of which, one frame and many rows, and wrong arguments."""

from __future__ import annotations

import pytest
import torch

import regard
from regard import catalog, watch


def relation(frames: int, parts: int) -> torch.Tensor:
    torch.manual_seed(0)
    module = regard.create("siau", channels=6, parts=parts, dims=3).double().eval()
    with watch(module) as maps:
        module(torch.randn(2, 6, frames, 5, 3, dtype=torch.double))
    return maps["relation"][0]


def test_a_part_hears_of_the_others_in_its_frame_and_of_itself_in_the_other_frames() -> None:
    frames, parts = 3, 4
    seen = relation(frames, parts)
    for i in range(frames * parts):
        for j in range(frames * parts):
            same_frame, same_part = i // parts == j // parts, i % parts == j % parts
            assert (seen[:, i, j] > 0).all() == (same_frame != same_part)
    torch.testing.assert_close(seen.sum(-1), torch.ones(2, frames * parts, dtype=torch.double))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ["ciau", "siau", "iau"])
def test_starts_as_the_identity(name: str, dims: int) -> None:
    x = torch.randn(2, 6, *(3, 7, 5)[3 - dims :])
    assert torch.equal(regard.create(name, channels=6, dims=dims)(x), x)


def test_a_video_of_one_frame_is_an_image() -> None:
    torch.manual_seed(0)
    image, video = (regard.create("iau", channels=6, dims=dims).double().eval() for dims in (2, 3))
    for parameter in image.parameters():
        torch.nn.init.normal_(parameter)
    video.load_state_dict(image.state_dict())
    x = torch.randn(2, 6, 7, 5, dtype=torch.double)
    torch.testing.assert_close(video(x[:, :, None])[:, :, 0], image(x))


def test_many_rows_are_mixed_alike_watched_or_not() -> None:
    """Above 1024 rows the weights are never formed, unless somebody looks."""
    torch.manual_seed(0)
    module = regard.create("ciau", channels=6, dims=3).double().eval()
    torch.nn.init.ones_(module.norm.weight)
    x = torch.randn(1, 6, 200, 3, 2, dtype=torch.double) / 3
    plain = module(x)
    with watch(module) as maps:
        torch.testing.assert_close(module(x), plain)
    assert maps["affinity"][0].shape == (1, 1200, 1200)


def test_says_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="parts=1: a whole number of at least 2"):
        regard.create("siau", channels=6, parts=1)
    with pytest.raises(ValueError, match="dims=1: 2 or 3"):
        regard.create("iau", channels=6, dims=1)
    with pytest.raises(ValueError, match="B C T H W, C=6 is needed"):
        regard.create("iau", channels=6, dims=3)(torch.randn(2, 6, 7, 5))


def test_the_paper_is_the_one_of_the_authors_and_not_of_a_neighbour() -> None:
    """2006.07597 is "Attribute-aware Identity-hard Triplet Loss for Video-based Person Re-identification"."""
    for name in ("ciau", "siau", "iau"):
        assert catalog.get(name).paper.url == "https://arxiv.org/abs/2009.01035"
        assert "arXiv:2009.01035" in catalog.get(name).header
