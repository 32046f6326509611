"""Watching networks that others wrote: timm, torchvision and Hugging Face, with random weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from regard.core import Maps, NothingSeen
from regard.watching import listen, watch


def outputs(returned: Any) -> Tensor:
    if isinstance(returned, Tensor):
        return returned
    return returned.logits if hasattr(returned, "logits") else returned.last_hidden_state


def watched(model: nn.Module, **inputs: Tensor) -> Maps:
    """The maps of one pass, whose output is that of an unwatched pass, as is that of a pass whose maps are copied."""
    model.eval()
    with torch.no_grad():
        plain = outputs(model(**inputs))
        with watch(model) as maps:
            seen = outputs(model(**inputs))
        with listen(model, lambda formed: formed.map.clone(), edits=True):
            edited = outputs(model(**inputs))
    torch.testing.assert_close(seen, plain, atol=1e-5, rtol=1e-5)
    assert torch.equal(edited, seen)
    assert maps.foreign == set(maps)
    for key, looks in maps.items():
        for map in looks:
            assert map.isfinite().all()
            if maps.sums[key]:
                total = map.sum([maps.axes[key].split().index(letter) for letter in maps.sums[key].split()])
                torch.testing.assert_close(total, torch.ones_like(total))
    return maps


def kinds(maps: Maps) -> dict[str, int]:
    """How many maps there are of each name, with axes and the axes that sum to 1."""
    return dict(Counter(f"{k.rpartition('/')[2]} {maps.axes[k]} | {maps.sums[k]}" for k in maps))


SELF = "affinity B h Q K | K"
WINDOW = "affinity B h Q X | X"
GATE = "gate B C 1 1 | "
BRANCHES = "weights B S C 1 1 | S"

# model, arguments, side of the image -> kinds, the first key, and its grids and tokens of Q
TIMM: list[tuple[str, dict[str, Any], int, dict[str, int], str, Any, Any]] = [
    ("vit_tiny_patch16_224", {"img_size": 64}, 64, {SELF: 12}, "blocks.0.attn/affinity", ((1, 1), (4, 4)), ("class",)),
    (
        "deit_tiny_distilled_patch16_224",
        {"img_size": 64},
        64,
        {SELF: 12},
        "blocks.0.attn/affinity",
        ((1, 1), (1, 1), (4, 4)),
        ("class", "distillation"),
    ),
    (
        "eva02_tiny_patch14_224",
        {"img_size": 56},
        56,
        {SELF: 12},
        "blocks.0.attn/affinity",
        ((1, 1), (4, 4)),
        ("class",),
    ),
    (
        "swin_tiny_patch4_window7_224",
        {"img_size": 56, "window_size": 4},
        56,
        {WINDOW: 4, SELF: 8},
        "layers.0.blocks.0.attn/affinity",
        (14, 14),
        None,
    ),
    ("cait_xxs24_224", {"img_size": 64}, 64, {SELF: 26}, "blocks.0.attn/affinity", (4, 4), None),
    (
        "coatnet_pico_rw_224",
        {"img_size": 64},
        64,
        {GATE: 5, SELF: 7},
        "stages.0.blocks.0.se/gate",
        None,
        None,
    ),
    ("pvt_v2_b0", {}, 64, {SELF: 8}, "stages.0.blocks.0.attn/affinity", (16, 16), None),
    ("halonet26t", {}, 256, {WINDOW: 3}, "stages.2.1.self_attn/affinity", (16, 16), None),
    ("skresnet18", {}, 64, {BRANCHES: 8}, "layer1.0.conv1.attn/weights", None, None),
    ("botnet26t_256", {"img_size": 64}, 64, {SELF: 3}, "stages.2.1.self_attn/affinity", (4, 4), None),
    (
        "xcit_nano_12_p16_224",
        {"img_size": 64},
        64,
        {"affinity B h C D | D": 12, SELF: 2},
        "blocks.0.attn/affinity",
        None,
        None,
    ),
    ("mobilevit_xxs", {}, 64, {WINDOW: 6}, "stages.2.1.transformer.0.attn/affinity", (8, 8), None),
    ("gcresnext26ts", {}, 64, {"weights B 1 H W | H W": 8}, "stages.0.0.attn/weights", None, None),
    ("resnest14d", {}, 64, {BRANCHES: 4}, "layer1.0.conv2/weights", None, None),
    ("seresnet18", {}, 64, {GATE: 8}, "layer1.0.se/gate", None, None),
    ("ecaresnet26t", {}, 64, {GATE: 8}, "layer1.0.se/gate", None, None),
    ("mobilenetv3_small_050", {}, 64, {GATE: 9}, "blocks.0.0.se/gate", None, None),
    ("tf_efficientnet_b0", {}, 64, {GATE: 16}, "blocks.0.0.se/gate", None, None),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "side", "expected", "key", "grid", "tokens"), TIMM, ids=[case[0] for case in TIMM]
)
def test_attention_of_timm(
    name: str, arguments: dict[str, Any], side: int, expected: dict[str, int], key: str, grid: Any, tokens: Any
) -> None:
    torch.manual_seed(0)
    maps = watched(timm.create_model(name, num_classes=3, **arguments), x=torch.randn(2, 3, side, side))
    assert kinds(maps) == expected
    assert next(iter(maps)) == key
    assert maps.grids.get(key, {}).get("Q") == grid
    assert maps.tokens.get(key, {}).get("Q") == tokens


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "convnext_zepto_rms", "mobilenetv2_035", "rexnetr_200", "mambaout_femto"])
def test_networks_of_timm_without_attention(name: str) -> None:
    arguments = {"se_ratio": 0.0} if name.startswith("rexnet") else {}
    model = timm.create_model(name, **arguments).eval()
    with pytest.raises(NothingSeen), torch.no_grad(), watch(model):
        model(torch.randn(1, 3, 64, 64))


@pytest.mark.slow
def test_the_class_token_of_cait_asks_alone() -> None:
    model = timm.create_model("cait_xxs24_224", img_size=64).eval()
    with torch.no_grad(), watch(model) as maps:
        model(torch.randn(1, 3, 64, 64))
    key = "blocks_token_only.0.attn/affinity"
    assert maps.grids[key] == {"Q": ((1, 1),), "K": ((1, 1), (4, 4))}
    assert maps.tokens[key] == {"Q": ("class",), "K": ("class",)}


def encoder(config: Any) -> dict[str, Any]:
    """Small sizes of a Hugging Face encoder."""
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
    return {key: value for key, value in sizes.items() if hasattr(config(), key)}


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("kind", "extra", "tokens"),
    [
        ("ViT", {}, ("class",)),
        ("Dinov2WithRegisters", {"num_register_tokens": 2}, ("class", "register 1", "register 2")),
    ],
)
def test_encoders_of_hugging_face(
    kind: str, extra: dict[str, Any], tokens: tuple[str, ...], implementation: str
) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")
    sizes = {**encoder(config), "image_size": 32, "patch_size": 8, "attn_implementation": implementation}
    model = getattr(transformers, f"{kind}Model")(config(**sizes, **extra))
    maps = watched(model, pixel_values=torch.randn(2, 3, 32, 32))
    assert kinds(maps) == {SELF: 2}
    for key in maps:
        grids = (*[(1, 1)] * len(tokens), (4, 4))
        assert maps.grids[key] == {"Q": grids, "K": grids}
        assert maps.tokens[key] == {"Q": tokens, "K": tokens}


@pytest.mark.slow
def test_segformer_of_hugging_face() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"depths": [1] * 4, "hidden_sizes": [8, 16, 24, 40], "num_attention_heads": [1, 2, 3, 5]}
    config = transformers.SegformerConfig(**sizes, decoder_hidden_size=16)
    maps = watched(transformers.SegformerForSemanticSegmentation(config), pixel_values=torch.randn(2, 3, 64, 96))
    assert kinds(maps) == {SELF: 4}
    sides = [dict(maps.grids[key]) for key in maps]
    assert sides == [{"Q": (16 // 2**i, 24 // 2**i), "K": (2, 3)} for i in range(4)]


@pytest.mark.slow
def test_vision_transformer_and_swin_of_torchvision() -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    vit = models.VisionTransformer(64, 16, 2, 2, 24, 40)
    maps = watched(vit, x=torch.randn(2, 3, 64, 64))
    assert kinds(maps) == {SELF: 2}
    assert maps.tokens["encoder.layers.encoder_layer_0.self_attention/affinity"]["K"] == ("class",)
    swin = models.SwinTransformer([4, 4], 12, [2, 2], [2, 3], [3, 3])
    maps = watched(swin, x=torch.randn(2, 3, 40, 56))
    assert kinds(maps) == {WINDOW: 4}
    keys = list(maps)
    assert maps.grids[keys[1]] == {"Q": (10, 14), "K": (10, 14)}
    assert maps.grids[keys[3]] == {"Q": (5, 7), "K": (5, 7)}
    assert maps.places[keys[3]].shape == (35, 9)


def test_a_shifted_window_of_torchvision_reads_the_places_it_names() -> None:
    """The weight of each place, shown on the image, is the one by which the value of that place is multiplied."""
    swin = pytest.importorskip("torchvision.models.swin_transformer")
    torch.manual_seed(0)
    attend = swin.ShiftedWindowAttention(6, [3, 3], [1, 1], 2).eval()

    class Image(nn.Module):
        """The attention over a feature map, of which the grid is known."""

        def __init__(self) -> None:
            super().__init__()
            self.attend = attend

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.attend(x.permute(0, 2, 3, 1))
            return y

    image = torch.randn(1, 6, 5, 7, requires_grad=True)
    model = Image()
    with watch(model) as maps:
        out = model(image)
    map, places = maps["attend/affinity"][0][0], maps.places["attend/affinity"]
    value = attend.qkv(image.permute(0, 2, 3, 1))[..., 12:].reshape(35, 2, 3)  # place, head, channel
    padded = attend.qkv.bias[12:].reshape(2, 3)  # the value of padding, which is zero before it is projected
    read = torch.where(
        (places >= 0)[..., None, None], value[places.clamp(min=0)], padded
    )  # query, place, head, channel
    expected = attend.proj(torch.einsum("hqx,qxhc->qhc", map, read).reshape(5, 7, 6))
    torch.testing.assert_close(out[0], expected)


CASES: dict[str, Callable[[], nn.Module]] = {
    "vit": lambda: timm.models.vision_transformer.VisionTransformer(
        32, 8, num_classes=3, embed_dim=24, depth=1, num_heads=3
    ),
    "squeeze": lambda: timm.layers.SqueezeExcite(3, rd_channels=2),
}


@pytest.mark.parametrize("name", CASES)
def test_attention_of_timm_in_a_small_network(name: str) -> None:
    torch.manual_seed(0)
    maps = watched(CASES[name](), x=torch.randn(2, 3, 32, 32))
    assert kinds(maps) == ({SELF: 1} if name == "vit" else {GATE: 1})
