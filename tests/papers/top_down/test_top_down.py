"""Bottom-Up and Top-Down: sizes of the published networks, regions, boxes, questions, and what is written."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import regard
from regard.networks.captioner import decode
from regard.networks.places import EmbeddedPlaces
from regard.ops.words import END
from regard.papers.top_down.network import TopDownAnswerer, TopDownCaptioner, average, within


def small(**options: object) -> TopDownCaptioner:
    torch.manual_seed(3)
    model: TopDownCaptioner = regard.create(
        "top_down_captioner", 6, vocabulary=11, embedding=5, hidden=7, scores=3, **options
    )
    return model.eval()


@pytest.mark.parametrize(
    ("options", "count"),
    [({"vocabulary": 10_010}, 57_983_098), ({"vocabulary": 9_488, "embedded": True}, 52_125_025)],
    ids=["Caffe", "ImageCaptioning"],
)
def test_the_published_networks_have_their_parameters(options: dict[str, object], count: int) -> None:
    with torch.device("meta"):
        model = TopDownCaptioner(2048, **options)  # type: ignore[arg-type]
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize("embedded", [False, True])
def test_regions_that_are_padding_change_nothing(embedded: bool) -> None:
    model, features, words = small(embedded=embedded), torch.randn(2, 5, 6), torch.randint(11, (2, 3))
    visible = torch.tensor([[True] * 5, [True, True, True, False, False]])
    with regard.watch(model) as maps:
        log_probabilities = model(features, visible, words)
    (alpha,) = maps["attention"]
    assert alpha.shape == (2, 3, 5)
    assert (alpha[1, :, 3:] == 0).all()
    torch.testing.assert_close(alpha.sum(2), torch.ones(2, 3))
    torch.testing.assert_close(model(features[1:, :3], None, words[1:]), log_probabilities[1:])
    other = features.clone()
    other[1, 3:] = 1000.0
    assert torch.equal(model(other, visible, words), log_probabilities)


def test_the_mean_counts_the_regions_that_are_there() -> None:
    features = torch.arange(12.0).view(2, 3, 2)
    visible = torch.tensor([[True, False, True], [False, False, False]])
    assert average(features, visible).tolist() == [[2.0, 3.0], [0.0, 0.0]]
    assert average(features.view(2, 1, 3, 2), None).tolist() == [[2.0, 3.0], [8.0, 9.0]]


def test_batch_norms_count_the_regions_that_are_there() -> None:
    layer = EmbeddedPlaces(2, 3, dropout=0.0, norms=2)
    x = torch.tensor([[[1.0, 2.0], [3.0, 8.0], [99.0, 99.0]]])
    y = layer(x, torch.tensor([[True, True, False]]))
    assert layer.before is not None
    torch.testing.assert_close(layer.before.running_mean, torch.tensor([0.2, 0.5]))  # a tenth of the means 2 and 5
    assert (y[0, 2] == 0).all() and y.shape == (1, 3, 3)
    layer.eval()
    torch.testing.assert_close(layer(x, torch.tensor([[True, True, False]]))[:, :2], layer(x[:, :2]))


def test_a_map_is_averaged_within_its_boxes() -> None:
    """A map that rises by its column and its row has, in a box, the value of the box's centre."""
    columns, rows = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="xy")
    x = torch.stack([columns, rows])[None]
    boxes = torch.tensor([[[0.25, 0.125, 0.75, 0.5], [0.5, 0.5, 0.75, 0.75]]])
    wanted = torch.tensor([[[3.5, 2.0], [4.5, 4.5]]])  # 8 c - 1/2 at the centre c
    torch.testing.assert_close(within(x, boxes), wanted)


def test_a_grid_and_boxes_are_seen_by_one_trunk() -> None:
    grid, boxed = (small(backbone="convolutions", boxed=boxed) for boxed in (False, True))
    assert [name for name, _ in grid.named_parameters()] == [name for name, _ in boxed.named_parameters()]
    assert grid.seen == ("image",) and boxed.seen == ("image", "boxes", "boxes_mask")
    image, words = torch.randn(2, 6, 24, 40), torch.randint(11, (2, 3))
    with regard.watch(grid) as maps:
        grid(image, words)
    assert maps["attention"][0].shape == (2, 3, 3, 5)
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.1, 0.2, 0.5, 0.6]]).expand(2, -1, -1)
    with regard.watch(boxed) as maps:
        boxed(image, boxes, None, words)
    assert maps["attention"][0].shape == (2, 3, 2)


def test_sentences_are_written_with_a_map_for_each_word() -> None:
    found = decode(small(), (torch.randn(2, 5, 6), None), beam=3, longest=4)
    for hypotheses in found:
        for one in hypotheses:
            assert one.maps["attention"].shape == (len(one.words), 5)
            assert one.finished == (one.words[-1] == END)


@pytest.mark.parametrize("scores", ["gated-tanh", "rectified", "product"])
def test_the_padding_of_a_question_is_not_read(scores: str) -> None:
    torch.manual_seed(5)
    model = TopDownAnswerer(6, vocabulary=11, answers=7, embedding=5, hidden=16, scores=scores).eval()
    features = torch.randn(2, 4, 6)
    question = torch.tensor([[4, 5, 6, 0, 0], [7, 8, 9, 10, 4]])
    logits = model(features, None, question, question > 0)
    torch.testing.assert_close(model(features[:1], None, question[:1, :3]), logits[:1])
    assert not torch.allclose(model(features[:1], None, question[:1]), logits[:1])


def test_wrong_uses_are_named() -> None:
    with pytest.raises(ValueError, match="backbone=None: a backbone is needed with boxed=True"):
        TopDownCaptioner(6, vocabulary=11, boxed=True)
    with pytest.raises(ValueError, match="norms=1: 0 is needed with embedded=False"):
        TopDownCaptioner(6, vocabulary=11, norms=1)
    with pytest.raises(ValueError, match="bias=True: False is needed with scores='product'"):
        regard.create("top_down", 6, scores="product", bias=True)
    model, features = small(), torch.randn(2, 5, 6)
    with pytest.raises(ValueError, match="1 inputs: features, features_mask are needed"):
        model(features, torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"mask of torch.int64: booleans are needed"):
        model(features, torch.ones(2, 5, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64))
    answerer = TopDownAnswerer(6, vocabulary=11, answers=7, embedding=5, hidden=3)
    with pytest.raises(ValueError, match="2 inputs: features, features_mask, question and its mask are needed"):
        answerer(features, None)


@pytest.mark.slow
def test_the_trunk_is_loaded_by_its_own_names() -> None:
    source, target = (small(backbone="resnet18") for _ in range(2))
    assert source.encoder is not None and target.encoder is not None
    nn.init.constant_(source.encoder.trunk.network.layer4[1].conv2.weight, 0.5)  # type: ignore[union-attr, index]
    target.start_from(source.encoder.trunk.network.state_dict())  # type: ignore[union-attr]
    for ours, theirs in zip(target.encoder.parameters(), source.encoder.parameters(), strict=True):
        assert torch.equal(ours, theirs)
