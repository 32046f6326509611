"""SCA-CNN without and with a decoder."""

from __future__ import annotations

import pytest
import torch

import regard
from regard.networks.captioner import Encoder


@pytest.mark.parametrize("order", ["channel-spatial", "spatial-channel", "channel", "spatial"])
def test_even_attention_is_the_identity_under_the_released_scale(order: str) -> None:
    module = regard.create("sca", 6, hidden=8, state_channels=10, order=order)
    for name, parameter in module.named_parameters():
        if "score" in name:
            torch.nn.init.zeros_(parameter)
    x = torch.randn(2, 6, 5, 7)
    torch.testing.assert_close(module(x, torch.randn(2, 10)), x)


def test_the_second_attention_sees_what_the_first_one_left() -> None:
    """A channel that channel attention shuts leaves spatial attention even; in the other order it does not."""
    x = torch.zeros(1, 2, 3, 4)
    x[:, 0, 1, 2], x[:, 1] = -5.0, 9.0
    maps = {}
    for order in ("channel-spatial", "spatial-channel"):
        module = regard.create("sca", 2, hidden=1, order=order)
        torch.nn.init.constant_(module.channel.embed.weight, 1.0)
        torch.nn.init.constant_(module.channel.score.weight, 200.0)  # nearly all on channel 1, whose mean is above
        module.spatial.embed.weight.data = torch.tensor([[1.0, 0.0]])  # looks at channel 0 alone
        torch.nn.init.constant_(module.spatial.score.weight, 1.0)
        with regard.watch(module) as seen:
            module(x)
        maps[order] = seen["spatial"][0].flatten()
    torch.testing.assert_close(maps["channel-spatial"], torch.full((12,), 1 / 12))
    assert maps["spatial-channel"].argmin() == 6
    assert maps["spatial-channel"][6] < 0.04


def test_refuses() -> None:
    with pytest.raises(ValueError, match="order='both'"):
        regard.create("sca", 6, order="both")
    x = torch.randn(2, 6, 5, 7)
    with pytest.raises(ValueError, match="state=None: state_channels=10 is needed"):
        regard.create("sca", 6, state_channels=10)(x)
    with pytest.raises(ValueError, match=r"state of shape \(2, 10\): state_channels=None is needed"):
        regard.create("sca", 6)(x, torch.randn(2, 10))


def test_the_papers_abbreviations_are_the_words() -> None:
    for short, word in (("cs", "channel-spatial"), ("sc", "spatial-channel")):
        assert regard.create("sca", 3, hidden=4, order=short).order == word


@pytest.mark.slow
def test_the_last_block_of_a_resnet_is_the_decoders_own() -> None:
    """The trunk with its block computes, without attention, what the network of timm's does."""
    torch.manual_seed(2)
    model = regard.create(
        "sca_captioner", 3, vocabulary=11, inner=512, embedding=5, hidden=7, scores=3, backbone="resnet26"
    ).eval()
    whole = Encoder("resnet26", 3).eval()
    for parameter in whole.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    model.start_from(whole.trunk.network.state_dict())
    assert model.seen == ("image",) and model.conv.in_channels == 512
    image = torch.randn(2, 3, 64, 64)
    state = model.start(image)
    torch.testing.assert_close(model.end(state.inner, state.features), whole(image))


def test_every_word_looks_again() -> None:
    torch.manual_seed(2)
    model = regard.create("sca_captioner", 6, vocabulary=11, inner=5, embedding=7, hidden=8, scores=9).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    with regard.watch(model) as maps:
        model(torch.randn(2, 6, 4, 3), torch.randn(2, 5, 4, 3), torch.randint(11, (2, 3)))
    shapes = {name: tuple(looks[0].shape) for name, looks in maps.items()}
    assert shapes == {
        "inner_channel": (2, 3, 5), "inner_spatial": (2, 3, 4, 3), "channel": (2, 3, 6), "spatial": (2, 3, 4, 3),
    }  # fmt: skip
    for (look,) in maps.values():
        torch.testing.assert_close(look.flatten(2).sum(2), torch.ones(2, 3))
        assert not torch.allclose(look[:, 0], look[:, 1])
