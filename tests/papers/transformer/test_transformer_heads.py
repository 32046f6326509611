"""What multi-head attention and its layers promise beyond the laws: who sees whom, and torch's every argument."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regard import create, published, watch


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def drawn(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0.1, 0.4)
    return module.double().eval()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("watched", [False, True])
def test_a_query_that_sees_nothing_gets_zeros_and_a_gradient(watched: bool) -> None:
    module = drawn(create("mha", 12, heads=3))
    visible = torch.rand(2, 5, 7) < 0.5
    visible[..., 0] = True
    visible[1, 3] = False
    x, memory = numbers(2, 5, 12).requires_grad_(), numbers(2, 7, 12).requires_grad_()
    if watched:
        with watch(module, keep_graph=True) as maps:
            y = module(x, memory, visible=visible)
        (weights,) = maps["affinity"]
        torch.testing.assert_close(weights.sum(-1), visible.any(-1)[:, None].expand(2, 3, 5).double())
        assert weights[~visible[:, None].expand_as(weights)].eq(0).all()
    else:
        y = module(x, memory, visible=visible)
    assert y[1, 3].eq(0).all()
    assert not y[1, 2].eq(0).any()
    y.sum().backward()
    assert x.grad is not None and x.grad.isfinite().all() and x.grad[1, 3].eq(0).all()
    assert memory.grad is not None and memory.grad.isfinite().all()


@pytest.mark.parametrize("watched", [False, True])
def test_causal_attention_sees_the_past_only(watched: bool) -> None:
    module = drawn(create("mha", 12, heads=3, causal=True))
    x = numbers(2, 7, 12)
    other = torch.cat([x[:, :4], numbers(2, 3, 12)], 1)

    def run(given: Tensor) -> Tensor:
        if not watched:
            return module(given)
        with watch(module):
            return module(given)

    torch.testing.assert_close(run(x)[:, :4], run(other)[:, :4])
    assert not torch.allclose(run(x)[:, 4:], run(other)[:, 4:])


def test_numbers_in_place_of_a_mask_are_added_to_the_logits() -> None:
    module = drawn(create("mha", 12, heads=3, return_weights=True))
    x, visible = numbers(2, 7, 12), torch.rand(2, 7, 7) < 0.5
    visible[..., 0] = True
    added = torch.zeros(2, 7, 7, dtype=torch.float64).masked_fill(~visible, -torch.inf)
    for ours, wanted in zip(module(x, visible=added), module(x, visible=visible), strict=True):
        torch.testing.assert_close(ours, wanted)
    module.return_weights = False
    torch.testing.assert_close(module(x, visible=added), module(x, visible=visible))


def test_half_precision_keeps_logits_that_it_cannot_hold() -> None:
    module = create("mha", 12, heads=3, return_weights=True).half().eval()
    y, weights = module(torch.randn(2, 7, 12).half() * 3000)
    assert y.isfinite().all() and weights.sum(-1).float().sub(1).abs().max() < 1e-2


def test_attention_over_a_map_is_attention_over_its_positions() -> None:
    over_map, over_tokens = drawn(create("mha_2d", 12, heads=3, residual=False)), create("mha", 12, heads=3).double()
    over_tokens.load_state_dict(over_map.state_dict())
    x = numbers(2, 12, 5, 3)
    torch.testing.assert_close(over_map(x).flatten(2).mT, over_tokens(x.flatten(2).mT))
    with watch(over_map) as maps:
        over_map(x)
    assert maps.grids["affinity"] == {"Q": (5, 3), "K": (5, 3)}


def test_a_map_with_positions_is_not_blind_to_them() -> None:
    blind, seeing = (drawn(create("mha_2d", 12, heads=3, positions=positions)) for positions in (False, True))
    x = numbers(1, 12, 5, 3)
    torch.testing.assert_close(blind(x.flip(2)), blind(x).flip(2))
    assert not torch.allclose(seeing(x.flip(2)), seeing(x).flip(2))


def test_dropout_of_the_weights_keeps_their_mean() -> None:
    module = drawn(create("mha", 12, heads=3, attention_dropout=0.5)).train()
    x = numbers(1, 7, 12)
    mean = torch.stack([module(x) for _ in range(3000)]).mean(0)
    torch.testing.assert_close(mean, module.eval()(x), rtol=0.2, atol=0.2)


def test_wrong_arguments_and_inputs_say_what_would_be_right() -> None:
    with pytest.raises(ValueError, match="heads=8: a divisor of channels=50 is needed, such as 5"):
        create("mha", 50)
    with pytest.raises(ValueError, match="activation='swish'"):
        create("encoder_layer", 16, activation="swish")
    with pytest.raises(ValueError, match="channels=1"):
        create("encoder_layer", 1, heads=1, unbiased=True)
    for name in ("mha", "encoder_layer"):
        module = create(name, 16)
        with pytest.raises(ValueError, match=r"\(2, 16, 5, 3\): B . C, C=16 is needed"):
            module(torch.randn(2, 16, 5, 3))
        with pytest.raises(ValueError, match="True where visible"):
            module(torch.randn(2, 5, 16), visible=torch.ones(2, 5, dtype=torch.int64))
        for shape in ((2, 4), (3, 5), (2, 4, 5), (2, 3, 5, 5), (5,)):
            with pytest.raises(ValueError, match=r"mask of shape .* is needed with B=2, h=8, Q=5, K=5"):
                module(torch.randn(2, 5, 16), visible=torch.ones(shape, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"\(2, 5, 16\): B C H W, C=16 is needed"):
        create("mha_2d", 16)(torch.randn(2, 5, 16))


MASKS: tuple[Any, ...] = ((), ("padding",), ("hidden",), ("hidden by head", "padding"), ("added", "padding"))


def torch_masks(kinds: tuple[str, ...]) -> dict[str, Tensor]:
    masks = {
        "padding": ("key_padding_mask", torch.rand(2, 9) < 0.4),
        "hidden": ("attn_mask", torch.rand(6, 9) < 0.4),
        "hidden by head": ("attn_mask", torch.rand(6, 6, 9) < 0.4),
        "added": ("attn_mask", numbers(6, 9)),
    }
    for _, mask in masks.values():
        if mask.dtype is torch.bool:
            mask[..., 0] = False
    return dict(masks[kind] for kind in kinds)


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
@pytest.mark.parametrize("kinds", MASKS, ids=str)
@pytest.mark.parametrize(
    "args",
    [
        {},
        {"bias": False, "batch_first": True},
        {"add_bias_kv": True},
        {"add_zero_attn": True, "add_bias_kv": True},
        {"kdim": 7, "vdim": 5},
    ],
    ids=str,
)
def test_every_argument_of_torchs_attention(args: dict[str, Any], kinds: tuple[str, ...]) -> None:
    theirs = drawn(nn.MultiheadAttention(12, 3, **args))
    facts = {"embed_dim": 12, "num_heads": 3, **args}
    ours = published.rebuild("transformer_mha/torch/MultiheadAttention", facts, theirs.state_dict())
    inputs = [numbers(6, 2, 12), numbers(9, 2, args.get("kdim", 12)), numbers(9, 2, args.get("vdim", 12))]
    if args.get("batch_first"):
        inputs = [x.transpose(0, 1) for x in inputs]
    masks = torch_masks(kinds)
    for average in (False, True):
        wanted = theirs(*inputs, average_attn_weights=average, **masks)
        for seen, right in zip(ours(*inputs, average_attn_weights=average, **masks), wanted, strict=True):
            torch.testing.assert_close(seen, right)
    y, none = ours(*inputs, need_weights=False, **masks)
    assert none is None
    torch.testing.assert_close(y, wanted[0])


@pytest.mark.parametrize("args", [{}, {"norm_first": True, "bias": False, "activation": "gelu"}], ids=str)
@pytest.mark.parametrize("batch_first", [False, True])
def test_every_argument_of_torchs_layers(args: dict[str, Any], batch_first: bool) -> None:
    args = {**args, "dim_feedforward": 20, "batch_first": batch_first}
    facts = {"d_model": 12, "nhead": 3, **args}
    x, memory = ((numbers(2, n, 12) if batch_first else numbers(n, 2, 12)) for n in (6, 9))
    padding, hidden = torch.rand(2, 6) < 0.4, torch.rand(6, 6) < 0.4
    padding[:, 0] = hidden[:, 0] = False

    theirs = drawn(nn.TransformerEncoderLayer(12, 3, **args))
    ours = published.rebuild("transformer_encoder_layer/torch/TransformerEncoderLayer", facts, theirs.state_dict())
    torch.testing.assert_close(ours(x, hidden, padding), theirs(x, hidden, padding))
    torch.testing.assert_close(ours(x[:, 0]), theirs(x[:, 0]))

    theirs = drawn(nn.TransformerDecoderLayer(12, 3, **args))
    ours = published.rebuild("transformer_decoder_layer/torch/TransformerDecoderLayer", facts, theirs.state_dict())
    masks = {"tgt_mask": hidden, "tgt_key_padding_mask": padding}
    torch.testing.assert_close(ours(x, memory, **masks), theirs(x, memory, **masks))


def test_a_decoder_sees_its_past_and_the_visible_memory() -> None:
    layer = drawn(create("decoder_layer", 12, heads=3))
    x, memory = numbers(2, 6, 12), numbers(2, 9, 12)
    visible = torch.ones(2, 9, dtype=torch.bool)
    visible[:, 5:] = False
    with watch(layer) as maps:
        y = layer(x, memory, memory_visible=visible)
    own, across = maps["self"][0], maps["cross"][0]
    assert own.triu(1).eq(0).all() and across[..., 5:].eq(0).all()
    torch.testing.assert_close(y, layer(x, memory[:, :5]))
    torch.testing.assert_close(y[:, :4], layer(x[:, :4], memory, memory_visible=visible))
